"""What a group cannot use of the cache that it has in common."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.care.sharing import shut_out


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache that its group may write to, with one file in a folder."""
    top = tmp_path / "the hub"
    (top / "repo").mkdir(parents=True)
    (top / "repo" / "listing.json").write_text("{}")
    (top / "repo" / "link").symlink_to("gone")
    for path, mode in ((top, 0o2775), (top / "repo", 0o2775), (top / "repo" / "listing.json", 0o644)):
        path.chmod(mode)
    return top


def test_a_cache_that_is_open_to_its_group_is_as_it_should_be(cache: Path) -> None:
    assert shut_out(str(cache)) is None


@pytest.mark.parametrize(("name", "mode"), [("repo/listing.json", 0o600), ("repo", 0o2755), ("repo", 0o2720)])
def test_what_the_group_cannot_use_is_told_with_the_command_that_mends_it(
    cache: Path, name: str, mode: int
) -> None:
    (cache / name).chmod(mode)
    finding = shut_out(str(cache))
    assert finding is not None and not finding.mendable
    assert (finding.kind, finding.path) == ("not-shared", str(cache / name))
    assert "1 path of it" in finding.message
    for command in finding.fix.partition(": ")[2].replace("; and ", "; ").split("; "):
        assert os.system(command) == 0
    assert shut_out(str(cache)) is None


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_a_file_of_another_group_is_told(cache: Path) -> None:
    listing = cache / "repo" / "listing.json"
    os.chown(listing, -1, 60_123)
    assert shut_out(str(cache)) is None, "everybody reads it"
    listing.chmod(0o640)
    finding = shut_out(str(cache))
    assert finding is not None and finding.path == str(listing)


def test_a_cache_of_one_user_is_nobody_elses(cache: Path) -> None:
    (cache / "repo" / "listing.json").chmod(0o600)
    cache.chmod(0o755)
    assert shut_out(str(cache)) is None
    assert shut_out(str(cache / "gone")) is None
