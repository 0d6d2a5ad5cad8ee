"""Whether there is any plugin but ours, told without parsing the metadata of all that is installed."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.building.distributions import BUILT_IN, loaded, write_distribution


def egg(place: Path, *, archive: bool) -> Path:
    """What an old installer leaves, as a folder beside the module or as an archive on the path."""
    module = "from hubfold import StorageBackend, hookimpl\nclass B(StorageBackend):\n    name = 'old'\n"
    module += "@hookimpl\ndef hubfold_storage_backends(): return [B]\n"
    info = "EGG-INFO" if archive else "old-1.egg-info"
    files = {
        f"{info}/PKG-INFO": "Name: old\nVersion: 1\n",
        f"{info}/entry_points.txt": "[hubfold]\nold = old_module\n",
        "old_module.py": module,
    }
    if archive:
        with zipfile.ZipFile(place / "old-1-py3.egg", "w") as file:
            for name, text in files.items():
                file.writestr(name, text)
        return place / "old-1-py3.egg"
    for name, text in files.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text)
    return place


@pytest.mark.parametrize("archive", [False, True])
def test_plugins_in_eggs_are_found_too(tmp_path: Path, archive: bool) -> None:
    found = loaded(egg(tmp_path, archive=archive))
    assert list(found["backends"]) == [*BUILT_IN, "old"]


@pytest.mark.slow
def test_without_other_plugins_nothing_parses_metadata(tmp_path: Path) -> None:
    """…and with one, the same is found as by asking for all."""
    report = (
        "import sys\nfrom hubfold.backend import registry\nregistry.load()\n"
        "print('importlib.metadata' in sys.modules)"
    )
    other = write_distribution(tmp_path, "other", "1", {"x": "no_such_module"})
    for places, expected in (([], "False"), ([other], "True")):
        answer = subprocess.run(
            [sys.executable, "-c", report],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, places))},
            capture_output=True,
            text=True,
            check=True,
        )
        assert answer.stdout.strip() == expected
