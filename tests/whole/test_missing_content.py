"""Links that lead nowhere, and content that is somewhere: `doctor --fix` brings them together, with no network."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.building import tree
from tests.building.program import Program

#: Sizes that no two files share, so that no scan has a reason to read one.
FILES = {
    "model-00001-of-00002.safetensors": tree.model("first"),
    "model-00002-of-00002.safetensors": tree.model("second", tree.MIB + 12345),
    "sub/tokenizer.json": b'{"version": "1.0"}',
    "config.json": b'{"model_type": "llama"}',
}
ONE, TWO, SMALL, _ = FILES
COMMIT = "a" * 40
REPOSITORY = "models--org--base"
OFFLINE = {"HF_HUB_OFFLINE": "1"}


class Broken:
    """A cache with org/base, and a folder `models` beside it."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.program = Program(base / "home")
        self.hub, self.models = base / "home/hf/hub", base / "models"
        self.models.mkdir()
        self.blobs = {
            name: Path(blob) for name, blob in tree.cache(str(self.hub), "org/base", FILES, COMMIT).items()
        }
        self.hubfold("roots", "add", self.models)

    def hubfold(self, *argv: str | Path, code: int | None = 0) -> str:
        done = self.program(*argv, environ=OFFLINE)
        assert code is None or done.code == code, done
        return done.out

    @property
    def snapshot(self) -> Path:
        return self.hub / REPOSITORY / "snapshots" / COMMIT

    def findings(self) -> dict[str, str]:
        """Kind by path, of what `doctor` finds without mending."""
        done = self.program("doctor", "--json", environ=OFFLINE)
        return {one["path"]: one["kind"] for one in done.json["findings"]}

    def loads(self) -> None:
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download("org/base", cache_dir=self.hub, local_files_only=True))
        assert folder == self.snapshot and read(folder) == FILES


