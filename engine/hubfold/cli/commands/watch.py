"""``hubfold watch``.

``--once --json``: ``{"models": [{"id", "state", "cached", "size_bytes", "physical_bytes"}], "downloads": [{"path",
"model", "name", "bytes", "expected_bytes", "running", "bytes_per_second"}], "disks": [{"mount", "total_bytes",
"free_bytes", "free_bytes_per_second", "roots"}], "physical_bytes", "bytes_per_second", "warnings": [{"path",
"message"}]}``; rates are between two looks that are ``--interval`` apart. Without ``--once`` the same for every look,
each on a line of its own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.output import Sheet
from hubfold.cli.tables import Column
from hubfold.errors import UsageError

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.models import Download, Look


@options.command(
    "watch",
    examples=[
        ("hubfold watch", "a live view; Ctrl-C ends it"),
        ("hubfold watch --interval 10", "look every ten seconds"),
        ("hubfold watch --once --json", "one report, for monitoring"),
        ("hubfold watch --interval 60 --json >> looks.jsonl", "a line a minute, for a script"),
    ],
)
@click.option(
    "--interval",
    type=click.FloatRange(min=0.1, max=86400),
    metavar="SECONDS",
    help="Seconds between two looks (default: 2, with --once 1).",
)
@click.option("--once", is_flag=True, help="Look twice, tell what is there and how fast it grows, and end.")
def command(session: Session, interval: float | None, once: bool) -> None:
    """Show models, space and running downloads, and how they grow.

    On a terminal a live view; into a pipe or a file a line a look, with --json each a document, until Ctrl-C.
    A download runs if it has grown since the look before. Only names and sizes are looked at; nothing is changed.
    """
    output = session.output
    if not once and output.quiet:
        raise UsageError("with -q there is nothing to show", "give --json for one document a look")
    pause = interval if interval is not None else 1.0 if once else 2.0
    with session.engine() as engine, session.ended_by_interrupt():
        before = engine.look()
        if once:
            session.stop.wait(pause)
            look = engine.look(before)
            if output.as_json:
                output.json(look.as_json())
            else:
                output.sheet(_sheet(look))
                tell.warnings(output, look.warnings)
            return
        if not output.can_draw:
            while not session.stop:
                session.stop.wait(pause)
                before = engine.look(before)
                _line(output, before)
            return
        with output.screen() as draw:
            while not session.stop:
                draw(_sheet(before))
                session.stop.wait(pause)
                before = engine.look(before)


def _line(output: Output, look: Look) -> None:
    """One look for whoever reads along: it is written at once."""
    if output.as_json:
        output.json_line(look.as_json())
        return
    free = ", ".join(f"{display.size(disk.free_bytes)} free of {disk.mount}" for disk in look.disks)
    when = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    output.line(f"{when}  {_headline(look)}{f', {free}' if free else ''}")
    output.deliver()


def _headline(look: Look) -> str:
    running = sum(1 for download in look.downloads if download.rate)
    return (
        f"{display.count(len(look.models), 'model')}, {display.size(look.physical_bytes)} on disk"
        f"{_change(look.rate)}, {display.count(running, 'running download')}"
    )


def _sheet(look: Look) -> Sheet:
    downloads = [
        Column("SIZE", right=True),
        Column("OF", right=True),
        Column("RATE", right=True),
        Column("MODEL", name=True),
        Column("DOWNLOAD"),
    ]
    disks = [
        Column("FREE", right=True),
        Column("OF", right=True),
        Column("CHANGE", right=True),
        Column("DISK"),
    ]
    models = [
        Column("SIZE", right=True),
        Column("ON DISK", right=True),
        Column("STATE"),
        Column("MODEL"),
    ]
    return Sheet(
        (_headline(look),),
        (
            (downloads, [_download(download) for download in look.downloads]),
            (
                disks,
                [
                    [
                        display.size(disk.free_bytes),
                        display.size(disk.total_bytes),
                        _change(disk.rate).strip(),
                        disk.mount,
                    ]
                    for disk in look.disks
                ],
            ),
            (
                models,
                [
                    [
                        display.size(model.bytes),
                        display.size(model.physical_bytes),
                        str(model.state),
                        model.id,
                    ]
                    for model in sorted(look.models, key=lambda model: -model.physical_bytes)
                ],
            ),
        ),
    )


def _download(download: Download) -> list[str]:
    if download.rate is None:
        rate = ""
    else:
        rate = f"{display.size(round(download.rate))}/s" if download.rate else "stands still"
    expected = display.size(download.expected_bytes) if download.expected_bytes is not None else "?"
    return [display.size(download.bytes), expected, rate, download.model, download.name or download.path]


def _change(rate: float | None) -> str:
    if rate is None or round(rate) == 0:
        return ""
    return f" {'+' if rate > 0 else ''}{display.size(round(rate))}/s"
