"""The one place that calls a backend: whatever a plugin answers or raises, it costs its own root and nothing else.

A plugin's word is data (invariant 15). Every call of a method of a `StorageBackend` is made here, and nobody else holds
one: others hold a `GuardedBackend`. What a plugin raises (`SystemExit` too), what it answers that the contract does not
allow (`answers`), is a `Fault`: noted once with the plugin, its distribution and the method, and raised as
`BackendFault`, by which whoever asked leaves the root out. An answer that is made of several is whole or it is none; of
`replicas`, which can be millions, what came before the fault is no reason to think that the rest is gone.

What it names lies below the root that it was asked about, by its text and on the disk (`territory`), and what it finds
by itself as a root is not the whole machine and nobody's home.

What is not the plugin's doing goes through it: Ctrl-C (also where a plugin raises `KeyboardInterrupt` itself: nobody
can tell the two apart, and the user's word is the one to keep), and whatever our own walk raised while the plugin was
at work (`Interrupted`, an index that is damaged), even if the plugin caught that.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn, TypeVar

from hubfold.backend import answers
from hubfold.backend.answers import FEW, Unfit
from hubfold.backend.contract import StorageBackend
from hubfold.backend.hookspecs import PROJECT
from hubfold.backend.territory import ABOVE, Disk, Territory
from hubfold.content import VAULT, Root
from hubfold.errors import HubfoldError
from hubfold.faults import OWN, BackendFault, Fault, Faults, Origin

if TYPE_CHECKING:
    from hubfold.backend.changes import Gap, Leftover, ModelPart, Offer, PartPlace, Removal, ShownFile
    from hubfold.backend.contract import Folder, Walk
    from hubfold.content import Replica, Root, Snapshot

T = TypeVar("T")
#: One of `StorageBackend`, by which it is named.
Method = Callable[..., object]

#: Characters of what a plugin says of its own error that are told.
_LONGEST = 300


class GuardedBackend:
    """A backend as everybody but this module knows it: its methods by the contract, behind the guard.

    Raises `Unfit` for a name or capabilities that the contract does not allow. All methods raise `BackendFault`, but
    for `recognise`, `default_roots`, `further`, `home_root`, `reached`, `model_named` and `vault_places`: a plugin that
    fails in one of these has none, and that is all. Without a `disk` (`hubfold.disk.bounds`), paths are held against
    the root by their text alone.
    """

    __slots__ = (
        "_backend",
        "_disk",
        "_faults",
        "capabilities",
        "exclusive",
        "fallback",
        "marks",
        "name",
        "origin",
        "priority",
    )

    def __init__(
        self,
        backend: StorageBackend,
        origin: Origin = OWN,
        faults: Faults | None = None,
        disk: Disk | None = None,
    ) -> None:
        self._backend = backend
        self._faults = Faults() if faults is None else faults
        self._disk = disk
        self.origin = origin
        self.name = answers.text(backend.name, "name")
        self.capabilities = answers.capabilities(backend.capabilities)
        self.fallback = answers.yes_or_no(backend.fallback, "fallback")
        self.priority = answers.number(backend.priority, "priority")
        self.marks = answers.marks(backend.marks)
        self.exclusive = answers.yes_or_no(backend.exclusive, "exclusive")

    @property
    def implementation(self) -> type[StorageBackend]:
        """The class behind the guard, for its author's own tests."""
        return type(self._backend)

    def noting(self, faults: Faults, disk: Disk | None = None) -> GuardedBackend:
        """The same, which notes its faults there, and asks that disk where paths lie."""
        return GuardedBackend(self._backend, self.origin, faults, disk)

    # finding roots

    def recognise(self, path: str, names: Collection[str], *, met: bool = False) -> str | None:
        """See `StorageBackend.recognise`. What the user named may be his home; what is only `met` may not."""
        if self.marks and self.marks.isdisjoint(names):
            return None
        try:
            answer = self._backend.recognise(path, names)
            if answer is None or (met and self._leads_away(path, answer)):
                return None
            return self._root(answer, path, met=met)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a plugin may raise anything
            self._note(StorageBackend.recognise, "", error)
            return None

    def default_roots(self, environ: Mapping[str, str]) -> Sequence[str]:
        """See `StorageBackend.default_roots`: those of them that can be used."""
        return self._own_roots(StorageBackend.default_roots, "", lambda: self._backend.default_roots(environ))

    def further(self, root: Root, environ: Mapping[str, str]) -> Sequence[str]:
        """See `StorageBackend.further`: those that can be used."""
        asked = self._own_roots(
            StorageBackend.further, root.path, lambda: self._backend.further(root, environ)
        )
        return tuple(asked)

    def _own_roots(self, method: Method, root: str, ask: Callable[[], Iterable[str]]) -> list[str]:
        """The roots that a layout finds by itself, without those that no plugin has a say in."""
        found: list[str] = []
        try:
            for answer in answers.items(ask(), "its answer"):
                if len(found) >= FEW:
                    raise Unfit(f"there are more than {FEW} roots")
                try:
                    found.append(self._allowed(answers.default_root(answer, "a root")))
                except Unfit as error:
                    self._note(method, root, error)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # noqa: BLE001 - a plugin may raise anything
            self._note(method, root, error)
        return found

    def home_root(self, home: str) -> str | None:
        """See `StorageBackend.home_root`."""

        def ask() -> str | None:
            answer = self._backend.home_root(home)
            if answer is None:
                return None
            own = Territory(home, self._disk)
            # As in `_root`: of hubfold's own layouts it may be a link to where it really lies.
            return own.below(answers.path(answer, "the root"), "the root", itself=not self._is_own)

        with suppress(BackendFault):
            return self._ask(StorageBackend.home_root, "", ask)
        return None

    def model_named(self, text: str) -> tuple[str, str, str | None] | None:
        """See `StorageBackend.model_named`."""

        def ask() -> tuple[str, str, str | None] | None:
            answer = self._backend.model_named(text)
            return None if answer is None else answers.model_named(answer)

        with suppress(BackendFault):
            return self._ask(StorageBackend.model_named, "", ask)
        return None

    def vault_places(self, root: Root) -> Sequence[str]:
        """See `StorageBackend.vault_places`."""
        own = self._territory(root, above=True)
        # The vault of what lies behind a link may be that of the cache which has the link.
        owners = self._territory(Root(os.path.dirname(root.link), root.backend), above=True)

        def check(value: object, what: str) -> str:
            place = answers.path(value, what)
            try:
                return own.below(place, what, itself=True)
            except Unfit:
                if not root.link or not self._is_own:
                    raise
                return owners.below(place, what, itself=True)

        with suppress(BackendFault):
            return self._ask(
                StorageBackend.vault_places,
                root.path,
                lambda: answers.every(self._backend.vault_places(root), check, "place", FEW),
            )
        return ()

    def reached(self, root: Root) -> Sequence[str]:
        """See `StorageBackend.reached`. Of hubfold's own layouts only: what lies behind such a link is the root's."""

        def check(value: object, what: str) -> str:
            link = answers.path(value, what)
            if not self._is_own:
                raise Unfit(f"{what} is {link!r}: only hubfold's own layouts have parts behind symlinks")
            return link

        with suppress(BackendFault):
            return self._ask(
                StorageBackend.reached,
                root.path,
                lambda: answers.every(self._backend.reached(root), check, "link"),
            )
        return ()

    # reading a root

    def replicas(self, root: Root, walk: Walk, take: Callable[[Replica], object]) -> None:
        """See `StorageBackend.replicas`: each is handed to `take`, whose `TypeError` and `ValueError` are faults too.

        After `BackendFault` nothing is known of what was not taken yet.
        """
        handed = HandedWalk(walk)
        check, own = answers.replica, self._territory(root).replica
        walked = handed.walked
        taking = False
        number, most = 0, answers.MOST
        try:
            for answer in answers.items(self._backend.replicas(root, handed), "its answer"):
                found = own(check(answer, "a file"), walked, "a file")
                number += 1
                if number > most and number > most + handed.names:
                    raise Unfit(f"there are more than {most:,} files beyond what the walk has shown")
                taking = True
                take(found)
                taking = False
        except BaseException as error:
            if taking and not isinstance(error, (TypeError, ValueError, OverflowError)):
                raise
            self._blame(StorageBackend.replicas, root.path, error, handed)
        handed.check()

    def notes(self, root: Root, walk: Walk) -> Sequence[str]:
        """See `StorageBackend.notes`."""
        handed = HandedWalk(walk)
        own = self._territory(root)

        def check(value: object, what: str) -> str:
            return own.below(answers.path(value, what), what)

        def ask() -> Sequence[str]:
            return answers.every(self._backend.notes(root, handed), check, "note")

        return self._ask(StorageBackend.notes, root.path, ask, handed)

    def snapshots(self, root: Root, walk: Walk) -> Sequence[Snapshot]:
        """See `StorageBackend.snapshots`."""
        handed = HandedWalk(walk)

        def ask() -> Sequence[Snapshot]:
            own = self._territory(root)
            return answers.every(
                self._backend.snapshots(root, handed),
                lambda value, what: own.snapshot(answers.snapshot(value, what), what),
                "snapshot",
            )

        return self._ask(StorageBackend.snapshots, root.path, ask, handed)

    def lock_paths(self, root: Root, path: str) -> Sequence[str]:
        """See `StorageBackend.lock_paths`."""
        own = self._territory(root, above=True)

        def check(value: object, what: str) -> str:
            return own.below(answers.path(value, what), what, itself=True)

        return self._ask(
            StorageBackend.lock_paths,
            root.path,
            lambda: answers.every(self._backend.lock_paths(root, path), check, "lock", FEW),
        )

    # changing a root

    def removals(
        self, root: Root, repo_type: str, repo_id: str, revisions: Collection[str] | None, walk: Walk
    ) -> Sequence[Removal]:
        """See `StorageBackend.removals`."""
        handed = HandedWalk(walk)

        def ask() -> Sequence[Removal]:
            answer = self._backend.removals(root, repo_type, repo_id, revisions, handed)
            return answers.every(answer, self._removal_from(root), "removal")

        return self._ask(StorageBackend.removals, root.path, ask, handed)

    def all_removals(self, root: Root, walk: Walk) -> Sequence[Removal] | None:
        """See `StorageBackend.all_removals`."""
        handed = HandedWalk(walk)

        def ask() -> Sequence[Removal] | None:
            answer = self._backend.all_removals(root, handed)
            return None if answer is None else answers.every(answer, self._removal_from(root), "removal")

        return self._ask(StorageBackend.all_removals, root.path, ask, handed)

    def leftovers(self, root: Root, walk: Walk) -> Sequence[Leftover]:
        """See `StorageBackend.leftovers`."""
        handed = HandedWalk(walk)
        removal_from, own = self._removal_from(root), self._territory(root)

        def check(value: object, what: str) -> Leftover:
            found = answers.leftover(value, what)
            own.inside(found.path, f"{what}.path")
            removal = removal_from(found.removal, f"{what}.removal")
            return found if removal is found.removal else replace(found, removal=removal)

        def ask() -> Sequence[Leftover]:
            return answers.every(self._backend.leftovers(root, handed), check, "leftover")

        return self._ask(StorageBackend.leftovers, root.path, ask, handed)

    def gaps(self, root: Root, walk: Walk) -> Sequence[Gap]:
        """See `StorageBackend.gaps`."""
        handed = HandedWalk(walk)
        own = self._territory(root)

        def check(value: object, what: str) -> Gap:
            found = answers.gap(value, what)
            for path, field in ((found.path, "path"), (found.content, "content")):
                if path:
                    own.below(path, f"{what}.{field}")
            return found

        def ask() -> Sequence[Gap]:
            return answers.every(self._backend.gaps(root, handed), check, "gap")

        return self._ask(StorageBackend.gaps, root.path, ask, handed)

    def still_needed(self, root: Root, paths: Collection[str], walk: Walk) -> Collection[str]:
        """See `StorageBackend.still_needed`. Where the walk could not read something, who uses what is not known."""
        handed = HandedWalk(walk)
        asked = tuple(paths)

        def ask() -> Collection[str]:
            answer = answers.every(
                self._backend.still_needed(root, asked, handed),
                answers.path,
                "path",
                answers.MOST + len(asked),
            )
            strange = next((path for path in answer if path not in known), "")
            if strange:
                raise Unfit(f"{strange!r} is needed, which was not asked about")
            return asked if handed.is_in_the_dark else answer

        known = frozenset(asked)
        return self._ask(StorageBackend.still_needed, root.path, ask, handed)

    def content_path(
        self, root: Root, repo_type: str, repo_id: str, digests: Mapping[str, str]
    ) -> str | None:
        """See `StorageBackend.content_path`."""

        def ask() -> str | None:
            answer = self._backend.content_path(root, repo_type, repo_id, digests)
            if answer is None:
                return None
            return self._territory(root).below(answers.path(answer, "the path"), "the path")

        return self._ask(StorageBackend.content_path, root.path, ask)

    def partial_path(
        self, root: Root, repo_type: str, repo_id: str, digests: Mapping[str, str]
    ) -> str | None:
        """See `StorageBackend.partial_path`."""

        def ask() -> str | None:
            answer = self._backend.partial_path(root, repo_type, repo_id, digests)
            if answer is None:
                return None
            return self._territory(root).below(answers.path(answer, "the path"), "the path")

        return self._ask(StorageBackend.partial_path, root.path, ask)

    def parts(self, root: Root, snapshot: Snapshot, walk: Walk) -> Sequence[ModelPart]:
        """See `StorageBackend.parts`."""
        handed = HandedWalk(walk)

        def ask() -> Sequence[ModelPart]:
            own = self._territory(root)
            return answers.every(
                self._backend.parts(root, snapshot, handed),
                lambda value, what: own.part(answers.part(value, what), what),
                "part",
            )

        return self._ask(StorageBackend.parts, root.path, ask, handed)

    def place(self, name: str) -> PartPlace | None:
        """See `StorageBackend.place`."""

        def ask() -> PartPlace | None:
            answer = self._backend.place(name)
            if answer is None:
                return None
            place = answers.part_place(answer, "the place")
            if place.unit and not name.startswith(f"{place.unit}/"):
                raise Unfit(f"the unit is {place.unit!r}, which {name!r} does not lie in")
            return place

        return self._ask(StorageBackend.place, "", ask)

    def offers(self, root: Root, walk: Walk) -> Sequence[Offer]:
        """See `StorageBackend.offers`."""
        handed = HandedWalk(walk)

        def check(value: object, what: str) -> Offer:
            found = answers.offer(value, what)
            own = self._territory(root)
            own.inside(found.path, f"{what}.path")
            for file in found.files:
                own.below(file.path, f"{what}.files")
            return found

        def ask() -> Sequence[Offer]:
            return answers.every(self._backend.offers(root, handed), check, "offer")

        return self._ask(StorageBackend.offers, root.path, ask, handed)

    def arranged(self, offer: Offer, refs: Collection[str]) -> Sequence[ModelPart]:
        """See `StorageBackend.arranged`. What it reads are files of the offer, and nothing else."""
        given = {file.path for file in offer.files}

        def check(value: object, what: str) -> ModelPart:
            found = answers.part(value, what)
            if found.source and found.source not in given:
                raise Unfit(f"{what} is read at {found.source!r}, which is no file of the offer")
            return found

        def ask() -> Sequence[ModelPart]:
            return answers.every(self._backend.arranged(offer, tuple(refs)), check, "part")

        return self._ask(StorageBackend.arranged, "", ask)

    @property
    def shows(self) -> bool:
        """Whether its program can be given what a cache has (`StorageBackend.shown`)."""
        return self.implementation.shown is not StorageBackend.shown

    @property
    def tells_need(self) -> bool:
        """Whether it says what else needs a file (`StorageBackend.still_needed`)."""
        return self.implementation.still_needed is not StorageBackend.still_needed

    def shown(self, root: Root, snapshot: Snapshot, walk: Walk) -> Sequence[ShownFile]:
        """See `StorageBackend.shown`. What it reads are files of the snapshot, and nothing else."""
        handed = HandedWalk(walk)
        given = {file.name for file in snapshot.files}

        def check(value: object, what: str) -> ShownFile:
            found = answers.shown(value, what)
            if found.file and found.file not in given:
                raise Unfit(f"{what} is {found.file!r}, which is no file of the model")
            return found

        def ask() -> Sequence[ShownFile]:
            found = answers.every(self._backend.shown(root, snapshot, handed), check, "file")
            names = {one.name for one in found}
            if len(names) < len(found):
                raise Unfit("two of its files have one name")
            for name in names:
                if inner := next((above for above in _above(name) if above in names), ""):
                    raise Unfit(f"{name!r} lies below {inner!r}, which is a file")
            return found

        return self._ask(StorageBackend.shown, root.path, ask, handed)

    # what is behind it

    def _leads_away(self, path: str, root: str) -> bool:
        """Whether the cache below a folder is a link to another place: it is found there, and not by who comes by."""
        return self._is_own and bool(self._disk and self._disk.below(path).link_on_the_way(root, itself=True))

    @property
    def _is_own(self) -> bool:
        return self.origin.distribution == PROJECT

    def _territory(self, root: Root, *, above: bool = False) -> Territory:
        """Where its paths may lie; `above` for what hubfold's own layouts may have beside a root, and no others."""
        own = above and self._is_own
        return Territory(root.path, self._disk, above=ABOVE if own else 0, doors=lambda: self.reached(root))

    def _root(self, answer: object, path: str, *, met: bool) -> str:
        found = answers.path(answer, "the root")
        # The cache below a folder that the user named may be a link to it; what is only met is not followed.
        Territory(path, self._disk).inside(found, "the root", itself=met or not self._is_own)
        return self._allowed(found) if met else found

    def _allowed(self, root: str) -> str:
        """A root that nobody named. Raises `Unfit` for one that no plugin has a say in."""
        reason = "all of this machine" if root == "/" else self._disk.too_much(root) if self._disk else ""
        if reason:
            raise Unfit(f"{root!r} is {reason}: only a user makes a root of it, by its path")
        return root

    def _removal_from(self, root: Root) -> Callable[[object, str], Removal]:
        own = self._territory(root)

        def check(value: object, what: str) -> Removal:
            found = answers.removal(value, what)
            if found.root != root.path:
                raise Unfit(f"{what} is about the root {found.root!r}, which was not asked about")
            own.removal(found, what)
            return found if found.backend == self.name else replace(found, backend=self.name)

        return check

    def _ask(self, method: Method, root: str, ask: Callable[[], T], handed: HandedWalk | None = None) -> T:
        try:
            answer = ask()
        except BaseException as error:  # noqa: BLE001 - a plugin may raise anything
            self._blame(method, root, error, handed)
        if handed is not None:
            handed.check()
        return answer

    def _blame(self, method: Method, root: str, error: BaseException, handed: HandedWalk | None) -> NoReturn:
        if handed is not None:
            handed.check()
        if isinstance(error, KeyboardInterrupt):
            raise error
        raise self._fault(method, root, error) from error

    def _fault(self, method: Method, root: str, error: BaseException) -> BackendFault:
        return BackendFault(self._note(method, root, error))

    def _note(self, method: Method, root: str, error: BaseException) -> Fault:
        name = method.__name__
        known = self._faults.known(self.origin, self.name, name, root)
        return known or self._faults.note(Fault(self.origin, told(error), self.name, name, root))


