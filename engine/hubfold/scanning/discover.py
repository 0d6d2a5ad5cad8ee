"""Which roots a command is about: the paths that the user gave, or all that are known and found by themselves."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress

from hubfold.backend import peek
from hubfold.backend.boundary import GuardedBackend
from hubfold.content import VAULT, VAULT_MARKER, Root
from hubfold.disk.paths import canonical, existing, within
from hubfold.errors import HubfoldError, RootError, UsageError
from hubfold.faults import BackendFault
from hubfold.scanning.leave_out import is_own_state
from hubfold.scanning.reached import reached_from, with_reached


def named_folder(text: str) -> str | None:
    """The folder that `text` names, where it can only be a path; None where it may be the name of a model."""
    path = canonical(text) if os.path.isabs(text) or text.startswith(("./", "../", "~")) else ""
    return path if path and os.path.isdir(path) else None


def discover(
    paths: Sequence[str | os.PathLike[str]],
    backends: Mapping[str, GuardedBackend],
    *,
    known: Iterable[Root] | None = (),
    backend: str | None = None,
    environ: Mapping[str, str] = os.environ,
    around: bool = False,
) -> list[Root]:
    """The roots for `paths`; without any, or with `around` besides, the `known` ones and those found by `environ`.

    `backend` names the layout instead of letting each path be recognised. What a layout reaches by links comes with
    it, and what the settings beside a root name. Known roots below a path belong to it (`known` None: nothing of all
    that does); a folder in a known root, or in one that is recognised, that is no layout of its own is that root's, and
    one in a root of an exclusive layout always. The roots of caches come first, since they
    know what others can only refer to. Raises `RootError` for a path that cannot be scanned, `UsageError` for a backend
    that is not loaded.
    """
    if backend is not None and (backend not in backends or backend == VAULT):
        names = ", ".join(name for name in backends if name != VAULT)
        raise UsageError(f"no backend is called {backend!r}", f"loaded are: {names} (see `hubfold plugins`)")
    remembered = {root.path: root for root in known or ()}
    strict = {name: one for name, one in backends.items() if one.exclusive}
    # Some are known by their program's settings or variables alone, and by nothing that lies in them.
    asked = backends if paths or backend is None else {backend: backends[backend]}
    defaults = [root for name, one in asked.items() for root in _defaults(name, one, environ, remembered)]
    ruled = defaults if paths else []
    ruled_strict = [root for root in ruled if root.backend in strict]
    found: list[Root] = []
    for path in paths:
        place = canonical(path)
        around_it = None if backend is not None else _enclosing(place, strict, remembered, ruled_strict)
        root = around_it or _given(place, backends, remembered, backend, ruled=ruled)
        found.append(root)
        below = () if known is None else (*remembered.values(), *ruled_strict)
        found += [other for other in below if within(other.path, root.path)]
    if around or not paths:
        others = [*remembered.values(), *defaults]
        found += [root for root in others if paths or backend in (None, root.backend)]
    roots = _once(found)
    if known is not None and backend is None:
        roots = _once(_with_further(roots, backends, environ, remembered))
    roots = with_reached(roots, reached_from(roots, backends))
    return sorted(roots, key=lambda root: not _is_cache(root, backends))


def recognise(
    path: str, names: Iterable[str], backends: Mapping[str, GuardedBackend]
) -> tuple[str, str] | None:
    """(backend name, path of the root) of the first backend that knows the layout of `path`, which the user named."""
    listed = frozenset(names)
    for name, backend in backends.items():
        root = backend.recognise(path, listed)
        if root is not None:
            return name, root
    return None


def fallback(backends: Mapping[str, GuardedBackend]) -> str | None:
    """The backend of a folder that no backend recognises: the first that says so (hubfold's own are the first)."""
    return next((name for name, backend in backends.items() if backend.fallback), None)


def default_cache(backends: Mapping[str, GuardedBackend], environ: Mapping[str, str]) -> Root:
    """The cache that the client uses by itself. Raises `HubfoldError` where no backend has one."""
    for name, backend in backends.items():
        for path in backend.default_roots(environ):
            root = Root(os.path.realpath(path), name)
            if takes_downloads(backend, root):
                return root
    raise HubfoldError("no loaded backend has a cache to download into", "see `hubfold plugins`")


def takes_downloads(backend: GuardedBackend, root: Root) -> bool:
    """Whether a client would find content there; not where its plugin fails."""
    with suppress(BackendFault):
        return backend.content_path(root, "model", "org/name", {"sha256": "0" * 64}) is not None
    return False


def _is_cache(root: Root, backends: Mapping[str, GuardedBackend]) -> bool:
    return root.backend in backends and backends[root.backend].capabilities.cache


def _given(
    path: str,
    backends: Mapping[str, GuardedBackend],
    known: Mapping[str, Root],
    backend: str | None,
    *,
    ruled: Iterable[Root],
) -> Root:
    names = _readable(path)
    if any(os.path.lexists(os.path.join(folder, VAULT_MARKER)) for folder in _upwards(path)):
        raise RootError(f"{path} is a vault of hubfold's own", "scan the cache that it belongs to")
    if is_own_state(path, names):
        raise RootError(f"{path} is hubfold's own state", "name a folder with models")
    if backend is not None:
        chosen = canonical(backends[backend].recognise(path, names) or path)
        return _as_known(Root(chosen, backend), known)
    recognised = recognise(path, names, backends)
    if recognised is not None:
        name, place = recognised
        return _as_known(Root(canonical(place), name), known)
    by_rule = None if path in known else next((root for root in ruled if root.path == path), None)
    if by_rule is not None:
        return by_rule
    # What the user once named by `--backend` need not be recognised.
    above = [root for root in known.values() if within(path, root.path)]
    around = _recognised_around(path, backends)
    if around is not None:
        above.append(_as_known(around, known))
    if above:
        return max(above, key=lambda root: len(root.path))
    taker = fallback(backends)
    if taker is None:
        raise RootError(f"no backend recognises {path}", "name the one that it is for with `--backend`")
    return Root(path, taker)


def _enclosing(
    path: str,
    strict: Mapping[str, GuardedBackend],
    known: Mapping[str, Root],
    ruled: Iterable[Root],
) -> Root | None:
    """The root of an exclusive layout that a folder is, or lies in; None where the user made it a root of its own."""
    if path in known or not os.path.isdir(path):
        return None
    for root in (*known.values(), *ruled):
        if root.backend in strict and within(path, root.path):
            return root
    around = _recognised_around(path, strict)
    return None if around is None else _as_known(around, known)


def _recognised_around(path: str, backends: Mapping[str, GuardedBackend]) -> Root | None:
    """The root that a folder above `path` is recognised as, and that has `path` in it: the outermost, as a walk from
    above finds it."""
    for folder in reversed(list(_upwards(path))[1:]):
        names = frozenset(peek.names_in(folder))
        for name, backend in backends.items():
            # What has no marks is known by the text of a path, or by what lies in the folder alone.
            place = backend.recognise(folder, names, met=True) if backend.marks else None
            if place is not None and within(path, canonical(place)):
                return Root(canonical(place), name)
    return None


def _with_further(
    roots: Sequence[Root],
    backends: Mapping[str, GuardedBackend],
    environ: Mapping[str, str],
    known: Mapping[str, Root],
) -> list[Root]:
    """The roots with what the settings beside them name (`StorageBackend.further`), of whatever layout that is."""
    found = list(roots)
    for root in roots:
        for named in backends[root.backend].further(root, environ) if root.backend in backends else ():
            path = canonical(named)
            if not os.path.isdir(path) or any(within(path, one.path) for one in found):
                continue
            own = recognise(path, peek.names_in(path), backends)
            other = Root(canonical(own[1]), own[0]) if own is not None else _recognised_around(path, backends)
            found.append(_as_known(other or Root(path, root.backend), known))
    return found


def _as_known(root: Root, known: Mapping[str, Root]) -> Root:
    before = known.get(root.path)
    return root if before is None else Root(root.path, root.backend, before.role, before.limit)


def _defaults(
    name: str, backend: GuardedBackend, environ: Mapping[str, str], known: Mapping[str, Root]
) -> Iterable[Root]:
    for place in backend.default_roots(environ):
        if not os.path.isdir(place):
            continue
        path = canonical(place)
        try:
            names = frozenset(os.listdir(path))
        except OSError:
            # It is there: the scan says why it cannot be read.
            names = frozenset()
        yield _as_known(Root(canonical(backend.recognise(path, names, met=True) or path), name), known)


def _upwards(path: str) -> Iterable[str]:
    yield path
    while path != os.path.dirname(path):
        path = os.path.dirname(path)
        yield path


def _readable(path: str) -> frozenset[str]:
    """The names in a folder that the user gave."""
    try:
        return frozenset(os.listdir(path))
    except NotADirectoryError:
        raise RootError(f"{path} is a file, not a folder", "give the folder that it is in") from None
    except FileNotFoundError:
        raise missing(path) from None
    except OSError as error:
        hints = {
            errno.EACCES: "run hubfold as a user who may read it",
            errno.ELOOP: "it is a symlink that leads to itself",
        }
        raise RootError(
            f"{path} cannot be read: {error.strerror}",
            hints.get(error.errno or 0, "check the drive it is on"),
        ) from error


def missing(path: str) -> RootError:
    """The error for a path at which there is nothing."""
    return RootError(f"{path} does not exist", instead_of(path))


def instead_of(path: str) -> str:
    """What to tell somebody who named a path at which there is nothing."""
    found = near(path)
    if found:
        return f"did you mean {' or '.join(found)}?"
    return f"there is only {existing(path)}: check the spelling, and that its drive is connected"


def near(path: str) -> list[str]:
    """Paths beside `path`, at which there is nothing, that somebody may have meant instead."""
    import difflib

    folder, name = os.path.split(path)
    return [os.path.join(folder, one) for one in difflib.get_close_matches(name, peek.names_in(folder))]


def _once(roots: Iterable[Root]) -> list[Root]:
    """Each directory once, however many paths lead to it (bind mounts)."""
    found: dict[object, Root] = {}
    for root in roots:
        try:
            st = os.stat(root.path)
        except OSError:
            found.setdefault(root.path, root)
        else:
            found.setdefault((st.st_dev, st.st_ino), root)
    return list(found.values())
