"""The view as its user has it: keys and clicks in, what is on the screen and on the disk out."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("textual", reason="the extra `ui` is not installed")

from textual.pilot import Pilot

from hubfold import Engine
from hubfold.cli.app import run
from hubfold.cli.commands.ui import lent
from hubfold.errors import Interrupted
from hubfold.journal.lock import exclusive
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files, repository_folder
from hubfold.ui.app import View
from hubfold.ui.browse import Browse
from hubfold.ui.lent import Done, Job, Line, Planned
from hubfold.ui.review import KEYS, Help, Review, Where
from hubfold.ui.rows import size
from hubfold.ui.table import Lines, Table

pytestmark = pytest.mark.slow

MIB = 1 << 20
#: A thread that is asked for nothing more has told all it had to.
_TURNS = 2000


class Hand:
    """A user at the keys of one view."""

    def __init__(self, view: View, pilot: Pilot[int]) -> None:
        self.view = view
        self.known = view.known
        self.pilot = pilot

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.settle()

    async def settle(self) -> None:
        """Until no thread does anything and all it told is on the screen."""
        for _ in range(_TURNS):
            await self.pilot.pause(0.01)
            lanes = self.known.lanes
            if all(lane.idle for lane in lanes):
                await self.pilot.pause()
                if all(lane.idle for lane in lanes):
                    return
        raise AssertionError(f"it does not come to rest: {self.known.notice}")

    @property
    def table(self) -> Table:
        return self.browse.table

    @property
    def browse(self) -> Browse:
        [found] = [screen for screen in self.view.screen_stack if isinstance(screen, Browse)]
        return found

    @property
    def names(self) -> list[str]:
        return [row.name for row in self.table.rows]

    def text(self, which: str) -> str:
        return str(self.view.screen.query_one(f"#{which}").render())

    @property
    def screen(self) -> str:
        """All that is seen, as a terminal has it."""
        return "\n".join(
            "".join(segment.text for segment in strip)
            for strip in self.view.screen._compositor.render_strips()  # as Textual's own screenshots do
        )

    async def to(self, name: str) -> None:
        """The cursor to the row of this name."""
        self.table.action_move_to(self.names.index(name))
        await self.pilot.pause()


def shown(
    act: Callable[[Hand], Awaitable[None]],
    width: int = 120,
    *,
    least: int = MIB,
    height: int = 30,
    view: View | None = None,
) -> View:
    """A view on a screen of this width, which `act` uses."""
    made = view or View(lent(least))

    async def use() -> None:
        async with made.run_test(size=(width, height)) as pilot:
            hand = Hand(made, pilot)
            await hand.settle()
            await act(hand)

    asyncio.run(use())
    made.known.end()
    return made


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What a command says as JSON."""
    capsys.readouterr()
    assert run([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def models(tree: Tree, loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> Tree:
    """Two models in a cache, one of them also in a second cache and as a local copy; all is scanned."""
    loopback_hub.add("org/a", model_files("a", MIB))
    loopback_hub.add("org/b", model_files("b", 2 * MIB))
    tree.build({"hf/hub": hub_cache("org/a", "org/b"), "other/hub": hub_cache("org/a")})
    tree.build({"models/a": local_dir("org/a")})
    monkeypatch.setenv("HF_HUB_CACHE", str(tree["hf/hub"]))
    with Engine() as engine:
        engine.add_root(tree["other/hub"])
        engine.add_root(tree["models"])
        engine.scan(promise=False)
    return tree


def test_from_places_down_to_files_and_back(models: Tree) -> None:
    async def act(hand: Hand) -> None:
        hub = str(models["hf/hub"])
        assert set(hand.names) == {hub, str(models["other/hub"]), str(models["models"])}
        await hand.to(hub)
        await hand.press("enter")
        assert set(hand.names) == {"org/a", "org/b"}
        await hand.to("org/b")
        await hand.press("right")
        assert set(hand.names) == set(model_files("b"))
        assert hub in hand.text("tabs") and "org/b" in hand.text("tabs")
        await hand.press("left")
        assert hand.table.row is not None and hand.table.row.name == "org/b", "the cursor is where it was"
        await hand.press("backspace")
        assert hand.table.row is not None and hand.table.row.name == hub
        await hand.press("2")
        assert set(hand.names) == {"org/a", "org/b"}
        await hand.to("org/a")
        await hand.press("enter")
        assert set(hand.names) == {hub, str(models["other/hub"]), str(models["models"])}
        await hand.press("tab")
        assert len(hand.names) == 1 and "org/a" in hand.names[0]
        await hand.press("enter")
        assert len(hand.names) == 3
        await hand.press("tab", "escape")
        assert "[1 Places]" in hand.text("tabs")

    shown(act)


def test_filter_and_order(models: Tree) -> None:
    async def act(hand: Hand) -> None:
        await hand.press("2")
        assert hand.names == ["org/b", "org/a"], "the largest first"
        await hand.press("r")
        assert hand.names == ["org/a", "org/b"]
        await hand.press("s")
        assert "on disk▼" in hand.screen
        await hand.press("slash", "b", "enter")
        assert hand.names == ["org/b"] and "/b" in hand.text("tabs")
        await hand.press("slash", "z", "z")
        assert hand.names == [] and "nothing fits" in hand.screen
        await hand.press("escape")
        assert len(hand.names) == 2
        await hand.press("q")

    assert shown(act).return_code == 0


def test_marks_go_across_views_and_are_added_up(models: Tree) -> None:
    async def act(hand: Hand) -> None:
        await hand.press("2")
        await hand.to("org/a")
        await hand.press("space")
        assert "marked: 3 models" in hand.text("joint")
        await hand.press("3", "space")
        told = hand.text("joint")
        assert "3 models, 1 duplicate set" in told
        with Engine() as engine:
            picture = engine.picture()
            removal = engine.joint_removal(picture, hand.known.marks)
            fold = engine.joint_fold(picture, hand.known.marks)
        assert f"removing frees {size(removal.bytes)} · folding frees {size(fold.bytes)}" in told
        await hand.press("1", "a")
        assert "4 models" in hand.text("joint")
        await hand.press("c")
        assert "nothing is marked" in hand.text("joint") and not hand.known.marks

    shown(act)


def test_the_figures_are_those_of_the_commands(models: Tree, capsys: pytest.CaptureFixture[str]) -> None:
    ls, dupes = told(capsys, "ls")["models"], told(capsys, "dupes")
    alone = {
        root: told(capsys, "rm", "--dry-run", *named)["reclaimed_bytes"]
        for root, named in {
            "models": [str(models["models/a"])],
            "hf/hub": ["org/a", "--from", str(models["hf/hub"])],
            "other/hub": ["org/a", "--from", str(models["other/hub"])],
        }.items()
    }

    copy = str(models["models/a"])
    files = {
        name: told(capsys, "rm", "--dry-run", copy, name)["reclaimed_bytes"] for name in model_files("a")
    }
    every = ["rm", "--dry-run", "org/*", "--from", str(models["hf/hub"])]
    whole = told(capsys, *every)["reclaimed_bytes"]

    async def act(hand: Hand) -> None:
        await hand.press("2")
        assert {row.name: (row.size, row.on_disk) for row in hand.table.rows} == {
            one["id"]: (one["size_bytes"], one["physical_bytes"]) for one in ls
        }
        [b] = [row for row in hand.table.rows if row.name == "org/b"]
        assert b.frees == next(one["freed_bytes"] for one in ls if one["id"] == "org/b")
        await hand.to("org/a")
        await hand.press("enter")
        assert {row.name: row.frees for row in hand.table.rows} == {
            str(models[root]): freed for root, freed in alone.items()
        }
        await hand.to(str(models["models"]))
        await hand.press("enter")
        assert {row.name: row.frees for row in hand.table.rows} == files
        await hand.press("1")
        [hub] = [row for row in hand.table.rows if row.name == str(models["hf/hub"])]
        assert hub.frees == whole
        await hand.press("3")
        assert [row.frees for row in hand.table.rows] == [one["reclaimable_bytes"] for one in dupes["sets"]]

    shown(act)


def test_a_removal_is_shown_asked_and_done(models: Tree) -> None:
    async def act(hand: Hand) -> None:
        await hand.press("2")
        await hand.to("org/b")
        await hand.press("space", "d")
        assert isinstance(hand.view.screen, Review)
        blob = next((repository_folder(models["hf/hub"], "org/b") / "blobs").iterdir())
        assert str(blob) in hand.view.screen.query_one(Lines).text
        assert "last whole copy of org/b" in hand.text("question") and "cannot be undone" in hand.text(
            "question"
        )
        await hand.press("enter")
        assert isinstance(hand.view.screen, Review), "enter is no yes"
        await hand.press("n")
        assert blob.exists() and "removing frees" in hand.text("joint")
        await hand.press("d", "y")
        assert "reclaimed" in hand.view.screen.query_one(Lines).text
        assert not repository_folder(models["hf/hub"], "org/b").exists()
        await hand.press("enter")
        assert hand.names == ["org/a"] and "nothing is marked" in hand.text("joint")

    shown(act)


def test_a_fold_is_undone_from_where_it_was_done(models: Tree) -> None:
    weights = models["models/a/model.safetensors"]
    before = weights.stat().st_ino

    async def act(hand: Hand) -> None:
        await hand.press("3", "space", "f")
        assert "Replace 2 files" in hand.text("question") and "`u` takes it back" in hand.text("question")
        await hand.press("y")
        assert "replaced 2 files" in hand.view.screen.query_one(Lines).text
        await hand.press("enter")
        assert hand.names == [] and "nothing is marked" in hand.text("joint")
        await hand.press("u")
        assert "Restore 2 files" in hand.text("question")
        await hand.press("y", "enter", "space", "f", "y")
        cached = repository_folder(models["hf/hub"], "org/a")
        assert os.path.samefile(weights, next(cached.rglob("model.safetensors")))
        await hand.press("u")
        assert "Restore 2 files" in hand.text("question") and "takes it back" not in hand.text("question")
        await hand.press("y")
        assert "restored 2 files" in hand.view.screen.query_one(Lines).text
        await hand.press("enter")
        assert hand.known.sets, "they are twice again"
        await hand.press("u")
        assert "no run" in hand.view.screen.query_one(Lines).text or "nothing" in hand.text("question")

    shown(act)
    assert not weights.is_symlink() and weights.stat().st_ino != before


def test_what_lies_in_a_place_that_stays_is_neither_marked_nor_replaced(models: Tree) -> None:
    async def act(hand: Hand) -> None:
        await hand.to(str(models["models"]))
        await hand.press("x", "space")
        assert not hand.known.marks and "stays" in hand.screen
        await hand.press("3", "space", "f")
        text = hand.view.screen.query_one(Lines).text
        assert f"stays: {models['models/a/model.safetensors']}" in text
        await hand.press("n", "1", "x")
        assert not hand.known.marks.stays

    shown(act)


def test_a_move_is_asked_where_to_and_a_pin_is_kept(models: Tree, other_drive: Path) -> None:
    async def act(hand: Hand) -> None:
        await hand.press("2")
        await hand.to("org/b")
        await hand.press("space", "m")
        assert isinstance(hand.view.screen, Where)
        await hand.press("escape", "m")
        hand.view.screen.query_one("#to").value = str(other_drive / "hub")  # type: ignore[attr-defined]
        await hand.press("enter")
        assert "Move 1 model" in hand.text("question")
        await hand.press("y")
        assert "moved 1 model" in hand.view.screen.query_one(Lines).text
        await hand.press("enter")
        await hand.to("org/a")
        await hand.press("c", "space", "p")
        assert "Pin 1 model?" in hand.text("question")
        await hand.press("y", "enter")
        await hand.to("org/a")
        assert hand.table.row is not None and hand.table.row.note == "pinned"
        await hand.press("p")
        assert "Unpin 1 model?" in hand.text("question")

    shown(act)
    assert repository_folder(other_drive / "hub", "org/b").exists()


def test_the_mouse_does_what_keys_do(models: Tree) -> None:
    async def act(hand: Hand) -> None:
        await hand.pilot.click("#tabs", offset=(14, 0))
        assert set(hand.names) == {"org/a", "org/b"}
        await hand.pilot.click(Table, offset=(3, 0))
        assert hand.names == ["org/a", "org/b"], "a click on a title sorts"
        await hand.pilot.click(Table, offset=(0, 2))
        await hand.settle()
        assert "marked: 1 model" in hand.text("joint")
        await hand.pilot.click(Table, offset=(10, 2), times=2)
        await hand.settle()
        assert set(hand.names) == set(model_files("b"))

    shown(act)


def test_every_key_is_in_the_help() -> None:
    told = " ".join(keys for keys, _ in KEYS).replace(",", " ").split()
    names = {"slash": "/", "question_mark": "?", "f1": "?"}
    bound = {key for binding in Browse.BINDINGS for key in binding.key.split(",")}  # type: ignore[union-attr]
    bound |= {key for binding in Table.BINDINGS for key in binding.key.split(",")}  # type: ignore[union-attr]
    known = {*told, "escape", "shift+tab", "G", "?"}
    assert {names.get(key, key) for key in bound} <= known


class Stopping:
    """A job that goes on until it is asked to stop."""

    def __init__(self) -> None:
        self.begun = threading.Event()

    def job(self) -> Job:
        def run(engine: Engine) -> Done:
            self.begun.set()
            try:
                while True:
                    engine.workspace.stop.check()
            except Interrupted:
                return Done([Line("stopped before the end")], interrupted=True)

        return Job("long", lambda engine: Planned([Line("what would be done")], "Do it?", run))


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
def test_a_run_is_stopped_as_a_command_is(models: Tree, key: str) -> None:
    stopping = Stopping()

    async def act(hand: Hand) -> None:
        hand.view.push_screen(Review(hand.known, stopping.job()))
        await hand.settle()
        await hand.pilot.press("y")
        stopping.begun.wait()
        await hand.press(key)
        assert "stopped before the end" in hand.view.screen.query_one(Lines).text
        assert "long: stopped" in hand.text("tabs")
        await hand.press("enter", "2")
        assert len(hand.names) == 2, "and it goes on"

    shown(act)


def test_a_drive_that_answers_late_blocks_no_key_and_no_end(
    models: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()
    monkeypatch.setattr(Engine, "picture", lambda engine: answers.wait())
    view = View(lent(MIB))

    async def use() -> None:
        async with view.run_test(size=(100, 20)) as pilot:
            for _ in range(_TURNS):
                await pilot.pause(0.01)
                if view.known.shown is not None and view.known.sets:
                    break
            hand = Hand(view, pilot)
            await pilot.press("2")
            await hand.to("org/a")
            await pilot.press("enter")
            assert len(hand.names) == 3, "by what the last scan saw"
            await pilot.press("space")
            assert "still being looked at" in hand.text("status")
            await pilot.press("question_mark")
            assert isinstance(view.screen, Help)
            await pilot.press("escape", "3")
            assert len(hand.names) == 1
            await pilot.press("q")

    asyncio.run(use())
    answers.set()


def test_a_screen_of_any_width(models: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")

    async def act(hand: Hand) -> None:
        for keys in ("2", "3", "1", "enter", "a", "d"):
            await hand.press(keys)
            for width in (40, 80, 120, 200):
                await hand.pilot.resize_terminal(width, 24)
                await hand.pilot.pause()
                lines = hand.screen.splitlines()
                assert len(lines) == 24 and all(len(line) == width for line in lines)
        assert hand.view.no_color

    shown(act)


def test_errors_are_told_with_what_to_do(models: Tree) -> None:
    async def act(hand: Hand) -> None:
        await hand.press("u")
        text = hand.view.screen.query_one(Lines).text
        assert "no run" in text
        await hand.press("enter", "d")
        assert "nothing is marked" in hand.text("status")
        with Engine() as other, exclusive(other.state, "consolidate"):
            await hand.press("escape", "2", "space", "d", "y")
            assert "another" in hand.view.screen.query_one(Lines).text

    shown(act)


def test_with_500_models_and_20_000_sets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from benchmarks import trees

    for number in range(500):
        for cache in ("hub", *(["second/hub"] if number < 100 else [])):
            trees.add_to_cache(
                str(tmp_path / cache),
                f"org/model-{number}",
                f"{number + 1:040x}",
                "model.safetensors",
                lambda path, seed=f"{number}": trees.write(path, seed, 9000 + int(seed)),  # type: ignore[misc]
            )
    trees.sets(str(tmp_path / "plain"), 19_900)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with Engine() as engine:
        for root in ("second/hub", "plain"):
            engine.add_root(tmp_path / root)
        engine.scan(min_size=1, promise=False)

        # Of so many sets `dupes` tells what their sizes come to: two of these begin as programs do, and stay.
        folded, dupes = engine.plan(min_size=1).bytes, engine.dupes(min_size=1).as_json()
    ls = told(capsys, "ls")
    assert len(ls["models"]) == 500 and len(dupes["sets"]) == 20_000
    removed = told(capsys, "rm", "--dry-run", *(one["id"] for one in ls["models"]))["reclaimed_bytes"]

    async def act(hand: Hand) -> None:
        await hand.press("2", "a")
        assert len(hand.names) == 500
        every = {row.name: row for row in hand.table.rows}
        for one in ls["models"]:
            assert (every[one["id"]].size, every[one["id"]].on_disk) == (
                one["size_bytes"],
                one["physical_bytes"],
            )
            if len(one["places"]) == 1:
                assert every[one["id"]].frees == one["freed_bytes"]
        assert hand.known.removal is not None
        assert hand.known.removal.bytes == removed
        await hand.press("c", "3", "a")
        assert len(hand.names) == 20_000 and len(hand.known.marks.sets) == 20_000
        assert sum(row.frees or 0 for row in hand.table.rows) == dupes["reclaimable_bytes"]
        assert hand.known.folded is not None
        assert hand.known.folded.bytes == folded
        await hand.press("end")
        assert hand.table.cursor == 19_999
        await hand.press("slash", *"model-4")
        assert hand.names and all("model-4" in name for name in hand.names)

    shown(act, least=1)
