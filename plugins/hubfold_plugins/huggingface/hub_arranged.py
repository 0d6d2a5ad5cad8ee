"""A model from anywhere as a repository of a hub cache: blobs by their etags, a snapshot of links, listing and refs."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator

from hubfold.backend.changes import ModelPart, Offer
from hubfold_plugins.huggingface.claims import claims_of_etag
from hubfold_plugins.huggingface.hub_metadata import COMMIT


def arranged(offer: Offer, refs: Collection[str]) -> Iterator[ModelPart]:
    """The parts, content first; nothing where the offer has no name or commit that a cache could have."""
    if not COMMIT.fullmatch(offer.revision) or not offer.repo_id or "--" in offer.repo_id:
        return
    top = "--".join([f"{offer.repo_type}s", *offer.repo_id.split("/")])
    snapshot = f"{top}/snapshots/{offer.revision}"
    blobs: dict[str, str] = {}
    for file in offer.files:
        etag = file.digests.get(file.algorithm, "")
        if not claims_of_etag(etag):
            return
        blobs.setdefault(f"{top}/blobs/{etag}", file.path)
    for blob, source in blobs.items():
        yield ModelPart(blob, source)
    if offer.listing:
        yield ModelPart(f"{top}/trees/{offer.revision}.json", content=offer.listing)
    for file in offer.files:
        name = f"{snapshot}/{file.name}"
        blob = f"{top}/blobs/{file.digests[file.algorithm]}"
        yield ModelPart(name, text=os.path.relpath(blob, os.path.dirname(name)))
    for ref in refs:
        yield ModelPart(f"{top}/refs/{ref}", content=offer.revision)
