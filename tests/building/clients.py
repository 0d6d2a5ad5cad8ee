"""Releases of huggingface_hub, each in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hubfold.testing.loopback_hub import LoopbackHub
from tests.building.waiting import PATIENCE

NEWEST = "newest"
OLDER = ("0.23.5", "0.36.2", "1.33.0")

#: Answers each line of [question, argument, …] on stdin by a line on stdout, from a fork: the client is loaded once.
ASK = """
import json, os, sys, traceback
from pathlib import Path
from huggingface_hub import scan_cache_dir, snapshot_download
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)

def answer(what, *arguments):
    if what == "download":
        repo, cache, local = arguments
        return snapshot_download(repo, cache_dir=cache, **({"local_dir": local} if local else {}))
    if what == "offline":
        repo, revision, cache = arguments
        folder = snapshot_download(repo, revision=revision, cache_dir=cache, local_files_only=True)
        return {str(p.relative_to(folder)): p.stat().st_size for p in sorted(Path(folder).rglob("*")) if p.is_file()}
    info = scan_cache_dir(arguments[0])
    if what == "delete":
        info.delete_revisions(*arguments[1:]).execute()
        return None
    return {
        "warnings": sorted(str(w) for w in info.warnings),
        "repos": sorted(
            [
                r.repo_id,
                r.repo_type,
                r.size_on_disk,
                sorted([v.commit_hash, v.size_on_disk, sorted(v.refs)] for v in r.revisions),
            ]
            for r in info.repos
        ),
    }

for line in sys.stdin:
    if os.fork() == 0:
        try:
            said = {"answer": answer(*json.loads(line))}
        except BaseException:
            said = {"error": traceback.format_exc()}
        print(json.dumps(said), file=answers, flush=True)
        os._exit(0)
    if os.wait()[1]:
        print(json.dumps({"error": "the client died"}), file=answers, flush=True)
"""


class Client:
    """One release of huggingface_hub in an environment of its own."""

    def __init__(self, release: str, hub: LoopbackHub) -> None:
        # What the newest is depends on the environment: the floor of pyproject.toml is one of the 0.x.
        self.release = version("huggingface_hub") if release == NEWEST else release
        environments = os.environ.get("HUBFOLD_TEST_CLIENTS", "")
        self.python = (
            sys.executable if release == NEWEST else os.path.join(environments, release, "bin", "python")
        )
        self.environ = {**os.environ, **hub.environ(), "PYTHONWARNINGS": "ignore"}
        self._asked = subprocess.Popen(
            [self.python, "-c", ASK],
            env=self.environ,
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def __call__(self, *arguments: str | Path) -> Any:
        assert self._asked.stdin is not None and self._asked.stdout is not None
        print(json.dumps(list(map(str, arguments))), file=self._asked.stdin, flush=True)
        said = json.loads(self._asked.stdout.readline())
        assert "answer" in said, said["error"][-2000:]
        return said["answer"]

    def close(self) -> None:
        self._asked.communicate(timeout=PATIENCE)

    def cache_rm(self, cache: Path, *arguments: str) -> None:
        """`hf cache rm` where the client has it (1.0 and later), else what its `delete-cache` does."""
        if self.release.startswith("0."):
            info = self("scan", cache)
            revisions = []
            for repo_id, repo_type, _, found in info["repos"]:
                if f"{repo_type}/{repo_id}" in arguments:
                    revisions += [revision[0] for revision in found]
                revisions += [revision[0] for revision in found if revision[0] in arguments]
            self("delete", cache, *revisions)
            return
        program = os.path.join(os.path.dirname(self.python), "hf")
        done = subprocess.run(
            [program, "cache", "rm", "-y", "--cache-dir", str(cache), *arguments],
            capture_output=True,
            text=True,
            env=self.environ,
        )
        assert done.returncode == 0, done.stderr

    def cache_prune(self, cache: Path) -> None:
        program = os.path.join(os.path.dirname(self.python), "hf")
        done = subprocess.run(
            [program, "cache", "prune", "-y", "--cache-dir", str(cache)],
            capture_output=True,
            text=True,
            env=self.environ,
        )
        assert done.returncode == 0, done.stderr
