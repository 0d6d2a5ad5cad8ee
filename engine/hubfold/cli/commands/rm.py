"""``hubfold rm``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.errors import INTERRUPTED
from hubfold.errors import UsageError

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.removals import RemovedModel, RemoveReport


@dataclass(frozen=True, slots=True)
class Asked:
    """What of the models goes."""

    revision: str | None
    with_links: bool
    with_copies: bool
    caches: tuple[str, ...]
    redundant_copies: bool


@options.command(
    "rm",
    examples=[
        ("hubfold rm org/model --dry-run", "what would go, and which links elsewhere keep its content"),
        ("hubfold rm org/model", "the same, then ask, then do it"),
        ("hubfold rm org/model '*.bin'", "some files of it: what only they lead to"),
        ("hubfold rm 'org/*' --dry-run", "all models of org; each part of a name has a pattern of its own"),
        ("hubfold rm org/model --revision 1a2b3c -y", "one revision, with what only it uses"),
        ("hubfold rm datasets/org/data --with-links", "its links in folders of yours too"),
        ("hubfold rm ~/models/model", "one local copy, as `hubfold ls` shows it"),
        ("hubfold rm ~/models/model '*.bin'", "some files of it"),
        ("hubfold rm --redundant-copies ~/models", "the copies there that a cache holds whole"),
    ],
)
@click.argument("models", nargs=-1, metavar="[MODEL|COPY|FILE]...", type=click.UNPROCESSED)
@click.option("--revision", metavar="REVISION", help="Only this revision: a branch, a tag or a commit.")
@click.option("--with-links", is_flag=True, help="Remove links in other folders that read its content, too.")
@click.option(
    "--with-copies", is_flag=True, help="Remove the local copies that clients downloaded of it, too."
)
@click.option(
    "--from",
    "caches",
    multiple=True,
    metavar="CACHE",
    help="Only from this cache (may be repeated); nothing outside it goes.",
)
@click.option(
    "--redundant-copies",
    is_flag=True,
    help="Remove the local copies (below PATH...) that a cache holds whole; never a last one.",
)
@options.full
@options.before_change
@options.gathered(asked=Asked)
def command(session: Session, models: tuple[str, ...], asked: Asked) -> int | None:
    """Remove models from the caches.

    Says first what elsewhere needs their content. That stays readable: the vault keeps it for links of hubfold's, other
    caches for themselves, and what somebody else's link points straight at stays where it is. This cannot be undone.

    Local copies stay too, unless --with-copies is given, or COPY names the folder of one. Of a copy only the files go
    that a client downloaded and nobody changed since. The same command goes on with a removal that was cut short.

    FILEs after one MODEL or COPY, by their names there or patterns, are all that goes of it; of MODEL in caches, with
    --with-copies in local copies too. Without them it is not whole, unless config.toml excludes them, and its client
    downloads them again if it is asked to.

    With --redundant-copies, PATHs instead of models: a copy goes as a whole, if each file of it is in one revision in a
    cache. Each is compared byte for byte right before it goes. One that was changed, or that a link elsewhere reads,
    stays.
    """
    _check(models, asked)
    output = session.output
    with session.engine() as engine:
        tell.recover_first(session, engine)
        if asked.redundant_copies:
            plan = engine.plan_redundant(models)
        else:
            plan = engine.plan_remove(
                models, asked.revision, asked.with_links, with_copies=asked.with_copies, roots=asked.caches
            )
        preview = engine.preview_removal(plan)
        show(output, preview, full=session.full)
        if not tell.goes_on(session, preview, question(preview), nothing=not preview.models):
            return None
        report = engine.apply_removal(plan)
    output.report(report)
    return result(output, report)


def _check(models: tuple[str, ...], asked: Asked) -> None:
    """Raise `UsageError` for flags that make no sense together."""
    if not asked.redundant_copies and not models:
        raise UsageError("no MODEL or COPY was given", "name one, as `hubfold ls` shows it")
    if asked.redundant_copies and (
        asked.revision is not None or asked.with_links or asked.with_copies or asked.caches
    ):
        raise UsageError(
            "--redundant-copies goes with PATHs and nothing else",
            "see `hubfold rm --help` for what it removes",
        )


def show(output: Output, preview: RemoveReport, *, full: bool = False) -> None:
    """What would go, what needs it, what stays."""
    for model in preview.models:
        commits = ", ".join(revision[:12] for revision in model.revisions)
        which = f" ({commits})" if commits else ""
        kind = "" if model.kind == "model" else f"{model.kind} "
        path = model.path if model.path not in ("", model.name) else ""
        output.line(f"remove {kind}{model.name}{which}{': ' if path else ''}", "bold", path=path)
        if model.held_by:
            output.line("  stays whole in ", path=model.held_by)
        elif model.last:
            output.line("  the last whole copy that is known")
    for needed in preview.needed:
        output.line(f"needed by {needed.path}: {needed.becomes}")
    tell.left_alone(output, tell.reasons(preview.left), full=full, noun="path")
    tell.goes(output, (*preview.removed, *preview.vault_files), preview.folders, full=full)
    tell_last_copies(output, preview.last_copies, full=full)
    files = display.count(len(preview.removed), "file")
    output.line(f"{files} to remove, {display.size(preview.bytes)} to reclaim", "bold")


def tell_last_copies(output: Output, paths: Sequence[str], *, full: bool) -> None:
    """The files that go and whose content is nowhere else, as far as is known."""
    if paths:
        output.line(f"the last known copy of their content, {display.count(len(paths), 'file')}:")
        tell.some(output, paths, full=full)


def result(output: Output, report: RemoveReport) -> int | None:
    """How it went; the exit code."""
    code = tell.failures(output, report.failed)
    files = display.count(len(report.removed), "file")
    output.line(f"removed {files}, reclaimed {display.size(report.bytes)}", "bold")
    if report.interrupted:
        output.message("stopped before the end: the same command goes on from here")
        return INTERRUPTED
    return code or None


def question(preview: RemoveReport) -> str:
    """A last whole copy is asked about in other words than one of several."""
    what, size = _what(preview), display.size(preview.bytes)
    last = [model.name for model in preview.models if model.last]
    if last:
        which = what if len(last) == len(preview.models) else display.count(len(last), "model")
        return (
            f"This is the last whole copy of {which}. Remove {what} and reclaim {size}? It cannot be undone."
        )
    if preview.models and all(model.held_by for model in preview.models):
        return f"Remove {what} here, which stays whole elsewhere, and reclaim {size}? It cannot be undone."
    return f"Remove {what} and reclaim {size}? It cannot be undone."


def _what(preview: RemoveReport) -> str:
    names = list(dict.fromkeys(_named(model) for model in preview.models))
    return names[0] if len(names) == 1 else display.count(len(names), "model")


def _named(model: RemovedModel) -> str:
    """The whole of a model is called by its name, anything else by what sort of thing it is."""
    return model.name if model.kind in ("model", "revision") else f"{model.kind} {model.name}"
