"""Whatever a plugin raises or answers: it is told once, with its name, and costs its own root and nothing else."""

from __future__ import annotations

import ast
import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from hubfold.backend import boundary
from hubfold.backend.answers import Unfit
from hubfold.backend.boundary import GuardedBackend
from hubfold.backend.changes import Offer
from hubfold.backend.contract import Capabilities, StorageBackend
from hubfold.content import LinkKind, Replica, Root, Snapshot
from hubfold.errors import IndexDamaged, Interrupted
from hubfold.faults import BackendFault, Faults, Origin
from hubfold.progress import Stop
from hubfold.scanning.walk import Shared, TreeWalk
from tests import CHECKOUT
from tests.building.plugin import METHODS, Box, fill, raising

ORIGIN = Origin("p-box", "hubfold-box", "1.0")
#: Those that answer with nothing where the plugin fails: it has no root, no vault of its own then.
TOTAL = {"recognise", "default_roots", "further", "home_root", "reached", "model_named", "vault_places"}


class Guarded:
    """A `Box` behind the guard, with a root of its own; each method asked as the engine would."""

    def __init__(self, folder: Path) -> None:
        fill(folder)
        self.faults = Faults()
        self.backend = GuardedBackend(Box(), ORIGIN, self.faults)
        self.root = Root(str(folder), "box")

    def walk(self, stop: Stop | None = None) -> TreeWalk:
        return TreeWalk(self.root, {"box": self.backend}, Shared(stop=Stop() if stop is None else stop))

    def ask(self, method: str) -> Any:
        one, root, walk = self.backend, self.root, self.walk()
        snapshot = Snapshot("acme/boxed", "model", "a" * 40, (), root.path, ())
        asked: dict[str, Callable[[], Any]] = {
            "recognise": lambda: one.recognise(root.path, os.listdir(root.path)),
            "default_roots": lambda: one.default_roots({"HOME": "/home/me"}),
            "further": lambda: one.further(root, {}),
            "home_root": lambda: one.home_root(root.path),
            "vault_places": lambda: one.vault_places(root),
            "notes": lambda: one.notes(root, walk),
            "model_named": lambda: one.model_named("box:acme/boxed"),
            "reached": lambda: one.reached(root),
            "replicas": lambda: taken(one, root, walk),
            "snapshots": lambda: one.snapshots(root, walk),
            "lock_paths": lambda: one.lock_paths(root, f"{root.path}/boxed/model.safetensors"),
            "removals": lambda: one.removals(root, "model", "acme/boxed", None, walk),
            "all_removals": lambda: one.all_removals(root, walk),
            "leftovers": lambda: one.leftovers(root, walk),
            "gaps": lambda: one.gaps(root, walk),
            "still_needed": lambda: one.still_needed(root, [f"{root.path}/boxed/model.safetensors"], walk),
            "content_path": lambda: one.content_path(root, "model", "acme/boxed", {"sha256": "0" * 64}),
            "partial_path": lambda: one.partial_path(root, "model", "acme/boxed", {"sha256": "0" * 64}),
            "parts": lambda: one.parts(root, snapshot, walk),
            "place": lambda: one.place("boxed/model.safetensors"),
            "offers": lambda: one.offers(root, walk),
            "arranged": lambda: one.arranged(Offer(f"{root.path}/boxed", ()), ["main"]),
            "shown": lambda: one.shown(root, snapshot, walk),
        }
        return asked[method]()


def taken(one: GuardedBackend, root: Root, walk: TreeWalk) -> list[Replica]:
    found: list[Replica] = []
    one.replicas(root, walk, found.append)
    return found


@pytest.fixture
def guarded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Guarded:
    monkeypatch.setattr(Box, "faults", {})
    monkeypatch.setattr(Box, "calls", [])
    made = Guarded(tmp_path / "box")
    (tmp_path / "box" / "begun.part").touch()
    return made


def test_every_method_of_the_contract_is_behind_the_guard() -> None:
    asked = {
        name
        for name, value in vars(StorageBackend).items()
        if callable(value) or isinstance(value, classmethod)
    }
    asked -= {name for name in asked if name.startswith("_")}
    # `replica` and `removal` are what `replicas` and `removals` ask of themselves.
    assert asked - {"replica", "removal"} == set(METHODS)
    assert all(callable(getattr(GuardedBackend, name)) for name in METHODS)


@pytest.mark.parametrize("method", METHODS)
def test_a_good_answer_goes_through_as_it_is(guarded: Guarded, method: str) -> None:
    answer = guarded.ask(method)
    assert answer is None or answer == () or answer
    assert not list(guarded.faults)
    assert (method, boundary.__file__) in Box.calls


def test_where_the_walk_could_not_read_all_that_was_asked_about_is_needed(guarded: Guarded) -> None:
    """An unreadable folder of notes looks as if nothing used what they name."""
    asked = (f"{guarded.root.path}/boxed/model.safetensors", f"{guarded.root.path}/other")
    Box.faults["still_needed"] = tuple
    walk = guarded.walk()
    assert guarded.backend.still_needed(guarded.root, asked, walk) == ()
    walk.failed.add(f"{guarded.root.path}/boxed")
    assert guarded.backend.still_needed(guarded.root, asked, walk) == asked


