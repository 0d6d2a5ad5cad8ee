"""``hubfold unlock``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubfold import display
from hubfold.cli import options, tell

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.reports.locks import FoundLock


@options.command(
    "unlock",
    examples=[
        ("hubfold unlock --dry-run", "which locks other hosts hold, and whether they are at work"),
        ("hubfold unlock -y", "take away those of hosts that are gone"),
        ("hubfold unlock /mnt/share/hub", "also the lock of a folder that is no root here"),
    ],
)
@options.paths
@options.before_change
def command(session: Session, paths: tuple[str, ...]) -> None:
    """Take away locks that hosts left behind that are gone.

    On a file system that several hosts use, a run holds a lock that each of them sees, and sets its time every 15
    seconds. A lock whose process was of this host, and is gone, is taken by the next run without this command. One of
    another host, or from before this host was started anew, is watched here for 2 minutes: while its time changes, it
    is nobody's to take.
    """
    output = session.output
    with session.engine() as engine:
        found = engine.locks(paths)
        unknown = [one for one in found.locks if one.state == "unknown"]
        if unknown:
            output.message(
                f"watching {display.count(len(unknown), 'lock')} of other hosts for {engine.lock_patience:.0f} s"
            )
        watched = engine.watch_locks(found)
        for one in watched.locks:
            output.line(f"{one.state}: {_who(one)}", path=one.path)
        stale = display.count(len(watched.broken), "lock")
        if not watched.locks:
            output.line("no run holds a lock between hosts")
        elif not watched.broken:
            output.line("none of them is stale")
        if not tell.goes_on(
            session, watched, f"Take away {stale} of runs that are gone?", nothing=not watched.broken
        ):
            return
        done = engine.unlock(watched)
    output.report(done)
    output.line(f"took away {display.count(len(done.broken), 'lock')}", "bold")


def _who(one: FoundLock) -> str:
    since = f", since {one.since}" if one.since else ""
    return f"{one.command or 'a run'}, process {one.pid} on {one.host or 'another host'}{since}: "
