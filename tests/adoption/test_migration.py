"""A whole cache put into another: what it had is loaded from the new one, and the old one is as was asked for."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import scan_cache_dir, snapshot_download

from hubfold import Engine
from hubfold.disk.directory import Directory
from hubfold.engine.adopting import Adopting
from hubfold.errors import RootError, UsageError
from tests.adoption.folders import bytes_below, engine_in
from tests.building.tree import cache as hub_cache
from tests.building.tree import look, mark, model

ONE, TWO, THREE = "a" * 40, "b" * 40, "d" * 40
BASE = {"model.safetensors": model("base"), "config.json": b"{}"}
CHAT = {"chat.safetensors": model("base"), "sub/extra.bin": model("extra")}


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with engine_in(tmp_path) as made:
        yield made


@pytest.fixture
def old(tmp_path: Path) -> Path:
    folder = tmp_path / "old/hub"
    hub_cache(str(folder), "org/base", BASE, ONE)
    hub_cache(str(folder), "org/base", {"model.safetensors": model("newer")}, TWO)
    hub_cache(str(folder), "org/chat", CHAT, THREE)
    return folder


@pytest.fixture
def new(tmp_path: Path) -> Path:
    return tmp_path / "new/hub"


def loaded(cache: Path, repo: str, revision: str) -> dict[str, bytes]:
    return bytes_below(
        Path(snapshot_download(repo, revision=revision, cache_dir=cache, local_files_only=True))
    )


def everything(cache: Path) -> list[dict[str, bytes]]:
    return [
        loaded(cache, *which) for which in (("org/base", ONE), ("org/base", "main"), ("org/chat", "main"))
    ]


WHOLE = [BASE, {"model.safetensors": model("newer")}, CHAT]


def test_the_new_cache_has_it_all_and_the_old_one_stays(engine: Engine, old: Path, new: Path) -> None:
    before = bytes_below(old)
    report = engine.migrate(engine.plan_migrate(old, new))
    assert not report.failed
    assert everything(new) == everything(old) == WHOLE
    assert bytes_below(old) == before
    assert not scan_cache_dir(new).warnings
    blobs = [path.stat().st_ino for path in new.glob("models--*/blobs/*")]
    assert len(blobs) == 5
    assert len(set(blobs)) == 4  # what both models have is there once
    assert all(path.stat().st_nlink > 1 for path in new.glob("models--*/blobs/*"))
    undone = engine.undo()
    assert not undone.left and not undone.failed
    assert not list(new.glob("models--*"))
    assert bytes_below(old) == before


def test_move_empties_the_old_one(engine: Engine, old: Path, new: Path) -> None:
    report = engine.migrate(engine.plan_migrate(old, new), "move")
    assert not report.failed
    assert report.removed
    assert everything(new) == WHOLE
    assert not list(old.glob("models--*"))
    assert not engine.undo().removed  # each file is the last copy by now
    assert everything(new) == WHOLE
    back = engine.migrate(engine.plan_migrate(new, old), "move")
    assert not back.failed
    assert everything(old) == WHOLE


def a_newer_revision(old: Path) -> Path:
    """By its commit, so that no ref says so; of a file that the model had before."""
    home = old / "models--org--chat"
    [known] = (home / "snapshots").iterdir()
    snapshot = home / "snapshots" / ("e" * 40)
    snapshot.mkdir()
    (snapshot / "renamed.safetensors").symlink_to(os.readlink(known / "chat.safetensors"))
    return snapshot


def a_blob_that_no_revision_has(old: Path) -> Path:
    path = old / "models--org--chat/blobs" / ("f" * 64)
    path.write_bytes(model("orphan"))
    return path


@pytest.mark.parametrize("come", [a_newer_revision, a_blob_that_no_revision_has])
@pytest.mark.parametrize("meanwhile", [True, False])
def test_what_was_not_brought_over_stays_in_the_old_one(
    engine: Engine, old: Path, new: Path, come: Callable[[Path], Path], meanwhile: bool
) -> None:
    """A client that downloads while all is copied and verified, which may take hours; and what no revision has."""
    if not meanwhile:
        come(old)
        if come is a_newer_revision:
            pytest.skip("it is brought over then")
    plan = engine.plan_migrate(old, new)
    if meanwhile:
        come(old)
    before = bytes_below(old / "models--org--chat")
    report = engine.migrate(plan, "move")
    assert bytes_below(old / "models--org--chat") == before
    assert any("was not brought over" in failure.error for failure in report.failed), report.failed
    assert everything(new) == WHOLE
    assert not list(old.glob("models--org--base")), "what is all in the new one goes"


def test_what_was_written_over_since_it_was_brought_over_stays(
    engine: Engine, old: Path, new: Path, other_drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In place, so that neither the name nor the inode says so."""
    there = other_drive / "hub"
    take = Adopting.take

    def taken(*arguments: Any, **options: Any) -> Any:
        done = take(*arguments, **options)
        blob = next((old / "models--org--chat/snapshots" / THREE / "sub").iterdir()).resolve()
        blob.chmod(0o644)
        blob.write_bytes(blob.read_bytes()[::-1])
        return done

    monkeypatch.setattr(Adopting, "take", taken)
    report = engine.migrate(engine.plan_migrate(old, there), "move")
    assert loaded(old, "org/chat", "main")["sub/extra.bin"] == CHAT["sub/extra.bin"][::-1]
    assert any("bytes differ" in failure.error for failure in report.failed)
    assert everything(there) == WHOLE and not list(old.glob("models--org--base"))