class Odd(BaseException):
    """No `Exception`, and not what its own words say."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


ERRORS = [
    RuntimeError("boom"),
    SystemExit(3),
    GeneratorExit(),
    StopIteration(),
    MemoryError(),
    RecursionError("too deep"),
    asyncio.CancelledError(),
    Odd(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("method", METHODS)
def test_whatever_a_method_raises_is_a_fault_with_the_name_of_the_plugin(
    guarded: Guarded, method: str, error: BaseException
) -> None:
    Box.faults[method] = raising(error)
    if method in TOTAL:
        assert not guarded.ask(method)
    else:
        with pytest.raises(BackendFault):
            guarded.ask(method)
    [fault] = guarded.faults
    for word in ("'p-box'", "hubfold-box 1.0", method, type(error).__name__):
        assert word in str(fault), fault
    asked_about = (
        ""
        if method in ("recognise", "default_roots", "home_root", "model_named", "place", "arranged")
        else guarded.root.path
    )
    assert fault.root == asked_about
    assert fault.line.startswith(asked_about)
    assert "\n" not in fault.line


@pytest.mark.parametrize("method", METHODS)
def test_ctrl_c_ends_the_command_whoever_is_at_work(guarded: Guarded, method: str) -> None:
    Box.faults[method] = raising(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        guarded.ask(method)
    assert not list(guarded.faults)


@pytest.mark.parametrize("method", METHODS)
def test_the_same_fault_is_noted_once(guarded: Guarded, method: str) -> None:
    Box.faults[method] = raising(RuntimeError("boom"))
    for _ in range(3):
        with suppress(BackendFault):
            guarded.ask(method)
    assert len(guarded.faults) == 1


def test_a_fault_says_where_in_the_plugin_it_came_up_on_one_line(guarded: Guarded) -> None:
    Box.faults["snapshots"] = raising(RuntimeError("line one\nline two " + "x" * 5000))
    with pytest.raises(BackendFault) as raised:
        guarded.ask("snapshots")
    [fault] = guarded.faults
    assert raised.value.fault is fault
    assert "RuntimeError: line one line two" in str(fault)
    assert "(plugin.py, line " in str(fault)
    assert len(str(fault)) < 600
    assert isinstance(raised.value.__cause__, RuntimeError)


def after(number: int, items: list[Any]) -> Callable[[], Iterator[Any]]:
    """An iterator that gives so many, and fails."""

    def fail() -> Iterator[Any]:
        yield from items[:number]
        raise RuntimeError("half way")

    return fail


@pytest.mark.parametrize(
    "method", ["snapshots", "removals", "all_removals", "leftovers", "parts", "lock_paths"]
)
def test_half_an_answer_is_none(guarded: Guarded, method: str) -> None:
    """Whoever asked for what is there would take the half for all of it."""
    whole = guarded.ask(method) or [f"{guarded.root.path}/some.lock"]
    Box.faults[method] = after(1, list(whole))
    with pytest.raises(BackendFault):
        guarded.ask(method)
    assert "half way" in str(*guarded.faults)


def test_replicas_are_taken_one_by_one_until_the_fault(guarded: Guarded) -> None:
    good = taken(guarded.backend, guarded.root, guarded.walk())
    Box.faults["replicas"] = after(1, good)
    found: list[Replica] = []
    with pytest.raises(BackendFault):
        guarded.backend.replicas(guarded.root, guarded.walk(), found.append)
    assert found == good[:1]
    assert "half way" in str(*guarded.faults)


def test_who_takes_replicas_ends_the_plugin_and_no_fault_is_seen(guarded: Guarded) -> None:
    ended = []

    def endless() -> Iterator[Replica]:
        stat = os.stat(guarded.root.path)
        try:
            while True:
                yield Replica(f"{guarded.root.path}/x", stat)
        finally:
            ended.append(True)

    Box.faults["replicas"] = endless
    for error in (
        Interrupted("stopped"),
        IndexDamaged("of what is ours"),
        OSError("full"),
        KeyboardInterrupt(),
    ):
        with pytest.raises(type(error)):
            guarded.backend.replicas(guarded.root, guarded.walk(), lambda _, error=error: raising(error)())  # type: ignore[misc]
    assert len(ended) == 4
    assert not list(guarded.faults)


def test_what_cannot_be_taken_is_the_fault_of_who_gives_it(guarded: Guarded) -> None:
    """A `stat` that nobody asked the system for is found out when its figures are used."""
    stat = os.stat_result((None,) * 10)  # type: ignore[arg-type]
    Box.faults["replicas"] = lambda: [Replica(f"{guarded.root.path}/x", stat)]
    with pytest.raises(BackendFault):
        guarded.backend.replicas(guarded.root, guarded.walk(), lambda replica: replica.stat.st_size + 1)


def test_a_stop_is_no_fault_even_where_the_plugin_swallows_it(guarded: Guarded) -> None:
    """…and neither is anything else that our own walk raises while a plugin is at work."""
    stop = Stop()
    stop.set()

    class Swallowing(Box):
        name = "box"

        def replicas(self, root: Root, walk: Any) -> Iterator[Replica]:
            with suppress(BaseException):
                list(walk.folders(root.path))
            yield from ()

        def snapshots(self, root: Root, walk: Any) -> Iterator[Snapshot]:
            try:
                list(walk.folders(root.path))
            except Exception as error:
                raise RuntimeError("what is this") from error
            return iter(())

    one = GuardedBackend(Swallowing(), ORIGIN, guarded.faults)
    with pytest.raises(Interrupted):
        one.replicas(guarded.root, guarded.walk(stop), print)
    with pytest.raises(Interrupted):
        one.snapshots(guarded.root, guarded.walk(stop))
    assert not list(guarded.faults)


@pytest.mark.parametrize("asked", [3, None, b"/tmp", "nul\0nul", "\ud800"])
@pytest.mark.parametrize("name", ["folders", "listing", "read_text", "stat", "readlink", "dangles", "size"])
def test_what_a_walk_cannot_be_asked_is_the_fault_of_who_asks(
    guarded: Guarded, name: str, asked: object
) -> None:
    class Asking(Box):
        def snapshots(self, root: Root, walk: Any) -> Iterator[Snapshot]:
            found = getattr(walk, name)(asked)
            list(found) if name == "folders" else None
            return iter(())

    with pytest.raises(BackendFault):
        GuardedBackend(Asking(), ORIGIN, guarded.faults).snapshots(guarded.root, guarded.walk())


def test_what_a_plugin_warns_of_is_text(guarded: Guarded) -> None:
    class Loud(Box):
        def snapshots(self, root: Root, walk: Any) -> Iterator[Snapshot]:
            walk.warn(root.path, 3)
            return iter(())

    walk = guarded.walk()
    with pytest.raises(BackendFault):
        GuardedBackend(Loud(), ORIGIN, guarded.faults).snapshots(guarded.root, walk)
    assert not walk.warnings


# what a class brings along


@pytest.mark.parametrize(
    ("name", "capabilities"),
    [
        (3, Capabilities()),
        (None, Capabilities()),
        ("box", None),
        ("box", {"cache": True}),
        ("box", Capabilities(cache="yes")),  # type: ignore[arg-type]
        ("box", Capabilities(links=frozenset({"hardlink"}))),  # type: ignore[arg-type]
        ("box", Capabilities(links=[LinkKind.HARDLINK])),  # type: ignore[arg-type]
        ("box", Capabilities(claims="sha256")),  # type: ignore[arg-type]
        ("box", Capabilities(claims=frozenset({3}))),  # type: ignore[arg-type]
        ("box", Capabilities(claims=frozenset({"sha512"}))),
        ("box", Capabilities(copies_over=frozenset({"sha1"}))),
        ("box", Capabilities(links_across=frozenset({LinkKind.HARDLINK}))),
        ("box", Capabilities(links_across="symlink")),  # type: ignore[arg-type]
        ("box", Capabilities(keeps=1)),  # type: ignore[arg-type]
        ("box", Capabilities(private_objects=None)),  # type: ignore[arg-type]
    ],
)
def test_a_class_is_what_the_contract_says(name: object, capabilities: object) -> None:
    cls = type("Odd", (StorageBackend,), {"name": name, "capabilities": capabilities})
    with pytest.raises((Unfit, TypeError)):
        boundary.guarded(cls, ORIGIN)


@pytest.mark.parametrize("name", ["", "vault"])
def test_a_name_that_is_none_or_taken_is_refused(name: str) -> None:
    with pytest.raises(TypeError):
        boundary.guarded(type("Odd", (StorageBackend,), {"name": name}), ORIGIN)


def test_a_class_that_cannot_be_made_is_refused() -> None:
    with pytest.raises(SystemExit):
        boundary.guarded(
            type(
                "Odd", (StorageBackend,), {"name": "odd", "__init__": lambda self: raising(SystemExit(3))()}
            ),
            ORIGIN,
        )


# nobody else calls


@pytest.mark.slow
def test_only_the_boundary_knows_a_backend_as_it_is() -> None:
    """Whoever cannot name the class cannot hold one, with types as strict as ours."""
    engine = CHECKOUT / "engine" / "hubfold"
    knowing = set()
    for path in engine.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
        names |= {
            alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names
        }
        if "StorageBackend" in names:
            knowing.add(path.relative_to(engine).with_suffix("").as_posix())
    assert knowing == {
        # what hands the contract on to plugins
        *("__init__", "backend/__init__", "backend/hookspecs"),
        # what authors test their classes by
        *("testing/folds", "kit/look"),
        "backend/boundary",
        # hubfold's own backend, and the kit with which authors ask theirs
        *("vault/backend", "testing/contract"),
    }
