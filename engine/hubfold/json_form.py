"""The JSON form of reports: the fields of a dataclass in their order, each under its own name.

What is to be told in another way says so beside the field, in its metadata::

    @dataclass(frozen=True, slots=True)
    class GcReport(JsonForm):
        removed: tuple[str, ...] = field(metadata=PATHS)
        bytes: int = field(metadata=told("reclaimed_bytes"))
        waiting: bool = field(default=False, metadata=UNTOLD)

Texts stay as they are: `display.as_json` writes what is not ASCII, and the surrogates of names that are not UTF-8, as
``\\udcXX``.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

Json = dict[str, Any]


class JsonForm:
    """Base of dataclasses with a JSON form that scripts rely on."""

    __slots__ = ()

    def as_json(self, *, files: bool = False) -> Json:
        """This as `json.dumps` takes it; with `files`, also what is long and told only when asked for."""
        return dict(_pairs(self, files))


class _Told(NamedTuple):
    """How one field is told."""

    name: str = ""
    value: Callable[[Any], object] | None = None
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    optional: bool = False
    with_files: bool = False
    spread: bool = False
    left_out: bool = False


_KEY = "hubfold.json_form"
_PLAINLY = _Told()

Metadata = Mapping[str, _Told]


def told(
    name: str = "",
    value: Callable[[Any], object] | None = None,
    *,
    before: tuple[str, ...] = (),
    after: tuple[str, ...] = (),
    optional: bool = False,
    with_files: bool = False,
) -> Metadata:
    """The metadata of a field that is told under another `name`, or as what `value` makes of it.

    `before` and `after` are properties of the class that are told there. An `optional` one is left out while it has its
    default, one `with_files` unless it is asked for.
    """
    return {_KEY: _Told(name, value, before, after, optional=optional, with_files=with_files)}


#: A field that is no part of the JSON form.
UNTOLD: Metadata = {_KEY: _Told(left_out=True)}
#: A `JsonForm` whose own keys take the place of the field.
SPREAD: Metadata = {_KEY: _Told(spread=True)}
#: Paths, each an object: more can be told of it one day.
PATHS: Metadata = told(value=lambda paths: [{"path": path} for path in paths])
#: A text that is null where it is empty.
NULLABLE: Metadata = told(value=lambda text: text or None)


def _pairs(report: Any, files: bool) -> Iterator[tuple[str, object]]:
    for one in fields(report):
        how: _Told = one.metadata.get(_KEY, _PLAINLY)
        value = getattr(report, one.name)
        if how.left_out or (how.optional and value == one.default) or (how.with_files and not files):
            continue
        yield from ((name, _plain(getattr(report, name), files)) for name in how.before)
        if how.spread:
            yield from value.as_json(files=files).items()
        else:
            yield how.name or one.name, _plain(value if how.value is None else how.value(value), files)
        yield from ((name, _plain(getattr(report, name), files)) for name in how.after)


def _plain(value: object, files: bool) -> object:
    """A value as `json.dumps` takes it."""
    if isinstance(value, JsonForm):
        return value.as_json(files=files)
    if isinstance(value, enum.Enum):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(one, files) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one, files) for one in value]
    return value
