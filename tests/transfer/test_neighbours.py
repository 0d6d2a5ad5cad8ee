"""Content comes from hosts that run `hubfold serve`, by its sha256; whatever they send, what is there then is right."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from hubfold import Engine
from hubfold.errors import UsageError
from hubfold.reports.transfers import DownloadReport
from hubfold.serving import proof
from hubfold.state.config import ConfigError
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, safetensors
from tests.building.serving import HERE, served

MIB = 1 << 20
WEIGHTS = safetensors("weights", 3 * MIB)
FILES = {"config.json": b"{}", "model.safetensors": WEIGHTS}
TOKEN = "0123456789abcdef"


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    # What was made just now is waited for else.
    monkeypatch.setattr(proof, "SETTLED", 0)


def engine(tree: Tree, cache: str) -> Engine:
    environ = {
        "HF_HUB_CACHE": str(tree[cache]),
        "HF_ENDPOINT": tree.hub.endpoint,
        "HOME": str(tree.folder),
    }
    return Engine(tree.folder / f"state-{cache}", environ=environ)


def fetched(tree: Tree, *endpoints: str, token: Path | None = None) -> tuple[DownloadReport, int, Engine]:
    """The report of a download into an empty cache, and the bytes of the weights that the Hub had to send."""
    tree.hub.forget_hits()
    mine = engine(tree, "mine")
    mine.ask_neighbours(endpoints, token)
    report = mine.download(mine.plan_download(["org/base"]))
    assert not report.failed
    [path] = tree["mine"].glob("models--org--base/snapshots/*/model.safetensors")
    assert path.read_bytes() == WEIGHTS
    hits = (hit for hit in tree.hub.hits if hit.method == "GET" and hit.filename == "model.safetensors")
    return report, sum(hit.bytes for hit in hits), mine


@pytest.fixture
def theirs(tree: Tree) -> Tree:
    tree.hub.add("org/base", FILES)
    return tree.build({"theirs": hub_cache("org/base")})


def test_what_a_neighbour_has_comes_from_it_and_the_rest_from_the_hub(theirs: Tree) -> None:
    with engine(theirs, "theirs") as other, served(other) as serving:
        mine = engine(theirs, "mine")
        mine.ask_neighbours([serving.endpoint])
        preview = mine.preview_download(mine.plan_download(["org/base"])).models[0]
        assert (preview.neighbour_bytes, preview.fetch_bytes) == (len(WEIGHTS), len(WEIGHTS) + 2)
        report, of_the_hub, _ = fetched(theirs, serving.endpoint)
    assert (report.models[0].neighbour_bytes, of_the_hub) == (len(WEIGHTS), 0)
    assert report.models[0].as_json()["from_neighbours_bytes"] == len(WEIGHTS)


def test_what_was_begun_is_gone_on_with_from_a_neighbour(theirs: Tree) -> None:
    sha256 = theirs.hub.files("org/base")["model.safetensors"].sha256
    begun = theirs[f"mine/models--org--base/blobs/{sha256}.incomplete"]
    begun.parent.mkdir(parents=True)
    begun.write_bytes(WEIGHTS[: 2 * MIB])
    with engine(theirs, "theirs") as other, served(other) as serving:
        report, of_the_hub, _ = fetched(theirs, serving.endpoint)
    model = report.models[0]
    assert (model.neighbour_bytes, model.gone_on_bytes, of_the_hub) == (MIB, 2 * MIB, 0)


@pytest.mark.slow
def test_a_neighbour_wants_its_token(theirs: Tree, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    with engine(theirs, "theirs") as other, served(other, replace(HERE, token_file=str(token))) as serving:
        report, of_the_hub, mine = fetched(theirs, serving.endpoint)
        assert (report.models[0].neighbour_bytes, of_the_hub) == (0, len(WEIGHTS))
        assert "token" in mine.neighbours_failed[serving.endpoint]
        for blob in theirs["mine"].glob("models--org--base/blobs/*"):
            os.unlink(blob)
        report, of_the_hub, mine = fetched(theirs, serving.endpoint, token=token)
        assert (report.models[0].neighbour_bytes, of_the_hub) == (len(WEIGHTS), 0)
        assert not mine.neighbours_failed


@contextmanager
def host(body: Callable[[int, int], bytes]) -> Iterator[str]:
    """A host that says that it has everything, and sends what `body` makes of (first, end)."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def do_HEAD(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(WEIGHTS)))
            self.end_headers()

        def do_GET(self) -> None:
            first, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(WEIGHTS)}")
            self.send_header("Content-Length", str(int(last) + 1 - int(first)))
            self.end_headers()
            self.wfile.write(body(int(first), int(last) + 1))
            self.close_connection = True

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def test_a_host_that_lies_costs_time_and_nothing_else(theirs: Tree) -> None:
    with host(lambda first, end: bytes(end - first)) as liar:
        report, of_the_hub, _ = fetched(theirs, liar)
    assert (report.models[0].neighbour_bytes, of_the_hub) == (0, len(WEIGHTS))


def test_what_a_host_did_not_send_to_its_end_the_next_one_does_and_then_the_hub(theirs: Tree) -> None:
    with (
        host(lambda first, end: WEIGHTS[first:MIB]) as one,
        host(lambda first, end: WEIGHTS[first : 2 * MIB]) as other,
    ):
        report, of_the_hub, _ = fetched(theirs, one, other)
    assert (report.models[0].neighbour_bytes, of_the_hub) == (2 * MIB, MIB)


def test_who_does_not_answer_is_told_and_the_hub_is_asked(theirs: Tree) -> None:
    report, of_the_hub, mine = fetched(theirs, "http://127.0.0.1:9")
    assert (report.models[0].neighbour_bytes, of_the_hub) == (0, len(WEIGHTS))
    assert mine.neighbours_failed.keys() == {"http://127.0.0.1:9"}


def test_those_of_the_configuration_are_asked_without_being_named(theirs: Tree) -> None:
    with engine(theirs, "theirs") as other, served(other) as serving:
        config = Path(engine(theirs, "mine").state.config)
        config.parent.mkdir(parents=True, exist_ok=True)
        config.write_text(f'neighbours = ["{serving.endpoint}"]\n')
        planned = engine(theirs, "mine").plan_download(["org/base"])
    assert planned.models[0].neighbour_bytes == len(WEIGHTS)
    config.write_text('neighbours = "lab-1"\n')
    with pytest.raises(ConfigError, match="neighbours is no list"):
        engine(theirs, "mine").plan_download(["org/base"])


def test_what_is_no_endpoint(loopback_hub: LoopbackHub, tmp_path: Path) -> None:
    with Engine(tmp_path / "state") as one, pytest.raises(UsageError, match="no endpoint"):
        one.ask_neighbours(["lab-1:8600"])
