"""A vault as a root of the index: its objects are content, and nothing else in it is."""

from __future__ import annotations

import os
from pathlib import Path

from hubfold.content import VAULT, Root
from hubfold.scanning.walk import TreeWalk
from hubfold.vault import objects
from hubfold.vault.backend import VaultBackend
from tests.building.folding import Folded


def test_objects_are_pinned_replicas_that_claim_what_their_names_say(scene: Folded) -> None:
    (object_,) = objects.objects(str(scene.vault))
    folder = os.path.dirname(object_)
    Path(folder, "somebody's file").write_bytes(b"")
    Path(scene.vault, "beside").write_bytes(b"")
    root = Root(str(scene.vault), VAULT)
    backend = VaultBackend()
    [found] = backend.replicas(root, TreeWalk(root, {VAULT: backend}))
    assert found.path == object_
    assert found.claims == {"sha256": os.path.basename(object_).partition(".")[0]}
    assert found.pinned, "links lead to this very inode"
    assert set(found.claims) <= backend.capabilities.claims


def test_an_object_named_by_hubfolds_own_digest_states_nothing(scene: Folded) -> None:
    """The name is no evidence: xxh3_128 counts where it was read."""
    (object_,) = objects.objects(str(scene.vault))
    named = Path(scene.vault, "objects", "ab", "ab" * 16)
    named.parent.mkdir()
    os.link(object_, named)
    root = Root(str(scene.vault), VAULT)
    backend = VaultBackend()
    claims = {one.path: one.claims for one in backend.replicas(root, TreeWalk(root, {VAULT: backend}))}
    assert claims[str(named)] == {} and claims[object_]
