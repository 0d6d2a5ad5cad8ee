"""A program of nobody's, "shelf": its backend is a plugin of one file, with the links that a test wants it to take.

Its folder has ``weights/<org>--<name>.<file>``, and for each model a list of them, ``lists/<org>--<name>.json``.
"""

from __future__ import annotations

from pathlib import Path

_PLUGIN = """
import json
from hubfold.backend import Capabilities, LinkKind, ShownFile, StorageBackend, hookimpl
HUBFOLD_API = 1

class Shelf(StorageBackend):
    name = "shelf"
    capabilities = Capabilities(links=frozenset({LINKS}), links_across=frozenset({ACROSS}))

    def vault_places(self, root):
        return ()

    def shown(self, root, snapshot, walk):
        weights = [one.name for one in snapshot.files if one.name.endswith(".safetensors")]
        if weights:
            name = snapshot.repo_id.lower().replace("/", "--")
            yield ShownFile(f"lists/{name}.json", content=json.dumps([snapshot.revision, *weights]))
            for one in weights:
                yield ShownFile(f"weights/{name}.{one}", one)

@hookimpl
def hubfold_storage_backends():
    return [Shelf]
"""


def install(plugins: Path, links: str, across: str = "") -> None:
    """Put the plugin into the folder of a user's own; the links that it takes are named as Python has them."""
    plugins.mkdir(parents=True, exist_ok=True)
    text = _PLUGIN.replace("{LINKS}", f"{{{links}}}").replace("{ACROSS}", f"{{{across}}}")
    (plugins / "shelf.py").write_text(text)
