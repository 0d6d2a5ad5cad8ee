"""Which files of a model somebody wants, by patterns as ``hf download --include`` and ``--exclude`` take them."""

from __future__ import annotations

import fnmatch
import os
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


#: Endings of what is beside the weights of a model. A file with any other may be weights.
_TEXTS = (
    *(".bmp", ".gif", ".ico", ".jpeg", ".jpg", ".png", ".svg", ".webp"),
    *(".mp3", ".mp4", ".wav"),
    *(".cfg", ".csv", ".ini", ".json", ".jsonl", ".log", ".model", ".toml", ".tsv", ".xml", ".yaml", ".yml"),
    *(".html", ".ipynb", ".md", ".mdx", ".pdf", ".rst", ".txt"),
    *(".css", ".jinja", ".jinja2", ".js", ".py", ".sh", ".ts"),
)
#: How the names of such files begin: somebody who asks for ``tokenizer*`` asks for no weights.
_BEGINNINGS = (
    "added_tokens",
    "chat_template",
    "config",
    "generation_config",
    "license",
    "merges",
    "preprocessor",
    "processor",
    "readme",
    "special_tokens",
    "tokenizer",
    "vocab",
)


def may_be_weights(name: str) -> bool:
    """Whether the file of this name may be weights of a model: it is no text, picture or program by its ending."""
    ending = os.path.splitext(name)[1].lower()
    return ending != "" and ending not in _TEXTS


def ask_for_texts(selections: Selections) -> bool:
    """Whether what was asked for names only what is beside weights, pattern by pattern."""
    return bool(selections) and all(
        one.include and not any(_may_mean_weights(pattern) for pattern in one.include) for one in selections
    )


def _may_mean_weights(pattern: str) -> bool:
    if os.path.splitext(pattern)[1].lower() in _TEXTS:
        return False
    if pattern.lower().startswith(_BEGINNINGS):
        return False
    return may_be_weights(pattern) or any(mark in pattern for mark in "*?[") or pattern.endswith("/")


def _matches(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatch(name, f"{one}*" if one.endswith("/") else one) for one in patterns)
