"""Farms: folders of links that show a cache under the names of models, or as a program expects its own files."""

from __future__ import annotations

import os
from collections.abc import Sequence

from hubfold.disk.paths import named
from hubfold.engine import running
from hubfold.engine.programs import Programs, farm_folder
from hubfold.engine.scanning import Scanning
from hubfold.engine.workspace import StrPath, Workspace
from hubfold.errors import Interrupted
from hubfold.farm import build
from hubfold.farm import plan as farm_plan
from hubfold.farm.plan import FarmPlan
from hubfold.reports.outcomes import Failed
from hubfold.reports.runs import FarmReport


class Farming:
    """Builds farms and refreshes them."""

    def __init__(self, workspace: Workspace, scanning: Scanning) -> None:
        self._workspace = workspace
        self._scanning = scanning
        self.programs = Programs(workspace, scanning)

    def preview_farm(
        self, path: StrPath, models: Sequence[str] = (), *, program: str | None = None
    ) -> FarmReport:
        """What building or refreshing the farm at `path` would do. Scans the caches first."""
        if program is not None:
            return self.programs.preview(program, path, models)
        return _farm_report(self.plan(path, models), None, ())

    def farm(
        self,
        path: StrPath,
        models: Sequence[str] = (),
        *,
        snapshots: Sequence[StrPath] = (),
        program: str | None = None,
    ) -> FarmReport:
        """See `Engine.farm`."""
        if program is not None:
            return self.programs.fill(program, path, models, snapshots)
        plan = self.plan(path, models, snapshots)
        if not plan.changes:
            return _farm_report(plan, None, ())
        with running.changing(self._workspace, "farm") as book:
            state = "finished"
            try:
                failed = build.build(plan, book, progress=self._workspace.progress, stop=self._workspace.stop)
            except Interrupted:
                state, failed = "interrupted", []
            book.append("end", state=state)
        return _farm_report(plan, book.run, failed)

    def plan(self, path: StrPath, models: Sequence[str], snapshots: Sequence[StrPath] = ()) -> FarmPlan:
        """Which links the farm at `path` is to have. Scans first."""
        asked = [self._workspace.model_name(model) for model in models]
        folder = farm_folder(named(path))
        self._scanning.scan()
        only = {os.path.realpath(one) for one in snapshots}
        roots = self._workspace.by_role(self._workspace.scanned(vaults=True))
        holdings = self._workspace.holdings(roots)
        # Copies and farms come from caches in their turn. A store that allows no vault has nothing for a farm, unless a
        # model of it is asked for: then its user is told why.
        found = [
            held.snapshot
            for held in holdings.held()
            if holdings.is_cache(held.root) and (asked or holdings.backend(held.root).vault_places(held.root))
        ]
        chosen = [one for one in found if one.path in only] if only else farm_plan.chosen(found, asked)
        places = {root.path: root for root in roots}
        wanted, left = farm_plan.wanted_links(
            chosen, folder, self._workspace.index, places, self._workspace.backends, flat=len(only) == 1
        )
        return farm_plan.compare(folder, wanted, left)


def _farm_report(plan: FarmPlan, run: str | None, failed: Sequence[Failed]) -> FarmReport:
    missing = {failure.path for failure in failed}
    added = [*(item.name for item in plan.add), *(item.name for item, _ in plan.replace)]
    paths = (os.path.join(plan.path, name) for name in added)
    return FarmReport(
        path=plan.path,
        run=run,
        added=tuple(path for path in paths if path not in missing),
        kept=plan.keep,
        removed=tuple(os.path.join(plan.path, name) for name, _ in plan.remove),
        left=plan.left,
        failed=tuple(failed),
    )
