"""``hubfold`` alone: where the user stands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubfold import display
from hubfold.cli import tell
from hubfold.cli.commands import roots

if TYPE_CHECKING:
    from hubfold.cli.options import Session


def status(session: Session) -> None:
    """Roots, space, what could be reclaimed, the last run, the next command. From the index; nothing is walked."""
    output = session.output
    with session.engine() as engine:
        known = engine.roots()
        runs = engine.runs()
        scanned = any(root.files for root in known)
        reclaimable = engine.dupes(limit=1).reclaimable_bytes if scanned else 0
        space = engine.space() if scanned else None
        free = engine.unreferenced() if scanned else ()
    last = runs[0] if runs else None
    if any(run.state == "unfinished" for run in runs):
        command = "hubfold recover"
    elif not scanned:
        command = "hubfold scan" if known else "hubfold scan PATH"
    elif reclaimable:
        command = "hubfold consolidate --dry-run"
    else:
        command = "hubfold scan"
    if output.as_json:
        output.json(
            {
                "roots": [root.as_json() for root in known],
                "reclaimable_bytes": reclaimable,
                "space": space.as_json() if space else None,
                "unreferenced": [one.as_json() for one in free],
                "last_run": last.as_json() if last else None,
                "next": command,
            }
        )
        return
    output.line("hubfold keeps one copy of every model file.", "bold")
    output.line()
    if known:
        roots.show(output, known)
        output.line()
    else:
        output.line("No cache was found here. Name a folder with models, or try `hubfold demo` first.")
    if space is not None:
        tell.space(output, space, reclaimable)
        output.line(f"{display.size(reclaimable)} reclaimable, as of the last scan", "bold")
    if free:
        output.line()
        tell.unreferenced(output, free)
        output.line()
    if last is not None:
        output.line(f"last run: {last.run}, {last.command}, {last.state}, {display.size(last.bytes)}")
    if space is not None:
        output.line(f"hubfold's own index and runs: {display.size(space.state_bytes)}")
    output.message(f"next: {command}")
