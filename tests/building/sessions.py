"""Sessions in the docs: the commands of a block are run again on the same files, and say what the page shows.

A block that is run has a line before it, ``<!-- session: NAME -->``: a home of that name is made, and the blocks that
follow with that name go on in it. Lines that begin with ``$ `` are given to a shell, on a terminal of 100 columns
without colours; ``cat FILE`` writes the file first if it is not there yet. What differs each time (the home, names of
runs, seconds, what is free) is written as in the page.
"""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, safetensors

#: So many that nothing has to be broken: where lines break depends on how long the real paths of a session are.
COLUMNS = 500
MB = 10**6
#: Where the home of a session lies in a page.
HOME = "/home/ana"
#: And what lies on another drive.
DRIVE = "/mnt/slow"
_BLOCK = re.compile(r"^<!-- session: ([\w-]+) -->\n```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARYING = (
    (re.compile(r"\b\d{8}-\d{6}-[0-9a-f]{6}\b"), "20261128-101500-422f47"),
    (re.compile(r"\bin \d+\.\d s\b"), "in 0.1 s"),
    (re.compile(r"\b20\d\d-\d\d-\d\d \d\d:\d\d\b"), "2026-11-28 10:15"),
    (re.compile(r"\b[\d.]+[MGT] free\b"), "79.5G free"),
)
#: Lines of a plan next to each other: what is replaced, and why by which link.
_OF_A_PLAN = re.compile(
    r"(?:^ +[\d.]+[KMGT]? +(?:hardlink|symlink|reflink) .*\n)+|(?:^  (?:hardlink|symlink|reflink): .*\n)+",
    re.M,
)


@dataclass(frozen=True)
class Block:
    """One block of a page: the home that it is run in, and each command with the text below it."""

    home: str
    commands: tuple[tuple[str, str], ...]
    #: Where its text lies in the page.
    span: tuple[int, int]


def blocks(page: str) -> Iterator[Block]:
    for found in _BLOCK.finditer(page):
        parts = [part.partition("\n") for part in re.split(r"^\$ ", found[2], flags=re.MULTILINE)[1:]]
        yield Block(found[1], tuple((command, text) for command, _, text in parts), found.span(2))


def unlisted(page: str) -> list[str]:
    """The blocks of a page with commands that nothing runs, by their first line."""
    rest = _BLOCK.sub("", page)
    return re.findall(r"^```console\n(.*)$", rest, re.MULTILINE)


class Session:
    """A home, and a shell in it."""

    def __init__(self, name: str, folder: Path, hub: LoopbackHub) -> None:
        self.home = folder / "ana"
        self.home.mkdir(parents=True)
        self._hub = hub
        self._other = tempfile.TemporaryDirectory(prefix="d", dir=_another_drive(self.home))
        HOMES[name](self.home, hub)

    def run(self, command: str, shown: str) -> str:
        """What it prints, as a page has it; `shown` is what the page has now."""
        file = re.fullmatch(r"cat (\S+)", command)
        if file and not (self.home / file[1]).exists():
            (self.home / file[1]).parent.mkdir(parents=True, exist_ok=True)
            (self.home / file[1]).write_text(shown)
        typed = command.replace(DRIVE, self._other.name)
        said = on_terminal(typed, self.environ(), self.home)
        return as_shown(said.replace(str(self.home), HOME).replace(self._other.name, DRIVE))

    def environ(self) -> dict[str, str]:
        return {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "TERM": "xterm",
            "NO_COLOR": "1",
            "TZ": "UTC",
            **self._hub.environ(),
        }


def _another_drive(home: Path) -> str:
    """A folder on another file system, where there is one."""
    here = home.stat().st_dev
    others = [one for one in ("/dev/shm", tempfile.gettempdir()) if os.access(one, os.W_OK)]
    return next((one for one in others if os.stat(one).st_dev != here), others[-1])


def as_shown(text: str) -> str:
    """Without what differs each time, and without the notes that only root gets."""
    for pattern, constant in _VARYING:
        text = pattern.sub(constant, text)
    # In which order files are read depends on where the file system has put them.
    text = _OF_A_PLAN.sub(lambda found: "".join(sorted(found[0].splitlines(keepends=True))), text)
    return re.sub(r"^note: running as root.*\n", "", text, flags=re.MULTILINE)


