"""What hubfold sees of the stores of DVC, and what it leaves to DVC."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.content import LinkKind, Root
from hubfold.scanning.walk import TreeWalk
from hubfold_plugins.dvc import work_tree
from hubfold_plugins.dvc.store import DvcBackend
from hubfold_plugins.huggingface.local_dir import LocalDirBackend
from tests.building import tree
from tests.building.clones import clone
from tests.building.data_versions import md5, noted, repository, stored
from tests.building.one_root import scan
from tests.building.tree import write
from tests.scanning.test_reached import GuardedBackend

BIG = tree.model("dvc")
ROWS = {"a.bin": tree.model("rows"), "sub/b.bin": tree.model("more")}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path


@pytest.fixture
def engine(place: Path) -> Iterator[Engine]:
    (place / "work").mkdir()
    with Engine(environ=tree.environment(str(place / "home"))) as made:
        made.add_root(place / "work")
        yield made


def cached(place: Path) -> dict[str, str]:
    """The same content in a hub cache."""
    hub = place / "home/.home/huggingface/hub"
    return tree.cache(str(hub), "org/base", {"big": BIG, **ROWS})


def objects(top: Path) -> list[Path]:
    return sorted(
        path for path in (top / ".dvc/cache").rglob("*") if path.is_file() and path.suffix != ".dir"
    )


def recognised(path: Path) -> str | None:
    return DvcBackend.recognise(str(path), os.listdir(path))


# which folders


def test_a_repository_in_a_folder_that_is_scanned_is_found(place: Path) -> None:
    repository(place / "work/repo", {"m.gguf": BIG})
    write(str(place / "work/loose.gguf"), BIG)
    (place / "work/other/files/md5").mkdir(parents=True)
    write(str(place / "work/other/files/md5/ab/notes.txt"), b"no object")
    found = scan(LocalDirBackend, place / "work", others=(DvcBackend,))
    assert found.found == [("dvc", str(place / "work/repo"))]
    assert "loose.gguf" in set(found)


def test_a_cache_for_several_repositories_is_a_default_root(place: Path) -> None:
    environ = {"HOME": str(place), "DVC_SYSTEM_CONFIG_DIR": str(place / "system")}
    assert list(DvcBackend.default_roots(environ)) == []
    write(str(place / "system/config"), b"[cache]\n    dir = /data/machine\n")
    assert list(DvcBackend.default_roots(environ)) == ["/data/machine"]
    write(
        str(place / ".config/dvc/config"),
        b"[core]\n    dir = /no\n[cache]\n    type = hardlink\n    dir = /data/mine\n",
    )
    assert list(DvcBackend.default_roots(environ)) == ["/data/mine"]
    write(str(place / "global/config"), b"['remote \"r\"']\n    url = /x\n[cache]\n    dir = '/data/set'\n")
    environ["DVC_GLOBAL_CONFIG_DIR"] = str(place / "global")
    assert list(DvcBackend.default_roots(environ)) == ["/data/set"]
    write(str(place / "global/config"), b"[cache]\n    dir = relative\n")
    assert list(DvcBackend.default_roots(environ)) == ["/data/machine"]


@pytest.mark.parametrize("where", ["big", "outside"])
def test_a_cache_that_the_settings_name_is_found_where_it_lies(place: Path, where: str) -> None:
    cache = place / ("repo/big" if where == "big" else "outside")
    top = repository(place / "repo", {"m.gguf": BIG}, cache=cache)
    write(str(top / "untracked.gguf"), b"mine")
    found = set(scan(DvcBackend, top))
    if where == "big":
        assert found == {"untracked.gguf", str(objects_of(cache)[0].relative_to(top))}
    else:
        assert found == {"untracked.gguf"}, "what is tracked is left to DVC, wherever its object is"
        assert recognised(cache) == str(cache)
        assert len(set(scan(DvcBackend, cache))) == 1


def objects_of(cache: Path) -> list[Path]:
    return [path for path in cache.rglob("*") if path.is_file()]


def test_a_cache_behind_a_link_is_reached(place: Path, engine: Engine) -> None:
    top = repository(place / "work/repo", {"m.gguf": BIG})
    (top / ".dvc/cache").rename(place / "drive")
    (top / ".dvc/cache").symlink_to(place / "drive")
    report = engine.scan()
    assert (str(place / "drive"), "dvc", 1) in {(one.path, one.backend, one.files) for one in report.roots}


# folding


@pytest.mark.parametrize("link", [None, LinkKind.SYMLINK])
def test_copies_in_the_work_tree_are_left_to_dvc_and_objects_get_hard_links(
    place: Path, engine: Engine, link: LinkKind | None
) -> None:
    top = repository(place / "work/repo", {"m.gguf": BIG}, {"data": ROWS})
    blobs = cached(place)
    engine.scan()
    done = engine.apply(engine.plan(link=link))
    if link is LinkKind.SYMLINK:
        assert done.actions == ()
    else:
        assert {one.path for one in done.actions} == set(map(str, objects(top)))
        assert {os.stat(path).st_ino for path in objects(top)} == {
            os.stat(path).st_ino for path in blobs.values()
        }
    assert {one.stat().st_mode & 0o777 for one in objects(top)} == {0o444}, "any other is hashed again by DVC"
    for path in (top / "m.gguf", *(top / "data" / name for name in ROWS)):
        assert (path.stat().st_nlink, path.stat().st_mode & 0o777) == (1, 0o644)
    assert not [path for path in top.rglob("*") if path.is_symlink() or path.name.startswith(".hubfold")]
    if done.actions:
        engine.undo()
        assert {path.stat().st_nlink for path in objects(top)} == {1}
        assert {md5(path.read_bytes()) for path in objects(top)} == {md5(BIG), *map(md5, ROWS.values())}


def test_links_to_objects_stay_links_to_objects(place: Path, engine: Engine) -> None:
    top = repository(place / "work/repo", {"m.gguf": BIG}, {"data": ROWS}, linked=True)
    blobs = cached(place)
    engine.scan()
    done = engine.apply(engine.plan())
    assert len(done.actions) == 6
    for name, blob in {"m.gguf": blobs["big"], **{f"data/{name}": blobs[name] for name in ROWS}}.items():
        assert os.path.samefile(top / name, blob)
    assert {path.stat().st_nlink for path in objects(top)} == {3}
    engine.undo()
    assert {path.stat().st_nlink for path in objects(top)} == {2}
    assert os.path.samefile(top / "m.gguf", next(path for path in objects(top) if path.read_bytes() == BIG))


def test_a_file_that_dvc_does_not_track_is_any_folders_file(place: Path, engine: Engine) -> None:
    top = repository(place / "work/repo", {})
    write(str(top / "models/untracked.safetensors"), BIG)
    cached(place)
    engine.scan()
    assert [one.link for one in engine.apply(engine.plan()).actions] == [LinkKind.SYMLINK]
    assert (top / "models/untracked.safetensors").read_bytes() == BIG


def test_a_file_that_dvc_tracks_since_the_last_scan_is_left_to_it(place: Path, engine: Engine) -> None:
    top = repository(place / "work/repo", {})
    write(str(top / "models/mine.safetensors"), BIG)
    cached(place)
    engine.scan()
    assert [one.path for one in engine.plan().actions] == [str(top / "models/mine.safetensors")]
    stored(top / ".dvc/cache", BIG)
    noted(top / "models/mine.safetensors", md5(BIG))
    write(str(top / ".dvc/tmp/lock"), b" 23456\n")
    engine.scan()
    assert [one.path for one in engine.plan().actions] == [str(objects(top)[0])]


def test_what_dvc_has_locked_is_left_alone(place: Path, engine: Engine) -> None:
    top = repository(place / "work/repo", {"m.gguf": BIG})
    cached(place)
    engine.scan()
    plan = engine.plan()
    with open(top / ".dvc/tmp/lock", "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        report = engine.apply(plan)
        assert report.actions == ()
        assert len(report.failed) + len(report.skipped) == 1
    assert len(engine.apply(engine.plan()).actions) == 1


def test_its_lock_holds_too_where_its_repository_is_a_clone_by_git_lfs(place: Path, engine: Engine) -> None:
    top = repository(place / "work/repo", {"m.gguf": BIG})
    clone(top, {"other.bin": ROWS["a.bin"]})
    cached(place)
    engine.scan()
    plan = engine.plan()
    [path] = objects(top)
    assert str(path) in {one.path for one in plan.actions}
    with open(top / ".dvc/tmp/lock", "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert str(path) not in {one.path for one in engine.apply(plan).actions}
    assert str(path) in {one.path for one in engine.apply(engine.plan()).actions}
    assert not [one for one in top.rglob("*") if one.is_symlink()]


def test_one_content_is_known_by_both_of_its_names_once_it_was_read(place: Path, engine: Engine) -> None:
    """A cache states sha256, DVC md5: each file is read once, and never again."""
    repository(place / "work/repo", {"m.gguf": BIG})
    tree.cache(str(place / "home/.home/huggingface/hub"), "org/base", {"big": BIG})
    first = engine.scan()
    assert (first.duplicate_sets, first.bytes_read) == (1, len(BIG))
    assert engine.scan().bytes_read == 0


def test_an_object_that_is_not_its_name_is_corrupt(place: Path, engine: Engine) -> None:
    top = repository(place / "work/repo", {"m.gguf": BIG})
    [path] = objects(top)
    path.chmod(0o644)
    write(str(path), tree.fine_tune(BIG), mode=0o444)
    engine.scan()
    assert [(one.path, one.kind) for one in engine.verify().problems] == [(str(path), "corrupt")]


def test_what_was_cut_short_is_cleaned_away(place: Path, engine: Engine) -> None:
    top = repository(place / "work/repo", {"m.gguf": BIG})
    shard = objects(top)[0].parent
    old, new = shard / ".u7YkQ0b1Jj-4_Xo2aYkT1A.tmp", shard / ".aaYkQ0b1Jj-4_Xo2aYkT1A.tmp"
    for path in (old, new, shard / "mine.tmp"):
        write(str(path), b"half")
    now = time.time_ns()
    os.utime(new, ns=(now, now))
    engine.scan()
    engine.apply_removal(engine.plan_clean(), "clean")
    assert [path.exists() for path in (old, new, shard / "mine.tmp")] == [False, True, True]


# what the notes say


LOCK = """schema: '2.0'
stages:
  train:
    cmd: python train.py
    deps:
    - path: raw.bin
      hash: md5
      md5: {0}
      size: 1
    outs:
    - path: models/a.bin
      hash: md5
      md5: {0}
      size: 1
    - path: "models/\\u00fc b.bin"
      md5: {0}
    metrics:
    - path: scores.bin
      md5: {0}
