"""`hubfold doctor`."""

from __future__ import annotations

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files
from tests.building.program import Program, Scene


@pytest.fixture
def sick(hubfold: Program, loopback_hub: LoopbackHub) -> Tree:
    """A folded local copy that a program wrote through; all other copies are in the same payload."""
    loopback_hub.add("org/model", model_files("model"))
    tree = Tree(hubfold.home, loopback_hub)
    tree.build({"hf/hub": hub_cache("org/model"), "models": local_dir("org/model")})
    assert hubfold("consolidate", "hf", "models", "-y").code == 0
    through = tree["models/model.safetensors"]
    mode = through.stat().st_mode
    through.chmod(0o644)
    with through.open("r+b") as file:
        file.write(b"trained")
    through.chmod(mode)
    return tree


def test_it_tells_what_is_wrong_and_what_would_mend_it(hubfold: Program, sick: Tree) -> None:
    done = hubfold("doctor")
    assert done.code == 3
    assert f"written-through: {sick['models/model.safetensors']}" in done.out
    assert "hubfold doctor --fix --download" in done.out
    report = hubfold("doctor", "--json").json
    assert set(report) == {"findings"}
    (finding,) = report["findings"]
    assert (
        set(finding) == {"kind", "path", "message", "fix", "fixed", "replaces"} and finding["fixed"] is False
    )


@pytest.mark.slow
def test_a_download_is_asked_about_and_then_done(
    hubfold: Program, sick: Tree, loopback_hub: LoopbackHub
) -> None:
    changed = sick["models/model.safetensors"].read_bytes()
    online = {**loopback_hub.environ(), "HF_HUB_OFFLINE": "0"}
    loopback_hub.forget_hits()
    asked = hubfold("doctor", "--fix", "--download", environ=online)
    assert asked.code == 5 and "download it anew (org/model/model.safetensors" in asked.out
    assert sick["models/model.safetensors"].read_bytes() == changed and loopback_hub.hits == []
    done = hubfold.on_terminal(
        "doctor", "--fix", "--download", answers=[("[y/N]", "y\n")], environ=online, columns=300
    )
    assert done.code == 0 and "1 mended" in done.out
    assert sick["models/model.safetensors"].read_bytes() == model_files("model")["model.safetensors"]
    assert hubfold("doctor").out == "all is as it should be\n"
    assert "doctor" in hubfold("runs").out


def test_offline_it_says_why_nothing_came(hubfold: Program, sick: Tree, loopback_hub: LoopbackHub) -> None:
    loopback_hub.forget_hits()
    offline = {**loopback_hub.environ(), "HF_HUB_OFFLINE": "1"}
    done = hubfold("doctor", "--fix", "--download", "-y", environ=offline)
    assert done.code == 3 and "HF_HUB_OFFLINE is set" in done.out
    assert loopback_hub.hits == []


def test_download_alone_is_a_usage_error(hubfold: Program) -> None:
    done = hubfold("doctor", "--download")
    assert done.code == 2 and "--fix" in done.err


def test_a_file_that_the_group_of_a_cache_cannot_read_is_told(hubfold: Program, scene: Scene) -> None:
    for path in (scene.hub, *scene.hub.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o2775 if path.is_dir() else 0o644)
    assert hubfold("doctor").code == 0
    scene.blob.chmod(0o600)
    done = hubfold("doctor")
    assert done.code == 3
    assert f"not-shared: {scene.blob}" in done.out
    assert "1 path opened to the group" in done.out
    preview = hubfold("doctor", "--fix")
    assert preview.code == 5 and f"what is opened to the group, 1 path:\n    {scene.blob}" in preview.out
    assert scene.blob.stat().st_mode & 0o777 == 0o600
    assert hubfold("doctor", "--fix", "-y").code == 0
    assert scene.blob.stat().st_mode & 0o777 == 0o640 and hubfold("doctor").code == 0
    assert "opened" in hubfold("runs", hubfold("runs", "--json").json["runs"][0]["run"]).out
