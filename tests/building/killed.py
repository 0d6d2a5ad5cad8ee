"""Real clients that die: a download that is killed at its n-th call that writes, opens, renames or links anything.

No clock decides when: the process counts its calls of such builtins, each when it begins and when it ends, and kills
itself with SIGKILL at the one that was asked for. What it had in a buffer is lost, as with any kill.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from hubfold.testing.loopback_hub import LoopbackHub

#: The release of this environment.
NEWEST = "newest"
#: Those before it whose trees and habits differ.
OLDER = ("0.23.5", "0.36.2", "1.33.0")

_CLIENT = """
import json, os, signal, sys, threading, traceback

answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
import huggingface_hub
from huggingface_hub import constants, file_download, snapshot_download

# Files of some kilobytes come in several pieces, as large ones do.
for module in (constants, file_download):
    if hasattr(module, "DOWNLOAD_CHUNK_SIZE"):
        module.DOWNLOAD_CHUNK_SIZE = 4096

CALLS = {"write", "flush", "close", "open", "truncate", "utime"}
CALLS |= {"replace", "rename", "symlink", "link", "mkdir", "unlink"}

def die_at(number):
    left = [number]
    def count(frame, event, called):
        if event in ("c_call", "c_return") and called.__name__ in CALLS:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    threading.setprofile(count)
    sys.setprofile(count)

for line in sys.stdin:
    repo, number, options = json.loads(line)
    child = os.fork()
    if child == 0:
        try:
            if number:
                die_at(number)
            path = snapshot_download(repo, **options)
            sys.setprofile(None)
            threading.setprofile(None)
            print(json.dumps({"path": path}), file=answers, flush=True)
        except BaseException:
            sys.setprofile(None)
            print(json.dumps({"error": traceback.format_exc()}), file=answers, flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        print(json.dumps({"killed": True}), file=answers, flush=True)
"""


class MortalClient:
    """`snapshot_download` of one release, each in a process of its own that may be killed at a chosen moment."""

    def __init__(self, release: str, hub: LoopbackHub) -> None:
        self.release = release
        environments = os.environ.get("HUBFOLD_TEST_CLIENTS", "")
        python = sys.executable if release == NEWEST else os.path.join(environments, release, "bin", "python")
        self._process = subprocess.Popen(
            [python, "-c", _CLIENT],
            env={**os.environ, **hub.environ(), "PYTHONWARNINGS": "ignore"},
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def download(self, repo: str, cache: Path, *, die_at: int = 0, **options: object) -> str | None:
        """The folder that it gives; None where it was killed, or gave up over what another one left."""
        return self._ask(repo, die_at, {"cache_dir": str(cache), **options}).get("path")

    def loads(self, repo: str, cache: Path) -> str | None:
        """The folder that it gives offline, None where it gives none."""
        return self._ask(repo, 0, {"cache_dir": str(cache), "local_files_only": True}).get("path")

    def _ask(self, repo: str, die_at: int, options: dict[str, object]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        print(json.dumps([repo, die_at, options]), file=self._process.stdin, flush=True)
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said

    def close(self) -> None:
        self._process.communicate()
