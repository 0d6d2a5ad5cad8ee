"""Two machines on one share, in random order: two mount namespaces with their own home, state, machine id and mounts.

They fold, remove, collect, clean, mend and undo; the cache moves; the share is away, or mounted elsewhere, on one of
them. After every step the bytes of each path that its user did not delete are there in full, somewhere; at the end,
when all is where it was, each path reads them, and when all is taken back it is a file of its own that does.
``HUBFOLD_TEST_EXAMPLES=N`` goes through N random sequences.
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.building import tree

from .filesystems import Mounted, Mounts, need, need_root

pytestmark = pytest.mark.slow

SEQUENCES = int(os.environ.get("HUBFOLD_TEST_EXAMPLES", "4"))
STEPS = 12
MODELS = [tree.model(f"weights-{number}", tree.MIB + 4096 * number) for number in range(1, 4)]
NAMES = [hashlib.sha256(data).hexdigest() for data in MODELS]
REPOS = [f"org/model-{number}" for number in range(3)]

_SET_UP = """
echo "$1" >/proc/sys/kernel/hostname; mount -t tmpfs -o size=64m none "$2"; mkdir "$2/models"
echo "$3" >"$2/.id"; for file in /etc/machine-id /proc/sys/kernel/random/boot_id; do mount --bind "$2/.id" "$file"; done
echo ready; exec sleep infinity
"""


class Machine:
    """A mount namespace of its own, for as long as its process lives."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        command = ["unshare", "-mu", "--propagation", "private", "bash", "-c", _SET_UP, "b", name, world.home]
        self.process = subprocess.Popen([*command, uuid.uuid4().hex], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None and self.process.stdout.readline() == "ready\n"
        self.at = world.share.path
        #: What each path of this machine has to read.
        self.wants: dict[str, int] = {}

    def __call__(self, *argv: str) -> subprocess.CompletedProcess[str]:
        command = ["nsenter", "-t", str(self.process.pid), "-m", "-u", *argv]
        return subprocess.run(command, env=self.env(), cwd="/", capture_output=True, text=True, check=False)

    def env(self) -> dict[str, str]:
        own = tree.environment(str(self.world.base / self.name))
        return {
            **os.environ,
            **own,
            "HOME": self.world.home,
            "HF_HOME": os.path.join(self.at, self.world.cache),
        }

    def hubfold(self, *argv: str) -> str:
        done = self(sys.executable, "-m", "hubfold", *argv)
        assert done.returncode in (0, 1, 3) and "Traceback" not in done.stderr, (self.name, argv, done)
        return done.stdout + done.stderr

    def seen(self, path: str) -> Path:
        """A path of this machine, as it is reached from outside."""
        return Path(f"/proc/{self.process.pid}/root{path}")

    def mount(self, at: str) -> None:
        """Mount the share there and nowhere else; "" for away."""
        if self.at:
            assert self("umount", self.at).returncode == 0
        if at:
            assert self("mount", str(self.world.share.device), at).returncode == 0
        self.at = at

    def reads(self, path: str) -> bytes:
        """Followed inside: an absolute link means the machine's own path."""
        done = subprocess.run(
            ["nsenter", "-t", str(self.process.pid), "-m", "cat", path], capture_output=True, check=False
        )
        return done.stdout

    def close(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class World:
    """The share, which the host always sees, two machines, and what was done."""

    def __init__(self, mounts: Mounts, base: Path, dice: random.Random) -> None:
        self.base, self.dice = base, dice
        self.share: Mounted = mounts.image("ext4")
        self.elsewhere = mounts.place("elsewhere")
        self.home = mounts.place("home")
        self.cache = "hf"
        self.log: list[str] = []
        for number in range(3):
            self.download(number)
        self.machines = [Machine(self, name) for name in ("anna", "ben")]
        for machine in self.machines:
            for number in dice.sample(range(3), 2):
                self.copy(machine, number)

    def download(self, number: int) -> None:
        hub = os.path.join(self.share.path, self.cache, "hub")
        if not os.path.exists(os.path.join(hub, "models--" + REPOS[number].replace("/", "--"))):
            tree.cache(hub, REPOS[number], {"m.safetensors": MODELS[number]})

    def copy(self, machine: Machine, number: int) -> None:
        path = f"{self.home}/models/{number}-{len(self.log)}.safetensors"
        tree.write(str(machine.seen(path)), MODELS[number])
        machine.wants[path] = number

    # -- steps --------------------------------------------------------------------------------------------------------

    def step(self) -> None:
        machine = self.dice.choice(self.machines)
        number = self.dice.randrange(3)
        steps: list[tuple[int, str, Callable[[], object]]] = [
            (4, "fold", lambda: self.fold(machine)),
            (3, "gc", lambda: machine.hubfold("gc", "-y")),
            (2, "undo", lambda: machine.hubfold("undo", "-y")),
            (2, "rm", lambda: machine.hubfold("rm", REPOS[number], "-y")),
            (1, "clean", lambda: machine.hubfold("clean", "-y", "--older-than", "0")),
            (2, "doctor", lambda: machine.hubfold("doctor", "--fix", "-y")),
            (1, "verify", lambda: machine.hubfold("verify")),
            (2, "client deletes", lambda: self.client_deletes(number)),
            (1, "download", lambda: self.download(number)),
            (2, "copy", lambda: self.copy(machine, number)),
            (1, "user deletes", lambda: self.user_deletes(machine)),
            (2, "move", self.move),
            (2, "away", lambda: machine.mount("")),
            (1, "elsewhere", lambda: machine.mount(self.elsewhere)),
            (3, "back", lambda: machine.mount(self.share.path)),
        ]
        weights = [weight for weight, _, _ in steps]
        _, name, do = self.dice.choices(steps, weights)[0]
        self.log.append(f"{machine.name}: {name} {number}")
        do()
        self.judge()

    def fold(self, machine: Machine) -> None:
        roots = [f"{self.home}/models"]
        if machine.at:
            roots.append(os.path.join(machine.at, self.cache, "hub"))
        machine.hubfold("consolidate", *roots, "--link", "symlink", "-y")

    def client_deletes(self, number: int) -> None:
        name = "models--" + REPOS[number].replace("/", "--")
        shutil.rmtree(os.path.join(self.share.path, self.cache, "hub", name), ignore_errors=True)

    def user_deletes(self, machine: Machine) -> None:
        if machine.wants:
            path = self.dice.choice(sorted(machine.wants))
            del machine.wants[path]
            os.unlink(machine.seen(path))

    def move(self) -> None:
        new = "hf" if self.cache != "hf" else "moved/hf"
        os.makedirs(os.path.join(self.share.path, os.path.dirname(new)), exist_ok=True)
        os.rename(os.path.join(self.share.path, self.cache), os.path.join(self.share.path, new))
        self.cache = new

    # -- what has to hold -----------------------------------------------------------------------------------------

    def judge(self) -> None:
        shared = digests(Path(self.share.path))
        for machine in self.machines:
            own = digests(machine.seen(self.home))
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
            while "restored" in (told := machine.hubfold("undo", "-y")) and "restored 0 " not in told:
                pass
            machine.hubfold("gc", "-y")
            self.all_read(machine, told)
        for machine in self.machines:
            self.all_read(machine, "after gc on the other machine")

    def all_read(self, machine: Machine, told: str) -> None:
        for path, number in machine.wants.items():
            assert machine.reads(path) == MODELS[number], (machine.name, path, told, self.log)


def digests(folder: Path) -> set[str]:
    """Of every regular file below a folder."""
    found = set()
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            if path.is_file() and not path.is_symlink() and path.stat().st_size > tree.MIB:
                found.add(hashlib.sha256(path.read_bytes()).hexdigest())
    return found


@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_two_machines_in_any_order(mounts: Mounts, tmp_path: Path, seed: int) -> None:
    need_root()
    need("unshare", "nsenter")
    world = World(mounts, tmp_path, random.Random(seed))
    try:
        for _ in range(STEPS):
            world.step()
        world.end()
    finally:
        for machine in world.machines:
            machine.close()
