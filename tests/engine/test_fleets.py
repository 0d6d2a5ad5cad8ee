"""Without the extra, `export` and `fleet` say what to install, and nothing else loads it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.disk.identity import Machine
from hubfold.errors import HubfoldError
from hubfold.fleet import export


@pytest.mark.parametrize("package", ["pyarrow", "duckdb"])
def test_without_the_extra_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / "x.parquet").touch()
    with (
        Engine(tmp_path / "state", environ={"HOME": str(tmp_path)}) as engine,
        pytest.raises(HubfoldError, match=f"needs the package {package}") as caught,
    ):
        if package == "duckdb":
            engine.fleet([tmp_path])
        else:
            nothing = export.Source({"/m": 1}, lambda root: iter(()), Machine("0" * 32, "node"), None)
            export.export(str(tmp_path), nothing)
    assert caught.value.hint == "pip install 'hubfold[fleet]'"
