"""Past runs as people look at them."""

from __future__ import annotations

from hubfold.errors import RunNotFound
from hubfold.journal import journal
from hubfold.journal.others import as_they_lie_now
from hubfold.journal.records import Intent
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
        + (len(log.puts) or len(log.made))
        + len(log.mended)
        + len(log.shared),
        bytes=sum(intent.bytes for intent in done) + (0 if log.undone else log.freed),
    )


def freed(log: RunLog) -> int:
    """The bytes that those actions of a run have freed that stand."""
    return sum(log.intents[number].bytes for number, state in log.states.items() if state == "done")


def detail(log: RunLog) -> RunDetail:
    """A run action by action, in the order in which it was done."""
    actions = [(_done(log.intents[number]), _STATES[log.states[number]]) for number in sorted(log.intents)]
    state = "undone" if log.undone else "done"
    actions += [
        (_told(link.path, "symlink", "farm", link.target, link.target), state) for link in log.farm_links
    ]
    actions += [
        (_told(link.path, "symlink", "moved-vault", link.target, link.target), state)
        for link in log.repointed
    ]
    state = "done" if log.ended == "finished" else "unfinished"
    actions += [(_told(item.path, "removed", log.command, size=item.bytes), state) for item in log.removals]
    if not log.puts:
        actions += [(_told(path, "made", log.command), state) for path in log.made]
    put = "undone" if log.undone else "done"
    actions += [(_told(one.path, "made", log.command, one.source, one.text), put) for one in log.puts]
    actions += [(_told(one.path, "opened", log.command), state) for one in log.shared]
    for number, mend in log.mends.items():
        state = "done" if number in log.mended else "unfinished" if log.needs_recovery else "rolled back"
        actions.append((_told(mend.path, "mended", log.command, mend.source), state))
    return RunDetail(summary(log), tuple(actions))


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


def undoable(log: RunLog) -> bool:
    """Whether there is something of a run that can be taken back; what is still open is for recovery."""
    return not log.undone and (
        "done" in log.states.values() or bool(log.farm_links or log.repointed or log.puts)
    )


def _done(intent: Intent) -> Done:
    return Done(
        path=intent.path,
        keeper=intent.keeper,
        target=intent.target,
        link=str(intent.link),
        reason=intent.reason,
        bytes=intent.bytes,
    )


def _told(path: str, how: str, reason: str, source: str = "", target: str = "", *, size: int = 0) -> Done:
    """What is no replacement in the words of one."""
    return Done(path=path, keeper=source, target=target, link=how, reason=reason, bytes=size)
