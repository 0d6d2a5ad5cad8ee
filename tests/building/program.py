"""Runs `hubfold` as a user does: a program without a terminal or on one, with nothing of this machine's user in reach.

Without a terminal it is a fork of a process that has the modules loaded, which is a fifth of the time; what depends on
how the program starts asks for `Program.started`.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.building.waiting import PATIENCE
from tests.faults import commands


@dataclass(frozen=True)
class Finished:
    """What a command said, and its exit code. On a terminal, `out` holds stdout and stderr as they came."""

    code: int
    out: str
    err: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def prose(self) -> str:
        """`out` without the breaks of its lines, which a terminal has where its width wants them."""
        return " ".join(self.out.split())


class Program:
    """The `hubfold` program with a home of its own."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home / "user"),
            "HUBFOLD_HOME": str(home / "state"),
            "HF_HOME": str(home / "hf"),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
        }
        #: What the program is started under.
        self.prefix: list[str] = []
        (home / "user").mkdir(parents=True)

    def command(self, arguments: Sequence[str | bytes | Path]) -> list[str | bytes]:
        return [
            *self.prefix,
            sys.executable,
            "-m",
            "hubfold",
            *(a if isinstance(a, bytes) else str(a) for a in arguments),
        ]

    def __call__(
        self,
        *arguments: str | bytes | Path,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Finished:
        """Run with nobody to ask."""
        if self.prefix or any(name.startswith("PYTHON") for name in environ or {}):
            return self.started(*arguments, environ=environ, cwd=cwd)
        argv = tuple(os.fsdecode(argument) for argument in arguments)
        with tempfile.TemporaryDirectory() as scratch:
            out, err = Path(scratch, "out"), Path(scratch, "err")
            process = commands.Forked(
                commands.child,
                argv,
                {**self.environ, **(environ or {})},
                str(out),
                str(err),
                False,
                None,
                str(cwd or self.home),
            )
            commands.ended(process, argv, str(out), str(err))
            assert process.exitcode is not None
            done = Finished(process.exitcode, out.read_text("utf-8"), err.read_text("utf-8"))
        assert "Traceback" not in done.err, done.err
        return done

    def started(
        self,
        *arguments: str | bytes | Path,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Finished:
        """Run in pipes, with nobody to ask, in an interpreter of its own."""
        done = subprocess.run(
            self.command(arguments),
            env={**self.environ, **(environ or {})},
            cwd=cwd or self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Finished(done.returncode, done.stdout, done.stderr)

    def imports(self, *arguments: str) -> list[str]:
        """The modules that are imported when it is started so, in order."""
        done = self.started(*arguments, environ={"PYTHONPROFILEIMPORTTIME": "1"})
        lines = [line for line in done.err.splitlines() if line.startswith("import time:")]
        return [line.rpartition("|")[2].strip() for line in lines[1:]]

    def on_terminal(
        self,
        *arguments: str | bytes | Path,
        answers: Sequence[tuple[str, str]] = (),
        columns: int = 80,
        environ: Mapping[str, str] | None = None,
    ) -> Finished:
        """Run on a terminal of `columns`; each of `answers` is (text to wait for, what is typed then)."""
        controller, terminal = pty.openpty()
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        # A typed Ctrl-C would else throw away what was printed and is not read yet.
        modes = termios.tcgetattr(terminal)
        modes[3] |= termios.NOFLSH
        termios.tcsetattr(terminal, termios.TCSANOW, modes)
        process = subprocess.Popen(
            self.command(arguments),
            env={**self.environ, **(environ or {})},
            cwd=self.home,
            stdin=terminal,
            stdout=terminal,
            stderr=terminal,
            start_new_session=True,
            # The terminal becomes the controlling one, so that a typed Ctrl-C is a signal.
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(terminal)
        seen, waiting, deadline = b"", list(answers), time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            if waiting and b" ".join(waiting[0][0].encode().split()) in b" ".join(seen.split()):
                os.write(controller, waiting.pop(0)[1].encode())
            if not select.select([controller], [], [], 0.05)[0]:
                continue
            try:
                chunk = os.read(controller, 65536)
            except OSError as error:  # Linux ends a terminal without a program with EIO
                assert error.errno == errno.EIO
                break
            if not chunk:
                break
            seen += chunk
        else:
            process.kill()
        os.close(controller)
        code = process.wait(PATIENCE)
        assert not waiting, f"never asked {waiting[0][0]!r}: {seen!r}"
        assert b"Traceback" not in seen, seen
        return Finished(code, seen.decode("utf-8", "surrogateescape").replace("\r\n", "\n"))


#: Where the space of a `Scene` is, as a scan of all of it tells.
FIGURES = [
    "2.1M  in caches",
    "6.3M  in local copies",
    "8.4M  total",
    "4.2M  duplicate",
    "4.2M  after folding",
]


@dataclass(frozen=True)
class Scene:
    """Copies of one model by hand::

    hf/hub/models--org--base/      its blob, a snapshot, a ref
    models/base/model.safetensors  the same bytes
    models/copy.safetensors        the same bytes
    models/tuned.safetensors       the same size, one byte in the middle differs
    """

    folder: Path
    size: int

    @property
    def hub(self) -> Path:
        return self.folder / "hf" / "hub"

    @property
    def blob(self) -> Path:
        return next((self.hub / "models--org--base" / "blobs").iterdir())

    @property
    def snapshot(self) -> Path:
        return self.hub / "models--org--base" / "snapshots" / COMMIT / "model.safetensors"

    @property
    def models(self) -> Path:
        return self.folder / "models"

    @property
    def copies(self) -> list[Path]:
        return [self.models / "base" / "model.safetensors", self.models / "copy.safetensors"]

    @property
    def tuned(self) -> Path:
        return self.models / "tuned.safetensors"

    def photograph(self) -> dict[str, tuple[object, ...]]:
        """Every name below hf/ and models/ but the vault: kind, mode, times and bytes."""
        seen: dict[str, tuple[object, ...]] = {}
        for top in ("hf", "models"):
            for folder, folders, names in os.walk(self.folder / top):
                folders[:] = [name for name in folders if name not in ("hubfold", ".hubfold", ".locks")]
                for name in names:
                    path = Path(folder, name)
                    st = path.lstat()
                    times = st.st_mtime_ns if not path.is_symlink() else 0
                    seen[os.fsdecode(path)] = (path.is_symlink(), st.st_mode, times, hash(path.read_bytes()))
        return seen


COMMIT = "0123456789abcdef0123456789abcdef01234567"


#: A finished run, and what was there before it (`Scene.photograph`).
Folded = tuple[str, dict[str, tuple[object, ...]]]
