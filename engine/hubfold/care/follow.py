"""Links of earlier runs that follow content to another place, and the vault objects that they leave; and back again.

A payload frees nothing while an object of a vault is one of its names. So the links that read the object are given one
of the vault where the copy lies, and then it goes::

    the copy and the object compared byte for byte, the copy fsynced
    the new object announced, made, and the links noted in its list, fsynced
    ``release`` of the old object announced, fsynced
    each link announced (``repoint``), given the new text (`repoint`), taken off the list of the old object
    the old object looked at again: nothing needs it; its list and it unlinked

At each instant each link reads the old object or the new one, both whole. An object goes only while its content has
another name, or where the caller says that the copy is there for good.

Undo first makes each object again that is gone, of the name that its content has then, hashed there; then the links get
their old texts (`repoint`), noted before in the list of what they read then.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

import xxhash

from hubfold import errors
from hubfold.care import repoint
from hubfold.care.repairs import Donor, Mender
from hubfold.content import TEMPORARY_PREFIX, Root
from hubfold.disk.directory import Directory
from hubfold.disk.exchange import SPARE_SUFFIX
from hubfold.disk.filesystem import FileSystems, link_text
from hubfold.disk.held import WRITE_BITS, HeldFile
from hubfold.disk.locks import passing_lock
from hubfold.errors import LeftAlone
from hubfold.folding.followers import Around, Follower
from hubfold.folding.plan import Action
from hubfold.journal import keepers
from hubfold.journal.journal import Journal
from hubfold.journal.records import Released, Repointed
from hubfold.journal.run_log import RunLog
from hubfold.progress import Stop
from hubfold.reading import compare
from hubfold.reports.outcomes import Failed, Left
from hubfold.vault import gc, objects
from hubfold.vault.gc import Garbage
from hubfold.vault.names import claims_of, of_object

#: The lock files of a path in a root.
Locks = Callable[[Root, str], Sequence[str]]


@dataclass(slots=True)
class Led:
    """Links that read the copy now, objects that are gone, and why others are not."""

    links: list[str] = field(default_factory=list)
    released: list[str] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    #: Something was left under a temporary name: only recovery can settle it.
    unsettled: bool = False


@dataclass(slots=True)
class Leader:
    """Leads links to copies, under the journal of a run that was begun."""

    journal: Journal
    around: Around
    locks: Locks
    stop: Stop
    led: Led = field(default_factory=Led)
    _filesystems: FileSystems = field(default_factory=FileSystems)
    _number: int = 0

    def lead(
        self,
        name: tuple[str, str],
        links: Mapping[Follower, Action],
        held: Iterable[str],
        *,
        last: bool = False,
    ) -> None:
        """Lead links to the copy that their actions keep; then the objects `held` go, as far as nothing needs them.

        `name` is (root, path) of the name that the content has beside them, ("", "") where it has none: then `last`
        says that they may go all the same, since the copy was compared and is there for good. Raises `Interrupted`.
        What the journal does not take does not happen, and is told as failed: links and objects stay as they are.
        """
        found: dict[str, str] = {}
        compared: set[tuple[int, int]] = set()
        try:
            for object_ in held:
                own = {follower: action for follower, action in links.items() if follower.object == object_}
                found[object_] = self._prepare(object_, own, compared)
                self._announce(object_, name, found[object_])
            self.journal.sync()
        except (LeftAlone, OSError) as error:
            self.led.failed.append(Failed(object_, errors.describe(error)))
            return
        for follower, action in links.items():
            self.stop.check()
            try:
                self._relink(follower, action.target)
            except (LeftAlone, OSError) as error:
                self.led.failed.append(Failed(follower.link, errors.describe(error)))
        for object_ in found:
            try:
                self._release(object_, last=last and _inode(object_) in compared)
            except (LeftAlone, OSError) as error:
                self.led.failed.append(Failed(object_, errors.describe(error)))

    def lead_alone(self, links: Mapping[Follower, Action], held: Sequence[str], mender: Mender) -> None:
        """Lead links to objects made of what only the objects `held` have; raises as `lead`."""
        made: dict[Follower, Action] = {}
        first = ""
        try:
            for follower, action in links.items():
                first = first or self._copy(follower, action, held[0], mender)
                made[follower] = action._replace(
                    keeper=action.keeper._replace(path=first, root=of_object(first))
                )
        except (LeftAlone, OSError) as error:
            self.led.failed.append(Failed(held[0], errors.describe(error)))
            return
        self.lead(("", ""), made, held, last=True)

    def _copy(self, follower: Follower, action: Action, object_: str, mender: Mender) -> str:
        """The object that is made of another; one that is there already is compared before anything reads it."""
        assert action.vault is not None
        if not os.path.lexists(action.target):
            objects.make(action.vault, action.vault_serves)
            mount = self._filesystems.of(os.path.dirname(follower.link)).mount
            line = self.around.here.needed_by(
                follower.link, follower.root.path, self.journal.run, action.vault, mount
            )
            wanted = claims_of(os.path.basename(object_))
            mtime_ns = os.lstat(object_).st_mtime_ns
            mender.make_object(action.target, line, wanted, mtime_ns, Donor(object_, of_object(object_)))
        return action.target

    def _prepare(self, object_: str, links: Mapping[Follower, Action], compared: set[tuple[int, int]]) -> str:
        """Make and note what the links of an object are to read; xxh3_128 of what both have. Raises `LeftAlone`."""
        digest = xxhash.xxh3_128()
        with ExitStack() as opened:
            old = HeldFile(of_object(object_), object_)
            opened.callback(old.close)
            for number, (follower, action) in enumerate(links.items()):
                kept = HeldFile(action.keeper.root, action.keeper.path, lease=False)
                opened.callback(kept.close)
                if number == 0:
                    wrong = compare.compare(
                        kept, [old], update=digest.update, tick=lambda amount: self.stop.check()
                    )
                    if old in wrong:
                        raise wrong[old]
                    compared.add(old.signature[:2])
                self._make(follower, action, kept)
        return digest.hexdigest() if links else ""

    def _make(self, follower: Follower, action: Action, kept: HeldFile) -> None:
        """The object for one link: a name of the copy, read-only, which notes the link."""
        assert action.vault is not None
        now = kept.attributes
        mode = now.mode & ~WRITE_BITS
        mtime_ns = now.mtime_ns if action.keeper_mtime_ns is None else action.keeper_mtime_ns
        objects.make(action.vault, action.vault_serves)
        with objects.lock(action.vault):
            objects.prepare(action.vault)
            self.journal.place(action.keeper.root)
            self.journal.place(action.vault, objects.id_of(action.vault))
            self.journal.append("object", path=action.target, keeper=kept.path)
            keepers.announce(self.journal, kept, action.keeper.root, mode=mode, mtime_ns=mtime_ns)
            os.fsync(kept.fd)
            kept.directory.sync()
            self.journal.sync()
            keepers.make_read_only(kept)
            if mtime_ns != now.mtime_ns:
                os.utime(kept.fd, ns=(now.atime_ns, mtime_ns))
            try:
                objects.add_object(action.target, kept)
            except FileExistsError:
                raise LeftAlone("the vault holds another file under the digest of this one") from None
            mount = self._filesystems.of(os.path.dirname(follower.link)).mount
            root = follower.root.path
            line = self.around.here.needed_by(follower.link, root, self.journal.run, action.vault, mount)
            objects.note_links(action.target, [line])

    def _relink(self, follower: Follower, target: str) -> None:
        """Give one link the new text, and take it off the list of what it read."""
        root, path, vault = follower.root.path, follower.link, of_object(target)
        mount = self._filesystems.of(os.path.dirname(path)).mount
        self._number += 1
        link = Repointed(
            path=path,
            root=root,
            before=follower.text,
            text=link_text(path, target, self._filesystems),
            target=target,
            temporary=f"{TEMPORARY_PREFIX}{self.journal.run}-link-{self._number}",
            mount=mount,
        )
        with ExitStack() as held:
            for lock in self.locks(follower.root, path):
                held.enter_context(passing_lock(lock, root))
            held.enter_context(objects.lock(vault))
            directory, _ = Directory.parent_of(root, path)
            held.enter_context(directory)
            for place in (root, mount):
                self.journal.place(place)
            self.journal.append("repoint", **link.as_record())
            self.journal.sync()
            before, self.led.unsettled = self.led.unsettled, True
            try:
                repoint.put(directory, link, follower.text, link.text, through=target)
            finally:
                names = (link.temporary, link.temporary + SPARE_SUFFIX)
                left = (directory.lstat_or_none(name) for name in names)
                self.led.unsettled = before or any(st is not None for st in left)
        self.led.links.append(path)
        _unlist(follower.object, path)

    def _announce(self, object_: str, name: tuple[str, str], xxh3_128: str) -> None:
        """Announce that an object goes once its links are led elsewhere: undo has to find out of what to make it."""
        mtime_ns = os.lstat(object_).st_mtime_ns
        released = Released(path=object_, root=name[0], name=name[1], mtime_ns=mtime_ns, xxh3_128=xxh3_128)
        vault = of_object(object_)
        self.journal.place(vault, objects.id_of(vault))
        self.journal.append("release", **released.as_record())

    def _release(self, object_: str, *, last: bool) -> None:
        """Remove an object that nothing needs any more. Raises `LeftAlone` where something does."""
        needed = self.around.again().followers(object_)
        if needed:
            raise LeftAlone(f"{needed[0].link} needs it still, so its bytes stay")
        report = gc.remove([Garbage(object_, 0, last)], here=self.around.here)
        for one in report.kept:
            raise LeftAlone(one.reason)
        for failure in report.failed:
            raise LeftAlone(failure.error)
        self.led.released.append(object_)


def _inode(path: str) -> tuple[int, int]:
    st = os.lstat(path)
    return st.st_dev, st.st_ino


def _unlist(object_: str, link: str) -> None:
    """Take a link off the list of an object that it does not read any more; a list that stays too long is no loss."""
    with suppress(OSError, LeftAlone), objects.lock(of_object(object_)):
        objects.drop_links(object_, [one for one in objects.read_links(object_) if one.link == link])


def take_back(log: RunLog, mender: Mender, around: Around) -> repoint.PutBack:
    """Lead the links of a run back to the objects that they read before; those that are gone are made again first."""
    done = repoint.PutBack()
    known = {one.path: one for one in log.released}
    gone: dict[str, str] = {}
    for link in reversed(log.repointed):
        object_ = _target(link, link.before)
        try:
            if object_ not in gone:
                _make_again(link, object_, known.get(object_), mender, around)
                _list(link, object_, log.run, around)
        except (LeftAlone, OSError) as error:
            gone[object_] = errors.describe(error)
        if object_ in gone:
            done.left.append(Left(link.path, f"it reads the copy still: {gone[object_]}"))
            continue
        one = repoint.take_back(log, only=link)
        done.restored += one.restored
        done.left += one.left
        done.failed += one.failed
        done.waiting += one.waiting
        if one.restored:
            _unlist(link.target, link.path)
    return done


def _list(link: Repointed, object_: str, run: str, around: Around) -> None:
    """Note in the list of an object that a link is about to read it. Raises `LeftAlone`, `OSError`."""
    vault = of_object(object_)
    with objects.lock(vault):
        line = around.here.needed_by(link.path, link.root, run, vault, link.mount)
        objects.note_links(object_, [line])


def _target(link: Repointed, text: str) -> str:
    return os.path.normpath(os.path.join(os.path.realpath(os.path.dirname(link.path)), text))


def _make_again(
    link: Repointed, object_: str, released: Released | None, mender: Mender, around: Around
) -> None:
    """Make an object that a link read, of the name that its content has beside it now; else of what the link reads.

    Raises `LeftAlone`, `OSError`.
    """
    if os.path.lexists(object_):
        return
    wanted = claims_of(os.path.basename(object_))
    if not wanted:
        raise LeftAlone(f"{object_} is not there, and is no object")
    donors = [Donor(link.target, of_object(link.target))]
    if released is not None:
        wanted |= {"xxh3_128": released.xxh3_128} if released.xxh3_128 else {}
        donors[:0] = [Donor(released.name, released.root, keeper=True)] if released.name else []
    reason: LeftAlone | OSError = LeftAlone("nothing is left of its content")
    line = around.here.needed_by(link.path, link.root, mender.run, of_object(object_), link.mount)
    for donor in donors:
        try:
            mtime_ns = None if released is None else released.mtime_ns
            mender.make_object(object_, line, wanted, mtime_ns, donor)
        except (LeftAlone, OSError) as error:
            reason = error
        else:
            return
    raise reason
