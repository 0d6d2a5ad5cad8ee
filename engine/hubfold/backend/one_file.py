"""Plugins of one file each, in a folder of the user's own: for stores that are nobody else's business.

Python that runs as the user is only taken from where nobody else could have put it.
"""

from __future__ import annotations

import os
import stat
import sys
import time
from contextlib import suppress
from dataclasses import dataclass

from hubfold.errors import PluginError

SUFFIX = ".py"
#: Others may write there.
_OPEN = stat.S_IWGRP | stat.S_IWOTH
#: Names of the modules that are made of them, so that none stands for a module of somebody else's.
_PREFIX = "hubfold_own_plugin_"


@dataclass(frozen=True, slots=True)
class OneFile:
    """A plugin that is a file: as an entry point is one, and a distribution."""

    path: str

    @property
    def name(self) -> str:
        return os.path.basename(self.path).removesuffix(SUFFIX)

    @property
    def distribution(self) -> str:
        return self.path

    @property
    def version(self) -> str:
        """When it was last written: what it says of files may be other then."""
        with suppress(OSError):
            return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(os.stat(self.path).st_mtime))
        return ""

    def load(self) -> object:
        """The module. Raises `PluginError` where others can write to the file, and whatever it raises itself."""
        # Here: who has no such plugin need not wait for it.
        import importlib.util

        for place in (os.path.dirname(self.path), self.path):
            _check_is_ours(place)
        spec = importlib.util.spec_from_file_location(f"{_PREFIX}{self.name}", self.path)
        if spec is None or spec.loader is None:
            raise PluginError(f"{self.path} cannot be loaded")
        module = importlib.util.module_from_spec(spec)
        # Before it runs: dataclasses, and what asks where a class is from, look there.
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module


def plugins_in(folder: str) -> list[OneFile]:
    """Those of a folder, by name; none where it is not there. What begins with a dot or ``_`` is none."""
    try:
        names = sorted(os.listdir(folder))
    except OSError:
        return []
    return [
        OneFile(os.path.join(folder, name))
        for name in names
        if name.endswith(SUFFIX) and not name.startswith((".", "_"))
    ]


def _check_is_ours(path: str) -> None:
    st = os.stat(path)
    if hasattr(os, "geteuid") and st.st_uid not in (0, os.geteuid()):
        raise PluginError(f"{path} belongs to another user: it is not run")
    if st.st_mode & _OPEN and not (stat.S_ISDIR(st.st_mode) and st.st_mode & stat.S_ISVTX):
        raise PluginError(f"others may write to {path}: it is not run (`chmod go-w` it)")
