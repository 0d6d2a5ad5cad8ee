"""The session with models in the README is what the program says: it is run again, on the same models."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, safetensors

README = Path(__file__).resolve().parent.parent / "README.md"
MB = 10**6
CONFIG = "/.config/hubfold/config.toml"
#: What a pipe gets whole, and a terminal a few lines of.
ON_TERMINAL = ("hubfold rm base --dry-run",)


def session() -> list[tuple[str, list[str]]]:
    """The commands of the section on models, each with the lines that it prints."""
    section = README.read_text(encoding="utf-8").partition("\n## Models\n")[2]
    block = section.partition("```console\n")[2].partition("```")[0]
    commands = [part.partition("\n") for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]]
    return [(command, output.splitlines()) for command, _, output in commands]


def two_shards(name: str) -> dict[str, bytes]:
    shards = {f"model-0000{n}-of-00002.safetensors": safetensors(f"{name}{n}", 40 * MB) for n in (1, 2)}
    return {**shards, "config.json": b'{"model_type": "llama"}'}


@pytest.fixture
def home(tmp_path: Path, loopback_hub: LoopbackHub) -> Path:
    base = two_shards("base")
    second = "model-00002-of-00002.safetensors"
    loopback_hub.add("acme/base", base)
    loopback_hub.add("acme/chat", {**two_shards("chat"), second: base[second]})
    quants = {f"many.Q{n}_K_M.gguf": safetensors(f"q{n}", n * 5 * MB) for n in (4, 6, 8)}
    loopback_hub.add("acme/many-GGUF", {**quants, "config.json": b"{}"})
    folder = tmp_path / "ana"
    folder.mkdir()
    Tree(folder, loopback_hub).build(
        {".cache/huggingface/hub": hub_cache("acme/base"), "models/base": local_dir("acme/base")}
    )
    return folder


def on_terminal(words: Sequence[str], environ: Mapping[str, str], cwd: Path) -> str:
    """What a program says on a terminal without colours, with nobody to ask."""
    controller, terminal = pty.openpty()
    with open(controller, "rb", buffering=0) as reader:
        process = subprocess.Popen(
            words,
            env={**environ, "NO_COLOR": "1"},
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=terminal,
            stderr=terminal,
        )
        os.close(terminal)
        said = b""
        with suppress(OSError):  # Linux ends a terminal without a program with EIO
            while chunk := reader.read(65536):
                said += chunk
        process.wait()
    return said.decode().replace("\r\n", "\n")


@pytest.mark.slow
def test_the_session_with_models(home: Path, loopback_hub: LoopbackHub) -> None:
    environ = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        **loopback_hub.environ(),
    }
    (_, config), *commands = session()
    (home / CONFIG.strip("/")).parent.mkdir(parents=True)
    (home / CONFIG.strip("/")).write_text("\n".join(config))
    for words in (["roots", "add", str(home / "models")], ["scan"]):
        subprocess.run([sys.executable, "-m", "hubfold", *words], env=environ, check=True)
    assert len(commands) == 5
    for command, told in commands:
        words = [sys.executable, "-m", *command.split()]
        if command in ON_TERMINAL:
            said = on_terminal(words, environ, home)
        else:
            done = subprocess.run(
                words, env=environ, cwd=home, capture_output=True, text=True, stdin=subprocess.DEVNULL
            )
            said = done.stdout + done.stderr
        lines = said.replace(str(home), "/home/ana").splitlines()
        # What is free is the machine's own; a terminal mixes stdout and stderr.
        shown = [
            sorted(re.sub(r"[\d.]+[MGT] free", "? free", line) for line in some) for some in (lines, told)
        ]
        assert shown[0] == shown[1], command