def _above(name: str) -> Iterator[str]:
    """The folders above a path from a root, the innermost first."""
    while "/" in name:
        name = name.rpartition("/")[0]
        yield name


def guarded(cls: object, origin: Origin) -> GuardedBackend:
    """The backend of a class that a plugin brings. Raises whatever is wrong with it."""
    if not (isinstance(cls, type) and issubclass(cls, StorageBackend)):
        raise TypeError(f"{cls!r} is not a subclass of hubfold.StorageBackend")
    if not isinstance(getattr(cls, "name", None), str) or not cls.name:
        raise TypeError(f"{cls.__qualname__} has no `name`")
    found = GuardedBackend(cls(), origin)
    if found.name == VAULT:
        raise TypeError(f"{VAULT!r} is the name of hubfold's own backend")
    return found


class HandedWalk:
    """The `Walk` that a plugin is handed: it takes what the contract says, and remembers an error that is ours."""

    __slots__ = ("_failure", "_walk", "_warnings", "names", "walked")

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._failure: BaseException | None = None
        self._warnings = 0
        #: The folders that were shown, and how many names in them.
        self.walked: set[str] = set()
        self.names = 0

    def check(self) -> None:
        """Raise what ended the walk, whatever the plugin made of it."""
        if self._failure is not None:
            raise self._failure

    @property
    def is_in_the_dark(self) -> bool:
        """Whether something that the plugin came to could not be read."""
        return bool(getattr(self._walk, "failed", ()))

    def folders(self, path: str) -> Iterator[Folder]:
        found = self._walk.folders(_named(path))
        try:
            for folder in found:
                self.walked.add(folder.path)
                self.names += len(folder.names)
                yield folder
        except (HubfoldError, KeyboardInterrupt) as error:
            self._failure = error
            raise

    def listing(self, path: str) -> list[str]:
        return self._walk.listing(_named(path))

    def read_text(self, path: str, limit: int = 1 << 20) -> str | None:
        return self._walk.read_text(_named(path), limit)

    def read_bytes(self, path: str, limit: int = 1 << 20) -> bytes | None:
        return self._walk.read_bytes(_named(path), limit)

    def read_json(self, path: str, limit: int = 1 << 20) -> object:
        return self._walk.read_json(_named(path), limit)

    def query(
        self, path: str, sql: str, parameters: Sequence[object] = (), limit: int = 1 << 28
    ) -> list[tuple[object, ...]]:
        return self._walk.query(_named(path), answers.text(sql, "the SQL"), parameters, limit)

    def stat(self, path: str) -> os.stat_result | None:
        return self._walk.stat(_named(path))

    def readlink(self, path: str) -> str | None:
        return self._walk.readlink(_named(path))

    def leads_to(self, path: str) -> str | None:
        return self._walk.leads_to(_named(path))

    def real(self, path: str) -> str:
        return self._walk.real(_named(path))

    def dangles(self, path: str) -> bool:
        return self._walk.dangles(_named(path))

    def size(self, path: str) -> int | None:
        return self._walk.size(_named(path))

    def warn(self, path: str, message: str, *, kind: str = "notice") -> None:
        for value in (path, message, kind):
            answers.text(value, "what it warns of")
        self._warnings += 1
        if self._warnings > answers.MOST:
            raise Unfit(f"there are more than {answers.MOST:,} warnings")
        self._walk.warn(path, message, kind=kind)

    def once(self, what: str, make: Callable[[], T]) -> T:
        return self._walk.once(answers.text(what, "what is worked out"), make)

    def commit_repo(self, revision: str) -> tuple[str, str] | None:
        return self._walk.commit_repo(revision)

    def note_commit(self, revision: str, repo_id: str, repo_type: str) -> None:
        for value in (revision, repo_id, repo_type):
            answers.text(value, "what it tells of a commit")
        self._walk.note_commit(revision, repo_id, repo_type)


def _named(path: str) -> str:
    """A path as the system takes it. Raises `Unfit` for what is none: that is no error of our walk."""
    if type(path) is str and "\0" not in path and path.isascii():
        return path
    if "\0" in answers.text(path, "a path"):
        raise Unfit(f"{path!r} is no path")
    return path


def told(error: BaseException) -> str:
    """What an error says, on one line, with where in the plugin it came up."""
    text = ""
    with suppress(Exception):
        text = " ".join(str(error).split())
    if len(text) > _LONGEST:
        text = text[:_LONGEST] + "…"
    if isinstance(error, Unfit):
        return text
    return f"{type(error).__name__}{': ' if text else ''}{text}{_where(error)}"


def _where(error: BaseException) -> str:
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None or os.path.dirname(place.tb_frame.f_code.co_filename) == os.path.dirname(__file__):
        return ""
    return f" ({os.path.basename(place.tb_frame.f_code.co_filename)}, line {place.tb_lineno})"
