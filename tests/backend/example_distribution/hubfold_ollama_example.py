"""A backend for the store of Ollama, all that a plugin needs: one class, one hook.

<store>/blobs/sha256-<hex>       the content, named by its digest
<store>/manifests/…              which model uses which
"""

import os
import re

from hubfold import Capabilities, LinkKind, StorageBackend, hookimpl
from hubfold.content import Replica

BLOB = re.compile(r"sha256-([0-9a-f]{64})")


class OllamaBackend(StorageBackend):
    name = "ollama"
    # Its start-up prune deletes names in blobs/ that it does not know, and it opens what it finds there: no symlinks.
    capabilities = Capabilities(
        links=frozenset({LinkKind.REFLINK, LinkKind.HARDLINK}),
        links_across=frozenset(),
        claims=frozenset({"sha256"}),
    )

    @classmethod
    def recognise(cls, path, names):
        return path if "blobs" in names and "manifests" in names else None

    @classmethod
    def default_roots(cls, environ):
        if environ.get("OLLAMA_MODELS"):
            return [environ["OLLAMA_MODELS"]]
        return [os.path.join(environ["HOME"], ".ollama", "models")] if environ.get("HOME") else []

    def replica(self, root, folder, name, stat):
        blob = BLOB.fullmatch(name)
        if os.path.basename(folder.path) != "blobs" or not blob:
            return None
        return Replica(os.path.join(folder.path, name), stat, {"sha256": blob[1]})


@hookimpl
def hubfold_storage_backends():
    return [OllamaBackend]
