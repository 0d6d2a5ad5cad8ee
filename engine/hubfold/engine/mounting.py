"""What containers see of folders that are mounted into them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from dotenv import dotenv_values

from hubfold.disk.paths import canonical, named
from hubfold.engine.workspace import StrPath, Workspace
from hubfold.errors import HubfoldError, RootError, UsageError, describe
from hubfold.mounted import compose
from hubfold.mounted.compose import Beside, Service
from hubfold.mounted.judge import Host, judge
from hubfold.mounted.mounts import Mount, parse
from hubfold.reports.health import MountReport
from hubfold.scanning import discover

#: The variables beside a compose file.
_DOT_ENV = ".env"


class Mounting:
    """Looks through mounts."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def look(
        self, mounts: Sequence[str], file: StrPath | None, environ: Mapping[str, str] | None
    ) -> MountReport:
        """See `Engine.doctor_mounts`."""
        services = self._of_file(file) if file is not None else []
        given = tuple(_given(mount) for mount in mounts)
        services = [replace(one, mounts=(*one.mounts, *given)) for one in services]
        if file is None:
            services = [Service("", given, environ or {})]
        host = self._host(services)
        judged = [judge(one, host, told=file is not None or environ is not None) for one in services]
        return MountReport(
            findings=tuple(finding for one in judged for finding in one.findings),
            links=sum(one.links for one in judged),
            not_looked_at=tuple(left for one in judged for left in one.kept),
        )

    def _of_file(self, file: StrPath) -> list[Service]:
        path = named(file)
        folder = os.path.dirname(path)
        beside = self._variables(os.path.join(folder, _DOT_ENV), required=False)
        try:
            # What the environment says counts more than the file.
            return compose.services(
                _read(path), Beside(folder, {**beside, **self._workspace.environ}, self._variables)
            )
        except UsageError as error:
            raise UsageError(f"{path}: {error}", error.hint) from None

    def _variables(self, path: str, required: bool) -> dict[str, str]:
        """The variables of a file. Raises `HubfoldError` where it is not there and has to be."""
        if not required and not os.path.lexists(path):
            return {}
        _read(path)
        found = dotenv_values(path)
        return {name: value for name, value in found.items() if value is not None}

    def _host(self, services: Sequence[Service]) -> Host:
        sources = {canonical(mount.source) for one in services for mount in one.mounts if mount.source}
        plain = discover.fallback(self._workspace.backends)
        roots = self._workspace.discover()
        for path in sorted(sources):
            with suppress(RootError):  # a vault, or what is not there
                roots += self._workspace.discover([path])
        kinds = self._workspace.caches()
        return Host(
            roots=[root.path for root in roots if root.backend != plain],
            caches=[root.path for root in roots if root.backend in kinds and os.path.isdir(root.path)],
            cache_by=self._cache_by,
            stop=self._workspace.stop,
        )

    def _cache_by(self, environ: Mapping[str, str]) -> str | None:
        kinds = self._workspace.caches()
        places = (
            path
            for name, backend in self._workspace.backends.items()
            if name in kinds
            for path in backend.default_roots(environ)
        )
        return next(iter(places), None)


def _given(text: str) -> Mount:
    """A mount that was typed. Raises `UsageError`, `RootError` where its folder is not there."""
    source, target, read_only = parse(text)
    path = canonical(source)
    if not os.path.lexists(path):
        raise discover.missing(path)
    return Mount(path, target, read_only)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text", "name a compose file, such as compose.yaml") from None
    except FileNotFoundError:
        raise HubfoldError(f"{path} does not exist", discover.instead_of(path)) from None
    except OSError as error:
        raise HubfoldError(f"{path} cannot be read: {describe(error)}", "check its permissions") from None
