"""What verify and doctor found."""

from __future__ import annotations

from dataclasses import dataclass

from hubfold.reports.outcomes import Json as Json


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that `verify` found; `kind` is corrupt, edited, missing, unreadable or dangling."""

    path: str
    kind: str
    message: str

    def as_json(self) -> Json:
        return {"path": self.path, "kind": self.kind, "message": self.message}


@dataclass(frozen=True, slots=True)
class VerifyReport:
    """Content re-read and compared with claims and index."""

    checked: int
    bytes_read: int
    problems: tuple[Problem, ...]
    #: Of those checked, the files that were read before an interruption, and not again.
    resumed: int = 0

    def as_json(self) -> Json:
        report: Json = {
            "checked": self.checked,
            "bytes_read": self.bytes_read,
            "problems": [problem.as_json() for problem in self.problems],
        }
        return {**report, "resumed": self.resumed} if self.resumed else report


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that `doctor` found; `fix` says what mends it, `fixed` whether that was done."""

    kind: str
    path: str
    message: str
    fix: str
    fixed: bool = False
    #: Whether `doctor --fix` can mend it.
    mendable: bool = False

    def as_json(self) -> Json:
        return {
            "kind": self.kind,
            "path": self.path,
            "message": self.message,
            "fix": self.fix,
            "fixed": self.fixed,
        }


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """What is not as it should be, and what was mended."""

    findings: tuple[Finding, ...]

    @property
    def unfixed(self) -> int:
        return sum(not finding.fixed for finding in self.findings)

    def as_json(self) -> Json:
        return {"findings": [finding.as_json() for finding in self.findings]}
