"""The journal: one append-only file per run, readable by a person, from which undo and recovery work.

Format, version 1: UTF-8 text, one JSON object per line, each with a ``record``:

=============  =======================================================================================================
``run``        first line: ``version``, ``run``, ``command``, ``started`` (UTC), ``pid``, ``host``, ``hubfold``
``object``     about to make a vault object: ``path`` of the object, ``keeper``
``keeper``     about to change a keeper's mode or mtime: ``path``, ``root``, ``inode``, ``mode`` and ``mtime_ns`` as
               ``[before, after]``
``intent``     about to replace a path: everything that undo and recovery need (`Intent`), with its ``number``
``done``       the replacement of ``number`` is whole and the displaced file is gone
``dropped``    ``number`` was given up, the path is as it was: ``reason``
``remove``     about to remove ``path``, which the user named, `Removed`; ``bytes`` by length, 0 for a link
``aside``      about to rename the folder `path` to `temporary`, to empty it there; our own `locks` in it
``make``       about to make the new file or folder `path` under the name `temporary` first
``farm``       about to make a symlink in a farm, `FarmLink`; known again by its text, so it needs no ``done``
``mend``       about to give a name other bytes, `Mend`, with its ``number``
``fresh``      what the mends ``numbers`` put in place is made: its ``inode``
``mended``     the mends ``numbers`` are whole and what they displaced is gone
``end``        the run is over: ``state`` is finished or interrupted; ``freed`` bytes by what it removed
``undo``       the run is being taken back
``restore``    about to put a copy back for ``number``: ``temporary``, while it is not whole with `UNFINISHED` added
``restored``   ``number`` is as it was before the run, in another file: its ``inode``
``kept``       ``number`` was not taken back: ``reason``
``undone``     the undo is over
``recovered``  a later command has settled what a crash had left open
=============  =======================================================================================================

What is said to be about to happen is on the disk (fsync) before it happens. A last line without its newline was being
written at a crash; nothing it announced has happened, so it is dropped. Undecodable bytes of paths are ``\\udcXX``.
"""

from __future__ import annotations

import base64
import json
import os
import re
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from hubfold import fsops
from hubfold.content import TEMPORARY_PREFIX, LinkKind
from hubfold.errors import JournalDamaged, RunNotFound
from hubfold.filesystem import FileSystems
from hubfold.seen import Seen

VERSION = 1
#: A journal whose last record is one of these has nothing open.
CLOSING = frozenset({"end", "undone", "recovered"})
SUFFIX = ".jsonl"


