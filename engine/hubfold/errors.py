"""What can go wrong, one class each. `cli.errors` maps each class to its exit code."""

import errno

OUT_OF_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT})
_PLAIN = {
    errno.EACCES: "permission denied",
    errno.EPERM: "not permitted",
    errno.EROFS: "the file system is read-only",
    errno.ENOSPC: "no space left on the file system",
    errno.EDQUOT: "the disk quota is used up",
    errno.EIO: "the drive reported an error",
    errno.ENOENT: "it is gone",
    errno.EMLINK: "the file system allows no more hard links to this file",
    errno.EXDEV: "the file system does not link between these two places",
    errno.EOPNOTSUPP: "the file system does not support it",
    errno.ENOSYS: "the system does not support it",
}


class HubfoldError(Exception):
    """The base of every error that hubfold raises on purpose.

    `hint` says what the user can do next; the command line prints it on a second line.
    """

    hint: str = ""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        if hint:
            self.hint = hint


class UsageError(HubfoldError):
    """The call itself makes no sense (a bad size, an unknown backend name)."""


class RootError(HubfoldError):
    """A root cannot be used: it is missing, no directory, or unreadable."""


class PluginError(HubfoldError):
    """Two plugins clash, or a named backend is not loaded."""


class IndexDamaged(HubfoldError):
    """The index cannot be trusted (truncated, hostile, from a newer hubfold); deleting it loses time only."""


class JournalDamaged(HubfoldError):
    """A journal has a record that hubfold cannot have written."""


class Locked(HubfoldError):
    """Another hubfold run holds the lock."""


class NeedsConfirmation(HubfoldError):
    """Something would change and there is nobody to ask."""


class NoSpace(HubfoldError):
    """The file system has not the room that the operation needs."""


class BackupError(HubfoldError):
    """A backup is not one, is damaged or incomplete, or holds what hubfold would not have written."""


class HubRefused(HubfoldError):
    """The Hub, or its client, did not give what was asked for; the text is its own."""


class HubAway(HubRefused):
    """The Hub does not answer: the network is down, or ``HF_ENDPOINT`` names another host."""


class RunNotFound(HubfoldError):
    """No run of that name has a journal here."""


class Interrupted(HubfoldError):
    """The user stopped the work between two actions; what is done stays done."""


class AllNamesTaken(OSError):
    """A file has as many names as its file system allows (EMLINK)."""


class LeftAlone(HubfoldError):
    """One path was not touched; the text is the reason that the user reads."""


class Busy(LeftAlone):
    """Another program holds the lock of a path right now; later it may be free."""


class HeldElsewhere(Busy):
    """A lock between hosts has a holder, `holder`, that is not known to be gone."""

    def __init__(self, path: str, holder: str) -> None:
        super().__init__(f"another run of hubfold holds {path}: {holder}")
        self.holder = holder


class OneFile(LeftAlone):
    """Two paths turned out to be one file."""


class BytesDiffer(LeftAlone):
    """Two files that were taken for equal were compared, and are not."""


class Away(OSError):
    """What would have to be looked at is away (a drive, a root): it waits, and the same command ends it later."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.ENODEV, reason)


def describe(error: BaseException) -> str:
    """One phrase for a person; the system's own words where there is nothing better."""
    if isinstance(error, OSError) and error.errno is not None:
        return _PLAIN.get(error.errno, error.strerror or str(error))
    return str(error)
