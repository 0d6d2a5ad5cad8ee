"""Real users, ACLs and file systems: nobody's access changes, and nobody folds what he could not take back."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hubfold import display
from hubfold.access import ACL, DEFAULT_ACL
from tests.building import tree
from tests.building.people import Person, acl, give, open_place

from .commands import Ran, User, must
from .filesystems import Mounts, need_root, run

pytestmark = pytest.mark.slow

ALICE, BOB = User(40_001, 40_001), User(40_002, 40_002)
READERS = {name: Person(user.uid, (user.gid,)) for name, user in (("alice", ALICE), ("bob", BOB))}
READERS["other"] = Person(40_003, (40_003,))


@pytest.fixture
def place() -> Iterator[str]:
    need_root()
    with open_place() as made:
        yield str(made)


def plain(path: str, owner: User, mode: int = 0o644, data: bytes | None = None) -> str:
    """A model file in a folder of its own, both `owner`'s."""
    tree.write(path, tree.model("weights") if data is None else data)
    folder = os.path.dirname(path)
    give(Path(folder), owner.uid, owner.gid, 0o755)
    give(Path(path), owner.uid, owner.gid, mode)
    return path


def hub(place: str, owner: User, mode: int = 0o644) -> tuple[str, str]:
    """A cache with one model in it; the cache, and its blob."""
    cache = os.path.join(place, "hf/hub")
    blob = next(iter(tree.cache(cache, "org/one", {"model.safetensors": tree.model("weights")}).values()))
    for folder, _, names in os.walk(os.path.join(place, "hf")):
        give(Path(folder), owner.uid, owner.gid, 0o755)
        for name in names:
            os.chown(os.path.join(folder, name), owner.uid, owner.gid, follow_symlinks=False)
    os.chmod(blob, mode)
    return cache, blob


def home(place: str, user: User) -> dict[str, str]:
    own = os.path.join(place, f"home-{user.uid}")
    os.makedirs(own, exist_ok=True)
    os.chown(own, user.uid, user.gid)
    return {
        "HUBFOLD_HOME": os.path.join(own, "state"),
        "HOME": own,
        "XDG_CACHE_HOME": os.path.join(own, "cache"),
    }


def consolidate(place: str, *argv: str, user: User | None = None, good: tuple[int, ...] = (0,)) -> Ran:
    env = home(place, user) if user is not None else None
    return must(place, "consolidate", *argv, "-y", "--json", user=user, env=env, good=good)


def why(ran: Ran) -> dict[str, str]:
    return {entry["path"]: entry["reason"] for entry in ran.json["skipped"]}


def links(ran: Ran) -> dict[str, str]:
    return {action["path"]: action["link"] for action in ran.json["actions"]}


def who(*paths: str) -> dict[str, tuple[bool, ...]]:
    return {name: person.reads(*paths) for name, person in READERS.items()}


# -- who may read -----------------------------------------------------------------------------------------------------


def test_files_that_two_users_may_read_each_for_himself_stay_two(place: str) -> None:
    cache, blob = hub(place, ALICE, 0o600)
    copy = plain(os.path.join(place, "bob/m.safetensors"), BOB, 0o600)
    before = who(blob, copy)
    assert before == {"alice": (True, False), "bob": (False, True), "other": (False, False)}
    ran = consolidate(place, cache, os.path.dirname(copy), "--across-owners")
    assert links(ran) == {} and "could not read it any more" in why(ran)[copy]
    assert who(blob, copy) == before


