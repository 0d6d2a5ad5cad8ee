"""A plan without what plugins are against."""

from __future__ import annotations

from dataclasses import replace

from hubfold.backend.policies import Policies
from hubfold.folding.plan import Plan, Skip


def without_vetoed(plan: Plan, policies: Policies) -> Plan:
    """The same without what a plugin is against; with one name of a payload all of its names stay."""
    if not policies.has("hubfold_veto"):
        return plan
    against = {one.victim.payload: reason for one in plan.actions if (reason := policies.veto(one))}
    stay = [
        Skip(one.path, against[one.victim.payload]) for one in plan.actions if one.victim.payload in against
    ]
    actions = tuple(action for action in plan.actions if action.victim.payload not in against)
    return replace(plan, actions=actions, skipped=(*plan.skipped, *stay))
