"""What is served."""

from __future__ import annotations

from typing import NamedTuple


class Begun(NamedTuple):
    """What is served when the first request can come."""

    #: What clients have as ``HF_ENDPOINT``.
    endpoint: str
    models: int
    #: Revisions that are handed out as a whole, and those of which only single files are.
    whole: int
    in_part: int
    #: Bytes by length, each content once.
    bytes: int
    #: Whether a token has to be sent, whether only this machine reaches the address, whether all goes unencrypted.
    token: bool
    own: bool
    plain: bool
