"""Two machines on one share, in random order: two mount namespaces with their own home, state, machine id and mounts.

They fold, remove, collect, clean, mend, recover and undo, some commands killed in the middle; the cache moves; the
share is away, or mounted elsewhere, on one of them; a machine is lost for good, another comes, and the lost one is
given up. After every step the bytes of each path that its user did not delete are there in full, somewhere; at the
end, when all is where it was, each path reads them, and still does when all is taken back.

``HUBFOLD_TEST_EXAMPLES=N`` goes through N random sequences, ``HUBFOLD_TEST_MINUTES=M`` hunts for so long with longer
ones; ``HUBFOLD_TEST_SEED=K`` is where the seeds begin.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from hubfold.content import TEMPORARY_PREFIX
from tests.building import tree

from .filesystems import Mounted, Mounts, need, need_root
from .namespaces import Namespace
from .striking import Fault, hubfold

pytestmark = pytest.mark.slow

SEQUENCES = int(os.environ.get("HUBFOLD_TEST_EXAMPLES", "8"))
FIRST = int(os.environ.get("HUBFOLD_TEST_SEED", "0"))
MINUTES = float(os.environ.get("HUBFOLD_TEST_MINUTES", "0"))
STEPS = 12
MODELS = [tree.model(f"weights-{number}", tree.MIB + 4096 * number) for number in range(1, 4)]
NAMES = [hashlib.sha256(data).hexdigest() for data in MODELS]
REPOS = [f"org/model-{number}" for number in range(3)]
#: A struck command is killed at one of so many changes, rather at an early one; one that makes fewer is not.
CHANGES = 120


class Machine:
    """Who sees the share at `at`, "" for away."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self.namespace = Namespace(name, world.home, f"{world.dice.getrandbits(128):032x}")
        self.at = world.share.path
        #: What each path of this machine has to read.
        self.wants: dict[str, int] = {}
        os.mkdir(self.namespace.seen(f"{world.home}/models"))

    def env(self) -> dict[str, str]:
        own = tree.environment(str(self.world.base / self.name))
        return {**own, "HOME": self.world.home, "HF_HOME": os.path.join(self.at, self.world.cache)}

    def hubfold(self, *argv: str, struck: bool = False) -> str:
        fault = Fault(1 + int(CHANGES * self.world.dice.random() ** 2)) if struck else None
        done = hubfold(self.env(), *argv, fault=fault, inside=self.namespace.pid)
        if struck and done.killed:
            self.world.log.append(f"  killed: {fault}")
            self.world.killed += 1
            return ""
        ran = done.ran
        assert ran.returncode in (0, 1, 3) and "Traceback" not in ran.stderr, (self.name, ran, self.world.log)
        return ran.stdout + ran.stderr

    def mount(self, at: str) -> None:
        """Mount the share there and nowhere else; "" for away."""
        if self.at == at:
            return
        if self.at:
            self.namespace.run("umount", self.at)
        if at:
            self.namespace.run("mount", str(self.world.share.device), at)
        self.at = at

    def reads(self, path: str) -> bytes:
        try:
            return Path(self.namespace.followed(path)).read_bytes()
        except OSError:
            return b""


