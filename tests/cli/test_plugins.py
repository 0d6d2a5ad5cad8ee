"""`hubfold plugins`."""

from __future__ import annotations

from tests.building.program import Program


def test_plugins_are_listed_with_what_they_allow(hubfold: Program) -> None:
    done = hubfold("plugins")
    assert done.code == 0
    names = {line.split(",")[0] for line in done.out.splitlines()[::2]}
    assert names >= {"hub-cache", "local-dir", "symlink-farm"}
    report = hubfold("plugins", "--json").json
    assert {backend["distribution"] for backend in report["backends"]} >= {"hubfold"}
    assert report["broken"] == []