@pytest.mark.parametrize("asked", [(), ("--link", "symlink")], ids=["auto", "symlink"])
@pytest.mark.parametrize("shut", ["mode", "acl"])
def test_a_cache_behind_a_closed_folder(place: str, asked: tuple[str, ...], shut: str) -> None:
    cache, blob = hub(place, ALICE)
    copy = plain(os.path.join(place, "shared/m.safetensors"), ALICE)
    above = os.path.join(place, "hf")
    if shut == "mode":
        os.chmod(above, 0o700)
    else:
        os.setxattr(above, ACL, acl(0o755, users=[(BOB.uid, 0)]))
    before = who(copy)
    assert before == {"alice": (True,), "bob": (True,), "other": (True,)}
    ran = consolidate(place, cache, os.path.dirname(copy), *asked)
    shut_out = "other users" if shut == "mode" else f"user {BOB.uid}"
    if asked:
        assert links(ran) == {}
        assert (
            why(ran)[copy] == f"{shut_out} could not read it any more by a symlink: {above} is closed to them"
        )
    else:
        assert links(ran) == {copy: "hardlink"} and shut_out in ran.json["actions"][0]["reason"]
        assert os.stat(copy).st_ino == os.stat(blob).st_ino
    assert who(copy) == before
    assert not os.path.exists(os.path.join(above, "hubfold/objects"))


def test_a_model_in_a_closed_repository_gets_no_name_that_others_reach(place: str) -> None:
    cache, blob = hub(place, ALICE)
    repository = os.path.dirname(os.path.dirname(blob))
    os.chmod(repository, 0o700)
    copy = plain(os.path.join(place, "alice/m.safetensors"), ALICE)
    os.chmod(os.path.dirname(copy), 0o700)
    ran = consolidate(place, cache, os.path.dirname(copy))
    assert links(ran) == {copy: "hardlink"}
    everything = [
        os.path.join(f, n) for f, _, names in os.walk(place) for n in names if not n.startswith(".")
    ]
    models = [path for path in everything if os.stat(path).st_ino == os.stat(blob).st_ino]
    assert len(models) >= 2
    assert not any(READERS["other"].reads(*models)) and any(READERS["alice"].reads(*models))


@pytest.mark.parametrize("mask", [0o077, 0o022, 0o007])
def test_whatever_the_umask_all_readers_of_a_cache_reach_its_vault(place: str, mask: int) -> None:
    """By an ordinary user; the folder of the cache has an ACL that it gives to what is made in it."""
    cache, _ = hub(place, ALICE)
    os.setxattr(os.path.join(place, "hf"), DEFAULT_ACL, acl(0o700, users=[(BOB.uid, 0)]))
    copy = plain(os.path.join(place, "alice/m.safetensors"), ALICE)
    before = who(copy)
    ran = consolidate(place, cache, os.path.dirname(copy), user=replace(ALICE, umask=mask))
    assert links(ran) == {copy: "symlink"}, ran.json
    assert who(copy) == before == {"alice": (True,), "bob": (True,), "other": (True,)}
    must(place, "undo", "-y", user=ALICE, env=home(place, ALICE))
    assert os.listxattr(copy) == [] and os.lstat(copy).st_mode & 0o777 == 0o644


# -- what can be taken back -------------------------------------------------------------------------------------------


def test_what_a_user_could_not_make_again_he_does_not_fold(place: str) -> None:
    cache, _ = hub(place, ALICE)
    models = os.path.join(place, "alice")
    ours = plain(os.path.join(models, "a/m.safetensors"), ALICE)
    group = plain(os.path.join(models, "b/m.safetensors"), ALICE)
    capable = plain(os.path.join(models, "c/m.safetensors"), ALICE)
    os.chown(group, ALICE.uid, BOB.gid)
    # linux/capability.h: version 2, and cap_net_bind_service, permitted.
    os.setxattr(capable, "security.capability", bytes.fromhex("0000000200040000000000000000000000000000"))
    give(Path(models), ALICE.uid, ALICE.gid, 0o755)
    before = tree.census(models)
    ran = consolidate(place, cache, models, "--across-owners", user=ALICE)
    assert list(links(ran)) == [ours]
    assert f"its group {BOB.gid} is none of yours" in why(ran)[group]
    assert "security.capability is not yours to set" in why(ran)[capable]
    must(place, "undo", "-y", user=ALICE, env=home(place, ALICE))
    assert tree.differences(before, models) == []
    # root may, and gives all of it back.
    assert set(links(consolidate(place, cache, models))) == {ours, group, capable}
    must(place, "undo", "-y")
    assert tree.differences(before, models) == []


