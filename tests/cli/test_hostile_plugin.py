"""A plugin that leads out of its root changes no byte there, whatever is asked of it, and is named.

Answer by answer this is held in `tests/backend/test_territory.py`; here by what a user does.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hubfold.backend import Leftover, LeftoverKind, ModelPart, PartPlace, Removal, ShownFile
from hubfold.backend.changes import Gap, Offer, OfferedFile, SharedPayload
from hubfold.cli.errors import FAILED, SOME_LEFT, USAGE
from hubfold.content import LinkKind, Partial, Replica, Snapshot, SnapshotFile
from hubfold.testing.contract import snapshot as census
from hubfold.testing.trees import Tree
from tests import CHECKOUT
from tests.building import loud, plugin
from tests.building.plugin import METHODS, Box
from tests.building.program import Program
from tests.cli import test_faulty_plugin
from tests.cli.test_faulty_plugin import FAULT, Scene

pytestmark = pytest.mark.slow

SECRET = b"b" * (2 << 20)
#: Two caches, a copy and a box: the fixture of the faulty plugin.
world = test_faulty_plugin.scene


class Hostile:
    """What a box answers that means to reach a user's folder: by a path, or by a symlink in the box."""

    def __init__(self, scene: Scene, way: str) -> None:
        self.scene = scene
        self.root = str(scene.box)
        self.documents = scene.tree.folder / "documents"
        (self.documents / "deep").mkdir(parents=True)
        for name in ("secret.safetensors", "deep/model.safetensors"):
            # The box's own bytes: whoever believes in these files would fold them.
            (self.documents / name).write_bytes(SECRET)
        (self.documents / "begun.part").write_bytes(b"begun")
        (scene.box / "copy.safetensors").write_bytes(SECRET)
        (scene.box / "link").symlink_to(self.documents)
        self.out = {
            "absolute": str(self.documents),
            "dots": f"{self.root}/../documents",
            "symlink": f"{self.root}/link",
        }[way]
        self.path = f"{self.out}/secret.safetensors"

    def answer(self, method: str) -> Callable[[], Any]:
        return {
            "recognise": lambda: self.out,
            "default_roots": lambda: [
                "/",
                str(Path.home()),
                os.environ["HOME"],
                f"{self.root}/../documents",
                "box",
            ],
            "further": lambda: ["/", os.environ["HOME"], f"{self.root}/../documents", "box"],
            "home_root": lambda: self.out,
            "model_named": lambda: ("model", f"{self.out}/secret", self.path),
            "notes": lambda: [self.path],
            "vault_places": lambda: [f"{self.out}/vault"],
            "replicas": lambda: iter([Replica(self.path, os.stat(self.path), {"sha256": "0" * 64})]),
            "snapshots": lambda: iter([self._snapshot()]),
            "lock_paths": lambda: [f"{self.out}/x.lock", f"{self.out}/new/folder/x.lock"],
            "removals": lambda: iter([self._removal()]),
            "all_removals": lambda: iter([self._removal()]),
            "leftovers": lambda: iter([Leftover(LeftoverKind.INTERRUPTED, self.path, self._removal(), 0)]),
            "still_needed": lambda: [self.path],
            "content_path": lambda: f"{self.out}/new.safetensors",
            "partial_path": lambda: f"{self.out}/new.safetensors.incomplete",
            "parts": lambda: iter([ModelPart("boxed/secret", self.path)]),
            "place": lambda: PartPlace(0, "../documents"),
            "offers": lambda: iter([self._offer()]),
            "arranged": lambda: iter([ModelPart("boxed/secret", self.path)]),
            "shown": lambda: iter([ShownFile("../documents/new.safetensors", content="x")]),
            "reached": lambda: [self.out],
            "gaps": lambda: iter([Gap(f"{self.out}/hole", {"sha256": hashlib.sha256(SECRET).hexdigest()})]),
        }[method]

    def _offer(self) -> Offer:
        files = (OfferedFile("secret.safetensors", self.path, "sha256"),)
        return Offer(self.out, files, "acme/boxed", revision="a" * 40)

    def _snapshot(self) -> Snapshot:
        file = SnapshotFile("secret.safetensors", self.path, len(SECRET))
        partial = Partial(f"{self.out}/begun.part", 5)
        return Snapshot(
            "acme/boxed", "model", "a" * 40, ("main",), self.out, (file,), self.out, None, (partial,)
        )

    def _removal(self) -> Removal:
        deep = f"{self.out}/deep"
        return Removal(
            self.root,
            "box",
            "acme/boxed",
            "model",
            path=self.out,
            revisions=("a" * 40,),
            whole=True,
            links=(self.path,),
            refs=(self.path,),
            folders=(deep,),
            inside=(f"{deep}/model.safetensors",),
            aside=self.out,
            records=(self.path,),
            content=(self.path,),
            payloads=(SharedPayload(self.path, self.path),),
            empty=(self.out,),
        )


