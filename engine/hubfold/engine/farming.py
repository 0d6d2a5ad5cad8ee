"""What `Engine` does about farms: folders of links that show a cache under the names of models."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from hubfold.engine.scanning import Finding
from hubfold.engine.workspace import StrPath
from hubfold.errors import HubfoldError, Interrupted

if TYPE_CHECKING:
    from hubfold.farm.plan import FarmPlan
    from hubfold.reports.outcomes import Failed
    from hubfold.reports.runs import FarmReport


class Farming(Finding):
    """The part of `Engine` that builds farms and refreshes them."""

    def preview_farm(self, path: StrPath, models: Sequence[str] = ()) -> FarmReport:
        """What building or refreshing the farm at `path` would do. Scans the caches first."""
        return _farm_report(self._plan_farm(path, models), None, ())

    def farm(
        self, path: StrPath, models: Sequence[str] = (), *, snapshots: Sequence[StrPath] = ()
    ) -> FarmReport:
        """Build or refresh the farm at `path` with links to `models` (default: all). Journalled, can be undone.

        `snapshots` names folders of revisions instead; a single one is linked without its model's name before it.
        """
        from hubfold.care import recovery
        from hubfold.farm import build
        from hubfold.journal import lock

        plan = self._plan_farm(path, models, snapshots)
        if not plan.changes:
            return _farm_report(plan, None, ())
        with lock.exclusive(self.state, "farm"):
            recovery.recover(self.state)
            with self._begin("farm") as book:
                state = "finished"
                try:
                    failed = build.build(plan, book, progress=self.progress, stop=self.stop)
                except Interrupted:
                    state, failed = "interrupted", []
                book.append("end", state=state)
        return _farm_report(plan, book.run, failed)

    def _plan_farm(self, path: StrPath, models: Sequence[str], snapshots: Sequence[StrPath] = ()) -> FarmPlan:
        from hubfold.farm import plan as farm_plan
        from hubfold.scanning.walk import TreeWalk

        asked = [self.model_name(model) for model in models]
        folder = os.path.abspath(os.path.expanduser(os.fspath(path)))
        if os.path.lexists(folder) and not os.path.isdir(folder):
            raise HubfoldError(f"{folder} is no directory", "name a folder for the farm, new or existing")
        self.scan()
        only = {os.path.realpath(one) for one in snapshots}
        roots = self._by_role(self._open_index.roots(vaults=True))
        found = [
            snapshot
            for root in roots
            # Copies and farms come from caches in their turn.
            if self._backends[root.backend].capabilities.cache
            for snapshot in self._backends[root.backend].snapshots(root, TreeWalk(root, self._backends))
        ]
        chosen = [one for one in found if one.path in only] if only else farm_plan.chosen(found, asked)
        places = {root.path: root for root in roots}
        wanted, left = farm_plan.wanted_links(
            chosen, folder, self._open_index, places, self._backends, flat=len(only) == 1
        )
        return farm_plan.compare(folder, wanted, left)


def _farm_report(plan: FarmPlan, run: str | None, failed: Sequence[Failed]) -> FarmReport:
    from hubfold.reports.runs import FarmReport

    missing = {failure.path for failure in failed}
    added = [*(item.name for item in plan.add), *(item.name for item, _ in plan.replace)]
    return FarmReport(
        plan.path,
        run,
        tuple(path for name in added if (path := os.path.join(plan.path, name)) not in missing),
        plan.keep,
        tuple(os.path.join(plan.path, name) for name, _ in plan.remove),
        plan.left,
        tuple(failed),
    )
