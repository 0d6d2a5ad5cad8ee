"""Kill a command before each of its calls that change something, or make that call fail, one at a time.

`record` runs the command once under strace and lists its *points*: the calls that change the file system below one
folder, the place. `strike` runs it again on a fresh copy and injects a fault at one point. `sweep` does so for all of
them, on several places at once, and asks a check after each. strace counts ``when=N`` per thread and per call name,
so a point is a name and a number; what was struck is read from strace's own log, because a sweep that injects
nothing proves nothing. Everything works without root, but for places that are mounted images.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from tests.building.waiting import PATIENCE, until

from .filesystems import Mounted, Mounts, Unavailable, copy_image, run, unmount

#: The interpreter itself: a shim in front of it would be a process, and calls, of its own.
PYTHON = sys.executable
KILL = "KILL"
#: What is added to the name of a waiting command's output: a pipe, which it reads a byte from before it starts.
STARTER = ".start"

_PATH = ("EIO", "EACCES", "EROFS", "ENOSPC")
#: The calls that change something, with the errors that each can answer.
CALLS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("rename", "renameat", "renameat2"), (*_PATH, "EXDEV")),
    # No EMLINK: a file that can get no more names stays so, and a second one is kept (`test_access`, `test_limits`).
    **dict.fromkeys(("link", "linkat"), ("EXDEV", *_PATH)),
    **dict.fromkeys(("symlink", "symlinkat"), _PATH),
    **dict.fromkeys(("unlink", "unlinkat", "rmdir"), ("EIO", "EACCES", "EROFS")),
    **dict.fromkeys(("mkdir", "mkdirat"), ("EMLINK", *_PATH)),
    **dict.fromkeys(("open", "openat", "creat"), _PATH),
    **dict.fromkeys(("write", "pwrite64", "writev", "pwritev"), ("ENOSPC", "EIO")),
    **dict.fromkeys(("sendfile", "copy_file_range", "fallocate", "truncate", "ftruncate"), ("ENOSPC", "EIO")),
    **dict.fromkeys(("fsync", "fdatasync", "sync_file_range", "syncfs"), ("EIO", "ENOSPC")),
    **dict.fromkeys(("chmod", "fchmod", "fchmodat", "fchmodat2"), ("EACCES", "EROFS", "EIO")),
    **dict.fromkeys(("chown", "fchown", "lchown", "fchownat"), ("EACCES", "EROFS", "EIO")),
    **dict.fromkeys(("utimensat", "utime", "utimes"), ("EACCES", "EROFS", "EIO")),
    **dict.fromkeys(("setxattr", "lsetxattr", "fsetxattr"), ("ENOSPC", "EACCES", "EROFS", "EIO")),
    **dict.fromkeys(("removexattr", "lremovexattr", "fremovexattr"), ("EACCES", "EROFS", "EIO")),
    "ioctl": ("EIO", "EXDEV", "EACCES", "EROFS"),
}
#: Calls that change what their first descriptor stands for, whatever else their arguments mention.
_BY_DESCRIPTOR = re.compile(
    r"^(?:p?writev?(?:64)?|sendfile|fallocate|f(?:data)?sync|syncfs|sync_file_range|f\w+|ioctl)$"
)
_LINE = re.compile(r"^(\d+)\s+(?:<\.\.\. )?(\w+)(?:\((.*)| resumed>(.*))$")


class Failed(Exception):
    """A command or a stage of the sweep did not do what the sweep relies on."""


class Waiting(Protocol):
    """A started process (`multiprocessing.Process` is one)."""

    @property
    def pid(self) -> int | None: ...
    @property
    def exitcode(self) -> int | None: ...
    def join(self, timeout: float | None = None) -> None: ...
    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Command:
    """What is run: arguments, environment (complete, nothing is inherited but PATH), the codes that mean success."""

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    good: frozenset[int] = frozenset({0})
    #: Starts it in a process that does nothing until a tracer is there: quicker than from nothing.
    waiting: Callable[[Command, str, str], Waiting] | None = None

    def environment(self) -> dict[str, str]:
        quiet = {
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "LC_ALL": "C.UTF-8",
        }
        if "HUBFOLD_DEBUG" in os.environ:
            quiet["HUBFOLD_DEBUG"] = os.environ["HUBFOLD_DEBUG"]
        return {**quiet, **self.env}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of strace's log; `number` counts calls of this name in its thread."""

    thread: int
    name: str
    number: int
    text: str

    def touches(self, place: str) -> bool:
        """Whether the call changes something at or below `place`, as far as its arguments tell."""
        if self.name == "ioctl":
            return ("FIDEDUPERANGE" in self.text and f"<{place}" in self.text) or "FICLONE" in self.text
        # A file without a name (O_TMPFILE: filelock tries a folder by one, hubfold makes none) is nothing that stays;
        # and that is the last call of its name, of which a run may have one less.
        if self.name in ("open", "openat", "creat") and not re.search(r"O_CREAT|O_TRUNC", self.text):
            return False
        if _BY_DESCRIPTOR.match(self.name) and not self.name.endswith("at"):
            return re.match(rf"\d+<{re.escape(place)}[/>]", self.text) is not None
        return re.search(rf'["<]{re.escape(place)}[/">]', self.text) is not None


