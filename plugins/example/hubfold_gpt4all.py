"""The models of GPT4All, all that a plugin needs: one class, one hook.

<models>/<name>.gguf             content; the program checks its md5 before the file gets this name
<models>/incomplete-<name>       a download that is not at its end
<models>/models3.json            the list of what can be had: [{"filename": …, "md5sum": …}, …]
"""

import os

from hubfold.backend import Capabilities, LinkKind, Replica, Snapshot, SnapshotFile, StorageBackend, hookimpl

#: The version of the plugin API that this is written for.
HUBFOLD_API = 1

LIST = "models3.json"
_PLACES = (".local/share/nomic.ai/GPT4All", "Library/Application Support/nomic.ai/GPT4All", ".cache/gpt4all")


class Gpt4AllBackend(StorageBackend):
    name = "gpt4all"
    marks = frozenset({LIST})
    # On another file system the program opens the final name and writes there, also through a link.
    capabilities = Capabilities(
        links=frozenset({LinkKind.REFLINK, LinkKind.HARDLINK}),
        links_across=frozenset(),
        claims=frozenset({"md5"}),
        written_in_place="GPT4All",
    )

    @classmethod
    def recognise(cls, path, names):
        return path if LIST in names else None

    @classmethod
    def default_roots(cls, environ):
        return [os.path.join(environ["HOME"], place) for place in _PLACES] if environ.get("HOME") else []

    def vault_places(self, root):
        return ()  # it takes every folder beside its models for one of theirs

    def replicas(self, root, walk):
        sums = self._sums(root, walk)
        for folder in walk.folders(root.path):
            for name, stat in folder.files:
                if _is_model(name):
                    claims = {"md5": sums[name]} if name in sums else {}
                    yield Replica(os.path.join(folder.path, name), stat, claims)

    def snapshots(self, root, walk):
        for folder in walk.folders(root.path):
            for name in filter(_is_model, sorted(name for name, _ in folder.files)):
                path = os.path.join(folder.path, name)
                file = SnapshotFile(name, path, walk.size(path))
                yield Snapshot(name.removesuffix(".gguf"), "model", "", (), folder.path, (file,), home=path)

    def _sums(self, root, walk):
        listed = walk.read_json(os.path.join(root.path, LIST), limit=8 << 20)
        entries = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        stated = {one.get("filename"): one.get("md5sum") for one in entries}
        return {name: md5 for name, md5 in stated.items() if isinstance(name, str) and isinstance(md5, str)}


def _is_model(name):
    return name.endswith(".gguf") and not name.startswith("incomplete-")


@hookimpl
def hubfold_storage_backends():
    return [Gpt4AllBackend]
