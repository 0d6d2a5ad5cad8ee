"""What a user does to a folded path between run and undo, and while an undo is cut short: their change stays."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from hubfold.content import LinkKind
from hubfold.disk.directory import Directory
from hubfold.folding.outcomes import Outcome
from hubfold.folding.planner import Policy
from hubfold.reading import compare
from tests.building.folding import Scene

MODEL = os.urandom(300_000)
KINDS = pytest.mark.parametrize("kind", [LinkKind.SYMLINK, LinkKind.HARDLINK])


class Folded(Scene):
    """A copy that is folded into a blob of a cache."""

    def __init__(self, base: Path, kind: LinkKind, mode: int = 0o644) -> None:
        super().__init__(base)
        self.kind = kind
        self.blob = self.file(self.cache, "blobs/x", MODEL)
        self.copy = self.file(self.root("models"), "m", MODEL)
        self.copy.chmod(mode)
        os.utime(self.copy, ns=(1, 1_600_000_000_000_000_001))
        self.fold(self.copy)

    def fold(self, *copies: Path) -> list[Outcome]:
        outcomes = self.apply(self.plan(self.blob, *copies, policy=Policy(link=self.kind)))
        assert not any(outcome.error for outcome in outcomes)
        return outcomes

    @property
    def temporaries(self) -> list[str]:
        return [path.name for path in self.base.rglob(".hubfold-2*")]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@KINDS
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda old: 0o600, 0o600),
        (lambda old: old | 0o111, 0o755),  # chmod +x: the write bits that hubfold took come back
        (lambda old: old & ~0o044, 0o600),
        (lambda old: old | 0o220, 0o664),
    ],
)
def test_a_mode_that_the_user_gave_a_folded_path_stays_after_undo_and_is_told(
    tmp_path: Path, kind: LinkKind, change: Callable[[int], int], expected: int
) -> None:
    scene = Folded(tmp_path, kind)
    assert mode(scene.blob) == 0o444
    scene.copy.chmod(change(0o444))
    undone = scene.undo()
    assert undone.restored == [str(scene.copy)] and not undone.left
    assert mode(scene.copy) == expected and scene.copy.read_bytes() == MODEL
    (told,) = undone.kept
    assert told.path == str(scene.copy) and f"{expected:03o}" in told.reason
    assert scene.copy.stat().st_mtime_ns == 1_600_000_000_000_000_001


@KINDS
def test_an_undo_without_such_a_change_says_nothing_and_brings_the_mode_back(
    tmp_path: Path, kind: LinkKind
) -> None:
    scene = Folded(tmp_path, kind, 0o640)
    undone = scene.undo()
    assert undone.kept == [] and mode(scene.copy) == 0o640


@KINDS
def test_a_mode_that_another_run_gave_the_kept_file_is_no_change_of_the_user(
    tmp_path: Path, kind: LinkKind
) -> None:
    """The first run leaves the kept file as it is, the next makes it read-only, and its undo writable again."""
    scene = Folded(tmp_path, LinkKind.HARDLINK)
    second = scene.file(scene.root("models"), "second", MODEL)
    second.chmod(0o600)
    scene.kind = kind
    scene.fold(second)
    assert scene.undo().kept == [] and mode(second) == 0o600


def test_a_kept_file_of_somebody_else_says_nothing_about_the_mode(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or its owner could open up what another owner had closed."""
    scene = Folded(tmp_path, LinkKind.HARDLINK, 0o600)
    if os.geteuid() != 0:
        pytest.skip("needs root to give a file away")
    os.chown(scene.copy, 12345, 12345)
    os.chmod(scene.copy, 0o666)
    undone = scene.undo()
    assert undone.kept == [] and mode(scene.copy) == 0o600


class Killed(BaseException):
    """The process ends here."""


def cut_short(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, what: object, name: str, *, behind: bool
) -> None:
    real = getattr(what, name)

    def strike(*arguments: object, **named: object) -> None:
        if behind:
            real(*arguments, **named)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(what, name, strike)
        scene.undo()


def half_a_copy(source: int, target: int, **named: object) -> int:
    os.write(target, MODEL[:1000])
    raise Killed


@KINDS
def test_an_unfinished_copy_goes_where_the_user_replaced_the_link_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: LinkKind
) -> None:
    scene = Folded(tmp_path, kind)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(compare, "copy_bytes", half_a_copy)
        scene.undo()
    assert scene.temporaries
    scene.copy.unlink()
    scene.copy.write_bytes(b"newer")
    (left,) = scene.recover().left
    assert left.path == str(scene.copy) and "the change stays" in left.reason
    assert scene.copy.read_bytes() == b"newer" and scene.temporaries == []
    assert scene.undo().restored == [] and scene.copy.read_bytes() == b"newer"


@KINDS
def test_a_finished_copy_that_did_not_get_its_place_goes_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: LinkKind
) -> None:
    scene = Folded(tmp_path, kind)
    cut_short(scene, monkeypatch, Directory, "exchange", behind=False)
    assert scene.temporaries
    scene.copy.unlink()
    scene.copy.write_bytes(b"newer")
    scene.recover()
    assert scene.copy.read_bytes() == b"newer" and scene.temporaries == []


@KINDS
def test_a_restored_path_is_found_restored_after_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: LinkKind
) -> None:
    scene = Folded(tmp_path, kind)
    cut_short(scene, monkeypatch, Directory, "exchange", behind=True)
    settled = scene.recover()
    assert settled.finished == [str(scene.copy)] and not settled.left
    assert scene.temporaries == [] and not scene.copy.is_symlink() and scene.log().state == "undone"
