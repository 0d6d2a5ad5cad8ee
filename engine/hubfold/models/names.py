"""What users call a model: a short name of the configuration, ``org/name``, ``datasets/org/name``, ``hf://…``.

A repo id is data that may come from anywhere (invariant 9): what could not be one is refused before it is looked up.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence, Set
from typing import NamedTuple

from hubfold.errors import HubfoldError, UsageError
from hubfold.models.patterns import ALL, Selection

REPO_TYPES = ("model", "dataset", "space", "kernel")
#: huggingface_hub allows less (no ``--``, 96 characters), but has allowed more; what is certain is that these are safe.
_REPO_ID = re.compile(r"[\w][\w.\-]*(?:/[\w][\w.\-]*)?", re.ASCII)
_REVISION = re.compile(r"[\w][\w.\-/+]*", re.ASCII)


#: With fewer digits of a commit than these, too many would fit.
_FEWEST_DIGITS = 6


class UnknownModel(HubfoldError):
    """No root holds a model of this name."""


class Name(NamedTuple):
    """A model, dataset, space or kernel as it is called wherever it lies."""

    repo_type: str
    repo_id: str

    def __str__(self) -> str:
        return self.repo_id if self.repo_type == "model" else f"{self.repo_type}s/{self.repo_id}"


class ModelName(NamedTuple):
    """A model that somebody asked for. `name` is what the user typed."""

    name: str
    repo_id: str
    #: None where the user did not say: any type will do.
    repo_type: str | None = None
    revision: str | None = None
    #: What the user says it takes, in bytes.
    expected_bytes: int | None = None
    #: The files that are asked for.
    selection: Selection = ALL
    #: The backend whose programs alone know the name (`StorageBackend.model_named`); "" where the Hub may know it.
    layout: str = ""
    #: What other layouts call what the user named.
    others: tuple[str, ...] = ()

    @property
    def repo(self) -> Name:
        """What the Hub would be asked for: a model where the user did not say what it is."""
        return Name(self.repo_type or "model", self.repo_id)

    @property
    def id(self) -> str:
        """The name without what the configuration calls it."""
        return str(self.repo)

    def means(self, repo_type: str, repo_id: str) -> bool:
        """Whether it is this one; letters count as the same whatever their case, as for `hf cache rm`."""
        called = repo_id.lower()
        fits = self.repo_id.lower() == called or any(other.lower() == called for other in self.others)
        return fits and self.repo_type in (None, repo_type)

    def among(self, known: Iterable[Name]) -> Name | None:
        """The one of `known` that is meant; where several types have it, the model."""
        if isinstance(known, Mapping | Set) and self.repo in known:
            return self.repo
        fits = [name for name in known if self.means(name.repo_type, name.repo_id)]
        return min(
            fits,
            key=lambda name: (name.repo_type != "model", name.repo_id != self.repo_id, name),
            default=None,
        )


class ConfiguredModel(NamedTuple):
    """A model that the user registered or configured. `size` is what it takes, in bytes, where that was stated."""

    name: str
    repo_id: str
    revision: str | None = None
    size: int | None = None
    selection: Selection = ALL
    #: Where it is registered: a place by its name, or the folder of a cache or the one above it. Both "": anywhere.
    place: str = ""
    path: str = ""


def parse(
    text: str, configured: Mapping[str, ConfiguredModel] | None = None, revision: str | None = None
) -> ModelName:
    """What `text` asks for. `revision` wins over the one that the configuration names.

    Raises `UsageError` for a text that cannot be a repo id, or a revision that cannot be one.
    """
    model = (configured or {}).get(text)
    repo_type, repo_id = _split(model.repo_id if model is not None else text)
    chosen = revision if revision is not None else model.revision if model is not None else None
    if chosen is not None and (not _REVISION.fullmatch(chosen) or ".." in chosen):
        raise UsageError(f"{chosen!r} is not a revision", "give a branch, a tag or a commit hash")
    if model is None:
        return ModelName(text, repo_id, repo_type, chosen)
    return ModelName(text, repo_id, repo_type, chosen, expected_bytes=model.size, selection=model.selection)


def stands_for(asked: str, revision: str, refs: Iterable[str]) -> bool:
    """Whether `asked` (a branch, a tag, a commit hash or the first digits of one) stands for a revision."""
    digits = len(asked) >= _FEWEST_DIGITS and revision.startswith(asked)
    return asked == revision or asked in refs or digits


def unknown(
    text: str,
    known: Iterable[str],
    holder: str = "no root holds a",
    hint: str = "see `hubfold ls` for what is there",
    *,
    hidden: Sequence[str] = (),
) -> UnknownModel:
    """The error for a name that nothing is known of; `hint` where none of `known` is near.

    It may lie in one of the `hidden` folders, which cannot be read.
    """
    if hidden:
        what = f"{hidden[0]} cannot be read, and a model called {text!r} may be there"
        return UnknownModel(what, "run hubfold as a user who may read it, or check the drive")
    return UnknownModel(f"{holder} model called {text!r}", meant(text, known) or hint)


def meant(text: str, known: Iterable[str]) -> str:
    """What to tell somebody whose `text` was not found; empty where none of `known` is near.

    The text may be among them: a short name of config.toml stands for something that need not be there.
    """
    names = list(dict.fromkeys(known))
    if text in names:
        return f"config.toml knows it, and it is not there: `hubfold download {shlex.quote(text)}` gets it"
    near = nearest(text, names)
    return f"did you mean {' or '.join(near)}?" if near else ""


def nearest(text: str, names: Iterable[str]) -> tuple[str, ...]:
    """Up to three of `names` that `text` may have been meant to be, the nearest first."""
    key = text.lower()
    scores = {name: _likeness(key, name.lower()) for name in names}
    return tuple(sorted((name for name in scores if scores[name]), key=lambda name: -scores[name]))[:3]


def _split(text: str) -> tuple[str | None, str]:
    """(repo_type or None, repo_id). ``model/gpt2`` and ``datasets/org/name`` name their type."""
    repo_type, rest = None, text.removeprefix("hf://")
    head, slash, tail = rest.partition("/")
    singular = head.removesuffix("s")
    # `space/name` could be an organisation called so, `spaces/…` and three parts cannot: the Hub has taken these words.
    if slash and singular in REPO_TYPES:
        repo_type, rest = singular, tail
    if not _REPO_ID.fullmatch(rest) or ".." in rest:
        raise UsageError(f"{text!r} is not a repo id", "write it like org/name, or datasets/org/name")
    return repo_type, rest


def _likeness(one: str, other: str) -> float:
    """From 0 (nothing alike) to 1. What follows the organisation counts: many models share that."""
    import difflib  # here: only who mistyped a name needs it

    of_ends = difflib.SequenceMatcher(None, one.rpartition("/")[2], other.rpartition("/")[2]).ratio()
    whole = difflib.SequenceMatcher(None, one, other).ratio()
    return max(of_ends, whole) if of_ends >= 0.6 or whole >= 0.85 else 0
