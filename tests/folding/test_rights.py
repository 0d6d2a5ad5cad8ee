"""Nobody's access changes (invariant 13): judged of classes of users, and tried with real ones."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold.access import ACL, DEFAULT_ACL, OPEN, Permissions, Way
from hubfold.content import LinkKind
from hubfold.folding.planner import Policy
from hubfold.folding.rights import Makes, Standing, no_link, no_symlink, no_way_back
from hubfold.vault import objects
from tests.building.folding import Scene
from tests.building.people import Person, acl, give, open_place
from tests.building.tiers import tries

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to act for other users")
MODEL = os.urandom(1 << 14)
ME, MINE = 40_001, 40_101
NOBODY: frozenset[tuple[int, int]] = frozenset()


def file(mode: int, uid: int = ME, gid: int = MINE) -> Permissions:
    return Permissions.of(uid, gid, mode)


def way(*modes: int) -> Way:
    return Way.through(Permissions.of(ME, MINE, mode, path=f"/{mode:o}") for mode in modes)


def at(mode: int, *folders: int, path: str = "/a") -> Standing:
    return Standing(path, file(mode), way(*folders))


# -- a link and its target -------------------------------------------------------------------------------------------


def test_a_link_gives_and_takes_nothing_that_somebody_could_use() -> None:
    assert no_link(at(0o644), at(0o644), NOBODY) is None
    assert "fewer users" in str(no_link(at(0o644), at(0o600), NOBODY))
    assert "more users" in str(no_link(at(0o600), at(0o644), NOBODY))
    # Below a folder of one's own nobody else comes to either, but what is open there stays open when that is opened.
    assert no_link(at(0o600, 0o700), at(0o644, 0o700), NOBODY) is None
    assert "fewer users" in str(no_link(at(0o644, 0o700), at(0o600, 0o700), NOBODY))


def test_a_symlink_goes_no_way_that_a_reader_cannot_go() -> None:
    assert no_symlink(at(0o644), at(0o644), OPEN, NOBODY) is None
    assert no_symlink(at(0o644), at(0o644), way(0o700), NOBODY) == (
        "other users could not read it any more by a symlink: /700 is closed to them"
    )
    assert no_symlink(at(0o644, 0o700), at(0o644), way(0o700, 0o711), NOBODY) is None
    assert "members of group" in str(no_symlink(at(0o644, 0o750), at(0o644), way(0o700), NOBODY))


def test_what_lay_in_a_closed_folder_gets_no_name_in_an_open_one() -> None:
    kept = at(0o644, 0o700, path="/closed")
    assert "in the vault" in str(no_symlink(at(0o644, 0o700), kept, OPEN, NOBODY))
    assert no_symlink(at(0o644), kept, OPEN, NOBODY) is None  # the other file was open already


def test_a_link_in_a_sticky_folder_is_followed_for_its_owner_only() -> None:
    tmp = Standing("/tmp/m", file(0o644), Way(sticky=0))
    assert "everybody may write to its folder" in str(no_symlink(tmp, at(0o644), OPEN, NOBODY))
    assert no_symlink(tmp._replace(file=file(0o644, uid=0)), at(0o644), OPEN, NOBODY) is None
    assert no_link(tmp, at(0o644), NOBODY) is None


def test_what_an_ordinary_user_could_not_make_again() -> None:
    me = Makes(ME, frozenset({MINE}))
    assert no_way_back(file(0o644), MINE, None, me) is None
    assert "belongs to user 7" in str(no_way_back(file(0o644, uid=7), MINE, None, me))
    assert "group 7 is none of yours" in str(no_way_back(file(0o644, gid=7), 7, None, me))
    assert "security.capability is not yours" in str(
        no_way_back(file(0o644), MINE, "security.capability", me)
    )
    assert no_way_back(file(0o644, uid=7), 7, "security.capability", None) is None


# -- real files, real users ------------------------------------------------------------------------------------------

UIDS, GIDS = (40_001, 40_002, 40_003), (40_101, 40_102)
PEOPLE = [Person(uid, gids) for uid in UIDS for gids in ((40_101,), (40_103,))]
PEOPLE += [Person(UIDS[2], (40_102,)), Person(UIDS[2], GIDS)]
MODES = (0o600, 0o640, 0o644, 0o644, 0o604, 0o440, 0o664)
FOLDERS = (0o755, 0o755, 0o755, 0o750, 0o700, 0o711, 0o2775, 0o1777)


@pytest.fixture
def place() -> Iterator[Path]:
    with open_place() as made:
        yield made


@pytest.fixture
def scene(place: Path) -> Scene:
    return Scene(place)


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def permit_at_random(chance: random.Random, path: Path, modes: tuple[int, ...]) -> None:
    mode = chance.choice(modes)
    # Of few owners, so that files of one owner meet.
    give(path, chance.choice((*UIDS[:2], UIDS[0])), chance.choice(GIDS), mode)
    if chance.random() < 0.3:
        named = [(chance.choice(UIDS), chance.choice((0, 5, 7)))]
        groups = [(chance.choice((*GIDS, 40_103)), chance.choice((0, 5, 7)))]
        os.setxattr(path, ACL, acl(mode, named, groups, chance.choice((7, 5))))


def random_scene(base: Path, chance: random.Random) -> tuple[Scene, list[Path]]:
    base.mkdir(mode=0o755)
    scene = Scene(base)
    files = [scene.file(scene.cache, "blobs/x", MODEL)]
    for name in ("one", "two", "three")[: chance.choice((1, 2, 3))]:
        files.append(scene.file(scene.root(name), f"{chance.choice('az')}.safetensors", MODEL))
    for path in files:
        permit_at_random(chance, path, MODES)
    for folder in sorted({scene.base / "hf", scene.cache, *(path.parent for path in files)}):
        permit_at_random(chance, folder, FOLDERS)
    return scene, files


@ROOT
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 4))])
def test_whatever_the_permissions_everybody_reads_what_he_read(place: Path, umask: None, seed: int) -> None:
    chance = random.Random(seed)
    kinds: set[str] = set()
    for number in range(tries(2, 12)):
        scene, files = random_scene(place / str(number), chance)
        before = {person: person.reads(*files) for person in PEOPLE}
        attributes = {path: attributes_of(path) for path in files}
        asked = chance.choice((None, None, LinkKind.SYMLINK, LinkKind.HARDLINK))
        plan = scene.plan(*files, policy=Policy(link=asked, across_owners=True))
        outcomes = scene.apply(plan)
        assert [outcome.error for outcome in outcomes] == [""] * len(plan.actions)
        kinds |= {str(action.link) for action in plan.actions}
        objects = [path for path in scene.base.rglob("objects/*/*") if not path.name.endswith(".links")]
        for person in PEOPLE:
            now = person.reads(*files, *objects)
            assert now[: len(files)] == before[person], (number, person, plan)
            assert any(before[person]) or not any(now), (number, person, plan)
        if plan.actions:
            scene.undo()
        assert {path: attributes_of(path) for path in files} == attributes
    assert {"symlink", "hardlink"} <= kinds


def attributes_of(path: Path) -> tuple[object, ...]:
    st = os.lstat(path)
    return st.st_mode, st.st_uid, st.st_gid, {name: os.getxattr(path, name) for name in os.listxattr(path)}


@ROOT
def test_a_link_over_a_way_that_closed_since_the_plan_is_not_made(scene: Scene) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "m.safetensors", MODEL)
    plan = scene.plan(blob, copy)
    assert [str(action.link) for action in plan.actions] == ["symlink"]
    (scene.base / "hf").chmod(0o700)
    assert "closed to them" in scene.apply(plan)[0].error
    assert not copy.is_symlink() and Person(ME, (MINE,)).reads(copy) == (True,)


def test_a_mode_that_was_changed_while_files_were_compared_is_not_lost(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "m.safetensors", MODEL)
    plan = scene.plan(blob, copy)
    make = objects.add_object

    def meanwhile(*args: object) -> None:
        make(*args)  # type: ignore[arg-type]
        copy.chmod(0o640)

    monkeypatch.setattr(objects, "add_object", meanwhile)
    assert "changed meanwhile" in scene.apply(plan)[0].error
    assert not copy.is_symlink() and copy.stat().st_mode & 0o777 == 0o640


@ROOT
@pytest.mark.parametrize("mode", [0o755, 0o2775, 0o750, 0o711])
def test_a_vault_lets_in_whom_its_cache_lets_in(scene: Scene, umask: None, mode: int) -> None:
    """Not whom the umask and the folder's default ACL let in."""
    os.setxattr(scene.base / "hf", DEFAULT_ACL, acl(0o770, users=[(7, 7)]))
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "m.safetensors", MODEL)
    for folder in (scene.cache, blob.parent):
        if ACL in os.listxattr(folder):
            os.removexattr(folder, ACL)
        give(folder, ME, MINE, mode)
    for folder in (scene.base / "hf", copy.parent):
        folder.chmod(0o755)
    for path in (blob, copy):
        for name in os.listxattr(path):
            os.removexattr(path, name)
        give(path, ME, MINE, 0o644)
    copy.parent.chmod(mode & 0o777)
    give(copy.parent, ME, MINE, mode & 0o777)
    assert [outcome.error for outcome in scene.apply(scene.plan(blob, copy))] == [""]
    assert copy.is_symlink()
    folders = [scene.vault, *(path for path in scene.vault.rglob("*") if path.is_dir())]
    assert len(folders) == 3
    for folder in folders:
        assert attributes_of(folder)[:3] == attributes_of(scene.cache)[:3], folder
        assert os.listxattr(folder) == [name for name in os.listxattr(scene.cache) if name != ACL]


