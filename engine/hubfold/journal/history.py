"""Past runs as people look at them, and what the runs say about each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hubfold.content import LinkKind
from hubfold.errors import RunNotFound
from hubfold.journal import journal
from hubfold.journal.on_disk import still_links, text_of
from hubfold.journal.records import FarmLink, Intent, KeeperChange, Repointed
from hubfold.journal.run_log import RunLog
from hubfold.reports.runs import Done, RunDetail, RunSummary
from hubfold.state.home import StateHome

_STATES = {
    "intent": "unfinished",
    "restore": "unfinished",
    "done": "done",
    "dropped": "rolled back",
    "restored": "undone",
    "kept": "left",
}


def summary(log: RunLog) -> RunSummary:
    """One line about a run; `bytes` is what its actions that are done now free."""
    done = [log.intents[number] for number, state in log.states.items() if state in ("done", "kept")]
    undone = [state for state in log.states.values() if state == "restored"]
    return RunSummary(
        run=log.run,
        command=log.command,
        started=log.started,
        state=log.state,
        actions=len(done)
        + len(undone)
        + len(log.farm_links)
        + len(log.repointed)
        + len(log.removals)
        + len(log.made)
        + len(log.mended),
        bytes=sum(intent.bytes for intent in done) + log.freed,
    )


def detail(log: RunLog) -> RunDetail:
    """A run action by action, in the order in which it was done."""
    actions = [(_done(log.intents[number]), _STATES[log.states[number]]) for number in sorted(log.intents)]
    actions += [
        (Done(link.path, link.target, link.target, "symlink", "farm", 0), "undone" if log.undone else "done")
        for link in log.farm_links
    ]
    actions += [
        (
            Done(link.path, link.target, link.target, "symlink", "moved-vault", 0),
            "undone" if log.undone else "done",
        )
        for link in log.repointed
    ]
    state = "done" if log.ended == "finished" else "unfinished"
    actions += [(Done(item.path, "", "", "removed", log.command, item.bytes), state) for item in log.removals]
    actions += [(Done(path, "", "", "made", log.command, 0), state) for path in log.made]
    actions += [
        (
            Done(mend.path, mend.source, "", "mended", log.command, 0),
            "done" if number in log.mended else "unfinished" if log.needs_recovery else "rolled back",
        )
        for number, mend in log.mends.items()
    ]
    return RunDetail(summary(log), tuple(actions))


def _done(intent: Intent) -> Done:
    return Done(intent.path, intent.keeper, intent.target, str(intent.link), intent.reason, intent.bytes)


def keepers_in_use(logs: Iterable[RunLog], *, but: str) -> set[int]:
    """Inodes of keepers that links of other runs than `but` still read."""
    used: set[int] = set()
    for log in logs:
        if log.run == but:
            continue
        used.update(
            intent.keeper_inode
            for number, intent in log.intents.items()
            if log.states[number] in ("done", "intent", "restore")
            or (log.states[number] == "kept" and still_links(intent, log.places))
        )
        if log.farm_links and not log.undone:
            used.update(change.inode for change in log.keepers)
    return used


def as_they_lie_now(logs: Iterable[RunLog]) -> list[RunLog]:
    """The runs, oldest first, with the inodes that later ones have given to their keepers and links since.

    `doctor --fix` gives a path other bytes; and a run may replace what an earlier one had kept: what its undo puts back
    are the same bytes in another inode.
    """
    found = list(logs)
    _repoint(found)
    for later, log in enumerate(found):
        given = {
            (mend.path, mend.inode): mend.new
            for number, mend in log.mends.items()
            if number in log.mended and not mend.text
        }
        for number, inode in log.restored_inodes.items():
            if log.states[number] == "restored":
                given[log.intents[number].path, log.intents[number].inode] = inode
        for earlier in found[:later] if given else ():
            for number, intent in earlier.intents.items():
                # A hard link is a name of its own: what became of the keeper's other names says nothing about it.
                path = intent.path if intent.link is LinkKind.HARDLINK else intent.keeper
                new = given.get((path, intent.keeper_inode))
                if new is not None:
                    earlier.intents[number] = replace(intent, keeper_inode=new)
            earlier.keepers[:] = [
                replace(change, inode=given.get((change.path, change.inode), change.inode))
                for change in earlier.keepers
            ]
    return found


def _repoint(logs: Sequence[RunLog]) -> None:
    """Let runs know their links by the text that these have since their vault moved, once or several times."""
    later: dict[str, list[Repointed]] = {}
    for log in reversed(logs):
        for number, intent in log.intents.items() if later else ():
            if intent.path in later:
                text, target = _text_now(intent, later[intent.path])
                log.intents[number] = replace(intent, text=text, target=target)
        log.farm_links[:] = [
            replace(link, text=now[0], target=now[1])
            for link, now in ((link, _text_now(link, later.get(link.path, ()))) for link in log.farm_links)
        ]
        for one in reversed(log.repointed):
            later.setdefault(one.path, []).insert(0, one)


def _text_now(link: Intent | FarmLink, later: Sequence[Repointed]) -> tuple[str, str]:
    """(text, target) of a link that was given others `later`: as far as that was done and not taken back."""
    known = [(link.text, link.target)]
    for one in later:
        if any(one.before == text for text, _ in known):
            known.append((one.text, one.target))
    if len(known) == 1:
        return known[0]
    now = text_of(link.path)
    return next((pair for pair in reversed(known) if pair[0] == now), known[-1])


def folded_again(logs: Iterable[RunLog], after: RunLog) -> dict[str, str]:
    """Paths that runs later than `after` have replaced and that are not taken back yet, each with the last such run."""
    return {
        intent.path: log.run
        for log in logs
        if log.run > after.run
        for number, intent in log.intents.items()
        if intent.link is not LinkKind.REFLINK and log.states[number] in ("done", "intent", "restore")
    }


def keeper_changes(logs: Iterable[RunLog]) -> list[KeeperChange]:
    """What the runs did to keepers, oldest first."""
    return [change for log in logs for change in log.keepers]


def undoable(log: RunLog) -> bool:
    """Whether there is something of a run that can be taken back; what is still open is for recovery."""
    return not log.undone and ("done" in log.states.values() or bool(log.farm_links or log.repointed))


def find(state: StateHome, run: str | None) -> tuple[RunLog, list[RunLog]]:
    """(the run called `run`, or the last one that can be taken back; all runs). Raises `RunNotFound`."""
    logs = as_they_lie_now(journal.logs(state.runs))
    if run is not None:
        chosen = next((log for log in logs if log.run == run), None)
        if chosen is None:
            raise RunNotFound(f"there is no run {run!r}", "see `hubfold runs`")
        return chosen, logs
    for log in reversed(logs):
        if undoable(log):
            return log, logs
    raise RunNotFound("there is no run to take back", "see `hubfold runs`")
