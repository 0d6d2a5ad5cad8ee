"""Which files of a model somebody wants, by patterns as ``hf download --include`` and ``--exclude`` take them."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from hubfold.json_form import JsonForm


@dataclass(frozen=True, slots=True)
class Selection(JsonForm):
    """The files that match one of `include` (all where there is none) and none of `exclude`."""

    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether it may leave out anything."""
        return bool(self.include or self.exclude)

    def wants(self, name: str) -> bool:
        """Whether the file `name` is one of them, by the rules of huggingface_hub's `filter_repo_objects`."""
        return (not self.include or _matches(name, self.include)) and not _matches(name, self.exclude)

    def __str__(self) -> str:
        parts = [f"only {' '.join(self.include)}"] if self.include else []
        return ", ".join([*parts, *([f"not {' '.join(self.exclude)}"] if self.exclude else [])])


#: Everything there is.
ALL = Selection()

#: What several requests asked for together; empty for all there is.
Selections = tuple[Selection, ...]


def together(selections: Iterable[Selection]) -> Selections:
    """Each once; all there is, where one of them leaves out nothing."""
    found = tuple(dict.fromkeys(selections))
    return found if all(found) else ()


def wanted(selections: Selections, name: str) -> bool:
    """Whether one of them wants the file."""
    return not selections or any(selection.wants(name) for selection in selections)


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name, f"{one}*" if one.endswith("/") else one) for one in patterns)
