"""The locks between hosts that were found, and what became of them: plain data, with its JSON form."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from hubfold.json_form import PATHS, UNTOLD, JsonForm


class Pulse(StrEnum):
    """What is known of the holder of a lock."""

    #: It is at work: a process of this host that is there, or one whose heart was seen to beat.
    ALIVE = "at work"
    #: A process of this host that is not there any more.
    GONE = "gone"
    #: Another host's, whose heart did not beat while it was watched.
    SILENT = "silent"
    #: Another host's, not watched yet.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class FoundLock(JsonForm):
    """A lock with who holds it, as that has said itself."""

    path: str
    state: Pulse
    host: str
    pid: int
    command: str
    since: str
    #: As the lock has it, and what it is a lock of.
    token: str = field(default="", metadata=UNTOLD)
    of: str = field(default="", metadata=UNTOLD)
    #: The time of its last heartbeat while it was watched, in ns, by the server.
    beat: int = field(default=0, metadata=UNTOLD)

    @property
    def stale(self) -> bool:
        """Whether it may be broken."""
        return self.state in (Pulse.GONE, Pulse.SILENT)


@dataclass(frozen=True, slots=True)
class UnlockReport(JsonForm):
    """The locks that there are, and those that were (of a preview: would be) broken."""

    locks: tuple[FoundLock, ...]
    broken: tuple[str, ...] = field(default=(), metadata=PATHS)
