"""What verify and doctor found."""

from __future__ import annotations

from dataclasses import dataclass, field

from hubfold.json_form import PATHS, UNTOLD, JsonForm, told
from hubfold.reports.outcomes import Left


@dataclass(frozen=True, slots=True)
class Problem(JsonForm):
    """Something that `verify` found; `kind` is corrupt, edited, missing, unreadable or dangling."""

    path: str
    kind: str
    message: str


@dataclass(frozen=True, slots=True)
class VerifyReport(JsonForm):
    """Content re-read and compared with claims and index."""

    checked: int
    bytes_read: int
    problems: tuple[Problem, ...]
    #: Of those checked, the files that were read before an interruption, and not again.
    resumed: int = field(default=0, metadata=told(optional=True))


@dataclass(frozen=True, slots=True)
class Finding(JsonForm):
    """Something that `doctor` found; `fix` says what mends it, `fixed` whether that was done."""

    kind: str
    path: str
    message: str
    fix: str
    fixed: bool = False
    #: Whether `doctor --fix` can mend it.
    mendable: bool = field(default=False, metadata=UNTOLD)
    #: Paths that get another file, another link or another mode when it is mended.
    replaces: tuple[str, ...] = field(default=(), metadata=PATHS)


@dataclass(frozen=True, slots=True)
class DoctorReport(JsonForm):
    """What is not as it should be, and what was mended."""

    findings: tuple[Finding, ...]

    @property
    def unfixed(self) -> int:
        return sum(not finding.fixed for finding in self.findings)


@dataclass(frozen=True, slots=True)
class MountFinding(JsonForm):
    """Something that a container does not see, or may not write, through its mounts; `fix` says what mends it."""

    kind: str
    #: On the host; "" for what is only in the container.
    path: str
    #: The same in the container.
    container: str
    message: str
    fix: str
    #: The service of a compose file, "" for mounts that were given.
    service: str = ""
    #: The mounts that mend it, as HOST:CONTAINER.
    mounts: tuple[str, ...] = ()
    #: How many links it is about.
    links: int = 0


@dataclass(frozen=True, slots=True)
class MountReport(JsonForm):
    """What containers see of the folders that are mounted into them."""

    findings: tuple[MountFinding, ...]
    #: Links that were followed as a container sees them, each once for every service that has it.
    links: int
    #: Volumes that are no folders of the host's, by their paths in containers.
    not_looked_at: tuple[Left, ...] = ()
