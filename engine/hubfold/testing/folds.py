"""The contract of a backend once hubfold is at work: folded and taken back by the command, the store's program asked.

It is run as a user runs it, in a process of its own, so the plugin has to be installed, or to be one file; else these
tests are skipped. Once it is killed in the middle of a swap.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from hubfold.content import LinkKind, Root
from hubfold.testing.built import Built

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hubfold.backend.contract import StorageBackend

_FOLD = ("consolidate", "--all-files", "--min-size", "1", "-y")

#: hubfold, which ends without another word once a file has taken the place of another.
_DYING = """
import os, sys
from hubfold.disk.directory import Directory
from hubfold.cli import main

def dying(call):
    def changed(folder, one, other):
        call(folder, one, other)
        if one.startswith(".hubfold-"):
            os._exit(77)
    return changed

Directory.exchange, Directory.rename = dying(Directory.exchange), dying(Directory.rename)
main()
"""


class Command:
    """hubfold with a state and a home below `folder`, and nothing of this machine's."""

    def __init__(self, folder: Path) -> None:
        self.environ = {
            **os.environ,
            "HOME": str(folder / "home"),
            "HUBFOLD_HOME": str(folder / "state"),
            "HF_HOME": str(folder / "home/hf"),
            "NO_COLOR": "1",
        }

    def run(self, *arguments: str | Path) -> str:
        """What it prints. Fails where it does not do what it is asked for."""
        line = [sys.executable, "-m", "hubfold", *map(str, arguments)]
        answer = subprocess.run(line, env=self.environ, capture_output=True, text=True, timeout=600)
        assert answer.returncode == 0, f"{' '.join(line)}: {answer.stdout}{answer.stderr}"
        return answer.stdout

    def dies_in_a_swap(self, *arguments: str | Path) -> bool:
        """Run it, killed as soon as one name was given another file; whether it came to that.

        What was displaced has a name of hubfold's then, and nothing after it was done.
        """
        line = [sys.executable, "-c", _DYING, *map(str, arguments)]
        answer = subprocess.run(line, env=self.environ, capture_output=True, text=True, timeout=600)
        assert answer.returncode in (0, 77), f"{' '.join(line)}: {answer.stdout}{answer.stderr}"
        return answer.returncode == 77

    def bring(self, backend: type[StorageBackend]) -> None:
        """Have the file of a plugin that is no distribution, as its author has it beside his configuration."""
        folder = Path(self.environ["HUBFOLD_HOME"], "plugins")
        folder.mkdir(parents=True, mode=0o755)
        shutil.copy(inspect.getfile(backend), folder)

    def backends(self) -> list[str]:
        found = json.loads(self.run("plugins", "--json"))
        return [one["name"] for one in found["backends"]]


class FoldContract:
    """A part of `BackendContract`."""

    backend: ClassVar[type[StorageBackend]]

    def program_is_content(self, built: Built) -> None:
        """Ask the store's own program (it lists, loads, serves …); raise whatever it says. Asked before and after."""

    def test_once_folded_it_reads_the_same_with_the_links_that_it_takes_and_undo_takes_all_back(
        self, built: Built, tmp_path: Path
    ) -> None:
        hubfold = Command(tmp_path)
        if self.backend.name not in hubfold.backends():
            hubfold.bring(self.backend)
        if self.backend.name not in hubfold.backends() or not built.recognised:
            pytest.skip(f"no installed plugin has the backend {self.backend.name}, or it is known by no name")
        cache = tmp_path / "hub"
        _cache_of([built.root / path for path in built.content], cache)
        before = _as_users_see(built.root)
        self.program_is_content(built)
        hubfold.run(*_FOLD, built.root, cache)
        after = _as_users_see(built.root)
        for path in built.content:
            assert (built.root / path).read_bytes() == before[path][-1], f"{path} reads other bytes"
            assert not os.path.islink(built.root / path) or LinkKind.SYMLINK in self._links(), path
        assert not self._strangers(built, before, after), "in a folder of the store, and no place for a vault"
        self.program_is_content(built)
        hubfold.run("undo", "-y")
        again = _as_users_see(built.root)
        assert {path: again.get(path) for path in before} == before
        assert not self._strangers(built, before, again)
        self.program_is_content(built)

    def test_killed_in_the_middle_of_a_swap_it_reads_the_same_and_all_can_be_taken_back(
        self, built: Built, tmp_path: Path
    ) -> None:
        hubfold = Command(tmp_path)
        if self.backend.name not in hubfold.backends():
            hubfold.bring(self.backend)
        if not built.recognised:
            pytest.skip("it is known by no name")
        cache = tmp_path / "hub"
        _cache_of([built.root / path for path in built.content], cache)
        before = _as_users_see(built.root)
        if not hubfold.dies_in_a_swap(*_FOLD, built.root, cache):
            pytest.skip(
                f"no file of it is replaced, or no installed plugin has the backend {self.backend.name}"
            )
        for path in built.content:
            assert (built.root / path).read_bytes() == before[path][-1], (
                f"{path} reads other bytes after a crash"
            )
        self.program_is_content(built)
        hubfold.run("recover")
        after = _as_users_see(built.root)
        assert not self._strangers(built, before, after), "left by a crash, and not taken away by `recover`"
        runs = json.loads(hubfold.run("runs", "--json"))["runs"]
        if any(run["actions"] and run["state"] != "undone" for run in runs):
            hubfold.run("undo", "-y")
        again = _as_users_see(built.root)
        assert {path: again.get(path) for path in before} == before
        self.program_is_content(built)

    def _links(self) -> frozenset[LinkKind]:
        return self.backend.capabilities.links | self.backend.capabilities.links_across

    def _strangers(self, built: Built, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
        """What came into the store, but for vaults where the layout allows them, and its own programs' locks."""
        backend, root = self.backend(), Root(str(built.root), self.backend.name)
        places = list(backend.vault_places(root))
        for path in built.content:
            places += backend.lock_paths(root, str(built.root / path))
        allowed = [os.path.relpath(place, built.root) for place in places]
        return [
            path
            for path in sorted(after.keys() - before.keys())
            if not any(path == place or path.startswith(f"{place}/") for place in allowed)
        ]


def _cache_of(files: Iterable[Path], cache: Path) -> None:
    """A hub cache that holds the same: copies in caches are kept before others, so that those in the store go."""
    home = cache / "models--copies--of"
    snapshot = home / "snapshots" / ("c" * 40)
    for folder in (snapshot, home / "blobs", home / "refs"):
        folder.mkdir(parents=True)
    (home / "refs/main").write_text("c" * 40)
    for number, file in enumerate(sorted(files)):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        shutil.copy2(file, home / "blobs" / digest)
        (snapshot / f"{number}.bin").symlink_to(f"../../blobs/{digest}")


def _as_users_see(folder: Path) -> dict[str, tuple[Any, ...]]:
    """Of each path from `folder` its mode, owner, size, mtime and content; of a link where it leads."""
    found: dict[str, tuple[Any, ...]] = {}
    for place, folders, files in os.walk(folder):
        links = [name for name in folders if os.path.islink(os.path.join(place, name))]
        for name in (*files, *links):
            path = Path(place, name)
            st = path.lstat()
            held: object = os.readlink(path) if path.is_symlink() else path.read_bytes()
            found[str(path.relative_to(folder))] = (st.st_mode, st.st_uid, st.st_size, st.st_mtime_ns, held)
    return found
