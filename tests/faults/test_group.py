"""Several users on one cache, each with a state of his own, a group in common and a umask that shuts everybody out."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import model_files
from tests.building import tree
from tests.building.people import Person, give, open_place

from .commands import User, must
from .filesystems import need_root
from .test_access import home

pytestmark = pytest.mark.slow

TEAM = 40_500
ALICE = User(40_001, 40_001, groups=(TEAM,), umask=0o077)
BOB = User(40_002, 40_002, groups=(TEAM,), umask=0o077)
READERS = [Person(user.uid, (user.gid, TEAM)) for user in (ALICE, BOB)]


@pytest.fixture
def place() -> Iterator[str]:
    need_root()
    with open_place() as made:
        yield str(made)


def shared(place: str) -> str:
    """A cache that the team may write to, with a model of each; each has a copy of his own, in a folder of his own."""
    top = os.path.join(place, "hf")
    cache = os.path.join(top, "hub")
    for user, name in ((ALICE, "one"), (BOB, "two")):
        tree.cache(cache, f"org/{name}", {"model.safetensors": tree.model(name)})
        tree.write(os.path.join(place, name, "model.safetensors"), tree.model(name))
        for below in (os.path.join(cache, f"models--org--{name}"), os.path.join(place, name)):
            for folder, _, names in os.walk(below):
                give(Path(folder), user.uid, TEAM, 0o2775)
                for file in names:
                    os.chown(os.path.join(folder, file), user.uid, TEAM, follow_symlinks=False)
    for folder in (top, cache):
        give(Path(folder), 0, TEAM, 0o2775)
    return cache


def as_user(place: str, user: User, *argv: str) -> None:
    ran = must(place, *argv, user=user, env=home(place, user), good=(0, 3))
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_both_fold_into_one_vault_and_take_it_back(place: str) -> None:
    cache = shared(place)
    copies = {name: os.path.join(place, name, "model.safetensors") for name in ("one", "two")}
    for user, name in ((ALICE, "one"), (BOB, "two")):
        as_user(place, user, "consolidate", cache, os.path.join(place, name), "--link", "symlink", "-y")
        assert os.path.islink(copies[name])
    vault = Path(place, "hf", "hubfold")
    assert {path.stat().st_gid for path in (vault, *vault.rglob("*"))} == {TEAM}
    for path in (*vault.rglob("*"), *map(Path, copies.values())):
        if path.is_file():
            assert all(reader.reads(path)[0] for reader in READERS), path
    notes = [path for path in vault.rglob("*") if path.name.endswith(".links") or path.name == ".lock"]
    assert notes and all(path.stat().st_mode & stat.S_IWGRP for path in notes)
    for step in (["doctor"], ["gc", "-y"], ["undo", "-y"]):
        for user in (BOB, ALICE):
            as_user(place, user, *step)
    as_user(place, BOB, "gc", "-y")
    assert not vault.exists()
    for name, copy in copies.items():
        assert not os.path.islink(copy)
        with open(copy, "rb") as file:
            assert file.read() == tree.model(name)


def test_what_the_client_of_one_downloads_the_other_reads(place: str) -> None:
    cache = shared(place)
    with LoopbackHub() as hub:
        hub.add("org/three", model_files("three"))
        online = {**home(place, ALICE), **hub.environ(), "HF_HUB_OFFLINE": "0"}
        must(place, "download", "org/three", "--into", cache, user=ALICE, env=online)
    made = [*Path(cache, "models--org--three").rglob("*")]
    assert {path.lstat().st_gid for path in made} == {TEAM}
    files = [path for path in made if path.is_file() and path.parent.name != "trees"]
    assert len(files) > 4 and all(READERS[1].reads(*files))
    # What a client writes for its user alone, whatever the umask, is told.
    closed = {str(path) for path in made if path.is_file() and not READERS[1].reads(path)[0]}
    ran = must(place, "doctor", "--json", user=ALICE, env=home(place, ALICE), good=(0, 3))
    told = {one["path"] for one in ran.json["findings"] if one["kind"] == "not-shared"}
    assert told <= closed and bool(told) == bool(closed)


def test_what_one_restores_all_read_and_all_may_go_on_with(place: str) -> None:
    cache = shared(place)
    backup = os.path.join(place, "backup")
    must(place, "roots", "add", cache)
    must(place, "backup", backup, "org/one")
    for folder, _, names in os.walk(backup):
        os.chmod(folder, 0o755)
        for name in names:
            os.chmod(os.path.join(folder, name), 0o644)
    fresh = os.path.join(place, "fresh")
    os.mkdir(fresh)
    give(Path(fresh), 0, TEAM, 0o2775)
    as_user(place, ALICE, "restore", backup, "--into", fresh, "-y")
    made = [*Path(fresh).rglob("*")]
    assert {path.lstat().st_gid for path in made} == {TEAM}
    files = [path for path in made if path.is_file()]
    assert files and all(READERS[1].reads(*files))
    assert all(path.stat().st_mode & 0o2070 == 0o2070 for path in made if path.is_dir())
    refs = [path for path in files if path.parent.name == "refs"]
    assert refs and all(path.stat().st_mode & stat.S_IWGRP for path in refs)
