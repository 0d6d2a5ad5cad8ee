"""Distributions with plugins, written as installers leave them, and what a process finds that has them on its path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

#: In the order in which they are asked.
BUILT_IN = [
    "llama-cpp",
    "hub-cache",
    "git-lfs",
    "dvc",
    "local-dir",
    "comfyui",
    "docker-model",
    "lm-studio",
    "modelscope",
    "ollama",
    "ramalama",
    "symlink-farm",
    "text-generation-webui",
    "webui",
]

_REPORT = """
import json, sys
from hubfold import errors
from hubfold.backend import registry
try:
    found = registry.load()
except errors.PluginError as error:
    json.dump({"error": str(error), "hint": error.hint}, sys.stdout)
else:
    json.dump({
        "backends": {name: [one.plugin, one.distribution, one.version] for name, one in found.items()},
        "broken": [str(broken) for broken in found.broken],
    }, sys.stdout)
"""


def loaded(*places: Path, **environ: str) -> dict:  # type: ignore[type-arg]
    """What a process finds that has these folders on its path."""
    path = os.pathsep.join(str(place) for place in places)
    answer = subprocess.run(
        [sys.executable, "-c", _REPORT],
        env={**os.environ, "PYTHONPATH": path, **environ},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(answer.stdout)  # type: ignore[no-any-return]


def write_distribution(
    place: Path, name: str, version: str, points: Mapping[str, str], modules: Mapping[str, str] = {}
) -> Path:
    info = place / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = "".join(f"{point} = {module}\n" for point, module in points.items())
    (info / "entry_points.txt").write_text(f"[hubfold]\n{lines}")
    for module, text in modules.items():
        (place / f"{module}.py").write_text(text)
    return place
