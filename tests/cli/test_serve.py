"""`hubfold serve`, and `download --from`."""

from __future__ import annotations

import http.client
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hubfold import Engine
from hubfold.errors import HubfoldError
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, model_files
from tests.building.program import Program
from tests.building.serving import served
from tests.building.waiting import PATIENCE

CONFIG = "/org/base/resolve/main/config.json"


@pytest.fixture
def cached(hubfold: Program, loopback_hub: LoopbackHub) -> Tree:
    loopback_hub.add("org/base", model_files("base", 1 << 20))
    return Tree(hubfold.home, loopback_hub).build({"hf/hub": hub_cache("org/base")})


@pytest.mark.parametrize(
    ("arguments", "what", "next_"),
    [
        (["--bind", "here:there"], "is no address", "HOST:PORT"),
        (["--bind", "0.0.0.0:0"], "no token is asked for", "--token-file"),
        (["--next", "hub.example"], "is no endpoint", "https://"),
        (["--tls-cert", "x.pem"], "a certificate and its key", "--tls-key"),
    ],
)
def test_what_makes_no_sense_is_told_with_what_does(
    hubfold: Program, arguments: list[str], what: str, next_: str
) -> None:
    done = hubfold("serve", *arguments)
    assert done.code == 2
    assert not done.out
    assert what in done.err
    assert next_ in done.err


def test_a_token_file_that_others_read_or_that_is_not_there(hubfold: Program) -> None:
    token = hubfold.home / "token"
    done = hubfold("serve", "--token-file", str(token))
    assert (done.code, "No such file" in done.err) == (1, True)
    token.write_text("0123456789abcdef")
    token.chmod(0o644)
    done = hubfold("serve", "--token-file", str(token))
    assert (done.code, "chmod 600" in done.err) == (1, True)


def test_without_the_extra_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("application", "server"):
        monkeypatch.delitem(sys.modules, f"hubfold.serving.{name}", raising=False)
        monkeypatch.delattr(f"hubfold.serving.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    with (
        Engine(tmp_path / "state") as engine,
        pytest.raises(HubfoldError, match="needs the package") as raised,
        served(engine),
    ):
        pass
    assert "hubfold[serve]" in raised.value.hint


@pytest.mark.slow
@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_answers_and_ends(hubfold: Program, cached: Tree, end: signal.Signals) -> None:
    command = [sys.executable, "-m", "hubfold", "serve", "--bind", "127.0.0.1:0"]
    with subprocess.Popen(
        command, env=hubfold.environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        parts = urlsplit(process.stdout.readline().strip())
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)
        connection.request("GET", CONFIG)
        answer = connection.getresponse()
        assert (answer.status, answer.read()) == (200, model_files("base", 1 << 20)["config.json"])
        process.send_signal(end)
        rest, told = process.communicate(timeout=PATIENCE)
        assert (process.returncode, rest) == (0, "")
    assert f"GET {CONFIG} 200" in told
    assert "1 model, 1.0M: 1 revision as a whole" in told
    assert f"set HF_ENDPOINT={parts.geturl()}" in told
    assert "every user of this machine can read them" in told


@pytest.mark.slow
def test_a_download_asks_a_neighbour_and_says_so(
    hubfold: Program, cached: Tree, loopback_hub: LoopbackHub, tmp_path: Path
) -> None:
    environ = {**hubfold.environ, "HF_HUB_CACHE": str(cached["hf/hub"]), **loopback_hub.environ()}
    loopback_hub.forget_hits()
    mine = Program(tmp_path / "mine")
    mine.environ |= loopback_hub.environ()
    with Engine(tmp_path / "theirs", environ=environ) as engine, served(engine) as serving:
        preview = mine("download", "org/base", "--from", serving.endpoint, "--dry-run")
        done = mine(
            "download", "org/base", "--from", serving.endpoint, "--from", "http://127.0.0.1:9", "--json"
        )
    assert "1.0M of it from other hosts, as they say" in preview.err
    assert done.code == 0
    assert done.json["models"][0]["from_neighbours_bytes"] == 1 << 20
    assert "http://127.0.0.1:9: Connection refused; the Hub is asked instead" in done.err
    assert not loopback_hub.downloads(1 << 20)


def test_what_is_no_neighbour(hubfold: Program) -> None:
    done = hubfold("download", "org/base", "--from", "lab-1:8600")
    assert (done.code, "is no endpoint" in done.err) == (2, True)
    assert os.listdir(hubfold.home) in ([], ["state"], ["user"], ["state", "user"], ["user", "state"])
