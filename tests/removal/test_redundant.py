"""`rm --redundant-copies`: local copies that a cache holds whole, and all that looks like one and is none."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine, RootError
from hubfold.removal import twins
from hubfold.reports.removals import RemoveReport
from hubfold.testing.trees import Tree, fine_tune_of, hub_cache, local_dir, model_files, safetensors
from tests.building.library import commit_of

SIZE = 2 << 20
FILES = model_files("base", SIZE)


@pytest.fixture
def place(tree: Tree) -> Tree:
    """org/base in a cache, and twice below models/; org/alone only there."""
    tree.hub.add("org/base", FILES)
    tree.hub.add("org/alone", model_files("alone", SIZE))
    return tree.build(
        {
            "hub": hub_cache("org/base"),
            "models/base": local_dir("org/base"),
            "models/again": local_dir("org/base"),
            "models/alone": local_dir("org/alone"),
        }
    )


@pytest.fixture
def engine(place: Tree) -> Iterator[Engine]:
    with Engine() as made:
        made.add_root(place["hub"])
        made.add_root(place["models"])
        yield made


def removed(engine: Engine, *paths: Path) -> RemoveReport:
    return engine.apply_removal(engine.plan_redundant(paths))


def reasons(report: RemoveReport) -> dict[str, str]:
    return {os.path.basename(left.path): left.reason for left in report.left}


def whole(folder: Path) -> bool:
    return all((folder / name).read_bytes() == data for name, data in FILES.items())


def in_cache(place: Tree, name: str = "model.safetensors") -> Path:
    return commit_of(place, "org/base") / name


def test_what_a_cache_holds_goes_and_the_rest_stays(place: Tree, engine: Engine) -> None:
    preview = engine.preview_removal(engine.plan_redundant())
    assert whole(place["models/base"]) and whole(place["models/again"])
    report = removed(engine)
    assert not report.failed
    assert set(report.removed) == set(preview.removed)
    assert (report.bytes, preview.last_copies) == (preview.bytes, ())
    assert report.bytes > 2 * SIZE
    assert {model.held_by for model in preview.models} == {str(commit_of(place, "org/base"))}
    assert sorted(os.listdir(place["models"])) == ["alone"]
    assert whole(commit_of(place, "org/base"))
    assert reasons(report) == {"alone": "no cache holds it whole"}
    assert removed(engine).run is None, "nothing is left to do"


def test_only_what_was_named(place: Tree, engine: Engine) -> None:
    report = removed(engine, place["models/base"])
    assert sorted(os.listdir(place["models"])) == ["again", "alone"]
    assert not report.left
    assert reasons(removed(engine, place["hub"])) == {
        "hub": "no client has noted that it downloaded a copy here"
    }
    with pytest.raises(RootError):
        engine.plan_redundant([place["models/bose"]])


def test_a_copy_outside_of_the_known_roots_is_named(place: Tree, engine: Engine) -> None:
    place.build({"far/base": local_dir("org/base")})
    assert not removed(engine, place["far"]).failed
    assert not place["far/base"].exists()
    assert place["models/base"].exists()


@pytest.mark.parametrize("link", ["symlink", "hardlink"])
def test_a_copy_that_was_folded_goes_too(place: Tree, engine: Engine, link: str) -> None:
    """No link is left, and no folder: what the cache has is all that there is."""
    from hubfold import LinkKind

    engine.scan()
    assert engine.apply(engine.plan(link=LinkKind(link))).actions
    report = removed(engine)
    assert not report.failed and reasons(report).keys() == {"alone"}
    assert sorted(os.listdir(place["models"])) == ["alone"]
    assert whole(commit_of(place, "org/base"))
    assert not any(one.endswith(".links") for _, _, names in os.walk(place.folder) for one in names)


def test_what_is_not_in_the_cache_keeps_all_of_it(place: Tree, engine: Engine) -> None:
    in_cache(place, "config.json").unlink()
    assert set(reasons(removed(engine)).values()) == {
        f"config.json is not in {commit_of(place, 'org/base')}",
        "no cache holds it whole",
    }
    assert whole(place["models/base"]) and whole(place["models/again"])


def test_what_a_user_changed_or_added_stays(place: Tree, engine: Engine) -> None:
    changed = place["models/base/config.json"]
    changed.write_text("{}")
    os.utime(changed, (2_000_000_000, 2_000_000_000))
    (place["models/again"] / "mine.txt").write_text("mine")
    report = removed(engine)
    assert reasons(report)["base"] == "config.json was changed since it was downloaded"
    assert (place["models/base"] / "model.safetensors").exists() and changed.read_text() == "{}"
    assert os.listdir(place["models/again"]) == ["mine.txt"]


def test_a_download_that_is_not_at_its_end_keeps_it(place: Tree, engine: Engine) -> None:
    from hubfold.testing.trees import parse_repository

    assert parse_repository("org/base")
    copy = place["models/base"]
    (copy / "model.safetensors").unlink()
    note = copy / ".cache/huggingface/download/model.safetensors.metadata"
    etag = note.read_text().split("\n")[1]
    note.unlink()
    (note.parent / f"abc.{etag}.incomplete").write_bytes(b"begun")
    assert reasons(removed(engine))["base"] == "a download into it is not at its end"
    assert (copy / "config.json").exists()


def read_elsewhere(place: Tree, to: str) -> Path:
    link = place["elsewhere/link"]
    link.parent.mkdir()
    link.symlink_to(place[to])
    return link


@pytest.mark.parametrize("to", ["models/base/model.safetensors", "models/base"])
def test_what_a_link_of_another_place_reads_stays(place: Tree, engine: Engine, to: str) -> None:
    link = read_elsewhere(place, to)
    engine.add_root(place["elsewhere"])
    report = removed(engine)
    assert reasons(report)["base"].startswith(str(link))
    assert whole(place["models/base"]) and link.exists()
    assert not place["models/again"].exists()


# the other copy is none


def test_a_cache_that_is_made_of_links_to_it_is_no_other_copy(place: Tree, engine: Engine) -> None:
    blob = in_cache(place).resolve()
    blob.unlink()
    blob.symlink_to(place["models/base/model.safetensors"])
    report = removed(engine)
    assert "base" in reasons(report) and whole(place["models/base"])
    assert "again" in reasons(report), "its twin is read through the first, which may go another time"
    assert in_cache(place).read_bytes() == FILES["model.safetensors"]


def test_a_snapshot_that_is_a_link_to_the_copy_is_no_other_copy(place: Tree, engine: Engine) -> None:
    shutil.rmtree(place["models/again"])
    snapshot = commit_of(place, "org/base")
    shutil.rmtree(snapshot)
    snapshot.symlink_to(place["models/base"])
    removed(engine)
    assert whole(place["models/base"])


def test_another_name_of_the_file_is_enough_and_frees_nothing(place: Tree, engine: Engine) -> None:
    for name in FILES:
        copy = place["models/base"] / name
        copy.unlink()
        os.link(in_cache(place, name).resolve(), copy)
        os.utime(copy, (1, 1))
    report = removed(engine, place["models/base"])
    assert not report.failed and not report.left
    assert not place["models/base"].exists()
    assert report.bytes < SIZE
    assert whole(commit_of(place, "org/base"))


def test_one_file_by_two_paths_is_no_other_copy(tmp_path: Path) -> None:
    """As a bind mount shows it: one name, though the paths differ. (`faults/test_seen_twice.py` mounts one.)"""
    (tmp_path / "a").mkdir()
    (tmp_path / "b").symlink_to("a")
    file = tmp_path / "a" / "m.bin"
    file.write_bytes(b"bytes")
    os.link(file, tmp_path / "a" / "other.bin")
    assert "itself" in (twins.no_copy(str(file), str(tmp_path / "b/m.bin"), ()) or "")
    assert twins.no_copy(str(file), str(tmp_path / "a/other.bin"), ()) is None


def test_other_bytes_are_seen_right_before(place: Tree, engine: Engine) -> None:
    """Same size, same time, one byte in the middle: no name and no note tells."""
    blob = in_cache(place).resolve()
    st = blob.stat()
    blob.chmod(0o644)
    blob.write_bytes(fine_tune_of(safetensors("base", SIZE)))
    os.utime(blob, ns=(st.st_atime_ns, st.st_mtime_ns))
    plan = engine.plan_redundant()
    assert len(plan.removals) == 2
    report = engine.apply_removal(plan)
    assert report.removed == () and report.bytes == 0
    assert len(report.failed) == 2 and all("bytes differ" in one.error for one in report.failed)
    assert whole(place["models/base"]) and whole(place["models/again"])
    assert engine.recover().runs == ()


def edited(place: Tree) -> None:
    with (place["models/base"] / "model.safetensors").open("r+b") as file:
        file.write(b"edited")


def cache_gone(place: Tree) -> None:
    shutil.rmtree(place["hub/models--org--base"])


def cache_moved(place: Tree) -> None:
    place["hub"].rename(place["pulled out"])


def now_a_link(place: Tree) -> None:
    blob = in_cache(place).resolve()
    blob.unlink()
    blob.symlink_to(place["models/base/model.safetensors"])


def unreadable(place: Tree) -> None:
    in_cache(place).resolve().unlink()
    in_cache(place).resolve().mkdir()


@pytest.mark.parametrize("meanwhile", [edited, cache_gone, cache_moved, now_a_link, unreadable])
def test_what_changed_since_it_was_shown_keeps_the_copy(
    place: Tree, engine: Engine, meanwhile: object
) -> None:
    plan = engine.plan_redundant([place["models/base"]])
    assert len(plan.removals) == 1
    meanwhile(place)  # type: ignore[operator]
    report = engine.apply_removal(plan)
    assert report.failed and not any("model.safetensors" in path for path in report.removed)
    assert (place["models/base"] / "model.safetensors").is_file()
    assert (place["models/base"] / "model.safetensors").stat().st_size == SIZE


@pytest.mark.parametrize("meanwhile", [edited, cache_gone, cache_moved, now_a_link])
def test_what_changes_after_it_was_compared_keeps_the_file(
    place: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch, meanwhile: object
) -> None:
    compare = twins.Twins.compare

    def compared(self: twins.Twins, copy: str) -> None:
        compare(self, copy)
        meanwhile(place)  # type: ignore[operator]

    monkeypatch.setattr(twins.Twins, "compare", compared)
    report = removed(engine, place["models/base"])
    assert (place["models/base"] / "model.safetensors").stat().st_size == SIZE
    assert any("model.safetensors" in one.path for one in report.failed)
    assert not any(path.endswith("/model.safetensors") for path in report.removed)


def test_a_program_that_writes_to_either_keeps_the_copy(place: Tree, engine: Engine) -> None:
    for path in (place["models/base/model.safetensors"], in_cache(place).resolve()):
        with path.open("r+b"):
            report = removed(engine, place["models/base"])
        assert "open for writing" in report.failed[0].error
        assert whole(place["models/base"])


def test_another_users_cache_is_no_place_for_a_users_last_name(
    place: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Root removes no user's copy for what another user may take away; a user may remove his own."""
    if os.geteuid() != 0:
        pytest.skip("gives files to another user")
    for path in place["models/base"].rglob("*"):
        os.chown(path, 1000, 1000)
    report = removed(engine, place["models/base"])
    assert "another user's file" in report.failed[0].error
    assert whole(place["models/base"])
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert not removed(engine, place["models/base"]).failed


