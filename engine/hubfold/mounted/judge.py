"""What a container does not see through its mounts: links that lead out, and caches that its environment names."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from hubfold import display
from hubfold.disk.paths import hops, within
from hubfold.mounted.compose import Service
from hubfold.mounted.look import Looks
from hubfold.mounted.mounts import Mount, View, mending, plain
from hubfold.progress import Stop
from hubfold.reports.health import MountFinding
from hubfold.reports.outcomes import Left
from hubfold.scanning import kinds
from hubfold.vault.links import object_named, texts_below
from hubfold.vault.names import of_object

#: Where a container's user is at home, if nothing says so: root's, as in most images.
HOME = "/root"
_YES = frozenset({"1", "ON", "YES", "TRUE"})


@dataclass(frozen=True, slots=True)
class Host:
    """What is known of the host."""

    #: The real paths of its roots that are no plain folders, and of those that are caches among them.
    roots: Sequence[str]
    caches: Sequence[str]
    #: The cache that programs use by themselves, in a container with such an environment; None where none would.
    cache_by: Callable[[Mapping[str, str]], str | None]
    stop: Stop = field(default_factory=Stop)
    look: Looks = field(default_factory=Looks)


@dataclass(frozen=True, slots=True)
class Judged:
    """What was found about one service."""

    findings: tuple[MountFinding, ...]
    links: int
    kept: tuple[Left, ...]


@dataclass(slots=True)
class _Group:
    """Links that the same mounts mend, or that none does."""

    path: str
    container: str
    leads_to: str
    mends: list[Mount]
    #: The view with these mounts.
    after: View
    number: int = 0


def judge(service: Service, host: Host, *, told: bool) -> Judged:
    """What a container of `service` does not see; `told`: whether its environment is known. Raises `Interrupted`."""
    view = View([replace(one, source=_real(one.source)) for one in service.mounts], host.look)
    lost, astray, links = _links(view, host)
    findings = [
        *_without_source(service),
        *(_lost(group) for group in lost),
        *(_astray(group) for group in astray),
        *(_environment(service, view, host) if told else ()),
    ]
    kept = [Left(path, f"{_of(service)}{what}: its content is not looked at") for what, path in service.kept]
    return Judged(tuple(replace(one, service=service.name) for one in findings), links, tuple(kept))


def _real(source: str) -> str:
    return os.path.realpath(source) if source else ""


def _of(service: Service) -> str:
    return f"service {service.name}: " if service.name else ""


def _without_source(service: Service) -> Iterator[MountFinding]:
    for mount in service.mounts:
        if mount.source and not os.path.lexists(_real(mount.source)):
            yield MountFinding(
                "missing-source",
                mount.source,
                mount.target,
                "it is not there: a container gets an empty folder of root's in its place, or does not start",
                "make it, or mend its path",
            )


# -- links


def _links(view: View, host: Host) -> tuple[list[_Group], list[_Group], int]:
    """(links that lead nowhere in the container, those that lead to another file there, how many were followed)."""
    sources = sorted({mount.source for mount in view.mounts if mount.source and os.path.isdir(mount.source)})
    lost: list[_Group] = []
    astray: dict[str, _Group] = {}
    followed = 0
    for link, text in texts_below(sources):
        host.stop.check()
        real = os.path.realpath(link)
        if not _matters(link, text, real, host) or not os.path.exists(real):
            continue
        for path in view.shown(link):
            followed += 1
            reached = view.reach(path)
            if reached.there and reached.here == real:
                continue
            if reached.there:
                group = astray.setdefault(path, _Group(link, path, reached.here or reached.at, [], view))
            else:
                group = _group(lost, view, link, path, host)
            group.number += 1
    return lost, list(astray.values()), followed


def _matters(link: str, text: str, real: str, host: Host) -> bool:
    """Whether a link is one of models: it leads to a vault's object, has a model file's name, or lies in a root that
    is more than a folder."""
    return (
        bool(object_named(text))
        or any(within(link, root) or within(real, root) for root in host.roots)
        or kinds.Kind.MODEL in (kinds.by_name(os.path.basename(link)), kinds.by_name(os.path.basename(real)))
    )


def _group(groups: list[_Group], view: View, link: str, path: str, host: Host) -> _Group:
    """The group that a link which leads nowhere belongs to, a new one where the mounts of no other mend it."""
    real = os.path.realpath(link)
    for group in groups:
        if group.mends:
            reached = group.after.reach(path)
            if reached.there and reached.here == real:
                return group
    folder = os.path.dirname(link)
    through = [*_linked_folders(folder), *hops(link), real]
    mends = mending(view, path, list(dict.fromkeys(through)), lambda one: _unit(one, host))
    for group in groups:
        if not mends and not group.mends and os.path.dirname(group.path) == folder:
            return group
    after = view
    for mount in mends:
        after = after.adding(mount)
    groups.append(_Group(link, path, real, mends, after))
    return groups[-1]


def _linked_folders(folder: str) -> Iterator[str]:
    """The real path of a folder where that is another: a link in it may lead out by its own."""
    real = os.path.realpath(folder)
    if real != folder:
        yield real


def _unit(path: str, host: Host) -> str:
    """The folder that is mounted for a file: its vault, its root, else the one that it lies in."""
    if object_named(path):
        return of_object(path)
    above = [root for root in host.roots if within(path, root) and path != root]
    return max(above, key=len, default=os.path.dirname(path))


def _lost(group: _Group) -> MountFinding:
    number = display.count(group.number, "link")
    verb = "leads" if group.number == 1 else "lead"
    more = "" if group.number == 1 else "; this is the first"
    read_only = [
        replace(mount, read_only=bool(object_named(group.leads_to)) or mount.read_only)
        for mount in group.mends
    ]
    mounts = tuple(map(str, read_only))
    fix = f"mount it too: {' and '.join(mounts)}" if mounts else _no_mount_mends(group)
    return MountFinding(
        kind="link-leads-out",
        path=group.path,
        container=group.container,
        message=f"{number} {verb} to where nothing is mounted ({group.leads_to} on the host){more}",
        fix=fix,
        mounts=mounts,
        links=group.number,
    )


def _no_mount_mends(group: _Group) -> str:
    common = os.path.commonpath([group.path, group.leads_to])
    if common == "/":
        return "no single mount mends it: mount its folder and that of the file at their own paths"
    return (
        f"mount {common}, which has both, or take the links back (`hubfold undo`) and make such as stay inside: "
        "`hubfold consolidate --within DIR`"
    )


def _astray(group: _Group) -> MountFinding:
    return MountFinding(
        kind="link-leads-elsewhere",
        path=group.path,
        container=group.container,
        message=f"it leads to another file than on the host: {group.leads_to}",
        fix="mount what it leads to on the host at the same path",
        links=group.number,
    )


# -- the environment


def _environment(service: Service, view: View, host: Host) -> Iterator[MountFinding]:
    environ = {"HOME": HOME, **service.environ}
    mounted = {path: cache for cache in host.caches for path in view.shown(cache)}
    used = host.cache_by(environ)
    if used is not None:
        yield from _named(view, plain(used), _who_names(environ, used, host), mounted, environ)
    for name, value in sorted(service.environ.items()):
        without = {one: other for one, other in environ.items() if one != name}
        if "CACHE" in name.upper() and value.startswith("/") and host.cache_by(without) == used:
            yield from _named(view, plain(value), f"{name}={value}", {}, environ)


def _who_names(environ: Mapping[str, str], used: str, host: Host) -> str:
    """The variable by which programs come to the cache that they use, "" where none says so."""
    for name, value in environ.items():
        without = {one: other for one, other in environ.items() if one != name}
        if name != "HOME" and host.cache_by(without) != used:
            return f"{name}={value}"
    return ""


def _named(
    view: View, path: str, who: str, mounted: Mapping[str, str], environ: Mapping[str, str]
) -> Iterator[MountFinding]:
    """What is wrong with a cache of the container. `mounted` are those of the host, by where they are seen there."""
    reached = view.reach(path)
    over = view.over(reached.at)
    told = f"{who}: programs look in {path}" if who else f"no variable names a cache: programs look in {path}"
    others = {at: cache for at, cache in mounted.items() if cache != reached.here}
    at, cache = next(iter(others.items()), ("", ""))
    if reached.here in mounted.values() or (over is not None and not over.source):
        pass
    elif cache:
        fix = f"mount it there ({cache}:{path}), or let the environment name {at}"
        message = f"{told}, but {cache} is mounted at {at}"
        yield MountFinding("cache-elsewhere", cache, path, message, fix, mounts=(f"{cache}:{path}",))
    elif over is None and who:
        message = f"{told}, where nothing is mounted: what they download goes with the container"
        yield MountFinding("cache-not-mounted", "", path, message, f"mount a folder of the host at {path}")
    if over is not None and over.read_only and over.source and not _offline(environ):
        message = f"{told}, which is mounted read-only: they write locks, refs and downloads there"
        fix = "mount it without `ro`, or set HF_HUB_OFFLINE=1 where all that is needed is in it"
        yield MountFinding("read-only-cache", reached.here or "", path, message, fix)


def _offline(environ: Mapping[str, str]) -> bool:
    return any(name.endswith("_OFFLINE") and value.upper() in _YES for name, value in environ.items())
