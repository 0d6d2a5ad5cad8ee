"""`hubfold doctor --mount` and `--compose`: what containers do not see."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.engine.engine import Engine
from hubfold.errors import Interrupted
from hubfold.progress import Stop
from tests.building import boxes
from tests.building.program import Program, Scene

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")


@pytest.fixture
def folded(hubfold: Program, scene: Scene) -> list[Path]:
    """The copies, as links into the vault beside the cache: they lead out of models/."""
    assert hubfold("consolidate", "hf", "models", "--link", "symlink", "-y").code == 0
    assert all(copy.is_symlink() for copy in scene.copies)
    return scene.copies


def in_container(folder: Path, mounts: list[str], link: str) -> str | None:
    folder.mkdir()
    parts = [mount.split(":")[:2] for mount in mounts]
    return boxes.seen(folder, [(host, at) for host, at in parts], [link])[link]


@as_root
def test_a_link_that_leads_out_is_told_with_the_mount_that_mends_it(
    hubfold: Program, scene: Scene, folded: list[Path], tmp_path: Path
) -> None:
    done = hubfold("doctor", "--mount", f"{scene.models}:/models", "--json")
    assert done.code == 3
    (finding,) = done.json["findings"]
    assert (finding["kind"], finding["links"]) == ("link-leads-out", 2)
    (mount,) = finding["mounts"]
    assert mount == f"{scene.folder}/hf/hubfold:/hf/hubfold:ro"
    link = "/models/copy.safetensors"
    before = [f"{scene.models}:/models"]
    assert in_container(tmp_path / "before", before, link) is None
    assert in_container(tmp_path / "after", [*before, mount], link) is not None
    mended = hubfold("doctor", "--mount", before[0], "--mount", mount)
    assert (mended.code, mended.out) == (0, "2 links followed: a container sees all of it\n")


def test_a_mount_of_the_folder_above_needs_no_other(
    hubfold: Program, scene: Scene, folded: list[Path]
) -> None:
    assert hubfold("doctor", "--mount", f"{scene.folder}:/all").code == 0


def test_absolute_links_need_their_own_path(hubfold: Program, scene: Scene) -> None:
    (scene.models / "by-path.safetensors").symlink_to(scene.blob)
    (finding,) = hubfold("doctor", "--mount", f"{scene.models}:/models", "--json").json["findings"]
    assert finding["mounts"] == [f"{scene.hub}:{scene.hub}"]


def test_a_snapshot_without_its_blobs(hubfold: Program, scene: Scene) -> None:
    (finding,) = hubfold("doctor", "--mount", f"{scene.snapshot.parent}:/m", "--json").json["findings"]
    assert finding["mounts"] == [f"{scene.blob.parent}:/blobs"]


def test_where_no_mount_mends_it_the_folder_that_has_both_is_named(hubfold: Program, scene: Scene) -> None:
    (scene.models / "base" / "up.safetensors").symlink_to("../copy.safetensors")
    (finding,) = hubfold("doctor", "--mount", f"{scene.models}/base:/m", "--json").json["findings"]
    assert finding["mounts"] == []
    assert f"mount {scene.models}, which has both" in finding["fix"]


def test_what_dangles_here_too_and_links_of_no_model_are_not_told(hubfold: Program, scene: Scene) -> None:
    (scene.models / "gone.safetensors").symlink_to("/nowhere/x")
    (scene.models / "python3").symlink_to("/bin/sh")
    assert hubfold("doctor", "--mount", f"{scene.models}:/models").code == 0


def compose(scene: Scene, text: str) -> Path:
    path = scene.folder / "project" / "compose.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def kinds(hubfold: Program, scene: Scene, text: str) -> list[tuple[str, str]]:
    done = hubfold("doctor", "--compose", compose(scene, text), "--json")
    assert done.code == (3 if done.json["findings"] else 0), done.err
    return [(one["service"], one["kind"]) for one in done.json["findings"]]


def service(volume: str, *environment: str) -> str:
    lines = "".join(f"\n      - {one}" for one in environment)
    told = f"\n    environment:{lines}" if lines else ""
    return f"services:\n  web:\n    volumes:\n      - {volume}{told}\n"


@pytest.mark.parametrize(
    ("volume", "environment", "found"),
    [
        ("../hf:/hf", ["HF_HOME=/hf"], []),
        ("../hf:/root/.cache/huggingface", [], []),
        ("../hf/hub:/cache", ["HF_HUB_CACHE=/cache"], []),
        ("../hf:/home/app/.cache/huggingface", ["HOME=/home/app"], []),
        # The folder above is taken for the cache, and the other way round.
        ("../hf/hub:/cache", ["HF_HOME=/cache"], ["cache-elsewhere"]),
        ("../hf:/cache", ["HF_HUB_CACHE=/cache"], ["cache-elsewhere"]),
        ("../hf:/cache", [], ["cache-elsewhere"]),
        ("../hf:/cache", ["HF_HOME=/data"], ["cache-elsewhere"]),
        ("../models:/models", ["HF_HOME=/data"], ["cache-not-mounted"]),
        ("../models:/models", ["HF_HOME=/hf", "HF_HUB_CACHE=/data"], ["cache-not-mounted"]),
        ("../models:/models", [], []),
        ("../models:/models", ["TRANSFORMERS_CACHE=/models"], []),
        ("../models:/models", ["TRANSFORMERS_CACHE=/data"], ["cache-not-mounted"]),
        ("../models:/models", ["cache_dir=/data"], ["cache-not-mounted"]),
        ("../hf:/hf:ro", ["HF_HOME=/hf"], ["read-only-cache"]),
        ("../hf:/hf:ro", ["HF_HOME=/hf", "HF_HUB_OFFLINE=1"], []),
        ("hub:/hf", ["HF_HOME=/hf"], []),
        ("../gone:/hf", ["HF_HOME=/hf"], ["missing-source"]),
    ],
)
def test_the_cache_that_the_environment_names(
    hubfold: Program, scene: Scene, volume: str, environment: list[str], found: list[str]
) -> None:
    told = kinds(hubfold, scene, service(volume, *environment))
    assert told == [("web", kind) for kind in found]


def test_variables_come_from_the_env_file_beside_it(hubfold: Program, scene: Scene) -> None:
    text = service("${WHERE:-/nowhere}:/hf", "HF_HOME=${AT}")
    (scene.folder / "project").mkdir()
    (scene.folder / "project" / ".env").write_text("WHERE='../hf'\nexport AT=/hf # where it is\n")
    assert kinds(hubfold, scene, text) == []
    told = hubfold("doctor", "--compose", compose(scene, text), "--json", environ={"AT": "/data"})
    assert [one["kind"] for one in told.json["findings"]] == ["cache-elsewhere"]


def test_each_service_is_looked_at_by_itself_and_volumes_are_told(hubfold: Program, scene: Scene) -> None:
    text = """
