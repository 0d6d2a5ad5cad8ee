"""Whatever a plugin names lies below the root that it was asked about, or the plugin is at fault, by name."""

from __future__ import annotations

import itertools
import os
import pwd
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hubfold.backend import Leftover, LeftoverKind, ModelPart, PartPlace, Removal, ShownFile, answers
from hubfold.backend.boundary import GuardedBackend
from hubfold.backend.changes import Gap, Kept, Offer, OfferedFile, SharedContent, SharedPayload
from hubfold.backend.territory import DEEP, Territory
from hubfold.content import Partial, Replica, Root, Snapshot, SnapshotFile
from hubfold.disk.bounds import Bounds
from hubfold.faults import OWN, BackendFault, Faults
from tests.backend.test_boundary import ORIGIN, TOTAL, Guarded
from tests.building.plugin import METHODS, Box


class Hostile(Guarded):
    """A `Box` whose root has a symlink ``link`` to the folder ``outside`` beside it."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder / "box")
        self.outside = folder / "outside"
        (self.outside / "model").mkdir(parents=True)
        (self.outside / "model/secret").write_text("secret")
        (folder / "box/link").symlink_to(self.outside)
        (folder / "box/secret").symlink_to(self.outside / "model/secret")
        self.home = folder / "home"
        self.home.mkdir()
        self.backend = GuardedBackend(Box(), ORIGIN, self.faults, Bounds({"HOME": str(self.home)}))


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hostile:
    monkeypatch.setattr(Box, "faults", {})
    monkeypatch.setattr(Box, "calls", [])
    return Hostile(tmp_path)


def of_removal(root: str, path: str) -> Iterator[Removal]:
    """A removal that names `path` in each of its fields."""
    plain = Removal(root, "box", "acme/boxed", "model")
    for field in ("links", "refs", "folders", "inside", "records", "content", "empty"):
        yield replace(plain, **{field: (path,)})
    for field in ("path", "aside"):
        yield replace(plain, **{field: path})
    yield replace(plain, shared=(SharedContent(path, (f"{root}/one", f"{root}/two")),))
    yield replace(plain, payloads=(SharedPayload(path, f"{root}/record"),))
    yield replace(plain, payloads=(SharedPayload(f"{root}/payload", path),))
    yield replace(plain, kept=(Kept(path, "of somebody"),))


def of_snapshot(root: str, path: str) -> Iterator[Snapshot]:
    plain = Snapshot("acme/boxed", "model", "a" * 40, (), root, ())
    yield replace(plain, path=path)
    yield replace(plain, home=path)
    yield replace(plain, files=(SnapshotFile("secret", path, 6),))
    yield replace(plain, incomplete=(Partial(path, 6),))


def leftovers(root: str, path: str) -> Iterator[Leftover]:
    plain = Removal(root, "box", "", "")
    yield Leftover(LeftoverKind.LOCK, path, plain)
    yield from (Leftover(LeftoverKind.LOCK, f"{root}/lock", removal) for removal in of_removal(root, path))


#: What each method answers that is about one path.
ANSWERS: dict[str, Callable[[str, str], list[Any]]] = {
    "recognise": lambda root, path: [path],
    "home_root": lambda root, path: [path],
    "vault_places": lambda root, path: [[path], (f"{root}/.hubfold", path)],
    "replicas": lambda root, path: [[Replica(path, os.stat("/"))]],
    "notes": lambda root, path: [[path]],
    "snapshots": lambda root, path: [[one] for one in of_snapshot(root, path)],
    "lock_paths": lambda root, path: [[path]],
    "removals": lambda root, path: [[one] for one in of_removal(root, path)],
    "all_removals": lambda root, path: [[one] for one in of_removal(root, path)],
    "leftovers": lambda root, path: [[one] for one in leftovers(root, path)],
    "still_needed": lambda root, path: [[path]],
    "content_path": lambda root, path: [path],
    "partial_path": lambda root, path: [path],
    "parts": lambda root, path: [[ModelPart("boxed/x", path)]],
    "offers": lambda root, path: [[Offer(root, (OfferedFile("x", path, "sha256"),))]],
    "reached": lambda root, path: [[path]],
    "gaps": lambda root, path: [
        [Gap(path, {"sha256": "a" * 64})],
        [Gap(f"{root}/x", {"sha256": "a" * 64}, path)],
    ],
}


def _removal_in(answer: Any) -> Removal:
    """The removal that an answer is, or holds; an empty one in others."""
    one = answer[0] if isinstance(answer, list) else answer
    one = getattr(one, "removal", one)
    return one if isinstance(one, Removal) else Removal("/", "box", "", "")


def refused(hostile: Hostile, method: str, answer: Any) -> str:
    """What is told of an answer, which goes no further."""
    Box.faults[method] = lambda: iter(answer) if isinstance(answer, list) else answer
    before = len(hostile.faults)
    if method in TOTAL:
        assert not hostile.ask(method), answer
    else:
        with pytest.raises(BackendFault):
            hostile.ask(method)
    found = list(hostile.faults)
    hostile.faults = Faults()
    hostile.backend = hostile.backend.noting(hostile.faults, Bounds({"HOME": str(hostile.home)}))
    assert len(found) - before == 1, answer
    for word in ("'p-box'", "hubfold-box 1.0", method):
        assert word in str(found[0])
    return str(found[0])


@pytest.mark.parametrize("method", ANSWERS)
@pytest.mark.parametrize(
    "place", ["{outside}/model/secret", "{root}/../outside/model/secret", "{root}-beside/x", "/", "{above}"]
)
def test_what_lies_outside_is_no_answer(hostile: Hostile, method: str, place: str) -> None:
    root = hostile.root.path
    path = place.format(outside=hostile.outside, root=root, above=os.path.dirname(root))
    for answer in ANSWERS[method](root, path):
        refused(hostile, method, answer)


@pytest.mark.parametrize("method", sorted(ANSWERS.keys() - {"snapshots"}))
def test_what_lies_behind_a_symlink_is_no_answer(hostile: Hostile, method: str) -> None:
    root = hostile.root.path
    for path in (f"{root}/link/model/secret", f"{root}/link/secret", f"{root}/link/no/such"):
        for answer in ANSWERS[method](root, path):
            # What stays is only shown.
            if not _removal_in(answer).kept:
                told = refused(hostile, method, answer)
                assert "symlink" in told or "was not asked about" in told


@pytest.mark.parametrize("method", ["home_root", "lock_paths", "vault_places", "recognise"])
def test_what_will_be_followed_is_no_symlink_itself(hostile: Hostile, method: str) -> None:
    for answer in ANSWERS[method](hostile.root.path, f"{hostile.root.path}/link"):
        assert "symlink" in refused(hostile, method, answer)


@pytest.mark.parametrize(
    "method",
    sorted(
        ANSWERS.keys() - {"home_root", "lock_paths", "vault_places", "recognise", "still_needed", "reached"}
    ),
)
def test_a_symlink_may_be_removed_and_a_folded_file_read(hostile: Hostile, method: str) -> None:
    """A folded file is a symlink to elsewhere, and so is what a client made of it."""
    root = hostile.root.path
    for answer in ANSWERS[method](root, f"{root}/secret"):
        # Where something is put aside is entered.
        if not _removal_in(answer).aside:
            Box.faults[method] = lambda answer=answer: answer  # type: ignore[misc]
            hostile.ask(method)
    assert not list(hostile.faults)


@pytest.mark.parametrize("method", ["replicas", "parts", "content_path", "partial_path"])
def test_the_root_itself_is_no_file_of_it(hostile: Hostile, method: str) -> None:
    for answer in ANSWERS[method](hostile.root.path, hostile.root.path):
        refused(hostile, method, answer)


@pytest.mark.parametrize("method", ["removals", "all_removals"])
def test_where_something_is_put_aside_is_no_symlink(hostile: Hostile, method: str) -> None:
    root = hostile.root.path
    removal = Removal(root, "box", "acme/boxed", "model", aside=f"{root}/link")
    assert "symlink" in refused(hostile, method, [removal])


def test_a_few_links_of_a_layout_may_lie_behind_each_other(tmp_path: Path) -> None:
    root, doors, path = tmp_path / "root", set(), tmp_path / "root"
    for number in range(DEEP + 1):
        path.mkdir()
        (path / "door").symlink_to(tmp_path / str(number))
        path = tmp_path / str(number)
        doors.add(f"{root}{'/door' * (number + 1)}")
    path.mkdir()
    (path / "file").touch()
    territory = Territory(str(root), Bounds({"HOME": str(tmp_path)}), doors=lambda: doors)
    within_them = f"{root}{'/door' * DEEP}/file"
    assert territory.inside(within_them, "it") == within_them
    with pytest.raises(answers.Unfit, match="symlink"):
        territory.inside(f"{root}{'/door' * (DEEP + 1)}/file", "it")


@pytest.mark.parametrize("method", ["lock_paths", "vault_places"])
def test_only_our_own_layouts_have_something_beside_a_root(hostile: Hostile, method: str) -> None:
    """A root can be a repository or a shelf of a cache, whose locks and vault lie beside it."""
    above = os.path.dirname(hostile.root.path)
    [answer, *_] = ANSWERS[method](hostile.root.path, f"{above}/beside/x")
    Box.faults[method] = lambda: answer
    ours = GuardedBackend(Box(), OWN, hostile.faults, Bounds())
    asked = {
        "lock_paths": lambda: ours.lock_paths(hostile.root, f"{hostile.root.path}/x"),
        "vault_places": lambda: ours.vault_places(hostile.root),
    }
    assert list(asked[method]()) == answer
    refused(hostile, method, answer)


def test_only_our_own_layouts_have_parts_behind_symlinks(hostile: Hostile) -> None:
    link = f"{hostile.root.path}/link"
    assert "symlinks" in refused(hostile, "reached", [link])
    removal = Removal(hostile.root.path, "box", "acme/boxed", "model", content=(f"{link}/model/secret",))
    Box.faults = {"reached": lambda: [link], "removals": lambda: iter([removal])}
    ours = GuardedBackend(Box(), OWN, hostile.faults, Bounds())
    [found] = ours.removals(hostile.root, "model", "acme/boxed", None, hostile.walk())
    assert found.content == removal.content and not list(hostile.faults)
    # A symlink behind it is none of the layout.
    (hostile.outside / "further").symlink_to(hostile.home)
    Box.faults["removals"] = lambda: iter([replace(removal, content=(f"{link}/further/secret",))])
    with pytest.raises(BackendFault):
        ours.removals(hostile.root, "model", "acme/boxed", None, hostile.walk())
    assert "behind the symlink" in str(*hostile.faults)


@pytest.mark.parametrize("unit", ["elsewhere", "boxed/model", "boxed/model.safetensors"])
def test_what_appears_as_a_whole_is_a_folder_above_the_part(hostile: Hostile, unit: str) -> None:
    refused(hostile, "place", PartPlace(0, unit))


# roots


@pytest.mark.parametrize(
    "place", ["/", "{home}", "{home}/", "{above}", "{link}", "~", "relative", "{root_home}"]
)
def test_no_plugin_finds_a_home_or_the_whole_machine_by_itself(hostile: Hostile, place: str) -> None:
    link = hostile.home.parent / "to-home"
    link.symlink_to(hostile.home)
    path = place.format(
        home=hostile.home, above=hostile.home.parent, link=link, root_home=pwd.getpwuid(0).pw_dir
    )
    Box.faults["default_roots"] = lambda: [path, str(hostile.home / "models")]
    assert hostile.ask("default_roots") == [str(hostile.home / "models")], "the others are its roots"
    assert len(hostile.faults) == 1


def test_a_home_is_a_root_where_the_user_named_it_and_not_where_a_plugin_meets_it(hostile: Hostile) -> None:
    home = str(hostile.home)
    assert hostile.backend.recognise(home, ["BOX"]) == home
    assert hostile.backend.recognise(home, ["BOX"], met=True) is None
    assert "home directory" in str(*hostile.faults)


# without end


#: Where an answer without end is one.
SEVERAL = sorted(
    {*ANSWERS, "default_roots"} - {"recognise", "content_path", "partial_path", "home_root", "reached"}
)


@pytest.mark.parametrize("method", SEVERAL)
def test_an_answer_without_end_comes_to_one(
    hostile: Hostile, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MOST", 2000)
    root = hostile.root.path
    taken = []
    good: dict[str, Any] = {
        "default_roots": f"{hostile.home}/x",
        "lock_paths": f"{root}/x.lock",
        "vault_places": f"{root}/.hubfold",
        "still_needed": f"{root}/boxed/model.safetensors",
    }
    one = good.get(method) or ANSWERS[method](root, f"{root}/boxed/x")[0][0]

    def endless() -> Iterator[Any]:
        for number in itertools.count():
            taken.append(number)
            yield one

    Box.faults[method] = endless
    if method in TOTAL:
        hostile.ask(method)
    else:
        with pytest.raises(BackendFault):
            hostile.ask(method)
    assert "more than" in str(*hostile.faults)
    assert len(taken) < 2100


def test_a_million_rows_are_taken_where_the_walk_has_shown_them(
    hostile: Hostile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(answers, "MOST", 10)
    for number in range(50):
        (Path(hostile.root.path) / f"{number}.safetensors").touch()
    assert len(hostile.ask("replicas")) > 50
    assert not list(hostile.faults)


def test_warnings_without_end_come_to_one(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "MOST", 100)

    class Loud(Box):
        def snapshots(self, root: Root, walk: Any) -> Iterator[Snapshot]:
            while True:
                walk.warn(root.path, "look at this")

    walk = hostile.walk()
    with pytest.raises(BackendFault):
        GuardedBackend(Loud(), ORIGIN, hostile.faults).snapshots(hostile.root, walk)
    assert len(walk.warnings) == 100


def test_every_method_that_names_a_path_was_tried() -> None:
    assert ANSWERS.keys() == {*METHODS} - {
        "default_roots",
        "further",
        "model_named",
        "place",
        "arranged",
        "shown",
    }


def test_what_is_arranged_reads_files_of_the_offer_and_no_others(hostile: Hostile) -> None:
    assert "no file of the offer" in refused(
        hostile, "arranged", [ModelPart("boxed/x", f"{hostile.outside}/x")]
    )


@pytest.mark.parametrize(
    ("shown", "told"),
    [
        ([ShownFile("../x", content="")], "'../x'"),
        ([ShownFile("/etc/x", content="")], "'/etc/x'"),
        ([ShownFile("a/.hubfold-1/x", content="")], "hubfold's own"),
        ([ShownFile("x", "no.safetensors")], "no file of the model"),
        ([ShownFile("x")], "not one of"),
        ([ShownFile("x", "no.safetensors", "")], "not one of"),
        ([ShownFile("x", content=""), ShownFile("x", content="1")], "one name"),
        ([ShownFile("x", content=""), ShownFile("x/y/z", content="")], "lies below 'x'"),
    ],
)
def test_what_a_program_is_shown_has_names_of_its_own_below_the_root(
    hostile: Hostile, shown: list[ShownFile], told: str
) -> None:
    assert told in refused(hostile, "shown", shown)
