"""The part of the suite that folds: red where a layout's promises about links and folders are not kept."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import ClassVar

import pytest

from hubfold.testing import BackendContract, Built
from hubfold_plugins.huggingface.local_dir import LocalDirBackend

CRASH = "test_killed_in_the_middle_of_a_swap_it_reads_the_same_and_all_can_be_taken_back"
RULE = "test_once_folded_it_reads_the_same_with_the_links_that_it_takes_and_undo_takes_all_back"


class Strict(BackendContract):
    """A plain folder, of which its program says what it takes."""

    backend = LocalDirBackend

    def build(self, folder: Path) -> Built:
        (folder / "model.safetensors").write_bytes(b"weights" * 10_000)
        (folder / ".cache/huggingface").mkdir(parents=True)
        return Built(folder, {"model.safetensors"})


class TakesNoSymlinks(Strict):
    def program_is_content(self, built: Built) -> None:
        for path in built.content:
            assert not (built.root / path).is_symlink(), "the program refuses it"


class BearsNoName(Strict):
    """Its program stops at what it does not know."""

    seen: ClassVar[list[list[str]]] = []

    def program_is_content(self, built: Built) -> None:
        self.seen.append([name for name in os.listdir(built.root) if name.startswith(".hubfold-")])
        assert not self.seen[-1], "a name that the program does not know"


class NotRecovered(Strict):
    """As where recovery forgot something of this layout."""

    def program_is_content(self, built: Built) -> None:
        (built.root / ".hubfold-forgotten").touch()


def held(suite: BackendContract, folder: Path, rule: str = RULE) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "built").mkdir(parents=True)
    getattr(suite, rule)(suite.build(folder / "built"), folder)


@pytest.mark.slow
def test_a_crash_is_in_the_middle_of_a_swap_and_leaves_what_is_told_to_the_program(tmp_path: Path) -> None:
    held(Strict(), tmp_path / "one", CRASH)
    with pytest.raises(AssertionError, match="a name that the program does not know"):
        held(BearsNoName(), tmp_path / "two", CRASH)
    assert len(BearsNoName.seen) == 1 and len(BearsNoName.seen[0]) == 1
    with pytest.raises(AssertionError, match="not taken away by `recover`"):
        held(NotRecovered(), tmp_path / "three", CRASH)


@pytest.mark.slow
def test_a_program_that_is_not_content_once_folded_turns_it_red(tmp_path: Path) -> None:
    held(Strict(), tmp_path / "one")
    with pytest.raises(AssertionError, match="the program refuses it"):
        held(TakesNoSymlinks(), tmp_path / "two")


@pytest.mark.slow
def test_a_backend_that_no_installed_plugin_has_is_skipped(tmp_path: Path) -> None:
    class Unknown(LocalDirBackend):
        name = "unknown"

    class Suite(Strict):
        backend = Unknown

    with pytest.raises(pytest.skip.Exception, match="no installed plugin has the backend unknown"):
        held(Suite(), tmp_path / "one")
