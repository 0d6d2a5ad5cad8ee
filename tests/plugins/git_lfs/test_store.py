"""What hubfold sees of clones whose large files git-lfs keeps, and what it does with them."""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine, HubfoldError
from hubfold.content import LinkKind, Root, Snapshot
from hubfold.scanning.walk import TreeWalk
from hubfold.testing.contract import opened
from hubfold_plugins.git_lfs.store import GitLfsBackend
from hubfold_plugins.huggingface.local_dir import LocalDirBackend
from tests.building import clones, tree
from tests.building.clones import BEFORE_NS, COMMIT, clone, stored, write_index
from tests.building.one_root import scan
from tests.building.tree import write
from tests.scanning.test_reached import GuardedBackend

BIG = tree.model("lfs")
OTHER = tree.model("other")
FILES = {"model.safetensors": BIG, "sub/other.bin": OTHER, "config.json": b'{"model_type": "bert"}\n'}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    clone(tmp_path / "work/clone", FILES)
    return tmp_path


@pytest.fixture
def engine(place: Path) -> Iterator[Engine]:
    with Engine(environ=tree.environment(str(place / "home"))) as made:
        made.add_root(place / "work")
        yield made


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def objects(top: Path) -> dict[str, bytes]:
    """The objects of a clone, by their paths from it."""
    found = (path for path in (top / ".git/lfs/objects").rglob("*") if path.is_file())
    return {str(path.relative_to(top)): path.read_bytes() for path in found}


def recognised(path: Path) -> str | None:
    return GitLfsBackend.recognise(str(path), os.listdir(path))


def snapshots(top: Path) -> list[Snapshot]:
    root = Root(str(top), "git-lfs")
    backends = {"git-lfs": GuardedBackend(GitLfsBackend())}
    return list(backends["git-lfs"].snapshots(root, TreeWalk(root, backends)))


# what is stated without reading


def test_what_git_takes_for_unchanged_is_stated_and_nothing_of_it_is_opened(place: Path) -> None:
    top = place / "work/clone"
    with opened() as paths:
        found = scan(GitLfsBackend, top)
    claims = {name: found[name].claims.get("sha256") for name in found}
    assert claims["model.safetensors"] == sha256(BIG)
    assert claims["sub/other.bin"] == sha256(OTHER)
    assert claims["config.json"] is None, "git's own file: its filters may have changed it"
    for name in objects(top):
        assert claims[name] == os.path.basename(name)
        assert found[name].repo_id == "org/cloned"
    assert found["model.safetensors"].repo_id == "org/cloned"
    assert found["model.safetensors"].revision == COMMIT
    assert not paths & {str(top / name) for name in ("model.safetensors", "sub/other.bin", *objects(top))}


def test_an_edit_is_stated_to_be_nothing_that_it_is_not(place: Path) -> None:
    top = place / "work/clone"
    tuned = tree.fine_tune(BIG)
    write(str(top / "model.safetensors"), tuned)
    write(str(top / "sub/other.bin"), OTHER + b"longer")
    found = scan(GitLfsBackend, top)
    assert found["model.safetensors"].claims == {} == found["sub/other.bin"].claims
    assert found["sub/other.bin"].edited
    assert found["model.safetensors"].vouched


@pytest.mark.parametrize("what", ["times put back", "in one instant"])
def test_an_edit_that_its_times_hide_is_not_believed_either(place: Path, what: str) -> None:
    """git goes by the inode and the change time, too, and by nothing that was touched when the index was written."""
    top = place / "work/clone"
    path = top / "model.safetensors"
    index = top / ".git/index"
    if what == "times put back":
        write(str(path), tree.fine_tune(BIG), mtime_ns=BEFORE_NS)
    else:
        now = index.stat().st_mtime_ns
        os.utime(path, ns=(now, now))
        write_index(top, top / ".git", FILES)
        os.utime(index, ns=(now, now))
    assert scan(GitLfsBackend, top)["model.safetensors"].claims == {}


def test_a_pointer_is_no_content_and_its_file_is_missing(tmp_path: Path) -> None:
    top = clone(tmp_path / "clone", FILES, fetched=False)
    assert set(scan(GitLfsBackend, top)) == {"config.json"}
    [one] = snapshots(top)
    assert [file.name for file in one.files] == ["config.json"]
    assert one.expected == {name: len(data) for name, data in FILES.items()}
    # Half of them came.
    stored(top / ".git/lfs", BIG)
    write(str(top / ".git/lfs/incomplete" / f"{sha256(OTHER)}.part"), b"half")
    [one] = snapshots(top)
    assert one.expected == {name: len(data) for name, data in FILES.items()}
    assert [(partial.size, partial.name) for partial in one.incomplete] == [(4, None)]


