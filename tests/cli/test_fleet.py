"""`hubfold export` and `hubfold fleet`, from a scan to an answer."""

from __future__ import annotations

import pytest

from tests.building import exports
from tests.building.program import Program, Scene

exports.needed()


@pytest.fixture
def exported(hubfold: Program, scene: Scene) -> Program:
    (scene.folder / "fleet").mkdir()
    assert hubfold("roots", "add", "models").code == 0
    assert hubfold("scan").code == 0
    done = hubfold("export", "fleet")
    assert done.code == 0
    assert done.out.startswith("exported ")
    return hubfold


def test_what_was_exported_is_told_by_fleet(exported: Program, scene: Scene) -> None:
    done = exported("fleet", "fleet", "--json")
    assert done.code == 0
    (file,) = done.json["files"]
    (host,) = done.json["answers"]["hosts"]
    assert (host["host"], host["files"]) == (file["host"], file["files"])
    assert not file["stale"]
    assert done.json["answers"].keys() == {"hosts", "saves", "held", "only", "differs"}
    assert done.json["answers"]["saves"][0]["saved"] == 2 * scene.size
    assert done.json["warnings"] == []
    shown = exported("fleet", "fleet", "--show", "held").out
    assert shown.startswith("which models are held how often:\nMODEL")
    assert "org/base" in shown
    found = exported("fleet", "fleet/*", "--model", "org/base", "--json").json["answers"]["model"]
    assert [one["root"] for one in found] == [str(scene.folder / "hf/hub")]


def test_what_goes_wrong_is_told_with_what_to_do(exported: Program) -> None:
    for arguments, code, what, hint in [
        (["fleet", "nowhere"], 1, "has no exported index", "hubfold export DIR"),
        (["fleet", "fleet", "--show", "hsots"], 2, "hsots is no question", "one of: hosts, saves"),
        (["fleet", "fleet", "--model", "org/bse"], 1, "no host of these has org/bse", "--show held"),
        (["fleet"], 2, "missing argument", "--help"),
        (["export", "nowhere"], 1, "is no folder", "mkdir"),
    ]:
        done = exported(*arguments)
        assert done.code == code, arguments
        assert what in done.err and hint in done.err, done.err


def test_the_sql_is_shown_and_nothing_is_asked(exported: Program) -> None:
    done = exported("fleet", "fleet", "--show", "saves", "--explain")
    assert done.out.startswith("CREATE VIEW files AS SELECT * FROM read_parquet([")
    assert "-- what one shared cache would save\n" in done.out


def test_nothing_is_exported_before_a_scan(hubfold: Program, scene: Scene) -> None:
    done = hubfold("export", ".")
    assert done.code == 1
    assert "no root was scanned yet" in done.err
