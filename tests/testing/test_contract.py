"""The suite for authors: a layout that keeps the contract passes it, and its tests turn red where one does not."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hubfold.backend import Leftover, LeftoverKind, ModelPart, PartPlace, Removal
from hubfold.faults import BackendFault
from hubfold.testing import BackendContract, Built
from tests.building import plugin
from tests.building.plugin import Box


@pytest.fixture(autouse=True)
def _no_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Box, "faults", {})


class TestBox(BackendContract):
    """The layout of our own tests, as an author would have it tested."""

    backend = Box

    def build(self, folder: Path) -> Built:
        plugin.fill(folder / "box")
        (folder / "box/begun.part").write_bytes(b"begun")
        return Built(folder / "box", {"boxed/model.safetensors"})


class Wrong:
    """Answers about a built box that are not those of somebody who keeps the contract."""

    def __init__(self, box: Path) -> None:
        self.box = str(box)
        self.weights = f"{box}/boxed/model.safetensors"
        self.manifest = f"{box}/boxed/model.json"
        (box / "link").symlink_to(box.parent)
        self.good = Removal(
            self.box,
            "box",
            "acme/boxed",
            "model",
            path=f"{box}/boxed",
            whole=True,
            refs=(self.manifest,),
            content=(self.weights,),
            empty=(f"{box}/boxed",),
        )

    def removal(self, **fields: Any) -> Callable[[], object]:
        return lambda: iter([replace(self.good, **fields)])

    def leftover(self, path: str, removal: Removal | None = None) -> Callable[[], object]:
        plain = Removal(self.box, "box", "", "", content=(path,))
        return lambda: iter([Leftover(LeftoverKind.UNUSED, path, removal or plain, 0)])


#: (test of the suite, method, what it answers)
CASES: list[tuple[str, str, Callable[[Wrong], Callable[[], object]]]] = [
    (
        "what_goes_with_a_model_lies_inside_the_root",
        "removals",
        lambda w: w.removal(content=("/etc/passwd",)),
    ),
    (
        "what_goes_with_a_model_lies_inside_the_root",
        "removals",
        lambda w: w.removal(records=(f"{w.box}/link/x",)),
    ),
    (
        "what_goes_with_a_model_is_there_and_each_path_goes_once",
        "removals",
        lambda w: w.removal(records=(w.manifest,)),
    ),
    (
        "what_goes_with_a_model_is_there_and_each_path_goes_once",
        "removals",
        lambda w: w.removal(records=(f"{w.box}/gone",)),
    ),
    (
        "files_go_as_files_and_folders_as_folders",
        "removals",
        lambda w: w.removal(content=(f"{w.box}/boxed",)),
    ),
    ("files_go_as_files_and_folders_as_folders", "removals", lambda w: w.removal(empty=(w.weights,))),
    (
        "a_folder_that_is_put_aside_is_listed_down_to_its_last_file",
        "removals",
        lambda w: w.removal(folders=(f"{w.box}/boxed",), inside=(w.weights,), aside=w.box),
    ),
    (
        "once_a_model_is_gone_its_folders_are_empty_and_nothing_shows_it",
        "removals",
        lambda w: w.removal(refs=()),
    ),
    ("a_model_that_is_not_there_has_nothing_to_go", "removals", lambda w: w.removal()),
    (
        "what_was_left_behind_is_there_and_lies_inside_the_root",
        "leftovers",
        lambda w: w.leftover(f"{w.box}/gone"),
    ),
    (
        "what_was_left_behind_is_there_and_lies_inside_the_root",
        "leftovers",
        lambda w: w.leftover("/etc/passwd"),
    ),
    ("nothing_that_a_model_needs_is_left_over", "leftovers", lambda w: w.leftover(w.weights)),
    (
        "every_part_of_a_model_has_its_place",
        "parts",
        lambda w: lambda: iter([ModelPart("x", f"{w.box}/boxed")]),
    ),
    ("every_part_of_a_model_has_its_place", "place", lambda w: lambda: None),
    (
        "the_parts_of_a_model_make_it_anew_at_another_place",
        "parts",
        lambda w: lambda: iter([ModelPart("boxed/model.safetensors", w.weights)]),
    ),
    (
        "the_parts_of_a_model_make_it_anew_at_another_place",
        "place",
        lambda w: lambda: PartPlace(0, "elsewhere"),
    ),
    ("names_that_lead_out_have_no_place", "place", lambda w: lambda: PartPlace(0)),
    ("no_lock_lies_behind_a_symlink", "lock_paths", lambda w: lambda: [f"{w.box}/link/x.lock"]),
    ("lock_paths_lie_inside_the_root", "lock_paths", lambda w: lambda: [f"{os.path.dirname(w.box)}/x.lock"]),
    ("vault_places_are_absolute", "vault_places", lambda w: lambda: [w.box]),
    ("vault_places_are_absolute", "vault_places", lambda w: lambda: [f"{w.box}/link/vault"]),
    ("a_home_is_no_default_root", "default_roots", lambda w: lambda: ["/"]),
]


@pytest.mark.parametrize(
    ("test", "method", "answer"), CASES, ids=[f"{one[0][:40]}-{one[1]}" for one in CASES]
)
def test_it_turns_red(
    tmp_path: Path, test: str, method: str, answer: Callable[[Wrong], Callable[[], object]]
) -> None:
    suite = TestBox()
    built = suite.build(tmp_path)
    wrong = Wrong(built.root)
    run = getattr(suite, f"test_{test}")
    given = {"built": built, "tmp_path": tmp_path}
    arguments = [given[name] for name in run.__code__.co_varnames[1 : run.__code__.co_argcount]]
    Box.faults[method] = answer(wrong)
    with pytest.raises((AssertionError, BackendFault)):
        run(*arguments)
