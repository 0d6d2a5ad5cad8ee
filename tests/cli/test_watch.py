"""`hubfold watch`."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, model_files
from tests.building.program import Program
from tests.building.stalling import half_downloaded
from tests.building.waiting import PATIENCE, until

MIB = 1 << 20


@pytest.fixture
def cached(hubfold: Program, loopback_hub: LoopbackHub) -> Tree:
    loopback_hub.add("org/base", model_files("base", 40_000))
    return Tree(hubfold.home, loopback_hub).build({"hf/hub": hub_cache("org/base")})


def test_one_report_for_monitoring(hubfold: Program, cached: Tree) -> None:
    done = hubfold("watch", "--once", "--interval", "0.1", "--json")
    assert done.code == 0
    report = done.json
    assert [(model["id"], model["state"]) for model in report["models"]] == [("org/base", "whole")]
    assert report["downloads"] == []
    assert report["bytes_per_second"] == 0
    [disk] = report["disks"]
    assert disk["roots"] == [str(cached["hf/hub"])]
    assert 0 < disk["free_bytes"] < disk["total_bytes"]


@pytest.mark.slow
def test_a_download_that_goes_on_and_one_that_stands_still(
    hubfold: Program, cached: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached.hub.add("org/large", model_files("large", 4 * MIB))
    cache = cached["hf/hub"]
    with half_downloaded(
        cached.hub, cache, monkeypatch, least=4 * MIB, repo_id="org/large", cache_dir=str(cache)
    ):
        [download] = hubfold("watch", "--once", "--interval", "0.1", "--json").json["downloads"]
        assert (download["model"], download["name"]) == ("org/large", "model.safetensors")
        assert (download["bytes"], download["expected_bytes"]) == (2 * MIB, 4 * MIB)
        assert (download["running"], download["bytes_per_second"]) == (False, 0)
        assert "stands still" in hubfold("watch", "--once", "--interval", "0.1").out
        [partial] = cache.rglob("*.incomplete")
        with growing(partial):
            until(
                lambda: "1 running download" in hubfold("watch", "--once", "--interval", "0.2").out,
                "no look has seen it grow",
            )


@contextmanager
def growing(path: Path) -> Iterator[None]:
    """Somebody appends to the file all the while."""
    stop = threading.Event()

    def grow() -> None:
        with path.open("ab", buffering=0) as file:
            while not stop.wait(0.05):
                file.write(b"x" * 1000)

    thread = threading.Thread(target=grow)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.slow
def test_a_live_view_until_ctrl_c(hubfold: Program, cached: Tree) -> None:
    done = hubfold.on_terminal("watch", "--interval", "0.2", answers=[("org/base", "\x03")], columns=100)
    assert done.code == 0
    assert "1 model" in done.out
    assert "whole" in done.out


def test_where_nothing_is_shown_there_is_nothing_to_watch(hubfold: Program, cached: Tree) -> None:
    done = hubfold("watch", "-q")
    assert (done.code, done.out) == (2, "")
    assert "--json" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("as_json", [True, False])
def test_into_a_pipe_a_line_a_look_at_once_until_ctrl_c(
    hubfold: Program, cached: Tree, as_json: bool
) -> None:
    arguments = ["watch", "--interval", "0.1", *(["--json"] if as_json else [])]
    with subprocess.Popen(
        hubfold.command(arguments), env=hubfold.environ, cwd=hubfold.home, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(2)]
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    for line in lines:
        if as_json:
            assert [model["id"] for model in json.loads(line)["models"]] == ["org/base"]
        else:
            assert re.match(
                r"[\d-]+ [\d:]+ \S+  1 model, .* on disk, 0 running downloads, .* free of /", line
            )


@pytest.mark.slow
def test_names_that_hold_escapes_do_not_reach_the_terminal(hubfold: Program, cached: Tree) -> None:
    repo = cached["hf/hub/models--org--\x1b]0;title\x07"]
    (repo / "snapshots" / ("c" * 40)).mkdir(parents=True)
    (repo / "snapshots" / ("c" * 40) / "model.gguf").write_bytes(b"weights")
    done = hubfold.on_terminal("watch", "--interval", "0.2", answers=[("title", "\x03")], columns=120)
    assert "\x1b]0;title" not in done.out
    assert r"\x1b]0;title\x07" in done.out


@pytest.mark.slow
def test_a_small_screen_shortens_names_and_says_what_it_leaves_out(hubfold: Program) -> None:
    for number in range(30):
        snapshot = (
            hubfold.home / "hf/hub" / f"models--organisation--model-{number:02}" / "snapshots" / ("c" * 40)
        )
        snapshot.mkdir(parents=True)
        (snapshot / "model.gguf").write_bytes(b"weights" * 100 * (number + 1))
    done = hubfold.on_terminal("watch", "--interval", "0.2", answers=[("organi", "\x03")], columns=40)
    assert "30 models" in done.out
    assert "SIZE  ON DISK  STATE" in done.out
    assert "organi" in done.out and "…" in done.out
    assert re.search(r"\b21.0K +24.6K\b", done.out), "figures are whole"
    assert re.search(r"and \d+ more lines", done.out)
