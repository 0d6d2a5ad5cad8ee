"""``hubfold export``.

``--json``: ``{"path", "files", "bytes", "left_out"}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options

if TYPE_CHECKING:
    from hubfold.cli.options import Session


@options.command(
    "export",
    examples=[
        ("hubfold export /mnt/share/fleet", "what the last scan of this host found, as one file"),
        ("hubfold export /mnt/share/fleet -q", "the same from cron: only the path of the file"),
        ("hubfold export /mnt/share/fleet --all-users", "also files that are other users', with their paths"),
    ],
)
@click.argument("folder", metavar="DIR", type=click.UNPROCESSED)
@click.option("--all-users", is_flag=True, help="Take in files of other users, and so their paths.")
def command(session: Session, folder: str, all_users: bool) -> None:
    """Write the index of this host into DIR, for `hubfold fleet`.

    One Parquet file a host and user, which only you can read until you say otherwise (chmod), replaced as a whole by
    the next export. It has names, sizes, digests and models, no content. Needs `pip install 'hubfold[fleet]'`.
    """
    output = session.output
    with session.engine() as engine:
        report = engine.export(folder, all_users=all_users)
    output.report(report)
    if output.quiet:
        output.names([report.path])
        return
    output.line(
        f"exported {display.count(report.files, 'file')}, {display.size(report.bytes)}: ", path=report.path
    )
    if report.others:
        output.message(
            f"left out {display.count(report.others, 'file')} of other users (--all-users takes them in)"
        )
