"""Parts of a cache that lie elsewhere behind links: what the real client loads is known, and changed where it lies."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hubfold import Engine
from tests.building import tree
from tests.building.program import Program

FILES = {"model.safetensors": tree.model("linked"), "config.json": b'{"model_type": "llama"}'}
COMMIT = "a" * 40
REPOSITORY = "models--org--base"


class Linked:
    """A cache with org/base, of which parts are moved to `large`, with links left behind."""

    def __init__(self, base: Path) -> None:
        self.hubfold = Program(base / "home")
        self.hub, self.large = base / "home/hf/hub", base / "large"
        self.large.mkdir()
        tree.cache(str(self.hub), "org/base", FILES, COMMIT)
        self.repository = self.hub / REPOSITORY

    def move(self, path: Path, to: Path) -> Path:
        """As a user does whose disk is full."""
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(path, to)
        path.symlink_to(to)
        return to

    def absolute_links(self, blobs: Path) -> None:
        for link in (self.repository / "snapshots" / COMMIT).iterdir():
            etag = os.path.basename(os.readlink(link))
            link.unlink()
            link.symlink_to(blobs / etag)

    def loads(self) -> Path:
        """The folder that the client gives, with all its bytes."""
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download("org/base", cache_dir=self.hub, local_files_only=True))
        assert {name: (folder / name).read_bytes() for name in FILES} == FILES
        return folder


@pytest.fixture
def linked(tmp_path: Path) -> Linked:
    return Linked(tmp_path)


def whole_repository(linked: Linked) -> Path:
    return linked.move(linked.repository, linked.large / REPOSITORY)


def whole_repository_under_another_name(linked: Linked) -> Path:
    return linked.move(linked.repository, linked.large / "base of org")


def blobs(linked: Linked) -> Path:
    return linked.move(linked.repository / "blobs", linked.large / "blobs of base")


def snapshots(linked: Linked) -> Path:
    """Only absolute links lead anywhere from there."""
    linked.absolute_links(linked.repository / "blobs")
    return linked.move(linked.repository / "snapshots", linked.large / "revisions")


def both_parts(linked: Linked) -> Path:
    there = linked.large / REPOSITORY
    for part in ("blobs", "snapshots"):
        linked.move(linked.repository / part, there / part)
    return there


def the_cache(linked: Linked) -> Path:
    return linked.move(linked.hub, linked.large / "hub")


def each_hop(linked: Linked) -> Path:
    """A link to a link, by a path with a link in it."""
    there = whole_repository(linked)
    (linked.large / "by name").symlink_to(linked.large)
    linked.repository.unlink()
    (linked.large / "first").symlink_to(linked.large / "by name" / REPOSITORY)
    linked.repository.symlink_to(linked.large / "first")
    return there


WAYS: tuple[Callable[[Linked], Path], ...] = (
    whole_repository,
    whole_repository_under_another_name,
    blobs,
    snapshots,
    both_parts,
    the_cache,
    each_hop,
)
ways = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)


@ways
def test_what_the_client_loads_is_known(linked: Linked, way: Callable[[Linked], Path]) -> None:
    way(linked)
    folder = linked.loads()
    assert linked.hubfold("check", "-q", "org/base").code == 0
    (path,) = linked.hubfold("path", "org/base").out.splitlines()
    assert os.path.samefile(path, folder)
    scan = linked.hubfold("scan", "--json").json
    assert (scan["files"], scan["warnings"]) == (len(FILES), [])
    (model,) = linked.hubfold("ls", "--json").json["models"]
    assert model["repo_id"] == "org/base" and model["state"] == "whole"
    assert model["size_bytes"] == sum(map(len, FILES.values()))
    shown = linked.hubfold("roots", "--json").json["roots"]
    assert sum(root["files"] for root in shown) == len(FILES)
    assert {root["source"] for root in shown} <= {"found", "linked"}
    assert linked.hubfold("doctor").code == 0 and linked.hubfold("verify").code == 0


@ways
def test_a_backup_of_it_is_whole(linked: Linked, way: Callable[[Linked], Path]) -> None:
    way(linked)
    archive = linked.large / "backup.tar"
    assert linked.hubfold("backup", archive, "org/base").code == 0
    other = linked.large / "restored"
    other.mkdir()
    done = linked.hubfold("restore", archive, "--into", other, "-y")
    assert done.code == 0, done
    blobs = other / REPOSITORY / "blobs"
    assert sorted(blob.read_bytes() for blob in blobs.iterdir()) == sorted(FILES.values())


@ways
def test_rm_removes_all_of_it_and_nothing_else(linked: Linked, way: Callable[[Linked], Path]) -> None:
    there = way(linked)
    beside = {there.parent / "beside.txt": b"a user's", linked.large / "w.safetensors": tree.model("other")}
    for path, data in beside.items():
        path.write_bytes(data)
    dry = linked.hubfold("rm", "org/base", "--dry-run", "--json").json
    linked.loads()
    done = linked.hubfold("rm", "org/base", "-y", "--json")
    assert done.code == 0, done
    assert done.json["failed"] == [] and done.json["left"] == []
    assert done.json["reclaimed_bytes"] == dry["reclaimed_bytes"] > len(FILES["model.safetensors"])
    assert {path: path.read_bytes() for path in beside} == beside
    assert not os.path.lexists(linked.repository)
    left = [path for path in linked.large.rglob("*") if path.is_file() and path not in beside]
    assert left == [], "content of the model is still there"
    if way is both_parts:
        assert there.is_dir() and not list(there.iterdir()), (
            "the folder around them is no part of the repository"
        )
    elif way is not the_cache:
        assert not there.exists()
    assert linked.hubfold("recover").code == 0 and linked.hubfold("scan", "--json").json["files"] == 0
    assert linked.hubfold("check", "-q", "org/base").code == 3


@ways
def test_it_is_folded_where_it_lies_and_given_back(linked: Linked, way: Callable[[Linked], Path]) -> None:
    way(linked)
    copy = linked.large / "copies/model.safetensors"
    tree.write(str(copy), FILES["model.safetensors"])
    linked.hubfold("roots", "add", copy.parent)
    done = linked.hubfold("consolidate", "-y", "--json")
    assert done.code == 0 and len(done.json["actions"]) == 1, done
    assert os.path.samefile(copy, linked.loads() / "model.safetensors")
    assert not (linked.large.parent / "hubfold").exists(), "the vault is the cache's"
    assert linked.hubfold("undo", "-y").code == 0
    assert not os.path.samefile(copy, linked.loads() / "model.safetensors")
    assert copy.read_bytes() == FILES["model.safetensors"]


@ways
def test_two_caches_are_folded_under_the_lock_that_a_client_takes(
    linked: Linked, way: Callable[[Linked], Path]
) -> None:
    """The victim is the linked one: its blob becomes a hard link of the other cache's."""
    from filelock import FileLock

    way(linked)
    other = linked.hubfold.home / "primary"
    tree.cache(str(other), "org/same", FILES, "b" * 40)
    linked.hubfold("roots", "add", other, "--role", "primary")
    linked.hubfold("scan")
    etag = os.path.basename(os.path.realpath(linked.loads() / "model.safetensors"))
    lock = linked.hub / ".locks" / REPOSITORY / f"{etag}.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        assert linked.hubfold("consolidate", "-y", "--json").json["failed"]
    done = linked.hubfold("consolidate", "-y", "--json")
    assert done.code == 0 and done.json["failed"] == [], done
    (blob,) = (other / "models--org--same/blobs").glob(etag)
    assert os.path.samefile(blob, linked.loads() / "model.safetensors")
    assert not (linked.large / ".locks").exists()


