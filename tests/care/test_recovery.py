"""What a crash can leave, state by state, and what recovery makes of it. (The kill sweeps find the states for real.)"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hubfold.content import LinkKind
from hubfold.disk import directory as fsops
from hubfold.errors import JournalDamaged
from hubfold.folding import undo
from hubfold.folding.planner import Policy
from hubfold.journal import history, journal
from hubfold.journal.others import Others
from hubfold.progress import Silent, Stop
from hubfold.reports.outcomes import Left
from tests.building.folding import Scene

MODEL = os.urandom(1 << 20)
KINDS = pytest.mark.parametrize("kind", [LinkKind.SYMLINK, LinkKind.HARDLINK])


class Crash(BaseException):
    """Stands for the end of the process."""


class Crashed:
    """A scene in which `apply` or `undo` ended at the call of one method of `Directory`."""

    def __init__(self, scene: Scene, kind: LinkKind) -> None:
        self.scene = scene
        self.blob = scene.file(scene.cache, "blobs/x", MODEL)
        self.copy = scene.file(scene.root("models"), "m", MODEL)
        self.before = os.lstat(self.copy)
        self.plan = scene.plan(self.blob, self.copy, policy=Policy(link=kind))

    @property
    def temporaries(self) -> list[str]:
        return [name for name in os.listdir(self.copy.parent) if name.startswith(".hubfold-")]


@pytest.fixture
def crashing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[LinkKind, str, Callable[[Scene], object]], Crashed]:
    def crash(kind: LinkKind, method: str, work: Callable[[Scene], object] | None = None) -> Crashed:
        crashed = Crashed(Scene(tmp_path), kind)
        if work is not None:
            crashed.scene.apply(crashed.plan)
        here = str(crashed.copy.parent)
        real = getattr(fsops.Directory, method)

        def strike(directory: fsops.Directory, *names: object) -> object:
            if directory.path == here:
                raise Crash
            return real(directory, *names)

        with monkeypatch.context() as patch, pytest.raises(Crash):
            patch.setattr(fsops.Directory, method, strike)
            (work or (lambda scene: scene.apply(crashed.plan)))(crashed.scene)
        return crashed

    return crash  # type: ignore[return-value]


@KINDS
@pytest.mark.parametrize("method", ["stat_through", "exchange", "sync", "unlink"])
def test_a_replacement_that_was_cut_short_is_rolled_back(crashing, kind: LinkKind, method: str) -> None:  # type: ignore[no-untyped-def]
    crashed = crashing(kind, method)
    settled = crashed.scene.recover()
    assert settled.rolled_back == [str(crashed.copy)] and not settled.left
    assert os.lstat(crashed.copy).st_ino == crashed.before.st_ino and crashed.copy.read_bytes() == MODEL
    assert crashed.temporaries == []
    assert not crashed.scene.log().needs_recovery


@KINDS
@pytest.mark.parametrize("method", ["create_file", "exchange", "unlink"])
def test_an_undo_that_was_cut_short_can_be_done_again(crashing, kind: LinkKind, method: str) -> None:  # type: ignore[no-untyped-def]
    crashed = crashing(kind, method, Scene.undo)
    crashed.scene.recover()
    assert crashed.temporaries == []
    undone = crashed.scene.undo()
    assert not undone.failed and not undone.left
    assert crashed.copy.read_bytes() == MODEL and not crashed.copy.is_symlink()
    assert crashed.copy.stat().st_ino != crashed.blob.stat().st_ino
    assert crashed.copy.stat().st_mtime_ns == crashed.before.st_mtime_ns
    assert crashed.temporaries == [] and crashed.scene.log().state == "undone"


@KINDS
def test_a_finished_replacement_without_its_done_is_found_done(tmp_path: Path, kind: LinkKind) -> None:
    crashed = Crashed(Scene(tmp_path), kind)
    crashed.scene.apply(crashed.plan)
    text = Path(crashed.scene.log().path)
    text.write_bytes(
        b"".join(
            line
            for line in text.read_bytes().splitlines(True)
            if b'"done"' not in line and b'"end"' not in line
        )
    )
    assert crashed.scene.recover().finished == [str(crashed.copy)]
    assert crashed.scene.undo().restored == [str(crashed.copy)]


def test_what_the_user_did_meanwhile_wins_and_the_old_file_is_told(crashing) -> None:  # type: ignore[no-untyped-def]
    crashed = crashing(LinkKind.SYMLINK, "unlink")
    crashed.copy.unlink()
    crashed.copy.write_bytes(b"newer")
    settled = crashed.scene.recover()
    assert [left.path for left in settled.left] == [str(crashed.copy)]
    assert crashed.copy.read_bytes() == b"newer"
    (old,) = crashed.temporaries
    assert old in settled.left[0].reason and (crashed.copy.parent / old).read_bytes() == MODEL


def test_a_path_that_is_missing_gets_its_file_back(crashing) -> None:  # type: ignore[no-untyped-def]
    """As a file system may leave it that lost one half of an exchange in a power cut."""
    crashed = crashing(LinkKind.SYMLINK, "unlink")
    crashed.copy.unlink()
    settled = crashed.scene.recover()
    assert settled.rolled_back == [str(crashed.copy)] and not settled.left
    assert crashed.copy.read_bytes() == MODEL and crashed.temporaries == []


def test_an_edit_through_the_new_link_is_not_rolled_over(crashing) -> None:  # type: ignore[no-untyped-def]
    crashed = crashing(LinkKind.SYMLINK, "unlink")
    crashed.blob.chmod(0o644)
    with open(crashed.copy, "r+b") as file:
        file.write(b"edited")
    settled = crashed.scene.recover()
    assert settled.left and crashed.copy.read_bytes().startswith(b"edited")


def test_the_keeper_gets_its_mode_back_when_nothing_came_of_the_run(crashing) -> None:  # type: ignore[no-untyped-def]
    crashed = crashing(LinkKind.SYMLINK, "exchange")
    assert crashed.blob.stat().st_mode & 0o222 == 0
    crashed.scene.recover()
    assert crashed.blob.stat().st_mode & 0o200


def test_a_drive_that_is_away_is_looked_at_again_later(  # type: ignore[no-untyped-def]
    crashing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = crashing(LinkKind.SYMLINK, "exchange")
    away = tmp_path / "away"
    crashed.copy.parent.rename(away)
    mount = crashed.scene.log().intents[1].mount
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "ismount", lambda path: path != mount)
        settled = crashed.scene.recover()
    assert settled.left == [
        Left(str(crashed.copy), f"cannot be looked at now: its drive is not there ({mount})")
    ]
    assert settled.waiting
    away.rename(crashed.copy.parent)
    assert crashed.scene.recover().rolled_back == [str(crashed.copy)] and crashed.temporaries == []


@pytest.mark.parametrize("undoing", [False, True])
def test_a_folder_that_was_deleted_since_is_nothing_to_wait_for(crashing, undoing: bool) -> None:  # type: ignore[no-untyped-def]
    """Its drive is there: a client deleted the repository, say."""
    crashed = crashing(LinkKind.SYMLINK, "exchange", Scene.undo if undoing else None)
    shutil.rmtree(crashed.copy.parent)
    settled = crashed.scene.recover()
    assert settled.left == [Left(str(crashed.copy), "its folder was deleted since")]
    assert not settled.waiting and not crashed.scene.log().needs_recovery
    assert crashed.blob.stat().st_mode & 0o200, "the kept file is as it was"


def test_what_waits_for_its_drive_does_not_stand_before_older_runs(  # type: ignore[no-untyped-def]
    crashing, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = crashing(LinkKind.SYMLINK, "exchange")
    log = crashed.scene.log()
    assert log.open_numbers and not history.undoable(log)


def test_the_last_copy_is_never_removed_even_under_a_temporary_name(crashing) -> None:  # type: ignore[no-untyped-def]
    crashed = crashing(LinkKind.HARDLINK, "exchange")
    crashed.copy.unlink()
    crashed.blob.unlink()
    settled = crashed.scene.recover()
    (kept,) = crashed.temporaries
    assert "last copy" in settled.left[0].reason and (crashed.copy.parent / kept).read_bytes() == MODEL


# -- the journal as text -------------------------------------------------------------------------------------------


def test_a_half_written_last_line_is_dropped(tmp_path: Path) -> None:
    crashed = Crashed(Scene(tmp_path), LinkKind.SYMLINK)
    crashed.scene.apply(crashed.plan)
    path = Path(crashed.scene.log().path)
    path.write_bytes(path.read_bytes() + b'{"record": "undo')
    assert crashed.scene.undo().restored == [str(crashed.copy)]
    assert crashed.scene.log().state == "undone"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'"number": 1', b'"number": "1"'),
        (b'"temporary": ".hubfold-', b'"temporary": "../.hubfold-'),
        (b'"temporary": ".hubfold-', b'"temporary": "precious'),
        (b'"path": "/', b'"path": "/../'),
        (b'"path": "/', b'"path": "'),
        (b'"link": "symlink"', b'"link": "portal"'),
        (b'"record": "done", "number": 1', b'"record": "done", "number": 7'),
        (b'"version": 1', b'"version": 2'),
        (b'{"record": "done"', b'{"record": "erase"'),
        (b'"record": "intent"', b'"record": \xff'),
    ],
)
def test_a_crafted_journal_is_refused_by_line(tmp_path: Path, before: bytes, after: bytes) -> None:
    crashed = Crashed(Scene(tmp_path), LinkKind.SYMLINK)
    crashed.scene.apply(crashed.plan)
    path = Path(crashed.scene.log().path)
    text = path.read_bytes()
    assert before in text
    path.write_bytes(text.replace(before, after))
    with pytest.raises(JournalDamaged, match=r"line \d+ of .*"):
        crashed.scene.log()
    assert crashed.copy.is_symlink() and crashed.copy.read_bytes() == MODEL


def test_a_write_that_fails_halfway_leaves_no_half_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    book = journal.Journal.create(str(tmp_path), "test", "0")
    real = os.write

    def full(fd: int, data: bytes) -> int:
        real(fd, bytes(data)[:5])
        raise OSError(28, "No space left on device")

    book.append("object", path="/x", keeper="/k")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space"):
            book.sync()
    book.append("end", state="finished")
    book.close()
    log = journal.read(str(tmp_path), book.run)
    assert log.ended == "finished" and log.objects == []


@pytest.mark.parametrize("clock", ["stands", "goes back"])
def test_runs_are_in_the_order_in_which_they_were_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock: str
) -> None:
    made = []
    for number in range(20):
        now = time.localtime(1_700_000_000 - (number if clock == "goes back" else 0))
        monkeypatch.setattr("time.gmtime", lambda now=now: now)
        with journal.Journal.create(str(tmp_path), "test", "0") as book:
            made.append(book.run)
    assert journal.run_names(str(tmp_path)) == made


def test_a_run_after_the_highest_number_is_still_the_last(tmp_path: Path) -> None:
    (tmp_path / "29991231-235959-ffffff.jsonl").touch()
    (tmp_path / "zzz.jsonl").touch()
    for _ in range(3):
        with journal.Journal.create(str(tmp_path), "test", "0") as book:
            assert journal.run_names(str(tmp_path))[-2:] == [book.run, "zzz"]


@KINDS
@pytest.mark.parametrize("first_back", ["older", "newer"])
def test_a_keeper_gets_its_mode_back_whichever_run_is_undone_last(
    tmp_path: Path, kind: LinkKind, first_back: str
) -> None:
    """The first run made the keeper read-only; the second found it so."""
    engine_scene = Crashed(Scene(tmp_path), kind)
    scene, mode = engine_scene.scene, engine_scene.blob.stat().st_mode
    scene.apply(engine_scene.plan)
    another = scene.file(engine_scene.copy.parent, "another.safetensors", MODEL)
    policy = Policy(link=kind)
    scene.apply(scene.plan(engine_scene.blob, another, policy=policy))
    assert engine_scene.blob.stat().st_mode != mode
    order = list(journal.logs(scene.runs))
    for log in order if first_back == "older" else order[::-1]:
        logs = list(journal.logs(scene.runs))
        with journal.Journal.reopen(log) as book:
            undo.take_back(log, book, Others.of(logs, log), progress=Silent(), stop=Stop())
    assert engine_scene.blob.stat().st_mode == mode
    assert another.read_bytes() == MODEL and not another.is_symlink()


def test_two_names_of_one_file_come_back_as_one_after_an_undo_that_was_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = Crashed(Scene(tmp_path), LinkKind.SYMLINK)
    scene, second = crashed.scene, crashed.copy.with_name("second")
    second.hardlink_to(crashed.copy)
    scene.apply(scene.plan(crashed.blob, crashed.copy, second))
    assert crashed.copy.is_symlink() and second.is_symlink()
    real = fsops.Directory.link_from

    def strike(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(fsops.Directory, "link_from", strike)
        scene.undo()
    assert real is fsops.Directory.link_from
    scene.recover()
    assert crashed.copy.is_symlink() != second.is_symlink()
    scene.undo()
    assert crashed.copy.samefile(second) and crashed.copy.read_bytes() == MODEL
    assert crashed.copy.stat().st_nlink == 2


@KINDS
def test_an_undo_that_was_cut_short_at_its_end_gives_the_keeper_its_mode_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: LinkKind
) -> None:
    crashed = Crashed(Scene(tmp_path), kind)
    mode = crashed.blob.stat().st_mode
    crashed.scene.apply(crashed.plan)

    def strike(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(undo, "restore_keepers", strike)
        crashed.scene.undo()
    assert not crashed.copy.is_symlink() and crashed.blob.stat().st_mode != mode
    assert crashed.scene.log().needs_recovery
    crashed.scene.recover()
    assert crashed.blob.stat().st_mode == mode
    assert crashed.scene.log().state == "undone" and not crashed.scene.log().needs_recovery


def test_a_mode_that_cannot_be_put_back_now_is_put_back_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = Crashed(Scene(tmp_path), LinkKind.HARDLINK)
    mode = crashed.blob.stat().st_mode
    crashed.scene.apply(crashed.plan)

    inode, real = crashed.blob.stat().st_ino, os.fchmod

    def refuse(fd: int, new: int) -> None:
        if os.fstat(fd).st_ino == inode:
            raise OSError(5, "Input/output error")
        real(fd, new)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fchmod", refuse)
        crashed.scene.undo()
        assert crashed.scene.log().state == "partly undone"
        assert crashed.scene.recover().left[0].path == str(crashed.blob)
        assert crashed.scene.log().needs_recovery
    crashed.scene.recover()
    assert crashed.blob.stat().st_mode == mode and crashed.scene.log().state == "undone"
