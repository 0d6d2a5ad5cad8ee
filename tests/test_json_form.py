"""The JSON form of reports: fields under their names, but for what is told otherwise."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field

import pytest

from hubfold.json_form import NULLABLE, PATHS, SPREAD, UNTOLD, JsonForm, told


class Kind(enum.Enum):
    ONE = "one"

    def __str__(self) -> str:
        return self.value


@dataclass(frozen=True)
class Inner(JsonForm):
    name: str
    long: tuple[str, ...] = field(default=(), metadata=told(with_files=True))


@dataclass(frozen=True)
class Outer(JsonForm):
    first: int
    inner: Inner
    spread: Inner = field(metadata=SPREAD)
    kind: Kind = Kind.ONE
    paths: tuple[str, ...] = field(default=(), metadata=PATHS)
    text: str = field(default="", metadata=NULLABLE)
    renamed: int = field(default=2, metadata=told("other", before=("twice",), after=("thrice",)))
    rare: int = field(default=0, metadata=told(optional=True))
    made: int = field(default=5, metadata=told(value=lambda number: [number] * 2))
    secret: str = field(default="x", metadata=UNTOLD)

    @property
    def twice(self) -> int:
        return self.first * 2

    @property
    def thrice(self) -> tuple[Inner, ...]:
        return (self.inner,) * 3


def test_every_field_is_told_in_its_order_and_as_it_says() -> None:
    report = Outer(1, Inner("a", ("l",)), Inner("b"), paths=("/p",), text="t", rare=3)
    found = report.as_json()
    assert list(found.items()) == [
        ("first", 1),
        ("inner", {"name": "a"}),
        ("name", "b"),
        ("kind", "one"),
        ("paths", [{"path": "/p"}]),
        ("text", "t"),
        ("twice", 2),
        ("other", 2),
        ("thrice", [{"name": "a"}] * 3),
        ("rare", 3),
        ("made", [5, 5]),
    ]
    assert json.loads(json.dumps(found)) == found


def test_what_is_optional_is_left_out_while_it_has_its_default_and_an_empty_text_is_null() -> None:
    found = Outer(1, Inner("a"), Inner("b")).as_json()
    assert "rare" not in found
    assert found["text"] is None


def test_what_is_long_is_told_only_when_it_is_asked_for_also_further_in() -> None:
    report = Outer(1, Inner("a", ("l",)), Inner("b", ("m",)))
    assert "long" not in report.as_json()
    found = report.as_json(files=True)
    assert found["inner"] == {"name": "a", "long": ["l"]}
    assert found["long"] == ["m"]


@pytest.mark.parametrize("value", [None, True, 1.5, {"a": (Inner("b"),)}, [[Kind.ONE]]])
def test_whatever_a_field_holds_json_can_write_it(value: object) -> None:
    @dataclass(frozen=True)
    class Anything(JsonForm):
        value: object

    json.dumps(Anything(value).as_json())
