"""`hubfold dupes`."""

from __future__ import annotations

import subprocess

import pytest

from tests.building.program import Program, Scene


def test_a_set_is_shown_with_its_paths(hubfold: Program, scene: Scene) -> None:
    hubfold("roots", "add", "models")
    hubfold("scan")
    done = hubfold("dupes")
    assert done.code == 0
    first, *paths = done.out.partition("\n\n")[0].splitlines()
    assert first.startswith("2.1M in 3 copies, 4.2M reclaimable")
    assert "org/base" in first
    assert {path.split()[0] for path in paths} >= {str(copy) for copy in scene.copies}
    assert str(scene.tuned) not in done.out


def test_json_has_the_documented_keys(hubfold: Program, scene: Scene) -> None:
    hubfold("roots", "add", "models")
    hubfold("scan")
    report = hubfold("dupes", "--json").json
    assert report["reclaimable_bytes"] == 2 * scene.size
    (duplicates,) = report["sets"]
    assert duplicates["size"] == scene.size
    assert duplicates["digests"]["sha256"] == scene.blob.name
    assert duplicates["trust"] in ("claimed", "computed")
    assert {"path", "root", "backend", "device", "inode"} <= set(duplicates["replicas"][0])
    assert {replica["inode"] for replica in duplicates["replicas"]} == {
        path.stat().st_ino for path in (scene.blob, *scene.copies)
    }


def test_hard_links_stand_together(hubfold: Program, scene: Scene) -> None:
    (scene.models / "link.safetensors").hardlink_to(scene.copies[1])
    hubfold("roots", "add", "models")
    hubfold("scan")
    done = hubfold("dupes")
    assert "(same file)" in done.out and f"sha256 {scene.blob.name[:12]} (by name)" in done.out


@pytest.mark.slow
def test_quiet_prints_the_paths_and_a_closed_pipe_is_no_error(hubfold: Program, scene: Scene) -> None:
    hubfold("roots", "add", "models")
    hubfold("scan")
    assert set(hubfold("dupes", "-q").out.splitlines()) >= {str(copy) for copy in scene.copies}
    command = " ".join(f"'{word}'" for word in map(str, hubfold.command(["dupes"])))
    done = subprocess.run(
        ["bash", "-c", f"for i in 1 2 3 4 5; do {command} | head -n 1; done"],
        env=hubfold.environ,
        cwd=hubfold.home,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("2.1M in 3 copies") == 5
    assert "Traceback" not in done.stderr and "Broken" not in done.stderr


def test_nothing_scanned_yet_is_nothing_to_show(hubfold: Program) -> None:
    done = hubfold("dupes")
    assert done.code == 0
    assert "0B reclaimable" in done.out
