"""Links that lead nowhere and whose content is known by its digest: how each is made to read it again.

A blob that is missing gets a file at its place, where there is nothing: no name is ever replaced by it. A link that
names where a cache was once gets its new text. A link of a plain folder, which has no place for content, gets an object
of the vault, as if the file had been folded. What the link said before is in the journal (``repoint``), and comes back
with undo.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from hubfold.care.repairs import Donor, Mender
from hubfold.errors import LeftAlone
from hubfold.vault.names import object_path
from hubfold.vault.objects import NeededBy


@dataclass(frozen=True, slots=True)
class Hole:
    """A `Gap` of a layout, by the paths that it is changed by."""

    path: str
    root: str
    #: The text of the link now.
    before: str
    digests: Mapping[str, str]
    #: Where the content belongs and the root that this lies in; "" where any place will do.
    content: str
    content_root: str
    #: The text that the link should have, "" where it has it.
    text: str
    size: int | None

    @property
    def needs_bytes(self) -> bool:
        return not (self.content and os.path.lexists(self.content))

    @property
    def name(self) -> str:
        return os.path.basename(self.path)


def lead_right(hole: Hole, mender: Mender) -> str:
    """Give the link its text; what is told then. Raises `LeftAlone`, `OSError`."""
    mender.relink(hole.root, hole.path, hole.before, hole.text, hole.content)
    return "it leads to its blob again"


def fill(hole: Hole, mender: Mender, donor: Donor, needed_by: Callable[[str], NeededBy]) -> str:
    """Make the link read what the donor has; what is told then. `needed_by` is the line for an object in a vault.

    Raises `LeftAlone`, `OSError`.
    """
    if hole.content:
        mender.fill(hole.content_root, hole.content, hole.digests, donor)
        if hole.text:
            lead_right(hole, mender)
        return f"its bytes are there again, from {donor.path}"
    place = mender.place_for(hole.root)
    object_ = object_path(place, hole.digests)
    if object_ is None:
        raise LeftAlone("nothing is known of it by which a vault could hold it")
    if os.path.lexists(object_):
        mender.note(object_, needed_by(place))
    else:
        mender.make_object(object_, needed_by(place), hole.digests, None, replace(donor, private=False))
    mender.repoint(hole.root, hole.path, hole.before, object_)
    return f"it reads the bytes of {donor.path} again, by a vault object"