def test_what_cannot_be_read_in_the_cache_is_no_copy(
    place: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubfold.removal import redundant

    access = os.access
    refused = str(in_cache(place, "config.json"))
    monkeypatch.setattr(redundant.os, "access", lambda path, mode: path != refused and access(path, mode))
    assert reasons(removed(engine))["alone"] == "no cache holds it whole"
    assert whole(place["models/base"])


def test_a_cache_that_is_away_holds_nothing(place: Tree, engine: Engine) -> None:
    engine.scan()
    place["hub"].rename(place["away"])
    assert set(reasons(removed(engine)).values()) == {"no cache holds it whole"}
    assert whole(place["models/base"])


def test_what_was_cut_short_is_gone_on_with(
    place: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its notes are gone, so it is a copy no more; the journal has what is left, and the cache is asked again."""
    from hubfold.removal.remover import Remover

    def killed(self: Remover, root: object, paths: object) -> bool:
        raise SystemExit(9)

    with monkeypatch.context() as patched:
        patched.setattr(Remover, "_unneeded", killed)
        with pytest.raises(SystemExit):
            removed(engine, place["models/base"])
    assert whole(place["models/base"])
    assert not (place["models/base/.cache/huggingface/download"]).exists()
    engine.recover()
    report = removed(engine, place["models/base"])
    assert not report.failed and not report.left
    assert not place["models/base"].exists()
    assert place["models/again"].exists()


def test_the_rest_of_one_that_no_cache_holds_stays(
    place: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hubfold.removal.remover import Remover

    with monkeypatch.context() as patched:
        patched.setattr(Remover, "_unneeded", lambda self, root, paths: False)
        removed(engine, place["models/base"])
    cache_gone(place)
    assert "base" in reasons(removed(engine, place["models/base"]))
    assert whole(place["models/base"])