class World:
    """The share, which the host always sees, two machines, and what was done."""

    def __init__(self, mounts: Mounts, base: Path, dice: random.Random) -> None:
        self.base, self.dice = base, dice
        base.mkdir(exist_ok=True)
        self.share: Mounted = mounts.image("ext4")
        self.elsewhere = mounts.place("elsewhere")
        self.home = mounts.place("home")
        self.cache = "hf"
        self.log: list[str] = []
        self.done: Counter[str] = Counter()
        self.killed = 0
        #: Machines that are gone for good.
        self.lost: list[str] = []
        for number in range(3):
            self.download(number)
        self.machines: list[Machine] = []
        for name in ("anna", "ben"):
            self.comes(name)

    def comes(self, name: str) -> None:
        machine = Machine(self, name)
        self.machines.append(machine)
        for number in self.dice.sample(range(3), 2):
            self.copy(machine, number)

    def close(self) -> None:
        for machine in self.machines:
            machine.namespace.close()

    def download(self, number: int) -> None:
        hub = os.path.join(self.share.path, self.cache, "hub")
        if not os.path.exists(os.path.join(hub, "models--" + REPOS[number].replace("/", "--"))):
            tree.cache(hub, REPOS[number], {"m.safetensors": MODELS[number]})

    def copy(self, machine: Machine, number: int) -> None:
        path = f"{self.home}/models/{number}-{len(self.log)}.safetensors"
        tree.write(machine.namespace.seen(path), MODELS[number])
        machine.wants[path] = number

    # -- steps --------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        machine = self.dice.choice(self.machines)
        number = self.dice.randrange(3)
        struck = self.dice.random() < 0.25

        def run(*argv: str) -> Callable[[], object]:
            return lambda: machine.hubfold(*argv, struck=struck)

        steps: list[tuple[int, str, Callable[[], object]]] = [
            (6, "fold", lambda: self.fold(machine, struck)),
            (4, "gc", run("gc", "-y")),
            (3, "undo", run("undo", "-y")),
            (3, "rm", run("rm", REPOS[number], "-y")),
            (1, "rm with links", lambda: self.rm_with_links(machine, number, struck)),
            (2, "clean", run("clean", "-y", "--older-than", "0")),
            (3, "doctor", run("doctor", "--fix", "-y")),
            (2, "recover", run("recover")),
            (1, "verify", run("verify")),
            (2, "client deletes", lambda: self.client_deletes(number)),
            (2, "download", lambda: self.download(number)),
            (3, "copy", lambda: self.copy(machine, number)),
            (1, "user deletes", lambda: self.user_deletes(machine)),
            (3, "move", self.move),
            (3, "away", lambda: machine.mount("")),
            (2, "elsewhere", lambda: machine.mount(self.elsewhere)),
            (5, "back", lambda: machine.mount(self.share.path)),
            (1, "lost for good", lambda: self.lose(machine)),
            (2 if self.lost else 0, "forget", lambda: self.forget(machine, struck)),
        ]
        weights = [weight for weight, _, _ in steps]
        _, name, do = self.dice.choices(steps, weights)[0]
        self.log.append(f"{machine.name}: {name} {number}")
        self.done[name] += 1
        do()
        self.judge()

    def fold(self, machine: Machine, struck: bool) -> None:
        roots = [f"{self.home}/models"]
        if machine.at and os.path.isdir(os.path.join(self.share.path, self.cache, "hub")):
            roots.append(os.path.join(machine.at, self.cache, "hub"))
        machine.hubfold("consolidate", *roots, "--link", "symlink", "-y", struck=struck)

    def rm_with_links(self, machine: Machine, number: int, struck: bool) -> None:
        """What a user asks to be removed with it is nothing that he wants any more: his links, and nobody else's."""
        machine.hubfold("rm", REPOS[number], "--with-links", "-y", struck=struck)
        for path, wanted in list(machine.wants.items()):
            if wanted == number and not os.path.lexists(machine.namespace.seen(path)):
                del machine.wants[path]

    def client_deletes(self, number: int) -> None:
        name = "models--" + REPOS[number].replace("/", "--")
        shutil.rmtree(os.path.join(self.share.path, self.cache, "hub", name), ignore_errors=True)

    def user_deletes(self, machine: Machine) -> None:
        if machine.wants:
            path = self.dice.choice(sorted(machine.wants))
            del machine.wants[path]
            os.unlink(machine.namespace.seen(path))

    def move(self) -> None:
        new = "hf" if self.cache != "hf" else "moved/hf"
        os.makedirs(os.path.join(self.share.path, os.path.dirname(new)), exist_ok=True)
        os.rename(os.path.join(self.share.path, self.cache), os.path.join(self.share.path, new))
        self.cache = new

    def lose(self, machine: Machine) -> None:
        """Its disk is gone with all that it had; a new machine comes in its place."""
        machine.namespace.close()
        self.machines.remove(machine)
        self.lost.append(machine.name)
        self.comes(f"{machine.name.rstrip('0123456789')}{len(self.log)}")

    def forget(self, machine: Machine, struck: bool) -> None:
        """Only a machine that is gone for good is given up."""
        machine.hubfold("gc", "--forget-machine", self.dice.choice(self.lost), "-y", struck=struck)

    # -- what has to hold -----------------------------------------------------------------------------------------

    def judge(self) -> None:
        shared = digests(self.share.path)
        for machine in self.machines:
            own = digests(machine.namespace.seen(self.home))
            for path, number in machine.wants.items():
                assert NAMES[number] in shared | own, (machine.name, path, self.log)

    def end(self) -> None:
        """All is where it was: each path reads its bytes, as a link and when it was taken back."""
        for machine in self.machines:
            machine.mount(self.share.path)
        for machine in self.machines:
            told = machine.hubfold("scan") + machine.hubfold("doctor", "--fix", "-y")
            self.all_read(machine, told)
        for machine in self.machines:
            told = ""
            for _ in self.log:  # no step makes two runs
                told += machine.hubfold("undo", "-y")
                if "no run to take back" in told:
                    break
            machine.hubfold("gc", "-y")
            self.all_read(machine, told)
        for machine in self.machines:
            self.all_read(machine, "after gc on the other machine")
            links = [path for path in machine.wants if os.path.islink(machine.namespace.seen(path))]
            assert links == [], (machine.name, self.log)
            strangers = [
                name
                for name in os.listdir(machine.namespace.seen(f"{self.home}/models"))
                if name.startswith(TEMPORARY_PREFIX)
            ]
            assert strangers == [], (machine.name, self.log)

    def all_read(self, machine: Machine, told: str) -> None:
        for path, number in machine.wants.items():
            assert machine.reads(path) == MODELS[number], (machine.name, path, told, self.log)


