"""``hubfold gc``."""

from __future__ import annotations

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.options import Session


@options.command(
    "gc",
    examples=[
        ("hubfold gc --dry-run", "which vault objects no link needs, and what they take"),
        ("hubfold gc -y", "remove them without a question"),
    ],
)
@options.before_change
def command(session: Session, dry_run: bool, yes: bool) -> int | None:
    """Remove vault objects that no link needs.

    An object goes only when every link that was made to it is known to be gone; one behind a missing drive stays.
    """
    output = session.output
    with session.engine() as engine:
        tell.recover_first(session, engine, dry_run=dry_run, yes=yes)
        preview = engine.preview_gc()
        for path in preview.removed:
            output.line(f"{'not needed' if dry_run or not yes else 'removing'}: {path}")
        objects = display.count(len(preview.removed), "object")
        if dry_run or not preview.removed:
            if output.as_json:
                output.json(preview.as_json())
            output.line(f"{objects} to remove, {display.size(preview.bytes)} to reclaim", "bold")
            return tell.failures(output, preview.failed) or None
        if not tell.agreed(
            session, f"Remove {objects} and reclaim {display.size(preview.bytes)}?", preview, yes=yes
        ):
            return None
        report = engine.gc()
    if output.as_json:
        output.json(report.as_json())
    code = tell.failures(output, report.failed)
    output.line(
        f"removed {display.count(len(report.removed), 'object')}, reclaimed {display.size(report.bytes)}",
        "bold",
    )
    return code or None
