"""What Linux has and others lack is probed, not assumed: everything imports and works without it.

This takes calls away from Python's `os`; it is no macOS and no Windows, and the README says that those are untested.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

IMPORT_ALL = """
import importlib, os, pkgutil
for name in {missing!r}:
    if hasattr(os, name):
        delattr(os, name)
import hubfold, hubfold_plugins
for package in (hubfold, hubfold_plugins):
    for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        # What textual is built on asks a Unix who the user is.
        if not module.name.endswith("__main__") and not module.name.startswith("hubfold.ui."):
            importlib.import_module(module.name)
print("all of it")
"""

FOLD = """
import fcntl, json, os, sys
for name in {missing!r}:
    if hasattr(os, name):
        delattr(os, name)
for name in ("F_SETLEASE", "F_GETLEASE", "F_SETSIG"):
    delattr(fcntl, name)
os.supports_dir_fd.clear()
os.supports_fd.discard(os.scandir)
from hubfold.disk import directory as fsops
fsops._libc = None
sys.platform = fsops.sys.platform = "lesser"
from hubfold import Engine
roots = json.loads(sys.argv[1])
with Engine(sys.argv[2]) as engine:
    engine.scan(roots)
    report = engine.apply(engine.plan(roots))
    assert report.actions and not report.failed, report
    assert os.path.islink(report.actions[0].path)
    assert not engine.verify(roots).problems
    undone = engine.undo()
    assert undone.restored and not undone.failed and not undone.left, undone
    engine.gc()
print("all of it")
"""

FLAGS = ["O_DIRECTORY", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_DIRECT"]
CALLS = ["posix_fadvise", "listxattr", "getxattr", "setxattr", "preadv"]
OF_UNIX = ["fchmod", "fchown", "chown", "geteuid", "getuid", "statvfs"]


def run(program: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_everything_imports_where_the_system_has_less() -> None:
    assert run(IMPORT_ALL.format(missing=FLAGS + CALLS + OF_UNIX)) == "all of it"


def test_folding_works_without_exchange_leases_directory_descriptors_and_advice(tmp_path: Path) -> None:
    content = os.urandom(3 << 20)
    for name in ("one/a.bin", "one/sub/b.bin", "two/c.bin"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    roots = json.dumps([str(tmp_path / "one"), str(tmp_path / "two")])
    assert run(FOLD.format(missing=CALLS[:-1]), roots, str(tmp_path / "state")) == "all of it"
    assert {path: path.read_bytes() for path in before} == before
    assert not [path for path in tmp_path.rglob(".hubfold*") if "state" not in path.parts]
