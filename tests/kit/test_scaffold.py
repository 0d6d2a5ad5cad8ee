"""What `hubfold plugins new` writes: a distribution whose tests pass."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hubfold import HubfoldError, UsageError
from hubfold.kit import scaffold


@pytest.mark.slow
@pytest.mark.parametrize("name", ["my-store", "x"])
def test_its_own_tests_pass_where_it_is_found(tmp_path: Path, name: str) -> None:
    """Found by its folder on the path here, since nothing is installed by a test of the plain tier."""
    target, files = scaffold.write(name, str(tmp_path / "made"))
    assert sorted(files) == sorted(
        str(path.relative_to(target)) for path in Path(target).rglob("*") if path.is_file()
    )
    assert not [file for file in files if re.search(r"@[A-Z_]+@", file + Path(target, file).read_text())]
    environ = {**os.environ, "PYTHONPATH": target, "HUBFOLD_HOME": str(tmp_path / "state")}
    line = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
    said = subprocess.run(line, cwd=target, env=environ, capture_output=True, text=True)
    assert said.returncode == 0 and "skipped" not in said.stdout, said.stdout
    project = tomllib.loads(Path(target, "pyproject.toml").read_text())["project"]
    assert project["name"] == f"hubfold-{name}"
    [(point, module)] = project["entry-points"]["hubfold"].items()
    assert point == name and Path(target, f"{module}.py").is_file()


@pytest.mark.parametrize("name", ["", "My-Store", "a/b", "../x", "a--b", "-a", "a b", "1st"])
def test_a_name_that_no_distribution_could_have_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="is no name for a plugin"):
        scaffold.write(name, str(tmp_path / "made"))
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for place in (tmp_path, tmp_path / "file"):
        with pytest.raises(HubfoldError, match="is there already"):
            scaffold.write("x", str(place))
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]
