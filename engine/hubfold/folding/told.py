"""Plans and their actions as reports tell them."""

from __future__ import annotations

from hubfold.folding.plan import Action, Plan
from hubfold.reports.outcomes import Left
from hubfold.reports.runs import ConsolidateReport, Done


def done(action: Action) -> Done:
    """An action that was carried out, or would be."""
    return Done(
        path=action.path,
        keeper=action.keeper.path,
        target=action.target,
        link=str(action.link),
        reason=action.reason,
        bytes=action.bytes,
    )


def preview(plan: Plan) -> ConsolidateReport:
    """A plan in the form of a report, with no run."""
    return ConsolidateReport(
        run=None,
        actions=tuple(map(done, plan.actions)),
        skipped=tuple(Left(skip.path, skip.reason) for skip in plan.skipped),
        failed=(),
        reclaimed_bytes=plan.bytes,
        notes=plan.notes,
    )