@pytest.mark.parametrize("way", [whole_repository, blobs, snapshots], ids=lambda way: way.__name__)
def test_on_another_file_system(linked: Linked, other_drive: Path, way: Callable[[Linked], Path]) -> None:
    """What was named to go by a rename is renamed there, where the folder is."""
    linked.large = other_drive
    there = way(linked)
    assert there.stat().st_dev != linked.hub.stat().st_dev
    linked.loads()
    copy = linked.hubfold.home / "copies/model.safetensors"
    tree.write(str(copy), FILES["model.safetensors"])
    linked.hubfold("roots", "add", copy.parent)
    done = linked.hubfold("consolidate", "-y", "--json")
    assert done.code == 0 and done.json["failed"] == [], done
    linked.loads()
    assert copy.read_bytes() == FILES["model.safetensors"]
    done = linked.hubfold("rm", "org/base", "-y", "--json")
    assert done.code == 0 and done.json["failed"] == [], done
    assert copy.read_bytes() == FILES["model.safetensors"] and not there.exists()
    assert not os.path.lexists(linked.repository)


def test_clean_finds_what_was_left_behind_there(linked: Linked) -> None:
    there = whole_repository(linked)
    partial = there / "blobs" / f"{'c' * 64}.incomplete"
    tree.write(str(partial), b"half of it")
    done = linked.hubfold("clean", "-y", "--json")
    assert done.code == 0 and not partial.exists(), done
    linked.loads()


