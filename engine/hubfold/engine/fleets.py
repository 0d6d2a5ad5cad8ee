"""This host's index written down for others, and those of many hosts asked."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hubfold.disk.identity import Mounts, this_machine
from hubfold.disk.paths import canonical
from hubfold.engine.workspace import StrPath, Workspace
from hubfold.errors import HubfoldError, RootError, UsageError
from hubfold.fleet import ask, export, questions
from hubfold.reports.fleet import ExportReport, FleetReport


class Fleets:
    """Exports an index, and answers questions about exported ones."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def export(self, folder: StrPath, *, all_users: bool = False) -> ExportReport:
        """See `Engine.export`."""
        path = canonical(folder)
        if not os.path.isdir(path):
            raise RootError(
                f"{path} is no folder", "make it first, where the other hosts can read it: mkdir -p"
            )
        known = {root.path for root in self._workspace.scanned()} if self._workspace.has_index else set()
        index = self._workspace.index if known else None
        states = index.states() if index is not None else []
        roots = {one.root.path: one.scanned_at for one in states if one.root.path in known and one.scanned_at}
        if index is None or not roots:
            raise HubfoldError("there is nothing to export: no root was scanned yet", "hubfold scan")
        owner = None if all_users or not hasattr(os, "geteuid") else os.geteuid()
        source = export.Source(roots, index.replicas, this_machine(Mounts.now()), owner)
        return export.export(path, source)

    def fleet(
        self, places: Sequence[StrPath], wanted: Sequence[str], *, model: str, limit: int, stale_after: float
    ) -> FleetReport:
        """See `Engine.fleet`."""
        paths = ask.exported_at([os.fspath(place) for place in places])
        found = ask.ask(paths, _known(wanted), model=model, limit=limit, stale_after=stale_after)
        if model and not found.answers[0].rows:
            raise HubfoldError(
                f"no host of these has {model}", "hubfold fleet DIR --show held tells which models there are"
            )
        return found

    def explain(self, places: Sequence[StrPath], wanted: Sequence[str], *, model: str) -> str:
        """See `Engine.explain_fleet`."""
        return ask.explained(
            ask.exported_at([os.fspath(place) for place in places]), _known(wanted), model=model
        )


def _known(wanted: Sequence[str]) -> Sequence[str]:
    for word in wanted:
        if word not in questions.QUESTIONS:
            raise UsageError(f"{word} is no question", f"one of: {', '.join(questions.QUESTIONS)}")
    return wanted or tuple(questions.QUESTIONS)
