"""A file that is written as a whole for the user, where he names it: a crash leaves the old one or the new one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from hubfold.disk import open_flags
from hubfold.errors import HubfoldError, UsageError, describe


@contextmanager
def replacing(path: str, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A file to write; at the end it takes the place of `path` in one step, and both steps are on the disk.

    Where something fails `path` is as it was. `mode` is less what the user's umask takes. Raises `OSError`.
    """
    folder, name = os.path.split(path)
    temporary = os.path.join(folder, f".{name}.{os.getpid()}")
    fd = os.open(temporary, open_flags.CREATE, mode)
    try:
        with os.fdopen(fd, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    _sync(folder)


def _sync(folder: str) -> None:
    fd = os.open(folder, open_flags.DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write(path: str, text: str, mark: str) -> None:
    """Write `text`, in place only of a file of ours; see `check`.

    Its mode is what the user's umask leaves. Raises `HubfoldError` where it cannot be written.
    """
    check(path, mark)
    try:
        with replacing(os.path.realpath(path)) as file:
            file.write(text.encode())
    except OSError as error:
        raise HubfoldError(
            f"{path} cannot be written: {describe(error)}", "make room, or name another file"
        ) from error


def check(path: str, mark: str) -> None:
    """Raises `UsageError` unless a folder has nothing there yet, or a file with `mark` at its beginning."""
    target = os.path.realpath(path)
    if not os.path.isdir(os.path.dirname(target)):
        raise UsageError(f"{os.path.dirname(target)} is no folder", "name a file in one that is there")
    try:
        with open(target, encoding="utf-8", errors="replace") as file:
            ours = mark in file.read(1024)
    except FileNotFoundError:
        return
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {describe(error)}", "name a file") from error
    if not ours:
        raise UsageError(f"{path} is there already, and was not written by hubfold", "name another file")
