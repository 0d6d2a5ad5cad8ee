"""The real clients of ModelScope, of both layouts: they list, load, update and delete what hubfold has folded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.building.modelscope_hub import ENVIRONMENTS, Client, ModelScope
from tests.building.stores import Machine, model

pytestmark = pytest.mark.programs

RELEASES = ["modelscope", "modelscope-1.30.0"]
REPO = "org/tiny1.5"
FILES = {"model.safetensors": model("weights"), "config.json": b"{}", "sub/vocab.txt": b"words"}


@pytest.fixture(params=RELEASES)
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Machine, Client, ModelScope]]:
    if not (ENVIRONMENTS / request.param).exists():
        pytest.skip(f"there is no environment with {request.param}")
    machine = Machine(tmp_path)
    with ModelScope() as hub:
        hub.files[REPO, "master"] = hub.files[REPO, "v1"] = FILES
        yield machine, Client(request.param, hub, machine.home), hub


def reads(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in FILES}


def test_it_loads_finds_updates_and_deletes_what_was_folded_and_taken_back(
    scene: tuple[Machine, Client, ModelScope],
) -> None:
    machine, client, hub = scene
    blob = machine.cached(REPO, FILES)["model.safetensors"]
    folder = client.download(REPO)
    other = client.download(REPO, "v1")
    before = machine.census()
    [_, *_] = machine.fold().actions
    assert (folder / "model.safetensors").samefile(blob)
    assert machine.models()[REPO]["modelscope"]
    for revision, place in (("master", folder), ("v1", other)):
        assert reads(client.load(REPO, revision)) == FILES
        hub.sent.clear()
        assert client.download(REPO, revision) == place
        assert hub.sent == [], "what is there fits, and nothing is sent again"
    # Another revision comes in place of the old one: the shared file stays as it is.
    hub.files[REPO, "master"] = {**FILES, "model.safetensors": model("other")}
    if client.python.parts[-3] == "modelscope":
        assert (client.download(REPO) / "model.safetensors").read_bytes() == model("other")
        assert (other / "model.safetensors").samefile(blob)
    assert blob.read_bytes() == FILES["model.safetensors"]
    hub.files[REPO, "master"] = FILES
    client.download(REPO)
    machine.fold()
    machine.undo()
    assert machine.census().keys() == before.keys()
    assert reads(client.load(REPO)) == FILES


def test_what_hubfold_removes_is_gone_for_it_and_comes_again(
    scene: tuple[Machine, Client, ModelScope],
) -> None:
    machine, client, hub = scene
    folder = client.download(REPO)
    machine.remove(REPO)
    assert not os.path.lexists(folder)
    hub.sent.clear()
    assert reads(client.download(REPO)) == FILES
    assert sorted(hub.sent) == sorted(FILES)


def test_what_it_deletes_takes_nothing_of_the_hub_cache(scene: tuple[Machine, Client, ModelScope]) -> None:
    machine, client, _ = scene
    if client.python.parts[-3] != "modelscope":
        pytest.skip("releases up to 1.37 delete nothing by themselves")
    blob = machine.cached(REPO, FILES)["model.safetensors"]
    client.download(REPO)
    machine.fold()
    assert [one[0] for one in client.listed()] == [REPO]
    client.clear(REPO)
    assert client.listed() == []
    assert blob.read_bytes() == FILES["model.safetensors"]
    assert set(machine.models()[REPO]) == {"hub-cache"}
