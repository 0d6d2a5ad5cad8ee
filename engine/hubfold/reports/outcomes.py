"""What becomes of single paths, in every report."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hubfold.json_form import UNTOLD, JsonForm

if TYPE_CHECKING:
    from hubfold.faults import Fault


@dataclass(frozen=True, slots=True)
class Left(JsonForm):
    """A path that was left alone on purpose."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Failed(JsonForm):
    """A path that was left alone because something went wrong."""

    path: str
    error: str


@dataclass(frozen=True, slots=True)
class Notice(JsonForm):
    """Something about one path that the user should know."""

    path: str
    message: str
    #: What `hubfold doctor` sorts by; "notice" for what needs no doctor.
    kind: str = field(default="notice", metadata=UNTOLD)

    @classmethod
    def of(cls, fault: Fault) -> Notice:
        """What a plugin did wrong; without a path where it was not asked about a root."""
        return cls(fault.root, str(fault), "plugin")

    @property
    def line(self) -> str:
        """The one line that a user reads."""
        return f"{self.path}: {self.message}" if self.path else self.message


@dataclass(slots=True)
class Settled:
    """What recovery made of something that was cut short: paths by what became of them."""

    finished: list[str] = field(default_factory=list)
    rolled_back: list[str] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    #: Numbers of mends that were found done.
    done: list[int] = field(default_factory=list)
    #: Something cannot be looked at now, or not be put right: it is tried again.
    waiting: bool = False
