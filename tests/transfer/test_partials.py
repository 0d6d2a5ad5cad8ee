"""What an earlier download left of a file, of whichever client and in whichever root, is gone on with by `download`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.disk.locks import passing_lock
from hubfold.errors import HubAway, HubRefused
from hubfold.reading import extents
from hubfold.reports.transfers import DownloadReport
from hubfold.testing import loopback_hub as loopback
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, safetensors
from hubfold.transfer.hub import Hub
from tests import CHECKOUT
from tests.building.clients import NEWEST, OLDER
from tests.building.killed import MortalClient

MIB = 1 << 20
WEIGHTS = safetensors("weights", 4 * MIB)
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS}
NAME = "model.safetensors"


@pytest.fixture(autouse=True)
def no_xet(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


@pytest.fixture
def sha256(loopback_hub: LoopbackHub) -> str:
    loopback_hub.add("org/base", FILES)
    found = loopback_hub.files("org/base")[NAME].sha256
    assert found is not None
    return found


@pytest.fixture
def engine(tree: Tree, loopback_hub: LoopbackHub) -> Engine:
    tree["hf"].mkdir()
    environ = {
        "HF_HUB_CACHE": str(tree["hf/hub"]),
        "HF_ENDPOINT": loopback_hub.endpoint,
        "HOME": str(tree.folder),
    }
    return Engine(tree.folder / "state", environ=environ)


def begin(tree: Tree, place: str, data: bytes) -> Path:
    """A download of the weights that was cut short at `place`, with `data` so far."""
    path = tree[place]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def here(sha256: str, *more: str) -> str:
    return f"hf/hub/models--org--base/blobs/{'.'.join([sha256, *more])}.incomplete"


def sent(hub: LoopbackHub) -> int:
    """Bytes of the weights that the Hub handed out."""
    return sum(hit.bytes for hit in hub.hits if hit.method == "GET" and hit.filename == NAME)


def weights(tree: Tree) -> bytes:
    [path] = tree["hf/hub/models--org--base/snapshots"].glob(f"*/{NAME}")
    return path.read_bytes()


def download(engine: Engine, gone_on: int, *, costs: int | None = None) -> DownloadReport:
    """Download, and hold the figures against each other."""
    plan = engine.plan_download(["org/base"])
    preview = engine.preview_download(plan).models[0]
    assert preview.gone_on_bytes == gone_on
    assert preview.fetch_bytes == len(WEIGHTS) + 2 - gone_on
    report = engine.download(plan)
    assert not report.failed
    assert report.models[0].fetch_bytes == 2 + (len(WEIGHTS) - gone_on if costs is None else costs)
    return report


def in_own_cache(tree: Tree, sha256: str) -> Path:
    return begin(tree, here(sha256), WEIGHTS[: 3 * MIB])


def of_an_attempt(tree: Tree, sha256: str) -> Path:
    return begin(tree, here(sha256, "1234abcd"), WEIGHTS[: 3 * MIB])


def in_another_cache(tree: Tree, sha256: str) -> Path:
    tree.hub.add("org/other", {"config.json": b"{}"})
    tree.build({"other/hub": hub_cache("org/other")})
    return begin(tree, f"other/hub/models--org--other/blobs/{sha256}.0123cdef.incomplete", WEIGHTS[: 3 * MIB])


def in_a_local_copy(tree: Tree, sha256: str) -> Path:
    tree.build({"models/base": local_dir("org/base")})
    (tree["models/base"] / NAME).unlink()
    (tree["models/base"] / f".cache/huggingface/download/{NAME}.metadata").unlink()
    tree.hub.forget_hits()
    return begin(
        tree, f"models/base/.cache/huggingface/download/aGFzaA=.{sha256}.incomplete", WEIGHTS[: 3 * MIB]
    )


@pytest.mark.parametrize("left", [in_own_cache, of_an_attempt, in_another_cache, in_a_local_copy])
def test_the_rest_is_fetched_and_no_more(
    tree: Tree, engine: Engine, sha256: str, left: Callable[[Tree, str], Path]
) -> None:
    partial = left(tree, sha256)
    own = partial.is_relative_to(tree["hf"])
    place = partial.relative_to(tree.folder).parts[0]
    if not own:
        engine.add_root(tree[place])
    download(engine, 3 * MIB)
    assert sent(tree.hub) == MIB
    assert weights(tree) == WEIGHTS
    assert partial.exists() is not own, "what another root has is its own"
    assert not list(tree["hf/hub"].rglob("*.incomplete"))


def test_the_longest_is_gone_on_with(tree: Tree, engine: Engine, sha256: str) -> None:
    begin(tree, here(sha256), WEIGHTS[: 2 * MIB])
    begin(tree, here(sha256, "1234abcd"), WEIGHTS[: 3 * MIB + 5])
    begin(tree, here(sha256, "567890ab"), WEIGHTS[:MIB])
    begin(tree, here(sha256, "00000000"), WEIGHTS + b"more than all")
    download(engine, 3 * MIB + 5)
    assert sent(tree.hub) == MIB - 5 and weights(tree) == WEIGHTS


@pytest.mark.parametrize("more", [(), ("1234abcd",)])
def test_a_wrong_beginning_costs_a_download_and_never_the_file(
    tree: Tree, engine: Engine, sha256: str, more: tuple[str, ...]
) -> None:
    begin(tree, here(sha256, *more), b"x" + WEIGHTS[1 : 3 * MIB])
    download(engine, 3 * MIB, costs=len(WEIGHTS))
    assert weights(tree) == WEIGHTS
    assert not list(tree["hf/hub"].rglob("*.incomplete"))


def test_what_comes_after_a_hole_was_not_written_in_order(tree: Tree, engine: Engine, sha256: str) -> None:
    partial = begin(tree, here(sha256, "1234abcd"), WEIGHTS[: 2 * MIB])
    with open(partial, "r+b") as file:
        file.seek(3 * MIB)
        file.write(WEIGHTS[3 * MIB :])
    if extents.beginning(str(partial)) != 2 * MIB:
        pytest.skip("this file system tells no holes")
    download(engine, 2 * MIB)
    assert sent(tree.hub) == 2 * MIB and weights(tree) == WEIGHTS


def test_one_that_came_whole_needs_no_hub_but_its_digest(tree: Tree, engine: Engine, sha256: str) -> None:
    begin(tree, here(sha256, "1234abcd"), WEIGHTS)
    download(engine, len(WEIGHTS))
    assert sent(tree.hub) == 0 and weights(tree) == WEIGHTS


def test_a_server_that_hands_out_all_of_it(
    tree: Tree, engine: Engine, sha256: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loopback, "_RANGE", re.compile("never"))
    begin(tree, here(sha256), b"x" * 3 * MIB)
    download(engine, 3 * MIB)
    assert sent(tree.hub) == len(WEIGHTS) and weights(tree) == WEIGHTS


def test_what_came_before_the_hub_went_away_is_gone_on_with(
    tree: Tree, engine: Engine, sha256: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = begin(tree, here(sha256, "1234abcd"), WEIGHTS[:MIB])

    def goes_away(hub: Hub, *args: object, **kwargs: object) -> None:
        args[3].write(WEIGHTS[MIB : 3 * MIB])  # type: ignore[attr-defined]
        raise HubAway("it is away")

    with monkeypatch.context() as patch:
        patch.setattr(Hub, "fetch_rest", goes_away)
        with pytest.raises(HubAway):
            engine.download(engine.plan_download(["org/base"]))
    assert not partial.exists() and tree[here(sha256)].read_bytes() == WEIGHTS[: 3 * MIB]
    download(engine, 3 * MIB)
    assert weights(tree) == WEIGHTS


@pytest.mark.parametrize("error", [HubRefused("it does not"), OSError(28, "No space left on device")])
def test_where_it_cannot_be_gone_on_with_the_client_fetches_all_of_it(
    tree: Tree, engine: Engine, sha256: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    begin(tree, here(sha256, "1234abcd"), WEIGHTS[: 3 * MIB])

    def refuses(hub: Hub, *args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr(Hub, "fetch_rest", refuses)
    download(engine, 3 * MIB, costs=len(WEIGHTS))
    assert weights(tree) == WEIGHTS


def test_what_a_client_is_at_is_left_to_it(tree: Tree, engine: Engine, sha256: str) -> None:
    """By its lock."""
    partial = begin(tree, here(sha256, "1234abcd"), WEIGHTS[: 3 * MIB])
    plan = engine.plan_download(["org/base"])
    lock = tree[f"hf/hub/.locks/models--org--base/{sha256}.lock"]
    asked: list[bool] = []

    def fetch(hub: Hub, *args: object) -> str:
        asked.append(partial.read_bytes() == WEIGHTS[: 3 * MIB])
        raise HubRefused("enough")

    with passing_lock(str(lock), str(tree["hf/hub"])), pytest.MonkeyPatch.context() as patch:
        patch.setattr(Hub, "fetch", fetch)
        with pytest.raises(HubRefused, match="enough"):
            engine.download(plan)
    assert asked == [True]


def test_one_that_is_open_without_a_lock_keeps_its_file(tree: Tree, engine: Engine, sha256: str) -> None:
    """As on file systems whose locks do nothing: it is copied, and who writes it goes on undisturbed."""
    partial = begin(tree, here(sha256, "1234abcd"), WEIGHTS[: 3 * MIB])
    with open(partial, "ab") as file:
        download(engine, 3 * MIB)
        file.write(b"and on")
    assert partial.read_bytes() == WEIGHTS[: 3 * MIB] + b"and on"
    assert weights(tree) == WEIGHTS


def test_neither_is_the_one_that_is_gone_on_with_taken_from_who_writes_it(
    tree: Tree, engine: Engine, sha256: str
) -> None:
    partial = begin(tree, here(sha256), WEIGHTS[: 3 * MIB])
    with open(partial, "ab") as file:
        plan = engine.plan_download(["org/base"])
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Hub, "fetch_rest", lambda *args, **kwargs: pytest.fail("it was gone on with"))
            report = engine.download(plan)
        file.write(b"and on")
    assert not report.failed and report.models[0].fetch_bytes == len(WEIGHTS) + 2
    assert partial.read_bytes() == WEIGHTS[: 3 * MIB] + b"and on"


def test_without_a_word_of_the_hub_nothing_is_gone_on_with(tree: Tree, sha256: str) -> None:
    begin(tree, here(sha256, "1234abcd"), WEIGHTS[: 3 * MIB])
    environ = {"HF_HUB_CACHE": str(tree["hf/hub"]), "HF_HUB_OFFLINE": "1", "HOME": str(tree.folder)}
    with Engine(tree.folder / "state", environ=environ) as engine, pytest.raises(HubRefused):
        engine.download(engine.plan_download(["org/base"]))
    assert tree[here(sha256, "1234abcd")].read_bytes() == WEIGHTS[: 3 * MIB]


#: Whether this release says that it goes on, and how many bytes it asks for when it was cut short after 3 MiB.
_ASK = """
import sys
from huggingface_hub import snapshot_download
from hubfold.transfer.hub import Hub
print(Hub(None, False).resumes)
snapshot_download("org/base", cache_dir=sys.argv[1])
"""


@pytest.mark.clients
@pytest.mark.parametrize("release", (*OLDER, NEWEST))
def test_what_is_said_of_a_release_is_what_it_does(tree: Tree, sha256: str, release: str) -> None:
    begin(tree, here(sha256), WEIGHTS[: 3 * MIB])
    clients = os.environ["HUBFOLD_TEST_CLIENTS"]
    python = sys.executable if release == NEWEST else os.path.join(clients, release, "bin", "python")
    done = subprocess.run(
        [python, "-c", _ASK, str(tree["hf/hub"])],
        env={**os.environ, **tree.hub.environ(), "PYTHONPATH": str(CHECKOUT / "engine")},
        capture_output=True,
        text=True,
        check=True,
    )
    assert weights(tree) == WEIGHTS
    assert sent(tree.hub) == (MIB if done.stdout.strip() == "True" else len(WEIGHTS))
    assert (done.stdout.strip() == "True") == (release in ("0.23.5", "0.36.2"))


@pytest.mark.clients
@pytest.mark.parametrize("release", (*OLDER, NEWEST))
def test_what_a_killed_client_left_is_gone_on_with(
    tree: Tree, engine: Engine, sha256: str, release: str
) -> None:
    """Each writes some hundred pieces, and dies."""
    client = MortalClient(release, tree.hub)
    assert client.download("org/base", tree["hf/hub"], die_at=1500) is None
    client.close()
    [partial] = tree["hf/hub/models--org--base/blobs"].glob(f"{sha256}*.incomplete")
    left = partial.stat().st_size
    assert MIB < left < len(WEIGHTS)
    tree.hub.forget_hits()
    report = engine.download(engine.plan_download(["org/base"]))
    assert not report.failed and report.models[0].gone_on_bytes == left
    assert weights(tree) == WEIGHTS and sent(tree.hub) == len(WEIGHTS) - left
