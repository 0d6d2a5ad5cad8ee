"""The real Ollama: what it lists, loads, pulls, makes and removes before a fold, after it, and after undo."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hubfold import Engine, RunNotFound
from hubfold.disk.directory import Directory
from tests.building import tree
from tests.building.ollama_server import PROGRAM, Registry, Server, gguf

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason="needs Ollama, on PATH or in HUBFOLD_TEST_PROGRAMS"),
]

BASE, MINE = gguf("base"), gguf("mine")


class Machine:
    """One user's Ollama, hub cache and folder; in the store a model that was pulled and one made of a file."""

    def __init__(self, base: Path) -> None:
        self.registry = Registry()
        self.registry.add("org/base:q4", {"model": BASE, "template": b"{{ .Prompt }}", "license": b"MIT"})
        self.base = f"{self.registry.host}/org/base:q4"
        self.store, self.hub, self.folder = base / "ollama", base / "hub", base / "ggufs"
        self.store.mkdir()
        (base / "home").mkdir()
        self.server = Server(self.store, base / "home").start()
        self.server.pull(self.base)
        self.server.create("mine", MINE)
        tree.cache(str(self.hub), "org/base", {"base.gguf": BASE})
        self.folder.mkdir()
        for name, content in (("base", BASE), ("mine", MINE)):
            (self.folder / f"{name}.gguf").write_bytes(content)
        self.before = self.seen()

    def blob(self, content: bytes) -> Path:
        return self.store / "blobs" / f"sha256-{hashlib.sha256(content).hexdigest()}"

    def seen(self) -> dict[str, object]:
        """All that the program says of its models, and the bytes that it would load."""
        names = self.server.models()
        loaded = {name: self.server.loads(name) for name in names}
        files = {path.name: path.read_bytes() for path in (self.store / "blobs").iterdir()}
        return {"names": names, "loaded": loaded, "files": files}

    def is_content(self) -> None:
        """It is as it was, also for a server that starts anew, and a pull takes what is there."""
        assert self.seen() == self.before
        self.server.restart()
        assert self.seen() == self.before
        self.server.pull(self.base)
        self.server.create("mine", MINE)
        assert self.seen()["files"] == self.before["files"]


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    one = Machine(tmp_path)
    yield one
    one.server.stop()
    one.registry.shutdown()


@pytest.fixture
def engine(machine: Machine) -> Iterator[Engine]:
    with Engine() as one:
        one.add_root(machine.store)
        yield one


def fold(engine: Engine, machine: Machine) -> None:
    given = [machine.hub, machine.folder, machine.store]
    engine.scan(given, min_size=0)
    report = engine.apply(engine.plan(given, min_size=0))
    assert len(report.actions) == 3 and not report.failed


def test_it_lists_loads_pulls_and_makes_after_a_fold_and_after_undo(machine: Machine, engine: Engine) -> None:
    machine.is_content()
    fold(engine, machine)
    for name, content in (("base", BASE), ("mine", MINE)):
        assert machine.blob(content).samefile(machine.folder / f"{name}.gguf")
    machine.is_content()
    engine.undo()
    assert machine.blob(BASE).stat().st_nlink == machine.blob(MINE).stat().st_nlink == 1
    machine.is_content()


def test_what_it_removes_stays_for_the_others_and_undo_says_so(machine: Machine, engine: Engine) -> None:
    fold(engine, machine)
    machine.server.remove(machine.base)
    assert machine.server.models().keys() == {"mine:latest"}
    assert not machine.blob(BASE).exists()
    assert (machine.folder / "base.gguf").read_bytes() == BASE
    report = engine.undo()
    assert not report.failed and [left.path for left in report.left] == [str(machine.blob(BASE))]
    assert (machine.folder / "base.gguf").read_bytes() == BASE
    machine.server.pull(machine.base)
    assert machine.blob(BASE).read_bytes() == BASE


def test_what_hubfold_removes_is_gone_for_it_and_nothing_is_left_that_it_would_sweep(
    machine: Machine, engine: Engine
) -> None:
    names = {name for model, _ in engine.models().rows for name in [model.id]}
    assert names == machine.server.models().keys() == {machine.base, "mine:latest"}
    engine.remove([machine.base])
    assert machine.server.models().keys() == {"mine:latest"}
    there = sorted(os.listdir(machine.store / "blobs"))
    machine.server.restart()
    assert sorted(os.listdir(machine.store / "blobs")) == there
    machine.server.pull(machine.base)
    assert machine.seen() == machine.before


def test_what_is_restored_is_there_for_it(machine: Machine, engine: Engine, tmp_path: Path) -> None:
    backup = tmp_path / "backup"
    engine.backup(engine.plan_backup(backup, [machine.base, "mine:latest"]))
    for name in (machine.base, "mine:latest"):
        machine.server.remove(name)
    assert not os.listdir(machine.store / "blobs")
    engine.restore(backup, engine.plan_restore(backup, into=machine.store))
    machine.server.restart()
    assert machine.seen()["loaded"] == machine.before["loaded"]
    assert {path.name: path.read_bytes() for path in (machine.store / "blobs").iterdir()} == machine.before[
        "files"
    ]


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_server_that_starts_in_the_middle_of_an_exchange_costs_nothing(
    machine: Machine, engine: Engine, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """It removes hubfold's temporary names from ``blobs/``, as all that it has no name for."""
    exchange = Directory.exchange
    swept: list[str] = []

    def started(directory: Directory, one: str, other: str) -> None:
        if directory.path != str(machine.store / "blobs"):
            return exchange(directory, one, other)
        if when == "after":
            exchange(directory, one, other)
        machine.server.restart()
        assert one not in os.listdir(directory.path)
        swept.append(one)
        if when == "before":
            exchange(directory, one, other)
        return None

    given = [machine.hub, machine.folder, machine.store]
    engine.scan(given, min_size=0)
    plan = engine.plan(given, min_size=0)
    with monkeypatch.context() as patch:
        patch.setattr(Directory, "exchange", started)
        engine.apply(plan)
    assert swept
    engine.recover()
    assert machine.seen() == machine.before
    assert not list(machine.store.rglob(".hubfold-*"))
    engine.scan(given, min_size=0)
    assert not engine.apply(engine.plan(given, min_size=0)).failed
    machine.is_content()
    for _ in range(2):
        with suppress(RunNotFound):
            engine.undo()
    assert machine.blob(BASE).stat().st_nlink == machine.blob(MINE).stat().st_nlink == 1
    assert machine.seen() == machine.before
