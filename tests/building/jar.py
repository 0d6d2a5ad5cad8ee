"""A program of nobody's, "jar": a store without a folder for each model, by a plugin of one file that says little.

``jar.json`` marks it, ``models/NAME.json`` says which of ``blobs/`` a model is made of, and several may share one. As a
stranger's would, it does not tell of what two models share (`Removal.shared`).
"""

from __future__ import annotations

import json
from pathlib import Path

_PLUGIN = """
from hubfold.backend import *
HUBFOLD_API = 1

class Jar(StorageBackend):
    name = "jar"
    marks = frozenset({"jar.json"})
    capabilities = Capabilities(links=frozenset({LinkKind.HARDLINK}), links_across=frozenset())

    @classmethod
    def recognise(cls, path, names):
        return path if "jar.json" in names else None

    def vault_places(self, root):
        return ()

    def replica(self, root, folder, name, stat):
        return None if name.endswith(".json") else Replica(f"{folder.path}/{name}", stat)

    def models(self, root, walk):
        for folder in walk.folders(f"{root.path}/models"):
            for name, _ in sorted(folder.files):
                note = walk.read_json(f"{folder.path}/{name}")
                blobs = {one: f"{root.path}/blobs/{blob}" for one, blob in note["files"].items()}
                yield f"{folder.path}/{name}", note, blobs

    def snapshots(self, root, walk):
        for path, note, blobs in self.models(root, walk):
            files = tuple(SnapshotFile(name, blob, walk.size(blob)) for name, blob in blobs.items())
            yield Snapshot(note["name"], "model", "", (), root.path, files, home=path)

    def removal(self, root, repo_type, repo_id, revisions, walk):
        found = list(self.models(root, walk))
        for path, note, blobs in found:
            if note["name"] == repo_id and note.get("locked"):
                return Removal(root.path, self.name, repo_id, repo_type, path=path, kept=(Kept(path, "it is locked"),))
            if note["name"] == repo_id:
                others = {blob for other, _, blobs in found if other != path for blob in blobs.values()}
                content = tuple(blob for blob in blobs.values() if blob not in others)
                return Removal(
                    root.path, self.name, repo_id, repo_type, path=path, whole=True, refs=(path,), content=content
                )

    def used(self, root, walk):
        return {blob for _, _, blobs in self.models(root, walk) for blob in blobs.values()}

    def still_needed(self, root, paths, walk):
        return self.used(root, walk) & set(paths)

    def leftovers(self, root, walk):
        used = self.used(root, walk)
        for folder in walk.folders(f"{root.path}/blobs"):
            for name, stat in sorted(folder.files):
                path = f"{folder.path}/{name}"
                if path not in used:
                    removal = Removal(root.path, self.name, "", "", path=path, content=(path,))
                    yield Leftover(LeftoverKind.UNUSED, path, removal, mtime_ns=stat.st_mtime_ns)

@hookimpl
def hubfold_storage_backends():
    return [Jar]
"""


def install(plugins: Path) -> None:
    """Put the plugin into the folder of a user's own."""
    plugins.mkdir(parents=True, exist_ok=True)
    (plugins / "jar.py").write_text(_PLUGIN)


def fill(store: Path, models: dict[str, dict[str, str]], *, locked: tuple[str, ...] = ()) -> Path:
    """A store of models: by name, of each file the blob; each blob is made with bytes of its own."""
    for folder in ("models", "blobs"):
        (store / folder).mkdir(parents=True, exist_ok=True)
    (store / "jar.json").write_text("{}")
    for name, files in models.items():
        note = {"name": name, "files": files, "locked": name in locked}
        (store / "models" / f"{name.replace('/', '-')}.json").write_text(json.dumps(note))
        for blob in files.values():
            (store / "blobs" / blob).write_bytes(f"weights of {blob} ".encode() * 1000)
    return store
