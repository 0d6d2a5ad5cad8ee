"""What is told of one path: who keeps its content, by which run and link, or why it was not folded.

Path strings are as in `content`.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field

from hubfold.json_form import NULLABLE, JsonForm


class Verdict(enum.StrEnum):
    """What a path is to hubfold."""

    #: A run put a link in its place.
    FOLDED = "folded"
    #: It keeps the content that links elsewhere read.
    KEEPS = "keeps"
    #: The next fold would put a link in its place.
    WOULD_FOLD = "would be folded"
    #: The next fold would keep it, and fold copies of it.
    WOULD_KEEP = "would be kept"
    #: It has copies, and neither it nor they are folded.
    LEFT_ALONE = "left alone"
    #: No other file is known to have its content.
    ALONE = "alone"
    #: Nothing is known of its content.
    UNKNOWN = "unknown"
    #: A symlink that leads to nothing.
    DANGLING = "dangling"


class Shares(enum.StrEnum):
    """How another path has the same content."""

    LINK = "link"
    SAME_FILE = "same file"
    COPY = "copy"


@dataclass(frozen=True, slots=True)
class Other(JsonForm):
    """Another path with the content."""

    path: str
    how: Shares
    repo_id: str | None = None


@dataclass(frozen=True, slots=True)
class WhyReport(JsonForm):
    """What is known of one path. `bytes` is what folding it has freed, or would free."""

    path: str
    #: Where its bytes lie: at the end of links, else the path itself.
    file: str
    state: Verdict
    #: In words, for a person.
    reason: str
    size: int = 0
    #: The file that keeps the content, and the kind of link that leads there.
    keeper: str = field(default="", metadata=NULLABLE)
    link: str = field(default="", metadata=NULLABLE)
    run: str = field(default="", metadata=NULLABLE)
    #: When the run began, as runs have it.
    started: str = field(default="", metadata=NULLABLE)
    bytes: int = 0
    #: Everything else with the content, as far as it is known: links first, then names of the file, then copies.
    others: tuple[Other, ...] = ()
    #: The arguments of the command that goes on from here; none where there is nothing to do.
    next: tuple[str, ...] = ()
