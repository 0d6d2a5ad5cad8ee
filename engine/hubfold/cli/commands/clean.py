"""``hubfold clean``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.backend.changes import LEFTOVER_AGE, LeftoverKind
from hubfold.cli import options, tell
from hubfold.cli.commands.rm import result
from hubfold.errors import NeedsConfirmation, UsageError

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.removals import RemovedModel, RemoveReport


@options.command(
    "clean",
    examples=[
        ("hubfold clean --dry-run", "what clients left behind, and what it takes"),
        ("hubfold clean", "the same, then ask, then remove it"),
        ("hubfold clean --older-than 7d -y", "only what nobody has touched for a week"),
        ("hubfold clean --old-revisions -y", "revisions that no branch or tag names, too"),
        ("hubfold clean --all ~/.cache/huggingface/hub", "empty a cache, after its name was typed"),
    ],
)
@options.paths
@click.option("--old-revisions", is_flag=True, help="Remove revisions that no branch or tag names.")
@click.option("--all", "cache", metavar="CACHE", help="Empty this cache: every model in it.")
@click.option(
    "--older-than",
    callback=options.as_age,
    default=display.time_span(LEFTOVER_AGE),
    show_default=True,
    metavar="AGE",
    help="Leave alone what was touched since: 7d, 12h, 90m, or a number of hours.",
)
@options.full
@options.before_change
def command(
    session: Session,
    paths: tuple[str, ...],
    old_revisions: bool,
    cache: str | None,
    older_than: float,
) -> int | None:
    """Remove what was left behind.

    Interrupted downloads, content that no model or revision uses, stale locks, empty repositories, dangling links of
    hubfold. Looks at the roots given by PATH, or at all. What was touched within the last day may be gone on with and
    is left alone; --older-than 0 takes it too. What a program is at, by its lock, stays.
    """
    output = session.output
    if cache is not None and (paths or old_revisions):
        raise UsageError(
            "--all goes with no PATH and no --old-revisions", "it empties the cache that it names"
        )
    with session.engine() as engine:
        tell.recover_first(session, engine)
        if cache is not None:
            plan = engine.plan_clean_all(cache)
        else:
            plan = engine.plan_clean(paths, old_revisions=old_revisions, older_than=older_than)
        preview = engine.preview_removal(plan)
        _show(output, preview, full=session.full)
        question: str | Callable[[], bool] = f"Remove this and reclaim {display.size(preview.bytes)}?"
        if cache is not None and not session.yes:
            question = partial(_typed_its_name, output, preview)
        if not tell.goes_on(session, preview, question, nothing=not preview.models):
            return None
        report = engine.apply_removal(plan, "clean")
    output.report(report)
    return result(output, report)


def _show(output: Output, preview: RemoveReport, *, full: bool) -> None:
    by_kind: dict[str, list[str]] = {}
    for model in preview.models:
        by_kind.setdefault(model.kind, []).append(f"{model.kind}: {_name(model)}")
    if locks := by_kind.pop(LeftoverKind.LOCK, []):
        output.line(f"{display.count(len(locks), LeftoverKind.LOCK)}")
    for lines in by_kind.values():
        tell.some(output, lines, full=full, indent="")
    for needed in preview.needed:
        output.line(f"needed by {needed.path}: {needed.becomes}")
    tell.left_alone(output, tell.reasons(preview.left), full=full)
    told = {model.path for model in preview.models if model.kind in by_kind and not model.revisions}
    paths = [path for path in (*preview.removed, *preview.vault_files) if path not in told]
    tell.goes(output, paths, [path for path in preview.folders if path not in told], full=full)
    files = display.count(len(preview.removed), "file")
    output.line(f"{files} to remove, {display.size(preview.bytes)} to reclaim", "bold")


def _name(model: RemovedModel) -> str:
    commits = ", ".join(commit[:12] for commit in model.revisions)
    return f"{model.name} ({commits})" if commits else model.path


def _typed_its_name(output: Output, preview: RemoveReport) -> bool:
    if not output.can_ask:
        output.report(preview)
        raise NeedsConfirmation(
            "this would empty a cache and there is nobody to ask; nothing was changed",
            "give -y to do it without a question, or --dry-run to only look",
        )
    name = preview.models[0].root
    if output.ask(f"Type {name} to remove every model in it:").rstrip("\n") == name:
        return True
    output.message("that is not its name: nothing was changed")
    return False
