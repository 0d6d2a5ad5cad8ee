"""A distribution with a plugin to begin with: its tests pass, and every line of it is there to be changed."""

from __future__ import annotations

import os
import re
from pathlib import Path

from hubfold.backend.hookspecs import API_VERSION
from hubfold.errors import HubfoldError, UsageError

_TEMPLATE = Path(__file__).parent / "template"
#: What a template's name ends in, so that nothing takes it for what it will be.
_SUFFIX = ".in"
_NAME = re.compile(r"[a-z][a-z0-9]*(?:-[a-z0-9]+)*")


def write(name: str, folder: str = "") -> tuple[str, list[str]]:
    """Write the distribution ``hubfold-<name>``; its folder and the files, by their paths from there.

    `folder` is where it goes (default: a folder of that name in the current one). Raises `UsageError` for a name that
    cannot be one of a distribution, `HubfoldError` where there is something already.
    """
    if not _NAME.fullmatch(name):
        raise UsageError(f"{name!r} is no name for a plugin", "give lower-case words, like my-store")
    target = os.path.abspath(folder or f"hubfold-{name}")
    if os.path.lexists(target) and not (os.path.isdir(target) and not os.listdir(target)):
        raise HubfoldError(f"{target} is there already", "name another folder, or an empty one")
    words = {
        "NAME": name,
        "MODULE": f"hubfold_{name.replace('-', '_')}",
        "CLASS": "".join(word.capitalize() for word in name.split("-")),
        "API_VERSION": str(API_VERSION),
    }
    written = []
    for template in sorted(_TEMPLATE.rglob(f"*{_SUFFIX}")):
        inside = _filled(str(template.relative_to(_TEMPLATE)).removesuffix(_SUFFIX), words)
        path = Path(target, inside)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(_filled(template.read_text("utf-8"), words), "utf-8")
        written.append(inside)
    return target, written


def _filled(text: str, words: dict[str, str]) -> str:
    return re.sub(r"@(\w+)@", lambda match: words[match[1]], text)
