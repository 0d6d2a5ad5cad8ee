"""The one map from exception to message and exit code."""

from __future__ import annotations

import errno
import os

import click

from hubfold import errors

OK = 0
FAILED = 1
USAGE = 2
SOME_LEFT = 3
LOCKED = 4
UNASKED = 5
#: The shell's codes for a program that Ctrl-C (SIGINT) or a closed pipe (SIGPIPE) ended.
INTERRUPTED = 130
BROKEN_PIPE = 141

#: What exit codes mean, for who reads about them.
MEANINGS = {
    OK: "All of it is done, or there was nothing to do.",
    FAILED: "An error: one line says what is wrong, the next what to do.",
    USAGE: "The command line makes no sense.",
    SOME_LEFT: (
        "Done, but some paths were left alone because of an error, or wait for a drive that is away; of check: a model"
        " is not whole; of verify and doctor: something was found."
    ),
    LOCKED: "Another run of hubfold holds the lock.",
    UNASKED: "It would change something and there is nobody to ask: give -y or --dry-run.",
    INTERRUPTED: "Ctrl-C ended it; what was done stays done.",
    BROKEN_PIPE: "Whoever read its output went away.",
}

DEBUG_VARIABLE = "HUBFOLD_DEBUG"

_CODES: dict[type[errors.HubfoldError], int] = {
    errors.UsageError: USAGE,
    errors.Locked: LOCKED,
    errors.NeedsConfirmation: UNASKED,
    errors.Interrupted: INTERRUPTED,
}

_HINTS = {
    errno.ENOSPC: "make room there and run the same command again",
    errno.EDQUOT: "make room there and run the same command again",
    errno.EACCES: "mend the permissions, or run as the user who owns it",
    errno.EPERM: "mend the permissions, or run as the user who owns it",
    errno.EROFS: "mount it writable, or leave it out",
    errno.EIO: "the drive answers with errors: look at `dmesg` before you go on",
}


def explain(error: BaseException) -> tuple[int, str, str]:
    """Exit code, what went wrong, and what to do next."""
    if isinstance(error, errors.HubfoldError):
        code = next((code for cls, code in _CODES.items() if isinstance(error, cls)), FAILED)
        return code, str(error), error.hint
    if isinstance(error, click.UsageError):
        command = error.ctx.command_path if error.ctx else "hubfold"
        return USAGE, _sentence(error.format_message()), f"`{command} --help` shows what it takes"
    if isinstance(error, click.ClickException):
        return FAILED, _sentence(error.format_message()), ""
    if isinstance(error, (KeyboardInterrupt, click.Abort)):
        return (
            INTERRUPTED,
            "aborted",
            "what was done stays done; the next changing command, or `hubfold recover`, tidies up first",
        )
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE, "", ""
    if isinstance(error, OSError):
        where = f"{os.fsdecode(error.filename)}: " if isinstance(error.filename, (str, bytes)) else ""
        hint = _HINTS.get(error.errno or 0, f"set {DEBUG_VARIABLE}=1 to see where it happened")
        return FAILED, f"{where}{error.strerror or error}", hint
    return (
        FAILED,
        f"unexpected {type(error).__name__}: {error}",
        f"this is a fault in hubfold or a plugin; {DEBUG_VARIABLE}=1 shows the traceback to report",
    )


def _sentence(text: str) -> str:
    """Click's message in the form of ours: lower case, one line, no full stop."""
    line = " ".join(text.split())
    return line[:1].lower() + line[1:].rstrip(".")