@dataclass(frozen=True, slots=True)
class Intent:
    """One replacement as announced. `inode`, `mtime_ns` … are the victim's; device numbers may change at a reboot,
    so files are known again by inode, size and mtime on the file system of their path."""

    number: int
    path: str
    root: str
    backend: str
    link: LinkKind
    #: What the path reads afterwards: a vault object (symlink) or the keeper's path.
    target: str
    #: The text of the symlink, "" for the other kinds.
    text: str
    #: The name, beside `path`, under which the link is made and the displaced file is kept for a moment.
    temporary: str
    keeper: str
    keeper_root: str
    keeper_inode: int
    #: The keeper's mtime once the run is through with it.
    keeper_mtime_ns: int
    size: int
    #: xxh3_128 of the bytes that victim and keeper had in common when they were compared.
    xxh3_128: str
    #: What else was known of the content; a hint for repairs, not a proof.
    digests: Mapping[str, str]
    #: Names with the same `payload` were one inode before the run.
    payload: str
    inode: int
    mode: int
    uid: int
    gid: int
    atime_ns: int
    mtime_ns: int
    xattrs: Mapping[str, bytes]
    #: What the victim took, and what replacing it frees, in bytes by allocated blocks.
    allocated: int
    bytes: int
    reason: str
    #: Where the file system of `path` was mounted: while it is not, a missing path says nothing (invariant 5).
    mount: str
    #: Lock files that the layout's own programs take before they replace `path`.
    locks: tuple[str, ...] = ()
    #: The keeper's mode once the run is through with it; -1 in older journals.
    keeper_mode: int = -1

    @property
    def attributes(self) -> fsops.Attributes:
        return fsops.Attributes(self.mode, self.uid, self.gid, self.atime_ns, self.mtime_ns, self.xattrs)

    def as_record(self) -> dict[str, Any]:
        record = {name: getattr(self, name) for name in self.__slots__}
        record["digests"] = dict(self.digests)
        record["xattrs"] = {name: base64.b64encode(value).decode() for name, value in self.xattrs.items()}
        return record

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Intent:
        """Raises `ValueError`, `TypeError` or `KeyError` for anything hubfold would not have written."""
        values: dict[str, Any] = {"keeper_mode": -1, **record}
        values = {name: values[name] for name in cls.__slots__}
        for name in _TEXTS:
            _expect(values[name], str)
        for name in _NUMBERS:
            _expect(values[name], int)
        values["link"] = LinkKind(values["link"])
        values["xattrs"] = {
            str(name): base64.b64decode(value, validate=True) for name, value in values["xattrs"].items()
        }
        values["digests"] = {
            _expect(name, str): _expect(value, str) for name, value in values["digests"].items()
        }
        values["locks"] = tuple(_expect(lock, str) for lock in values["locks"])
        intent = cls(**values)
        _absolute(intent.path, intent.root, intent.target, intent.keeper, intent.keeper_root, *intent.locks)
        if not is_temporary(intent.temporary):
            raise ValueError(f"{intent.temporary!r} is no temporary name of hubfold")
        return intent


_TEXTS = (
    "path root backend text target temporary keeper keeper_root xxh3_128 payload reason mount".split()  # noqa: SIM905
)
_NUMBERS = (
    "number keeper_inode keeper_mtime_ns keeper_mode size inode mode uid gid atime_ns mtime_ns allocated bytes".split()  # noqa: SIM905
)


