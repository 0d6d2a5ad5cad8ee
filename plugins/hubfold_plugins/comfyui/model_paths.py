"""``extra_model_paths.yaml`` of ComfyUI, ``extra_models_config.yaml`` of its desktop app: folders that lie elsewhere.

As ``utils/extra_config.py`` reads them::

    a111:                                      any name
        base_path: path/to/stable-diffusion-webui/
        is_default: true
        checkpoints: models/Stable-diffusion
        upscale_models: |
                      models/ESRGAN
                      models/RealESRGAN

``base_path`` has ``~`` and variables filled in and is taken from the folder of the file; what is not absolute lies
below it. Nothing else of YAML is in such files, so this reads two levels of keys with plain, quoted or block (``|``)
values, and passes over what is none of these.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping

_LINE = re.compile(r"(?P<indent> *)(?P<key>[\w.\-]+)\s*:(?:\s+(?P<value>.*))?")
_NO_FOLDERS = frozenset({"base_path", "is_default", "custom_nodes", "download_model_base"})
#: Folders that one file may name.
_MOST = 500


def folders(text: str, place: str, environ: Mapping[str, str]) -> list[str]:
    """The folders that the text names, absolute and in its order; `place` is the folder that the file lies in."""
    found: dict[str, None] = {}
    for section in _sections(text):
        base = _filled(section.get("base_path", ""), environ)
        above = os.path.normpath(os.path.join(place, base)) if base else place
        for key, value in section.items():
            if key not in _NO_FOLDERS:
                for line in value.splitlines():
                    folder = line.strip()
                    if folder and "\0" not in folder and len(found) < _MOST:
                        found[os.path.normpath(os.path.join(above, folder))] = None
    return _tops([folder for folder in found if folder.startswith("/") and not folder.startswith("//")])


def _sections(text: str) -> Iterator[dict[str, str]]:
    section: dict[str, str] = {}
    block, depth = "", 0
    for raw in text.splitlines():
        line = raw.expandtabs(4).rstrip()
        indent = len(line) - len(line.lstrip())
        if block and (not line.strip() or indent > depth):
            section[block] += f"{line.strip()}\n"
            continue
        block = ""
        found = _LINE.fullmatch(line)
        if found is None or line.lstrip().startswith("#"):
            continue
        value = _plain(found["value"] or "")
        if indent == 0:
            yield section
            section = {}
        elif value[:1] in ("|", ">"):
            block, depth = found["key"], indent
            section[block] = ""
        else:
            section[found["key"]] = value
    yield section


def _plain(value: str) -> str:
    value = value.strip()
    if value[:1] in ("'", '"'):
        return value[1:].partition(value[0])[0]
    return value.partition(" #")[0].strip()


def _filled(value: str, environ: Mapping[str, str]) -> str:
    value = value.replace("\0", "")
    if value == "~" or value.startswith("~/"):
        value = (environ.get("HOME") or os.path.expanduser("~")) + value[1:]
    return re.sub(r"\$(?:(\w+)|\{(\w+)\})", lambda m: environ.get(m[1] or m[2], m[0]), value)


def _tops(found: list[str]) -> list[str]:
    """The folders that lie in no other of them; of several in one ``models`` that folder itself."""
    shelves = [
        os.path.dirname(one) if os.path.basename(os.path.dirname(one)) == "models" else one for one in found
    ]
    return [
        one
        for one in dict.fromkeys(shelves)
        if not any(one != other and one.startswith(f"{other.rstrip('/')}/") for other in shelves)
    ]
