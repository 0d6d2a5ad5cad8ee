"""What lies on the disk, held against what a journal says: what is not looked at is never taken for gone."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from hubfold.content import LinkKind
from hubfold.disk.directory import Directory
from hubfold.folding.planner import Policy
from hubfold.journal.on_disk import is_link, is_original, led_to, still_links, written_through
from hubfold.journal.records import Intent, Repointed
from tests.building.folding import Scene

MODEL = os.urandom(1 << 16)
KINDS = pytest.mark.parametrize("kind", [LinkKind.SYMLINK, LinkKind.HARDLINK])


class Linked:
    """One copy that was replaced by a link, and what the journal says of it."""

    def __init__(self, base: Path, kind: LinkKind) -> None:
        scene = Scene(base)
        self.blob = scene.file(scene.cache, "blobs/x", MODEL)
        self.copy = scene.file(scene.root("models"), "deep/m", MODEL)
        self.before = os.lstat(self.copy)
        scene.apply(scene.plan(self.blob, self.copy, policy=Policy(link=kind)))
        [self.intent] = scene.log().intents.values()

    def link(self) -> bool:
        with Directory.open(str(self.copy.parent)) as directory:
            return is_link(directory, "m", self.intent)

    def written(self) -> bool:
        with Directory.open(str(self.copy.parent)) as directory:
            return written_through(directory, "m", self.intent)


@KINDS
def test_the_link_of_a_run_is_known_again_and_what_replaced_it_is_not(tmp_path: Path, kind: LinkKind) -> None:
    one = Linked(tmp_path, kind)
    assert one.link()
    assert still_links(one.intent, {})
    one.copy.unlink()
    assert not one.link()
    assert not still_links(one.intent, {})
    one.copy.write_bytes(MODEL)
    assert not one.link(), "the same bytes are not the same link"
    one.copy.unlink()
    one.copy.symlink_to("elsewhere")
    assert not one.link()


@KINDS
def test_the_original_is_known_by_inode_size_and_mtime(tmp_path: Path, kind: LinkKind) -> None:
    one = Linked(tmp_path, kind)
    assert is_original(one.before, one.intent)
    assert not is_original(None, one.intent)
    assert not is_original(os.lstat(one.copy), one.intent)
    for field in ("inode", "size", "mtime_ns"):
        changed = replace(one.intent, **{field: getattr(one.intent, field) + 1})
        assert not is_original(one.before, changed), field


@KINDS
def test_a_write_through_the_link_is_seen(tmp_path: Path, kind: LinkKind) -> None:
    one = Linked(tmp_path, kind)
    assert not one.written()
    one.blob.chmod(0o644)
    with one.copy.open("r+b") as file:
        file.write(b"changed")
    assert one.written()
    assert one.link(), "it is still the link"


def test_a_link_whose_content_is_gone_was_not_written_through(tmp_path: Path) -> None:
    one = Linked(tmp_path, LinkKind.SYMLINK)
    one.blob.unlink()
    Path(one.intent.target).unlink()
    assert not one.written()
    assert one.link(), "it leads nowhere, and it is the run's"


def elsewhere(intent: Intent, root: Path, *, mount: str) -> Intent:
    return replace(intent, path=str(root / "gone/m"), root=str(root), mount=mount)


def test_a_folder_that_is_gone_has_no_link_but_a_root_or_a_drive_that_is_away_may_have(
    tmp_path: Path,
) -> None:
    one = Linked(tmp_path, LinkKind.SYMLINK)
    assert not still_links(elsewhere(one.intent, tmp_path, mount="/"), {})
    assert still_links(elsewhere(one.intent, tmp_path / "away", mount="/"), {})
    assert still_links(elsewhere(one.intent, tmp_path, mount=str(tmp_path / "no mount any more")), {})


def test_a_path_that_cannot_be_looked_at_is_taken_for_a_link(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Linked(tmp_path, LinkKind.SYMLINK)

    def fail(self: Directory, name: str) -> os.stat_result:
        raise OSError(5, "error")

    monkeypatch.setattr(Directory, "lstat", fail)
    assert still_links(one.intent, {})
    monkeypatch.undo()
    # A symlink on the way: nobody knows what the path is now.
    one.copy.parent.rename(tmp_path / "moved")
    one.copy.parent.symlink_to(tmp_path / "moved")
    assert still_links(one.intent, {})


def test_what_a_link_was_led_to_is_read_until_something_else_has_its_place(tmp_path: Path) -> None:
    kept, path = tmp_path / "kept", tmp_path / "m"
    kept.write_bytes(MODEL)
    path.symlink_to(kept)
    link = Repointed(str(path), str(tmp_path), "/before", str(kept), str(kept), "", "")
    assert led_to([link]) == {kept.stat().st_ino}
    path.unlink()
    assert led_to([link]) == {kept.stat().st_ino}, "who knows: its drive may be away"
    path.symlink_to("elsewhere")
    assert led_to([link]) == set()
    path.unlink()
    path.write_bytes(MODEL)
    assert led_to([link]) == set(), "a copy of its own, as after an undo"
