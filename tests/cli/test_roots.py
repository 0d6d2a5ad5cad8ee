"""`hubfold roots` and `config.toml`."""

from __future__ import annotations

from pathlib import Path

from .conftest import Program, Scene


def test_roots_are_added_listed_and_removed(hubfold: Program, scene: Scene) -> None:
    done = hubfold("roots", "add", "models", "--role", "secondary", "--limit", "1.5GiB")
    assert done.code == 0
    assert str(scene.models) in done.out
    listed = hubfold("roots")
    assert str(scene.models) in listed.out and "1.6G" in listed.out
    entry = next(
        root for root in hubfold("roots", "ls", "--json").json["roots"] if root["path"] == str(scene.models)
    )
    assert entry["limit"] == 1_610_612_736
    assert entry["online"] is True
    assert set(hubfold("roots", "-q").out.splitlines()) == {str(scene.models), str(scene.hub)}
    assert hubfold("roots", "rm", "models").code == 0
    assert str(scene.models) not in hubfold("roots").out
    assert scene.copies[0].exists()


def test_roots_survive_the_loss_of_the_index(hubfold: Program, scene: Scene) -> None:
    hubfold("roots", "add", "models")
    hubfold("scan")
    for path in Path(hubfold.environ["HUBFOLD_HOME"]).glob("index.db*"):
        path.unlink()
    assert str(scene.models) in hubfold("roots", "-q").out


def test_a_root_that_is_not_there_is_an_error(hubfold: Program) -> None:
    done = hubfold("roots", "add", "nowhere")
    assert done.code == 1
    assert len(done.err.splitlines()) == 2


def test_removing_an_unknown_root_is_an_error(hubfold: Program, scene: Scene) -> None:
    done = hubfold("roots", "rm", "nowhere")
    assert done.code == 1
    assert "nowhere" in done.err


def test_a_drive_that_is_gone_is_offline_and_not_forgotten(hubfold: Program, scene: Scene) -> None:
    hubfold("roots", "add", "models")
    hubfold("scan")
    scene.models.rename(scene.folder / "unplugged")
    listed = hubfold("roots")
    line = next(line for line in listed.out.splitlines() if line.endswith(str(scene.models)))
    assert "offline" in line
    scan = hubfold("scan", "--json")
    assert scan.code == 3
    assert next(root for root in scan.json["roots"] if root["path"] == str(scene.models))["error"]


def test_config_toml_names_roots(hubfold: Program, scene: Scene) -> None:
    state = Path(hubfold.environ["HUBFOLD_HOME"])
    state.mkdir()
    (state / "config.toml").write_text(f'colour = 1\n[[roots]]\npath = "{scene.models}"\n')
    assert str(scene.models) in hubfold("roots", "-q").out.splitlines()
    report = hubfold("scan", "--json")
    assert {root["path"] for root in report.json["roots"]} == {str(scene.hub), str(scene.models)}


def test_a_broken_config_names_the_line(hubfold: Program, scene: Scene) -> None:
    state = Path(hubfold.environ["HUBFOLD_HOME"])
    state.mkdir()
    (state / "config.toml").write_text("[[roots]]\npath = \n")
    done = hubfold("scan")
    assert done.code == 1
    assert "config.toml" in done.err and "line 2" in done.err
