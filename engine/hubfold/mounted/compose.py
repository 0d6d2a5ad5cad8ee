"""The services of a compose file, with what is mounted into them and what their environment says.

As the Compose specification has it: volumes in short (``SOURCE:TARGET[:OPTIONS]``) and long syntax, ``environment`` as
a list or as a mapping, ``env_file``. Paths are relative to the folder of the file. A named volume whose driver binds a
folder (``driver_opts`` with ``o: bind``) is that folder; any other is kept by the engine of the containers, and not
looked at. Reads no file: what it needs is handed to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hubfold.errors import UsageError
from hubfold.mounted.mounts import Mount, plain
from hubfold.mounted.variables import filled_in

#: Reads the variables of an ``env_file``, by its absolute path; `required` says whether it has to be there.
ReadEnv = Callable[[str, bool], Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Service:
    """A container: what is mounted into it, and its environment as far as that is told."""

    name: str
    mounts: tuple[Mount, ...]
    environ: Mapping[str, str] = field(default_factory=dict)
    #: The volumes that are not folders of the host's, as (what it is, path in the container).
    kept: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Beside:
    """What a compose file is read with."""

    #: The absolute path of the folder that it lies in.
    folder: str
    #: The variables that are filled in: the environment before the ``.env`` beside the file.
    environ: Mapping[str, str]
    read_env: ReadEnv


def services(text: str, beside: Beside) -> list[Service]:
    """The services of a file, in its order. Raises `UsageError` where it is no compose file or nothing reads YAML."""
    document = _filled(_loaded(text), beside.environ)
    found = document.get("services") if isinstance(document, dict) else None
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise UsageError("it has no services", "name a compose file, such as compose.yaml")
    named = document.get("volumes")
    bound = dict(_bound(named if isinstance(named, dict) else {}, beside))
    return [_service(str(name), one, bound, beside) for name, one in found.items()]


def _loaded(text: str) -> Any:
    try:
        import yaml
    except ImportError:
        raise UsageError(
            "nothing here reads YAML", "pip install 'hubfold[compose]', or give --mount"
        ) from None

    class Loader(yaml.SafeLoader):  # type: ignore[misc, name-defined, unused-ignore]
        """With the tags of Compose, which only matter where several files are merged."""

    for tag in ("!reset", "!override"):
        Loader.add_constructor(tag, _untagged)
    try:
        return yaml.load(text, Loader=Loader)
    except yaml.YAMLError as error:
        raise UsageError(f"it is no YAML: {' '.join(str(error).split())}", "name a compose file") from None
    except RecursionError:
        raise UsageError("it is nested too deep", "name a compose file") from None


def _untagged(loader: Any, node: Any) -> Any:
    kinds = {"mapping": loader.construct_mapping, "sequence": loader.construct_sequence}
    make = kinds.get(node.id)
    return make(node, deep=True) if make is not None else loader.construct_scalar(node)


def _filled(value: Any, environ: Mapping[str, str], depth: int = 0) -> Any:
    """A document with the variables in its values filled in. Raises `UsageError`, as for one that has itself inside."""
    if depth > 50:
        raise UsageError("it is nested too deep", "name a compose file")
    if isinstance(value, dict):
        return {key: _filled(one, environ, depth + 1) for key, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, environ, depth + 1) for one in value]
    return filled_in(value, environ) if isinstance(value, str) else value


def _bound(volumes: Mapping[Any, Any], beside: Beside) -> Iterator[tuple[str, str]]:
    """(name, folder of the host) of the named volumes that are one."""
    for name, volume in volumes.items():
        options = volume.get("driver_opts") if isinstance(volume, dict) else None
        if isinstance(options, dict) and "bind" in str(options.get("o", "")).split(","):
            yield str(name), _folder(str(options.get("device", "")), beside)


def _service(name: str, told: Mapping[str, Any], bound: Mapping[str, str], beside: Beside) -> Service:
    mounts: list[Mount] = []
    kept: list[tuple[str, str]] = []
    for volume in _list(name, told, "volumes"):
        kind, source, target, read_only = _volume(name, volume)
        if kind == "volume" and source in bound:
            kind, source = "bind", bound[source]
        if kind == "bind":
            mounts.append(Mount(_folder(source, beside), plain(target), read_only))
            continue
        mounts.append(Mount("", plain(target), read_only))
        kept.append((f"volume {source}" if kind == "volume" and source else f"a {kind} of its own", target))
    kept += [("a tmpfs of its own", path.partition(":")[0]) for path in _texts(told.get("tmpfs"))]
    mounts += [Mount("", plain(path.partition(":")[0])) for path in _texts(told.get("tmpfs"))]
    return Service(name, tuple(mounts), _environ(name, told, beside), tuple(kept))


def _volume(service: str, volume: object) -> tuple[str, str, str, bool]:
    """(kind, source, path in the container, read-only) of an entry of ``volumes``."""
    if isinstance(volume, dict):
        kind, target = str(volume.get("type", "volume")), volume.get("target")
        if not isinstance(target, str):
            raise UsageError(f"service {service}: a volume has no target", "see `docker compose config`")
        return kind, str(volume.get("source") or ""), target, bool(volume.get("read_only"))
    parts = str(volume).split(":")
    if len(parts) == 1:
        return "volume", "", parts[0], False
    source, target, *options = parts
    words = set(",".join(options).split(","))
    return "bind" if source[:1] in (".", "/", "~") else "volume", source, target, "ro" in words


def _environ(service: str, told: Mapping[str, Any], beside: Beside) -> dict[str, str]:
    found: dict[str, str] = {}
    files = told.get("env_file")
    for file in files if isinstance(files, list) else [files] if files else []:
        path = file.get("path") if isinstance(file, dict) else file
        required = bool(file.get("required", True)) if isinstance(file, dict) else True
        found |= beside.read_env(_folder(str(path), beside), required)
    given = told.get("environment")
    pairs: list[tuple[str, object]] = []
    if isinstance(given, dict):
        pairs = [(str(name), value) for name, value in given.items()]
    else:
        for line in _list(service, told, "environment"):
            name, is_set, value = str(line).partition("=")
            pairs.append((name, value if is_set else None))
    # Without a value it is that of whoever starts the container.
    all_ = {name: beside.environ.get(name) if one is None else str(one) for name, one in pairs}
    return found | {name: one for name, one in all_.items() if one is not None}


def _list(service: str, told: Mapping[str, Any], key: str) -> list[Any]:
    found = told.get(key)
    if found is not None and not isinstance(found, list):
        raise UsageError(f"service {service}: {key} is no list", "see `docker compose config`")
    return found or []


def _texts(value: object) -> list[str]:
    return (
        [value] if isinstance(value, str) else [str(one) for one in value] if isinstance(value, list) else []
    )


def _folder(path: str, beside: Beside) -> str:
    """An absolute path of the host; ``~`` is the home of who starts the containers."""
    if path == "~" or path.startswith("~/"):
        path = (beside.environ.get("HOME") or os.path.expanduser("~")) + path[1:]
    return os.path.normpath(os.path.join(beside.folder, path))
