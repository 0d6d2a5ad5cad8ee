"""``hubfold consolidate``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.errors import INTERRUPTED, SOME_LEFT
from hubfold.cli.output import Column

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.content import IndexedReplica, Scope
    from hubfold.folding.plan import Action, Plan
    from hubfold.reports.runs import ConsolidateReport

#: What the command after a dry run gets as the dry run got it.
_SAME = ("link", "min_size", "into", "models", "root", "across_owners", "within")
#: From here on a terminal gets one row per model instead of one per file.
_LONG = 40


@dataclass(frozen=True, slots=True)
class How:
    """What the flags say of the plan."""

    link: str
    into: str | None
    across_owners: bool
    root: tuple[str, ...]


@options.command(
    "consolidate",
    examples=[
        ("hubfold consolidate --dry-run", "what would be replaced by what, and why"),
        ("hubfold consolidate", "the same, then ask, then do it"),
        (
            "hubfold consolidate ~/models",
            "replace only files of this folder, by copies wherever a root has them",
        ),
        ("hubfold consolidate --model org/name", "only copies of what this model has"),
        (
            "hubfold consolidate --within ~/models",
            "only links that a container sees which mounts this folder",
        ),
        ("hubfold consolidate --link hardlink -y", "hard links instead, and no question"),
    ],
)
@options.paths
@click.option(
    "--link",
    type=click.Choice(["auto", "reflink", "hardlink", "symlink"]),
    default="auto",
    show_default=True,
    help="What to leave in place of a copy; auto: the safest kind that the file systems and programs allow.",
)
@options.min_size
@click.option("--into", metavar="CACHE", help="Fold into this cache: its copies stay before those of others.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="ORG/NAME",
    help="Only what this model has a copy of (may be repeated).",
)
@click.option(
    "--root", multiple=True, metavar="PATH", help="Replace only files of this known root (may be repeated)."
)
@click.option(
    "--within",
    default="",
    metavar="DIR",
    help="Make only links that stay inside DIR, relative ones: a mount of DIR shows them whole.",
)
@click.option("--across-owners", is_flag=True, help="Merge files of different owners too.")
@options.full
@options.before_change
@options.threads
@options.executor
@options.scope
@options.gathered(how=How)
def command(session: Session, paths: tuple[str, ...], min_size: int, how: How, scope: Scope) -> int | None:
    """Fold duplicates into one copy and leave a link in each old place.

    Scans the known roots, shows the plan, asks, and does it. With PATH only files there are replaced, and copies in
    known roots are kept; with --within DIR what lies outside of DIR is neither replaced nor kept. Right before a file
    is replaced it is compared byte for byte with the one that stays. `hubfold undo` takes the run back.
    """
    from hubfold.content import LinkKind

    output = session.output
    with session.engine() as engine:
        tell.recover_first(session, engine)
        typed = paths
        paths = (*paths, *map(engine.root_named, how.root))
        if scope.within and not paths:
            paths = (scope.within,)
        where = [*paths, how.into] if paths and how.into is not None else paths
        scan = engine.scan(where, min_size=min_size, scope=scope, promise=False)
        for root in scan.roots:
            if root.error is not None:
                output.warning(f"{root.path}: {root.error}")
        for notice in scan.warnings:
            if notice.kind == "unreadable":
                output.warning(notice.line)
        plan = engine.plan(
            paths,
            link=None if how.link == "auto" else LinkKind(how.link),
            min_size=min_size,
            into=how.into,
            across_owners=how.across_owners,
            scope=scope,
        )
        preview = engine.preview(plan)
        show(output, plan, full=session.full)
        incomplete = SOME_LEFT if scan.failed else None
        dry = f"{tell.DRY_RUN}. Next: {tell.next_command('consolidate', typed, scope, *_SAME)}"
        if not tell.goes_on(session, preview, question(plan), nothing=not plan.actions, dry=dry):
            return incomplete
        report = engine.apply(plan)
        saved = None if output.as_json or output.quiet else engine.saved()
    output.report(report)
    otherwise(output, preview, report)
    code = result(output, report) or incomplete
    if saved and saved > report.reclaimed_bytes:
        output.line(f"saved so far, by all folds: {display.size(saved)}")
    return code


def show(output: Output, plan: Plan, *, full: bool) -> None:
    """What would be replaced by what, and why; what stays."""
    if not plan.actions:
        output.line("nothing to replace", "bold")
    for_people = output.to_terminal and not full
    condensed = len(plan.actions) > _LONG and for_people
    place = partial(output.place, full=full)
    name = partial(_place, output) if for_people else attrgetter("path")
    for model, actions in _by_model(plan).items():
        frees = display.size(sum(action.bytes for action in actions))
        output.line(f"{place(model)}: {_files(len(actions))}, {frees}", "bold")
        if condensed:
            output.line(f"  below {place(_common(action.path for action in actions))}")
        else:
            output.table(
                [Column("  FREES", right=True), Column("LINK"), Column("REPLACES")],
                [[display.size(action.bytes), str(action.link), name(action.victim)] for action in actions],
            )
        kept = {name(action.keeper) for action in actions}
        stays = kept.pop() if len(kept) == 1 else place(_common(action.keeper.path for action in actions))
        output.line(f"  stays: {stays}")
        for kind, reason in dict.fromkeys((action.link, action.reason) for action in actions):
            output.line(f"  {kind}: {place(reason)}")
        output.line()
    tell.left_alone(output, [(skip.path, skip.reason) for skip in plan.skipped], full=full)
    for note in plan.notes:
        output.line(f"note: {note}")
    if plan.actions:
        output.line(f"{_files(len(plan.actions))} to replace, {display.size(plan.bytes)} to reclaim", "bold")
        if condensed:
            output.message("--full lists every file")
        elif for_people:
            output.message("--full shows whole paths")


def otherwise(output: Output, preview: ConsolidateReport, report: ConsolidateReport) -> None:
    """What the file system refused as it was planned, and what was done instead."""
    planned = {action.path: (action.link, action.keeper) for action in preview.actions}
    others = [a for a in report.actions if (a.link, a.keeper) != planned.get(a.path)]
    for kind, reason in dict.fromkeys((action.link, action.reason) for action in others):
        output.line(f"otherwise than planned: {kind}: {reason}")


def question(plan: Plan) -> str:
    """What is asked before it is done."""
    return f"Replace {_files(len(plan.actions))} by links and reclaim {display.size(plan.bytes)}?"


def result(output: Output, report: ConsolidateReport) -> int | None:
    """How it went; the exit code."""
    code = tell.failures(output, report.failed)
    output.line(
        f"replaced {_files(len(report.actions))}, reclaimed {display.size(report.reclaimed_bytes)}", "bold"
    )
    if report.run is not None and report.actions:
        output.message(f"run {report.run}; `hubfold undo` takes it back")
    if report.interrupted:
        output.message("stopped before the end: what is done stays done; the same command goes on from here")
        return INTERRUPTED
    return code or None


def _by_model(plan: Plan) -> dict[str, list[Action]]:
    groups: dict[str, list[Action]] = {}
    for action in plan.actions:
        model = action.keeper.repo_id or action.victim.repo_id or action.keeper.root
        groups.setdefault(model, []).append(action)
    return groups


def _place(output: Output, replica: IndexedReplica) -> str:
    """Where a file is to a person: a name that is only a digest says nothing, its model and its root do."""
    if os.path.basename(replica.path) not in replica.digests.values():
        return output.place(replica.path)
    return f"{output.place(replica.root)} ({replica.repo_id or 'kept by hubfold'})"


def _common(paths: Iterable[str]) -> str:
    """The one path, or the deepest folder that all have in common."""
    distinct = set(paths)
    # What the first and the last in order have in common, all have.
    ends = min(distinct), max(distinct)
    return ends[0] if len(distinct) == 1 else os.path.join(os.path.commonpath(ends), "")


def _files(number: int) -> str:
    return display.count(number, "file")
