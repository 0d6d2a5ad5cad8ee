"""The three streams that a program is started with, where one of them is closed, full, or read by nobody any more.

- stdin closed: nobody can be asked.
- stderr closed or full: messages are lost and the work goes on; the exit code still tells.
- stdout closed or full: a command that has something to say on it changes nothing, says why on stderr and ends with
  exit code 1. What was written and lost in the end is an error too, never exit code 0.
- the reader of stdout is gone: the shell's code for that, 141, and no word.
"""

from __future__ import annotations

import io
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

from hubfold.cli.guests import stdout
from hubfold.errors import HubfoldError

if TYPE_CHECKING:
    from types import FrameType

STDIN, STDOUT, STDERR = range(3)


class OutputLost(HubfoldError):
    """What a command has to say cannot be written to stdout."""


def occupy() -> None:
    """Give the numbers of closed streams to streams again, before a file of ours gets one and is written into."""
    for number, mode in ((STDIN, os.O_RDONLY), (STDOUT, os.O_RDONLY), (STDERR, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest number that is free. Reading only, on stdout: whoever writes there gets an error.
            os.set_inheritable(os.open(os.devnull, mode), True)
    sys.stdin = sys.stdin or _opened(STDIN, "r")
    sys.stdout = sys.stdout or _opened(STDOUT, "w")
    sys.stderr = sys.stderr or _opened(STDERR, "w")


def _opened(number: int, mode: str) -> TextIO:
    # Not `open`: it looks whether the descriptor can do what it is opened for.
    raw = io.FileIO(number, mode, closefd=False)
    binary = io.BufferedReader(raw) if mode == "r" else io.BufferedWriter(raw)
    return io.TextIOWrapper(binary, "utf-8", line_buffering=number == STDERR)


def check_stdout() -> None:
    """Ask stdout, before there is anything to lose. Raises `OutputLost`; `BrokenPipeError` where nobody reads it."""
    try:
        number = stdout().fileno()
    except (OSError, ValueError):
        return  # not a stream of the system's: a test's, an application's
    try:
        # Nothing is written, but a device or a closed stream says what it would say to more.
        os.write(number, b"")
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _lost(error) from error
    asked = select.poll()
    asked.register(number, 0)
    if any(event & select.POLLERR for _, event in asked.poll(0)):
        raise BrokenPipeError


def flush_stdout() -> None:
    """Write what is buffered. Raises `OutputLost`; `BrokenPipeError` where nobody reads it."""
    try:
        stdout().flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        raise _lost(error) from error


def named(error: BaseException) -> BaseException:
    """The same; but `OutputLost` for an error of the system that is about no file, where stdout is what fails."""
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError) and error.filename is None:
        try:
            check_stdout()
            flush_stdout()
        except (OutputLost, BrokenPipeError) as told:
            return told
    return error


def _lost(error: OSError) -> OutputLost:
    return OutputLost(
        f"standard output cannot be written: {error.strerror or error}",
        "send it to a file with room or to /dev/null; what was done before stays done (see `hubfold runs`)",
    )


def wait_for_line() -> None:
    """Wait until stdin has something; a signal ends the wait with what its handler raises.

    A read alone could miss one: a signal that comes between Python's last look and the system call is acted on when the
    read returns, which for a question is never.
    """
    try:
        ears, mouth = os.pipe()
        os.set_blocking(mouth, False)
        before = signal.set_wakeup_fd(mouth, warn_on_full_buffer=False)
    except (OSError, ValueError):
        return  # no main thread: somebody else's, who has the signals
    try:
        select.select([sys.stdin, ears], [], [])
    except (OSError, TypeError, ValueError):
        return  # what select cannot wait for is read as it is
    finally:
        signal.set_wakeup_fd(before)
        os.close(ears)
        os.close(mouth)


@contextmanager
def interrupts(handler: Callable[[int, FrameType | None], Any]) -> Iterator[None]:
    """Ctrl-C is this handler's for a while."""
    before = signal.signal(signal.SIGINT, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def terminal() -> Iterator[TextIO]:
    """Where a question is seen: stderr, or the terminal itself where that goes elsewhere. Raises `OSError`."""
    if sys.stderr.isatty():
        yield sys.stderr
        return
    number = os.open(os.ctermid(), os.O_WRONLY | os.O_NOCTTY)
    try:
        stream = _opened(number, "w")
        yield stream
        stream.flush()
    finally:
        os.close(number)


def has_terminal() -> bool:
    """Whether `terminal` opens."""
    try:
        with terminal():
            return True
    except OSError:
        return False


def let_go(stream: TextIO) -> None:
    """Send what the stream still holds, and all that is written to it from now on, to nowhere.

    Otherwise Python tries it once more when it ends, and complains.
    """
    try:
        stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())
            os.close(nowhere)
