"""`hubfold roots` and `config.toml`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.building.program import Program, Scene


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


def test_what_cannot_be_removed_is_not_said_to_be(hubfold: Program, scene: Scene) -> None:
    config = hubfold.home / "state" / "config.toml"
    config.parent.mkdir()
    config.write_text(f'[[roots]]\npath = "{scene.models}"\n')
    done = hubfold("roots", "rm", "models")
    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines() == [
        f"hubfold: {scene.models} is a root by {config}",
        "  take its [[roots]] out of that file",
    ]
    never_scanned = hubfold("roots", "rm", str(scene.hub))
    assert (never_scanned.code, never_scanned.out) == (1, "")
    assert f"{scene.hub} is one of the caches that the environment names" in never_scanned.err
    hubfold("scan")
    again = hubfold("roots", "rm", str(scene.hub))
    assert again.code == 0
    assert "the next scan knows it again" in again.err


def test_the_doctor_suggests_what_helps_against_a_root_that_is_away(hubfold: Program, scene: Scene) -> None:
    config = hubfold.home / "state" / "config.toml"
    config.parent.mkdir()
    config.write_text(f'[[roots]]\npath = "{scene.models}"\n')
    hubfold("roots", "add", str(scene.hub))
    hubfold("scan")
    for root in (scene.models, scene.hub):
        root.rename(f"{root}-unplugged")
    fixes = {one["path"]: one["fix"] for one in hubfold("doctor", "--json").json["findings"]}
    assert fixes[str(scene.models)] == "connect its drive, or take it out of config.toml"
    assert fixes[str(scene.hub)] == "connect its drive, or `hubfold roots rm` it"
    assert hubfold("roots", "rm", str(scene.hub)).code == 0


def test_a_drive_that_is_gone_is_offline_and_not_forgotten(hubfold: Program, scene: Scene) -> None:
    hubfold("roots", "add", "models")
    hubfold("scan")
    scene.models.rename(scene.folder / "unplugged")
    listed = hubfold("roots")
    line = next(line for line in listed.out.splitlines() if line.endswith(str(scene.models)))
    assert "away" in line
    scan = hubfold("scan", "--json")
    assert scan.code == 3
    assert next(root for root in scan.json["roots"] if root["path"] == str(scene.models))["error"]


def test_the_cache_of_the_environment_is_primary_unless_another_root_is(
    hubfold: Program, scene: Scene
) -> None:
    hubfold("roots", "add", "models")

    def roles(*command: str) -> dict[str, str]:
        return {root["path"]: root["role"] for root in hubfold(*command, "--json").json["roots"]}

    assert roles("roots") == {str(scene.models): "secondary", str(scene.hub): "primary"}
    assert roles("scan") == roles("roots"), "before a scan and after it"
    hubfold("roots", "add", "models", "--role", "primary")
    assert roles("roots") == roles("scan") == {str(scene.models): "primary", str(scene.hub): "secondary"}


def test_a_cache_behind_a_link_is_one_root_and_primary(hubfold: Program, scene: Scene) -> None:
    scene.hub.rename(scene.folder / "big")
    scene.hub.symlink_to(scene.folder / "big")
    hubfold("scan")
    [root] = hubfold("roots", "--json").json["roots"]
    assert (root["path"], root["role"]) == (str(scene.folder / "big"), "primary")


def test_a_key_that_is_not_known_is_told_once_by_each_command(hubfold: Program, scene: Scene) -> None:
    state = Path(hubfold.environ["HUBFOLD_HOME"])
    state.mkdir()
    config = state / "config.toml"
    (scene.snapshot.parent / "config.json").write_text("{}")
    config.write_text('colour = 1\n[models]\nbase = { repo = "org/base", inclode = "*" }\n')
    for command in (
        ("roots",),
        ("scan",),
        ("ls",),
        ("check",),
        ("path", "base"),
        ("rm", "base", "--dry-run"),
        (),
    ):
        done = hubfold(*command)
        assert done.code == 0, command
        told = [line for line in done.err.splitlines() if line.startswith("warning: ")]
        assert [key for line in told for key in ("colour", "models.base.inclode") if key in line] == [
            "colour",
            "models.base.inclode",
        ], command
        assert str(config) in told[0]
    quiet = hubfold("check", "-q")
    assert (quiet.code, quiet.out, quiet.err) == (0, "", ""), "this one prints nothing, for scripts"
    config.write_text('[models]\nbase = { repo = "org/base", include = 3 }\n')
    done = hubfold("check")
    assert done.code == 1
    assert "models.base.include is no list of patterns" in done.err


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


@pytest.mark.slow
def test_a_folder_of_a_store_is_said_to_be_a_part_of_it(hubfold: Program, scene: Scene) -> None:
    store = Path(hubfold.environ["HOME"]) / ".lmstudio/models"
    part = store / "org/model"
    part.mkdir(parents=True)
    for command in (["roots", "add"], ["scan"]):
        assert f"{part} is a part of {store}, which is one root" in hubfold(*command, str(part)).err
        assert "is a part of" not in hubfold(*command, str(store)).err
