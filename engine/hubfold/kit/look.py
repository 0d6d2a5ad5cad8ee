"""A plugin looked at for its author: whether it loads and how long that takes, and the contract against a store."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hubfold.content import Replica, Root
from hubfold.engine.engine import Engine
from hubfold.errors import HubfoldError, RootError
from hubfold.faults import BackendFault
from hubfold.json_form import JsonForm
from hubfold.scanning.walk import TreeWalk

if TYPE_CHECKING:
    from hubfold.backend.contract import StorageBackend
    from hubfold.backend.registry import LoadedBackend, Registry

#: By which the process that runs the contract is told the name of a backend, and the path of a store.
BACKEND, STORE = "HUBFOLD_CHECK_BACKEND", "HUBFOLD_CHECK_STORE"
_CONTRACT = os.path.join(os.path.dirname(__file__), "contract_of_store.py")
#: The contract copies the store: larger ones would take long, and are not needed for it.
LARGEST_STORE = 1 << 30


@dataclass(frozen=True, slots=True)
class Broken(JsonForm):
    """A part of the contract that is not kept; `why` is the end of what pytest says of it."""

    rule: str
    why: str


@dataclass(frozen=True, slots=True)
class StoreCheck(JsonForm):
    """What a backend makes of a store, and which rules of the contract it keeps there.

    `root` is what the folder is recognised as, "" for nothing; `files` with content, `claimed` those of which the
    layout states a digest; `warnings` what it says of them. `seconds` is what the look took, without the contract.
    """

    backend: str
    root: str
    files: int = 0
    claimed: int = 0
    models: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    kept: int = 0
    skipped: tuple[str, ...] = ()
    broken: tuple[Broken, ...] = ()

    @property
    def is_good(self) -> bool:
        """Whether the store is one, and no rule is broken."""
        return bool(self.root) and not self.broken


def backend_class(name: str) -> type[StorageBackend]:
    """The class of a loaded backend, for the process that runs the contract. Raises `PluginError`."""
    with Engine() as engine:
        return engine.registry.named(name).implementation


def check(
    registry: Registry, name: str, store: str, before_contract: Callable[[], object] = lambda: None
) -> StoreCheck:
    """What the backend `name` makes of the folder `store`, and which rules of the contract it keeps on a copy of it.

    `before_contract` is called before that is run, which takes a moment.

    Raises `PluginError` where there is no such backend, `RootError` for a folder that cannot be looked at,
    `HubfoldError` where there is no pytest, or the store is too large to be copied.
    """
    path = os.path.realpath(os.path.expanduser(store))
    registry.named(name)
    try:
        names = os.listdir(path)
    except OSError as error:
        raise RootError(
            f"{store} cannot be looked at: {error.strerror}", "give the folder of a store"
        ) from error
    looked = _look(registry[name], path, names)
    if not looked.root:
        return looked
    if importlib.util.find_spec("pytest") is None:
        raise HubfoldError(
            "the contract is run by pytest, which is not installed", "pip install pytest beside it"
        )
    size = sum(
        os.lstat(os.path.join(place, one)).st_size for place, _, files in os.walk(path) for one in files
    )
    if size > LARGEST_STORE:
        raise HubfoldError(f"{store} is too large for this: it is copied", "name one with less than 1 GiB")
    before_contract()
    return _with_contract(looked, path)


def _look(loaded: LoadedBackend, path: str, names: list[str]) -> StoreCheck:
    begun = time.monotonic()
    backend = loaded.backend
    place = backend.recognise(path, names)
    if place is None:
        return StoreCheck(backend.name, "")
    root = Root(place, backend.name)
    walk = TreeWalk(root, {backend.name: backend})
    found: list[Replica] = []
    try:
        backend.replicas(root, walk, found.append)
        snapshots = backend.snapshots(root, TreeWalk(root, {backend.name: backend}))
        models = sorted({one.repo_id or one.revision for one in snapshots})
    except BackendFault as fault:
        return StoreCheck(backend.name, place, files=len(found), broken=(Broken("it answers", str(fault)),))
    return StoreCheck(
        backend.name,
        place,
        files=len(found),
        claimed=sum(bool(one.claims) for one in found),
        models=tuple(models),
        warnings=tuple(f"{one.path} {one.message}" for one in walk.warnings),
        seconds=time.monotonic() - begun,
    )


def _with_contract(looked: StoreCheck, path: str) -> StoreCheck:
    with _results() as results:
        environ = {**os.environ, BACKEND: looked.backend, STORE: path}
        # As its author runs it, but with no configuration of the folder that this is typed in.
        line = [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "--rootdir",
            results,
            "-c",
            os.devnull,
        ]
        line += [
            f"--junitxml={results}/results.xml",
            "--basetemp",
            f"{results}/tmp",
            _CONTRACT,
        ]
        said = subprocess.run(line, env=environ, cwd=results, capture_output=True, text=True)
        try:
            tree = ET.parse(f"{results}/results.xml")
        except (OSError, ET.ParseError) as error:
            raise HubfoldError(
                f"the contract could not be run: {said.stdout[-500:]}{said.stderr[-500:]}"
            ) from error
    cases = list(tree.iter("testcase"))
    skipped = [_rule(case.attrib) for case in cases if case.find("skipped") is not None]
    broken = [
        Broken(_rule(case.attrib), _why(outcome))
        for case in cases
        if (outcome := case.find("failure")) is not None or (outcome := case.find("error")) is not None
    ]
    kept = len(cases) - len(skipped) - len(broken)
    return replace(looked, kept=kept, skipped=tuple(skipped), broken=tuple(broken))


@contextmanager
def _results() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="hubfold-check-") as folder:
        yield str(Path(folder).resolve())


def _rule(case: Mapping[str, str]) -> str:
    """A test's name in words."""
    return case.get("name", "?").removeprefix("test_").replace("_", " ")


def _why(outcome: ET.Element) -> str:
    told = (outcome.get("message") or outcome.text or "").strip()
    return " ".join(told.split())[:300]
