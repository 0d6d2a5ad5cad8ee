"""What a blob's name, or an etag in a client's notes, says of the content: where a name becomes a claim.

64 hex is the sha256 of the bytes, 40 hex the sha1 of ``blob <size>\\0`` and the bytes, as git has it.
"""

from __future__ import annotations

import re

_ALGORITHMS = {40: "git-sha1", 64: "sha256"}
_ETAG = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def claims_of_link(text: str) -> dict[str, str]:
    """What the text of a link into a repository's ``blobs/`` states of the content, wherever that folder was."""
    folder, _, etag = text.rpartition("/")
    return claims_of_etag(etag) if folder.rpartition("/")[2] == "blobs" else {}


def claims_of_etag(etag: str) -> dict[str, str]:
    """The digest that an etag (a blob's name) states; empty where it is neither a sha256 nor a git-sha1."""
    return {_ALGORITHMS[len(etag)]: etag} if _ETAG.fullmatch(etag) else {}