@dataclass(frozen=True, slots=True)
class Point:
    """A place in a command's life where a fault can strike: before its `number`-th call of `name` in a thread."""

    name: str
    number: int
    #: The arguments in the recorded run, with the place cut out.
    text: str

    @property
    def errors(self) -> tuple[str, ...]:
        return CALLS[self.name]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of the command, struck or not. `hit` is the call that the fault struck."""

    returncode: int
    stdout: str
    stderr: str
    calls: tuple[Call, ...]
    hit: Call | None = None


class Stage(Protocol):
    """A place that can be put back to how it was, at the same path."""

    place: str

    def fresh(self) -> None: ...


class CopyStage:
    """A place on any file system, restored with ``cp -a`` (which keeps hard links, times and xattrs, not inodes)."""

    def __init__(self, place: str) -> None:
        self.place = place
        self._template = place + ".template"

    def save(self) -> None:
        """What the place holds now is what `fresh` brings back."""
        # Moved, so that its inode numbers stay taken: were they given to a copy now and then, a command would know its
        # roots again in some runs and not in others, and have other calls to make.
        os.rename(self.place, self._template)
        self.fresh()

    def fresh(self) -> None:
        shutil.rmtree(self.place, ignore_errors=True)
        run("cp", "-a", self._template, self.place)


_REMOUNTING = threading.Lock()


def remounting(images: Iterable[Mounted]) -> AbstractContextManager[object]:
    """Held while `images` are away: two places on btrfs that are away at once could come back with each other's device
    numbers, and the run that is struck would then have more to do than the one that was recorded. The numbers of the
    other file systems are those of their loop devices, which stay."""
    return _REMOUNTING if any(image.kind == "btrfs" for image in images) else nullcontext()


class ImageStage:
    """A place made of mounted images, restored block by block: inode numbers and change times come back too."""

    def __init__(self, mounts: Mounts, images: Sequence[Mounted]) -> None:
        self.place = images[0].path
        self._mounts = mounts
        #: Outermost first: one image may be mounted inside another.
        self.images = list(images)

    def _down(self) -> None:
        for mounted in reversed(self.images):
            unmount(mounted.path)

    def _up(self) -> None:
        for mounted in self.images:
            self._mounts.mount(mounted)

    def save(self) -> None:
        """What the place holds now is what `fresh` brings back."""
        self._down()
        for mounted in self.images:
            assert mounted.image is not None
            copy_image(mounted.image, mounted.image + ".saved")
        self._up()

    def fresh(self) -> None:
        with remounting(self.images):
            self._down()
            for mounted in self.images:
                assert mounted.image is not None
                copy_image(mounted.image + ".saved", mounted.image)
            self._up()


def need_strace() -> None:
    """Raise `Unavailable` unless strace is here and may trace and inject."""
    if shutil.which("strace") is None:
        raise Unavailable("strace is not installed")
    probe = (
        "strace",
        "-f",
        "-qq",
        "-e",
        "trace=rmdir",
        "-e",
        "inject=rmdir:error=EIO",
        "rmdir",
        "/nonexistent",
    )
    done = subprocess.run(
        probe, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}, timeout=PATIENCE
    )
    if "INJECTED" not in done.stderr:
        raise Unavailable(f"strace cannot inject here: {done.stderr.strip()[:200]}")


def parse(log: str) -> list[Call]:
    """The calls of an ``strace -f -o`` log, numbered per thread and per name as strace itself counts them."""
    counts: Counter[tuple[int, str]] = Counter()
    calls: list[Call] = []
    for line in log.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        thread, name, text, rest = int(match[1]), match[2], match[3], match[4]
        if text is None:
            # The second half of a call that another thread's line cut in two.
            for i in range(len(calls) - 1, -1, -1):
                if calls[i].thread == thread and calls[i].name == name:
                    calls[i] = Call(thread, name, calls[i].number, calls[i].text + rest)
                    break
            continue
        counts[thread, name] += 1
        calls.append(Call(thread, name, counts[thread, name], text))
    return calls


def trace(command: Command, log: str, *injections: str, names: Iterable[str] = CALLS) -> Outcome:
    """Run `command` under strace with `injections` (the part after ``inject=``); every call of `names` is logged."""
    # The name of a process that it attaches to is waited for (`_attach`).
    quiet = ("-qq",) if command.waiting is None else ("-e", "quiet=exit,path-resolution,personality")
    argv = [
        "strace",
        "-f",
        *quiet,
        "-y",
        "-s",
        "64",
        "-o",
        log,
        "-e",
        "trace=" + ",".join(f"?{n}" for n in names),
    ]
    for injection in injections:
        argv += ["-e", "inject=" + injection]
    run_traced = _run if command.waiting is None else _attach
    returncode, stdout, stderr = run_traced(command, argv)
    calls = parse(Path(log).read_text(errors="replace"))
    return Outcome(returncode, stdout, stderr, tuple(calls))


def _run(command: Command, strace: Sequence[str]) -> tuple[int, str, str]:
    process = subprocess.Popen(
        [*strace, *command.argv],
        env=command.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        stdout, stderr = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        # The session is this command's own: strace, and what it traces.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise Failed(f"hung for {PATIENCE:.0f} s: {command.argv}") from None
    return process.returncode, stdout, stderr


def _attach(command: Command, strace: Sequence[str]) -> tuple[int, str, str]:
    assert command.waiting is not None
    with tempfile.TemporaryDirectory() as scratch:
        out, err = os.path.join(scratch, "out"), os.path.join(scratch, "err")
        process = command.waiting(command, out, err)
        tracer = subprocess.Popen(
            [*strace, "-p", str(process.pid)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        assert tracer.stderr is not None
        # It says when it is there, and only then the process goes on.
        if "attached" not in (line := tracer.stderr.readline()):
            process.kill()
            raise Failed(f"strace did not attach: {line} {tracer.communicate()[1]}")
        with open(out + STARTER, "wb") as starter:
            starter.write(b"1")
        process.join(PATIENCE)
        hung = process.exitcode is None
        if hung:
            process.kill()
            process.join()
        said = tracer.communicate()[1]
        if hung:
            raise Failed(f"hung for {PATIENCE:.0f} s: {command.argv}; strace said {said!r}")
        texts = [Path(path).read_text(errors="replace") for path in (out, err)]
        assert process.exitcode is not None
        return process.exitcode, texts[0], texts[1]


def record(stage: Stage, command: Command) -> list[Point]:
    """The points of a clean run of `command`, in order; its effects stay in the place."""
    stage.fresh()
    outcome = trace(command, stage.place + ".strace")
    if outcome.returncode not in command.good:
        raise Failed(f"the clean run ended with {outcome.returncode}: {outcome.stderr[-2000:]}")
    seen: dict[tuple[str, int], Point] = {}
    for call in outcome.calls:
        # The logs of the libraries are no state of ours.
        if call.touches(stage.place) and f"{stage.place}/.home/" not in call.text:
            text = re.sub(r"\s+= -?\d.*$", "", call.text).replace(stage.place, "")
            seen.setdefault((call.name, call.number), Point(call.name, call.number, text))
    return list(seen.values())


def strike(stage: Stage, command: Command, point: Point, fault: str, *more: str) -> Outcome:
    """Run `command` on the place as it is, with `fault` (KILL, or the name of an errno) at `point`.

    `Outcome.hit` is the call that was struck, None if the run ended before it (the harness's caller decides).
    """
    what = "signal=KILL" if fault == KILL else f"error={fault}"
    outcome = trace(
        command,
        stage.place + ".strace",
        f"{point.name}:{what}:when={point.number}",
        *more,
        names=[point.name, *(injection.partition(":")[0] for injection in more)],
    )
    hit = None
    for call in outcome.calls:
        if call.name == point.name and call.number == point.number:
            struck = outcome.returncode == -signal.SIGKILL if fault == KILL else "(INJECTED)" in call.text
            if struck and call.touches(stage.place):
                hit = call
                break
    return Outcome(outcome.returncode, outcome.stdout, outcome.stderr, outcome.calls, hit)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one fault did: `problems` is what the check found, empty when all is well."""

    point: Point
    fault: str
    hit: bool
    problems: tuple[str, ...]

    def __str__(self) -> str:
        where = f"{self.fault} at {self.point.name} #{self.point.number} {self.point.text}"
        return f"{where}: " + ("; ".join(self.problems) or ("fine" if self.hit else "NOT STRUCK"))


Check = Callable[[Stage, Outcome], Iterable[str]]


def kills(points: Iterable[Point]) -> list[tuple[Point, str]]:
    return [(point, KILL) for point in points]


def errors(points: Sequence[Point], every: bool = False) -> list[tuple[Point, str]]:
    """Each point with one errno, so that each (call, errno) gets its turn; with `every`, with each of its errnos."""
    if every:
        return [(point, error) for point in points for error in point.errors]
    turn: Counter[str] = Counter()
    chosen = []
    for point in points:
        # By the number too, so that sweeps over other points of the same calls take other errnos.
        chosen.append((point, point.errors[(turn[point.name] + point.number) % len(point.errors)]))
        turn[point.name] += 1
    return chosen


def sweep(
    stages: Sequence[Stage],
    command: Callable[[Stage], Command],
    strikes: Iterable[tuple[Point, str]],
    check: Check,
) -> list[Verdict]:
    """Strike each of `strikes` on a fresh place, check, and say what was found, in the order of the points."""
    todo: queue.SimpleQueue[tuple[int, Point, str]] = queue.SimpleQueue()
    for i, (point, fault) in enumerate(strikes):
        todo.put((i, point, fault))
    verdicts: dict[int, Verdict] = {}
    broken: list[BaseException] = []

    def work(stage: Stage) -> None:
        try:
            while not broken:
                try:
                    i, point, fault = todo.get_nowait()
                except queue.Empty:
                    return
                try:
                    stage.fresh()
                    outcome = strike(stage, command(stage), point, fault)
                    if outcome.hit is None:
                        # How many files are opened to see who has one open depends on who else is at work.
                        again = _found_again(point, record(stage, command(stage)))
                        stage.fresh()
                        outcome = strike(stage, command(stage), again, fault)
                    found, hit = tuple(check(stage, outcome)), outcome.hit is not None
                except Failed as error:
                    found, hit = (str(error),), True
                verdicts[i] = Verdict(point, fault, hit, found)
        except BaseException as error:  # noqa: BLE001 - raised again in the thread that waits
            broken.append(error)

    workers = [threading.Thread(target=work, args=(stage,), daemon=True) for stage in stages]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if broken:
        raise broken[0]
    return [verdicts[i] for i in sorted(verdicts)]


def _found_again(point: Point, points: Sequence[Point]) -> Point:
    """The same call by the number that it has now."""
    same = [one for one in points if (one.name, one.text) == (point.name, point.text)]
    return min(same, key=lambda one: abs(one.number - point.number), default=point)


def complaints(verdicts: Sequence[Verdict]) -> list[str]:
    """What is wrong with a sweep: every problem found, and every strike that did not happen."""
    if not verdicts:
        return ["nothing was struck: the sweep proves nothing"]
    return [str(verdict) for verdict in verdicts if verdict.problems or not verdict.hit]


class Window:
    """A command held on entering one of its calls until `ended` is asked for: what happens meanwhile has its time."""

    def __init__(self, command: Command, log: str, name: str, number: int) -> None:
        self._log = Path(log)
        self._log.unlink(missing_ok=True)
        self._name, self._number = name, number
        held = f"inject={name}:delay_enter={PATIENCE:.0f}s:when={number}"
        # -D: the command is our child, and goes on by itself when strace is killed.
        argv = ["strace", "-D", "-f", "-qq", "-y", "-s", "64", "-o", log, "-e", f"trace={name}", "-e", held]
        self._process = subprocess.Popen(
            [*argv, *command.argv],
            env=command.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def opened(self) -> None:
        """Wait until the command stands before the call."""
        until(
            lambda: self._stands() or self._process.poll() is not None,
            f"never came to {self._name} #{self._number}",
        )
        if not self._stands() or self._process.poll() is not None:
            raise Failed(f"ended before {self._name} #{self._number}: {self._process.communicate()}")

    def _stands(self) -> bool:
        # strace logs a call that it does not know the name of, whatever it was told to trace.
        return self._log.exists() and any(
            call.name == self._name and call.number >= self._number
            for call in parse(self._log.read_text(errors="replace"))
        )

    def ended(self) -> Outcome:
        """Let the command go on, untraced from here, and wait for its end."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        tracer = int(status.partition("TracerPid:")[2].split()[0])
        if tracer:
            os.kill(tracer, signal.SIGKILL)
        stdout, stderr = self._process.communicate(timeout=PATIENCE)
        calls = parse(self._log.read_text(errors="replace"))
        return Outcome(self._process.returncode, stdout, stderr, tuple(calls))
