"""What an author's `build` made, for the suites."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Built:
    """What `BackendContract.build` made: a root, and the paths (from it) of every file that is content."""

    root: Path
    content: Collection[str]
    #: Whether `recognise` answers with the root when it is asked about it.
    recognised: bool = True