@ROOT
def test_undo_in_a_folder_that_gives_new_files_an_acl_leaves_none(scene: Scene) -> None:
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "m.safetensors", MODEL)
    before = attributes_of(copy)
    assert before[3] == {}
    scene.apply(scene.plan(blob, copy))
    os.setxattr(copy.parent, DEFAULT_ACL, acl(0o770, users=[(7, 7)]))
    os.setxattr(scene.vault, DEFAULT_ACL, acl(0o770, users=[(7, 7)]))
    assert scene.undo().restored == [str(copy)]
    assert attributes_of(copy) == before


def test_undo_in_a_folder_with_attributes_gives_back_those_that_were(scene: Scene) -> None:
    """An ACL that the file had is given back as it was, whatever its folder gives new files since."""
    blob = scene.file(scene.cache, "blobs/x", MODEL)
    copy = scene.file(scene.root("models"), "m.safetensors", MODEL)
    for path in (blob, copy):
        os.setxattr(path, ACL, acl(0o644, users=[(8, 4)]))
    os.setxattr(copy, "user.note", b"mine")
    before = attributes_of(copy)
    assert [outcome.error for outcome in scene.apply(scene.plan(blob, copy))] == [""]
    os.setxattr(copy.parent, DEFAULT_ACL, acl(0o770, users=[(7, 7)]))
    scene.undo()
    assert attributes_of(copy) == before


@pytest.mark.parametrize("names", [("a", "z"), ("z", "a")])
@pytest.mark.parametrize("closed", [True, False], ids=["closed", "open"])
def test_which_of_two_modes_may_keep_does_not_depend_on_names(
    scene: Scene, names: tuple[str, str], closed: bool
) -> None:
    root = scene.root("models")
    public, private = (scene.file(root, f"{name}/m.safetensors", MODEL) for name in names)
    for folder in (public.parent, private.parent, root):
        folder.chmod(0o755)
    public.chmod(0o644)
    private.chmod(0o600)
    if closed:
        root.chmod(0o700)
    plan = scene.plan(public, private)
    # Where others may come, they could read what was closed to them; below a closed folder they cannot.
    assert [action.path for action in plan.actions] == ([str(private)] if closed else [])
    scene.apply(plan)
    assert public.stat().st_mode & 0o444 == 0o444
