"""Who may have written into a file that is not what it was: programs that write where their files lie, by name."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from hubfold.content import VAULT, IndexedReplica
from hubfold.reports.health import Problem, VerifyReport
from hubfold.vault import objects

#: What somebody may have written.
_WRITTEN = frozenset({"corrupt", "edited"})


def with_writers(
    report: VerifyReport,
    replicas: Collection[IndexedReplica],
    programs: Mapping[str, str],
    roots: Mapping[str, str],
) -> VerifyReport:
    """The same, with the program that writes in place where a file was written to.

    `programs` are those of the layouts that have one (`Capabilities.written_in_place`), `roots` the layouts by root.
    """
    wrong = {problem.path for problem in report.problems if problem.kind in _WRITTEN}
    if not wrong or not programs:
        return report
    known = {replica.path: replica for replica in replicas if replica.path in wrong}
    told = (_with_writer(one, known.get(one.path), programs, roots) for one in report.problems)
    return replace(report, problems=tuple(told))


def _with_writer(
    problem: Problem, replica: IndexedReplica | None, programs: Mapping[str, str], roots: Mapping[str, str]
) -> Problem:
    if replica is None or problem.kind not in _WRITTEN:
        return problem
    layouts = _read_by(replica.path, roots) if replica.backend == VAULT else [replica.backend]
    program = next((programs[one] for one in layouts if one in programs), None)
    if program is None:
        return problem
    return replace(problem, message=f"{problem.message}; {program} writes into its files where they lie")


def _read_by(object_: str, roots: Mapping[str, str]) -> Iterable[str]:
    """The layouts of the links that lead to an object."""
    found: list[str] = []
    with suppress(OSError):
        found = [roots.get(entry.root, "") for entry in objects.read_links(object_)]
    return found
