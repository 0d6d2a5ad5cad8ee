"""Folders in which nothing is content: hubfold's own state, and what other programs keep for themselves."""

from __future__ import annotations

import os
import re
from collections.abc import Collection
from contextlib import suppress

_VERSION_CONTROL = ".git .hg .svn .bzr CVS _darcs"
_PYTHON = "site-packages dist-packages __pycache__ .venv .tox .nox .eggs .mypy_cache .ruff_cache .pytest_cache .pyenv"
_OTHERS = """
    node_modules .npm .yarn .pnpm-store .nvm .bun .deno .cargo .rustup .rbenv .gem .conda .mamba .m2 .gradle .ivy2
    .stack .cabal .nuget .ccache .mozilla .thunderbird .librewolf
"""
#: What version control, languages, package managers and browsers call the folders that are only theirs.
NAMES = frozenset(f"{_VERSION_CONTROL} {_PYTHON} {_OTHERS}".split())
#: Names in a folder that tell whose it is, whatever it is called.
_MARKERS = {
    "pyvenv.cfg": "virtual environments",
    "conda-meta": "virtual environments",
    "prefs.js": "browser profiles",
    "Local State": "browser profiles",
    "urls.txt": "package caches",
}
_CACHES = """
    pip uv pipenv pypoetry conda yarn pnpm npm go-build bazel ccache mozilla chromium google-chrome BraveSoftware
    ms-playwright electron Homebrew
"""
#: Below ``.cache`` and ``Library/Caches``.
_PACKAGE_CACHES = frozenset(_CACHES.split())
_RUN = re.compile(r"\d{8}-\d{6}-[0-9a-f]{6}\.jsonl")
_SQLITE = b"SQLite format 3\0"


def whose(path: str, names: Collection[str]) -> str | None:
    """What the folder `path`, with these `names` in it, is to a user; None for one that may hold content."""
    name = os.path.basename(path)
    if name in NAMES:
        return name
    if name in _PACKAGE_CACHES and os.path.basename(os.path.dirname(path)) in (".cache", "Caches"):
        return "package caches"
    for marker, what in _MARKERS.items():
        if marker in names and (marker != "urls.txt" or name == "pkgs"):
            return what
    if "HEAD" in names and "objects" in names and "refs" in names:
        return ".git"
    return None


def is_own_state(path: str, names: Collection[str]) -> bool:
    """Whether a folder is a state directory of hubfold's, or the list of runs of one: in use, copied or backed up.

    The files are those of `state.home`; they need not all be there.
    """
    if names and all(_RUN.fullmatch(name) for name in names):
        return True
    if "runs" not in names or not {"index.db", "roots.json"}.intersection(names):
        return False
    with suppress(OSError):
        runs = os.listdir(os.path.join(path, "runs"))
        if runs and not any(_RUN.fullmatch(run) for run in runs):
            return False
    return "roots.json" in names or _is_sqlite(os.path.join(path, "index.db"))


def _is_sqlite(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(len(_SQLITE)) == _SQLITE
    except OSError:
        return True
