"""What of plain folders is folded; `--include`, `--exclude`, `--all-files` and ``.hubfoldignore``."""

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.building.program import Program
from tests.building.weights import SIZE, twice


def folded(pairs: Iterable[tuple[Path, Path]]) -> set[str]:
    """The names of which one copy is left."""
    return {one.name for one, other in pairs if os.path.samefile(one, other)}


def fold(hubfold: Program, *arguments: str | Path) -> None:
    done = hubfold("consolidate", "-y", "--link", "hardlink", "--only", *arguments)
    assert done.code == 0, done.err


@pytest.fixture
def models(hubfold: Program) -> Path:
    folder = hubfold.home / "models"
    folder.mkdir()
    return folder


def test_model_files_are_folded_and_nothing_else(hubfold: Program, models: Path) -> None:
    named = twice(models, "m.safetensors", "m.gguf", "notes.dat", "app.db", "lib.so", "film.mp4", "0" * 64)
    fold(hubfold, models)
    assert folded(named) == {"m.safetensors", "m.gguf", "0" * 64}, "what has no suffix is known by its header"
    fold(hubfold, models, "--all-files")
    assert len(folded(named)) == len(named)


def test_programs_and_databases_stay_whatever_their_suffix(hubfold: Program, models: Path) -> None:
    tool, its_copy = models / "tool.model", models / "copy.model"
    tool.write_bytes(Path(sys.executable).read_bytes() + b"\1" * SIZE)
    shutil.copy2(tool, its_copy)
    base, backup = models / "base.model", models / "backup.model"
    with sqlite3.connect(base) as connection:
        connection.execute("CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES (randomblob(2000000))")
    connection.close()
    shutil.copy2(base, backup)
    done = hubfold("consolidate", "-y", "--only", models)
    assert not os.path.samefile(tool, its_copy) and not os.path.samefile(base, backup)
    assert "it is a program or a library" in done.out and "it is a database" in done.out


def test_room_that_was_only_made_is_left_alone(hubfold: Program, models: Path) -> None:
    """Two downloads of one size that have just begun: equal, byte for byte, for now."""
    for name in ("one.safetensors", "two.safetensors"):
        (models / name).write_bytes(b"\0" * SIZE)
    done = hubfold("consolidate", "-y", "--only", "--all-files", models)
    assert not os.path.samefile(models / "one.safetensors", models / "two.safetensors")
    assert "still being written" in done.out


def test_folders_of_other_programs_are_left_out_and_told_once(hubfold: Program, models: Path) -> None:
    pairs = [
        pair
        for place in (".git/lfs/objects", "env/lib/site-packages/x", "node_modules/y", ".mozilla/firefox")
        for pair in twice(models / place, "m.safetensors")
    ]
    (models / "venv").mkdir()
    (models / "venv" / "pyvenv.cfg").touch()
    pairs += twice(models / "venv" / "share", "m.safetensors")
    mine = twice(models / "mine", "m.safetensors")
    done = hubfold("scan", "--only", models)
    assert done.err.count("folders left out") == 1
    assert "site-packages (1)" in done.err and "virtual environments (1)" in done.err
    fold(hubfold, models)
    assert (len(folded(mine)), len(folded(pairs))) == (1, 0)


def test_a_folder_that_is_named_is_looked_into(hubfold: Program, models: Path) -> None:
    pairs = twice(models / ".venv", "m.safetensors")
    fold(hubfold, models / ".venv")
    assert folded(pairs) == {"m.safetensors"}


def test_exclude_and_include(hubfold: Program, models: Path) -> None:
    pairs = twice(models, "one.safetensors", "two.safetensors", "three.dat", "old/four.safetensors")
    fold(hubfold, models, "--exclude", "two.*", "--exclude", "old/")
    assert folded(pairs) == {"one.safetensors"}
    fold(hubfold, models, "--include", "*.dat")
    assert folded(pairs) == {"one.safetensors", "three.dat"}, "only what matches, whatever it is"
    fold(hubfold, models, "--exclude", str(models / "a" / "old"))
    assert folded(pairs) == {"one.safetensors", "three.dat", "two.safetensors"}


def test_a_pattern_that_is_none_is_wrong_usage(hubfold: Program, models: Path) -> None:
    done = hubfold("scan", "--only", models, "--exclude", "!")
    assert (done.code, len(done.err.splitlines())) == (2, 2)