def test_what_is_checked_out_is_a_model(place: Path) -> None:
    top = place / "work/clone"
    (top / "config.json").unlink()
    [one] = snapshots(top)
    assert (one.repo_id, one.repo_type, one.revision, one.refs) == ("org/cloned", "model", COMMIT, ("main",))
    assert {file.name: file.claims for file in one.files} == {
        "model.safetensors": {"sha256": sha256(BIG)},
        "sub/other.bin": {"sha256": sha256(OTHER)},
    }
    assert (one.expected or {})["config.json"] == len(FILES["config.json"]), "deleted: missing"


def test_a_file_that_git_lfs_keeps_since_the_last_scan_is_seen(place: Path, engine: Engine) -> None:
    """It did not change itself, and is no model by its name."""
    top = place / "work/clone"
    data = tree.model("later")
    write(str(top / "rows.dat"), data, mtime_ns=BEFORE_NS)
    assert engine.scan().duplicate_sets == 2
    stored(top / ".git/lfs", data)
    assert engine.scan().duplicate_sets == 2
    write_index(top, top / ".git", {**FILES, "rows.dat": data})
    report = engine.scan()
    assert (report.duplicate_sets, report.bytes_read) == (3, 0)


def test_an_edit_says_nothing_of_the_commit_that_others_have_too(place: Path, engine: Engine) -> None:
    """The listing of a revision holds in every root that has it."""
    top = place / "work/clone"
    hub = place / "home/.home/huggingface/hub"
    names = {name: data for name, data in FILES.items() if "/" not in name}
    tree.cache(str(hub), "org/cloned", {**names, "sub/other.bin": OTHER}, COMMIT)
    write(str(top / "config.json"), b'{"model_type": "bert", "edited": true}')
    [one] = snapshots(top)
    assert one.expected is None
    [model] = engine.models().models
    states = {place.backend: place.revisions[0].state for place in model.places}
    assert states == {"hub-cache": "whole", "git-lfs": "whole"}
    write(str(top / "config.json"), FILES["config.json"])
    (top / "sub/other.bin").unlink()
    [one] = snapshots(top)
    assert one.expected == {name: len(data) for name, data in FILES.items()}


@pytest.mark.parametrize("what", ["staged", "written in the same instant", "a pointer that was edited"])
def test_without_a_sure_length_of_each_file_there_is_no_listing(place: Path, what: str) -> None:
    top = place / "work/clone"
    index = top / ".git/index"
    if what == "staged":
        index.write_bytes(index.read_bytes().replace(b"\x00%d 0\n" % len(FILES), b"\x00-1 0\n"))
    elif what == "written in the same instant":
        (top / "config.json").write_bytes(b"")
        write_index(top, top / ".git", FILES)
        (top / "config.json").write_bytes(b"now it has some")
    else:
        shutil.rmtree(top / ".git/lfs/objects")
        write(str(top / "model.safetensors"), clones.pointer(BIG))
        write_index(top, top / ".git", FILES)
        write(str(top / "model.safetensors"), b"mine")
    [one] = snapshots(top)
    assert one.expected is None


# which folders


def test_a_clone_in_a_folder_that_is_scanned_is_found_and_others_stay_what_they_are(place: Path) -> None:
    clone(place / "work/plain", {"config.json": b"{}"})
    (place / "work/plain/.git/lfs/objects").rmdir()
    (place / "work/plain/.git/lfs").rmdir()
    write(str(place / "work/loose.gguf"), BIG)
    found = scan(LocalDirBackend, place / "work", others=(GitLfsBackend,))
    assert found.found == [("git-lfs", str(place / "work/clone"))]
    assert set(found) >= {"loose.gguf", "plain/config.json"}


def test_many_folders_have_objects_and_few_are_stores(tmp_path: Path) -> None:
    (tmp_path / "objects/ab/cd").mkdir(parents=True)
    (tmp_path / "objects/ab/cd/model.gguf").write_bytes(b"x")
    (tmp_path / "objects/vault").mkdir()
    assert recognised(tmp_path) is None
    stored(tmp_path / "store", BIG)
    assert recognised(tmp_path / "store") == str(tmp_path / "store")


