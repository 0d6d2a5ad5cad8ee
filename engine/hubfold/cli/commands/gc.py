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
def command(session: Session) -> int | None:
    """Remove vault objects that no link needs.

    An object goes only when every link that was made to it is known to be gone; one behind a missing drive stays.
    """
    output = session.output
    with session.engine() as engine:
        tell.recover_first(session, engine)
        preview = engine.preview_gc()
        for path in preview.removed:
            output.line(f"{'removing' if session.yes and not session.dry_run else 'not needed'}: {path}")
        objects = display.count(len(preview.removed), "object")
        size = display.size(preview.bytes)
        if session.dry_run or not preview.removed:
            output.line(f"{objects} to remove, {size} to reclaim", "bold")
        question = f"Remove {objects} and reclaim {size}?"
        if not tell.goes_on(session, preview, question, nothing=not preview.removed, dry=""):
            return None
        report = engine.gc()
    output.report(report)
    code = tell.failures(output, report.failed)
    output.line(
        f"removed {display.count(len(report.removed), 'object')}, reclaimed {display.size(report.bytes)}",
        "bold",
    )
    return code or None