def test_what_a_client_holds_is_not_removed(linked: Linked) -> None:
    from filelock import FileLock

    whole_repository(linked)
    etag = os.path.basename(os.path.realpath(linked.loads() / "model.safetensors"))
    lock = linked.hub / ".locks" / REPOSITORY / f"{etag}.lock"
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        assert linked.hubfold("rm", "org/base", "-y").code != 0
    linked.loads()


def test_what_was_put_there_by_hand_stays_with_its_link(linked: Linked) -> None:
    there = whole_repository(linked)
    (there / "notes.txt").write_bytes(b"mine")
    assert linked.hubfold("rm", "org/base", "-y").code in (0, 3)
    assert (there / "notes.txt").read_bytes() == b"mine"
    assert linked.repository.is_symlink() and not list(there.rglob("*.safetensors"))


@pytest.mark.parametrize("target", ["home", "pictures"])
def test_a_link_to_what_is_no_repository_is_not_followed(linked: Linked, target: str) -> None:
    """A name alone makes no repository of what is there."""
    folder = {"home": linked.hubfold.home, "pictures": linked.large / "pictures"}[target]
    picture = tree.write(str(linked.large / "pictures/deep/w.safetensors"), tree.model("picture"))
    (linked.hub / "models--org--other").symlink_to(folder)
    (linked.repository / "refs/.mine").symlink_to(linked.large)
    assert linked.hubfold("scan", "--json").json["files"] == len(FILES)
    assert linked.hubfold("rm", "org/other", "-y").code != 0
    assert Path(picture).read_bytes() == tree.model("picture") and folder.is_dir()
    linked.loads()


def test_blobs_of_several_models_in_one_folder_stay_with_those_that_are_left(linked: Linked) -> None:
    together = blobs(linked)
    tree.cache(str(linked.hub), "org/second", {"model.safetensors": tree.model("second")}, "b" * 40)
    second = linked.hub / "models--org--second/blobs"
    for blob in second.iterdir():
        blob.rename(together / blob.name)
    second.rmdir()
    second.symlink_to(together)
    linked.hubfold("rm", "org/second", "-y")
    linked.loads()


def test_a_repository_that_two_caches_show_is_one_and_stays_for_the_other(linked: Linked) -> None:
    there = whole_repository(linked)
    other = linked.hubfold.home / "other/hub"
    other.mkdir(parents=True)
    (other / ".locks").mkdir()
    (other / REPOSITORY).symlink_to(there)
    linked.hubfold("roots", "add", other)
    scan = linked.hubfold("scan", "--json").json
    assert (scan["files"], scan["duplicate_sets"]) == (len(FILES), 0)
    linked.hubfold("rm", "org/base", "--from", other, "-y")
    linked.loads()
    assert linked.hubfold("rm", "org/base", "-y").code == 0
    assert not there.exists() and not linked.repository.is_symlink()


@pytest.mark.parametrize("by", ["another name", "another cache"])
def test_a_single_file_that_something_else_shows_stays(linked: Linked, by: str) -> None:
    """The old name of a repository that was renamed; a repository that two caches show."""
    if by == "another name":
        (linked.hub / "models--org--old").symlink_to(REPOSITORY)
        asked: list[str | Path] = ["org/old", "model.safetensors"]
    else:
        other = linked.hubfold.home / "other/hub"
        (other / ".locks").mkdir(parents=True)
        (other / REPOSITORY).symlink_to(linked.hub / REPOSITORY)
        assert linked.hubfold("roots", "add", other).code == 0
        asked = ["org/base", "model.safetensors", "--from", other]
    done = linked.hubfold("rm", *asked, "-y")
    assert done.code == 1
    assert "shows it too" in done.err
    linked.loads()


