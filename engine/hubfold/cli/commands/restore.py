"""``hubfold restore``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.commands.backup import show

if TYPE_CHECKING:
    from hubfold.cli.options import Session


@options.command(
    "restore",
    examples=[
        ("hubfold restore /mnt/usb/models", "every model of the backup, into the cache"),
        ("hubfold restore models.tar.zst org/small -y", "one of them, without a question"),
        ("hubfold restore models.tar --into /data/hub --dry-run", "what it would make in another cache"),
    ],
)
@click.argument("source", metavar="DIR|FILE.tar[.zst]", type=click.UNPROCESSED)
@click.argument("models", nargs=-1, metavar="[MODEL]...", type=click.UNPROCESSED)
@click.option(
    "--into", metavar="FOLDER", help="Into this cache, place or folder, instead of the client's own."
)
@options.before_change
def command(session: Session, source: str, models: tuple[str, ...], into: str | None) -> int | None:
    """Restore models from a backup.

    Every file is compared with its sha256 before it is put into place; what is there already stays. After an
    interruption the same command goes on. Models of other layouts than the cache go to the first known root of their
    own; a folder that you name is for models of one layout. What has no place is told, and the others are restored.
    """
    output = session.output
    with session.engine() as engine:
        tell.recover_first(session, engine)
        plan = engine.plan_restore(source, models, into=into)
        preview = engine.preview_restore(plan)
        show(output, preview.models)
        files, size = display.count(len(preview.restored), "file"), display.size(preview.written)
        if plan.why:
            output.message(f"into {plan.root.path}: {plan.why}")
        where = " and ".join(one.root.path for one in plan.each)
        if session.dry_run or not preview.restored:
            output.line(f"{files} to make in {where}, {size} to write", "bold")
        question = f"Make {files} in {where}, {size}?"
        if not tell.goes_on(session, preview, question, nothing=not preview.restored, dry=""):
            return tell.failures(output, preview.failed) or None
        report = engine.restore(source, plan)
    output.report(report)
    tell.left_alone(output, tell.reasons(report.left))
    output.line(
        f"restored {display.count(len(report.models), 'revision')} into {where},"
        f" {display.size(report.written)} were written",
        "bold",
    )
    return tell.failures(output, report.failed) or None
