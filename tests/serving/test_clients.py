"""The real client, of four releases, downloads from here what it would have from the Hub."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from hubfold import Engine
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree
from tests.building.clients import NEWEST, OLDER, Client
from tests.building.serving import HERE, Served, served
from tests.serving.conftest import FILES

#: What a program asks a client, each answer or the name of the error.
ASKED = """
import json, sys
from pathlib import Path
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
cache = sys.argv[1]
def files(folder):
    return {str(p.relative_to(folder)): p.stat().st_size for p in sorted(Path(folder).rglob("*")) if p.is_file()}
asked = {
    "model": lambda: files(snapshot_download("org/base", cache_dir=cache)),
    "dataset": lambda: files(snapshot_download("org/data", repo_type="dataset", cache_dir=cache)),
    "local": lambda: sorted(files(snapshot_download("org/base", local_dir=cache + "-local"))),
    "far": lambda: Path(hf_hub_download("org/far", "model.safetensors", cache_dir=cache)).read_bytes().decode(),
    "far all": lambda: files(snapshot_download("org/far", cache_dir=cache)),
    "no file": lambda: hf_hub_download("org/base", "none.json", cache_dir=cache),
    "no model": lambda: snapshot_download("org/none", cache_dir=cache),
    "no revision": lambda: snapshot_download("org/base", revision="none", cache_dir=cache),
    "info": lambda: HfApi().model_info("org/base").sha,
    "paths": lambda: [one.path for one in HfApi().get_paths_info("org/base", ["config.json", "sub"])],
}
told = {}
for name, ask in asked.items():
    try:
        told[name] = ask()
    except Exception as error:
        told[name] = "!" + type(error).__name__
print(json.dumps(told))
"""
CLIENTS = [
    pytest.param(NEWEST, marks=pytest.mark.slow),
    *(pytest.param(release, marks=pytest.mark.clients) for release in OLDER),
]


@pytest.fixture
def near(cached: Tree, engine: Engine) -> Iterator[Served]:
    """What this host has not is on the Hub behind it."""
    cached.hub.add("org/far", {"model.safetensors": b"far", "config.json": b"{}"})
    with served(engine, replace(HERE, next=cached.hub.endpoint)) as one:
        yield one


@pytest.mark.parametrize("release", CLIENTS)
def test_a_client_gets_what_it_would_get_from_the_hub(
    release: str, cached: Tree, near: Served, loopback_hub: LoopbackHub
) -> None:
    told = {}
    python = Client(release, loopback_hub).python
    for place, endpoint in (("hub", loopback_hub.endpoint), ("near", near.endpoint)):
        loopback_hub.forget_hits()
        environ = {
            **os.environ,
            **loopback_hub.environ(),
            "HF_ENDPOINT": endpoint,
            "PYTHONWARNINGS": "ignore",
        }
        command = [python, "-c", ASKED, str(cached.folder / place)]
        done = subprocess.run(command, env=environ, capture_output=True, text=True, check=True)
        told[place] = json.loads(done.stdout)
    # The loopback Hub knows nothing of it.
    assert (told["near"].pop("paths"), told["hub"].pop("paths")) == (
        ["config.json", "sub"],
        "!HfHubHTTPError",
    )
    assert told["near"] == told["hub"]
    assert told["near"]["model"] == {name: len(data) for name, data in FILES.items()}
    assert told["near"]["no file"] in ("!EntryNotFoundError", "!RemoteEntryNotFoundError")
    assert {hit.repo_id for hit in loopback_hub.hits if hit.bytes} == {"org/far"}, "the rest came from here"