def test_a_link_within_the_cache_is_one_more_name(linked: Linked) -> None:
    """The old name of a repository that was renamed."""
    (linked.hub / "models--org--old").symlink_to(REPOSITORY)
    scan = linked.hubfold("scan", "--json").json
    assert (scan["files"], scan["duplicate_sets"]) == (len(FILES), 0)
    assert linked.hubfold("check", "-q", "org/old").code == 0
    linked.hubfold("rm", "org/old", "-y")
    linked.loads()


def test_a_drive_that_is_away_is_told(linked: Linked) -> None:
    whole_repository(linked)
    linked.hubfold("scan")
    linked.large.rename(linked.large.parent / "unplugged")
    (warning,) = (
        w for w in linked.hubfold("scan", "--json").json["warnings"] if "is its drive" in w["message"]
    )
    assert REPOSITORY in warning["path"]
    assert linked.hubfold("check", "-q", "org/base").code == 3
    (linked.large.parent / "unplugged").rename(linked.large)
    assert linked.hubfold("check", "-q", "org/base").code == 0


# links of a snapshot that are absolute


def test_absolute_links_to_the_own_blobs_are_known_and_removed_with_them(linked: Linked) -> None:
    linked.absolute_links(linked.repository / "blobs")
    linked.loads()
    assert linked.hubfold("check", "-q", "org/base").code == 0
    assert linked.hubfold("scan", "--json").json["warnings"] == []
    assert linked.hubfold("rm", "org/base", "-y").code == 0
    assert not os.path.lexists(linked.repository)


def test_absolute_links_by_another_path_to_the_own_blobs_are_known(linked: Linked) -> None:
    """The path that the tool knew has a link in it."""
    (linked.hubfold.home / "short").symlink_to(linked.hub)
    linked.absolute_links(linked.hubfold.home / "short" / REPOSITORY / "blobs")
    linked.loads()
    assert linked.hubfold("scan", "--json").json["warnings"] == []
    one = linked.hubfold("rm", "org/base", "-y")
    assert one.code == 0 and not os.path.lexists(linked.repository), one


def test_one_revision_goes_and_the_blobs_of_the_other_stay(linked: Linked) -> None:
    """Both with absolute links."""
    newer = {"model.safetensors": tree.model("newer"), "config.json": FILES["config.json"]}
    tree.cache(str(linked.hub), "org/base", newer, "b" * 40)
    (linked.repository / "refs/main").write_text(COMMIT)
    (linked.repository / "refs/other").write_text("b" * 40)
    for revision in (COMMIT, "b" * 40):
        for link in (linked.repository / "snapshots" / revision).iterdir():
            etag = os.path.basename(os.readlink(link))
            link.unlink()
            link.symlink_to(linked.repository / "blobs" / etag)
    assert linked.hubfold("rm", "org/base", "--revision", "b" * 40, "-y").code == 0
    linked.loads()
    assert len(list((linked.repository / "blobs").iterdir())) == len(FILES)


def test_what_was_not_shown_to_go_stays_and_no_link_is_left_to_nothing(
    linked: Linked, tmp_path: Path
) -> None:
    """A file that was in the way at the preview is gone by the time of the yes."""
    there = whole_repository(linked)
    (there / "mine.txt").write_text("mine")
    environ = {"HF_HOME": str(linked.hub.parent), "HOME": str(tmp_path)}
    with Engine(tmp_path / "engine", environ=environ) as engine:
        plan = engine.plan_remove(["org/base"])
        assert str(linked.repository) not in engine.preview_removal(plan).removed
        (there / "mine.txt").unlink()
        report = engine.apply_removal(plan)
    assert not report.failed and str(linked.repository) not in report.removed
    assert linked.repository.is_symlink() and linked.repository.is_dir()