def test_a_bare_repository_is_told_by_its_store(tmp_path: Path) -> None:
    bare = tmp_path / "hub.git"
    (bare / "refs").mkdir(parents=True)
    write(str(bare / "HEAD"), b"ref: refs/heads/main\n")
    stored(bare / "lfs", BIG)
    (bare / "objects/pack").mkdir(parents=True)
    assert recognised(bare) == str(bare / "lfs")
    assert set(scan(GitLfsBackend, bare / "lfs")) == {
        str(next((bare / "lfs").rglob(sha256(BIG))).relative_to(bare / "lfs"))
    }
    found = scan(LocalDirBackend, tmp_path, others=(GitLfsBackend,))
    assert found.found == [("git-lfs", str(bare / "lfs"))]


@pytest.mark.parametrize("where", ["big", "../../big", "{}/big"])
def test_a_store_that_its_settings_name_is_found_where_it_lies(place: Path, where: str) -> None:
    top = place / "work/clone"
    config = top / ".git/config"
    config.write_text(config.read_text() + f"\tstorage = {where.format(place)}\n")
    to = Path(os.path.normpath(top / ".git" / where.format(place)))
    (top / ".git/lfs").rename(to)
    assert recognised(top) == str(top)
    found = scan(GitLfsBackend, top)
    inside = os.path.commonpath([to, top]) == str(top)
    assert ("sha256" in found["model.safetensors"].claims) is inside
    assert len([name for name in found if "objects" in name]) == (2 if inside else 0)
    assert inside or recognised(to) == str(to)
    assert not found.warnings


def test_one_store_for_all_clones_is_a_default_root(tmp_path: Path) -> None:
    environ = {"HOME": str(tmp_path)}
    assert list(GitLfsBackend.default_roots(environ)) == []
    write(str(tmp_path / ".config/git/config"), b"[LFS]\n  storage = /data/other\n")
    write(str(tmp_path / ".gitconfig"), b"[user]\n\tname = storage\n[lfs]\n\tstorage = /data/store\n")
    assert list(GitLfsBackend.default_roots(environ)) == ["/data/store"]
    (tmp_path / ".gitconfig").unlink()
    os.mkfifo(tmp_path / ".gitconfig")
    assert list(GitLfsBackend.default_roots(environ)) == []


@pytest.mark.parametrize("part", ["lfs", "lfs/objects"])
def test_a_store_behind_a_link_is_reached(place: Path, engine: Engine, part: str) -> None:
    top = place / "work/clone"
    (top / ".git" / part).rename(place / "drive")
    (top / ".git" / part).symlink_to(place / "drive")
    report = engine.scan()
    assert (report.duplicate_sets, report.bytes_read) == (2, 0)
    assert {(one.path, one.backend, one.files) for one in report.roots if one.files} == {
        (str(top), "git-lfs", 2),
        (str(place / "drive"), "git-lfs", 2),
    }
    before = (top / "model.safetensors").read_bytes()
    assert len(engine.apply(engine.plan()).actions) == 2
    assert (top / "model.safetensors").read_bytes() == before
    assert not [path for path in (top, place / "drive") for path in path.rglob(".hubfold*")]


def test_a_link_in_place_of_the_repository_is_not_followed(place: Path) -> None:
    top = place / "work/clone"
    (top / ".git").rename(place / "elsewhere")
    (top / ".git").symlink_to(place / "elsewhere")
    found = scan(GitLfsBackend, top)
    assert set(found) == set(FILES)
    assert snapshots(top) == []


# folding


@pytest.mark.parametrize("link", [None, LinkKind.SYMLINK, LinkKind.HARDLINK])
def test_a_clone_and_a_cache_end_as_one_payload_and_no_byte_was_read_to_know(
    place: Path, engine: Engine, link: LinkKind | None
) -> None:
    top = place / "work/clone"
    blobs = tree.cache(
        str(place / "home/.home/huggingface/hub"), "org/cloned", {"model.safetensors": BIG, "o": OTHER}
    )
    report = engine.scan()
    assert report.bytes_read == 0
    assert report.duplicate_sets == 2
    done = engine.apply(engine.plan(link=link))
    if link is LinkKind.SYMLINK:
        assert done.actions == ()
        assert done.skipped
        assert all(one.reason.startswith("no symlink may stand in its place") for one in done.skipped)
    else:
        assert len(done.actions) == 4
        assert {os.stat(path).st_ino for path in (top / "model.safetensors", blobs["model.safetensors"])} == {
            next(top.rglob(sha256(BIG))).stat().st_ino
        }
        assert engine.scan().reclaimable_bytes == 0
        assert not engine.verify().problems
    assert not [path for path in top.rglob("*") if path.is_symlink()]
    assert not list(top.rglob(".hubfold*"))
    assert {name: (top / name).read_bytes() for name in FILES} == FILES
    if done.actions:
        engine.undo()
        assert {name: (top / name).read_bytes() for name in FILES} == FILES
        assert len({os.stat(top / name).st_ino for name in (*FILES, *objects(top))}) == 5
        assert (top / "model.safetensors").stat().st_mtime_ns == BEFORE_NS


