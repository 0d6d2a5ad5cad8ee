"""What removing models would do: which paths go, which links elsewhere need their content, what stays for whom.

Content outlives its model where something else needs it: a vault object is one more hard link of the file, and so is a
blob of another cache, so they keep it by themselves. A symlink straight into a cache (made by somebody else) is not
so lucky: then its target stays, unless the user wants such links gone as well (`with_links`). Links that belong to
another cache's models are never removed with it.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from hubfold import display
from hubfold.backend.changes import Removal
from hubfold.content import IndexedReplica, Root
from hubfold.disk.paths import within
from hubfold.disk.seen import Seen, look
from hubfold.errors import HubfoldError, UsageError
from hubfold.journal.records import Removed
from hubfold.journal.run_log import RunLog
from hubfold.library.availability import hidden
from hubfold.library.completeness import judge
from hubfold.library.inventory import HeldRevision, Holdings, resolve
from hubfold.models.names import ModelName, Name, UnknownModel, unknown
from hubfold.removal.measure import measure
from hubfold.removal.needs import Names, Needs
from hubfold.removal.remover import Removing
from hubfold.removal.settle import rest_of
from hubfold.removal.shared import shared_besides, with_shared
from hubfold.removal.twins import Twin
from hubfold.reports.models import Wholeness
from hubfold.reports.outcomes import Left
from hubfold.reports.removals import Needed
from hubfold.vault.names import LINKS

COPY = "a local copy of it; --with-copies removes it too"
#: A sort of thing that goes: what is left of a local copy whose removal was cut short.
REST = "the rest of"
#: How many models of a store are named to whom names the store.
_SOME = 5


@dataclass(frozen=True, slots=True)
class Wish:
    """What a user asked to remove: models (or the revision that each asks for), and local copies by their folders."""

    models: Sequence[ModelName] = ()
    copies: Sequence[str] = ()
    #: Names with ``*``, ``?`` or ``[…]``, of which each part stands for one part of a name.
    patterns: Sequence[str] = ()
    #: Only what lies in these roots; without any, in all.
    only: Collection[str] = ()
    #: Links elsewhere that read the content, and local copies of the models, go too.
    with_links: bool = False
    with_copies: bool = False
    #: Further names for who mistyped one.
    suggest: Collection[str] = ()


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
    #: Folders that go too.
    folders: tuple[str, ...] = ()
    #: Links of layouts to some of these, which go with them.
    doors: tuple[str, ...] = ()
    #: By the folder of a model that is whole: where it stays whole, "" where this is the last whole copy.
    staying: Mapping[str, str] = field(default_factory=dict)
    #: By the folder of a local copy: what has to be compared, and found equal, before it may go.
    twins: Mapping[str, Sequence[Twin]] = field(default_factory=dict)

    @property
    def removals(self) -> tuple[Removal, ...]:
        return self.removing.removals


def plan(
    holdings: Holdings, wish: Wish, *, names: Names, logs: Callable[[], Iterable[RunLog]] = tuple
) -> RemovePlan:
    """The plan for what a user asked to remove.

    A folder of a local copy may be what an earlier run of `logs` left of one. Raises `UnknownModel`, `HubfoldError` for
    a revision that is nowhere or what lies in no cache.
    """
    models, copies, only, suggest = wish.models, wish.copies, wish.only, wish.suggest
    removals: list[Removal] = []
    left: list[Left] = []
    held: dict[Name, list[HeldRevision]] = {}
    for one in holdings.held():
        if one.snapshot.repo_id and (not only or one.root.path in only):
            held.setdefault(one.name, []).append(one)
    for asked in (*models, *_named_like(wish.patterns, held, holdings, with_copies=wish.with_copies)):
        name = asked.among(held)
        if name is None and any(_removals(holdings, asked.repo, None, only)):
            name = asked.repo  # a folder of it is there, and no revision in it
        if name is None:
            near = [*suggest, *map(str, sorted(held))]
            raise unknown(asked.name, near, hidden=hidden(holdings, asked))
        of_name = held.get(name, [])
        commits = resolve(of_name, asked.revision) if asked.revision is not None else None
        found = list(_removals(holdings, name, commits, only))
        for removal in found:
            if wish.with_copies or holdings.backends[removal.backend].capabilities.cache:
                removals.append(removal)
            elif removal.path not in copies:
                left.append(Left(removal.path or removal.root, COPY))
        if not found:
            left += [Left(one.snapshot.path, _why_not(holdings, one.root)) for one in of_name]
    for path in copies:
        if only and not any(within(path, root) for root in only):
            raise UsageError(f"{path} lies in none of the folders that --from names", "leave out --from")
        removals += _copies_at(holdings, path, logs)
    if not removals:
        raise _nothing_goes(models[0].name if models else wish.patterns[0], left)
    planned = hold_against_needs(holdings, removals, left, with_links=wish.with_links, names=names, only=only)
    return replace(planned, staying=staying(holdings, planned.removals))


def _named_like(
    patterns: Sequence[str],
    held: Mapping[Name, Sequence[HeldRevision]],
    holdings: Holdings,
    *,
    with_copies: bool,
) -> Iterator[ModelName]:
    """The models of caches (`with_copies`: of all roots) whose names fit. Raises `UnknownModel` where none does."""
    for pattern in patterns:
        parts = pattern.lower().split("/")
        fits = [
            name
            for name, revisions in sorted(held.items())
            if len(words := str(name).lower().split("/")) == len(parts)
            and all(map(fnmatchcase, words, parts))
            and (with_copies or any(holdings.is_cache(one.root) for one in revisions))
        ]
        if not fits:
            raise UnknownModel(f"no model is called like {pattern!r}", "see `hubfold ls` for what is there")
        yield from (ModelName(str(name), name.repo_id, name.repo_type) for name in fits)


def staying(holdings: Holdings, removals: Iterable[Removal]) -> dict[str, str]:
    """Where each model stays with all its revisions; "" for the last whole copy, nothing for one that is not whole."""
    removals = [removal for removal in removals if removal.repo_id]
    going = {(one.root, one.repo_id, one.repo_type, commit) for one in removals for commit in one.revisions}
    found: dict[str, str] = {}
    for removal in removals:
        whole: dict[bool, dict[str, str]] = {True: {}, False: {}}
        for held in holdings.by_name.get(Name(removal.repo_type, removal.repo_id), ()):
            snapshot = held.snapshot
            goes = (held.root.path, snapshot.repo_id, snapshot.repo_type, snapshot.revision) in going
            mine = held.root.path == removal.root and snapshot.revision in removal.revisions
            if (mine or not goes) and judge(snapshot).state is Wholeness.WHOLE:
                whole[goes].setdefault(snapshot.revision, snapshot.path)
        if whole[True]:
            stays = [whole[False].get(commit, "") for commit in whole[True]]
            if "" in stays:
                found[removal.path] = ""
            elif whole[True].keys() == set(removal.revisions):
                found[removal.path] = stays[0]
    return found


def freed(holdings: Holdings, name: Name, copy: str, names: Names) -> int:
    """What `plan` would say that removing the model `name` frees, in bytes; of one without a name, its folder `copy`.

    0 where it is in no cache, or nobody can tell what would go.
    """
    found = _removals(holdings, name, None, ()) if name.repo_id else copy_at(holdings, copy)
    removals = [
        removal
        for removal in found
        if not name.repo_id or holdings.backends[removal.backend].capabilities.cache
    ]
    if not removals:
        return 0
    needs = Needs(holdings, False, names, removals)
    needs.look()
    return _bytes(needs, list(_vanishing(needs.removals, holdings.doors)))


def _why_not(holdings: Holdings, root: Root) -> str:
    usable = root in holdings.usable
    return "its layout does not say how to remove a model" if usable else "its plugin failed"


def _nothing_goes(name: str, left: Sequence[Left]) -> HubfoldError:
    stays = f"it stays at {left[0].path}: {left[0].reason}" if left else "what there is of it stays"
    return HubfoldError(
        f"no cache holds {name}; {stays}", "`hubfold rm --help` shows how local copies are removed"
    )


def _removals(
    holdings: Holdings, name: Name, commits: Collection[str] | None, only: Collection[str]
) -> Iterator[Removal]:
    for root in holdings.usable:
        if not only or root.path in only:
            with holdings.leaving_out(root):
                yield from holdings.removals(root, name, commits)


def _copies_at(holdings: Holdings, path: str, logs: Callable[[], Iterable[RunLog]]) -> Iterator[Removal]:
    """The local copy whose folder the user named, or the rest of it. Raises `UsageError` where that is none."""
    several = list(
        dict.fromkeys(one.name for one in holdings.at(path) if one.snapshot.home not in ("", path))
    )
    if len(several) > 1:
        told = ", ".join(map(str, several[:_SOME])) + (", …" if several[_SOME:] else "")
        raise UsageError(
            f"{path} holds {display.count(len(several), 'model')}: {told}",
            f"name those that are to go: hubfold rm --with-copies --from {shlex.quote(path)} {several[0]}",
        )
    found = list(copy_at(holdings, path))
    remains = rest(holdings, path, logs()) if not found else None
    if remains is not None:
        found.append(remains)
    if not found:
        raise UsageError(
            f"{path} is no copy that a client downloaded", "name a model, or a folder that `hubfold ls` shows"
        )
    yield from found


def copy_at(holdings: Holdings, path: str) -> Iterator[Removal]:
    """What has to go of the local copy whose folder is `path`; nothing where that is none."""
    for one in holdings.at(path):
        if not holdings.is_cache(one.root) and one.root in holdings.usable:
            with holdings.leaving_out(one.root):
                found = holdings.removals_at(one.root, one.name, path)
                if found:
                    yield from found
                    return


def rest(holdings: Holdings, path: str, logs: Iterable[RunLog]) -> Removal | None:
    """What a removal that was cut short left of the local copy at `path`, as far as nobody changed it."""
    of_it: dict[str, Removed] = {}
    left: dict[str, None] = {}
    for log in logs:
        of_it |= {removed.path: removed for removed in log.removals if removed.copy == path}
        left |= dict.fromkeys(found for copy, found in rest_of(log) if copy == path)
    root = next((Root(one.root, one.backend) for one in of_it.values()), None)
    if root is None or root.backend not in holdings.backends:
        return None
    # What is not sure is needed.
    needed = set(left)
    with holdings.leaving_out(root):
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


def hold_against_needs(
    holdings: Holdings,
    removals: Sequence[Removal],
    left: Sequence[Left],
    *,
    with_links: bool,
    names: Names,
    only: Collection[str] = (),
) -> RemovePlan:
    """Hold removals against what needs their content; the plan that is left of them.

    With `only`, no link and no object goes that is not of these roots.
    """
    together = with_shared(shared_besides(holdings, removals))
    needs = Needs(holdings, with_links, names, together, only)
    needs.look()
    removals = needs.removals
    files = [path for removal in removals for path in removal.files]
    stays = [Left(kept.path, kept.reason) for removal in removals for kept in removal.kept]
    vanishing = list(_vanishing(removals, holdings.doors))
    folders = tuple(folder for folder, _ in vanishing if folder)
    doors = tuple(link for _, links in vanishing for link in links)
    seen: dict[str, Seen] = {}
    for path in (*files, *doors):
        now = look(path)
        if now is not None:
            seen[path] = now
    return RemovePlan(
        removing=Removing(tuple(removals), seen),
        objects=tuple(needs.objects),
        needed=tuple(needs.found),
        left=(*left, *needs.left, *stays),
        bytes=_bytes(needs, vanishing),
        others=tuple(needs.others),
        folders=folders,
        doors=doors,
    )


def _bytes(needs: Needs, vanishing: Sequence[tuple[str, list[str]]]) -> int:
    """What goes when the removals that are left are carried out, and the folders and links that vanish with them."""
    files = [path for removal in needs.removals for path in removal.files]
    doors = [link for _, links in vanishing for link in links]
    lists = [object_ + LINKS for object_ in needs.objects]
    folders = [folder for folder, _ in vanishing if folder]
    return measure([*files, *doors, *needs.objects, *lists], folders, needs.holdings.same)


def _vanishing(
    removals: Iterable[Removal], doors: Callable[[str, str], list[str]]
) -> Iterator[tuple[str, list[str]]]:
    """The folders that are gone once `removals` were carried out one after the other, the deepest of each first; with
    the links of the layout that led to each ("" for a folder that was told before)."""
    gone: set[str] = set()
    for removal in removals:
        gone.update(removal.files)
        for top in removal.folders:
            for folder, _, _ in os.walk(top, topdown=False):
                if folder not in gone:
                    gone.add(folder)
                    yield folder, []
        for folder in removal.empty:
            with suppress(OSError):
                names = os.listdir(folder)
                if folder in gone or all(os.path.join(folder, name) in gone for name in names):
                    # Two roots may have a link to it each.
                    links = [link for link in doors(removal.root, folder) if link not in gone]
                    yield "" if folder in gone else folder, links
                    gone.update((folder, *links))
