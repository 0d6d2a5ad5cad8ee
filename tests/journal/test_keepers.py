"""Kept files get back what was changed about them, when nothing links to them any more."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hubfold.content import LinkKind
from hubfold.disk import held
from hubfold.disk.identity import Mounts, place_of
from hubfold.folding.planner import Policy
from hubfold.journal.keepers import restore_keepers
from hubfold.journal.others import Others
from hubfold.journal.run_log import RunLog
from tests.building.folding import Scene

MODEL = os.urandom(1 << 16)


class Kept:
    """A blob that was made read-only for a hard link, and the journal of that run."""

    def __init__(self, base: Path) -> None:
        scene = Scene(base)
        self.blob = scene.file(scene.cache, "blobs/x", MODEL)
        self.blob.chmod(0o644)
        self.copy = scene.file(scene.root("models"), "m", MODEL)
        scene.apply(scene.plan(self.blob, self.copy, policy=Policy(link=LinkKind.HARDLINK)))
        self.log: RunLog = scene.log()
        self.inode = self.blob.stat().st_ino

    @property
    def mode(self) -> int:
        return self.blob.stat().st_mode & 0o777

    def let_go(self, state: str = "restored") -> None:
        """As if the link had been taken back."""
        self.copy.unlink()
        for number in self.log.states:
            self.log.states[number] = state


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    one = Kept(tmp_path)
    assert one.mode == 0o444
    return one


def test_a_keeper_without_links_gets_its_mode_back(kept: Kept) -> None:
    kept.let_go()
    assert restore_keepers(kept.log) == []
    assert kept.mode == 0o644


@pytest.mark.parametrize("state", ["done", "intent", "restore"])
def test_while_a_link_may_read_it_a_keeper_stays_as_it_is(kept: Kept, state: str) -> None:
    kept.let_go(state)
    assert restore_keepers(kept.log) == []
    assert kept.mode == 0o444


def test_a_link_that_was_left_alone_counts_while_it_is_there(kept: Kept) -> None:
    for number in kept.log.states:
        kept.log.states[number] = "kept"
    restore_keepers(kept.log)
    assert kept.mode == 0o444
    kept.copy.unlink()
    restore_keepers(kept.log)
    assert kept.mode == 0o644


def test_a_keeper_that_another_run_needs_stays_as_it_is(kept: Kept) -> None:
    kept.let_go()
    restore_keepers(kept.log, Others(keepers={kept.inode}))
    assert kept.mode == 0o444


def test_a_mode_that_somebody_gave_it_since_stays(kept: Kept) -> None:
    kept.let_go()
    kept.blob.chmod(0o400)
    assert restore_keepers(kept.log) == []
    assert kept.mode == 0o400


def test_another_file_at_its_place_is_nobodys_keeper(kept: Kept) -> None:
    kept.let_go()
    kept.blob.rename(kept.blob.with_name("moved"))
    kept.blob.write_bytes(MODEL)
    kept.blob.chmod(0o444)
    assert restore_keepers(kept.log) == []
    assert kept.mode == 0o444


def test_an_mtime_comes_back_unless_it_changed_since(kept: Kept) -> None:
    kept.let_go()
    [change] = kept.log.keepers
    now = kept.blob.stat().st_mtime_ns
    restore_keepers(kept.log, Others(changes=[replace(change, mtime_ns=(5, now + 1))]))
    assert kept.blob.stat().st_mtime_ns == now
    restore_keepers(kept.log, Others(changes=[replace(change, mtime_ns=(5, now))]))
    assert kept.blob.stat().st_mtime_ns == 5


@pytest.mark.parametrize("what", ["gone", "link", "folder gone"])
def test_a_keeper_that_is_not_there_any_more_is_no_failure(kept: Kept, what: str) -> None:
    kept.let_go()
    kept.blob.unlink()
    if what == "link":
        kept.blob.symlink_to("elsewhere")
    elif what == "folder gone":
        kept.blob.parent.rmdir()
    assert restore_keepers(kept.log) == []


def test_what_fails_is_told_with_its_path(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.let_go()

    def fail(fd: int, mode: int) -> None:
        raise OSError(30, "read-only")

    monkeypatch.setattr(held.os, "fchmod", fail)
    [failed] = restore_keepers(kept.log)
    assert failed.path == str(kept.blob)
    assert "read-only" in failed.error


def test_a_keeper_in_a_vault_that_was_emptied_since_is_nothing_to_wait_for(
    kept: Kept, tmp_path: Path
) -> None:
    """hubfold removes a vault that is empty; where the folder above it is gone too, its drive may be away."""
    vault = tmp_path / "above" / "hubfold"
    vault.mkdir(parents=True)
    [change] = kept.log.keepers
    kept.log.keepers[:] = [replace(change, path=str(vault / "objects/aa/x"), root=str(vault))]
    kept.log.places[str(vault)] = place_of(str(vault), Mounts.now())._replace(vault="a" * 32)
    kept.let_go()
    vault.rmdir()
    assert restore_keepers(kept.log) == []
    vault.parent.rmdir()
    [failed] = restore_keepers(kept.log)
    assert "is not there" in failed.error
