"""Carries out the repairs of ``doctor --fix``, under a journal of their own, in an order that loses no byte.

Bytes that are not what they should be (`Case`) are put right like this::

    the layout's locks, and the vault's
    every name that is going to be exchanged announced in the journal, fsynced
    one more name for the changed bytes in the vault's ``replaced/``, fsynced
    the right bytes made under a temporary name, fsynced, and hashed there: what goes in place is what was hashed
    its inode journalled, fsynced
    each name exchanged, looked at, its directory fsynced, what it displaced unlinked

so that at each instant each path reads the changed bytes or the right ones, both whole; `care.settle` cleans up
after a crash and after an error alike. A vault object is made again with its list of links first: a list without an
object is nobody's, and what is not whole has a name that the journal lists.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace

from hubfold.access import ACL, readers
from hubfold.care import exchange
from hubfold.care.repoint import put
from hubfold.care.settle import settle_mends
from hubfold.content import TEMPORARY_PREFIX, Signature
from hubfold.disk import directory, permissions
from hubfold.disk.directory import Directory
from hubfold.disk.exchange import SPARE_SUFFIX
from hubfold.disk.filesystem import FileSystems, link_text
from hubfold.disk.held import WRITE_BITS, Attributes, HeldFile
from hubfold.disk.locks import passing_lock
from hubfold.errors import LeftAlone
from hubfold.journal.journal import Journal
from hubfold.journal.records import Mend, Repointed
from hubfold.progress import Progress, Stop
from hubfold.reading import compare
from hubfold.reading.digests import Job, available, read
from hubfold.vault import objects
from hubfold.vault.names import of_object

#: What link(2) says of a file that it cannot give another name here; then it is copied.
_NO_LINK = frozenset({errno.EXDEV, errno.EMLINK, errno.EPERM, errno.EOPNOTSUPP})


@dataclass(frozen=True, slots=True)
class Donor:
    """A file that may have the right bytes, and the root it lies in."""

    path: str
    root: str
    #: It is the payload that the names are to share again, or nobody else's: linked where that is possible.
    keeper: bool = False
    private: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """Names, as (root, path), of one inode whose bytes are not the `wanted` ones."""

    names: tuple[tuple[str, str], ...]
    changed: os.stat_result
    wanted: Mapping[str, str]
    #: The mtime that the right bytes had; None if that is not known: then the older of the two files' counts.
    mtime_ns: int | None = None
    #: Paths, as (root, path, text of the symlink), whose layout says that the changed bytes are theirs: a link gets
    #: them as a file, what is no link (text "") has them already.
    owners: tuple[tuple[str, str, str], ...] = ()
    read_only: bool = False


def is_content(
    path: str, signature: Signature, wanted: Mapping[str, str], progress: Progress, stop: Stop
) -> bool:
    """Whether a file has the bytes, by reading all of them. A claim is no proof, so every known digest has to agree.

    False for one that cannot be read or changes meanwhile. Raises `Interrupted`.
    """
    algorithms = tuple(sorted(name for name in wanted if available(name)))
    progress.start("reading", signature.size, "bytes")
    try:
        digests = read(Job(path, signature, algorithms), progress.advance, stop).digests
    finally:
        progress.finish()
    return bool(algorithms) and all(digests.get(name) == wanted[name] for name in algorithms)


class Mender:
    """Makes repairs; a run of its own begins with the first. Leave it with `close`."""

    def __init__(
        self,
        begin: Callable[[], Journal],
        place_for: Callable[[str], str],
        locks: Callable[[str, str], Sequence[str]],
        *,
        progress: Progress,
        stop: Stop,
    ) -> None:
        """`place_for` tells the vault for files of a root, `locks` the lock files of (root, path)."""
        self._begin = begin
        self._place_for = place_for
        self._locks = locks
        self._progress = progress
        self._stop = stop
        self._journal: Journal | None = None
        self._number = 0
        self._filesystems = FileSystems()
        #: Something was left that only recovery can settle.
        self._unsettled = False
        self._new_vaults: list[str] = []

    @property
    def journal(self) -> Journal:
        if self._journal is None:
            self._journal = self._begin()
        return self._journal

    def close(self) -> str:
        """End the run, if one was begun; its name if something of it is left that only recovery can settle.

        Raises `OSError` if its journal cannot be written.
        """
        if self._journal is None:
            return ""
        book, self._journal = self._journal, None
        if not self._unsettled:
            book.append("end", state="finished")
        book.close()
        for place in self._new_vaults:
            objects.clear_empty(place)  # nothing came of what it was made for
        return book.run if self._unsettled else ""

    def _new(self, place: str) -> None:
        if not objects.is_vault(place):
            self._new_vaults.append(place)
        directory.make_folders(place)

    def _temporary(self) -> str:
        self._number += 1
        return f"{TEMPORARY_PREFIX}{self.journal.run}-{self._number}"

    def place_for(self, root: str) -> str:
        """The vault for files of a root. Raises `LeftAlone` where there can be none."""
        return self._place_for(root)

    @property
    def run(self) -> str:
        """The name of the run, which begins with this."""
        return self.journal.run

    # -- links and objects ------------------------------------------------------------------------------------------

    def note(self, object_: str, needed_by: objects.NeededBy) -> None:
        """Add a link to an object's list."""
        with objects.lock(of_object(object_)):
            objects.note_links(object_, [needed_by])

    def repoint(self, root: str, path: str, before: str, target: str) -> None:
        """Give a link a text that leads to an object of a vault. Raises `LeftAlone`, `OSError`."""
        self.relink(
            root, path, before, link_text(path, target, FileSystems()), target, vault=of_object(target)
        )

    def relink(self, root: str, path: str, before: str, text: str, target: str, *, vault: str = "") -> None:
        """Give a link the text `text` instead of `before`, with which it has to read `target`, be it in a `vault`.

        Raises `LeftAlone`, `OSError`.
        """
        mount = FileSystems().of(os.path.dirname(path)).mount
        temporary = self._temporary()
        link = Repointed(
            path=path, root=root, before=before, text=text, target=target, temporary=temporary, mount=mount
        )
        with ExitStack() as held:
            for lock in self._locks(root, path):
                held.enter_context(passing_lock(lock, root))
            if vault:
                held.enter_context(objects.lock(vault))
            directory, _ = Directory.parent_of(root, path)
            held.enter_context(directory)
            for place in (root, mount):
                self.journal.place(place)
            if vault:
                self.journal.place(vault, objects.id_of(vault))
            self.journal.append("repoint", **link.as_record())
            self.journal.sync()
            # Until nothing of it is left under a temporary name.
            before_, self._unsettled = self._unsettled, True
            try:
                put(directory, link, before, text, through=target)
            finally:
                left = (directory.lstat_or_none(name) for name in (temporary, temporary + SPARE_SUFFIX))
                self._unsettled = before_ or any(st is not None for st in left)

    def make_object(
        self,
        object_: str,
        needed_by: objects.NeededBy,
        wanted: Mapping[str, str],
        mtime_ns: int | None,
        donor: Donor,
    ) -> None:
        """Make a vault object that is gone again. Raises `LeftAlone`, `OSError`."""
        place = of_object(object_)
        folder_path, name = os.path.split(object_)
        self._new(place)
        with objects.lock(place):
            objects.prepare(place)
            objects.make_folder_of(object_)
            objects.note_links(object_, [needed_by])
            with ExitStack() as held:
                folder = held.enter_context(Directory.open(folder_path))
                owner = folder.stat()
                if donor.private:
                    _adopt(donor, owner, mtime_ns)
                source = held.enter_context(self._held(donor))
                _check_rights(source, owner.st_uid)
                if folder.lstat_or_none(name) is not None:
                    raise LeftAlone("somebody made it again meanwhile")
                temporary = self._temporary()
                there = os.path.join(folder_path, temporary)
                self.journal.append("object", path=object_, keeper=donor.path)
                self.journal.announce("make", path=object_, root=place, temporary=there, source=donor.path)
                self.journal.sync()
                try:
                    # A file that somebody may write to stays his alone; another is one payload with its object.
                    now = source.attributes
                    shared = not now.mode & WRITE_BITS and now.uid == owner.st_uid
                    if not (shared and _linked(source, folder, temporary)):
                        _copy(source, folder, temporary, _of_vault(now, owner, mtime_ns), self._progress)
                    self._check(folder, temporary, wanted, donor)
                    folder.rename(temporary, name)
                    folder.sync()
                except BaseException:
                    self._clear(folder, temporary)
                    raise

    def fill(self, root: str, path: str, wanted: Mapping[str, str], donor: Donor) -> None:
        """Put content where there is nothing: no name is ever replaced by it. Raises `LeftAlone`, `OSError`."""
        folder_path, name = os.path.split(path)
        with ExitStack() as held:
            for lock in self._locks(root, path):
                held.enter_context(passing_lock(lock, root))
            folder = held.enter_context(Directory.make_below(root, folder_path))
            source = held.enter_context(self._held(donor))
            like = _as_there(source.attributes, folder.stat())
            _check_rights(source, like.uid)
            if folder.lstat_or_none(name) is not None:
                raise LeftAlone("somebody put it there meanwhile")
            temporary = self._temporary()
            there = os.path.join(folder_path, temporary)
            self.journal.announce("make", path=path, root=root, temporary=there, source=donor.path)
            self.journal.sync()
            try:
                mine = (source.attributes.uid, source.attributes.gid) == (like.uid, like.gid)
                if not (donor.keeper and mine and _linked(source, folder, temporary)):
                    _copy(source, folder, temporary, like, self._progress)
                self._check(folder, temporary, wanted, donor)
                exchange.name_if_free(folder, temporary, name)
                folder.sync()
            finally:
                self._clear(folder, temporary)

    def _clear(self, folder: Directory, temporary: str) -> None:
        try:
            with suppress(FileNotFoundError):
                folder.unlink(temporary)
        except OSError:
            self._unsettled = True

    @contextmanager
    def _held(self, donor: Donor) -> Iterator[HeldFile]:
        source = HeldFile(donor.root, donor.path)
        try:
            yield source
        finally:
            source.close()

    def _check(self, folder: Directory, name: str, wanted: Mapping[str, str], donor: Donor) -> None:
        path = os.path.join(folder.path, name)
        if not is_content(path, Signature.of(folder.lstat(name)), wanted, self._progress, self._stop):
            raise LeftAlone(f"{donor.path} was changed while it was being copied")

    # -- bytes --------------------------------------------------------------------------------------------------------

    def put_right(self, case: Case, donor: Donor) -> str:
        """Give every name of `case` the right bytes; where the changed ones are kept, "" if a link's owner has them.

        Raises `LeftAlone`, `OSError`, `Interrupted`; then every name reads what it read before, or the right bytes.
        """
        names = [(root, path) for root, path in case.names if exchange.is_inode(root, path, case.changed)]
        if not names:
            raise LeftAlone("none of its names is where it was")
        place = self._place_for(names[0][0])
        with ExitStack() as held:
            locks = {lock: root for root, path in names for lock in self._locks(root, path)}
            for lock, root in locks.items():
                held.enter_context(passing_lock(lock, root))
            self._new(place)
            vaults = (of_object(path) for root, path in names if objects.is_vault(root))
            for path in dict.fromkeys((place, *vaults)):
                held.enter_context(objects.lock(path))
            objects.prepare(place)
            kept = exchange.name_to_keep(place, names[0][1], case.changed.st_ino)
            mends = self._announce(case, names, kept, donor)
            before, self._unsettled = self._unsettled, True  # until it is written down what came of it
            try:
                exchange.keep(names[0], kept, case.changed.st_ino)
                mends = self._exchange_all(case, mends, donor)
            except BaseException:
                settled = settle_mends(mends)
                if not (settled.waiting or settled.done):
                    self._unsettled = before
                raise
            if case.owners:
                try:
                    exchange.drop(kept)
                except OSError:
                    return ""  # all is mended: recovery finds that, and takes this name away
            self.journal.append("mended", numbers=[mend.number for mend in mends])
            self.journal.sync()
            self._unsettled = before
            return "" if case.owners else kept

    def _announce(self, case: Case, names: Sequence[tuple[str, str]], kept: str, donor: Donor) -> list[Mend]:
        inode = case.changed.st_ino
        links = [
            replace(self._mend(root, path, kept, kept), text=text, new=inode)
            for root, path, text in case.owners
            if text
        ]
        files = [replace(self._mend(root, path, kept, donor.path), inode=inode) for root, path in names]
        mends = [*links, *files]
        for mend in mends:
            for place in (mend.root, mend.mount):
                self.journal.place(place)
            self.journal.append("mend", **mend.as_record())
        self.journal.sync()
        return mends

    def _mend(self, root: str, path: str, kept: str, source: str) -> Mend:
        temporary = self._temporary()
        return Mend(
            number=self._number,
            path=path,
            root=root,
            temporary=temporary,
            inode=0,
            text="",
            new=0,
            kept=kept,
            source=source,
            mount=self._filesystems.of(os.path.dirname(path)).mount,
        )

    def _exchange_all(self, case: Case, mends: list[Mend], donor: Donor) -> list[Mend]:
        owners, shared = [m for m in mends if m.text], [m for m in mends if not m.text]
        first, _ = Directory.parent_of(shared[0].root, shared[0].path)
        with first:
            self._make(case, first, shared[0].temporary, shared[0].kept, donor)
            self._check(first, shared[0].temporary, case.wanted, donor)
            fresh = first.lstat(shared[0].temporary).st_ino
            self.journal.append("fresh", inode=fresh, numbers=[mend.number for mend in shared])
            self.journal.sync()
            shared = [replace(mend, new=fresh) for mend in shared]
            mends[:] = [*owners, *shared]
            first.sync()
            with Directory.open(os.path.dirname(shared[0].kept)) as replaced:
                for mend in owners:
                    exchange.link_in(replaced, os.path.basename(mend.kept), mend)
            for mend in shared[1:]:
                exchange.link_in(first, shared[0].temporary, mend)
            exchange.exchange(first, shared[0])
        return mends

    def _make(self, case: Case, folder: Directory, temporary: str, kept: str, donor: Donor) -> None:
        """The right bytes under a temporary name, durable, as much like the changed file as can be."""
        like = _attributes(Donor(kept, os.path.dirname(kept)))
        mtime_ns = case.mtime_ns
        if mtime_ns is None:
            mtime_ns = min(os.lstat(donor.path).st_mtime_ns, like.mtime_ns)
        like = like._replace(mtime_ns=mtime_ns, mode=like.mode & ~(WRITE_BITS if case.read_only else 0))
        if donor.private:
            _give(donor, like)
        with self._held(donor) as source:
            if not ((donor.private or donor.keeper) and _linked(source, folder, temporary)):
                _copy(source, folder, temporary, like, self._progress)

    # -- downloads ----------------------------------------------------------------------------------------------------

    @contextmanager
    def fetched(self, place_of: str, path: str, fetch: Callable[[str], str]) -> Iterator[Donor]:
        """A file that `fetch` downloads into the folder that it is given, in the vault for the root `place_of`.

        `path` is what it is for. Raises what `fetch` raises, `LeftAlone`, `OSError`.
        """
        place = self._place_for(place_of)
        self._new(place)
        with objects.lock(place):
            objects.prepare(place)
        temporary = self._temporary()
        there = os.path.join(place, temporary)
        self.journal.announce("make", path=path, root=place, temporary=there, source="the Hub")
        self.journal.sync()
        with Directory.open(place) as folder:
            try:
                folder.mkdir(temporary)
                found = os.path.realpath(fetch(there))
                yield Donor(found, os.path.realpath(there), private=True)
            finally:
                try:
                    if folder.lstat_or_none(temporary) is not None:
                        directory.remove_tree(folder, temporary)
                except OSError:
                    self._unsettled = True


