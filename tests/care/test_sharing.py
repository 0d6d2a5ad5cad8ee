"""What a group cannot use of the cache that it has in common."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hubfold.care.sharing import shut_out
from hubfold.journal import journal
from hubfold.journal.journal import Journal
from hubfold.reports.health import Finding


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
    cache: Path, name: str, mode: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of another user's: this one may not."""
    (cache / name).chmod(mode)
    monkeypatch.setattr("hubfold.care.sharing.os.geteuid", lambda: 60_124)
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


def opened(
    cache: Path, runs: Path, meanwhile: Callable[[], object] = lambda: None
) -> tuple[Finding, list[tuple[str, tuple[int, int]]]]:
    """(the finding, what the journal says of paths and modes); `meanwhile` comes between look and act."""
    with Journal.create(str(runs), "doctor", "0") as book:

        def begin() -> Journal:
            meanwhile()
            return book

        finding = shut_out(str(cache), begin=begin)
        book.append("end", state="finished")
    assert finding is not None
    return finding, [(one.path, one.mode) for one in journal.read(str(runs), book.run).shared]


@pytest.mark.parametrize(
    ("name", "mode", "then"),
    [("repo/listing.json", 0o600, 0o640), ("repo", 0o2755, 0o2775), ("repo", 0o700, 0o2770)],
)
def test_what_is_ours_is_opened_and_noted_before(
    cache: Path, tmp_path: Path, name: str, mode: int, then: int
) -> None:
    (cache / name).chmod(mode)
    preview = shut_out(str(cache))
    assert preview is not None and preview.mendable and preview.replaces == (str(cache / name),)
    assert (cache / name).stat().st_mode & 0o7777 == mode
    finding, noted = opened(cache, tmp_path / "runs")
    assert finding.fixed and noted == [(str(cache / name), (mode, then))]
    assert (cache / name).stat().st_mode & 0o7777 == then
    assert shut_out(str(cache)) is None


def test_a_file_with_a_name_elsewhere_stays_closed(cache: Path, tmp_path: Path) -> None:
    listing = cache / "repo" / "listing.json"
    listing.chmod(0o600)
    os.link(listing, tmp_path / "private")
    (cache / "repo" / "other.json").write_text("{}")
    (cache / "repo" / "other.json").chmod(0o600)
    finding, noted = opened(cache, tmp_path / "runs")
    assert [path for path, _ in noted] == [str(cache / "repo" / "other.json")]
    assert listing.stat().st_mode & 0o777 == 0o600 and not finding.fixed
    assert "of the other 1" in finding.fix


def test_what_became_a_link_meanwhile_is_not_followed(cache: Path, tmp_path: Path) -> None:
    listing, private = cache / "repo" / "listing.json", tmp_path / "private"
    listing.chmod(0o600)
    private.write_text("mine")
    private.chmod(0o600)

    def swapped() -> None:
        listing.unlink()
        listing.symlink_to(private)

    finding, _ = opened(cache, tmp_path / "runs", swapped)
    assert private.stat().st_mode & 0o777 == 0o600 and not finding.fixed
    assert "failed" in finding.fix


def test_what_became_another_file_meanwhile_stays(cache: Path, tmp_path: Path) -> None:
    listing = cache / "repo" / "listing.json"
    listing.chmod(0o600)

    def saved() -> None:
        (cache / "new").write_text("secret")
        (cache / "new").chmod(0o600)
        (cache / "new").rename(listing)

    opened(cache, tmp_path / "runs", saved)
    assert listing.read_text() == "secret" and listing.stat().st_mode & 0o777 == 0o600