def test_dupes_takes_the_same_words(hubfold: Program, models: Path) -> None:
    twice(models, "one.safetensors", "two.safetensors", "three.dat")
    hubfold("scan", "--only", "--all-files", models)

    def names(*arguments: str) -> set[str]:
        sets = hubfold("dupes", "--only", "--json", models, *arguments).json["sets"]
        return {os.path.basename(replica["path"]) for found in sets for replica in found["replicas"]}

    assert names() == {"one.safetensors", "two.safetensors"}
    assert names("--all-files") == {"one.safetensors", "two.safetensors", "three.dat"}
    assert names("--exclude", "one.*") == {"two.safetensors"}
    assert names("--include", "*.dat") == {"three.dat"}


def test_an_ignore_file_counts_from_its_folder_down(hubfold: Program, models: Path) -> None:
    pairs = twice(models, "one.safetensors", "two.safetensors", "deep/three.safetensors")
    (models / ".hubfoldignore").write_text("# not mine\n*.safetensors\n!one.safetensors\n")
    (models / "a" / "deep" / ".hubfoldignore").write_text("!three.safetensors\n")
    fold(hubfold, models)
    assert folded(pairs) == {"one.safetensors"}, "the copy in b/deep is ignored still"
    (models / "b" / "deep" / ".hubfoldignore").write_text("!three.safetensors\n")
    fold(hubfold, models)
    assert folded(pairs) == {"one.safetensors", "three.safetensors"}


def test_what_was_taken_in_before_a_pattern_is_forgotten(hubfold: Program, models: Path) -> None:
    twice(models, "one.safetensors", "two.dat")
    assert hubfold("scan", "--only", "--all-files", "--json", models).json["files"] == 4
    assert hubfold("scan", "--only", "--json", models).json["files"] == 2
    (models / ".hubfoldignore").write_text("b/\n")
    report = hubfold("scan", "--only", "--json", models).json
    assert (report["files"], report["duplicate_sets"]) == (1, 0)
    (models / ".hubfoldignore").unlink()
    assert hubfold("scan", "--only", "--json", models).json["files"] == 2


def test_a_rescan_reads_nothing(hubfold: Program, models: Path) -> None:
    twice(models, "one.safetensors", "two.dat", "0" * 64)
    hubfold("scan", "--only", models)
    report = hubfold("scan", "--only", "--json", models).json
    assert (report["files_read"], report["files"]) == (0, 4)


def test_the_configuration_says_the_same(hubfold: Program, models: Path) -> None:
    pairs = twice(models, "one.safetensors", "two.dat", "three.gguf")
    state = hubfold.home / "state"
    state.mkdir()
    (state / "config.toml").write_text('exclude = ["*.gguf"]\nall_files = true\n')
    fold(hubfold, models)
    assert folded(pairs) == {"one.safetensors", "two.dat"}
    (state / "config.toml").write_text('include = ["*.gguf"]\n')
    fold(hubfold, models)
    assert folded(pairs) == {"one.safetensors", "two.dat", "three.gguf"}
    (state / "config.toml").write_text('all_files = "yes"\n')
    done = hubfold("scan", models)
    assert done.code == 1 and "all_files is neither true nor false" in done.err


def test_the_state_of_hubfold_is_nobodys_content(hubfold: Program, models: Path) -> None:
    """In use, moved into a root, and backed up twice, of which one has the runs alone."""
    hubfold.environ["HUBFOLD_HOME"] = str(models / "state")
    twice(models, "one.safetensors", "two.safetensors")
    fold(hubfold, models)
    for name in ("backup", "again"):
        shutil.copytree(models / "state", models / name)
    shutil.copytree(models / "state" / "runs", models / "old-runs")
    report = hubfold("scan", "--only", "--json", "--all-files", "--min-size", "1", models).json
    assert (report["files"], report["left_out"]) == (4, {"hubfold's own state": 4})
    for path in (models / "state", models / "backup", models / "old-runs"):
        done = hubfold("scan", "--only", path)
        assert done.code == 1 and "hubfold's own state" in done.err


def test_a_vault_is_nobodys_content_by_any_path(hubfold: Program, models: Path) -> None:
    twice(models, "one.safetensors")
    assert hubfold("consolidate", "-y", "--link", "symlink", "--only", models).code == 0
    objects = models / ".hubfold" / "objects"
    assert objects.is_dir()
    for path in (models / ".hubfold", objects, next(objects.iterdir())):
        assert "vault of hubfold's own" in hubfold("scan", "--only", path).err
