"""Random trees, random sequences of commands and of what their user does meanwhile, random kills and errors.

After every step every path reads its bytes (invariant 2), whatever was struck; at the end, once every run is taken back
and the vaults are emptied, what the user did not touch is as it was: bytes, kind, mode, owner, mtime, xattrs, and which
names are one file. Some files are another user's: none of them is merged with anybody else's unless that is asked for.
Who writes through a link changes all that share the file: `verify` says so, and all the rest is as it was. The plain
run takes a few fixed examples; the slow tier more of them, and some on file systems with shared extents;
``HUBFOLD_TEST_EXAMPLES=N`` hunts through N random ones.
"""

from __future__ import annotations

import os
import random
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import HealthCheck, Phase, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.building import tree

from .filesystems import Mounts
from .striking import KILL, Fault, hubfold

ONE, TWO = "a" * 40, "b" * 40
#: A user who owns some of the files, where root runs the tests.
ANOTHER = 12345
REPOS = ("org/one", "org/two")
#: Caches, copies made by the client, and plain folders; the drive is another file system where there is one.
HUBS = ("place/hf/hub", "place/project/hub", "drive/hub")
COPIES = ("place/models/one", "drive/models/two")
PLAIN = ("place/plain", "drive/plain")
#: Suffixes decide which links a program takes; the rest is what a terminal or a parser may stumble over.
NAMES = (
    "model.safetensors",
    "model.onnx_data",
    "sub/a\nb.gguf",
    "\x1b[31mred\x1b[0m.bin",
    "\u202egnp.exe",
    "caf\udce9 \udcff.safetensors",
    "-y",
)


def contents() -> tuple[bytes, ...]:
    base = tree.model("weights", 9000)
    holed = b"head" + bytes(300_000) + b"tail" + bytes(100_000)
    return (b"", b"x", base, tree.fine_tune(base), tree.model("tokens", 70_000), holed)


CONTENTS = contents()


def write(path: str, data: bytes, mode: int = 0o644, mtime_ns: int = tree.OLD_NS) -> None:
    """A file; what is zero at length is a hole."""
    tree.write(path, data, mode, mtime_ns)
    if data == CONTENTS[5]:
        with open(path, "r+b") as file:
            file.truncate(0)
            file.write(b"head")
            file.seek(300_004)
            file.write(b"tail")
            file.truncate(len(data))
        os.utime(path, ns=(mtime_ns, mtime_ns))


#: Changes of which a fault strikes one of the first; or it strikes any change.
SORTS = (
    "exchange",
    "exchange",
    "os.remove",
    "os.remove",
    "os.rename",
    "os.link",
    "os.symlink",
    "fsync",
    "write",
    "os.chmod",
    "os.utime",
    "statement",
)
#: What hypothesis draws is simple more often than not; a tree or a fault that does nothing finds nothing.
dice = st.integers(0, (1 << 32) - 1).map(random.Random)
picks = st.integers(0, 1 << 16)
Part = tuple[str, str, str, dict[str, int]]


def some_files(dice: random.Random, of: Sequence[int]) -> dict[str, int]:
    return {name: dice.choice(of) for name in dice.sample(NAMES, dice.randint(1, 3))}


def a_tree(dice: random.Random) -> list[Part]:
    """Several places with few contents, so that there are duplicates."""
    of = [*dice.sample(range(2, len(CONTENTS)), 2), *dice.sample(range(len(CONTENTS)), 1)]
    found: list[Part] = []
    for _ in range(dice.randint(3, 6)):
        kind = dice.choice(("cache", "cache", "copy", "plain", "plain"))
        folder = dice.choice({"cache": HUBS, "copy": COPIES, "plain": PLAIN}[kind])
        found.append((kind, folder, dice.choice(REPOS), some_files(dice, of)))
    return found


def a_fault(dice: random.Random) -> Fault | None:
    """Half of the commands are left in peace, or nothing would ever come of them."""
    if dice.random() < 0.5:
        return None
    kind = KILL if dice.random() < 0.6 else dice.randrange(6)
    if dice.random() < 0.7:
        return Fault(dice.randint(1, 4), kind, dice.random() < 0.3, dice.choice(SORTS))
    return Fault(dice.randint(1, 60), kind, dice.random() < 0.3)


