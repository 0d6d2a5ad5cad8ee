"""`hubfold download`."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from hubfold.testing.loopback_hub import LoopbackHub, StoredFile
from hubfold.testing.trees import model_files
from tests.building.program import Program
from tests.building.stalling import Half
from tests.building.waiting import PATIENCE, until

pytestmark = pytest.mark.slow


@pytest.fixture
def hub(hubfold: Program) -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        hub.add("org/base", model_files("base"))
        hub.add("me/copy", model_files("base"))
        environ = hub.environ()
        environ.pop("HF_HUB_DISABLE_PROGRESS_BARS")
        hubfold.environ |= environ
        yield hub


def test_the_folder_is_on_stdout_and_nothing_is_fetched_twice(hubfold: Program, hub: LoopbackHub) -> None:
    done = hubfold("download", "org/base")
    assert done.code == 0
    folder = Path(done.out.strip())
    assert (folder / "model.safetensors").stat().st_size == 3 << 20
    assert "%" not in done.err  # no bars where nobody watches
    assert len(hub.downloads(1 << 20)) == 1
    dry = hubfold("download", "me/copy", "--dry-run")
    assert "hardlink instead of 3.1M to download" in dry.err
    report = hubfold("download", "me/copy", "--json", "--to", "links").json
    assert set(report) == {"cache", "place", "run", "models", "reused", "links", "failed"}
    assert [(item["how"], item["bytes"]) for item in report["reused"]] == [("hardlink", 3 << 20)]
    assert report["models"][0]["downloaded_bytes"] < 1 << 20
    assert len(hub.downloads(1 << 20)) == 1
    assert (hubfold.home / "links" / "model.safetensors").is_symlink()


def test_without_a_model_the_configured_ones_are_offered(hubfold: Program, hub: LoopbackHub) -> None:
    assert hubfold("download").code == 2
    config = Path(hubfold.environ["HUBFOLD_HOME"]) / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text('[models]\nsmall = "org/base"\nlarge = { repo = "me/copy", size = "3MB" }\n')
    done = hubfold.on_terminal("download", "--no-color", answers=[("Which ones", "1\n")])
    assert done.code == 0
    assert "1  small: org/base (missing)" in done.out and "2  large: me/copy, 3.0M (missing)" in done.out
    assert (hubfold.home / "hf/hub/models--org--base").is_dir()
    assert not (hubfold.home / "hf/hub/models--me--copy").exists()
    wrong = hubfold.on_terminal("download", "--no-color", answers=[("Which ones", "7\n")])
    assert wrong.code == 2
    assert "1  small: org/base (cached)" in wrong.out, "what is there already is told"
    assert hubfold.on_terminal("download", "--no-color", answers=[("Which ones", "all\n")]).code == 0
    assert (hubfold.home / "hf/hub/models--me--copy").is_dir()
    assert hubfold("download", "small").code == 0


def test_a_file_of_your_folders_is_linked_only_after_a_yes(hubfold: Program, hub: LoopbackHub) -> None:
    folder = hubfold.home / "mine"
    folder.mkdir()
    mine = folder / "weights.safetensors"
    mine.write_bytes(model_files("base")["model.safetensors"])
    (folder / "copy.safetensors").write_bytes(mine.read_bytes())
    hubfold("scan", folder)
    done = hubfold("download", "org/base")
    assert done.code == 0
    assert mine.stat().st_nlink == 1
    assert not hub.downloads(1 << 20)
    hubfold("rm", "org/base", "-y")
    asked = hubfold.on_terminal(
        "download", "org/base", "--no-color", answers=[("read-only (no: copy)? [y/N]", "y\n")]
    )
    assert asked.code == 0
    assert {mine.stat().st_nlink, (folder / "copy.safetensors").stat().st_nlink} in ({1, 2}, {2})


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("org/nope",), 1, "Repository Not Found"),
        (("../x",), 2, "is not a repo id"),
        (("org/gated",), 1, "restricted"),
        (("org/base", "--revision", "v9"), 1, "Revision Not Found"),
    ],
)
def test_what_cannot_be_had_is_told_in_one_line(
    hubfold: Program, hub: LoopbackHub, arguments: tuple[str, ...], code: int, said: str
) -> None:
    hub.add("org/gated", model_files("gated"))
    hub.gated.add("org/gated")
    done = hubfold("download", *arguments)
    assert done.code == code
    assert said in done.err
    assert len(done.err.splitlines()) <= 2
    several = hubfold("download", "org/base", "org/nope", environ={"HF_HUB_OFFLINE": "1"})
    assert several.code == 1


def test_ctrl_c_ends_a_download_at_once_and_the_same_command_goes_on(
    hubfold: Program, hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    real = StoredFile.open

    def stalling(file: StoredFile) -> BinaryIO:
        source = real(file)
        return Half(source.read(), go_on) if file.size >= 1 << 20 else source

    with monkeypatch.context() as patch:
        patch.setattr(StoredFile, "open", stalling)
        process = subprocess.Popen(
            hubfold.command(["download", "org/base"]), env=hubfold.environ, stderr=subprocess.PIPE, text=True
        )
        until(lambda: hub.downloads(1 << 20), "the download did not begin")
        process.send_signal(signal.SIGINT)
        # The rest has not been let come: it ends without it.
        _, said = process.communicate(timeout=PATIENCE)
        go_on.set()
    assert process.returncode == 130
    assert "the same command goes on from here" in said
    assert hubfold("check", "org/base", "-q").code == 3
    assert hubfold("path", "org/base").code == 1
    assert hubfold("download", "org/base").code == 0
    assert hubfold("check", "org/base", "-q").code == 0


def test_a_disk_that_is_too_small_is_told_with_the_figures_and_nothing_is_fetched(
    hubfold: Program, hub: LoopbackHub
) -> None:
    """No disk of any machine has room for what this listing says."""
    for file in hub.files("org/base").values():
        object.__setattr__(file, "size", 9 * 10**17) if file.size > 1 << 20 else None
    dry = hubfold("download", "org/base", "--dry-run")
    assert dry.code == 0
    assert "warning: " in dry.err and "this takes 900" in dry.err
    done = hubfold("download", "org/base")
    assert done.code == 1
    assert "free, and this takes 900" in done.err
    assert "--into" in done.err
    assert not hub.downloads()
    assert not (hubfold.home / "hf/hub/models--org--base").exists()


def test_a_hub_that_is_not_there(hubfold: Program, hub: LoopbackHub) -> None:
    away = {"HF_ENDPOINT": "http://127.0.0.1:9"}
    done = hubfold("download", "org/base", environ=away)
    assert done.code == 1
    assert "127.0.0.1:9" in done.err and "HF_ENDPOINT" in done.err and "refused" in done.err
    assert len(done.err.splitlines()) == 2
    folder = hubfold("download", "org/base").out
    done = hubfold("download", "org/base", environ=away)
    assert (done.code, done.out) == (0, folder), "what is whole already is given, as the client gives it"
    assert "127.0.0.1:9 does not answer" in done.err


def _configured(hubfold: Program, text: str) -> None:
    config = Path(hubfold.environ["HUBFOLD_HOME"]) / "config.toml"
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text(f"[models]\n{text}\n")


def test_what_is_missing_is_fetched_with_nobody_to_ask(hubfold: Program, hub: LoopbackHub) -> None:
    assert hubfold("download", "--missing").code == 2
    assert hubfold("download", "--all").code == 2
    _configured(hubfold, 'a = "org/base"\nb = { repo = "me/copy", include = ["*.json"] }')
    assert hubfold("download", "--missing", "org/base").code == 2
    assert hubfold("download", "--missing", "--all").code == 2
    program = " ".join(map(str, hubfold.command([])))
    script = f'hubfold() {{ {program} "$@"; }}; hubfold check -q || hubfold download --missing'
    for code in (3, 0):
        assert hubfold("check", "-q").code == code
        done = subprocess.run(
            ["sh", "-c", script],
            env=hubfold.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    asked = len(hub.hits)
    done = hubfold("download", "--missing", "--json")
    assert (done.code, done.json["models"], len(hub.hits)) == (0, [], asked), (
        "nobody is asked about what is whole"
    )
    assert "nothing is missing" in hubfold("download", "--missing").err
    newer = hub.add("org/base", model_files("newer"))
    assert hubfold("download", "--missing").out == ""
    done = hubfold("download", "--all", "--json")
    assert done.code == 0
    assert [model["commit"] for model in done.json["models"]] == [newer, hub.commit_of("me/copy")]


def test_a_damaged_model_is_told_mended_and_whole_after_it(hubfold: Program, hub: LoopbackHub) -> None:
    _configured(hubfold, 'a = "org/base"')
    folder = Path(hubfold("download", "org/base").out.strip())
    blob = (folder / "model.safetensors").resolve()
    os.truncate(blob, 100)
    dry = hubfold("download", "--missing", "--dry-run")
    assert (dry.code, blob.stat().st_size) == (0, 100)
    assert "model.safetensors has 100 bytes instead of 3145728" in dry.err
    done = hubfold("download", "--missing")
    assert (done.code, done.out) == (0, f"{folder}\n")
    assert hubfold("check", "-q").code == 0
    os.truncate((folder / "model.safetensors").resolve(), 100)
    done = hubfold("download", "--missing", environ={"HF_HUB_OFFLINE": "1"})
    assert (done.code, done.out) == (3, ""), "no success that check denies"
    assert "is broken: " in done.err and "doctor --fix --download" in done.err
    assert hubfold("check", "-q").code == 3
    assert hubfold("doctor", "--fix", "--download", "-y").code in (0, 3)
    assert hubfold("check", "-q").code == 0


def test_on_a_terminal_the_result_stands_on_lines_of_its_own(hubfold: Program, hub: LoopbackHub) -> None:
    done = hubfold.on_terminal("download", "org/base", "--no-color", columns=300)
    lines = [line.split("\r")[-1] for line in done.out.split("\n")]
    [result] = [line for line in lines if "whole" in line]
    assert result.startswith("org/base: whole, 3.1M were downloaded")
    assert any(line.startswith("/") and line.endswith(hub.commit_of("org/base") or "?") for line in lines)


def test_what_an_earlier_attempt_left_is_told(hubfold: Program, hub: LoopbackHub) -> None:
    """The client of this environment gives each attempt a file of its own; hubfold goes on with an earlier one."""
    folder = Path(hubfold("download", "org/base").out.strip())
    blob = (folder / "model.safetensors").resolve()
    blob.rename(blob.with_name(f"{blob.name}.1234abcd.incomplete"))
    (folder / "model.safetensors").unlink()
    dry = hubfold("download", "org/base", "--dry-run")
    assert "3.1M that an earlier attempt left are gone on with" in dry.err