def test_what_is_corrupt_does_not_go_and_the_old_one_is_not_emptied(
    engine: Engine, old: Path, new: Path
) -> None:
    [blob] = {path.resolve() for path in old.glob("models--org--chat/snapshots/*/sub/extra.bin")}
    blob.write_bytes(model("rotten"))
    report = engine.migrate(engine.plan_migrate(old, new), "move")
    assert [one.path for one in report.failed] == [f"org/chat@{THREE[:12]}"]
    assert "is corrupt" in report.failed[0].error
    assert not (new / "models--org--chat").exists()
    assert not report.removed
    assert loaded(old, "org/base", "main") == WHOLE[1]


def test_what_is_in_both_is_merged(engine: Engine, old: Path, new: Path) -> None:
    hub_cache(str(new), "org/base", {"config.json": b"other"}, "e" * 40)
    report = engine.migrate(engine.plan_migrate(old, new))
    assert [Path(left.path).name for left in report.left] == ["main"]
    assert loaded(new, "org/base", "main") == {"config.json": b"other"}
    assert loaded(new, "org/base", ONE) == BASE
    assert engine.preview_migrate(engine.plan_migrate(old, new)).made == ()
    engine.undo()
    assert loaded(new, "org/base", "main") == {"config.json": b"other"}
    assert os.listdir(new / "models--org--base/snapshots") == ["e" * 40]


