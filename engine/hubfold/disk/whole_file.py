"""A file that is written as a whole for the user, where he names it: a crash leaves the old one or the new one."""

from __future__ import annotations

import os
from contextlib import suppress

from hubfold.errors import HubfoldError, UsageError, describe


def write(path: str, text: str, mark: str) -> None:
    """Write `text`, in place only of a file of ours; see `check`.

    Its mode is what the user's umask leaves. Raises `HubfoldError` where it cannot be written.
    """
    check(path, mark)
    target = os.path.realpath(path)
    temporary = f"{target}.{os.getpid()}.tmp"
    try:
        try:
            with open(temporary, "x", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, target)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
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
