"""How each program is called. Every one is told the same: these folders, nothing under the smallest size, no output.

Where a program is not installed its rows are missing from the table, and the table says so.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

#: Debian's packages, and ``cargo install fclones``.
PEERS = ("fclones", "jdupes", "rmlint", "rdfind", "hardlink", "fdupes", "duperemove")
HUBFOLD = "hubfold"


@dataclass(frozen=True, slots=True)
class Program:
    """One row of a table: what is run, and what is done, unmeasured, before each run."""

    name: str
    argv: Sequence[str]
    before: Callable[[], object] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: str = os.devnull
    accept: tuple[int, ...] = (0,)
    #: Brings the program itself into the page cache, after that was emptied.
    wake: Sequence[str] = ()
    #: ``hubfold``, ``peer`` or ``limit``: what the ratios are made of.
    kind: str = "peer"


def installed(name: str) -> bool:
    return shutil.which(name, path=_path()) is not None


def missing() -> list[str]:
    """Peers that are not installed here."""
    return [name for name in PEERS if not installed(name)]


def _path() -> str:
    cargo = os.path.expanduser("~/.cargo/bin")
    return os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", os.defpath), cargo])


def environment(home: str) -> dict[str, str]:
    """Nothing of the user's is read or written: neither caches nor state."""
    return {
        "PATH": _path(),
        "HOME": home,
        "LC_ALL": "C.UTF-8",
        "HUBFOLD_HOME": os.path.join(home, "hubfold"),
        "HF_HOME": os.path.join(home, "huggingface"),
        "HF_HUB_OFFLINE": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "HF_HUB_DISABLE_UPDATE_CHECK": "1",
        **{
            f"XDG_{kind}_HOME": os.path.join(home, kind.lower())
            for kind in ("CACHE", "CONFIG", "DATA", "STATE")
        },
    }


def hubfold(
    *arguments: str, home: str, name: str = HUBFOLD, before: Callable[[], object] | None = None
) -> Program:
    """hubfold with a state directory of its own."""
    empty = os.path.join(home, "empty")
    os.makedirs(empty, exist_ok=True)
    program = os.path.join(os.path.dirname(sys.executable), "hubfold")
    modules = ", ".join(
        f"hubfold.{name}"
        for name in (
            *("folding.executor", "folding.swapping", "folding.undo", "folding.survey"),
            *("journal.lock", "care.recovery", "care.verify"),
        )
    )
    wake = (
        f"HUBFOLD_HOME={shlex.quote(home)}/wake {program} consolidate --json --dry-run {shlex.quote(empty)}"
        f" && {sys.executable} -c 'import filelock, {modules}'"
    )
    return Program(
        name,
        [program, *arguments],
        before,
        {"HUBFOLD_HOME": os.path.join(home, name.replace(" ", "-"))},
        wake=["sh", "-c", wake],
        kind="hubfold",
    )


def finders(roots: Sequence[str], minimum: int, threads: Sequence[int] = ()) -> list[Program]:
    """The generic programs that find duplicates, changing nothing. `threads`: more rows of fclones, one each."""
    size = str(minimum)
    fclones = ["fclones", "group", "--hidden", "--min", size, "-o", os.devnull, *roots]
    found = [Program("fclones", fclones)]
    found += [Program(f"fclones -t {number}", [*fclones, "-t", str(number)]) for number in threads]
    found += [
        Program("jdupes", ["jdupes", "-r", "-q", "-m", "-X", f"size+=:{size}", *roots]),
        Program("rmlint", ["rmlint", "--hidden", "-T", "df", "--size", size, "-o", "summary:stdout", *roots]),
        Program(
            "rdfind", ["rdfind", "-dryrun", "true", "-makeresultsfile", "false", "-minsize", size, *roots]
        ),
        Program("hardlink", ["hardlink", "-n", "-q", "-c", "-s", size, *roots]),
        Program("fdupes", ["fdupes", "-r", "-q", "-m", "-G", size, *roots]),
    ]
    return [_awake(program) for program in found if installed(program.argv[0])]


def linkers(roots: Sequence[str], minimum: int, before: Callable[[], object]) -> list[Program]:
    """The generic programs that replace duplicates by hard links, as far as their own checks go."""
    size, folders = str(minimum), " ".join(map(shlex.quote, roots))
    group = f"fclones group --hidden --min {size} {folders}"
    found = [
        Program("fclones", ["sh", "-c", f"{group} 2>/dev/null | fclones link 2>/dev/null"], before),
        Program("hardlink", ["hardlink", "-q", "-c", "-s", size, *roots], before),
        Program("jdupes", ["jdupes", "-r", "-q", "-L", "-X", f"size+=:{size}", *roots], before),
        Program(
            "rdfind",
            ["rdfind", "-makehardlinks", "true", "-makeresultsfile", "false", "-minsize", size, *roots],
            before,
        ),
    ]
    return [_awake(program) for program in found if installed(program.name)]


def _awake(program: Program) -> Program:
    tool = program.name.split()[0]
    command = f"{tool} group --help" if tool == "fclones" else f"{tool} --help"
    return replace(program, wake=["sh", "-c", f"{command} >/dev/null 2>&1 || true"])


# the limits of the machine


def find(roots: Sequence[str]) -> Program:
    """Walk and stat, and nothing else."""
    return Program(
        "find -printf",
        ["sh", "-c", f"find {_quoted(roots)} -printf '%i %s %T@ %C@\\n' >/dev/null"],
        kind="limit",
    )


def cat(paths: Sequence[str]) -> Program:
    """Read, and nothing else."""
    return Program("cat", ["sh", "-c", f"cat {_quoted(paths)} >/dev/null"], kind="limit")


def cmp(pairs: Sequence[Sequence[str]], before: Callable[[], object] | None = None) -> Program:
    """Compare each pair, and nothing else."""
    script = " && ".join(f"cmp {_quoted(pair)}" for pair in pairs)
    return Program("cmp", ["sh", "-c", script], before, kind="limit")


def copying(pairs: Sequence[Sequence[str]], folder: str, *, read: bool = False) -> Program:
    """Copy and sync, and nothing else: what an undo cannot go without; on demand `read` the copies once."""
    script = " && ".join(
        f"cp --reflink=never {_quoted([one])} {_quoted([folder])}/{number}"
        for number, (one, _) in enumerate(pairs)
    )
    clean = f"rm -rf {_quoted([folder])} && mkdir -p {_quoted([folder])}"

    def before() -> None:
        os.system(clean)

    script = f"{script} && sync {_quoted([folder])}/*"
    if not read:
        return Program("cp and sync", ["sh", "-c", script], before, kind="limit")
    script = f"{script} && cat {_quoted([folder])}/* >/dev/null"
    return Program("cp, sync and one read", ["sh", "-c", script], before, kind="limit")


def _quoted(paths: Sequence[str]) -> str:
    return " ".join(map(shlex.quote, paths))