def test_what_is_no_cache_is_refused(engine: Engine, old: Path, new: Path, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    with pytest.raises(UsageError, match="is no cache"):
        engine.plan_migrate(tmp_path / "plain", new)
    with pytest.raises(RootError, match="is not there"):
        engine.plan_migrate(tmp_path / "nowhere", new)
    with pytest.raises(UsageError, match="lie in each other"):
        engine.plan_migrate(old, old)


def test_notes_of_the_two_are_never_one_file(engine: Engine, old: Path, new: Path) -> None:
    """A client writes refs over in their place: through one file it would write into the other cache."""
    (old / "models--org--base/refs/v1").write_text(ONE)
    (old / "models--org--base/refs/v2").write_text(ONE)
    engine.migrate(engine.plan_migrate(old, new))
    refs = list(new.glob("models--*/refs/*"))
    assert len(refs) == 4
    assert {ref.stat().st_nlink for ref in refs} == {1}


@pytest.fixture
def refs(old: Path, new: Path) -> tuple[Path, Path]:
    """A ref of the old cache, and the one there, which names another commit and was written earlier."""
    hub_cache(str(new), "org/chat", {"other.bin": b"other"}, "9" * 40)
    ref, other = (cache / "models--org--chat/refs/main" for cache in (old, new))
    os.chmod(other, 0o640)
    mark(str(other))
    os.utime(other, ns=(ref.stat().st_mtime_ns - 5, ref.stat().st_mtime_ns - 10**9))
    return ref, other


def test_a_ref_that_names_an_older_commit_there_names_the_newer_one(
    engine: Engine, old: Path, new: Path, refs: tuple[Path, Path]
) -> None:
    ref, other = refs
    before = look(str(other))
    plan = engine.plan_migrate(old, new)
    assert engine.preview_migrate(plan).renewed == (str(other),) and not engine.preview_migrate(plan).left
    report = engine.migrate(plan)
    assert report.renewed == (str(other),) and str(other) not in report.made and not report.failed
    assert other.read_text() == THREE and other.stat().st_mtime_ns == ref.stat().st_mtime_ns
    assert loaded(new, "org/chat", "main") == CHAT and loaded(new, "org/chat", "9" * 40)
    again = engine.preview_migrate(engine.plan_migrate(old, new))
    assert not (again.renewed or again.made or again.left)
    assert str(other) in engine.preview_undo().restored
    undone = engine.undo()
    assert str(other) in undone.restored and not (undone.left or undone.failed)
    assert look(str(other)) == before and os.listdir(other.parent) == ["main"]
    assert os.listdir(new / "models--org--chat/snapshots") == ["9" * 40]


def test_a_ref_that_was_written_later_there_stays_and_is_told(
    engine: Engine, old: Path, new: Path, refs: tuple[Path, Path]
) -> None:
    _, other = refs
    os.utime(other)
    report = engine.migrate(engine.plan_migrate(old, new))
    [left] = [one for one in report.left if one.path == str(other)]
    assert f"and stays: load org/chat@{THREE[:12]} by its commit" in left.reason
    assert other.read_text() == "9" * 40 and not report.renewed


def test_a_ref_that_a_client_wrote_meanwhile_stays(
    engine: Engine, old: Path, new: Path, refs: tuple[Path, Path]
) -> None:
    _, other = refs
    plan = engine.plan_migrate(old, new)
    other.write_text("8" * 40)
    report = engine.migrate(plan)
    assert [failed.path for failed in report.failed] == [str(other)] and not report.renewed
    assert other.read_text() == "8" * 40
    assert loaded(new, "org/chat", THREE) == CHAT


@pytest.mark.slow
def test_a_ref_that_its_user_changed_since_is_not_put_back(
    engine: Engine, old: Path, new: Path, refs: tuple[Path, Path]
) -> None:
    _, other = refs
    engine.migrate(engine.plan_migrate(old, new))
    other.write_text("7" * 39)
    undone = engine.undo()
    assert [(left.path, "changed since" in left.reason) for left in undone.left] == [(str(other), True)]
    assert other.read_text() == "7" * 39


@pytest.mark.slow
@pytest.mark.parametrize("undoing", [False, True])
@pytest.mark.parametrize("step", ["create_file", "rename"])
def test_killed_while_a_ref_is_given_its_new_text_it_reads_one_of_the_two(
    tmp_path: Path, engine: Engine, old: Path, new: Path, refs: tuple[Path, Path], undoing: bool, step: str
) -> None:
    _, other = refs
    before = look(str(other))
    if undoing:
        engine.migrate(engine.plan_migrate(old, new))
    real = getattr(Directory, step)

    def killed(folder: Directory, name: str, *more: Any, **named: Any) -> Any:
        done = real(folder, name, *more, **named)
        if "-note-" in name:
            os._exit(77)
        return done

    child = os.fork()
    if child == 0:
        try:
            setattr(Directory, step, killed)
            with engine_in(tmp_path) as dying:
                dying.undo() if undoing else dying.migrate(dying.plan_migrate(old, new))
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 77
    assert other.read_text() in (THREE, "9" * 40)
    engine.recover()
    assert os.listdir(other.parent) == ["main"]
    while history := [run.run for run in engine.runs() if run.state != "undone"]:
        engine.undo(history[0])
    assert look(str(other)) == before
