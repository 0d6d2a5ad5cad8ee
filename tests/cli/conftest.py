"""Runs `hubfold` as a user does: a program in pipes or on a terminal, with nothing of this machine's user in reach."""

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
import termios
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Finished:
    """What a command said, and its exit code. On a terminal, `out` holds stdout and stderr as they came."""

    code: int
    out: str
    err: str = ""

    @property
    def json(self) -> Any:
        return json.loads(self.out)


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
        (home / "user").mkdir(parents=True)

    def command(self, arguments: Sequence[str | bytes | Path]) -> list[str | bytes]:
        return [sys.executable, "-m", "hubfold", *(a if isinstance(a, bytes) else str(a) for a in arguments)]

    def __call__(
        self,
        *arguments: str | bytes | Path,
        environ: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> Finished:
        """Run in pipes, with nobody to ask."""
        done = subprocess.run(
            self.command(arguments),
            env={**self.environ, **(environ or {})},
            cwd=cwd or self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr, done.stderr
        return Finished(done.returncode, done.stdout, done.stderr)

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
        seen, waiting, deadline = b"", list(answers), time.monotonic() + 60
        while time.monotonic() < deadline:
            if waiting and waiting[0][0].encode() in seen:
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
        code = process.wait(timeout=10)
        assert not waiting, f"never asked {waiting[0][0]!r}: {seen!r}"
        assert b"Traceback" not in seen, seen
        return Finished(code, seen.decode("utf-8", "surrogateescape").replace("\r\n", "\n"))


@pytest.fixture
def hubfold(tmp_path: Path) -> Program:
    return Program(tmp_path / "home")
