"""What is measured: each task is one question, asked of several programs on one tree."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from benchmarks import measure, programs, trees
from benchmarks.programs import Program

COLD, WARM = "cold", "warm"


@dataclass(frozen=True, slots=True)
class Task:
    """One question. `warm` is read before each warm round; a task that is never cold needs none."""

    key: str
    title: str
    programs: Sequence[Program]
    warm: Sequence[str] = ()
    states: Sequence[str] = (COLD, WARM)
    rounds: int | None = None
    #: The programs run in the other order than they are shown in.
    backwards: bool = False
    #: What the ratios need to know of the tree.
    facts: dict[str, Any] = field(default_factory=dict)


class Place:
    """The folder that everything is made in; each tree is made when its first task is, and removed after its last."""

    def __init__(self, path: str, factor: float, threads: Sequence[int] = ()) -> None:
        self.path = path
        self.factor = factor
        self.threads = threads
        self.home = os.path.join(path, "home")
        os.makedirs(self.home, exist_ok=True)

    def tree(self, kind: str, factor: float | None = None, place: str | None = None) -> dict[str, Any]:
        path = place or os.path.join(self.path, kind)
        shutil.rmtree(path, ignore_errors=True)
        command = [sys.executable, "-m", "benchmarks.trees", kind, path, str(factor or self.factor)]
        subprocess.run(command, check=True, cwd=os.path.dirname(os.path.dirname(__file__)))
        with open(os.path.join(path, "manifest.json")) as file:
            manifest: dict[str, Any] = json.load(file)
        return manifest

    def remove(self, kind: str) -> None:
        shutil.rmtree(os.path.join(self.path, kind), ignore_errors=True)

    def hubfold(
        self, *arguments: str, name: str = programs.HUBFOLD, fresh: bool = True, **more: Any
    ) -> Program:
        """hubfold; `fresh`: without an index."""
        program = programs.hubfold(*arguments, home=self.home, name=name, **more)
        if not fresh:
            return program
        then = program.before

        def before() -> None:
            shutil.rmtree(program.env["HUBFOLD_HOME"], ignore_errors=True)
            if then is not None:
                then()

        return programs.replace(program, before=before)

    def once(self, program: Program) -> measure.Sample:
        """Run a program, unmeasured as it were."""
        return measure.run(
            program.argv,
            env={**programs.environment(self.home), **program.env},
            stdin=program.stdin,
            accept=program.accept,
        )


def tasks(place: Place, wanted: Callable[[str], bool]) -> Iterator[Task]:
    """Every task that is wanted, one tree after the other. A task has to be measured before the next is taken."""
    for kind, makers in (
        ("models", (_start_up, _scan_claimed, _scan_whole, _scan_plain)),
        ("pairs", (_scan_copies, _hard_links, _undo, _move, _verify)),
        ("sets", (_plan_sets,)),
        ("reflinks", (_reflinks, _shared_already)),
        ("tail", (_tail_unchanged, _tail_changed)),
        ("library", (_ls,)),
        ("small", (_small_first, _small_again)),
    ):
        makers = tuple(maker for maker in makers if wanted(maker.__name__[1:].replace("_", "-")))
        if not makers:
            continue
        if kind == "reflinks":
            yield from _on_xfs(place, makers)
            continue
        manifest = place.tree(kind)
        try:
            for maker in makers:
                yield from maker(place, manifest)
        finally:
            place.remove(kind)


# models


def _start_up(place: Place, tree: dict[str, Any]) -> Iterator[Task]:
    status = place.hubfold(name="hubfold", fresh=False)
    scan = programs.replace(place.hubfold("scan", "--json", *tree["claimed"], fresh=False), env=status.env)
    place.once(scan)
    yield Task(
        "start-up",
        "Start-up",
        [
            programs.replace(place.hubfold("--help"), name="hubfold --help"),
            programs.replace(status, name="hubfold (index present)"),
            Program("python -c pass", [sys.executable, "-c", "pass"], kind="limit"),
            Program("python -I -S -c pass", [sys.executable, "-I", "-S", "-c", "pass"], kind="limit"),
        ],
        states=(WARM,),
        rounds=10,
    )


def _scan_claimed(place: Place, tree: dict[str, Any]) -> Iterator[Task]:
    roots = tree["claimed"]
    listed = [os.path.dirname(sys.executable) + "/hf", "cache", "ls", "--cache-dir", tree["hub"]]
    yield Task(
        "scan-claimed",
        "First scan of (a) without its plain copies: every claim in place",
        [
            place.hubfold("scan", "--json", *roots),
            *programs.finders(roots, trees.MIN_SIZE),
            Program("hf cache ls", listed, kind="other"),
            programs.find(roots),
        ],
        [*roots, *_files_below(roots)],
        facts={"bytes": tree["bytes_claimed"]},
    )


def _scan_whole(place: Place, tree: dict[str, Any]) -> Iterator[Task]:
    roots = tree["whole"]
    yield Task(
        "scan-whole",
        "First scan of (a) whole",
        [
            place.hubfold("scan", "--json", *roots),
            *programs.finders(roots, trees.MIN_SIZE),
            programs.cat(tree["must_read_whole"]),
        ],
        [*roots, *_files_below(roots)],
        facts={"must_read": _size(tree["must_read_whole"])},
    )


def _scan_plain(place: Place, tree: dict[str, Any]) -> Iterator[Task]:
    roots = tree["plain"]
    yield Task(
        "scan-plain",
        "First scan of (b): no claims, everything that has a mate of its size has to be read",
        [
            place.hubfold("scan", "--json", *roots),
            *programs.finders(roots, trees.MIN_SIZE, place.threads),
            programs.cat(tree["must_read_plain"]),
        ],
        [*roots, *_files_below(roots)],
        facts={"must_read": _size(tree["must_read_plain"])},
    )


# pairs


def _scan_copies(place: Place, tree: dict[str, Any]) -> Iterator[Task]:
    trees.unfold(tree)
    roots = trees.plain_copies(tree, os.path.join(place.path, "plain"))
    yield Task(
        "scan-copies",
        "First scan of a cache and a plain copy of each of its files: half of the bytes have no claim",
        [
            place.hubfold("scan", "--json", *roots),
            *programs.finders(roots, trees.MIN_SIZE, place.threads),
            programs.cat(_files_below(roots)),
        ],
        [*roots, *_files_below(roots)],
    )
    place.remove("plain")


def _hard_links(place: Place, tree: dict[str, Any], key: str = "hard-links") -> Iterator[Task]:
    roots, minimum = tree["roots"], trees.MIN_SIZE

    def unfold() -> None:
        trees.unfold(tree)

    def scanned() -> None:
        unfold()
        place.once(programs.replace(place.hubfold("scan", "-q", *roots), env=after.env))

    fold = ("consolidate", "--json", "-y", "--link", "hardlink", *roots)
    after = place.hubfold(*fold, name="hubfold after a scan", before=scanned)
    yield Task(
        key,
        "Consolidate into hard links: 8 pairs of cache and local copy, from nothing",
        [
            place.hubfold(*fold, before=unfold),
            after,
            *programs.linkers(roots, minimum, unfold),
            programs.cmp(tree["pairs"], unfold),
        ],
        tree["every"],
        facts={"pairs": len(tree["pairs"]), "bytes": _size(tree["every"])},
    )


def _undo(place: Place, tree: dict[str, Any]) -> Iterator[Task]:
    def folded() -> None:
        trees.unfold(tree)
        again = place.hubfold("consolidate", "-q", "-y", "--link", "hardlink", *tree["roots"], name=undo.name)
        place.once(again)

    undo = place.hubfold("undo", "--json", "-y", before=folded)
    yield Task(
        "undo",
        "Undo of that run: every victim copied, compared by digest, synced",
        [undo, programs.copying(tree["pairs"], os.path.join(place.path, "copies"))],
        tree["every"],
        states=(WARM,),
    )
    shutil.rmtree(os.path.join(place.path, "copies"), ignore_errors=True)


def _move(place: Place, tree: dict[str, Any]) -> Iterator[Task]:
    """To another drive: memory, where the place is on a disk; by links of its own each time."""
    hub = tree["roots"][0]
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=_other_drive(place.path)) as other:

        def back() -> None:
            """The cache has its files again, out of the local copies, and the other drive is empty."""
            turned = {
                "pairs": [pair[::-1] for pair in tree["pairs"]],
                "roots": [hub, os.path.join(other, "hub")],
            }
            trees.unfold(turned)
            shutil.rmtree(os.path.join(other, "hub"), ignore_errors=True)
            shutil.rmtree(os.path.join(other, "hubfold"), ignore_errors=True)

        trees.unfold(tree)
        yield Task(
            "move",
            "Move a model to another drive: copied, digested, synced, compared, linked to",
            [
                place.hubfold(
                    *("move", "--json", "-y", "--all-of", hub, "--to", os.path.join(other, "hub")),
                    before=back,
                ),
                programs.copying(tree["pairs"], os.path.join(other, "copies"), read=True),
            ],
            [blob for blob, _ in tree["pairs"]],
            states=(WARM,),
        )
        back()


def _other_drive(path: str) -> str:
    """A folder on another file system than `path`; what hard links do is no move."""
    here = os.stat(path).st_dev
    others = [one for one in ("/dev/shm", tempfile.gettempdir()) if os.path.isdir(one)]
    return next((one for one in others if os.stat(one).st_dev != here), others[0])


def _verify(place: Place, tree: dict[str, Any]) -> Iterator[Task]:
    trees.unfold(tree)
    verify = place.hubfold("verify", "--json", *tree["roots"], fresh=False)
    place.once(programs.replace(place.hubfold("scan", "-q", *tree["roots"]), env=verify.env))
    yield Task(
        "verify",
        "Verify: every file against its sha256",
        [
            verify,
            Program("sha256sum", ["sha256sum", *tree["every"]], kind="limit"),
            programs.cat(tree["every"]),
        ],
        tree["every"],
    )


# reflinks


def _on_xfs(place: Place, makers: Sequence[Callable[..., Iterator[Task]]]) -> Iterator[Task]:
    image, mount = os.path.join(place.path, "xfs.img"), os.path.join(place.path, "xfs")
    try:
        made = _mount_xfs(image, mount, int(place.factor * (4 << 30)) + (512 << 20))
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"no reflinks: {error}", file=sys.stderr)
        return
    try:
        tree = place.tree("pairs", place=os.path.join(made, "pairs"))
        for maker in makers:
            yield from maker(place, tree)
    finally:
        subprocess.run(["umount", mount], check=False)
        os.unlink(image)


def _mount_xfs(image: str, mount: str, size: int) -> str:
    if os.geteuid() != 0:
        raise OSError("an image is mounted by root only")
    os.makedirs(mount, exist_ok=True)
    with open(image, "wb") as file:
        os.posix_fallocate(file.fileno(), 0, size)
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(["mkfs.xfs", "-q", "-f", "-m", "reflink=1", image], **quiet)  # type: ignore[call-overload]
    subprocess.run(["mount", "-o", "loop", image, mount], **quiet)  # type: ignore[call-overload]
    return mount


def _reflinks(place: Place, tree: dict[str, Any]) -> Iterator[Task]:
    def unfold() -> None:
        trees.unfold(tree)

    listed = os.path.join(place.path, "pairs.fdupes")
    with open(listed, "w") as file:
        file.write("\n\n".join("\n".join(pair) for pair in tree["pairs"]) + "\n\n")
    found = [
        place.hubfold("consolidate", "--json", "-y", "--link", "reflink", *tree["roots"], before=unfold),
        programs.cmp(tree["pairs"], unfold),
    ]
    if programs.installed("duperemove"):
        hashes = os.path.join(place.path, "duperemove.db")
        hashed = ["duperemove", "-q", "-r", "--hashfile", hashes, *tree["roots"]]

        def hash_first() -> None:
            unfold()
            with suppress(FileNotFoundError):
                os.unlink(hashes)
            place.once(Program("duperemove", hashed))

        wake = ["sh", "-c", "duperemove --help >/dev/null 2>&1 || true"]
        found[1:1] = [
            Program("duperemove -d, hashed before", [*hashed, "-d"], hash_first, wake=wake),
            Program("duperemove --fdupes", ["duperemove", "-q", "--fdupes"], unfold, stdin=listed, wake=wake),
        ]
    yield Task("reflinks", "Consolidate into reflinks on xfs, from nothing", found, tree["every"])


def _shared_already(place: Place, tree: dict[str, Any]) -> Iterator[Task]:
    trees.unfold(tree)
    again = place.hubfold("consolidate", "--json", "-y", "--link", "reflink", *tree["roots"], fresh=False)
    place.once(place.hubfold("consolidate", "-q", "-y", "--link", "reflink", *tree["roots"]))
    yield Task(
        "shared-already",
        "Consolidate again where all is shared already",
        [again, programs.replace(place.hubfold("--help"), name="hubfold --help", kind="limit")],
        states=(WARM,),
    )


# many sets


def _plan_sets(place: Place, tree: dict[str, Any]) -> Iterator[Task]:
    about = ("--min-size", "1", *tree["roots"])
    plan = place.hubfold("consolidate", "--dry-run", *about, fresh=False)
    scan = programs.replace(place.hubfold("scan", "--json", *about, fresh=False), env=plan.env)
    shutil.rmtree(plan.env["HUBFOLD_HOME"], ignore_errors=True)
    place.once(scan)
    yield Task(
        "plan-sets",
        f"Plan and show {tree['sets']:,} duplicate sets, scanned before",
        [
            programs.replace(plan, name="hubfold consolidate --dry-run"),
            programs.replace(scan, name="hubfold scan"),
            programs.find(tree["roots"]),
        ],
        tree["roots"],
        states=(WARM,),
        facts={"sets": tree["sets"]},
    )


# many files


def _tail_unchanged(place: Place, tree: dict[str, Any]) -> Iterator[Task]:
    yield from _rescan(
        place, tree, "tail-unchanged", "Rescan of (d), 200,000 files in 5,000 folders, nothing changed"
    )


def _tail_changed(place: Place, tree: dict[str, Any]) -> Iterator[Task]:
    turn = 0

    def change() -> None:
        nonlocal turn
        turn += 1
        trees.change(tree, 0.001, turn)

    yield from _rescan(place, tree, "tail-changed", "Rescan of (d) with 0.1 % changed", change)


def _small_again(place: Place, tree: dict[str, Any]) -> Iterator[Task]:
    yield from _rescan(
        place, tree, "small-again", "Rescan of (c), 1,000,000 files, nothing changed", rounds=3
    )


def _rescan(
    place: Place,
    tree: dict[str, Any],
    key: str,
    title: str,
    before: Callable[[], None] | None = None,
    rounds: int | None = None,
) -> Iterator[Task]:
    roots = tree["roots"]
    scan = place.hubfold("scan", "--all-files", "--json", "--min-size", "1", *roots, fresh=False)
    with suppress(FileNotFoundError):
        shutil.rmtree(scan.env["HUBFOLD_HOME"])
    found = [scan, programs.find(roots)]
    if programs.installed("fclones"):
        command = ["fclones", "group", "--cache", "--min", "1", "-o", os.devnull, *roots]
        found.append(Program("fclones --cache", command))
    if programs.installed("rmlint"):
        command = ["rmlint", "--xattr", "-T", "df", "-o", "summary:stdout", *roots]
        found.append(Program("rmlint --xattr", command))
    if before is not None:
        once = _once_for_all(before)
        found = [programs.replace(one, before=once(one)) if one.kind != "limit" else one for one in found]
    # The first scans, which fill what the programs keep. rmlint's moves every file's ctime, so hubfold comes last.
    for program in reversed(found):
        if program.kind != "limit":
            place.once(program)
    yield Task(
        key,
        title,
        found,
        roots,
        rounds=rounds,
        facts={"files": tree["files"]},
        # What rmlint writes to the files that it reads is a change of these for all others.
        backwards=before is not None,
    )


def _once_for_all(change: Callable[[], None]) -> Callable[[Program], Callable[[], None]]:
    """For each program what it does before a run: no more is changed than once between two runs of one program."""
    turns = [0]

    def of(program: Program) -> Callable[[], None]:
        seen = 0

        def before() -> None:
            nonlocal seen
            if seen == turns[0]:
                change()
                turns[0] += 1
            seen = turns[0]

        return before

    return of


def _small_first(place: Place, tree: dict[str, Any]) -> Iterator[Task]:
    yield Task(
        "small-first",
        "First scan of (c), every size shared, so every file is read",
        [
            place.hubfold("scan", "--all-files", "--json", "--min-size", "1", *tree["roots"]),
            *[one for one in programs.finders(tree["roots"], 1) if one.name in ("fclones", "rmlint")],
        ],
        tree["roots"],
        rounds=1,
        states=(WARM,),
        facts={"files": tree["files"]},
    )
    for share in (0.01, 0.1):
        part = place.tree("small", place.factor * share, os.path.join(place.path, "part"))
        name = f"{part['files']:,} files"
        yield Task(
            f"small-first-{part['files']}",
            f"First scan of {name} like those of (c)",
            [place.hubfold("scan", "--all-files", "--json", "--min-size", "1", *part["roots"])],
            part["roots"],
            rounds=3,
            states=(WARM,),
            facts={"files": part["files"]},
        )
        place.remove("part")


# many models


def _ls(place: Place, tree: dict[str, Any]) -> Iterator[Task]:
    yield _listed("ls", place, tree)
    for share in (0.25, 0.5):
        part = place.tree("library", place.factor * share, os.path.join(place.path, "part"))
        yield _listed(f"ls-{part['models']}", place, part)
        place.remove("part")


def _listed(key: str, place: Place, tree: dict[str, Any]) -> Task:
    ls = place.hubfold("ls", "--json", fresh=False)
    shutil.rmtree(ls.env["HUBFOLD_HOME"], ignore_errors=True)
    for arguments in (*(("roots", "add", root) for root in tree["roots"]), ("scan", "-q")):
        place.once(programs.replace(place.hubfold(*arguments, fresh=False), env=ls.env))
    return Task(
        key,
        f"List {tree['models']:,} models beside a plain folder of {tree['files']:,} files",
        [ls, programs.find(tree["roots"])],
        tree["roots"],
        states=(WARM,),
        facts={"models": tree["models"], "files": tree["files"]},
    )


def _files_below(roots: Sequence[str]) -> list[str]:
    found = []
    for root in roots:
        for folder, _, names in os.walk(root):
            paths = (os.path.join(folder, name) for name in names)
            found += [path for path in paths if not os.path.islink(path)]
    return found


def _size(paths: Sequence[str]) -> int:
    return sum(os.path.getsize(path) for path in paths)
