"""What removing models would do: which paths go, which links elsewhere need their content, what stays for whom.

Content outlives its model where something else needs it: a vault object is one more hard link of the file, and so is a
blob of another cache, so they keep it by themselves. A symlink straight into a cache (made by somebody else) is not
so lucky: then its target stays, unless the user wants such links gone as well (`with_links`). Links that belong to
another cache's models are never removed with it.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace

from hubfold.backend.changes import Removal
from hubfold.content import IndexedReplica, Root
from hubfold.disk.seen import Seen, look
from hubfold.errors import HubfoldError, Interrupted, UsageError
from hubfold.journal.journal import Journal
from hubfold.journal.records import Removed
from hubfold.journal.run_log import RunLog
from hubfold.library.inventory import Holdings, resolve
from hubfold.models.names import ModelName, Name, unknown
from hubfold.progress import Progress, Stop
from hubfold.removal import empty
from hubfold.removal.remover import Remover, Removing, measure
from hubfold.reports.runs import Left, Needed, RemovedModel, RemoveReport
from hubfold.scanning.walk import within
from hubfold.vault import gc
from hubfold.vault import objects as vault
from hubfold.vault.gc import Garbage

#: Payloads by any of their names, as the index knows them.
Names = Callable[[os.stat_result], Sequence[IndexedReplica]]

STAYS = "stays whole"
GOES = "is removed with it"
HOLDS = "keeps the content where it is"
COPY = "a local copy of it; --with-copies removes it too"
#: A sort of thing that goes: what is left of a local copy whose removal was cut short.
REST = "the rest of"


@dataclass(frozen=True, slots=True)
class RemovePlan:
    """What would go, and what would not, with the reasons. The plan that is shown is the one that is carried out."""

    removing: Removing
    #: Vault objects that nothing needs once this is gone.
    objects: tuple[str, ...] = ()
    needed: tuple[Needed, ...] = ()
    left: tuple[Left, ...] = ()
    bytes: int = 0
    #: Other names of what goes, which the index knows: their change times will move.
    others: tuple[IndexedReplica, ...] = ()

    @property
    def removals(self) -> tuple[Removal, ...]:
        return self.removing.removals


def plan(
    holdings: Holdings,
    models: Sequence[ModelName],
    copies: Sequence[str] = (),
    logs: Callable[[], Iterable[RunLog]] = tuple,
    *,
    with_links: bool = False,
    with_copies: bool = False,
    names: Names,
    only: Collection[str] = (),
    suggest: Iterable[str] = (),
) -> RemovePlan:
    """The plan for removing `models` (or the revision that each asks for) from the caches `only` (default: all).

    Local copies of a model stay, unless `with_copies` says that they go too, or `copies` has their folders, which may
    be what an earlier run of `logs` left of one. `suggest` are further names for who mistyped one. Raises
    `UnknownModel`, `HubfoldError` for a revision that is nowhere or what lies in no cache.
    """
    removals: list[Removal] = []
    left: list[Left] = []
    held = [one for one in holdings.held() if not only or one.root.path in only]
    known = sorted({one.name for one in held if one.snapshot.repo_id})
    for asked in models:
        name = asked.among(known)
        if name is None and any(_removals(holdings, asked.repo, None, only)):
            name = asked.repo  # a folder of it is there, and no revision in it
        if name is None:
            raise unknown(asked.name, [*suggest, *map(str, known)])
        of_name = [one for one in held if one.name == name]
        commits = resolve(of_name, asked.revision) if asked.revision is not None else None
        found = list(_removals(holdings, name, commits, only))
        for removal in found:
            if with_copies or holdings.backends[removal.backend].capabilities.cache:
                removals.append(removal)
            elif removal.path not in copies:
                left.append(Left(removal.path or removal.root, COPY))
        if not found:
            left += [
                Left(one.snapshot.path, "its layout does not say how to remove a model") for one in of_name
            ]
    for path in copies:
        removals += _copies_at(holdings, path, logs())
    if not removals:
        raise HubfoldError(
            f"no cache holds {models[0].name}; it stays at {left[0].path}: {left[0].reason}",
            "`hubfold rm --help` shows how local copies are removed",
        )
    return settle(holdings, removals, left, with_links=with_links, names=names)


def _removals(
    holdings: Holdings, name: Name, commits: Collection[str] | None, only: Collection[str]
) -> Iterator[Removal]:
    for root in holdings.roots:
        if not only or root.path in only:
            walk = holdings.walk(root)
            yield from holdings.backend(root).removals(root, name.repo_type, name.repo_id, commits, walk)


def _copies_at(holdings: Holdings, path: str, logs: Iterable[RunLog]) -> Iterator[Removal]:
    """The local copy whose folder the user named, or the rest of it. Raises `UsageError` where that is none."""
    for one in holdings.held():
        if one.snapshot.path == path and not holdings.backend(one.root).capabilities.cache:
            name = one.name
            walk = holdings.walk(one.root)
            found = holdings.backend(one.root).removals(one.root, name.repo_type, name.repo_id, None, walk)
            mine = [removal for removal in found if removal.path == path]
            if mine:
                yield from mine
                return
    rest = _rest(holdings, path, logs)
    if rest is None:
        raise UsageError(
            f"{path} is no copy that a client downloaded", "name a model, or a folder that `hubfold ls` shows"
        )
    yield rest


def _rest(holdings: Holdings, path: str, logs: Iterable[RunLog]) -> Removal | None:
    """What a removal that was cut short left of the local copy at `path`, as far as nobody changed it."""
    of_it: dict[str, Removed] = {}
    left: dict[str, None] = {}
    for log in logs:
        of_it |= {removed.path: removed for removed in log.removals if removed.copy == path}
        left |= dict.fromkeys(found for copy, found in empty.rest_of(log) if copy == path)
    root = next((Root(one.root, one.backend) for one in of_it.values()), None)
    if root is None or root.backend not in holdings.backends:
        return None
    needed = set(holdings.backend(root).still_needed(root, list(left), holdings.walk(root)))
    files = tuple(found for found in left if found not in needed)
    folders = tuple(_folders_emptied(path, of_it, {*files}, root.path))
    if not (files or folders):
        return None
    return Removal(
        root.path, root.backend, "", "", kind=REST, path=path, whole=True, content=files, empty=folders
    )


def _folders_emptied(top: str, of_it: Iterable[str], gone: set[str], root: str) -> Iterator[str]:
    """The folders of `of_it` in which nothing is left once `gone` is, the deepest first; never the root itself."""
    folders: set[str] = set()
    for path in of_it:
        folder = os.path.dirname(path)
        while within(folder, top) and folder not in folders:
            folders.add(folder)
            folder = os.path.dirname(folder)
    for folder in sorted(folders, key=lambda folder: (-folder.count("/"), folder)):
        with suppress(OSError):
            if folder != root and all(os.path.join(folder, name) in gone for name in os.listdir(folder)):
                gone.add(folder)
                yield folder


def settle(
    holdings: Holdings, removals: Sequence[Removal], left: Sequence[Left], *, with_links: bool, names: Names
) -> RemovePlan:
    """Hold removals against what needs their content; the plan that is left of them."""
    needs = _Needs(holdings, with_links, names, list(removals))
    needs.look()
    removals = needs.removals
    files = [path for removal in removals for path in removal.files]
    stays = [Left(kept.path, kept.reason) for removal in removals for kept in removal.kept]
    stuck = [item.path for item in (*stays, *needs.left)]
    folders = {
        os.path.dirname(path) for removal in removals for path in removal.inside if removal.folders
    }.union(*(removal.folders for removal in removals), *(_emptied(removal, stuck) for removal in removals))
    seen: dict[str, Seen] = {}
    for path in files:
        now = look(path)
        if now is not None:
            seen[path] = now
    return RemovePlan(
        Removing(tuple(removals), seen),
        tuple(needs.objects),
        tuple(needs.found),
        (*left, *needs.left, *stays),
        measure([*files, *needs.objects, *(object_ + vault.LINKS for object_ in needs.objects)], folders),
        tuple(needs.others),
    )


def _emptied(removal: Removal, stuck: Sequence[str]) -> Iterator[str]:
    for folder in removal.empty:
        if not any(within(path, folder) for path in stuck):
            yield folder


@dataclass(slots=True)
class _Needs:
    """Finds what elsewhere needs the content of removals, and takes out of them what has to stay."""

    holdings: Holdings
    with_links: bool
    names: Names
    removals: list[Removal]
    found: list[Needed] = field(default_factory=list)
    left: list[Left] = field(default_factory=list)
    objects: list[str] = field(default_factory=list)
    others: list[IndexedReplica] = field(default_factory=list)

    def look(self) -> None:
        self._folders()
        self._objects()
        self._direct()
        self._other_names()

    def _goes(self, link: str) -> bool:
        """Whether a link is a part of the removals itself."""
        return any(
            link in removal.files or any(within(link, folder) for folder in removal.folders)
            for removal in self.removals
        )

    def _may_go(self, link: str) -> bool:
        """Whether `with_links` may take this link: not one that another cache's model is made of."""
        root = self.holdings.of_path(link)
        return self.with_links and root is not None and not self.holdings.backend(root).capabilities.cache

    def _note(self, number: int, link: str, content: str, otherwise: str) -> bool:
        """Write down a need; whether the link is removed."""
        goes = self._may_go(link)
        self.found.append(Needed(link, content, GOES if goes else otherwise))
        if goes:
            removal = self.removals[number]
            self.removals[number] = replace(removal, links=(*removal.links, link))
        return goes

    def _folders(self) -> None:
        """A link into a snapshot needs the whole of it: one file less, and it would look whole and not be."""
        for number, removal in enumerate(self.removals):
            pinned: dict[str, str] = {}
            for folder in removal.folders:
                for link, target in self.holdings.links.into(folder):
                    if not self._goes(link) and not self._note(number, link, target, HOLDS):
                        pinned[os.path.basename(folder)] = link
            if pinned:
                self._without(number, pinned)

    def _without(self, number: int, pinned: Mapping[str, str]) -> None:
        removal = self.removals[number]
        root = self.holdings.root_at(removal.root)
        assert root is not None
        rest = [revision for revision in removal.revisions if revision not in pinned]
        for revision, link in pinned.items():
            self.left.append(Left(os.path.join(removal.aside, revision), f"{link} needs this revision"))
        again = None
        if rest:
            found = self.holdings.backend(root).removals(
                root, removal.repo_type, removal.repo_id, rest, self.holdings.walk(root)
            )
            again = next((one for one in found if one.path == removal.path), None)
        self.removals[number] = (
            replace(again, links=removal.links, kind=removal.kind)
            if again is not None
            else Removal(root.path, removal.backend, removal.repo_id, removal.repo_type)
        )

    def _objects(self) -> None:
        """Vault objects of the content: they keep it for the links that need them, and go where there are none."""
        by_inode = self.holdings.objects
        if not by_inode:
            return
        for number, removal in enumerate(self.removals):
            for path in (*removal.content, *(payload.path for payload in removal.payloads)):
                through = _stat_through(path)
                if through is not None:
                    for object_ in by_inode.get((through.st_dev, through.st_ino), ()):
                        self._object(number, path, object_)

    def _object(self, number: int, path: str, object_: str) -> None:
        if object_ in self.objects:
            return
        own = {path for removal in self.removals for path in removal.content}
        noted = {
            entry.link
            for entry in vault.read_links(object_)
            if vault.need(object_, entry) is not vault.Need.GONE and entry.link not in own
        }
        pointing = {link for link in self.holdings.links.to(gc.plain(object_)) if not self._goes(link)}
        needers = sorted(noted | pointing)
        stay = [link for link in needers if not self._note(number, link, path, STAYS)]
        # Without its list nobody knows here who needs it: `gc` asks the journals.
        if not stay and os.path.lexists(object_ + vault.LINKS):
            self.objects.append(object_)

    def _direct(self) -> None:
        """A link straight at content keeps it where it is."""
        for number, removal in enumerate(self.removals):
            needed = set()
            for path in (*removal.content, *(payload.path for payload in removal.payloads)):
                for link in self.holdings.links.to(path):
                    if not self._goes(link) and not self._note(number, link, path, HOLDS):
                        needed.add(path)
            if needed:
                removal = self.removals[number]
                behind = {os.path.realpath(path) for path in needed}
                self.left += [Left(path, "a link elsewhere points straight at it") for path in sorted(needed)]
                self.removals[number] = replace(
                    removal,
                    content=tuple(path for path in removal.content if path not in needed),
                    payloads=tuple(payload for payload in removal.payloads if payload.path not in behind),
                )

    def _other_names(self) -> None:
        """Hard links in other models and folders hold the content by themselves; they are told."""
        going = {path for removal in self.removals for path in removal.files} | set(self.objects)
        for removal in self.removals:
            for path in removal.content:
                try:
                    st = os.lstat(path)
                except OSError:
                    continue
                if not stat.S_ISREG(st.st_mode) or st.st_nlink == 1:
                    continue
                for other in self.names(st):
                    if other.path not in going:
                        self.others.append(other)
                        if other.backend != vault.NAME:
                            self.found.append(Needed(other.path, path, STAYS))