def _attributes(donor: Donor) -> Attributes:
    held = HeldFile(donor.root, donor.path, lease=False)
    held.close()
    return held.attributes


def _as_there(like: Attributes, folder: os.stat_result) -> Attributes:
    """What a new file is besides its bytes: its group may read it only where it may read the source.

    As root it is of whom its folder is, else of who makes it.
    """
    uid, gid = folder.st_uid, folder.st_gid
    if not directory.privileged():
        uid, gid = os.geteuid(), gid if folder.st_mode & stat.S_ISGID else os.getegid()
    mode = like.mode | 0o200
    if like.gid != gid or ACL in like.xattrs:
        mode &= ~0o070 | (mode & 0o007) << 3
    return like._replace(mode=mode, uid=uid, gid=gid, xattrs={})


def _check_rights(source: HeldFile, uid: int) -> None:
    """Raise `LeftAlone` where somebody else is to get a file that not everybody may read."""
    if source.attributes.uid == uid:
        return
    way = permissions.Ways().to(os.path.dirname(source.path))
    if readers(permissions.of_attributes(source.attributes, source.path), way):
        raise LeftAlone(f"not everybody may read {source.path}, and it would be another user's")


def _of_vault(like: Attributes, owner: os.stat_result, mtime_ns: int | None) -> Attributes:
    """What an object is besides its bytes: read-only, and of whom its folder is."""
    mtime_ns = like.mtime_ns if mtime_ns is None else mtime_ns
    mode = like.mode & ~WRITE_BITS
    return like._replace(mode=mode, uid=owner.st_uid, gid=owner.st_gid, mtime_ns=mtime_ns, xattrs={})


def _adopt(donor: Donor, owner: os.stat_result, mtime_ns: int | None) -> None:
    _give(donor, _of_vault(_attributes(donor), owner, mtime_ns))


def _give(donor: Donor, like: Attributes) -> None:
    held = HeldFile(donor.root, donor.path, lease=False)
    try:
        like.give_to(held.fd)
    finally:
        held.close()


def _linked(source: HeldFile, folder: Directory, name: str) -> bool:
    """Make `name` a hard link of a file that is held, durable; False where there can be none."""
    os.fsync(source.fd)
    try:
        folder.link_from(source.directory, source.name, name)
    except OSError as error:
        if error.errno in _NO_LINK:
            return False
        raise
    if source.is_here(folder, name):
        return True
    folder.unlink(name)
    raise LeftAlone(f"{source.path} was replaced meanwhile")


def _copy(source: HeldFile, folder: Directory, name: str, like: Attributes, progress: Progress) -> None:
    target = folder.create_file(name)
    progress.start("copying", source.signature.size, "bytes")
    try:
        compare.copy_bytes(source.fd, target, update=lambda data: None, tick=progress.advance)
        like.give_to(target)
        os.fsync(target)
    finally:
        progress.finish()
        os.close(target)