parts = dice.map(a_tree)
faults = dice.map(a_fault)
files_of = dice.map(lambda dice: some_files(dice, range(len(CONTENTS))))
numbers = dice.map(lambda dice: dice.randrange(len(CONTENTS)))


@dataclass(eq=False, slots=True)
class File:
    """One inode as the user has it: `names` are one file to them, whatever hubfold makes of them meanwhile."""

    digest: str
    names: set[str]
    #: What it may read too: somebody wrote through a link, and a repair may have put that right.
    others: set[str] = field(default_factory=set)


class AnySequence(RuleBasedStateMachine):
    """`files` is what the user put at each path and sees there; `seen` is how it looked before hubfold came to it."""

    #: Where the trees are made.
    bases: tuple[str, str] = ("/dev/shm", tempfile.gettempdir())

    def __init__(self) -> None:
        super().__init__()
        fast, other = (base if os.access(base, os.W_OK) else None for base in self.bases)
        self.tops = {
            "place": tempfile.mkdtemp(prefix="hubfold-any-", dir=fast),
            "drive": tempfile.mkdtemp(prefix="hubfold-any-", dir=other),
        }
        self.place = self.tops["place"]
        self.env = {**tree.environment(self.place), "HF_HOME": os.path.join(self.place, "hf")}
        self.files: dict[str, File] = {}
        self.seen: dict[str, tree.Seen] = {}
        self.inodes: dict[str, int] = {}
        #: Whose file a path reads.
        self.owners: dict[str, int] = {}
        self.roots: list[str] = []
        #: Paths of which a removal that was cut short may have left nothing, or a crash something.
        self.loose: set[str] = set()
        #: A run was cut short, and nothing has recovered since.
        self.crashed = False
        #: A fault has struck something.
        self.struck = False
        #: Somebody changed a path between crash and recovery: what was there before may lie beside it.
        self.may_leave = False
        #: Files of two owners were merged because that was asked for.
        self.across = False
        #: Paths whose file was given a mode by somebody while others shared it.
        self.any_mode: set[str] = set()
        #: How often somebody wrote through a link.
        self.written = 0
        #: The folders that moves have made, or added to: a move that was cut short may leave a part of the copy.
        self.moved: set[str] = set()
        self.broken = False

    # -- the tree -----------------------------------------------------------------------------------------------

    def at(self, path: str) -> str:
        top, _, rest = path.partition("/")
        return os.path.join(self.tops[top], rest)

    @initialize(
        what=parts,
        odd=st.lists(picks, max_size=3),
        given=st.lists(picks, max_size=3),
        fault=faults,
        link=st.sampled_from(("auto", "hardlink", "symlink")),
    )
    def build(
        self, what: list[Part], odd: list[int], given: list[int], fault: Fault | None, link: str
    ) -> None:
        for kind, folder, repo, names in what:
            note(f"{kind} {folder} {repo} {names}")
            data = {name: CONTENTS[number] for name, number in names.items()}
            path = self.at(folder)
            if kind == "cache":
                self.add_repo(path, repo, data)
            elif kind == "copy":
                for name, content in data.items():
                    if not os.path.lexists(os.path.join(path, name)):
                        tree.local_dir(path, {name: content})
                        write(os.path.join(path, name), content)
            else:
                for name, content in data.items():
                    write(os.path.join(path, name), content)
            if path not in self.roots:
                self.roots.append(path)
        for top in self.tops.values():
            for path in tree.files(top):
                self.adopt(path)
        regular = [path for path in self.paths() if self.owned(path)]
        for number in odd:
            path = regular[number % len(regular)]
            os.chmod(path, (0o640, 0o600, 0o444)[number % 3])
            tree.mark(path)
            os.utime(path, ns=(tree.OLD_NS, tree.OLD_NS - 5_000_000_007))
            self.look_again(path)
        for number in given if os.geteuid() == 0 else ():
            path = regular[number % len(regular)]
            note(f"another user's: {path!r}")
            os.chown(path, ANOTHER, ANOTHER)
            self.look_again(path)
        self.owners = {path: os.stat(path).st_uid for path in self.files}
        for root in self.roots:
            self.run("roots", "add", root)
        self.consolidate(fault, link, None, False)

    def add_repo(self, hub: str, repo: str, data: Mapping[str, bytes]) -> None:
        """A repo as the client writes it; what is there of it stays, as it does for the client."""
        folder = os.path.join(hub, "models--" + repo.replace("/", "--"))
        new = {
            name: content
            for name, content in data.items()
            if not os.path.lexists(os.path.join(folder, "snapshots", ONE, name))
        }
        blobs = tree.cache(hub, repo, new, ONE)
        for name, content in new.items():
            if not tree.xattr_names(blobs[name]) and blobs[name] not in self.files:
                write(blobs[name], content)

    def adopt(self, path: str) -> None:
        """Take down what the user has at a path."""
        self.seen[path] = tree.look(path)
        self.inodes[path] = os.lstat(path).st_ino
        self.owners[path] = os.stat(path).st_uid
        st_ = os.lstat(path)
        for other in self.files.values():
            if any(os.path.samestat(os.lstat(name), st_) for name in other.names if os.path.lexists(name)):
                break
        else:
            other = File(self.seen[path].digest, set())
        other.names.add(path)
        self.files[path] = other

    def forget(self, path: str) -> None:
        self.files[path].names.discard(path)
        del self.files[path], self.seen[path], self.owners[path]
        self.any_mode.discard(path)
        self.loose.discard(path)

    def look_again(self, path: str) -> None:
        for name in self.files[path].names:
            self.seen[name] = tree.look(name)

    def paths(self) -> list[str]:
        return sorted(self.files)

    def owned(self, path: str) -> bool:
        """Whether a write to the path reaches the user's own names of it, and nobody else."""
        try:
            here = os.lstat(path)
        except OSError:
            return False
        names = self.files[path].names
        return (
            stat.S_ISREG(here.st_mode)
            and here.st_nlink == len(names)
            and all(os.path.lexists(name) and os.path.samestat(os.lstat(name), here) for name in names)
        )

    def users(self) -> list[str]:
        """Paths that a user changes by hand: not those inside caches, which are their clients'."""
        return [
            path
            for path in self.paths()
            if "/hub/" not in path and "/.cache/" not in path and os.path.lexists(path)
        ]

    # -- commands -----------------------------------------------------------------------------------------------

    def run(self, *argv: str, fault: Fault | None = None, good: tuple[int, ...] = (0, 3)) -> bool:
        """Whether the command did its work in peace."""
        note(f"hubfold {argv} {fault or ''}")
        struck = hubfold(self.env, *argv, fault=fault)
        ran = struck.ran
        note(f"  -> {ran.returncode} {ran.stdout.strip()[-300:]!r} {ran.stderr.strip()[-600:]!r}")
        if "Traceback" in ran.stderr or "unexpected" in ran.stderr:
            self.fail(f"{ran}")
        hit = fault is not None and (struck.killed or struck.changes >= fault.number)
        # After an error too: what could not be taken back waits for recovery.
        self.crashed |= hit
        self.struck |= hit
        if not struck.killed and ran.returncode not in ((*good, 1, 3) if hit else good):
            self.fail(f"{ran} {fault or ''}")
        return not hit and ran.returncode in (0, 3)

    def fail(self, what: str) -> None:
        self.broken = True
        raise AssertionError(what)

    @rule(fault=faults)
    def scan(self, fault: Fault | None) -> None:
        before = self.crashed
        self.run("scan", *self.roots, "--min-size", "1", fault=fault)
        self.crashed = before

    @rule(fault=faults)
    def consolidate_again(self, fault: Fault | None) -> None:
        self.consolidate(fault, "auto", None, False)

    @rule(fault=faults)
    def take_back(self, fault: Fault | None) -> None:
        self.undo(fault, None)

    @rule(
        fault=faults,
        link=st.sampled_from(("auto", "auto", "hardlink", "symlink")),
        into=st.none() | st.sampled_from(HUBS),
        across=st.booleans(),
    )
    def consolidate(self, fault: Fault | None, link: str, into: str | None, across: bool) -> None:
        chosen = ("--into", self.at(into)) if into is not None and self.at(into) in self.roots else ()
        flags = ("--across-owners",) if across else ()
        self.across |= across
        options = ("--min-size", "1", "--link", link, *chosen, *flags)
        self.run("consolidate", *self.roots, *options, "-y", fault=fault)
        # With nothing to replace it has no reason to recover.

    @rule(fault=faults, pick=st.none() | picks)
    def undo(self, fault: Fault | None, pick: int | None) -> None:
        which: tuple[str, ...] = ()
        if pick is not None:
            runs = [run["run"] for run in hubfold(self.env, "runs", "--json").ran.json["runs"]]
            if not runs:
                return
            which = (runs[pick % len(runs)],)
        if self.run("undo", *which, "-y", fault=fault, good=(0, 1, 3)):
            self.crashed = False

    @rule(fault=faults)
    def gc(self, fault: Fault | None) -> None:
        self.run("gc", "-y", fault=fault)

    @rule(fault=faults)
    def recover(self, fault: Fault | None) -> None:
        if self.run("recover", fault=fault):
            self.crashed = False

    @rule(fault=faults)
    def verify(self, fault: Fault | None) -> None:
        before = self.crashed
        self.run("verify", fault=fault)
        self.crashed = before

    @rule(fault=faults)
    def doctor(self, fault: Fault | None) -> None:
        self.run("doctor", "--fix", "-y", fault=fault)

    @rule(fault=faults)
    def farm(self, fault: Fault | None) -> None:
        self.run("farm", os.path.join(self.place, "farm"), "-y", fault=fault)

    @rule(fault=faults, repo=st.sampled_from(REPOS))
    def rm(self, fault: Fault | None, repo: str) -> None:
        named = [path for path in self.paths() if f"/models--{repo.replace('/', '--')}/" in path]
        self.run("rm", repo, "-y", fault=fault, good=(0, 1, 3))
        self.removed(named)

    @rule(fault=faults, repo=st.sampled_from(REPOS), hub=st.sampled_from(HUBS))
    def move(self, fault: Fault | None, repo: str, hub: str) -> None:
        """To another cache, maybe on the other drive; of a model that several caches have nobody knows which."""
        self.moved.add(os.path.join(self.at(hub), "models--" + repo.replace("/", "--")))
        self.run("move", repo, "--to", self.at(hub), "--min-size", "1", "-y", fault=fault, good=(0, 1, 2, 3))

    @rule(fault=faults, repo=st.sampled_from(REPOS))
    def recall(self, fault: Fault | None, repo: str) -> None:
        self.run("recall", repo, "-y", fault=fault, good=(0, 1, 3))

    @rule(
        fault=faults,
        copy=st.sampled_from((*COPIES, *PLAIN)),
        repo=st.sampled_from(REPOS),
        hub=st.sampled_from(HUBS),
    )
    def adopt_a_folder(self, fault: Fault | None, copy: str, repo: str, hub: str) -> None:
        """Into a cache, which may have another file by that name: then it is refused."""
        if not os.path.isdir(self.at(copy)):
            return
        self.moved.add(os.path.join(self.at(hub), "models--" + repo.replace("/", "--")))
        asked = ("--repo", repo, "--revision", ONE, "--into", self.at(hub))
        self.run("adopt", self.at(copy), *asked, "-y", fault=fault, good=(0, 1, 3))

    @rule(
        fault=faults,
        old=st.sampled_from(HUBS),
        new=st.sampled_from(HUBS),
        how=st.sampled_from(("leave", "link", "move")),
    )
    def migrate(self, fault: Fault | None, old: str, new: str, how: str) -> None:
        if old == new or not os.path.isdir(self.at(old)):
            return
        self.moved |= {os.path.join(self.at(new), "models--" + repo.replace("/", "--")) for repo in REPOS}
        named = (
            [path for path in self.paths() if path.startswith(self.at(old) + "/")] if how == "move" else []
        )
        options = ("--how", how, "-y")
        # 2: what an earlier one that was cut short left of a new cache is none yet.
        self.run("migrate", self.at(old), self.at(new), *options, fault=fault, good=(0, 1, 2, 3))
        self.removed(named)

    @rule(fault=faults)
    def clean(self, fault: Fault | None) -> None:
        self.run("clean", "--older-than", "0", "-y", fault=fault)
        # What a removal that was cut short left of a model, and that no revision uses.
        self.removed([path for path in self.paths() if path in self.loose])

    def removed(self, named: list[str]) -> None:
        for path in named:
            if os.path.lexists(path):
                self.loose.add(path)
            else:
                self.forget(path)

    # -- what the user does meanwhile ------------------------------------------------------------------------------

    @rule(pick=picks, number=numbers)
    def save_anew(self, pick: int, number: int) -> None:
        """A new file in the place of another, as most editors save."""
        if not (users := self.users()):
            return
        path = users[pick % len(users)]
        note(f"saved anew: {path!r} as {number}")
        self.forget(path)
        # Now: with a time before its download, a file beside a client's note is what the note says, to the client too.
        write(path + ".new", CONTENTS[number], mtime_ns=time.time_ns())
        os.replace(path + ".new", path)
        self.adopt(path)
        self.may_leave |= self.crashed

    @rule(pick=picks)
    def write_in_place(self, pick: int) -> None:
        """Into files that nothing of hubfold's shares (SAFETY.md: not promised otherwise)."""
        users = [path for path in self.users() if self.owned(path)]
        if not users:
            return
        path = users[pick % len(users)]
        note(f"written in place: {path!r}")
        with open(path, "ab") as file:
            file.write(b"more")
        self.files[path].digest = tree.digest(path)
        for name in self.files[path].names:
            # A file that was kept may be read-only still, which is none of the user's doing.
            self.seen[name] = replace(tree.look(name), mode=self.seen[name].mode)
        self.may_leave |= self.crashed

    @rule(pick=picks)
    def write_through_a_link(self, pick: int) -> None:
        """As a program does that opens a folded path for writing: it is the file of all who share it."""
        folded = [path for path in self.users() if not self.owned(path) and os.path.getsize(path) > 2]
        if not folded:
            return
        path = folded[pick % len(folded)]
        note(f"written through: {path!r}")
        here = os.stat(path)
        sharing = [
            name for name in self.files if os.path.exists(name) and os.path.samestat(os.stat(name), here)
        ]
        self.written += 1
        with open(path, "r+b") as file:
            file.seek(here.st_size // 2)
            file.write(b"%d" % (self.written % 10))
        now = tree.digest(path)
        for name in sharing:
            self.files[name].others |= {self.files[name].digest, now}
        told = hubfold(self.env, "verify", "--restart", "--json").ran
        note(f"  -> verify: {told.stdout[-600:]!r}")
        problems = {problem["path"] for problem in told.json["problems"]}
        if not self.struck and not any(
            os.path.exists(name) and os.path.samestat(os.stat(name), here) for name in problems
        ):
            self.fail(f"verify says nothing about {path!r}")

    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        if not (users := self.users()):
            return
        path = users[pick % len(users)]
        note(f"deleted: {path!r}")
        os.unlink(path)
        self.may_leave |= self.crashed
        if self.crashed:
            self.loose.add(path)  # a loss is mended sooner than a deletion is believed
        else:
            self.forget(path)

    @rule(pick=picks, to=st.sampled_from(PLAIN), name=st.sampled_from(NAMES))
    def copy(self, pick: int, to: str, name: str) -> None:
        if not self.files:
            return
        source, target = self.paths()[pick % len(self.files)], os.path.join(self.at(to), name)
        if os.path.lexists(target) or target in self.files or not os.path.exists(source):
            return
        note(f"copied: {source!r} to {target!r}")
        with open(source, "rb") as file:
            write(target, file.read(), 0o664)
        self.adopt(target)
        if self.at(to) not in self.roots:
            self.roots.append(self.at(to))

    @rule(pick=picks, to=st.sampled_from(PLAIN), name=st.sampled_from(NAMES))
    def hard_link(self, pick: int, to: str, name: str) -> None:
        target = os.path.join(self.at(to), name)
        # Of a file as it was put there: a new name of a kept file is no name of what undo puts back.
        users = [
            path
            for path in self.paths()
            if self.owned(path) and os.lstat(path).st_ino == self.inodes.get(path)
        ]
        if not users or os.path.lexists(target) or target in self.files:
            return
        source = users[pick % len(users)]
        os.makedirs(os.path.dirname(target), exist_ok=True)
        try:
            os.link(source, target)
        except OSError:
            return  # another file system
        note(f"hard link: {source!r} to {target!r}")
        self.adopt(target)
        if self.at(to) not in self.roots:
            self.roots.append(self.at(to))

    @rule(pick=picks, mode=st.sampled_from((0o644, 0o600, 0o444)))
    def change_mode_and_time(self, pick: int, mode: int) -> None:
        # Of a file as it was put there: what a link shows of another's mode is not what undo goes by.
        owned = [
            path
            for path in self.users()
            if self.owned(path) and os.lstat(path).st_ino == self.inodes.get(path)
        ]
        if not owned:
            return
        path = owned[pick % len(owned)]
        note(f"mode and time: {path!r}")
        os.chmod(path, mode)
        os.utime(path, ns=(tree.OLD_NS, tree.OLD_NS + pick))
        self.look_again(path)

    @rule(pick=picks, mode=st.sampled_from((0o755, 0o600, 0o640)))
    def change_mode_of_a_folded_file(self, pick: int, mode: int) -> None:
        """It is the mode of all that share it; which of them keep it is for `test_users_changes.py` to say."""
        folded = [path for path in self.users() if not self.owned(path)]
        if not folded:
            return
        path = folded[pick % len(folded)]
        note(f"mode of a folded file: {path!r}")
        here = os.stat(path)
        os.chmod(path, mode)
        self.any_mode |= {
            name for name in self.files if os.path.exists(name) and os.path.samestat(os.stat(name), here)
        }

    @rule(pick=picks)
    def delete_repo(self, pick: int) -> None:
        """As clients do: the whole folder, no lock taken, whatever links there are."""
        repos = sorted({path.partition("/blobs/")[0] for path in self.paths() if "/blobs/" in path})
        if not repos:
            return
        repo = repos[pick % len(repos)]
        note(f"repo deleted: {repo!r}")
        shutil.rmtree(repo)
        self.may_leave |= self.crashed
        for path in self.paths():
            if path.startswith(repo + "/"):
                self.forget(path)

    @rule(hub=st.sampled_from(HUBS), repo=st.sampled_from(REPOS), names=files_of)
    def download(self, hub: str, repo: str, names: dict[str, int]) -> None:
        path = self.at(hub)
        folder = os.path.join(path, "models--" + repo.replace("/", "--")) + "/"
        if any(name.startswith(folder) for name in (*self.files, *self.loose)):
            return
        note(f"downloaded: {repo} to {hub} {names}")
        shutil.rmtree(folder, ignore_errors=True)
        self.add_repo(path, repo, {name: CONTENTS[number] for name, number in names.items()})
        for found in tree.files(path):
            if found.startswith(folder):
                self.adopt(found)
        if path not in self.roots:
            self.roots.append(path)

    # -- what must hold -------------------------------------------------------------------------------------------

    @invariant()
    def every_path_reads_its_bytes(self) -> None:
        if self.broken:
            return
        for path, file in self.files.items():
            try:
                now = tree.digest(path)
            except OSError as error:
                if path in self.loose and not os.path.exists(path):
                    continue
                self.fail(f"{path!r} cannot be read: {error.strerror}")
            if now != file.digest and now not in file.others:
                self.fail(f"{path!r} reads other bytes")
            if not self.across and os.geteuid() == 0 and os.stat(path).st_uid != self.owners[path]:
                self.fail(f"{path!r} reads the file of another owner")
        for path in tree.files(os.path.join(self.place, "farm")):
            if not os.path.exists(path):
                self.fail(f"{path!r} of the farm leads nowhere")
        for path in self.copies():
            if not self.written and tree.digest(path) != os.path.basename(path):
                self.fail(f"{path!r}, which a move has made, is not what its name says")

    def copies(self) -> list[str]:
        """The blobs that moves have made."""
        found = [path for folder in self.moved for path in tree.files(os.path.join(folder, "blobs"))]
        return [path for path in found if path not in self.files and len(os.path.basename(path)) == 64]

    def teardown(self) -> None:
        try:
            if self.files and not self.broken:
                self.whole_again()
        finally:
            for top in self.tops.values():
                shutil.rmtree(top, ignore_errors=True)

    def whole_again(self) -> None:
        self.run("recover", good=(0, 3) if self.may_leave else (0,))
        for _ in range(20):
            if not self.run("undo", "-y", good=(0, 1)):
                break
        else:
            self.fail("runs are left after twenty undos")
        self.run("gc", "-y", good=(0,))
        self.every_path_reads_its_bytes()
        if found := [*self.differences(), *self.leftovers()]:
            self.fail("after all was taken back:\n" + "\n".join(found))

    def differences(self) -> Iterator[str]:
        inodes: dict[tuple[int, int], File] = {}
        for path, file in self.files.items():
            if path in self.loose or file.others:
                continue
            was, now = self.seen[path], tree.look(path)
            # An ACL has the bits of the mode in it.
            skipped = ("mode", "xattrs") if path in self.any_mode else ()
            for name in tree.Seen.__slots__:
                if name not in skipped and getattr(was, name) != getattr(now, name):
                    yield f"{path!r}: {name} was {getattr(was, name)} and is {getattr(now, name)}"
            here = os.lstat(path)
            if inodes.setdefault((here.st_dev, here.st_ino), file) is not file:
                yield f"{path!r} shares its file with another"
            for other in file.names - self.loose:
                if not os.path.samestat(os.lstat(other), here):
                    yield f"{path!r} and {other!r} were one file"

    def leftovers(self) -> Iterator[str]:
        for top in self.tops.values():
            for left in tree.leftovers(self.files, top, vaults=False):
                # The marker of a farm, or the lock of a vault, that nothing came of is in nobody's way.
                nothing = left.startswith("farm/.hubfold-farm ") or "hubfold/.lock " in left
                # A link that somebody wrote through stays, and so does what it reads or what a repair took away.
                of_vault = self.written and "hubfold/" in left
                ours = self.may_leave and ".hubfold-" in left
                if any(os.path.join(top, left).startswith(folder + "/") for folder in self.moved):
                    continue
                if not ((self.struck and nothing) or ours or of_vault):
                    yield left


HUNT = int(os.environ.get("HUBFOLD_TEST_EXAMPLES", "0"))


@pytest.mark.parametrize(
    "examples", [pytest.param(2, id="few"), pytest.param(20, id="many", marks=pytest.mark.slow)]
)
def test_no_sequence_loses_a_byte(examples: int) -> None:
    hunt(AnySequence, examples)


@pytest.mark.slow
@pytest.mark.parametrize("disk", ["xfs", "btrfs"])
def test_no_sequence_loses_a_byte_where_extents_are_shared(mounts: Mounts, disk: str) -> None:
    """All on one file system that has them, so that the runs are mostly of that kind."""
    place = mounts.image(disk).path

    class Shared(AnySequence):
        bases = (place, place)

    hunt(Shared, 3)


def hunt(machine: type[AnySequence], examples: int) -> None:
    chosen = settings(
        max_examples=HUNT or examples,
        stateful_step_count=12,
        derandomize=not HUNT,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        # Each example takes seconds, so a smaller one is not worth the minutes that it takes to find it.
        phases=[Phase.explicit, Phase.generate],
        report_multiple_bugs=False,
    )
    run_state_machine_as_test(machine, settings=chosen)  # type: ignore[no-untyped-call]
