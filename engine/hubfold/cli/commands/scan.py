"""``hubfold scan``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options
from hubfold.cli.errors import SOME_LEFT
from hubfold.cli.output import Column

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.scans import ScanReport


@options.command(
    "scan",
    examples=[
        ("hubfold scan", "the registered roots, and the caches that the environment names"),
        ("hubfold scan ~/models /mnt/nas", "these folders, whatever layouts are in them"),
        ("hubfold scan --json | jq .reclaimable_bytes", "for a script"),
    ],
)
@options.paths
@click.option("--backend", metavar="NAME", help="The layout of PATH (default: what it is recognised as).")
@options.min_size
@options.threads
def command(session: Session, paths: tuple[str, ...], backend: str | None, min_size: int) -> int | None:
    """Walk the roots and tell what duplicates cost.

    Updates the index and changes nothing else. Files whose digest is known from their name or metadata are not read; a
    second scan reads only what has changed.
    """
    with session.engine() as engine:
        report = engine.scan(paths, backend=backend, min_size=min_size)
    session.output.report(report)
    if not session.output.as_json:
        show(session.output, report)
    return SOME_LEFT if report.failed else None


def show(output: Output, report: ScanReport) -> None:
    """The space per root and what duplicates cost."""
    for warning in report.warnings:
        output.warning(warning.line)
    for root in report.roots:
        if root.error is not None:
            output.warning(f"{root.path}: {root.error}")
    columns = [
        Column("SIZE", right=True),
        Column("ON DISK", right=True),
        Column("FILES", right=True),
        Column("BACKEND"),
        Column("ROLE"),
        Column("ROOT"),
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
    if report.duplicate_sets:
        output.line(
            f"{display.count(report.duplicate_sets, 'duplicate set')}, "
            f"{display.size(report.reclaimable_bytes)} reclaimable",
            "bold",
        )
    else:
        output.line("no duplicates", "bold")
    output.message(
        f"{display.count(report.files, 'file')} in {display.duration(report.seconds)}, "
        f"{display.size(report.bytes_read)} of content read"
    )
    if report.duplicate_sets:
        output.message("next: hubfold consolidate --dry-run")