def test_another_users_file_in_a_folder_of_both(place: str) -> None:
    """Alice may replace it there, but could not make a file of Bob's again."""
    cache, _ = hub(place, ALICE)
    copy = plain(os.path.join(place, "both/m.safetensors"), BOB)
    os.chmod(os.path.dirname(copy), 0o777)
    ran = consolidate(place, cache, os.path.dirname(copy), "--across-owners", user=ALICE)
    assert links(ran) == {} and f"it belongs to user {BOB.uid}" in why(ran)[copy]


# -- as many names as there can be, and refused links ---------------------------------------------------------------


def test_at_the_limit_of_links_of_a_real_file_system(mounts: Mounts) -> None:
    place = mounts.image("ext4").path
    cache, blob = hub(place, User(0, 0))
    # Hard links, as for files that tolerate no symlink.
    copies = [plain(os.path.join(place, f"{name}/m.safetensors"), User(0, 0)) for name in "abc"]
    spare = os.path.join(place, "spare")
    os.mkdir(spare)
    for number in range(64_999):
        os.link(blob, os.path.join(spare, str(number)))
    with pytest.raises(OSError, match="Too many links"):
        os.link(blob, os.path.join(spare, "one-more"))
    for asked in ("hardlink", "symlink"):
        ran = consolidate(place, cache, *(os.path.dirname(copy) for copy in copies), "--link", asked)
        assert set(links(ran)) == set(copies[1:]), asked
        assert "has as many names as its file system allows" in why(ran)[copies[0]]
        assert {os.stat(copy).st_ino for copy in copies} == {os.stat(copies[0]).st_ino}
        must(place, "undo", "-y")
        assert len({os.lstat(copy).st_ino for copy in (blob, *copies)}) == 4
        assert all(os.lstat(copy).st_nlink == 1 for copy in copies[1:])


def test_files_that_are_written_in_place_on_btrfs(mounts: Mounts) -> None:
    place = mounts.image("btrfs").path
    cache, blob = hub(place, User(0, 0))
    in_place = os.path.join(place, "vm")
    os.mkdir(in_place)
    run("chattr", "+C", in_place)
    copies = [plain(os.path.join(in_place, f"{name}.safetensors"), User(0, 0)) for name in "ab"]
    elsewhere = plain(os.path.join(place, "other/m.safetensors"), User(0, 0))
    before = tree.census(place)
    ran = consolidate(place, cache, in_place, os.path.dirname(elsewhere))
    assert links(ran) == {elsewhere: "reflink", **dict.fromkeys(copies, "symlink")}
    assert os.stat(copies[0]).st_ino == os.stat(blob).st_ino
    assert tree.losses(before, place) == []
    must(place, "undo", "-y")
    must(place, "gc", "-y")
    assert tree.differences(before, place) == []


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs"])
def test_undo_of_a_file_with_holes_takes_what_it_said(mounts: Mounts, kind: str) -> None:
    place = mounts.image(kind).path
    data = tree.model("head") + bytes(8 << 20) + tree.model("tail")
    full = plain(os.path.join(place, "a/m.safetensors"), User(0, 0), data=data)
    thin = os.path.join(place, "b/m.safetensors")
    os.mkdir(os.path.dirname(thin))
    run("cp", "--sparse=always", "--reflink=never", full, thin)
    shutil.copystat(full, thin)
    takes = os.stat(thin).st_blocks * 512
    ran = consolidate(place, os.path.dirname(full), os.path.dirname(thin), "--link", "symlink")
    assert links(ran) == {full: "symlink"}
    said = must(place, "undo", "--dry-run").stdout
    must(place, "undo", "-y")
    with open(full, "rb") as file:
        assert file.read() == data
    assert f"{display.size(takes)} needed" in said
    assert os.stat(full).st_blocks * 512 == takes
