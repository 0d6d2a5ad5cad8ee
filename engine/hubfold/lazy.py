"""Names that a package hands on, imported when they are first used, so that importing the package costs nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any


def hand_on(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], Any]:
    """A ``__getattr__`` for `package`: `homes` are modules, from the package or in full, with the names of each.

    Raises `AttributeError` for any other name, as modules do.
    """
    home_of = {name: module for module, names in homes.items() for name in names}

    def get(name: str) -> Any:
        if name not in home_of:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = home_of[name]
        value = getattr(import_module(home if home.startswith("hubfold.") else f"{package}.{home}"), name)
        setattr(sys.modules[package], name, value)
        return value

    return get
