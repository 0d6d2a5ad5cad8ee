"""`hubfold backup` and `hubfold restore`."""

from __future__ import annotations

import pytest

from tests.building.program import Program, Scene


@pytest.mark.slow
def test_there_and_back(hubfold: Program, scene: Scene) -> None:
    dry = hubfold("backup", "saved.tar", "--dry-run")
    assert dry.code == 0
    assert "org/base (0123456789ab): 1 file, 2.1M" in dry.out
    assert not (hubfold.home / "saved.tar").exists()
    done = hubfold("backup", "saved.tar", "--json").json
    assert set(done) == {"target", "run", "models", "bytes", "written_bytes", "failed"}
    content = scene.blob.read_bytes()
    hubfold("rm", "org/base", "-y")
    assert hubfold("restore", "saved.tar", "--dry-run").out.endswith(
        "3 files to make in " + f"{scene.hub}, 2.1M to write\n"
    )
    assert hubfold("restore", "saved.tar").code == 5
    assert not (scene.hub / "models--org--base").exists()
    asked = hubfold.on_terminal("restore", "saved.tar", answers=[("2.1M? [y/N]", "y\n")])
    assert asked.code == 0
    assert "restored 1 revision" in asked.out
    assert scene.snapshot.read_bytes() == content
    again = hubfold("restore", "saved.tar", "-y", "--json").json
    assert set(again) == {"root", "run", "models", "restored", "written_bytes", "left", "failed"}
    assert again["written_bytes"] == 0


def test_a_folder_and_another_cache(hubfold: Program, scene: Scene) -> None:
    assert hubfold("backup", "saved", "org/base").code == 0
    assert hubfold("restore", "saved", "--into", "other/hub", "-y").code == 0
    moved = hubfold.home / "other/hub" / scene.snapshot.relative_to(scene.hub)
    assert moved.read_bytes() == scene.blob.read_bytes()


def test_what_is_no_backup(hubfold: Program, scene: Scene) -> None:
    (hubfold.home / "bad.tar").write_bytes(b"no tar at all")
    for source in ("nowhere", "bad.tar", "models", "hf"):
        done = hubfold("restore", source, "-y")
        assert done.code == 1, source
        assert len(done.err.splitlines()) == 2
    assert hubfold("backup", "models").code == 1
    assert hubfold("backup", "new", "org/none").code == 1
    assert not (hubfold.home / "new").exists()


def test_an_ending_that_is_none_of_a_backup_is_refused(hubfold: Program, scene: Scene) -> None:
    for name in (
        "saved.zip",
        "saved.tar.gz",
        "saved.tgz",
        "models.TAR",
        "saved.7z",
        "saved.tra",
        "saved.zst",
    ):
        done = hubfold("backup", name)
        assert (done.code, done.out) == (2, ""), name
        assert " is no kind of backup" in done.err and f"for a folder of this name: {name}/" in done.err
        assert not (hubfold.home / name).exists()
    assert "hubfold: .tar.gz is no kind" in hubfold("backup", "saved.tar.gz").err
    (hubfold.home / "there.zip").mkdir()
    for name in ("saved.zip/", "there.zip", "models-1.5", "2026.11.28", ".saved", "of.today/models"):
        done = hubfold("backup", name, "--dry-run")
        assert (done.code, done.err) == (0, ""), name


def test_a_backup_of_all_says_where_it_could_not_look(hubfold: Program, scene: Scene) -> None:
    hubfold("roots", "add", "models")
    hubfold("scan")
    scene.models.rename(hubfold.home / "unplugged")
    done = hubfold("backup", "saved.tar")
    assert done.code == 3
    assert f"{scene.models}: it is not there (is its drive connected?)" in done.err
    assert "1 revision in" in done.out
    assert hubfold("backup", "one.tar", "org/base").code == 0, "what was asked for is in it"
