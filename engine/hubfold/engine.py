"""`Engine`: every operation of hubfold, for the command line and for Python users alike. It prints nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from hubfold.content import LinkKind, Role
from hubfold.progress import Progress, Stop

if TYPE_CHECKING:
    from hubfold.plan import Plan
    from hubfold.registry import Registry
    from hubfold.reports import (
        ConsolidateReport,
        DupesReport,
        FarmReport,
        GcReport,
        RecoverReport,
        RunDetail,
        RunSummary,
        ScanReport,
        StatusRoot,
        UndoReport,
        VerifyReport,
    )

StrPath = str | os.PathLike[str]
MIN_SIZE = 1 << 20


class Engine:
    """One user's hubfold: its state directory, its plugins, its index.

    `home` is the state directory (default: ``HUBFOLD_HOME``, else the platform's). `progress` is told of long work;
    `stop` is asked between steps. A context manager: leaving it closes the index.
    """

    def __init__(
        self,
        home: StrPath | None = None,
        *,
        environ: Mapping[str, str] = os.environ,
        progress: Progress | None = None,
        stop: Stop | None = None,
        threads: int | None = None,
    ) -> None: ...

    def __enter__(self) -> Engine: ...
    def __exit__(self, *exc: object) -> None: ...
    def close(self) -> None: ...

    @property
    def registry(self) -> Registry: ...

    # finding
    def scan(
        self, paths: Sequence[StrPath] = (), *, backend: str | None = None, min_size: int = MIN_SIZE
    ) -> ScanReport: ...
    def dupes(
        self, paths: Sequence[StrPath] = (), *, limit: int | None = None, sort: str = "size"
    ) -> DupesReport: ...
    def verify(self, targets: Sequence[StrPath] = ()) -> VerifyReport: ...

    # folding
    def plan(
        self,
        paths: Sequence[StrPath] = (),
        *,
        link: LinkKind | None = None,
        min_size: int = MIN_SIZE,
        into: StrPath | None = None,
        across_owners: bool = False,
    ) -> Plan: ...
    def preview(self, plan: Plan) -> ConsolidateReport: ...
    def apply(self, plan: Plan) -> ConsolidateReport: ...

    # taking back
    def runs(self) -> list[RunSummary]: ...
    def run(self, run: str) -> RunDetail: ...
    def preview_undo(self, run: str | None = None) -> UndoReport: ...
    def undo(self, run: str | None = None) -> UndoReport: ...
    def recover(self) -> RecoverReport: ...

    # the vault
    def preview_gc(self) -> GcReport: ...
    def gc(self) -> GcReport: ...

    # roots
    def roots(self) -> list[StatusRoot]: ...
    def add_root(
        self,
        path: StrPath,
        *,
        backend: str | None = None,
        role: Role = Role.SECONDARY,
        limit: int | None = None,
    ) -> StatusRoot: ...
    def remove_root(self, path: StrPath) -> StatusRoot: ...

    # farms
    def preview_farm(self, path: StrPath, models: Sequence[str] = ()) -> FarmReport: ...
    def farm(self, path: StrPath, models: Sequence[str] = ()) -> FarmReport: ...