services:
  good: {volumes: [../hf:/hf], environment: {HF_HOME: /hf}}
  bad: {volumes: [../hf/hub:/hf], environment: {HF_HOME: /hf}}
  db: {volumes: [data:/var/lib/db]}
volumes: {data: }
"""
    done = hubfold("doctor", "--compose", compose(scene, text))
    assert done.code == 3
    assert "bad: cache-elsewhere: /hf/hub" in done.out
    assert "good:" not in done.out
    assert "/var/lib/db: service db: volume data: its content is not looked at" in done.out


def test_the_environment_of_a_container_may_be_given(hubfold: Program, scene: Scene) -> None:
    mount = ["doctor", "--mount", f"{scene.folder}/hf:/data"]
    assert hubfold(*mount).code == 0
    assert hubfold(*mount, "--env", "HF_HOME=/data").code == 0
    assert hubfold(*mount, "--env", "HF_HOME=/hf").code == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--mount", "models"], 2, "HOST:CONTAINER"),
        (["--mount", "model:/m"], 1, "models"),
        (["--compose", "gone.yaml"], 1, "does not exist"),
        (["--compose", "models/tuned.safetensors"], 2, "is no text"),
        (["--compose", "models"], 1, "cannot be read"),
        (["--mount", "models:/m", "--fix"], 2, "leave out --fix"),
        (["--env", "A=b"], 2, "--env goes with --mount"),
        (["--mount", "models:/m", "--env", "A"], 2, "NAME=VALUE"),
    ],
)
def test_what_is_wrong_is_said(
    hubfold: Program, scene: Scene, arguments: list[str], code: int, said: str
) -> None:
    done = hubfold("doctor", *arguments)
    assert done.code == code, done.err
    assert said in done.err


def test_it_can_be_stopped(scene: Scene, tmp_path: Path) -> None:
    (scene.models / "by-path.safetensors").symlink_to(scene.blob)
    stop = Stop()
    stop.set()
    with Engine(tmp_path / "state", stop=stop) as engine, pytest.raises(Interrupted):
        engine.doctor_mounts([f"{scene.models}:/models"])
