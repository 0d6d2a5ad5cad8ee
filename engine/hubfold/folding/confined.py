"""What of a duplicate set may be folded where no link may lead out of a folder. Pure."""

from __future__ import annotations

from hubfold.content import VAULT, DuplicateSet
from hubfold.folding.plan import Skip


def lies_in(path: str, folder: str) -> bool:
    """Whether `path` lies below `folder`, by their text: of real paths."""
    return path.startswith(folder.rstrip("/") + "/")


def inside(duplicates: DuplicateSet, folder: str) -> tuple[DuplicateSet, list[Skip]]:
    """(the set without what lies outside of `folder`, which stays as it is and keeps nothing, that with the reason).

    A file inside whose content has no other payload there is told too. What a vault holds is nobody's copy.
    """
    within = tuple([replica for replica in duplicates.replicas if lies_in(replica.path, folder)])
    reasons = {}
    if within:
        reasons = {
            replica.path: f"it lies outside of {folder}"
            for replica in duplicates.replicas
            if replica not in within
        }
    if len({replica.payload for replica in within}) == 1:
        for replica in within:
            reasons[replica.path] = (
                f"its other copies lie outside of {folder}, and a link to one would lead out of it"
            )
    told = [
        Skip(replica.path, reasons[replica.path])
        for replica in duplicates.replicas
        if replica.path in reasons and replica.backend != VAULT
    ]
    return duplicates._replace(replicas=within), told
