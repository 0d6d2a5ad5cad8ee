"""What is handed on: a wheel with the program and nothing else, and a source distribution that makes the same wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parent.parent
PROJECT = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def built(kind: str, of: Path, into: Path) -> Path:
    """In a process of its own: hatchling imports the hubfold of the folder that it builds."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(into)]
    subprocess.run(command, cwd=of, check=True, capture_output=True)
    [made] = into.iterdir()
    return made


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


@pytest.mark.slow
def test_the_source_distribution_makes_the_wheel_of_the_checkout(tmp_path: Path) -> None:
    wheel = contents(built("wheel", CHECKOUT, tmp_path / "wheel"))
    with tarfile.open(built("sdist", CHECKOUT, tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    [source] = (tmp_path / "source").iterdir()
    assert contents(built("wheel", source, tmp_path / "again")) == wheel
    assert (source / "tests/conftest.py").is_file() and (source / "benchmarks").is_dir()


@pytest.mark.slow
def test_a_wheel_has_the_program_and_nothing_of_the_tests(tmp_path: Path) -> None:
    wheel = contents(built("wheel", CHECKOUT, tmp_path))
    # The template of a plugin has the tests that it begins with.
    template = "hubfold/kit/template/"
    code = {name for name in wheel if not re.search(r"\.dist-info/|\.data/", name) and template not in name}
    assert {name.partition("/")[0] for name in code} == {"hubfold", "hubfold_plugins"}
    assert not [
        name for name in code if re.search(r"/(tests?|benchmarks)/|__pycache__|(^|/)(test_|conftest)", name)
    ]
    assert {"hubfold/cli/page/page.css", "hubfold/cli/page/page.js", "hubfold/py.typed"} <= code
    [points] = [text for name, text in wheel.items() if name.endswith("/entry_points.txt")]
    assert b"hubfold = hubfold.cli:main" in points and b"hf-fold = hubfold.cli:main" in points


def test_dependencies_have_a_floor_and_no_upper_bound() -> None:
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    for line in (*PROJECT["dependencies"], *extras):
        needed = line.partition(";")[0]
        assert ">=" in needed and not re.search(r"<|==|~=", needed), line


def test_the_version_stands_in_one_place() -> None:
    version = PROJECT["version"]
    texts = [*(CHECKOUT / "engine").rglob("*.py"), *(CHECKOUT / "plugins/hubfold_plugins").rglob("*.py")]
    assert not [path for path in texts if f'"{version}"' in path.read_text(encoding="utf-8")]