def test_a_clone_without_a_cache_is_folded_into_itself(place: Path, engine: Engine) -> None:
    top = place / "work/clone"
    engine.scan()
    assert [one.link for one in engine.apply(engine.plan()).actions] == [LinkKind.HARDLINK] * 2
    assert len({os.stat(top / name).st_ino for name in (*FILES, *objects(top))}) == 3


def test_a_copy_elsewhere_is_no_link_into_a_clone(place: Path, engine: Engine) -> None:
    """A vault would have to lie in the clone, where `git clean` takes it."""
    copy = place / "copies/model.safetensors"
    write(str(copy), BIG)
    engine.add_root(place / "copies")
    engine.scan()
    engine.apply(engine.plan())
    assert not list((place / "work").rglob(".hubfold*"))
    for path in (place / "work").rglob("*"):
        assert not path.is_symlink()
    if copy.is_symlink():
        assert os.path.realpath(copy).startswith(str(place / "copies"))


@pytest.mark.parametrize("link", [None, LinkKind.SYMLINK])
def test_a_store_that_no_work_tree_lies_around_gets_no_symlink_and_no_vault_either(
    place: Path, engine: Engine, link: LinkKind | None
) -> None:
    shutil.rmtree(place / "work/clone")
    one = stored(place / "work/store", BIG)
    write(str(place / "work/copy.gguf"), BIG)
    engine.scan()
    done = engine.apply(engine.plan(link=link))
    assert not one.is_symlink()
    assert not list((place / "work/store").rglob(".hubfold*"))
    assert len(done.actions) == (1 if link is None else 0)
    assert {path.read_bytes() for path in (one, place / "work/copy.gguf")} == {BIG}


@pytest.mark.slow
def test_an_edit_in_the_work_tree_is_edited_and_never_corrupt(place: Path, engine: Engine) -> None:
    path = place / "work/clone/model.safetensors"
    engine.scan()
    write(str(path), tree.fine_tune(BIG), mtime_ns=time.time_ns())
    assert [(one.path, one.kind) for one in engine.verify().problems] == [(str(path), "edited")]
    engine.scan()
    assert engine.verify().problems == ()
    write(str(path), BIG + b"more", mtime_ns=time.time_ns())
    engine.scan()
    assert engine.verify().problems == ()
    assert {one.path for one in engine.plan().actions} == {str(path.parent / "sub/other.bin")}


@pytest.mark.slow
@pytest.mark.parametrize("blob_ns", [tree.OLD_NS, BEFORE_NS + 10**15], ids=["an older blob", "a newer blob"])
def test_an_edit_through_a_link_is_edited_and_no_repair_replaces_it(
    place: Path, engine: Engine, blob_ns: int
) -> None:
    """The index tells when git last knew the file, and a fold makes nothing later than that."""
    path = place / "work/clone/model.safetensors"
    hub = place / "home/.home/huggingface/hub"
    blob = Path(tree.cache(str(hub), "org/cloned", {"m": BIG})["m"])
    os.utime(blob, ns=(blob_ns, blob_ns))
    engine.scan()
    engine.apply(engine.plan())
    assert path.samefile(blob)
    assert path.stat().st_mtime_ns <= BEFORE_NS
    engine.scan()
    assert not engine.verify().problems
    path.chmod(0o644)
    path.write_bytes(tree.fine_tune(BIG))
    write(str(place / "work/good.safetensors"), BIG)
    engine.scan()
    problems = {one.path: one.kind for one in engine.verify().problems}
    assert problems.get(str(path), "edited") == "edited"
    assert problems[str(blob)] == "corrupt"
    assert engine.doctor(fix=True).findings
    assert blob.read_bytes() == BIG
    assert path.read_bytes() == tree.fine_tune(BIG)


def test_an_object_that_is_not_its_name_is_corrupt(place: Path, engine: Engine) -> None:
    path = next((place / "work/clone").rglob(sha256(BIG)))
    write(str(path), tree.fine_tune(BIG))
    engine.scan()
    assert [(one.path, one.kind) for one in engine.verify().problems] == [(str(path), "corrupt")]


