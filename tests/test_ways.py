"""The two ways through the code that ``engine/DESIGN.md`` describes are the ones that the program takes."""

from __future__ import annotations

import pkgutil
import re
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import FrameType

import pytest

import hubfold
import hubfold_plugins
from hubfold.cli.app import run
from hubfold.testing.trees import Tree, hub_cache, model_files

DESIGN = Path(__file__).resolve().parent.parent / "engine" / "DESIGN.md"
PACKAGES = (hubfold, hubfold_plugins)
#: The module that was called, and the one of ours that called it: None where a thread began.
Call = tuple[str, str | None]
Hubfold = Callable[..., list[Call]]


def way(heading: str) -> list[list[str]]:
    """The modules that the steps of a way name, in their order; a list for each list of steps."""
    text = DESIGN.read_text(encoding="utf-8").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    lists = re.findall(r"(?:^\d+\. .*\n(?: +.*\n)*)+", text, re.MULTILINE)
    return [[module_of(step) for step in re.findall(r"`(\w+(?:/\w+)+)`", steps)] for steps in lists]


def module_of(step: str) -> str:
    """``room/module`` as it is imported."""
    name = step.replace("/", ".")
    return name if name.startswith("hubfold_plugins.") else f"hubfold.{name}"


def not_taken(steps: Sequence[str], calls: Sequence[Call], before: Sequence[str] = ()) -> str:
    """The first step that is not called, after the one before it, by one that was named before; empty if all are."""
    named = list(before)
    left = iter([(called, by) for called, by in calls if called != by])
    for step in steps:
        if not any(called == step and (by is None or by in named) for called, by in left):
            return f"{step} is not called after {named[-1:]} by one of {named}"
        named.append(step)
    return ""


def is_ours(frame: FrameType) -> bool:
    return frame.f_globals.get("__name__", "").partition(".")[0] in ("hubfold", "hubfold_plugins")


@contextmanager
def noted_calls() -> Iterator[list[Call]]:
    """Every call of a function of ours, in whichever thread."""
    calls: list[Call] = []

    def note(frame: FrameType, event: str, _: object) -> None:
        if event == "call" and is_ours(frame):
            above = frame.f_back
            while above is not None and not is_ours(above):
                above = above.f_back
            calls.append((frame.f_globals["__name__"], above and above.f_globals["__name__"]))

    threading.setprofile(note)
    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def everything_imported() -> None:
    """What runs when a module is imported is no call of it."""
    for package in PACKAGES:
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                import_module(module.name)


@pytest.fixture
def hubfold_calls(tree: Tree) -> Hubfold:
    """Runs a command line in this process; its calls. On a cache of two models that share a file, and a copy."""
    shared = model_files("both")["model.safetensors"]
    for name in ("acme/base", "acme/chat"):
        tree.hub.add(name, {**model_files(name), "shared.safetensors": shared})
    tree.build({"hf/hub": hub_cache("acme/base", "acme/chat"), "plain/copy.safetensors": shared})

    def command(*arguments: str) -> list[Call]:
        with noted_calls() as calls:
            assert run(arguments) == 0
        return calls

    return command


def scan(hubfold_calls: Hubfold, tree: Tree) -> list[Call]:
    for root in ("hf/hub", "plain"):
        hubfold_calls("roots", "add", str(tree[root]))
    return hubfold_calls("scan", str(tree["hf/hub"]), str(tree["plain"]))


def fold(hubfold_calls: Hubfold) -> list[Call]:
    # Where extents can be shared, nothing else would be done.
    return hubfold_calls("consolidate", "-y", "--link", "symlink")


def test_the_way_of_a_replica(hubfold_calls: Hubfold, tree: Tree) -> None:
    scanned, folded, undone = way("The way of a replica")
    assert not not_taken(scanned, scan(hubfold_calls, tree))
    assert not not_taken(folded, fold(hubfold_calls), scanned)
    assert not not_taken(undone, hubfold_calls("undo", "-y"), scanned + folded)


def test_the_way_of_a_name(hubfold_calls: Hubfold, tree: Tree) -> None:
    [removed] = way("The way of a name")
    scan(hubfold_calls, tree)
    fold(hubfold_calls)
    assert not not_taken(removed, hubfold_calls("rm", "acme/base", "-y"))


def test_a_way_that_is_not_taken_is_seen() -> None:
    calls: list[Call] = [("a", None), ("b", "a"), ("c", "b"), ("b", "c")]
    assert not not_taken(["a", "b", "c"], calls)
    assert not not_taken(["c", "b"], calls, ["b"])
    assert "c is not called" in not_taken(["a", "c"], calls)  # by b, which is not named
    assert "a is not called" in not_taken(["b", "a"], calls, ["a"])  # the other way round
    assert "gone is not called" in not_taken(["a", "b", "gone"], calls)