def read(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.fixture
def broken(tmp_path: Path) -> Broken:
    return Broken(tmp_path)


# a blob that is missing


def plain_copy(broken: Broken, name: str) -> Path:
    return Path(tree.write(str(broken.models / "deep/part.safetensors"), FILES[name]))


def second_cache(broken: Broken, name: str) -> Path:
    other = broken.base / "second/hub"
    (blob,) = tree.cache(str(other), "org/same", {"w.safetensors": FILES[name]}, "b" * 40).values()
    broken.hubfold("roots", "add", other)
    return Path(blob)


def local_copy(broken: Broken, name: str) -> Path:
    return Path(tree.local_dir(str(broken.models / "base"), {name: FILES[name]})[name])


def linked_copy(broken: Broken, name: str) -> Path:
    """What an earlier fold kept in the vault, and the cache lost."""
    copy = plain_copy(broken, name)
    broken.hubfold("consolidate", "-y", "--link", "symlink")
    return copy


DONORS: tuple[Callable[[Broken, str], Path], ...] = (plain_copy, second_cache, local_copy, linked_copy)


@pytest.mark.parametrize("name", [ONE, TWO])
@pytest.mark.parametrize("donor", DONORS, ids=lambda donor: donor.__name__)
def test_a_missing_blob_is_had_from_any_root(
    broken: Broken, donor: Callable[[Broken, str], Path], name: str
) -> None:
    copy = donor(broken, name)
    before = tree.look(str(copy))
    broken.blobs[name].unlink()
    broken.hubfold("check", "-q", "org/base", code=3)
    assert broken.findings()[str(broken.snapshot / name)] == "dangling-link"
    broken.hubfold("doctor", "--fix", "-y")
    broken.loads()
    assert tree.look(str(copy)) == before
    assert not broken.blobs[name].is_symlink() and broken.findings() == {}
    broken.hubfold("check", "-q", "org/base")


def test_files_that_git_hashes_are_found_too(broken: Broken) -> None:
    """A small file has the sha1 of git as its name."""
    text = FILES[SMALL]
    sha1 = hashlib.sha1(b"blob %d\0" % len(text) + text).hexdigest()
    link = broken.snapshot / SMALL
    link.unlink()
    link.symlink_to(f"../../../blobs/{sha1}")
    tree.write(str(broken.models / "tokenizer.model"), text)
    broken.hubfold("scan", "--all-files")
    broken.hubfold("doctor", "--fix", "-y")
    assert link.read_bytes() == text and (broken.hub / REPOSITORY / "blobs" / sha1).is_file()


def test_what_is_not_these_bytes_is_not_used(broken: Broken) -> None:
    """A file of the name and size, and one whose own name lies."""
    wrong = bytes(len(FILES[TWO]))
    tree.write(str(broken.models / TWO), wrong)
    other = broken.base / "second/hub"
    (blob,) = tree.cache(str(other), "org/same", {TWO: FILES[TWO]}, "b" * 40).values()
    Path(blob).write_bytes(wrong)
    broken.hubfold("roots", "add", other)
    broken.blobs[TWO].unlink()
    broken.hubfold("doctor", "--fix", "-y", code=3)
    assert not os.path.lexists(broken.blobs[TWO])
    assert not list(broken.hub.rglob(".hubfold-*"))


def test_a_copy_in_a_cache_becomes_one_file_with_it_and_any_other_stays_its_owners(broken: Broken) -> None:
    copy, blob = plain_copy(broken, ONE), second_cache(broken, TWO)
    for name in (ONE, TWO):
        broken.blobs[name].unlink()
    broken.hubfold("doctor", "--fix", "-y")
    assert os.path.samefile(blob, broken.blobs[TWO]) and not os.path.samefile(copy, broken.blobs[ONE])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root: files of two users")
@pytest.mark.parametrize(
    "mode, folder, used", [(0o600, 0o755, False), (0o644, 0o700, False), (0o644, 0o755, True)]
)
def test_another_users_file_is_used_only_if_everybody_may_read_it(
    broken: Broken, mode: int, folder: int, used: bool
) -> None:
    copy = plain_copy(broken, TWO)
    for path, bits in ((copy, mode), (copy.parent, folder)):
        os.chown(path, 12345, 12345)
        path.chmod(bits)
    for above in (broken.base, broken.base.parent):
        above.chmod(0o755)
    if any(above.stat().st_mode & 0o001 == 0 for above in broken.base.parents):
        pytest.skip("not everybody gets to the folders of tests here")
    broken.blobs[TWO].unlink()
    broken.hubfold("doctor", "--fix", "-y", code=None)
    assert broken.blobs[TWO].exists() == used


def test_behind_a_link_it_is_put_where_it_lies(broken: Broken) -> None:
    large = broken.base / "large"
    shutil.move(broken.hub / REPOSITORY, large)
    (broken.hub / REPOSITORY).symlink_to(large)
    plain_copy(broken, TWO)
    broken.blobs[TWO].unlink()
    broken.hubfold("doctor", "--fix", "-y")
    broken.loads()


def test_a_blob_on_a_drive_that_is_away_is_waited_for(broken: Broken) -> None:
    """The blob is a link itself: what it leads to is not gone."""
    plain_copy(broken, TWO)
    broken.blobs[TWO].unlink()
    broken.blobs[TWO].symlink_to(broken.base / "unplugged/object")
    broken.hubfold("doctor", "--fix", "-y", code=3)
    assert os.readlink(broken.blobs[TWO]) == str(broken.base / "unplugged/object")


# a snapshot that was copied out of its cache


def copied(broken: Broken, name: str = "base") -> Path:
    folder = broken.models / name
    shutil.copytree(broken.snapshot, folder, symlinks=True)
    assert not any((folder / file).exists() for file in FILES)
    return folder


def test_a_snapshot_that_was_copied_without_its_blobs_is_told_and_mended(broken: Broken) -> None:
    folder = copied(broken)
    texts = {name: os.readlink(folder / name) for name in FILES}
    warnings = [warning["path"] for warning in broken.program("scan", "--json").json["warnings"]]
    assert any(path.startswith(str(folder)) for path in warnings)
    assert {str(folder / name) for name in FILES} <= broken.findings().keys()
    before = tree.census(str(broken.hub))
    broken.hubfold("doctor", "--fix", "-y")
    assert read(folder) == FILES and broken.findings() == {}
    assert tree.losses(before, str(broken.hub)) == []
    broken.hubfold("gc", "-y", code=None)
    assert read(folder) == FILES, "the vault keeps what the links read"
    broken.hubfold("undo", "-y")
    assert {name: os.readlink(folder / name) for name in FILES} == texts
    broken.loads()


def test_it_is_mended_from_elsewhere_when_the_cache_is_gone(broken: Broken) -> None:
    folder = copied(broken, "org/base")
    for name, data in FILES.items():
        tree.write(str(broken.models / "backup" / f"{os.path.basename(name)}.bin"), data)
    shutil.rmtree(broken.hub / REPOSITORY)
    broken.hubfold("scan", "--all-files")
    broken.hubfold("doctor", "--fix", "-y")
    assert read(folder) == FILES


def test_a_copy_of_a_copy_is_mended_too(broken: Broken) -> None:
    """Two folders with the same links: one object, of which both are noted."""
    one, two = copied(broken), copied(broken, "second")
    broken.hubfold("doctor", "--fix", "-y")
    assert read(one) == FILES == read(two)
    shutil.rmtree(one)
    broken.hubfold("gc", "-y", code=None)
    assert read(two) == FILES


def test_what_was_linked_absolutely_into_a_cache_that_moved_is_mended(broken: Broken) -> None:
    """A folder that somebody linked by hand, straight to the blobs."""
    folder = broken.models / "by hand"
    folder.mkdir()
    for name, blob in broken.blobs.items():
        (folder / os.path.basename(name)).symlink_to(blob)
    moved = broken.base / "moved"
    broken.hub.rename(moved)
    broken.hubfold("roots", "add", moved)
    broken.hubfold("doctor", "--fix", "-y", code=None)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")} == {
        os.path.basename(name): data for name, data in FILES.items()
    }