def on_terminal(command: str, environ: Mapping[str, str], cwd: Path) -> str:
    """What a shell says on a terminal, with nobody to ask."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, COLUMNS, 0, 0))
    with open(controller, "rb", buffering=0) as reader:
        process = subprocess.Popen(
            ["bash", "-c", command],
            env=environ,
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


def again(page: str, folder: Path, hub: Callable[[], LoopbackHub]) -> str:
    """The page with what its commands print now."""
    sessions: dict[str, Session] = {}
    for block in reversed([*_run(page, sessions, folder, hub)]):
        (start, end), text = block
        page = page[:start] + text + page[end:]
    return page


def _run(
    page: str, sessions: dict[str, Session], folder: Path, hub: Callable[[], LoopbackHub]
) -> Iterator[tuple[tuple[int, int], str]]:
    for block in blocks(page):
        if block.home not in sessions:
            sessions[block.home] = Session(block.home, folder / block.home, hub())
        said = [
            f"$ {command}\n{sessions[block.home].run(command, shown)}" for command, shown in block.commands
        ]
        yield block.span, "".join(said)


# -- homes -----------------------------------------------------------------------------------------------------------


def two_shards(name: str, size: int) -> dict[str, bytes]:
    shards = {f"model-0000{n}-of-00002.safetensors": safetensors(f"{name}{n}", size) for n in (1, 2)}
    return {**shards, "config.json": b'{"model_type": "llama"}'}


def _two_models(hub: LoopbackHub, size: int, more: int = 0) -> None:
    """Two models that share a shard; the first with a file of so many bytes `more`."""
    base = two_shards("base", size) | ({"tokenizer.json": bytes(more)} if more else {})
    second = "model-00002-of-00002.safetensors"
    hub.add("acme/base", base)
    hub.add("acme/chat", {**two_shards("chat", size), second: base[second]})


def two_models_twice(home: Path, hub: LoopbackHub) -> None:
    """Both in the cache, and both once more below ~/models."""
    _two_models(hub, 40 * MB)
    Tree(home, hub).build(
        {
            ".cache/huggingface/hub": hub_cache("acme/base", "acme/chat"),
            "models/base": local_dir("acme/base"),
            "models/chat": local_dir("acme/chat"),
        }
    )


def one_of_three(home: Path, hub: LoopbackHub) -> None:
    """One model in the cache and below ~/models; two more are on the Hub, one of them with several quantisations."""
    # What a place holds, and what goes with a model, are shown with their folders, which take room on some file
    # systems: with the file more, the figures are the same on all.
    _two_models(hub, 40 * MB, 55_000)
    quants = {f"many.Q{n}_K_M.gguf": safetensors(f"q{n}", n * 5 * MB) for n in (4, 6, 8)}
    hub.add("acme/many-GGUF", {**quants, "config.json": b"{}"})
    Tree(home, hub).build(
        {".cache/huggingface/hub": hub_cache("acme/base"), "models/base": local_dir("acme/base")}
    )


def a_download_elsewhere(home: Path, hub: LoopbackHub) -> None:
    """A model below ~/models, and in no cache."""
    _two_models(hub, 40 * MB)
    Tree(home, hub).build({"models/base": local_dir("acme/base")})


def an_old_cache(home: Path, hub: LoopbackHub) -> None:
    """Two models in the cache of the home, one of them in the project's, too."""
    _two_models(hub, 40 * MB)
    Tree(home, hub).build(
        {
            ".cache/huggingface/hub": hub_cache("acme/base", "acme/chat"),
            "project/cache": hub_cache("acme/base"),
        }
    )


def within(home: Path, hub: LoopbackHub) -> None:
    """A cache and a copy of one of its models below ~/share, and another copy elsewhere."""
    _two_models(hub, 40 * MB)
    Tree(home, hub).build(
        {
            "share/cache": hub_cache("acme/base"),
            "share/models/base": local_dir("acme/base"),
            "models/base": local_dir("acme/base"),
        }
    )


HOMES: dict[str, Callable[[Path, LoopbackHub], None]] = {
    "two-models-twice": two_models_twice,
    "one-of-three": one_of_three,
    "a-download-elsewhere": a_download_elsewhere,
    "an-old-cache": an_old_cache,
    "within": within,
}
