"""What recovery makes of a repair that was cut short, by what lies at the temporary name and at the path."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.care import exchange, settle
from hubfold.disk import exchange as disk_exchange
from hubfold.errors import JournalDamaged
from hubfold.journal.journal import Journal, read
from hubfold.journal.records import Mend
from hubfold.vault import objects

CHANGED, FRESH, NEWER, OTHER = b"changed", b"right", b"newer", b"other"


class Scene:
    """A path, its temporary name, and the further name of the changed bytes in a vault."""

    def __init__(self, base: Path) -> None:
        self.root = base / "cache"
        self.root.mkdir()
        objects.prepare(str(base / "vault"))
        (base / "vault" / "replaced").mkdir()
        self.path, self.temporary = self.root / "blob", self.root / ".hubfold-1"
        self.kept = base / "vault" / "replaced" / "blob.1"
        self.files: dict[bytes, Path] = {}
        for content in (CHANGED, FRESH, NEWER, OTHER):
            self.files[content] = base / content.decode()
            self.files[content].write_bytes(content)

    def put(self, where: Path, content: bytes | None) -> None:
        if content is not None:
            os.link(self.files[content], where)

    def mend(self, *, made: bool = True) -> Mend:
        old, new = (self.files[content].stat().st_ino for content in (CHANGED, FRESH))
        return Mend(
            1, str(self.path), str(self.root), self.temporary.name, old, "", new if made else 0, str(self.kept), ""
        )  # fmt: skip

    def reads(self) -> tuple[bytes | None, bytes | None]:
        """(temporary, path)"""
        return tuple(p.read_bytes() if p.exists() else None for p in (self.temporary, self.path))  # type: ignore[return-value]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


@pytest.mark.parametrize("suffix", ["", disk_exchange.SPARE_SUFFIX])
@pytest.mark.parametrize(
    ("temporary", "path", "after", "done"),
    [
        (None, CHANGED, (None, CHANGED), False),
        (None, FRESH, (None, FRESH), True),
        (FRESH, CHANGED, (None, CHANGED), False),
        (FRESH, NEWER, (None, NEWER), False),
        (CHANGED, FRESH, (None, FRESH), True),
        (CHANGED, CHANGED, (None, CHANGED), False),
        (NEWER, FRESH, (None, NEWER), False),
        (NEWER, None, (None, NEWER), False),
        (NEWER, OTHER, (NEWER, OTHER), False),
    ],
)
def test_each_state_is_settled(
    scene: Scene,
    temporary: bytes | None,
    path: bytes | None,
    after: tuple[bytes, bytes],
    done: bool,
    suffix: str,
) -> None:
    scene.temporary = scene.temporary.with_name(scene.temporary.name + suffix)
    scene.put(scene.temporary, temporary)
    scene.put(scene.path, path)
    scene.put(scene.kept, CHANGED)
    mend = scene.mend()
    if suffix:
        mend = Mend(1, mend.path, mend.root, ".hubfold-1", mend.inode, "", mend.new, mend.kept, "")
    settled = settle.settle_mends([mend])
    assert scene.reads() == after
    assert settled.done == ([1] if done else []) and not settled.waiting
    assert bool(settled.left) is (after[0] is not None)
    # Where every path is as it was, nothing came of it: the further name goes too.
    assert scene.kept.exists() is (after[1] != CHANGED)


def test_what_was_not_made_whole_goes_whatever_it_is(scene: Scene) -> None:
    scene.temporary.write_bytes(b"half a co")
    scene.put(scene.path, CHANGED)
    settle.settle_mends([scene.mend(made=False)])
    assert scene.reads() == (None, CHANGED)


def test_changed_bytes_with_no_further_name_go_back(scene: Scene) -> None:
    scene.put(scene.temporary, CHANGED)
    scene.put(scene.path, FRESH)
    settle.settle_mends([scene.mend()])
    assert scene.reads() == (None, CHANGED)


def test_a_folder_that_is_gone_is_settled_and_a_root_that_is_away_is_not(scene: Scene) -> None:
    mend = scene.mend()
    deeper = Mend(2, str(scene.root / "gone" / "blob"), mend.root, ".hubfold-2", 1, "", 2, mend.kept, "")
    assert not settle.settle_mends([deeper]).waiting
    scene.root.rename(scene.root.with_name("away"))
    settled = settle.settle_mends([mend])
    assert settled.waiting and "cannot be looked at now" in settled.left[0].reason


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("path", "blob"),
        ("path", "/a/../b"),
        ("root", "cache\0"),
        ("kept", "replaced/blob"),
        ("temporary", "precious"),
        ("temporary", ".hubfold-1/../precious"),
        ("inode", "1"),
        ("new", None),
        ("text", 7),
    ],
)
def test_a_crafted_record_is_refused(scene: Scene, tmp_path: Path, field: str, value: object) -> None:
    with Journal.create(str(tmp_path / "runs"), "doctor", "test") as book:
        book.append("mend", **{**scene.mend().as_record(), field: value})
    with pytest.raises(JournalDamaged):
        read(str(tmp_path / "runs"), book.run)


@pytest.mark.parametrize("record", [{"record": "fresh", "inode": 1}, {"record": "mended"}])
def test_a_record_about_a_repair_that_was_never_announced_is_refused(
    tmp_path: Path, record: dict[str, object]
) -> None:
    with Journal.create(str(tmp_path / "runs"), "doctor", "test") as book:
        book.append(**record, numbers=[1])  # type: ignore[arg-type]
    with pytest.raises(JournalDamaged):
        read(str(tmp_path / "runs"), book.run)


def test_a_kept_name_is_the_same_for_one_inode_and_never_another_files(scene: Scene) -> None:
    place, inode = str(scene.kept.parent.parent), scene.files[CHANGED].stat().st_ino
    first = exchange.name_to_keep(place, str(scene.path), inode)
    os.link(scene.files[CHANGED], first)
    assert exchange.name_to_keep(place, str(scene.path), inode) == first
    os.unlink(first)
    os.link(scene.files[OTHER], first)
    assert exchange.name_to_keep(place, str(scene.path), inode) == f"{first}-1"
