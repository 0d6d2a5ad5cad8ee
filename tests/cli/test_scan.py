"""`hubfold scan`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.building.program import FIGURES, Program, Scene


def test_it_tells_the_space_per_root_and_what_duplicates_cost(hubfold: Program, scene: Scene) -> None:
    done = hubfold("scan", "hf", "models")
    assert done.code == 0
    titles, *roots = done.out.partition("\n\n")[0].splitlines()
    assert titles.split() == ["SIZE", "ON", "DISK", "FILES", "BACKEND", "ROLE", "ROOT"]
    assert {line.split()[-1] for line in roots} == {str(scene.hub), str(scene.models)}
    assert done.out.split("\n\n")[1].splitlines() == FIGURES
    assert "1 duplicate set, 4.2M reclaimable" in done.out
    assert "next: hubfold consolidate --dry-run" in done.err


def test_json_has_the_documented_keys(hubfold: Program, scene: Scene) -> None:
    report = hubfold("scan", "hf", "models", "--json").json
    assert set(report) == {
        "roots", "files", "bytes", "duplicate_sets", "reclaimable_bytes", "bytes_read", "files_read", "seconds",
        "warnings", "space",
    }  # fmt: skip
    assert {"path", "backend", "role", "files", "bytes", "allocated_bytes"} <= set(report["roots"][0])
    assert (report["files"], report["bytes"]) == (4, 4 * scene.size)
    assert (report["duplicate_sets"], report["reclaimable_bytes"]) == (1, 2 * scene.size)


def test_without_a_path_it_scans_the_caches_that_the_environment_names(
    hubfold: Program, scene: Scene
) -> None:
    report = hubfold("scan", "--json").json
    assert [root["path"] for root in report["roots"]] == [str(scene.hub)]


def test_a_second_scan_reads_nothing(hubfold: Program, scene: Scene) -> None:
    assert hubfold("scan", "hf", "models", "--json").json["bytes_read"] > 0
    again = hubfold("scan", "hf", "models", "--json").json
    assert (again["bytes_read"], again["files_read"]) == (0, 0)
    assert again["reclaimable_bytes"] == 2 * scene.size


def test_small_files_are_left_alone(hubfold: Program, scene: Scene) -> None:
    assert hubfold("scan", "hf", "models", "--min-size", "5MiB", "--json").json["reclaimable_bytes"] == 0


@pytest.mark.parametrize(
    ("path", "word"), [("nowhere", "nowhere"), ("models/copy.safetensors", "copy.safetensors")]
)
def test_a_path_that_is_no_directory_is_an_error(
    hubfold: Program, scene: Scene, path: str, word: str
) -> None:
    done = hubfold("scan", path)
    assert done.code == 1
    what, hint = done.err.splitlines()
    assert word in what
    assert hint.strip()


@pytest.mark.skipif(os.getuid() == 0, reason="root reads everything; see the fault tests for the other way")
def test_a_folder_that_cannot_be_read_is_said_so(hubfold: Program, scene: Scene) -> None:
    (scene.models / "base").chmod(0)
    try:
        done = hubfold("scan", "models")
    finally:
        (scene.models / "base").chmod(0o755)
    assert str(scene.models / "base") in done.err


def test_names_that_are_not_utf8_or_hold_escapes(hubfold: Program, scene: Scene) -> None:
    odd = os.fsencode(scene.models) + b"/caf\xe9\x1b[31m\n"
    os.mkdir(odd)
    os.link(scene.tuned, odd + b"/\xff.safetensors")
    done = hubfold("scan", odd)
    assert done.code == 0
    assert r"caf\xe9\x1b[31m\n" in done.out
    assert "\x1b" not in done.out + done.err
    report = hubfold("scan", odd, "--json")
    assert report.json["roots"][0]["path"] == os.fsdecode(odd)
    assert r"\udce9\u001b[31m\n" in report.out


@pytest.mark.slow
def test_a_narrow_terminal_shows_whole_paths(hubfold: Program, scene: Scene) -> None:
    done = hubfold.on_terminal("scan", "hf", "models", columns=40, environ={"NO_COLOR": "1"})
    assert done.code == 0
    assert str(scene.models) in done.out.replace("\n", "")


def test_quiet_prints_nothing(hubfold: Program, scene: Scene) -> None:
    done = hubfold("scan", "hf", "models", "-q")
    assert (done.code, done.out, done.err) == (0, "", "")


def test_an_unknown_backend_names_those_there_are(hubfold: Program, scene: Scene) -> None:
    done = hubfold("scan", "models", "--backend", "hub-cahce")
    assert done.code in (1, 2)
    assert "hub-cahce" in done.err and "hub-cache" in done.err


def test_a_truncated_index_is_a_clear_error_or_rebuilt(hubfold: Program, scene: Scene) -> None:
    hubfold("scan", "models")
    index = Path(hubfold.environ["HUBFOLD_HOME"], "index.db")
    index.write_bytes(index.read_bytes()[:5000])
    done = hubfold("scan", "models", "--json")
    if done.code:
        assert done.code == 1 and len(done.err.splitlines()) == 2 and "index" in done.err
    else:
        assert done.json["files"] == 3


@pytest.mark.slow
@pytest.mark.parametrize("command", [["scan"], ["check", "org/base", "--anywhere"], ["ls"]])
def test_warnings_come_after_what_they_are_about_in_one_file_too(
    hubfold: Program, scene: Scene, command: list[str]
) -> None:
    hubfold("roots", "add", "models")
    hubfold("scan")
    scene.models.rename(hubfold.home / "unplugged")
    hubfold.prefix = ["sh", "-c", 'exec "$@" 2>&1', "sh"]
    lines = hubfold(*command).out.splitlines()
    [place] = [number for number, line in enumerate(lines) if line.startswith("warning: ")]
    assert "is not there" in lines[place]
    assert place > next(number for number, line in enumerate(lines) if "org/base" in line or "SIZE" in line)
    assert not [line for line in lines[place:] if "SIZE" in line or "whole" in line]