def _stat_through(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except OSError:
        return None


def garbage(objects: Iterable[str]) -> list[Garbage]:
    """Vault objects as `gc.remove` wants them."""
    found = []
    for object_ in objects:
        st = _stat_through(object_)
        if st is not None:
            noted = _stat_through(object_ + vault.LINKS)
            size = st.st_blocks * 512 if st.st_nlink == 1 else 0
            found.append(Garbage(object_, size + (noted.st_blocks * 512 if noted is not None else 0)))
    return found


def preview(what: RemovePlan, run: str | None = None) -> RemoveReport:
    """A plan in the form of a report."""
    return RemoveReport(
        run,
        tuple(_model(removal) for removal in what.removals if removal.files or removal.empty),
        (
            *(path for removal in what.removals for path in removal.files if path in what.removing.seen),
            *what.objects,
        ),
        what.bytes,
        what.needed,
        what.left,
    )


def _model(removal: Removal) -> RemovedModel:
    kind = removal.kind or ("model" if removal.whole else "revision")
    model = removal.path or removal.aside if removal.whole or removal.revisions else ""
    path = model or next(iter(removal.files), removal.root)
    name = str(Name(removal.repo_type, removal.repo_id)) if removal.repo_id else model
    return RemovedModel(kind, name, removal.root, removal.revisions, path)


def carry_out(
    what: RemovePlan, holdings: Holdings, journal: Journal, *, progress: Progress, stop: Stop
) -> RemoveReport:
    """Remove what `what` says, then the vault objects that nothing needs any more."""
    remover = Remover(journal, holdings, what.removing.seen, progress, stop)
    interrupted = False
    try:
        remover.carry_out(what.removals)
    except Interrupted:
        interrupted = True
    told = gc.remove(garbage([] if interrupted else what.objects))
    for path in {vault.of_object(object_) for object_ in told.removed}:
        gc.clear_empty(path)
    freed = remover.freed + told.bytes
    if not remover.stuck:
        journal.append("end", state="interrupted" if interrupted else "finished", freed=freed)
    return replace(
        preview(what, journal.run),
        removed=(*remover.removed, *told.removed),
        bytes=freed,
        left=(*what.left, *told.kept),
        failed=(*remover.failed, *told.failed),
        interrupted=interrupted,
    )