def _expect(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise TypeError(f"{value!r} is no {kind.__name__}")
    return value


def _absolute(*paths: str) -> None:
    for path in paths:
        if not os.path.isabs(path) or "\0" in path or os.pardir in path.split(os.sep):
            raise ValueError(f"{path!r} is no absolute path")


def is_temporary(name: str) -> bool:
    """Whether hubfold gives names like this to what it is about to swap in: one component, with its prefix."""
    return name.startswith(TEMPORARY_PREFIX) and os.sep not in name and "\0" not in name and len(name) < 100


@dataclass(frozen=True, slots=True)
class KeeperChange:
    """A keeper whose mode or mtime was changed, [before, after] each."""

    path: str
    root: str
    inode: int
    mode: tuple[int, int]
    mtime_ns: tuple[int, int]

    def as_record(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class FarmLink:
    """A symlink that a farm was given. `before` is the text of the link that it replaced, "" for none."""

    path: str
    root: str
    text: str
    target: str
    temporary: str
    before: str = ""

    def as_record(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class Removed:
    """A path that was announced to be removed, with what it was then; older journals have the first two only."""

    path: str
    bytes: int
    #: A file by inode and mtime, a symlink by its text.
    inode: int = 0
    mtime_ns: int = 0
    text: str = ""
    #: The folder of the local copy that it is a part of, its root and that root's backend; "" for anything else.
    copy: str = ""
    root: str = ""
    backend: str = ""

    def as_record(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__ if getattr(self, name)} | {
            "bytes": self.bytes
        }

    def is_still(self, seen: Seen) -> bool:
        """Whether that is what was to be removed. An older journal knows the path only."""
        if not (self.inode or self.text):
            return not self.copy
        if seen.text is not None or self.text:
            return seen.text == self.text
        return (seen.inode, seen.size, seen.mtime_ns) == (self.inode, self.bytes, self.mtime_ns)


@dataclass(frozen=True, slots=True)
class Temporary:
    """A name of hubfold's own under which something is on its way in (made whole first) or out (emptied first)."""

    root: str
    path: str
    temporary: str
    out: bool
    #: Lock files in it that were taken for it.
    locks: tuple[str, ...] = ()
    #: Where its file system was mounted; "" in older journals.
    mount: str = ""


@dataclass(frozen=True, slots=True)
class Mend:
    """A name that `doctor --fix` is about to give other bytes, by an exchange with `temporary` beside it."""

    number: int
    path: str
    root: str
    temporary: str
    #: What lies there until then: an inode, or, where `text` is not empty, a symlink with this text.
    inode: int
    text: str
    #: The inode that it gets, 0 until that is made.
    new: int
    #: One more name, in a vault, of the inode with the changed bytes.
    kept: str
    #: Where the right bytes come from.
    source: str
    #: Where the file system of `path` was mounted; "" in older journals.
    mount: str = ""

    def as_record(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__}


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
    farm_links: list[FarmLink] = field(default_factory=list)
    #: What was announced to be removed, and paths of what was to be made.
    removals: list[Removed] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    temporaries: list[Temporary] = field(default_factory=list)
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

    def links_made(self) -> list[str]:
        """The symlinks that this run made and that were not taken back."""
        folded = [
            intent.path
            for number, intent in self.intents.items()
            if intent.link is LinkKind.SYMLINK and self.states[number] == "done"
        ]
        return folded + ([] if self.undone else [link.path for link in self.farm_links])

    @property
    def state(self) -> str:
        if self.undone:
            return "undone"
        if self.undo_begun:
            return "partly undone"
        return self.ended or "unfinished"

    @property
    def needs_recovery(self) -> bool:
        return bool(self.open_numbers) or self.ended is None or self.undone_but_for_the_end

    @property
    def undone_but_for_the_end(self) -> bool:
        """Whether a crash came after the last path was restored and before the undo was over."""
        folded = any(state in ("done", "intent", "restore") for state in self.states.values())
        return self.undo_begun and not self.undone and bool(self.intents) and not folded


class Journal:
    """A run's journal, open for appending. Nothing is buffered past `sync`."""

    def __init__(self, fd: int, run: str, path: str) -> None:
        self._fd = fd
        self.run = run
        self.path = path
        self._pending: list[bytes] = []

    @classmethod
    def create(cls, folder: str, command: str, version: str) -> Journal:
        """Start the journal of a new run in `folder`."""
        fsops.make_folders(folder)
        run = _new_run(folder)
        with fsops.Directory.open(folder) as directory:
            fd = directory.create_file(run + SUFFIX)
            journal = cls(fd, run, os.path.join(folder, run + SUFFIX))
            journal.append(
                "run",
                version=VERSION,
                run=run,
                command=command,
                started=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
                pid=os.getpid(),
                host=socket.gethostname(),
                hubfold=version,
            )
            journal.sync()
            directory.sync()
        return journal

    @classmethod
    def reopen(cls, log: RunLog) -> Journal:
        """Go on with the journal of a past run, after cutting off a line that a crash left half-written."""
        with fsops.Directory.open(os.path.dirname(log.path)) as directory:
            fd = directory.append_file(os.path.basename(log.path))
        journal = cls(fd, log.run, log.path)
        with open(log.path, "rb") as file:
            text = file.read()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            os.ftruncate(fd, whole)
        return journal

    def append(self, record: str, **fields: Any) -> None:
        """Add a record; it is on the disk after the next `sync`."""
        self._pending.append(json.dumps({"record": record, **fields}).encode("ascii") + b"\n")

    def announce(self, record: str, *, path: str, root: str, temporary: str, **told: Any) -> None:
        """`append` an ``aside`` or a ``make``."""
        folder = root
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
        mount = FileSystems().of(folder).mount
        self.append(record, path=path, root=root, temporary=temporary, mount=mount, **told)

    def sync(self) -> None:
        """Write and fsync what was appended. Raises `OSError`; then nothing announced may happen."""
        text, self._pending = b"".join(self._pending), []
        before = os.fstat(self._fd).st_size
        try:
            data = memoryview(text)
            while data:
                data = data[os.write(self._fd, data) :]
        except OSError:
            # Half a line would swallow the next one.
            os.ftruncate(self._fd, before)
            os.lseek(self._fd, before, os.SEEK_SET)
            raise
        os.fsync(self._fd)

    def close(self) -> None:
        try:
            self.sync()
        finally:
            os.close(self._fd)

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _new_run(folder: str) -> str:
    """A name after all others: their order is the order of the runs, within a second and when the clock goes back."""
    run = time.strftime("%Y%m%d-%H%M%S", time.gmtime()) + f"-{secrets.randbelow(1 << 23):06x}"
    last = max(filter(_RUN_NAME.fullmatch, run_names(folder)), default="")
    if run > last:
        return run
    moment, _, number = last.rpartition("-")
    return f"{moment}-{int(number, 16) + 1:06x}" if number < "f" * 6 else last + "0"


#: Moment of the start (UTC), and something that makes it unique.
_RUN_NAME = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6,}")


def run_names(folder: str) -> list[str]:
    """The runs that have a journal in `folder`, oldest first."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(name.removesuffix(SUFFIX) for name in names if name.endswith(SUFFIX))


def read(folder: str, run: str) -> RunLog:
    """The journal of `run`. Raises `RunNotFound`, `JournalDamaged`."""
    if run not in run_names(folder):
        raise RunNotFound(f"there is no run {run!r}", "see `hubfold runs`")
    path = os.path.join(folder, run + SUFFIX)
    with open(path, "rb") as file:
        text = file.read()
    log = RunLog(path, run, "", "")
    for number, line in enumerate(text.split(b"\n")[:-1], 1):
        try:
            record = json.loads(line)
            _READERS[record["record"]](log, record)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise JournalDamaged(
                f"line {number} of {path} is not what hubfold writes ({type(error).__name__}: {error})",
                "nothing was touched because of it; look at the line, mend it or move the file away",
            ) from None
    return log


def logs(folder: str) -> Iterator[RunLog]:
    """Every run, oldest first. Raises `JournalDamaged` at a damaged one."""
    for run in run_names(folder):
        yield read(folder, run)


def _read_run(log: RunLog, record: Mapping[str, Any]) -> None:
    if record["version"] != VERSION:
        raise ValueError(f"version {record['version']} is newer than this hubfold")
    log.command, log.started = _expect(record["command"], str), _expect(record["started"], str)


def _read_intent(log: RunLog, record: Mapping[str, Any]) -> None:
    intent = Intent.from_record(record)
    log.intents[intent.number] = intent
    log.states[intent.number] = "intent"


def _read_keeper(log: RunLog, record: Mapping[str, Any]) -> None:
    before_after = [tuple(_expect(number, int) for number in record[name]) for name in ("mode", "mtime_ns")]
    if any(len(pair) != 2 for pair in before_after):
        raise ValueError("a change has a before and an after")
    mode, mtime_ns = before_after
    path, root = _expect(record["path"], str), _expect(record["root"], str)
    _absolute(path, root)
    log.keepers.append(
        KeeperChange(
            path, root, _expect(record["inode"], int), (mode[0], mode[1]), (mtime_ns[0], mtime_ns[1])
        )
    )


def _read_restore(log: RunLog, record: Mapping[str, Any]) -> None:
    _read_state(log, record)
    if not is_temporary(record["temporary"]):
        raise ValueError(f"{record['temporary']!r} is no temporary name of hubfold")
    log.restores[record["number"]] = record["temporary"]


def _read_state(log: RunLog, record: Mapping[str, Any]) -> None:
    number = _expect(record["number"], int)
    if number not in log.intents:
        raise ValueError(f"number {number} was never announced")
    log.states[number] = record["record"]
    if record["record"] == "restored" and "inode" in record:
        log.restored_inodes[number] = _expect(record["inode"], int)
    if "reason" in record:
        log.reasons[number] = _expect(record["reason"], str)


def _read_object(log: RunLog, record: Mapping[str, Any]) -> None:
    path = _expect(record["path"], str)
    _absolute(path)
    log.objects.append(path)


def _read_farm(log: RunLog, record: Mapping[str, Any]) -> None:
    link = FarmLink(**{name: _expect(record[name], str) for name in FarmLink.__slots__})
    _absolute(link.path, link.root)
    if not is_temporary(link.temporary):
        raise ValueError(f"{link.temporary!r} is no temporary name of hubfold")
    log.farm_links.append(link)


def _read_remove(log: RunLog, record: Mapping[str, Any]) -> None:
    numbers = {name: _expect(record.get(name, 0), int) for name in ("inode", "mtime_ns")}
    texts = {name: _expect(record.get(name, ""), str) for name in ("text", "copy", "root", "backend")}
    item = Removed(_expect(record["path"], str), _expect(record["bytes"], int), **numbers, **texts)
    _absolute(item.path)
    if item.copy:
        _absolute(item.copy, item.root)
        if not item.path.startswith(os.path.join(item.copy, "")):
            raise ValueError(f"{item.path!r} is no part of {item.copy!r}")
    log.removals.append(item)


def _read_temporary(log: RunLog, record: Mapping[str, Any]) -> None:
    root, path, temporary = (_expect(record[name], str) for name in ("root", "path", "temporary"))
    locks = tuple(_expect(lock, str) for lock in _expect(record.get("locks", []), list))
    mount = _expect(record.get("mount", ""), str)
    item = Temporary(root, path, temporary, record["record"] == "aside", locks, mount)
    _absolute(item.root, item.path, item.temporary, *locks)
    if not is_temporary(os.path.basename(item.temporary)):
        raise ValueError(f"{item.temporary!r} is no temporary name of hubfold")
    log.temporaries.append(item)
    if not item.out:
        log.made.append(item.path)


def _read_mend(log: RunLog, record: Mapping[str, Any]) -> None:
    texts = {
        name: _expect(record[name], str) for name in ("path", "root", "temporary", "text", "kept", "source")
    }
    numbers = {name: _expect(record[name], int) for name in ("number", "inode", "new")}
    _absolute(texts["path"], texts["root"], texts["kept"])
    if not is_temporary(texts["temporary"]):
        raise ValueError(f"{texts['temporary']!r} is no temporary name of hubfold")
    mount = _expect(record.get("mount", ""), str)
    log.mends[numbers["number"]] = Mend(**texts, **numbers, mount=mount)


def _read_fresh(log: RunLog, record: Mapping[str, Any]) -> None:
    inode = _expect(record["inode"], int)
    for number in record["numbers"]:
        log.mends[number] = replace(log.mends[number], new=inode)


def _read_mended(log: RunLog, record: Mapping[str, Any]) -> None:
    log.mended.update(log.mends[number].number for number in record["numbers"])


def _read_end(log: RunLog, record: Mapping[str, Any]) -> None:
    log.ended = _expect(record["state"], str)
    log.freed = _expect(record.get("freed", 0), int)


def _read_undo(log: RunLog, record: Mapping[str, Any]) -> None:
    log.undo_begun, log.undone = True, False


def _read_undone(log: RunLog, record: Mapping[str, Any]) -> None:
    log.undone = True


def _read_recovered(log: RunLog, record: Mapping[str, Any]) -> None:
    log.ended = log.ended or "recovered"


_READERS = {
    "run": _read_run,
    "object": _read_object,
    "keeper": _read_keeper,
    "intent": _read_intent,
    "done": _read_state,
    "dropped": _read_state,
    "remove": _read_remove,
    "aside": _read_temporary,
    "make": _read_temporary,
    "farm": _read_farm,
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
