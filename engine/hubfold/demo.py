"""`hubfold demo`: a small realistic set-up made by the real client, the whole job done on it, and every claim checked.

In the demo's folder, and nowhere else::

    hf/hub/            the cache (HF_HOME is hf/): demo/base and demo/chat, downloaded by huggingface_hub
    project/cache/     the cache of one project, with demo/base once more
    models/base, models/chat      what `snapshot_download(local_dir=…)` leaves
    backup/base.safetensors       a copy that somebody made with `cp`
    state/             HUBFOLD_HOME

demo/chat is a fine-tune of demo/base: same size, same safetensors header, one byte in the middle differs. Tools that
look at the first bytes link the two together and destroy one.

The downloads come from a Hub on 127.0.0.1; the client runs in a process of its own with an environment of its own.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hubfold.errors import RootError, UsageError
from hubfold.json_form import JsonForm, told
from hubfold.testing.loopback_hub import LoopbackHub

BASE, CHAT = "demo/base", "demo/chat"
DEFAULT_SIZE = 48_000_000
#: The weights lie there six times: base four times over, chat twice.
_COPIES = 6
_NEEDED = 2
_SMALLEST = 12_000_000
_CHUNK = 1 << 20

_CLIENT = """
import json, sys
from huggingface_hub import scan_cache_dir, snapshot_download
answers = []
for job in json.load(sys.stdin):
    if job["do"] == "download":
        answers.append(snapshot_download(job["repo_id"], **job["where"]))
    else:
        found = scan_cache_dir(job["cache"])
        repos = [[r.repo_id, r.size_on_disk, *sorted(v.commit_hash for v in r.revisions)] for r in found.repos]
        answers.append({"repos": sorted(repos), "warnings": [str(warning) for warning in found.warnings]})