# other commands


def test_what_was_cut_short_is_cleaned_away(place: Path, engine: Engine) -> None:
    lfs = place / "work/clone/.git/lfs"
    old = [lfs / "incomplete" / f"{'a' * 64}.part", lfs / "tmp/123"]
    kept = [lfs / "incomplete" / "notes.txt", lfs / "bad" / ("b" * 64), lfs / "tmp/new"]
    for path in (*old, *kept):
        write(str(path), b"half")
    now = time.time_ns()
    os.utime(lfs / "tmp/new", ns=(now, now))
    engine.scan()
    engine.apply_removal(engine.plan_clean(), "clean")
    assert [path.exists() for path in old] == [False] * 2
    assert [path.exists() for path in kept] == [True] * 3


def test_a_clone_is_no_model_that_rm_takes(place: Path, engine: Engine) -> None:
    """Commits that were not pushed, and files that are not in git, would go with it."""
    [model] = engine.models().models
    assert model.repo_id == "org/cloned"
    for copies in (False, True):
        with pytest.raises(HubfoldError, match="does not say how to remove a model"):
            engine.plan_remove(["org/cloned"], with_copies=copies)


def test_a_clone_is_adopted_as_a_model_of_the_cache(place: Path, engine: Engine) -> None:
    top = place / "work/clone"
    report = engine.adopt(engine.plan_adopt(top))
    assert (report.model, report.commit, report.failed) == ("org/cloned", COMMIT, ())
    snapshot = place / "home/.home/huggingface/hub/models--org--cloned/snapshots" / COMMIT
    assert {name: (snapshot / name).read_bytes() for name in FILES} == FILES
    assert not [path for path in top.rglob("*") if path.is_symlink()]


# hostile trees


def test_an_index_may_hold_anything(place: Path) -> None:
    top = place / "work/clone"
    index = top / ".git/index"
    good = index.read_bytes()
    hostile = [
        *(good[:end] for end in range(0, len(good), 83)),
        *(good[:at] + b"\xff" * 4 + good[at + 4 :] for at in range(0, len(good), 61)),
        good.replace(b"config.json", b"../../x.jsn"),
        good.replace(b"sub/other.bin", b"/ub/other.bin"),
        good.replace(b"sub/other.bin", b"sub/.git/.bin"),
        b"",
        b"DIRC\0\0\0\x04\xff\xff\xff\xff" + bytes(200),
    ]
    for data in hostile:
        index.write_bytes(data)
        found = scan(GitLfsBackend, top)
        assert set(found) == {*FILES, *objects(top)}
        for name in found:
            if name in FILES:
                assert found[name].claims in ({}, {"sha256": sha256(FILES[name])})
        for one in snapshots(top):
            assert all(os.path.normpath(file.path).startswith(f"{top}/") for file in one.files)


@pytest.mark.parametrize(
    "name", [".git/index", ".git/HEAD", ".git/config", ".git/lfs/tmp", "model.safetensors"]
)
@pytest.mark.parametrize("what", ["pipe", "link", "folder"])
def test_what_is_no_file_costs_only_itself(place: Path, name: str, what: str) -> None:
    top = place / "work/clone"
    path = top / name
    path.unlink(missing_ok=True)
    if what == "pipe":
        os.mkfifo(path)
    elif what == "link":
        path.symlink_to(path.parent)
    else:
        path.mkdir()
    found = scan(GitLfsBackend, top)
    assert set(found) == {*FILES, *objects(top)} - {name}
    root, backend = Root(str(top), "git-lfs"), GuardedBackend(GitLfsBackend())
    for ask in (backend.snapshots, backend.leftovers, backend.notes, backend.offers):
        ask(root, TreeWalk(root, {"git-lfs": backend}))  # type: ignore[operator]


@pytest.mark.parametrize(
    "text", ["gitdir: ", "gitdir: /etc", "gitdir: ../..", "nothing", "gitdir: \0", "\udcff"], ids=ascii
)
def test_a_git_file_may_hold_anything(tmp_path: Path, text: str) -> None:
    write(str(tmp_path / "clone/model.gguf"), BIG)
    write(str(tmp_path / "clone/.git"), os.fsencode(text))
    assert recognised(tmp_path / "clone") is None
    found = scan(GitLfsBackend, tmp_path / "clone")
    assert set(found) == {"model.gguf"}
    assert snapshots(tmp_path / "clone") == []
