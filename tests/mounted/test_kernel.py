"""The pure way of a path through mounts, held against a mount namespace in which the kernel goes it."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold.mounted.look import Looks
from hubfold.mounted.mounts import Mount, View
from tests.building import boxes
from tests.building.tiers import tries

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")

NAMES = ("a", "b", "c")


def grown(chance: random.Random, top: Path) -> list[Path]:
    """A random tree of folders, files and symlinks: relative and absolute, to what is there, was never there, or is
    the way to itself. Returns everything in it."""
    folders = [top]
    for _ in range(chance.randrange(3, 8)):
        folder = chance.choice(folders) / chance.choice(NAMES)
        folder.mkdir(exist_ok=True)
        folders.append(folder)
    for number in range(chance.randrange(2, 6)):
        (chance.choice(folders) / f"file{number}").write_text("x")
    there = [*top.rglob("*")]
    for number in range(chance.randrange(4, 14)):
        link = chance.choice(folders) / f"link{number}"
        goal = chance.choice([*there, top / "gone", link])
        text = str(goal) if chance.random() < 0.3 else os.path.relpath(goal, link.parent)
        text = chance.choice(
            [text, text, text, "./" + text if text[0] != "/" else text, text + "/", text + "/.."]
        )
        if chance.random() < 0.2:
            text = chance.choice([f"/m0/{goal.relative_to(top)}", f"../{text.lstrip('/')}", "/m1/a", "/"])
        link.symlink_to(text)
        there.append(link)
    return there


def mounted(chance: random.Random, top: Path, there: list[Path]) -> list[Mount]:
    """The tree, or parts of it, at one to four paths, in the order in which a runtime mounts them."""
    folders = [path for path in [top, *there] if path.is_dir() and not path.is_symlink()]
    found: dict[str, Mount] = {}
    for number in range(chance.randrange(1, 5)):
        source = str(chance.choice(folders))
        places = [f"/m{number}", f"/deep/er/m{number}", source, "/m0/nested", f"/m0/nested/m{number}"]
        target = chance.choice(places)
        found[target] = Mount(source, target)
    return sorted(found.values(), key=lambda mount: mount.target.count("/"))


def tried(seed: int, folder: Path) -> Iterator[tuple[str, str | None, str | None]]:
    """(path in the container, what the kernel reaches by it, what the view says)."""
    chance = random.Random(seed)
    top = folder / "host"
    for path in (top, folder / "root"):
        path.mkdir(parents=True)
    there = grown(chance, top)
    mounts = mounted(chance, top, there)
    view = View(mounts, Looks())
    shown = [path for one in there for path in view.shown(str(one))]
    said = boxes.seen(folder / "root", [(mount.source, mount.target) for mount in mounts], shown)
    for path in shown:
        found = view.reach(path)
        yield path, said[path], found.at if found.there else None
    shutil.rmtree(folder)


@pytest.mark.parametrize("seed", range(tries(4, 300)))
def test_the_view_reaches_what_the_kernel_reaches(seed: int, tmp_path: Path) -> None:
    looked = list(tried(seed, tmp_path / "x"))
    assert {path: view for path, _, view in looked} == {path: kernel for path, kernel, _ in looked}
