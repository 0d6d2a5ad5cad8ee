"""What `hubfold why` tells of one path: what a run did, what a fold would do, or why it is left alone."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine, HubfoldError, LinkKind, UsageError
from hubfold.reports.origins import Shares, Verdict, WhyReport
from tests.building.weights import twice, weights

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="files of other users: root only")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "models"


@pytest.fixture
def engine(tmp_path: Path, folder: Path) -> Iterator[Engine]:
    folder.mkdir()
    with Engine(tmp_path / "state", environ={"HOME": str(tmp_path)}) as made:
        made.add_root(folder)
        yield made


def told(report: WhyReport) -> tuple[Verdict, str]:
    return report.state, report.keeper


@pytest.mark.parametrize("kind", [LinkKind.SYMLINK, LinkKind.HARDLINK])
def test_a_folded_path_names_its_run_its_keeper_and_what_else_reads_it(
    engine: Engine, folder: Path, kind: LinkKind
) -> None:
    [[one, other]] = twice(folder, "one.safetensors")
    third = weights(folder / "c" / "one.safetensors")
    engine.scan()
    run = engine.apply(engine.plan(link=kind)).run
    assert run
    report = engine.why(other)
    assert told(report) == (Verdict.FOLDED, str(one))
    assert (report.run, report.link, report.size) == (run, str(kind), other.stat().st_size)
    assert report.bytes == one.stat().st_blocks * 512
    assert report.next == ("undo", run, "--dry-run")
    how = {item.path: item.how for item in report.others}
    assert how[str(third)] is Shares.LINK and how[str(one)] is Shares.SAME_FILE
    kept = engine.why(one)
    assert (kept.state, kept.run) == (Verdict.KEEPS, run)
    assert kept.bytes == 2 * report.bytes
    assert {item.path for item in kept.others if item.how is Shares.LINK} == {str(other), str(third)}


def test_once_taken_back_it_tells_what_the_next_fold_would_do(engine: Engine, folder: Path) -> None:
    [[one, other]] = twice(folder, "one.safetensors")
    engine.scan()
    engine.apply(engine.plan())
    engine.undo()
    engine.scan()
    would = engine.why(other)
    assert told(would) == (Verdict.WOULD_FOLD, str(one))
    assert would.bytes == other.stat().st_blocks * 512 and not would.run
    assert engine.why(one).state is Verdict.WOULD_KEEP
    assert (str(one), Shares.COPY) in [(item.path, item.how) for item in would.others]


def test_a_link_that_a_user_replaced_since_is_no_link_of_a_run(engine: Engine, folder: Path) -> None:
    [[one, other]] = twice(folder, "one.safetensors")
    engine.scan()
    engine.apply(engine.plan(link=LinkKind.SYMLINK))
    other.unlink()
    weights(other, 7)
    engine.scan()
    assert engine.why(other).state is Verdict.ALONE
    assert engine.why(one).state is not Verdict.KEEPS


def test_by_a_link_of_ones_own_the_file_at_its_end_is_told_of(engine: Engine, folder: Path) -> None:
    [[one, other]] = twice(folder, "one.safetensors")
    link = folder / "mine.safetensors"
    link.symlink_to(other)
    engine.scan()
    report = engine.why(link)
    assert (report.path, report.file, report.state) == (str(link), str(other), Verdict.WOULD_FOLD)
    assert report.keeper == str(one)
    other.unlink()
    assert engine.why(link).state is Verdict.DANGLING


def test_why_nothing_has_its_bytes(engine: Engine, folder: Path) -> None:
    one = weights(folder / "one.safetensors", 1)
    linked = weights(folder / "linked.safetensors", 2)
    linked.write_bytes(linked.read_bytes() + b"\0")
    os.link(linked, folder / "again.safetensors")
    weights(folder / "two.safetensors", 3)
    engine.scan()
    found = engine.why(one)
    assert (found.state, found.reason) == (Verdict.ALONE, "1 other file has its size, and other bytes")
    assert "one file already" in engine.why(linked).reason
    (folder / "two.safetensors").unlink()
    engine.scan()
    assert engine.why(one).reason == "no other file that was scanned has its size"


def test_why_it_is_left_alone(engine: Engine, folder: Path) -> None:
    [[_, other]] = twice(folder, "one.safetensors")
    for side in ("a", "b"):
        (folder / side / "small.gguf").write_bytes(b"GGUF" + bytes(100))
        (folder / side / "notes.txt").write_bytes(b"x" * (2 << 20))
    os.link(other, folder.parent / "hidden.safetensors")
    engine.scan()
    hidden = engine.why(other)
    assert hidden.state is Verdict.LEFT_ALONE
    assert "1 more hard link(s) of it lie outside" in hidden.reason
    assert "smaller than 1 MiB" in engine.why(folder / "a" / "small.gguf").reason
    text = engine.why(folder / "a" / "notes.txt")
    assert text.state is Verdict.LEFT_ALONE and "none of a model file" in text.reason
    assert text.next[:2] == ("scan", "--all-files")


@ROOT
def test_copies_of_two_owners_are_left_alone_for_that(engine: Engine, folder: Path) -> None:
    [[one, other]] = twice(folder, "one.safetensors")
    os.chown(one, 4001, 4001)
    os.chown(other, 4002, 4002)
    engine.scan()
    states = {path: engine.why(path) for path in (one, other)}
    assert {report.state for report in states.values()} == {Verdict.LEFT_ALONE}
    assert all("another owner" in report.reason for report in states.values())


def test_what_no_scan_has_seen_or_what_changed_since_is_not_known(engine: Engine, folder: Path) -> None:
    outside = weights(folder.parent / "elsewhere" / "one.safetensors")
    assert engine.why(outside).next == ("scan", str(outside.parent)), "there is no index yet"
    one = weights(folder / "one.safetensors")
    engine.scan()
    assert "no root was scanned there" in engine.why(outside).reason
    late = weights(folder / "late.safetensors", 2)
    assert "after the last scan" in engine.why(late).reason
    one.write_bytes(one.read_bytes() + b"more")
    changed = engine.why(one)
    assert changed.state is Verdict.UNKNOWN and "it changed since" in changed.reason
    (folder / "empty.safetensors").touch()
    assert engine.why(folder / "empty.safetensors").reason == "it is empty: there is nothing to fold"


def test_what_is_no_file_is_refused_with_what_to_do(engine: Engine, folder: Path) -> None:
    [[_, other]] = twice(folder, "one.safetensors")
    with pytest.raises(HubfoldError, match="is a folder"):
        engine.why(folder)
    with pytest.raises(UsageError):
        engine.why("")
    with pytest.raises(HubfoldError, match="no such file") as nothing:
        engine.why(folder / "typo.safetensors")
    assert "spelled" in nothing.value.hint
    engine.scan()
    run = engine.apply(engine.plan()).run
    other.unlink()
    with pytest.raises(HubfoldError) as removed:
        engine.why(other)
    assert str(run) in removed.value.hint
    os.mkfifo(folder / "pipe")
    with pytest.raises(HubfoldError, match="no file with content"):
        engine.why(folder / "pipe")


def test_only_the_runs_and_the_sets_of_its_size_are_looked_at(
    engine: Engine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path is told of at once, however much there is: nothing of another size is asked of the disk."""
    twice(folder, "one.safetensors")
    other = weights(folder / "c" / "longer.safetensors", 9)
    other.write_bytes(other.read_bytes() + b"more")
    engine.scan()
    asked: list[str] = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *a, **k: asked.append(str(path)) or real(path, *a, **k))
    engine.why(other)
    assert not [path for path in asked if "one.safetensors" in path]