def test_links_that_never_led_into_a_cache_are_no_business_of_ours(broken: Broken) -> None:
    """The lock of an editor, and a link to a file that was deleted."""
    (broken.models / ".#notes").symlink_to("ana@host.1234")
    (broken.models / "old.safetensors").symlink_to("../gone/old.safetensors")
    assert broken.program("scan", "--json").json["warnings"] == [] and broken.findings() == {}


def test_what_somebody_put_there_meanwhile_stays(broken: Broken) -> None:
    folder = copied(broken)
    (folder / TWO).unlink()
    (folder / TWO).write_bytes(b"mine")
    broken.hubfold("doctor", "--fix", "-y")
    assert (folder / TWO).read_bytes() == b"mine" and (folder / ONE).read_bytes() == FILES[ONE]


# absolute links in a cache that moved


@pytest.mark.parametrize("missing", [False, True])
def test_absolute_links_of_a_cache_that_moved_get_their_relative_text(broken: Broken, missing: bool) -> None:
    for name, blob in broken.blobs.items():
        link = broken.snapshot / name
        link.unlink()
        link.symlink_to(broken.base / "old/hub" / REPOSITORY / "blobs" / blob.name)
    if missing:
        plain_copy(broken, TWO)
        broken.blobs[TWO].unlink()
    before = {name: os.readlink(broken.snapshot / name) for name in FILES}
    assert {str(broken.snapshot / name) for name in FILES} == broken.findings().keys()
    broken.hubfold("doctor", "--fix", "-y")
    broken.loads()
    expected = {
        name: os.path.relpath(blob, (broken.snapshot / name).parent) for name, blob in broken.blobs.items()
    }
    assert {name: os.readlink(broken.snapshot / name) for name in FILES} == expected
    assert broken.findings() == {}
    broken.hubfold("undo", "-y")
    assert {name: os.readlink(broken.snapshot / name) for name in FILES} == before
