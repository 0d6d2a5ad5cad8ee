"""Who may have written into a file that is not what it was: programs that write where their files lie, by name."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from hubfold.content import VAULT, IndexedReplica
from hubfold.reports.health import Finding, Problem, VerifyReport
from hubfold.vault import objects

#: What somebody may have written: of a problem, and of a finding.
_WRITTEN = frozenset({"corrupt", "edited"})
_FOUND_WRITTEN = frozenset({"corrupt", "damaged-blob", "written-through"})


@dataclass(frozen=True, slots=True)
class Writers:
    """The programs that write in place, and by which files they can be known."""

    #: By layout (`Capabilities.written_in_place`).
    programs: Mapping[str, str]
    #: The layouts by root.
    roots: Mapping[str, str]
    #: What is known at a path.
    replica: Callable[[str], IndexedReplica | None]
    #: Every known name of a payload, by device, inode and size.
    names: Callable[[int, int, int], Iterable[IndexedReplica]]

    def of(self, replica: IndexedReplica | None) -> str | None:
        """The program that writes into the file by one of its names, None for none."""
        if replica is None or not self.programs:
            return None
        for one in (replica, *self.names(*replica.signature[:3])):
            layouts = self._read_by(one.path) if one.backend == VAULT else [one.backend]
            program = next((self.programs[name] for name in layouts if name in self.programs), None)
            if program is not None:
                return program
        return None

    def _read_by(self, object_: str) -> Iterable[str]:
        """The layouts of the links that lead to an object."""
        found: list[str] = []
        with suppress(OSError):
            found = [self.roots.get(entry.root, "") for entry in objects.read_links(object_)]
        return found


def with_writers(
    report: VerifyReport, replicas: Collection[IndexedReplica], writers: Writers
) -> VerifyReport:
    """The same, with the program that writes in place where a file was written to."""
    wrong = {problem.path for problem in report.problems if problem.kind in _WRITTEN}
    if not wrong or not writers.programs:
        return report
    known = {replica.path: replica for replica in replicas if replica.path in wrong}

    def told(problem: Problem) -> Problem:
        program = writers.of(known.get(problem.path)) if problem.kind in _WRITTEN else None
        return problem if program is None else replace(problem, message=_said(problem.message, program))

    return replace(report, problems=tuple(map(told, report.problems)))


def findings_with_writers(findings: Iterable[Finding], writers: Writers) -> tuple[Finding, ...]:
    """The same, with the program that writes in place where a file, or what a link reads, was written to."""

    def told(finding: Finding) -> Finding:
        if finding.kind not in _FOUND_WRITTEN or not writers.programs:
            return finding
        program = writers.of(writers.replica(os.path.realpath(finding.path)))
        return finding if program is None else replace(finding, message=_said(finding.message, program))

    return tuple(map(told, findings))


def _said(message: str, program: str) -> str:
    return f"{message}; {program} writes into its files where they lie"
