"""The real git and git-lfs after a fold of a clone against a hub cache, and after it was taken back."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from tests.building import tree
from tests.cli.test_git import Git

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("git") is None
        or subprocess.run(["git", "lfs", "version"], capture_output=True).returncode != 0,
        reason="needs git and git-lfs",
    ),
]

FILES = {
    "model.safetensors": tree.model("lfs"),
    "sub/other.safetensors": tree.model("other"),
    "config.json": b"{}\n",
}
SECOND = {**FILES, "model.safetensors": tree.model("second")}


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """A clone, over a protocol that links nothing, of two revisions; the first is checked out, both are fetched."""
    home, bare, source = tmp_path / "home", tmp_path / "hub.git", tmp_path / "source"
    for folder in (home, source):
        folder.mkdir()
    git = Git(source, home)
    git("config", "--global", "protocol.file.allow", "always")
    git("lfs", "install", "--skip-repo")
    git("init", "-q", "--bare", "-b", "main", str(bare))
    git("init", "-q", "-b", "main")
    git("lfs", "track", "*.safetensors")
    for number, files in enumerate((FILES, SECOND)):
        for name, data in files.items():
            tree.write(str(source / name), data, mtime_ns=tree.OLD_NS + number * 10**10)
        git("add", "-A")
        git("commit", "-qm", f"revision {number}")
    git("push", "-q", f"file://{bare}", "main")
    (tmp_path / "work").mkdir()
    git("clone", "-q", f"file://{bare}", str(tmp_path / "work/clone"))
    clone = Git(tmp_path / "work/clone", home)
    clone("lfs", "fetch", "--all")
    clone("checkout", "-q", "-b", "first", "HEAD~1")
    # What came by file:// is shared with the bare repository and the source; by https:// it would not be.
    for path in _objects(clone.folder):
        own = path.with_name("own")
        shutil.copyfile(path, own)
        own.replace(path)
    return clone


@pytest.fixture
def engine(tmp_path: Path, git: Git) -> Iterator[Engine]:
    """A hub cache has the files of both revisions; the folder that the clone lies in is a root."""
    hub = tmp_path / "home/.home/huggingface/hub"
    tree.cache(str(hub), "org/base", {name: data for name, data in FILES.items() if name != "config.json"})
    tree.cache(str(hub), "org/base", {"model.safetensors": SECOND["model.safetensors"]}, "b" * 40)
    with Engine(environ=tree.environment(str(tmp_path / "home"))) as made:
        made.add_root(tmp_path / "work")
        yield made


def _objects(top: Path) -> list[Path]:
    return sorted(path for path in (top / ".git/lfs/objects").rglob("*") if path.is_file())


def _blobs(engine: Engine) -> list[Path]:
    found = list(Path(engine.download_cache() or "").rglob("blobs/*"))
    assert len(found) == 3
    return found


def _bytes(top: Path) -> dict[str, bytes]:
    return {name: (top / name).read_bytes() for name in FILES}


def _fold(engine: Engine) -> None:
    report = engine.scan()
    assert report.reclaimable_bytes > 5 * tree.MIB
    done = engine.apply(engine.plan())
    assert not done.failed
    assert len(done.actions) == 5


def _unchanged(git: Git, *, files: dict[str, bytes] = FILES) -> None:
    assert git("status", "--porcelain", "--ignored") == ""
    assert git("diff", "--stat") == git("diff-index", "HEAD") == ""
    git("lfs", "fsck")
    assert _bytes(git.folder) == files
    assert not [path for path in git.folder.rglob("*") if path.is_symlink()]


def test_git_notices_nothing_of_a_fold_nor_of_what_takes_it_back(git: Git, engine: Engine) -> None:
    assert git("status", "--porcelain", "--ignored") == ""
    _fold(engine)
    cached = {path.stat().st_ino for path in _blobs(engine)}
    for path in (git.folder / "model.safetensors", *_objects(git.folder)):
        assert path.stat().st_ino in cached
    _unchanged(git)
    assert engine.scan().reclaimable_bytes == 0
    assert not engine.verify().problems
    engine.undo()
    _unchanged(git)
    assert (git.folder / "model.safetensors").stat().st_ino not in {
        path.stat().st_ino for path in _objects(git.folder)
    }


def test_the_index_is_noted_anew_by_the_first_status_and_the_second_reads_nothing(
    git: Git, engine: Engine, tmp_path: Path
) -> None:
    git("status")
    _fold(engine)
    index = git.folder / ".git/index"
    before = index.read_bytes()
    git("status")
    after = index.read_bytes()
    assert after != before
    os.utime(index)
    git("status")
    assert index.read_bytes() == after


def test_a_checkout_of_another_revision_writes_into_no_link(git: Git, engine: Engine) -> None:
    _fold(engine)
    hub = {path: path.read_bytes() for path in _blobs(engine)}
    git("checkout", "-q", "main")
    _unchanged(git, files=SECOND)
    git("checkout", "-q", "first")
    _unchanged(git)
    assert {path: path.read_bytes() for path in hub} == hub
    git("reset", "-q", "--hard", "main")
    _unchanged(git, files=SECOND)
    assert {path: path.read_bytes() for path in hub} == hub


def test_prune_and_clean_take_nothing_that_anybody_else_needs(git: Git, engine: Engine) -> None:
    _fold(engine)
    hub = {path: path.read_bytes() for path in _blobs(engine)}
    (git.folder / "left.bin").write_bytes(b"untracked")
    git("lfs", "prune", "--force")
    git("clean", "-fdxq")
    assert not (git.folder / "left.bin").exists()
    assert _bytes(git.folder) == FILES
    assert {path: path.read_bytes() for path in hub} == hub
    assert not engine.verify().problems or {one.kind for one in engine.verify().problems} == {"missing"}
    engine.scan()
    assert not engine.verify().problems
    git("lfs", "fetch")
    git("lfs", "checkout")
    _unchanged(git)


def test_pushes_and_clones_that_share_the_store_get_files(git: Git, engine: Engine, tmp_path: Path) -> None:
    _fold(engine)
    git("init", "-q", "--bare", str(tmp_path / "other.git"))
    git("push", "-q", f"file://{tmp_path}/other.git", "first")
    git("clone", "-q", "--shared", ".", str(tmp_path / "shared"))
    shared = Git(tmp_path / "shared", tmp_path / "home")
    shared("lfs", "pull")
    _unchanged(shared)
    for place in (tmp_path / "other.git", tmp_path / "shared"):
        assert not [path for path in (place / "lfs").rglob("*") if path.is_symlink()]
    git("clone", "-q", "-b", "first", f"file://{tmp_path}/other.git", str(tmp_path / "third"))
    _unchanged(Git(tmp_path / "third", tmp_path / "home"))
    engine.undo()
    for place in (git, shared):
        _unchanged(place)


def test_an_edit_is_a_change_and_goes_into_no_other_name(git: Git, engine: Engine) -> None:
    _fold(engine)
    hub = {path: path.read_bytes() for path in _blobs(engine)}
    tuned = tree.fine_tune(FILES["model.safetensors"])
    path = git.folder / "model.safetensors"
    path.unlink()
    path.write_bytes(tuned)
    assert [one.kind for one in engine.verify().problems] in (["edited"], [])
    assert git("status", "--porcelain") == " M model.safetensors\n"
    git("commit", "-qam", "tuned")
    assert git("status", "--porcelain") == ""
    git("lfs", "fsck")
    assert {path: path.read_bytes() for path in hub} == hub
    engine.scan()
    assert [one.path for one in engine.plan().actions], "the new object and its file"
    engine.apply(engine.plan())
    _unchanged(git, files={**FILES, "model.safetensors": tuned})


def test_work_trees_and_submodules(git: Git, engine: Engine, tmp_path: Path) -> None:
    git("worktree", "add", "-q", str(tmp_path / "work/second"), "main")
    bare = tmp_path / "hub.git"
    holder = Git(tmp_path / "work/holder", tmp_path / "home")
    holder.folder.mkdir()
    holder("init", "-q", "-b", "main")
    holder("submodule", "--quiet", "add", f"file://{bare}", "vendor/model")
    holder("commit", "-qm", "a submodule")
    report = engine.scan()
    assert {(Path(one.path).name, one.files) for one in report.roots if one.backend == "git-lfs"} == {
        ("clone", 5),
        ("second", 2),
        ("holder", 4),
    }
    before = _bytes(tmp_path / "work/second")
    assert len(engine.apply(engine.plan()).actions) == 5 + 2 + 2, (
        "the objects of the submodule have other names"
    )
    for one in (git, Git(tmp_path / "work/second", tmp_path / "home"), holder):
        assert one("status", "--porcelain", "--ignored") == ""
    assert _bytes(tmp_path / "work/second") == before == SECOND
    assert _bytes(holder.folder / "vendor/model") == SECOND
    Git(holder.folder / "vendor/model", tmp_path / "home")("lfs", "fsck")
    engine.undo()
    for one in (git, Git(tmp_path / "work/second", tmp_path / "home"), holder):
        assert one("status", "--porcelain", "--ignored") == ""
