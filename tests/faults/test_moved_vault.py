"""`doctor --fix` of a vault that moved, and its undo, struck at each change: the link reads the object or dangles as it
did, `recover` leaves nothing behind, and the same command again ends it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.building import tree

from .striking import KILL, Fault, hubfold

pytestmark = pytest.mark.slow

FIX = ("doctor", "--fix", "-y")
#: After the last change of the command there is nothing to strike.
MOST = 400


class Place:
    def __init__(self, base: Path) -> None:
        self.path, self.moved = str(base / "place"), str(base / "place/disk/hf")
        self.env = tree.environment(self.path)
        self.data = tree.model("weights")
        self.copies = [tree.write(f"{self.path}/models/{name}/m.safetensors", self.data) for name in "ab"]
        self.hf = os.path.join(self.path, "hf")
        tree.cache(os.path.join(self.hf, "hub"), "org/one", {"m.safetensors": self.data})
        self.run("consolidate", f"{self.hf}/hub", f"{self.path}/models", "--link", "symlink", "-y")
        self.texts = [os.readlink(copy) for copy in self.copies]
        os.mkdir(os.path.dirname(self.moved))
        os.rename(self.hf, self.moved)
        self.env["HF_HOME"] = self.moved
        self.run("scan", good=(0, 3))

    def run(self, *argv: str, good: tuple[int, ...] = (0,)) -> None:
        ran = hubfold(self.env, *argv).ran
        assert ran.returncode in good, (argv, ran.stdout, ran.stderr)
        assert "Traceback" not in ran.stderr, ran.stderr

    def texts_now(self) -> list[str]:
        return [os.readlink(copy) for copy in self.copies]

    def strangers(self) -> list[str]:
        return [
            name
            for copy in self.copies
            for name in os.listdir(os.path.dirname(copy))
            if name != "m.safetensors"
        ]

    def struck(self, command: tuple[str, ...], kind: str | int) -> Iterator[int]:
        """Strike at each change, one after the other."""
        for number in range(1, MOST):
            done = hubfold(self.env, *command, fault=Fault(number, kind))
            assert "Traceback" not in done.ran.stderr, done.ran.stderr
            if not done.killed and done.changes < number:
                return
            yield number
        raise AssertionError("it never ends")


def judge(place: Place, command: tuple[str, ...], was: list[str]) -> None:
    """After a strike, and after `recover`."""
    for copy, text in zip(place.copies, was, strict=True):
        now = os.readlink(copy)
        assert now == text or now in place.texts or Path(copy).read_bytes() == place.data, command
    place.run("recover", good=(0, 3))
    assert place.strangers() == [], command


@pytest.mark.parametrize("kind", [KILL, 0])
def test_pointing_links_to_where_the_vault_is_struck_at_each_change(tmp_path: Path, kind: str | int) -> None:
    place = Place(tmp_path)
    old, strikes, done = place.texts, 0, 0
    for _ in place.struck(FIX, kind):
        strikes += 1
        judge(place, FIX, old)
        if place.texts_now() != old:
            done += 1
            place.run("undo", "-y")
            assert place.texts_now() == old
    assert strikes > 10 and done > 0
    assert all(Path(copy).read_bytes() == place.data for copy in place.copies), (
        "the last one was struck by nothing"
    )


@pytest.mark.parametrize("kind", [KILL, 0])
def test_taking_that_back_struck_at_each_change(tmp_path: Path, kind: str | int) -> None:
    place = Place(tmp_path)
    place.run(*FIX)
    new, strikes, done = place.texts_now(), 0, 0
    for _ in place.struck(("undo", "-y"), kind):
        strikes += 1
        judge(place, ("undo", "-y"), new)
        if place.texts_now() != new:
            done += 1
            while place.texts_now() != place.texts:
                place.run("undo", "-y")
            place.run(*FIX)
            assert place.texts_now() == new
    assert strikes > 10 and done > 0 and place.texts_now() == place.texts