"""


def test_outputs_of_stages_are_tracked_and_their_inputs_are_not(place: Path) -> None:
    names = ("models/a.bin", "models/ü b.bin", "raw.bin", "scores.bin")
    top = repository(place / "repo", {})
    for name in names:
        write(str(top / name), b"bytes")
    write(str(top / "dvc.lock"), LOCK.format(md5(b"bytes")).encode())
    assert set(scan(DvcBackend, top)) == {"raw.bin", "scores.bin"}


def test_a_note_may_have_another_folder_and_quotes(place: Path) -> None:
    top = repository(place / "repo", {})
    for name in ("deep/it's.bin", "deep/other.bin"):
        write(str(top / name), b"bytes")
    note = f"wdir: deep\nouts:\n- md5: {md5(b'bytes')}\n  hash: md5\n  path: 'it''s.bin'\nmeta:\n  path: other.bin\n"
    write(str(top / "x.dvc"), note.encode())
    assert set(scan(DvcBackend, top)) == {"deep/other.bin"}


@pytest.mark.parametrize(
    "note",
    [
        b"outs:\n- md5: ../../../../etc/passwd\n  hash: md5\n  path: m.gguf\n",
        b"outs:\n- md5: " + b"a" * 32 + b"\n  hash: md5\n  path: ../../../m.gguf\n",
        b"outs:\n- md5: " + b"a" * 32 + b".dir\n  hash: md5\n  path: .\n",
        b'outs:\n- path: "\\ud800"\n- path: "\n- path: a\0b\n- - -\n  path\n',
        b"\xff\xfe",
        b"outs:\n" * 1000 + b"- path: x\n" * 1000,
        b"[" * 100_000,
    ],
    ids=lambda note: ascii(note[:24]),
)
def test_a_note_may_hold_anything(place: Path, note: bytes) -> None:
    top = repository(place / "repo", {"t.gguf": b"tracked"})
    write(str(top / "m.gguf.dvc"), note)
    write(str(top / "sub/n.gguf"), b"mine")
    listed = stored(
        top / ".dvc/cache", json.dumps([{"md5": "..", "relpath": 1}, 7, {"relpath": "m"}]).encode(), ".dir"
    )
    found = scan(DvcBackend, top)
    assert {name for name in found if "cache" in name} == {
        str(next(iter(set(objects(top)) - {listed})).relative_to(top))
    }
    assert {name for name in found if "cache" not in name} <= {"sub/n.gguf"}


@pytest.mark.parametrize(
    "name", [".dvc/config", ".dvc/tmp/lock", "m.gguf.dvc", "dvc.lock", ".dvc/cache/runs"]
)
@pytest.mark.parametrize("what", ["pipe", "link", "folder"])
def test_what_is_no_file_costs_only_itself(place: Path, name: str, what: str) -> None:
    top = repository(place / "repo", {"m.gguf": BIG})
    write(str(top / "other/n.gguf"), b"mine")
    path = top / name
    path.unlink(missing_ok=True)
    if what == "pipe":
        os.mkfifo(path)
    elif what == "link":
        path.symlink_to(path.parent)
    else:
        path.mkdir()
    found = set(scan(DvcBackend, top))
    assert {"other/n.gguf", str(objects(top)[0].relative_to(top))} <= found
    assert found <= {"m.gguf", "other/n.gguf", str(objects(top)[0].relative_to(top))}
    root, backend = Root(str(top), "dvc"), GuardedBackend(DvcBackend())
    for ask in (backend.snapshots, backend.leftovers, backend.notes):
        ask(root, TreeWalk(root, {"dvc": backend}))  # type: ignore[operator]
    assert len(backend.lock_paths(root, str(top / "m.gguf"))) == 1


def test_a_list_of_a_folder_may_hold_anything() -> None:
    for data in (
        b"",
        b"{}",
        b"[[[",
        b"[" * 100_000,
        b'[{"md5": 1, "relpath": "a"}]',
        b'[null, {"md5": "%s"}]' % (b"a" * 32),
        None,
    ):
        assert work_tree._listed(data) == {}