FOLD, REMOVE, SAVE = ["consolidate", "-y"], ["rm", "acme/boxed", "-y"], ["backup", "{}/backup"]
#: What a user does that asks the method, and changes something.
COMMANDS: dict[str, list[list[str]]] = {
    "recognise": [["scan"], ["roots"], FOLD, REMOVE],
    "default_roots": [["scan"], ["roots"], FOLD],
    "further": [["scan"], FOLD],
    "model_named": [["rm", "box:acme/boxed", "-y"], ["path", "box:acme/boxed"], ["check", "box:acme/boxed"]],
    "notes": [["scan"], FOLD],
    "home_root": [["roots"], ["register", "x", "org/x", "--path", "{}/elsewhere"]],
    "vault_places": [FOLD, ["undo", "-y"], ["gc", "-y"]],
    "replicas": [["scan"], FOLD, ["undo", "-y"], ["doctor", "--fix", "-y"]],
    "snapshots": [["ls", "--files"], SAVE, REMOVE, ["farm", "{}/farm", "acme/boxed"]],
    "lock_paths": [FOLD, ["undo", "-y"], ["clean", "--older-than", "0", "-y"], REMOVE],
    "removals": [["rm", "acme/boxed", "--revision", "main", "-y"]],
    "all_removals": [["ls"], REMOVE],
    "leftovers": [["clean", "--older-than", "0", "-y"]],
    "still_needed": [["clean", "--older-than", "0", "-y"], REMOVE],
    "content_path": [["download", "org/other"], ["restore", "{}/none", "-y"]],
    "partial_path": [["download", "org/other"]],
    "parts": [SAVE, ["restore", "{}/backup", "--into", "{}/box", "-y"]],
    "place": [SAVE, ["restore", "{}/backup", "--into", "{}/box", "-y"]],
    "offers": [["adopt", "{}/box", "-y"]],
    "arranged": [["adopt", "{}/models", "--repo", "acme/boxed", "--into", "{}/box", "-y"]],
    "shown": [["farm", "--for", "box", "{}/shown"]],
    "reached": [["scan"], ["ls"], FOLD, REMOVE],
    "gaps": [["doctor", "--fix", "-y"]],
}


@pytest.mark.parametrize("way", ["absolute", "symlink"])
@pytest.mark.parametrize("method", METHODS)
def test_nothing_outside_changes_and_the_plugin_is_named(world: Scene, method: str, way: str) -> None:
    hostile = Hostile(world, way)
    before = census(hostile.documents)
    Box.faults[method] = hostile.answer(method)
    told = []
    for command in COMMANDS[method]:
        Box.calls.clear()
        arguments = [word.format(world.tree.folder) for word in command]
        code, _, lines = world(*arguments)
        assert code in (0, SOME_LEFT, FAILED, USAGE), (arguments, world.err)
        assert census(hostile.documents) == before, arguments
        told += [line for line in lines if FAULT + method in line]
        if told and world.asked(method):
            assert (bool(code), len(lines)) == (True, 1), (arguments, world.err)
    # A cache that is not the client's own is asked nothing by `download`, a layout that tells of nothing dangling of no
    # gaps, one that is no cache for no arrangement; what a snapshot names is only shown, and the documents lie in the
    # very folder whose root is asked for.
    # A name that a layout makes up is looked for, and is nowhere.
    silent = method in ("content_path", "partial_path", "gaps", "arranged", "model_named")
    assert told or silent or (way, method) in (("symlink", "snapshots"), ("absolute", "home_root"))


