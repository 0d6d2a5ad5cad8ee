"""What the runs say about each other: whose keepers they read, and what later ones made of earlier ones' paths."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hubfold.content import LinkKind
from hubfold.journal.on_disk import led_to, still_links, still_put, text_of
from hubfold.journal.records import FarmLink, Intent, KeeperChange, Repointed
from hubfold.journal.run_log import RunLog


@dataclass(frozen=True, slots=True)
class Others:
    """What all runs together mean for one that is settled or taken back."""

    #: Inodes of keepers that links of other runs read: their mode and mtime stay.
    keepers: Collection[int] = ()
    #: What was done to keepers, oldest first; None where only the run itself did anything.
    changes: Sequence[KeeperChange] | None = None
    #: Paths that a later run has replaced again, each with the last such run.
    refolded: Mapping[str, str] = field(default_factory=dict)
    #: By a path that runs made a hard link: the names (root, path) of what they had kept for it.
    kept_as: Mapping[str, Collection[tuple[str, str]]] = field(default_factory=dict)
    #: Where the object of a link lies now that its vault moved, None if it did not.
    object_now: Callable[[Intent], str | None] = lambda intent: None
    #: Roots that are not where they were, with where they are.
    roots_now: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, logs: Collection[RunLog], log: RunLog) -> Others:
        """`logs` are all runs, oldest first, `log` among them."""
        changes = [change for one in logs for change in one.keepers]
        again = folded_again(logs, log)
        return cls(keepers_in_use(logs, but=log.run), changes, again, kept_as=_kept_as(logs))


#: There are no others.
ALONE = Others()


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


def _kept_as(logs: Iterable[RunLog]) -> dict[str, set[tuple[str, str]]]:
    found: dict[str, set[tuple[str, str]]] = {}
    for log in logs:
        for intent in log.intents.values():
            if intent.link is LinkKind.HARDLINK:
                found.setdefault(intent.path, set()).add((intent.keeper_root, intent.keeper))
    return found


def taken_away(logs: Iterable[RunLog]) -> Iterator[tuple[str, str]]:
    """(run, path) of the links that undo took away, by the run that made each, and by those that led it elsewhere.

    Each of these notes the link at the object that it reads then. As long as one run whose link lies there was not
    taken back, nothing is said of the others: theirs may be that one, moved with its farm.
    """
    led: dict[str, list[str]] = {}
    gone: dict[str, bool] = {}
    for log in logs:
        taken = set(log.unlinked)
        yield from ((log.run, path) for path in taken)
        for link in log.farm_links:
            gone[link.path] = gone.get(link.path, True) and link.path in taken
        for repointed in log.repointed:
            led.setdefault(repointed.path, []).append(log.run)
    for path, runs in led.items():
        if gone.get(path):
            yield from ((run, path) for run in runs)


def keepers_in_use(logs: Collection[RunLog], *, but: str) -> set[int]:
    """`Others.keepers`: what links of other runs than `but` still read."""
    used: set[int] = set()
    # Whoever gave a link another text, it is of the run that made it.
    own = {intent.path for log in logs if log.run == but for intent in log.intents.values()}
    for log in logs:
        if log.run == but:
            continue
        used.update(
            intent.keeper_inode
            for number, intent in log.intents.items()
            if log.states[number] in ("done", "intent", "restore")
            or (log.states[number] == "kept" and still_links(intent, log.places))
        )
        used |= led_to(link for link in log.repointed if link.path not in own)
        used.update(put.inode for put in log.puts if not put.text and still_put(put, log.places))
        if log.farm_links and not log.undone:
            used.update(change.inode for change in log.keepers)
    return used


def folded_again(logs: Iterable[RunLog], after: RunLog) -> dict[str, str]:
    """`Others.refolded`: what runs later than `after` have replaced and what is not taken back yet."""
    return {
        intent.path: log.run
        for log in logs
        if log.run > after.run
        for number, intent in log.intents.items()
        if intent.link is not LinkKind.REFLINK and log.states[number] in ("done", "intent", "restore")
    }
