"""A run as its journal tells of it, record by record; what each of them says is in `journal`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hubfold.content import LinkKind
from hubfold.disk.identity import Location, Placed
from hubfold.journal.records import (
    Before,
    FarmLink,
    Intent,
    KeeperChange,
    Mend,
    Moved,
    Put,
    Released,
    Removed,
    Repointed,
    Shared,
    Temporary,
    absolute,
    expect,
    is_temporary,
)

#: The version of the format that is written and read.
VERSION = 1


@dataclass(slots=True)
class RunLog:
    """A journal as read."""

    path: str
    run: str
    command: str
    started: str
    intents: dict[int, Intent] = field(default_factory=dict)
    #: The last word on each number: intent, done, dropped, restore, restored, kept.
    states: dict[int, str] = field(default_factory=dict)
    reasons: dict[int, str] = field(default_factory=dict)
    #: The temporary of an unfinished restore, by number.
    restores: dict[int, str] = field(default_factory=dict)
    #: The inode that a path has since it was restored, by number.
    restored_inodes: dict[int, int] = field(default_factory=dict)
    keepers: list[KeeperChange] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    #: Where roots, vaults and mount points lay, by path; older journals have none.
    places: dict[str, Placed] = field(default_factory=dict)
    farm_links: list[FarmLink] = field(default_factory=list)
    #: Paths of those that undo took away, or saw to be gone in their own folder.
    unlinked: list[str] = field(default_factory=list)
    repointed: list[Repointed] = field(default_factory=list)
    #: Vault objects that went, since their links were led to a copy.
    released: list[Released] = field(default_factory=list)
    #: What came into a root out of a folder of the user's.
    puts: list[Put] = field(default_factory=list)
    #: What was announced to be removed, and paths of what was to be made.
    removals: list[Removed] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    temporaries: list[Temporary] = field(default_factory=list)
    #: The models whose content this run moves to another root.
    moved: list[Moved] = field(default_factory=list)
    #: What was opened to the group of its cache.
    shared: list[Shared] = field(default_factory=list)
    mends: dict[int, Mend] = field(default_factory=dict)
    mended: set[int] = field(default_factory=set)
    #: What removing freed, in bytes by allocated blocks.
    freed: int = 0
    ended: str | None = None
    undo_begun: bool = False
    undone: bool = False

    @property
    def open_numbers(self) -> list[int]:
        """Replacements and restores that were announced and not settled."""
        return [number for number, state in self.states.items() if state in ("intent", "restore")]

    @property
    def leads(self) -> bool:
        """Whether links were led to a copy: what they read before may have to be made again."""
        return bool(self.repointed) and self.command == "move"

    @property
    def changes_at(self) -> tuple[set[str], set[str]]:
        """(roots, folders in them) of the paths that this run replaced, or put there."""
        roots = {intent.root for intent in self.intents.values()} | {put.root for put in self.puts}
        return roots, {os.path.dirname(intent.path) for intent in self.intents.values()}

    def links_made(self) -> list[str]:
        """The symlinks that this run made and that were not taken back."""
        folded = [
            intent.path
            for number, intent in self.intents.items()
            if intent.link is LinkKind.SYMLINK and self.states[number] == "done"
        ]
        return folded + ([] if self.undone else [link.path for link in self.farm_links])

    @property
    def changed_paths(self) -> list[str]:
        """The paths that a fold made links of, or its undo files of their own again."""
        changed = {"done", "restored"}
        return [one.path for number, one in self.intents.items() if self.states.get(number) in changed]

    @property
    def state(self) -> str:
        if self.undone:
            return "undone"
        if self.undo_begun:
            return "partly undone"
        return self.ended or "unfinished"

    @property
    def renews(self) -> bool:
        """Whether notes were put in the place of others, which undo makes again."""
        return any(put.before is not None for put in self.puts)

    @property
    def needs_recovery(self) -> bool:
        repointing = (bool(self.repointed) or self.renews) and self.undo_begun and not self.undone
        return bool(self.open_numbers) or self.ended is None or self.undone_but_for_the_end or repointing

    @property
    def undone_but_for_the_end(self) -> bool:
        """Whether a crash came after the last path was restored and before the undo was over."""
        folded = any(state in ("done", "intent", "restore") for state in self.states.values())
        return (
            self.undo_begun
            and not self.undone
            and bool(self.intents)
            and not (folded or self.puts or self.repointed)
        )


def take(log: RunLog, record: Mapping[str, Any]) -> None:
    """Add what a record says. Raises `KeyError`, `ValueError` or `TypeError` for what hubfold would not write."""
    _READERS[record["record"]](log, record)


def _read_run(log: RunLog, record: Mapping[str, Any]) -> None:
    if record["version"] != VERSION:
        raise ValueError(f"version {record['version']} is newer than this hubfold")
    log.command, log.started = expect(record["command"], str), expect(record["started"], str)


def _read_intent(log: RunLog, record: Mapping[str, Any]) -> None:
    intent = Intent.from_record(record)
    log.intents[intent.number] = intent
    log.states[intent.number] = "intent"


def _read_keeper(log: RunLog, record: Mapping[str, Any]) -> None:
    before_after = [tuple(expect(number, int) for number in record[name]) for name in ("mode", "mtime_ns")]
    if any(len(pair) != 2 for pair in before_after):
        raise ValueError("a change has a before and an after")
    mode, mtime_ns = before_after
    path, root = expect(record["path"], str), expect(record["root"], str)
    absolute(path, root)
    inode = expect(record["inode"], int)
    log.keepers.append(KeeperChange(path, root, inode, (mode[0], mode[1]), (mtime_ns[0], mtime_ns[1])))


def _read_share(log: RunLog, record: Mapping[str, Any]) -> None:
    mode, gid = ([expect(number, int) for number in record[name]] for name in ("mode", "gid"))
    if len(mode) != 2 or len(gid) != 2:
        raise ValueError("a change has a before and an after")
    path, root = expect(record["path"], str), expect(record["root"], str)
    absolute(path, root)
    log.shared.append(Shared(path, root, (mode[0], mode[1]), (gid[0], gid[1])))


def _read_restore(log: RunLog, record: Mapping[str, Any]) -> None:
    _read_state(log, record)
    if not is_temporary(record["temporary"]):
        raise ValueError(f"{record['temporary']!r} is no temporary name of hubfold")
    log.restores[record["number"]] = record["temporary"]


def _read_state(log: RunLog, record: Mapping[str, Any]) -> None:
    number = expect(record["number"], int)
    if number not in log.intents:
        raise ValueError(f"number {number} was never announced")
    log.states[number] = record["record"]
    if record["record"] == "restored" and "inode" in record:
        log.restored_inodes[number] = expect(record["inode"], int)
    if "reason" in record:
        log.reasons[number] = expect(record["reason"], str)


def _read_object(log: RunLog, record: Mapping[str, Any]) -> None:
    path = expect(record["path"], str)
    absolute(path)
    log.objects.append(path)


def _read_place(log: RunLog, record: Mapping[str, Any]) -> None:
    path, fs, inside, vault = (expect(record[name], str) for name in ("path", "fs", "inside", "vault"))
    absolute(path)
    if fs:
        absolute(inside)
    log.places[path] = Placed(path, Location(fs, inside), expect(record["inode"], int), vault)


def _read_farm(log: RunLog, record: Mapping[str, Any]) -> None:
    link = FarmLink(**{name: expect(record[name], str) for name in FarmLink.__slots__})
    absolute(link.path, link.root)
    if not is_temporary(link.temporary):
        raise ValueError(f"{link.temporary!r} is no temporary name of hubfold")
    log.farm_links.append(link)


def _read_unlinked(log: RunLog, record: Mapping[str, Any]) -> None:
    path = expect(record["path"], str)
    absolute(path)
    log.unlinked.append(path)


def _read_repoint(log: RunLog, record: Mapping[str, Any]) -> None:
    link = Repointed(**{name: expect(record[name], str) for name in Repointed.__slots__})
    absolute(link.path, link.root, link.target)
    if not is_temporary(link.temporary):
        raise ValueError(f"{link.temporary!r} is no temporary name of hubfold")
    log.repointed.append(link)


def _read_release(log: RunLog, record: Mapping[str, Any]) -> None:
    texts = {name: expect(record[name], str) for name in ("path", "root", "name", "xxh3_128")}
    item = Released(**texts, mtime_ns=expect(record["mtime_ns"], int))
    absolute(item.path)
    if item.name:
        absolute(item.root, item.name)
    log.released.append(item)


def _read_remove(log: RunLog, record: Mapping[str, Any]) -> None:
    numbers = {name: expect(record.get(name, 0), int) for name in ("inode", "mtime_ns")}
    texts = {name: expect(record.get(name, ""), str) for name in ("text", "copy", "root", "backend")}
    item = Removed(expect(record["path"], str), expect(record["bytes"], int), **numbers, **texts)
    item = replace(item, note=expect(record.get("note", False), bool))
    absolute(item.path)
    if item.copy:
        absolute(item.copy, item.root)
        if not item.path.startswith(os.path.join(item.copy, "")):
            raise ValueError(f"{item.path!r} is no part of {item.copy!r}")
    log.removals.append(item)


def _read_temporary(log: RunLog, record: Mapping[str, Any]) -> None:
    item = Temporary(
        root=expect(record["root"], str),
        path=expect(record["path"], str),
        temporary=expect(record["temporary"], str),
        out=record["record"] == "aside",
        locks=tuple(expect(lock, str) for lock in expect(record.get("locks", []), list)),
        mount=expect(record.get("mount", ""), str),
    )
    absolute(item.root, item.path, item.temporary, *item.locks)
    if not is_temporary(os.path.basename(item.temporary)):
        raise ValueError(f"{item.temporary!r} is no temporary name of hubfold")
    log.temporaries.append(item)
    if not item.out:
        log.made.append(item.path)


def _read_put(log: RunLog, record: Mapping[str, Any]) -> None:
    numbers = {name: expect(record[name], int) for name in ("inode", "size")}
    told = {"of": "", "digest": "", **record}
    texts = {name: expect(told[name], str) for name in Put.__slots__ if name not in (*numbers, "before")}
    absolute(texts["path"], texts["root"])
    if texts["source"]:
        absolute(texts["source"])
    before = Before.from_record(record["before"]) if "before" in record else None
    log.puts.append(Put(**texts, **numbers, before=before))


def _read_take(log: RunLog, record: Mapping[str, Any]) -> None:
    """What is at the path says more: it may have come no further than this."""
    absolute(expect(record["path"], str))


def _read_move(log: RunLog, record: Mapping[str, Any]) -> None:
    texts = ("source", "target", "backend", "repo_type", "repo_id", "home")
    made = tuple(expect(revision, str) for revision in expect(record["made"], list))
    item = Moved(**{name: expect(record[name], str) for name in texts}, made=made)
    absolute(item.source, item.target, item.home)
    log.moved.append(item)


def _read_mend(log: RunLog, record: Mapping[str, Any]) -> None:
    texts = {
        name: expect(record[name], str) for name in ("path", "root", "temporary", "text", "kept", "source")
    }
    numbers = {name: expect(record[name], int) for name in ("number", "inode", "new")}
    absolute(texts["path"], texts["root"], texts["kept"])
    if not is_temporary(texts["temporary"]):
        raise ValueError(f"{texts['temporary']!r} is no temporary name of hubfold")
    mount = expect(record.get("mount", ""), str)
    log.mends[numbers["number"]] = Mend(**texts, **numbers, mount=mount)


def _read_fresh(log: RunLog, record: Mapping[str, Any]) -> None:
    inode = expect(record["inode"], int)
    for number in record["numbers"]:
        log.mends[number] = replace(log.mends[number], new=inode)


def _read_mended(log: RunLog, record: Mapping[str, Any]) -> None:
    log.mended.update(log.mends[number].number for number in record["numbers"])


def _read_end(log: RunLog, record: Mapping[str, Any]) -> None:
    log.ended = expect(record["state"], str)
    log.freed = expect(record.get("freed", 0), int)


def _read_undo(log: RunLog, record: Mapping[str, Any]) -> None:
    log.undo_begun, log.undone = True, False


def _read_undone(log: RunLog, record: Mapping[str, Any]) -> None:
    log.undone = True


def _read_recovered(log: RunLog, record: Mapping[str, Any]) -> None:
    log.ended = log.ended or "recovered"


_READERS = {
    "run": _read_run,
    "object": _read_object,
    "place": _read_place,
    "keeper": _read_keeper,
    "share": _read_share,
    "intent": _read_intent,
    "done": _read_state,
    "dropped": _read_state,
    "remove": _read_remove,
    "aside": _read_temporary,
    "make": _read_temporary,
    "move": _read_move,
    "farm": _read_farm,
    "unlinked": _read_unlinked,
    "repoint": _read_repoint,
    "release": _read_release,
    "put": _read_put,
    "take": _read_take,
    "mend": _read_mend,
    "fresh": _read_fresh,
    "mended": _read_mended,
    "end": _read_end,
    "undo": _read_undo,
    "restore": _read_restore,
    "restored": _read_state,
    "kept": _read_state,
    "undone": _read_undone,
    "recovered": _read_recovered,
}
