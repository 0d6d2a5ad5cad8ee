"""`hubfold init`."""

from __future__ import annotations

import os
import re

import pytest

from hubfold.state import config
from tests.building.program import Program


def test_it_writes_a_file_that_says_nothing_yet(hubfold: Program) -> None:
    path = hubfold.home / "state" / "config.toml"
    done = hubfold("init")
    assert done.code == 0
    assert done.out == f"wrote {path}\n"
    assert config.load(str(path)) == config.Config(models={}, plugins={})
    assert hubfold("roots").err == "next: hubfold roots add PATH\n", "no warning"


def test_a_file_that_is_there_stays(hubfold: Program) -> None:
    path = hubfold.home / "state" / "config.toml"
    path.parent.mkdir()
    for make in (lambda: path.write_text("all_files = true\n"), lambda: os.symlink("nowhere", path)):
        make()
        before = os.readlink(path) if path.is_symlink() else path.read_text()
        done = hubfold("init")
        assert (done.code, done.out) == (1, "")
        assert f"{path} is there already, and nothing was written" in done.err
        assert (os.readlink(path) if path.is_symlink() else path.read_text()) == before
        assert not path.with_name("nowhere").exists()
        path.unlink()


def test_a_dry_run_prints_it(hubfold: Program) -> None:
    done = hubfold("init", "--dry-run")
    assert (done.code, done.out) == (0, config.SAMPLE)
    assert not (hubfold.home / "state").exists()
    report = hubfold("init", "--json").json
    assert report == {
        "path": str(hubfold.home / "state" / "config.toml"),
        "written": True,
        "text": config.SAMPLE,
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_where_it_may_not_write_it_says_so(hubfold: Program) -> None:
    hubfold.home.chmod(0o500)
    done = hubfold("init")
    hubfold.home.chmod(0o700)
    assert done.code == 1
    assert "cannot be written: Permission denied" in done.err


def test_with_all_of_it_in_force_every_setting_is_known_and_none_is_left_out(tmp_path) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "config.toml"
    path.write_text(re.sub(r"(?m)^#(?=\S)", "", config.SAMPLE))
    found = config.load(str(path))
    assert not found.warnings
    assert len(found.roots) == 1 and len(found.models or ()) == 5
    for level, known in config.SETTINGS.items():
        for key in known:
            assert re.search(rf"\b{key}\b", path.read_text()), (level, key)
            assert re.search(rf"\b{key}\b", config.__doc__ or ""), (level, key)
