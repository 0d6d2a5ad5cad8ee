"""What is told of places, and of the models that are registered at them."""

from __future__ import annotations

from dataclasses import dataclass, field

from hubfold.json_form import JsonForm, told


@dataclass(frozen=True, slots=True)
class PlaceUse(JsonForm):
    """What a place holds of what it may, in bytes by allocated blocks as `du` counts; None: no limit, or not to be seen
    now."""

    name: str
    cache: str
    used_bytes: int | None
    limit_bytes: int | None
    away: bool = False

    @property
    def over(self) -> int:
        """By how much the limit is passed."""
        return max(0, (self.used_bytes or 0) - self.limit_bytes) if self.limit_bytes is not None else 0


@dataclass(frozen=True, slots=True)
class RegisteredModel(JsonForm):
    """A name that stands for a model, and where that is to lie.

    `cache_dir` is what ``from_pretrained(cache_dir=…)`` needs, `base` the folder above it that ``HF_HOME`` may name,
    None where the cache has none. `place` is a place's name, ``custom`` for a path, "" for wherever downloads go.
    """

    name: str = field(metadata=told("model_name"))
    repo_id: str = field(metadata=told("hf_path"))
    revision: str | None
    place: str = field(metadata=told("cache_location", lambda place: place or None))
    #: The path that was given, or the place's.
    cache_path: str
    cache_dir: str
    base: str | None
    #: Where it is named: ``registered``, ``project`` or ``config``.
    source: str
    #: The drive of its place is not there.
    away: bool = False


@dataclass(frozen=True, slots=True)
class RegistryReport(JsonForm):
    """The models that are registered or configured, by name; of a call that changes something, those it is about."""

    models: tuple[RegisteredModel, ...]
