"""Holes, and what is done where a file system allows no more links, or not this kind."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from hubfold.backend.contract import Capabilities
from hubfold.content import LinkKind
from hubfold.disk.directory import Directory
from hubfold.errors import AllNamesTaken
from hubfold.folding import undo
from hubfold.folding.planner import Policy
from hubfold.journal import journal
from hubfold.progress import Silent, Stop
from hubfold.reading import extents
from tests.building import folding
from tests.building.folding import Scene

HARDLINK = Policy(link=LinkKind.HARDLINK)
SIZE = 4 << 20
MODEL = os.urandom(SIZE)
#: A header, and rows that were never trained.
EMPTY = os.urandom(1 << 16) + bytes(SIZE - (2 << 16)) + os.urandom(1 << 16)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def sparse(path: Path) -> Path:
    """`EMPTY` at `path`, with a hole in it."""
    with open(path, "wb") as file:
        file.write(EMPTY[: 1 << 16])
        file.seek(SIZE - (1 << 16))
        file.write(EMPTY[-1 << 16 :])
    assert path.read_bytes() == EMPTY and allocated(path) < SIZE // 2
    return path


def allocated(path: Path) -> int:
    return path.stat().st_blocks * 512


# -- holes -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_the_sparser_of_two_stays(scene: Scene, names: str) -> None:
    root = scene.root("models")
    thin = sparse(scene.file(root, names[0], b""))
    full = scene.file(root, names[1], EMPTY)
    plan = scene.plan(full, thin)
    assert [(a.path, a.keeper.path, a.bytes) for a in plan.actions] == [
        (str(full), str(thin), plan.actions[0].victim.allocated)
    ]
    scene.apply(plan)
    needed = undo.preview(scene.log()).bytes_needed
    assert needed == allocated(thin) < SIZE // 2
    assert scene.undo().bytes_needed == needed
    assert not full.is_symlink() and full.read_bytes() == EMPTY
    assert allocated(full) == needed


def test_undo_makes_the_holes_that_a_file_had_before(scene: Scene) -> None:
    """Its kept copy has none."""
    blob = scene.file(scene.cache, "blobs/x", EMPTY)
    thin = sparse(scene.file(scene.root("models"), "m.safetensors", b""))
    before = allocated(thin)
    assert allocated(blob) >= SIZE
    scene.apply(scene.plan(blob, thin))
    assert thin.is_symlink() and allocated(thin) >= SIZE
    assert undo.preview(scene.log()).bytes_needed == before
    scene.undo()
    assert not thin.is_symlink() and thin.read_bytes() == EMPTY and allocated(thin) <= before


@pytest.mark.parametrize(
    "zeros", [(0, 4096), (1, 4096), (4095, 4097), (SIZE - 4096, 4096), (8192, SIZE - 8192), (0, SIZE)]
)
def test_a_copy_with_holes_has_the_same_bytes(scene: Scene, zeros: tuple[int, int]) -> None:
    content = bytearray(MODEL)
    content[zeros[0] : sum(zeros)] = bytes(zeros[1])
    content.append(0)
    blob = scene.file(scene.cache, "blobs/x", bytes(content))
    copy = scene.file(scene.root("models"), "m.safetensors", bytes(content))
    scene.apply(scene.plan(blob, copy))
    log = scene.log()
    log.intents[1] = replace(log.intents[1], allocated=0)
    with journal.Journal.reopen(log) as book:
        undo.take_back(log, book, progress=Silent(), stop=Stop())
    assert not copy.is_symlink() and copy.read_bytes() == content
    whole = zeros[1] - (-zeros[0] % 4096) - (sum(zeros) % 4096)
    assert allocated(blob) - allocated(copy) >= min(whole // 4096, 1) * 4096


# -- as many names as there can be -----------------------------------------------------------------------------------


def limit(monkeypatch: pytest.MonkeyPatch, file: Path, names: int) -> None:
    """Let `file` have no more than `names` names."""
    inode, link = file.stat().st_ino, Directory.link_from

    def limited(self: Directory, source: Directory, source_name: str, name: str) -> None:
        st = source.lstat(source_name)
        if st.st_ino == inode and st.st_nlink >= names:
            raise AllNamesTaken(errno.EMLINK, os.strerror(errno.EMLINK), name)
        link(self, source, source_name, name)

    monkeypatch.setattr(Directory, "link_from", limited)


@pytest.mark.parametrize("kind", [LinkKind.HARDLINK, LinkKind.SYMLINK])
@pytest.mark.parametrize("more", [0, 1])
def test_the_first_that_a_full_file_cannot_serve_serves_the_others(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, kind: LinkKind, more: int
) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copies = [scene.file(scene.root("models"), name, MODEL) for name in ("a", "b", "c", "d")]
    plan = scene.plan(blob, *copies, policy=Policy(link=kind))
    assert [action.keeper.path for action in plan.actions] == [str(blob)] * 4
    limit(monkeypatch, blob, 1 + more)
    outcomes = scene.apply(plan)
    failed = [outcome for outcome in outcomes if outcome.error]
    inodes = [path.stat().st_ino for path in copies]
    if more and kind is LinkKind.SYMLINK:  # one object serves them all
        assert failed == [] and set(inodes) == {blob.stat().st_ino}
    else:
        assert [(f.action.path, f.error) for f in failed] == [
            (str(copies[more]), f"{blob} has as many names as its file system allows")
        ]
        assert len(set(inodes)) == 1 + more and inodes[more:] == [copies[more].stat().st_ino] * (4 - more)
        told = [o.action for o in outcomes if not o.error and o.action.keeper.path == str(copies[more])]
        assert len(told) == 3 - more and all("to a second file" in action.reason for action in told)
    scene.undo()
    assert all(not path.is_symlink() and path.read_bytes() == MODEL for path in copies)
    assert len({path.stat().st_ino for path in (blob, *copies)}) == 5


def test_a_file_that_may_not_be_kept_is_no_second_one(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(folding.CAPABILITIES, "views", Capabilities(keeps=False))
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    views = [scene.file(scene.root("views", "views"), name, MODEL) for name in ("a", "b")]
    plan = scene.plan(blob, *views, policy=HARDLINK)
    limit(monkeypatch, blob, 1)
    assert [outcome.error for outcome in scene.apply(plan)] == [
        f"{blob} has as many names as its file system allows"
    ] * 2
    assert len({path.stat().st_ino for path in (blob, *views)}) == 3


# -- a kind of link that is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.EPERM, errno.EINVAL, errno.EOPNOTSUPP])
def test_where_extents_are_not_shared_after_all_a_link_is_made(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "m.safetensors", MODEL)
    links = scene.plan(blob, copy)
    shares = links.actions[0]._replace(
        link=LinkKind.REFLINK, vault=None, target=str(blob), instead=links.actions
    )

    def refuse(keeper: object, victims: list[object], **_: object) -> dict[object, OSError]:
        return {victim: OSError(code, os.strerror(code)) for victim in victims}

    monkeypatch.setattr(extents, "share_extents", refuse)
    outcomes = scene.apply(replace(links, actions=(shares,)))
    assert [outcome.error for outcome in outcomes] == [""] and copy.is_symlink()
    assert "(no reflink here: " in outcomes[0].action.reason
    assert scene.undo().restored == [str(copy)] and not copy.is_symlink()


def test_a_reflink_that_was_asked_for_is_told_and_nothing_else_is_made(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "m.safetensors", MODEL)
    links = scene.plan(blob, copy)
    shares = links.actions[0]._replace(link=LinkKind.REFLINK, vault=None, target=str(blob), instead=())
    monkeypatch.setattr(
        extents, "share_extents", lambda _, v, **__: {one: OSError(errno.EINVAL, "no") for one in v}
    )
    assert [outcome.error for outcome in scene.apply(replace(links, actions=(shares,)))] == ["no"]
    assert not copy.is_symlink() and copy.stat().st_ino != blob.stat().st_ino


def test_where_no_symlink_can_be_made_a_hard_link_is(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "m.safetensors", MODEL)
    plan = scene.plan(blob, copy)

    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Directory, "symlink", refuse)
    outcomes = scene.apply(plan)
    assert [(o.error, str(o.action.link)) for o in outcomes] == [("", "hardlink")]
    assert "(no symlink here: " in outcomes[0].action.reason
    assert copy.stat().st_ino == blob.stat().st_ino
    assert scene.undo().restored == [str(copy)] and copy.stat().st_ino != blob.stat().st_ino