def digests(folder: str) -> set[str]:
    """Of every regular file below a folder."""
    found = set()
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink() and path.stat().st_size > tree.MIB:
                found.add(hashlib.sha256(path.read_bytes()).hexdigest())
    return found


def gone_through(base: Path, seed: int, steps: int) -> World:
    """One sequence, and what it came to."""
    with Mounts(base / "mounts") as mounts:
        world = World(mounts, base, random.Random(seed))
        try:
            for _ in range(steps):
                world.step()
            world.end()
        except BaseException:
            print(f"seed {seed}, {steps} steps:", *world.log, sep="\n  ")
            raise
        finally:
            world.close()
    return world


@pytest.mark.parametrize("seed", range(FIRST, FIRST + SEQUENCES))
def test_two_machines_in_any_order(tmp_path: Path, seed: int) -> None:
    need_root()
    need("unshare", "nsenter")
    gone_through(tmp_path, seed, STEPS)


@pytest.mark.skipif(not MINUTES, reason="HUBFOLD_TEST_MINUTES says for how long to hunt")
def test_two_machines_for_as_long_as_asked(tmp_path: Path) -> None:
    """With `-s` it prints the figures."""
    need_root()
    need("unshare", "nsenter")
    done: Counter[str] = Counter()
    sequences = killed = 0
    wrong: list[str] = []
    until = time.monotonic() + MINUTES * 60
    while time.monotonic() < until and len(wrong) < 5:
        seed = FIRST + sequences
        base = tmp_path / str(seed)
        base.mkdir()
        try:
            world = gone_through(base, seed, random.Random(seed).randrange(8, 40))
            done += world.done
            killed += world.killed
        except AssertionError as error:
            wrong.append(f"seed {seed}: {str(error)[:3000]}")
        shutil.rmtree(base, ignore_errors=True)
        sequences += 1
    print(f"\n{sequences} sequences, seeds {FIRST} to {FIRST + sequences - 1}, {sum(done.values())} steps")
    print(f"{killed} commands killed; {dict(done.most_common())}")
    assert not wrong, "\n\n".join(wrong)
