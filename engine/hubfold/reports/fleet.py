"""What exporting an index, and asking those of many hosts, return: plain data, with its JSON form."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hubfold.json_form import UNTOLD, JsonForm, told
from hubfold.reports.outcomes import Notice


@dataclass(frozen=True, slots=True)
class ExportReport(JsonForm):
    """The file that was written; `others` is how many files of other users were left out."""

    path: str
    files: int
    bytes: int
    others: int = field(metadata=told("left_out"))


@dataclass(frozen=True, slots=True)
class ExportedFile(JsonForm):
    """An export of one host; `age` in seconds."""

    path: str
    host: str
    machine: str
    files: int
    age: int = field(metadata=told("age_seconds"))
    stale: bool = False


@dataclass(frozen=True, slots=True)
class Answer(JsonForm):
    """The answer to one question: rows of as many values as there are columns."""

    name: str
    title: str = field(metadata=UNTOLD)
    columns: tuple[str, ...] = field(metadata=UNTOLD)
    rows: tuple[tuple[Any, ...], ...] = field(metadata=UNTOLD)

    @property
    def records(self) -> list[dict[str, Any]]:
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


@dataclass(frozen=True, slots=True)
class FleetReport(JsonForm):
    """The files that were asked, and the answers by the name of the question."""

    files: tuple[ExportedFile, ...]
    answers: tuple[Answer, ...] = field(
        metadata=told(value=lambda answers: {one.name: one.records for one in answers})
    )
    warnings: tuple[Notice, ...] = ()