def test_a_download_into_a_faulty_cache_puts_nothing_elsewhere(world: Scene) -> None:
    hostile = Hostile(world, "symlink")
    before = census(hostile.documents)
    Box.faults["content_path"] = hostile.answer("content_path")
    for command in (["download", "org/other"], ["download", "org/base", "--dry-run"]):
        world(*command)
        assert census(hostile.documents) == before


def test_a_link_in_the_root_may_be_removed_and_where_it_leads_nothing_is(world: Scene) -> None:
    hostile = Hostile(world, "symlink")
    before = census(hostile.documents)
    link = world.box / "boxed/link.safetensors"
    link.symlink_to(hostile.documents / "secret.safetensors")
    plain = Removal(hostile.root, "box", "acme/boxed", "model", path=f"{hostile.root}/boxed", whole=True)
    Box.faults["all_removals"] = lambda: iter([replace(plain, content=(str(link),))])
    world("scan")
    code, _, told = world("rm", "acme/boxed", "-y", "--with-links")
    assert (code, told) == (0, []), world.err
    assert not os.path.lexists(link)
    assert census(hostile.documents) == before


def test_a_snapshot_that_says_it_lies_elsewhere_is_no_removal_of_what_lies_there(world: Scene) -> None:
    """A local copy is removed by the folder that its snapshot names; the folder of another is not."""
    hostile = Hostile(world, "symlink")
    before = census(hostile.documents)
    Box.faults["snapshots"] = hostile.answer("snapshots")
    for command in (
        ["rm", hostile.out, "-y"],
        ["rm", str(hostile.documents), "-y"],
        ["rm", "acme/boxed", "-y"],
    ):
        world(*command)
        assert census(hostile.documents) == before


@pytest.mark.parametrize(
    ("links", "good"),
    [
        (frozenset(LinkKind), True),
        (frozenset({"hardlink"}), False),
        (frozenset({"copy"}), False),
        ({LinkKind.HARDLINK: 1}, False),
        ("hardlink", False),
    ],
)
def test_a_kind_of_link_that_there_is_not_comes_into_no_row(
    world: Scene,
    links: Any,
    good: bool,
) -> None:
    path = str(world.weights)
    Box.faults["replicas"] = lambda: iter([Replica(path, os.stat(path), links=links)])
    code, _, told = world("scan")
    assert (code == 0, not told) == (good, good)
    assert good or "links" in told[0]


# at the root of a drive that is away


def test_no_lock_file_grows_where_the_root_is_gone(world: Scene, tree: Tree) -> None:
    """The lock of a file that is about to be folded, while its folder is moved away."""
    (world.box / "copy.safetensors").write_bytes(SECRET)
    gone: list[str] = []

    def away() -> list[str]:
        if not gone:
            shutil.move(str(world.box), str(tree.folder / "elsewhere"))
        gone.append(f"{world.box}/.locks/deep/x.lock")
        return gone[:1]

    assert world("scan")[0] == 0
    Box.faults["lock_paths"] = away
    code, _, _ = world("consolidate", "-y")
    assert gone
    assert code == SOME_LEFT
    assert not world.box.exists(), [*world.box.rglob("*")]


# without end


@pytest.mark.slow
@pytest.mark.parametrize(("method", "command"), [("snapshots", "ls"), ("replicas", "scan")])
def test_what_never_ends_ends_within_its_memory(
    hubfold: Program, tmp_path: Path, method: str, command: str
) -> None:
    loud.install(tmp_path / "plugin")
    plugin.fill(tmp_path / "box")
    hubfold.environ["PYTHONPATH"] = f"{tmp_path / 'plugin'}:{CHECKOUT}"
    assert hubfold.started("roots", "add", tmp_path / "box").code == 0
    assert hubfold.started("scan").code == 0
    hubfold.environ["FLOOD"] = method
    hubfold.prefix = ["sh", "-c", 'ulimit -v 3000000; exec "$@"', "sh"]
    done = hubfold.started(command)
    assert done.code == 3, done.err
    assert (
        f"plugin 'loud' of hubfold-loud 1.0 failed in {method} of box: there are more than"
        in done.out + done.err
    )