json.dump(answers, sys.stdout)
"""


@dataclass(frozen=True, slots=True)
class Step(JsonForm):
    """One command of the demo, and the space that the folder took after it, in bytes by allocated blocks."""

    command: str
    exit_code: int
    seconds: float = field(metadata=told(value=lambda seconds: round(seconds, 3)))
    allocated_bytes: int


@dataclass(frozen=True, slots=True)
class DemoReport(JsonForm):
    """The finished demo. `complaints` is empty if every claim held."""

    folder: str
    steps: tuple[Step, ...]
    checks: tuple[str, ...]
    complaints: tuple[str, ...]


class Demo:
    """The set-up in `folder`, which is made, or must be empty. `size` is what all its copies take, in bytes.

    `tell(text)` gets what happens as it happens. With `quiet`, the commands print nothing.
    """

    def __init__(
        self, folder: str, size: int = DEFAULT_SIZE, *, tell: Callable[[str], None], quiet: bool = False
    ) -> None:
        if size < _SMALLEST:
            raise UsageError(f"a demo of {size} bytes is too small", f"give at least {_SMALLEST // 10**6}M")
        self.folder = os.path.realpath(folder)
        self._weights = size // _COPIES
        self._tell = tell
        self._quiet = quiet
        self._steps: list[Step] = []
        self._checks: list[str] = []
        self._complaints: list[str] = []

    @property
    def environ(self) -> dict[str, str]:
        """The variables that keep hubfold and the client inside the folder."""
        return {"HUBFOLD_HOME": self._at("state"), "HF_HOME": self._at("hf"), "HOME": self._at("home")}

    def run(self) -> DemoReport:
        """Make everything, do the whole job, check it. Raises `RootError` where the folder cannot be used."""
        self._make_folder()
        with LoopbackHub() as hub:
            clients_before = self._download(hub)
            before = self._photograph()
            allocated = self._allocated()
            self._tell(f"made in {self.folder}: {_COPIES} copies of {_NEEDED} models, {_mega(allocated)}")

            self._hubfold("scan", *self._places)
            self._hubfold("consolidate", "--dry-run", *self._places)
            self._check("a dry run changes nothing", self._photograph() == before)
            self._hubfold("consolidate", "-y", *self._places)
            self._check_folded(hub, before, clients_before, allocated)
            self._hubfold("verify", *self._places)
            self._hubfold("undo", "-y")
            self._hubfold("gc", "-y")
            self._check("after undo every path has its bytes, mode and times", self._photograph() == before)
            self._check(
                "after undo huggingface_hub sees what it saw", self._client(hub, self._view) == clients_before
            )
        return DemoReport(self.folder, tuple(self._steps), tuple(self._checks), tuple(self._complaints))

    # making it

    @property
    def _places(self) -> tuple[str, ...]:
        return tuple(self._at(name) for name in ("hf", "project", "models", "backup"))

    def _make_folder(self) -> None:
        try:
            os.makedirs(self.folder, exist_ok=True)
            if os.listdir(self.folder):
                raise RootError(f"{self.folder} is not empty", "name a folder that does not exist yet")
            for name in ("home", "backup"):
                os.mkdir(self._at(name))
        except OSError as error:
            raise RootError(
                f"{self.folder} cannot be used: {error.strerror}", "name another folder"
            ) from error
        free = shutil.disk_usage(self.folder).free
        if free < 2 * _COPIES * self._weights:
            raise RootError(
                f"{self.folder} has only {_mega(free)} free", "name another folder, or a smaller --size"
            )

    def _download(self, hub: LoopbackHub) -> list[Any]:
        """Make all copies; what huggingface_hub says of them then (see `_view`)."""
        for repo_id, tuned in ((BASE, False), (CHAT, True)):
            hub.add(
                repo_id,
                {
                    "config.json": json.dumps({"model_type": "demo", "_name_or_path": repo_id}).encode(),
                    "model.safetensors": _weights(self._weights, tuned=tuned),
                },
            )
        downloads: list[dict[str, Any]] = [
            {"do": "download", "repo_id": BASE, "where": {}},
            {"do": "download", "repo_id": CHAT, "where": {}},
            {"do": "download", "repo_id": BASE, "where": {"cache_dir": self._at("project/cache")}},
            *self._local_dirs,
        ]
        answers: list[Any] = self._client(hub, [*downloads, *self._view])
        shutil.copyfile(self._at("models/base/model.safetensors"), self._at("backup/base.safetensors"))
        return answers[len(downloads) :]

    @property
    def _local_dirs(self) -> list[dict[str, Any]]:
        return [
            {"do": "download", "repo_id": BASE, "where": {"local_dir": self._at("models/base")}},
            {"do": "download", "repo_id": CHAT, "where": {"local_dir": self._at("models/chat")}},
        ]

    # looking at it

    @property
    def _view(self) -> list[dict[str, Any]]:
        """Jobs that tell what huggingface_hub says of both caches, offline."""
        offline = {"local_files_only": True}
        of_project = {**offline, "cache_dir": self._at("project/cache")}
        return [
            {"do": "scan", "cache": self._at("hf/hub")},
            {"do": "scan", "cache": self._at("project/cache")},
            {"do": "download", "repo_id": BASE, "where": offline},
            {"do": "download", "repo_id": CHAT, "where": offline},
            {"do": "download", "repo_id": BASE, "where": of_project},
        ]

    def _photograph(self) -> dict[str, tuple[Any, ...]]:
        """Of every file and link: its kind, mode, owner, time (of a file), and the digest of the bytes it reads."""
        return {
            path: (
                stat.filemode(st.st_mode),
                st.st_uid,
                st.st_gid,
                st.st_mtime_ns if stat.S_ISREG(st.st_mode) else os.readlink(path),
                _sha256(path),
            )
            for path, st in self._files()
        }

    def _files(self) -> Iterator[tuple[str, os.stat_result]]:
        for top in ("hf/hub", "project/cache", "models", "backup"):
            for folder, _, names in os.walk(self._at(top)):
                for name in names:
                    path = os.path.join(folder, name)
                    # Bookkeeping belongs to the client, which writes it anew whenever it runs (refs: 0.36).
                    if not any(part in path for part in ("/.locks/", "/.cache/", "/refs/")):
                        yield path, os.lstat(path)

    def _allocated(self) -> int:
        """What everything but hubfold's own state takes, each inode once, by blocks: what `du` says."""
        inodes = {}
        for folder, folders, names in os.walk(self.folder):
            if folder == self.folder:
                folders.remove("state") if "state" in folders else None
            for name in names:
                st = os.lstat(os.path.join(folder, name))
                inodes[st.st_dev, st.st_ino] = st.st_blocks * 512
        return sum(inodes.values())

    # doing it

    def _check_folded(
        self, hub: LoopbackHub, before: dict[str, tuple[Any, ...]], clients_before: Any, allocated: int
    ) -> None:
        after = self._photograph()
        self._check(
            "every path reads the bytes it had",
            {path: facts[-1] for path, facts in after.items()}
            == {path: facts[-1] for path, facts in before.items()},
        )
        base, chat = (self._at(f"models/{name}/model.safetensors") for name in ("base", "chat"))
        self._check("the fine-tune is not linked to its base", not os.path.samefile(base, chat))
        extents_shared = os.stat(base).st_ino == os.lstat(base).st_ino and os.lstat(base).st_nlink == 1
        if extents_shared:
            self._tell("this file system shares extents, which `du` and the space below count once per file")
        else:
            freed = allocated - self._allocated()
            expected = (_COPIES - _NEEDED) * self._weights
            self._check(f"{_mega(expected)} are free again", freed > 0.99 * expected)
        hub.forget_hits()
        # The look comes first, so that the downloads have no part in it; offline, it asks the Hub for nothing.
        answers = self._client(hub, [*self._view, *self._local_dirs])
        self._check(
            "huggingface_hub sees the same repos, revisions and sizes",
            answers[: len(self._view)] == clients_before,
        )
        self._check("a new download to models/ fetches no big file again", not hub.downloads(at_least=_CHUNK))

    def _check(self, claim: str, holds: bool) -> None:
        self._tell(f"{'holds' if holds else 'DOES NOT HOLD'}: {claim}")
        (self._checks if holds else self._complaints).append(claim)

    def _hubfold(self, *arguments: str) -> None:
        shown = " ".join(
            os.path.relpath(word, self.folder) if word[:1] == "/" else word for word in arguments
        )
        self._tell(f"$ hubfold {shown}")
        # What was told so far comes before what the command says.
        sys.stdout.flush()
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "hubfold", *arguments, *(("-q",) if self._quiet else ())],
            env=self._environ(),
            cwd=self.folder,
            check=False,
        )
        step = Step(f"hubfold {shown}", done.returncode, time.monotonic() - began, self._allocated())
        self._steps.append(step)
        self._tell(f"space now: {_mega(step.allocated_bytes)}")
        if step.exit_code:
            self._complaints.append(f"{step.command} ended with exit code {step.exit_code}")

    def _client(self, hub: LoopbackHub, jobs: Sequence[dict[str, Any]]) -> Any:
        """Let huggingface_hub do `jobs` in a process of its own, and return its answers."""
        done = subprocess.run(
            [sys.executable, "-c", _CLIENT],
            input=json.dumps(jobs),
            env={**self._environ(), **hub.environ()},
            stdout=subprocess.PIPE,
            check=True,
            text=True,
        )
        return json.loads(done.stdout)

    def _environ(self) -> dict[str, str]:
        foreign = ("HF_", "HUGGINGFACE_", "HUBFOLD_", "XDG_", "OLLAMA_")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
        # Plugins of others may know of roots outside the folder.
        return {**kept, **self.environ, "HUBFOLD_NO_PLUGINS": "1"}

    def _at(self, name: str) -> str:
        return os.path.join(self.folder, name)


def _weights(size: int, *, tuned: bool) -> Iterator[bytes]:
    """A safetensors file of `size` bytes; with `tuned`, one byte in the middle is another."""
    # Length of the header, the header, then the tensor: https://github.com/huggingface/safetensors#format
    tensor = size - 4096
    header = json.dumps({"weight": {"dtype": "U8", "shape": [tensor], "data_offsets": [0, tensor]}}).encode()
    yield struct.pack("<Q", 4088) + header.ljust(4088)
    source, written = random.Random(7), 0
    while written < tensor:
        chunk = source.randbytes(min(_CHUNK, tensor - written))
        if tuned and written <= tensor // 2 < written + len(chunk):
            middle = tensor // 2 - written
            chunk = chunk[:middle] + bytes([chunk[middle] ^ 1]) + chunk[middle + 1 :]
        yield chunk
        written += len(chunk)


def _sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _mega(size: int) -> str:
    return f"{size / 1e6:.1f}M"
