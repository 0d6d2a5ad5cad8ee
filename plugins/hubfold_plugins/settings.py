"""Settings of other programs that say where their models lie, in JSON."""

from __future__ import annotations

import os


def text_of(settings: str | None, key: str) -> str:
    """The text that some settings have for `key`; "" for none, and for one that can be no path."""
    if not settings:
        return ""
    import json  # few have such settings

    try:
        told = json.loads(settings)
    except (ValueError, RecursionError):
        return ""
    found = told.get(key) if isinstance(told, dict) else None
    return found if isinstance(found, str) and "\0" not in found else ""


def folder_of(settings: str | None, key: str) -> str:
    """The same, of a folder: "" for what is not absolute too."""
    found = text_of(settings, key)
    return os.path.normpath(found) if found.startswith("/") else ""
