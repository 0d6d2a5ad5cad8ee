"""``hubfold dupes``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.guests import stdout

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.content import DuplicateSet, Scope

#: Sets that a terminal gets without --limit; a pipe gets all.
_SCREENFUL = 20
_DIGEST = 12
#: How a digest is known, for a reader.
_KNOWN = {"claimed": "by name", "computed": "as read"}


@options.command(
    "dupes",
    examples=[
        ("hubfold dupes", "the sets that cost most, of all roots"),
        ("hubfold dupes ~/models --sort count", "of this folder, those with the most copies first"),
        ("hubfold dupes --json --limit 0", "all of them, for a script"),
    ],
)
@options.paths
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help=f"Show N sets, 0 for all (default: {_SCREENFUL} on a terminal, else all).",
)
@click.option(
    "--sort",
    type=click.Choice(["size", "count", "path"]),
    default="size",
    show_default=True,
    help="What comes first: what costs most, what has most copies, or by path.",
)
@options.scope
def command(session: Session, paths: tuple[str, ...], limit: int | None, sort: str, scope: Scope) -> None:
    """Show the duplicate sets: files of the same content that take space more than once.

    As the last scan found them. With PATH those that have a file there; their other copies may be in any known root.
    Paths that are one file already (hard links) stand together, the further ones marked "same file".
    """
    output = session.output
    if limit is None:
        limit = _SCREENFUL if stdout().isatty() and not output.as_json else 0
    with session.engine() as engine:
        report = engine.dupes(paths, limit=limit or None, sort=sort, scope=scope)
    if output.as_json:
        output.json(report.as_json())
    elif output.quiet:
        output.names(replica.path for duplicates, _ in report.sets for replica in duplicates.replicas)
    else:
        for duplicates, reclaimable in report.sets:
            _show(output, duplicates, reclaimable)
        output.line(f"{display.size(report.reclaimable_bytes)} reclaimable", "bold")
        if limit and len(report.sets) == limit:
            output.message(f"these are the first {limit}; --limit 0 shows all")
        if report.sets:
            output.message(f"next: {tell.next_command('consolidate --dry-run', paths, scope)}")


def _show(output: Output, duplicates: DuplicateSet, reclaimable: int) -> None:
    payloads = duplicates.payloads
    models = list(dict.fromkeys(replica.repo_id for replica in duplicates.replicas if replica.repo_id))
    algorithm, digest = next(iter(duplicates.digests.items()), ("", ""))
    facts = [
        f"{display.size(duplicates.size)} in {display.count(len(payloads), 'copy', 'copies')}",
        f"{display.size(reclaimable)} reclaimable",
        f"{algorithm} {digest[:_DIGEST]} ({_KNOWN[duplicates.trust]})",
        *models,
    ]
    output.line(", ".join(facts), "bold")
    for replicas in payloads.values():
        for number, replica in enumerate(replicas):
            output.line("  ", path=f"{replica.path}{' (same file)' if number else ''}")
    output.line()
