"""Finding roots and content: what changes the index and the list of roots, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from hubfold.content import USUAL, VAULT, Role, Root, Scope
from hubfold.disk.identity import Mounts, place_of
from hubfold.disk.paths import within
from hubfold.engine.workspace import MIN_SIZE, StrPath, Workspace
from hubfold.errors import UsageError
from hubfold.library import unreferenced
from hubfold.reports.outcomes import Notice
from hubfold.reports.scans import RootReport, ScanReport, StatusRoot, Unreferenced
from hubfold.scanning import places, scan
from hubfold.state.config import is_place_name
from hubfold.state.home import KnownRoot


class Scanning:
    """Scans, and roots that a user adds."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def scan(
        self,
        paths: Sequence[StrPath] = (),
        *,
        backend: str | None = None,
        min_size: int = MIN_SIZE,
        scope: Scope = USUAL,
    ) -> ScanReport:
        """See `Engine.scan`."""
        self._workspace.look_again()
        roots = self._workspace.discover(paths, backend=backend, around=not scope.only)
        below = self._workspace.folders(paths)
        given = {root.path: root for root in roots if _lies_below(root.path, below)}
        self._workspace.give(given)
        sharing = self._workspace.sharing
        with self._workspace.readers() as readers:
            report = scan.scan(
                roots,
                self._workspace.backends,
                self._workspace.index,
                readers,
                scan.Aim(
                    min_size,
                    scope=self._workspace.scope(scope),
                    away=self._workspace.named_in.away,
                    lister=self._workspace.lister,
                    sharing=sharing if len(given) == len(roots) else sharing._replace(below=below),
                ),
            )
        for setting in self._workspace.settled.settings:
            self._workspace.named_in.note(self._workspace.resolved(setting.root).path)
        moved = self._follow([root.path for root in report.roots])
        liars = self._workspace.index.liars([root.path for root in report.roots])
        told = [Notice(liar.path, "its bytes are not what its name says: it is corrupt") for liar in liars]
        left_out = {root.path for root in report.roots if root.left_out}
        told += [Notice.of(fault) for fault in self._workspace.faults if fault.root not in left_out]
        self._workspace.left_out.difference_update(root.path for root in report.roots)
        self._workspace.left_out.update(left_out)
        stayed = [one for one in report.roots if one.path not in moved]
        told_of = _told_of(self._workspace.with_primary(stayed), below)
        return replace(
            report,
            roots=told_of,
            files=sum(root.files for root in told_of),
            bytes=sum(root.bytes for root in told_of),
            warnings=(*(one for one in report.warnings if one.path not in moved), *told, *moved.values()),
        )

    def unreferenced(
        self, roots: Iterable[Root | RootReport], *, all_roots: bool
    ) -> tuple[Unreferenced, ...]:
        """What no model refers to in these roots; of all roots also what lies beside them."""
        found = unreferenced.find(
            [Root(root.path, root.backend) for root in roots],
            self._workspace.backends,
            _freed,
            stop=self._workspace.stop,
        )
        if not all_roots:
            return found
        return (*found, *unreferenced.beside(self._workspace.backends, self._workspace.environ))

    def _follow(self, scanned: Sequence[str]) -> dict[str, Notice]:
        """Forget roots that are not there where they are found under another path, by what the user is told of each.

        Their rows are those of the place where they lie now; what the user registered follows.
        """
        index = self._workspace.index
        mounts = Mounts.now()
        vaults = [root.path for root in index.roots(vaults=True) if root.backend == VAULT]
        there = [path for path in (*scanned, *vaults) if self._workspace.is_there(path)]
        places.note(index, (place_of(path, mounts) for path in there))
        known = places.load(index)
        moved: dict[str, Notice] = {}
        for old in index.roots(vaults=True):
            before = known.get(old.path)
            if before is None or self._workspace.is_there(old.path):
                continue
            now = next((path for path in there if before.is_at(path, mounts)), None)
            if now is not None:
                self._workspace.state.move_root(old.path, now)
                index.remove_root(old.path)
                moved[old.path] = Notice(old.path, f"it was moved to {now}, and is known there now")
        return moved

    def remember(self, cache: Root) -> None:
        """Let a cache that models were put into be one of the roots from now on."""
        if all(root.path != cache.path for root in self._workspace.discover()):
            self.add_root(cache.path, backend=cache.backend)

    def add_root(
        self,
        path: StrPath,
        *,
        backend: str | None = None,
        role: Role | None = None,
        limit: int | None = None,
        name: str = "",
    ) -> StatusRoot:
        """See `Engine.add_root`."""
        called, role = _as_place(name, role)
        root = self._workspace.discover([path], backend=backend, known=False)[0]
        # What no layout recognises yet may be a cache as soon as a client has filled it.
        open_ = backend is None and self._workspace.backends[root.backend].fallback
        known = KnownRoot(root.path, None if open_ else root.backend, role, limit, called)
        told = self._workspace.resolved(known)
        if open_ and told.backend != root.backend:
            # A place with nothing in it is a cache, whatever else somebody puts there first.
            known = known._replace(backend=told.backend)
        others = [old for old in self._workspace.state.registered_roots() if old.path != known.path]
        taken = next((old for old in others if called and old.name == called), None)
        if taken is not None and name and name not in set(Role):
            raise UsageError(f"{taken.path} is called {name!r} already", "give it another name")
        if role is Role.PRIMARY:
            others = [_as_secondary(old) for old in others]
        elif taken is not None:
            # By its role alone; the first that has it is called so.
            known = known._replace(name="")
        self._workspace.state.register_roots([*others, known])
        self._workspace.look_again()
        self._workspace.named_in.note(known.path, anew=True)
        return StatusRoot(
            path=known.path,
            backend=told.backend or root.backend,
            role=role,
            files=0,
            bytes=0,
            limit=limit,
            online=True,
            source="added",
            name=known.name,
        )


def _as_place(name: str, role: Role | None) -> tuple[str, Role]:
    """(name, role) of a root that a user adds. Raises `UsageError` for a name that is none, or means another role."""
    if name and not is_place_name(name):
        raise UsageError(f"{name!r} is no name for a place", "give a word, like fast or usb-1")
    of_name = Role(name) if name in set(Role) else None
    if of_name is not None and role not in (None, of_name):
        raise UsageError(f"a place called {name} has the role {name}", f"leave out --role {role}")
    chosen = role or of_name or Role.SECONDARY
    return name or (str(role) if role is not None else ""), chosen


def _as_secondary(root: KnownRoot) -> KnownRoot:
    """A root that is the primary one no more; nor is it called so."""
    return root._replace(role=Role.SECONDARY, name="" if root.name == Role.PRIMARY else root.name)


def _freed(paths: Iterable[str]) -> int:
    # Most scans find nothing that this would be asked of.
    from hubfold.removal.measure import measure

    return measure(paths)


def _told_of(roots: Sequence[RootReport], below: Sequence[str]) -> tuple[RootReport, ...]:
    """The roots of the paths that were given, and of the others those that could not be compared with."""
    return tuple(
        root
        for root in roots
        if not below
        or root.error is not None
        or _lies_below(root.path, below)
        or any(within(folder, root.path) for folder in below)
    )


def _lies_below(path: str, folders: Sequence[str]) -> bool:
    return any(within(path, folder) for folder in folders)
