"""Runs that fold what earlier runs have folded or kept: each of them can be taken back, down to the first."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from hubfold import Engine, LinkKind
from hubfold.disk import directory as fsops
from tests.building import tree

MODEL = tree.model("weights", 9000)


@dataclass(slots=True)
class Stacked:
    """Two copies folded into one of them by a first run, and that one into a third, in another root, by a second."""

    engine: Engine
    kept: Path
    copy: Path
    third: Path
    runs: list[str]
    before: dict[str, tree.Seen]
    place: str

    def undo(self, run: int) -> tuple[list[str], list[str], list[str]]:
        report = self.engine.undo(self.runs[run])
        return (
            list(report.restored),
            [item.path for item in report.left],
            [item.path for item in report.failed],
        )

    def all_is_as_it_was(self) -> None:
        assert tree.differences(self.before, self.place) == []
        assert not os.path.samefile(self.kept, self.copy)


@pytest.fixture
def stacked(tmp_path: Path) -> Iterator[Stacked]:
    place = str(tmp_path / "place")
    kept = Path(tree.write(f"{place}/plain/a.gguf", MODEL, 0o644))
    copy = Path(tree.write(f"{place}/plain/b.gguf", MODEL, 0o640, tree.OLD_NS - 7))
    third = Path(tree.write(f"{place}/hub/models--org--one/blobs/" + tree.digest(str(kept)), MODEL))
    tree.cache(f"{place}/hub", "org/one", {"model.gguf": MODEL})
    before = tree.census(place)
    with Engine(environ=tree.environment(place)) as engine:
        roots = [f"{place}/plain"]
        runs = []
        for _ in range(2):
            engine.scan(roots, min_size=1)
            report = engine.apply(engine.plan(roots, link=LinkKind.HARDLINK, min_size=1))
            assert report.actions and not report.failed and report.run is not None
            runs.append(report.run)
            roots = [f"{place}/plain", f"{place}/hub"]
        assert os.path.samefile(kept, third) and os.path.samefile(copy, third)
        yield Stacked(engine, kept, copy, third, runs, before, place)


@pytest.mark.slow
def test_the_last_run_first(stacked: Stacked) -> None:
    """The second undo meets a copy of the file that the first run had kept, and knows it."""
    assert stacked.undo(1) == ([str(stacked.copy), str(stacked.kept)], [], [])
    assert os.path.samefile(stacked.kept, stacked.copy)
    assert stacked.undo(0) == ([str(stacked.copy)], [], [])
    stacked.all_is_as_it_was()


def test_the_first_run_has_to_wait_for_those_upon_it(stacked: Stacked) -> None:
    assert stacked.undo(0) == ([], [], [str(stacked.copy)])
    assert stacked.engine.undo(stacked.runs[1]).left == ()
    assert stacked.undo(0) == ([str(stacked.copy)], [], [])
    stacked.all_is_as_it_was()


def test_after_a_crash_too(stacked: Stacked, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last word of the second run's journal is lost: recovery finds the path restored, and notes the file."""
    stacked.undo(1)
    path = Path(stacked.engine.state.runs, stacked.runs[1] + ".jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    last = max(number for number, line in enumerate(lines) if b'"restored"' in line)
    path.write_bytes(b"".join(lines[:last]))
    stacked.engine.recover()
    stacked.engine.undo(stacked.runs[1])
    assert stacked.undo(0) == ([str(stacked.copy)], [], [])
    stacked.all_is_as_it_was()


@pytest.mark.slow
def test_what_the_user_saved_anew_stays(stacked: Stacked) -> None:
    stacked.undo(1)
    stacked.copy.unlink()
    stacked.copy.write_bytes(b"mine now")
    assert stacked.undo(0) == ([], [str(stacked.copy)], [])
    assert stacked.copy.read_bytes() == b"mine now"
    assert tree.look(str(stacked.kept)) == stacked.before[str(stacked.kept)]


@pytest.mark.slow
@pytest.mark.parametrize("refused", ["a.gguf", "b.gguf"])
@pytest.mark.parametrize("again", [False, True])
def test_a_name_of_the_kept_file_that_a_later_run_could_not_replace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str, again: bool
) -> None:
    """The two names of one file part: what undo of the later run puts back is another file than the other name's."""
    place = str(tmp_path / "place")
    kept = tree.write(f"{place}/plain/a.gguf", MODEL, 0o644)
    copy = tree.write(f"{place}/plain/b.gguf", MODEL, 0o640, tree.OLD_NS - 7)
    tree.cache(f"{place}/hub", "org/one", {"model.gguf": MODEL})
    before = tree.census(place)
    exchange = fsops.Directory.exchange

    def fails(directory: fsops.Directory, one: str, other: str) -> None:
        if other == refused:
            raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        exchange(directory, one, other)

    with Engine(environ=tree.environment(place)) as engine:

        def consolidate(*roots: str) -> int:
            engine.scan(roots, min_size=1)
            report = engine.apply(engine.plan(roots, link=LinkKind.HARDLINK, min_size=1))
            return len(report.actions)

        assert consolidate(f"{place}/plain") == 1 and os.path.samefile(kept, copy)
        with monkeypatch.context() as patch:
            patch.setattr(fsops.Directory, "exchange", fails)
            assert consolidate(f"{place}/plain", f"{place}/hub") == 1
        assert not os.path.samefile(kept, copy)
        if again:
            assert consolidate(f"{place}/plain", f"{place}/hub") == 1
        for _ in range(3 if again else 2):
            report = engine.undo()
            assert report.restored and not (report.left or report.failed or report.kept)
    assert tree.differences(before, place) == []


@pytest.mark.parametrize("first", [0, 1])
def test_a_kept_file_gets_its_mode_back_by_the_name_that_is_left_of_it(tmp_path: Path, first: int) -> None:
    """A fold gave it two names, a farm noted it by the one that undo of the fold makes a file of its own again."""
    place = str(tmp_path / "place")
    hubs = [f"{place}/other/hub", f"{place}/hf/hub"]
    for hub, repo in zip(hubs, ("org/one", "org/two"), strict=True):
        tree.cache(hub, repo, {"model.gguf": MODEL})
    before = tree.census(place)
    with Engine(environ={**tree.environment(place), "HF_HOME": f"{place}/hf"}) as engine:
        engine.add_root(hubs[0])
        engine.scan(min_size=1)
        fold = engine.apply(engine.plan(min_size=1)).run
        farm = engine.farm(f"{place}/farm").run
        assert fold is not None and farm is not None
        for run in (fold, farm) if first else (farm, fold):
            assert not engine.undo(run).failed
        engine.gc()
    assert tree.differences(before, place) == []
