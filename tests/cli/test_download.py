"""`hubfold download`."""

from __future__ import annotations

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
    assert set(report) == {"cache", "run", "models", "reused", "links", "failed"}
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


def test_a_hub_that_is_not_there(hubfold: Program) -> None:
    done = hubfold("download", "org/base", environ={"HF_ENDPOINT": "http://127.0.0.1:9"})
    assert done.code == 1
    assert "refused" in done.err
