"""``hubfold scan``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.errors import SOME_LEFT
from hubfold.cli.output import Column

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.content import Scope
    from hubfold.reports.scans import ScanReport


@options.command(
    "scan",
    examples=[
        ("hubfold scan", "the registered roots, and the caches that the environment names"),
        ("hubfold scan ~/models", "this folder, and what it has in common with the roots"),
        ("hubfold scan --only /mnt/a /mnt/b", "these two folders and nothing else"),
        ("hubfold scan --json | jq .reclaimable_bytes", "for a script"),
    ],
)
@options.paths
@click.option("--backend", metavar="NAME", help="The layout of PATH (default: what it is recognised as).")
@options.min_size
@options.threads
@options.executor
@options.scope
def command(
    session: Session, paths: tuple[str, ...], backend: str | None, min_size: int, scope: Scope
) -> int | None:
    """Walk the roots and tell what duplicates cost.

    The roots that were added (`hubfold roots add`), configured, or found by the environment. With PATH that folder,
    and what it has in common with them; it does not become a root. Updates the index and changes nothing else. Files
    whose digest is known from their name or metadata are not read; a second scan reads only what has changed.
    """
    with session.engine() as engine:
        report = engine.scan(paths, backend=backend, min_size=min_size, scope=scope)
    session.output.report(report)
    if not session.output.as_json:
        show(session.output, report)
        tell.parts_of(session.output, paths, [root.path for root in report.roots])
        if report.duplicate_sets:
            following = tell.next_command("consolidate --dry-run", paths, scope, "min_size")
            session.output.message(f"next: {following}")
    return SOME_LEFT if report.failed else None


def show(output: Output, report: ScanReport) -> None:
    """The space per root and what duplicates cost."""
    columns = [
        Column("SIZE", right=True),
        Column("ON DISK", right=True),
        Column("FILES", right=True),
        Column("BACKEND"),
        Column("ROLE"),
        Column("ROOT", below=True),
    ]
    output.table(
        columns,
        [
            [
                display.size(root.bytes),
                display.size(root.allocated_bytes),
                f"{root.files:,}",
                root.backend,
                str(root.role),
                root.path,
            ]
            for root in report.roots
        ],
    )
    output.line()
    if report.space is not None and report.files:
        tell.space(output, report.space, report.reclaimable_bytes, about="about" if report.estimated else "")
        output.line()
    if report.unreferenced:
        tell.unreferenced(output, report.unreferenced)
        output.line()
    if report.duplicate_sets:
        output.line(
            f"{display.count(report.duplicate_sets, 'duplicate set')}, "
            f"{'about ' if report.estimated else ''}{display.size(report.reclaimable_bytes)} reclaimable",
            "bold",
        )
    else:
        output.line("no duplicates", "bold")
    for warning in report.warnings:
        output.warning(warning.line)
    for root in report.roots:
        if root.error is not None:
            output.warning(f"{root.path}: {root.error}")
    if report.left_out:
        what = ", ".join(f"{name} ({count:,})" for name, count in report.left_out.items())
        output.message(f"folders left out: {what}; --all-files looks into those that are not hubfold's own")
    output.message(
        f"{display.count(report.files, 'file')} in {display.duration(report.seconds)}, "
        f"{display.size(report.bytes_read)} of content read"
    )
