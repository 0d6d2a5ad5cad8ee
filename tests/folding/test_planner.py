"""The planner alone: replicas in, plan out, no disk."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hubfold.backend.contract import Capabilities
from hubfold.content import VAULT, DuplicateSet, IndexedReplica, LinkKind, Role, Root, Signature, Trust
from hubfold.disk.filesystem import FileSystem
from hubfold.folding.plan import Plan
from hubfold.folding.planner import Policy, Surroundings, plan
from hubfold.vault import backend
from hubfold.vault.names import VaultPlace

SHA = "ab" * 32
DISK = FileSystem("/", 1, "ext4")
DRIVE = FileSystem("/drive", 2, "ext4")
BIND = FileSystem("/bind", 1, "ext4")
FAT = FileSystem("/fat", 3, "vfat", hardlink=False, symlink=False)
COW = FileSystem("/cow", 4, "btrfs", pool="btrfs:x")
SUBVOLUME = FileSystem("/cow", 5, "btrfs", pool="btrfs:x")

CACHE = Capabilities(cache=True, links=frozenset({LinkKind.REFLINK, LinkKind.HARDLINK}), private_objects=True)
CAPABILITIES = {
    "cache": CACHE,
    "plain": Capabilities(),
    "views": Capabilities(keeps=False),
    VAULT: backend.VaultBackend.capabilities,
}
ROOTS = {
    "/hub": Root("/hub", "cache", Role.PRIMARY),
    "/hub2": Root("/hub2", "cache"),
    "/drive/hub": Root("/drive/hub", "cache"),
    "/hubfold": Root("/hubfold", VAULT),
    "/models": Root("/models", "plain"),
    "/views": Root("/views", "views"),
    "/drive/models": Root("/drive/models", "plain"),
    "/bind": Root("/bind", "plain"),
    "/fat": Root("/fat", "plain"),
    "/cow": Root("/cow", "plain"),
    "/cow/sub": Root("/cow/sub", "plain"),
}
FILESYSTEMS = dict.fromkeys(ROOTS, DISK) | {
    "/drive/hub": DRIVE,
    "/drive/models": DRIVE,
    "/hubfold/objects/ab": DISK,
    "/bind": BIND,
    "/fat": FAT,
    "/cow": COW,
    "/cow/sub": SUBVOLUME,
}
VAULTS = {
    root: [
        VaultPlace("/hubfold" if root in ("/hub", "/hub2") else f"{root}/.hubfold", FILESYSTEMS[root], True)
    ]
    for root in ROOTS
    if root != "/hubfold"
}
SURROUNDINGS = Surroundings(CAPABILITIES, ROOTS, FILESYSTEMS, VAULTS)


def at(path: str, inode: int, **changes: object) -> IndexedReplica:
    root = max((root for root in ROOTS if path.startswith(root + "/")), key=len)
    device = FILESYSTEMS[root].device
    found = IndexedReplica(
        path,
        root,
        ROOTS[root].backend,
        Signature(device, inode, 4 << 20, 1000, 1000),
        4 << 20,
        1,
        0o644,
        1000,
        1000,
        {"sha256": SHA},
        {},
    )
    return replace(found, **changes)  # type: ignore[arg-type]


def fold(
    *replicas: IndexedReplica, policy: Policy | None = None, around: Surroundings = SURROUNDINGS
) -> Plan:
    return plan([DuplicateSet(4 << 20, {"sha256": SHA}, Trust.CLAIMED, replicas)], policy or Policy(), around)


def said(what: Plan) -> list[tuple[str, str, str]]:
    return [(action.path, str(action.link), action.target) for action in what.actions]


OBJECT = f"/hubfold/objects/ab/{SHA}"


def test_an_object_in_the_vault_is_kept_before_the_primary_cache_before_others() -> None:
    files = [at("/models/m", 1), at("/hub2/b", 2), at("/hub/b", 3)]
    assert {a.keeper.path for a in fold(*files).actions} == {"/hub/b"}
    in_vault = at(OBJECT, 4, pinned=True)
    assert said(fold(*files, in_vault)) == [
        ("/hub/b", "hardlink", OBJECT),
        ("/hub2/b", "hardlink", OBJECT),
        ("/models/m", "symlink", OBJECT),
    ]


def test_ties_are_broken_by_path_whatever_the_order() -> None:
    files = [at("/models/a", 1), at("/models/b", 2), at("/models/c", 3)]
    assert said(fold(*files)) == said(fold(*reversed(files)))
    assert {a.keeper.path for a in fold(*files).actions} == {"/models/a"}


def test_a_cache_on_another_drive_gets_a_symlink_to_an_object_of_its_own() -> None:
    actions = fold(at("/hub/b", 1), at("/drive/hub/b", 2), at("/drive/models/m", 3)).actions
    assert [str(action.link) for action in actions] == ["symlink", "symlink"]
    assert actions[0].target != actions[1].target == OBJECT
    assert actions[0].target.startswith(OBJECT + ".")


def test_a_keeper_outside_any_cache_goes_to_the_vault_of_the_cache_on_its_file_system() -> None:
    assert said(fold(at("/models/a", 1), at("/models/b", 2))) == [("/models/b", "symlink", OBJECT)]
    assert fold(at("/drive/models/a", 1), at("/drive/models/b", 2)).actions[0].vault == "/drive/hub/.hubfold"


def test_two_bind_mounts_of_one_device_are_not_hard_linked() -> None:
    files = at("/hub/b", 1), at("/bind/m", 2)
    assert [str(a.link) for a in fold(*files).actions] == ["symlink"]
    forced = fold(*files, policy=Policy(link=LinkKind.HARDLINK))
    assert forced.actions == () and "another file system" in forced.skipped[0].reason


def test_no_links_no_action() -> None:
    skipped = fold(at("/hub/b", 1), at("/fat/m", 2)).skipped
    assert [(s.path, s.reason) for s in skipped] == [("/fat/m", "its file system (vfat) has no links")]


def test_extents_are_shared_even_between_subvolumes_and_owners() -> None:
    actions = fold(at("/cow/a", 1), at("/cow/sub/b", 2, uid=7, nlink=3)).actions
    assert [(a.path, str(a.link), a.bytes) for a in actions] == [("/cow/sub/b", "reflink", 4 << 20)]


def test_what_shares_its_extents_already_is_neither_action_nor_skip() -> None:
    around = replace(SURROUNDINGS, extents={(4, 1): "same", (5, 2): "same"})
    assert fold(at("/cow/a", 1), at("/cow/sub/b", 2), around=around) == Plan()


def test_owners_are_not_merged_unless_asked_but_each_owner_folds_his_own() -> None:
    files = [at("/hub/b", 1), at("/models/a", 2, uid=7), at("/models/b", 3, uid=7)]
    what = fold(*files)
    assert [(a.path, a.keeper.path) for a in what.actions] == [("/models/b", "/models/a")]
    assert "another owner" in what.skipped[0].reason and what.skipped[0].path == "/models/a"
    assert len(fold(*files, policy=Policy(across_owners=True)).actions) == 2


def test_a_file_is_not_replaced_by_one_that_fewer_can_read() -> None:
    what = fold(at("/hub/b", 1, mode=0o600), at("/models/m", 2))
    assert what.actions == () and "fewer users" in what.skipped[0].reason


def test_a_file_that_tolerates_no_symlink_gets_a_hard_link_or_is_left_alone() -> None:
    no_symlink = frozenset({LinkKind.HARDLINK, LinkKind.REFLINK})
    actions = fold(at("/hub/b", 1), at("/models/m.onnx_data", 2, links=no_symlink)).actions
    assert [str(a.link) for a in actions] == ["hardlink"] and actions[0].read_only
    far = fold(
        at("/hub/b", 1),
        at("/drive/models/a", 2, links=no_symlink),
        at("/drive/models/b", 3, links=no_symlink),
    )
    assert [(a.path, a.keeper.path) for a in far.actions] == [("/drive/models/b", "/drive/models/a")]
    assert "tolerates no symlink" in far.skipped[0].reason


def test_a_shared_payload_of_the_client_stays_where_it_is() -> None:
    actions = fold(at("/hub/b", 1), at("/hub/store", 2, pinned=True)).actions
    assert said(fold(at("/hub/b", 1), at("/hub/store", 2, pinned=True))) == [
        ("/hub/b", "hardlink", "/hub/store")
    ]
    assert not actions[0].read_only
    what = fold(at("/hub/store", 1, pinned=True), at("/hub2/store", 2, pinned=True))
    assert what.actions == () and "staying where it is" in what.skipped[0].reason


def test_all_names_of_a_payload_or_none() -> None:
    names = at("/models/a", 2, nlink=2), at("/models/b", 2, nlink=2)
    assert [a.bytes for a in fold(at("/hub/b", 1), *names).actions] == [0, 4 << 20]
    what = fold(at("/hub/b", 1), names[0])
    assert what.actions == () and "1 more hard link" in what.skipped[0].reason


def test_a_file_whose_name_lies_is_told_and_never_kept() -> None:
    liar = at("/hub/b", 1, computed={"sha256": "cd" * 32})
    what = fold(liar, at("/models/a", 2), at("/models/b", 3))
    assert what.skipped[0].path == "/hub/b" and "not what its name says" in what.skipped[0].reason
    assert {a.keeper.path for a in what.actions} == {"/models/a"}


def test_read_only_file_systems_are_left_alone() -> None:
    around = replace(SURROUNDINGS, filesystems=FILESYSTEMS | {"/models": replace(DISK, read_only=True)})
    assert "read-only" in fold(at("/hub/b", 1), at("/models/m", 2), around=around).skipped[0].reason


@pytest.mark.parametrize(("limit", "expected"), [(2000, None), (500, 500), (None, None)])
def test_the_keeper_gets_an_older_mtime_only_where_a_client_needs_it(
    limit: int | None, expected: int | None
) -> None:
    actions = fold(at("/hub/b", 1), at("/models/m", 2, latest_mtime_ns=limit)).actions
    assert actions[0].keeper_mtime_ns == expected


def test_all_actions_of_a_keeper_agree_on_its_mtime() -> None:
    older = Signature(1, 2, 4 << 20, 300, 300)
    actions = fold(
        at("/hub/b", 1), at("/models/m", 2, latest_mtime_ns=500, signature=older), at("/models/n", 3)
    ).actions
    assert [a.keeper_mtime_ns for a in actions] == [300, 300]


def test_into_chooses_the_keeper_and_the_vault() -> None:
    files = at("/hub/b", 1), at("/hub2/b", 2), at("/models/m", 3)
    assert {a.keeper.path for a in fold(*files, policy=Policy(into="/hub2")).actions} == {"/hub2/b"}


def test_a_vault_that_cannot_be_written_is_passed_over_for_the_next_and_its_note_told() -> None:
    places = [VaultPlace("/hubfold", DISK, False), VaultPlace("/hub/.hubfold", DISK, True, "it will warn")]
    around = replace(SURROUNDINGS, vaults={"/hub": places})
    what = fold(at("/hub/b", 1), at("/models/m", 2), around=around)
    assert what.actions[0].vault == "/hub/.hubfold" and what.notes == ("it will warn",)
    nowhere = fold(at("/hub/b", 1), at("/models/m", 2), around=replace(SURROUNDINGS, vaults={}))
    assert nowhere.actions == () and "no place for a vault" in nowhere.skipped[0].reason


def test_the_superuser_is_told_that_read_only_does_not_bind_him() -> None:
    around = replace(SURROUNDINGS, privileged=True)
    assert "root" in fold(at("/hub/b", 1), at("/models/m", 2), around=around).notes[0]


def refusals(
    *replicas: IndexedReplica, link: LinkKind | None = None, around: Surroundings = SURROUNDINGS
) -> set[str]:
    what = fold(*replicas, policy=Policy(link=link), around=around)
    assert what.actions == ()
    return {skip.reason for skip in what.skipped}


def test_a_view_is_replaced_but_never_kept() -> None:
    assert said(fold(at("/views/a", 1), at("/models/b", 2))) == [("/views/a", "symlink", OBJECT)]
    assert fold(at("/views/a", 1), at("/views/b", 2)) == Plan()
    what = fold(
        at("/hub/b", 1, mode=0o600), at("/views/a", 2), at("/models/m", 3), at("/views/z", 4, nlink=2)
    )
    assert said(what) == [("/views/a", "symlink", OBJECT)]
    assert what.actions[0].keeper.path == "/models/m"
    assert [(s.path, s.reason) for s in what.skipped] == [
        (
            "/views/z",
            "replacing it frees nothing: 1 more hard link(s) of it lie outside the scanned roots",
        ),
        ("/models/m", "/hub/b can be read by fewer users than it"),
    ]


def test_a_link_kind_that_was_asked_for_and_cannot_be_is_told() -> None:
    hub, model = at("/hub/b", 1), at("/models/m", 2)
    assert refusals(hub, model, link=LinkKind.REFLINK) == {
        "its file system cannot share extents with the keeper's"
    }
    assert refusals(hub, at("/hub2/b", 2), link=LinkKind.SYMLINK) == {
        "no symlink may stand in its place, a hardlink may"
    }
    assert refusals(hub, at("/models/m", 2, links=frozenset()), link=LinkKind.SYMLINK) == {
        "no symlink may stand in its place"
    }
    assert refusals(
        hub, at("/models/m", 2, links=frozenset({LinkKind.SYMLINK, LinkKind.HARDLINK})), link=LinkKind.REFLINK
    ) == {"no reflink may stand in its place, a hardlink or symlink may"}
    for kind in (LinkKind.HARDLINK, LinkKind.REFLINK):
        across = at("/drive/models/m", 2, links=frozenset({LinkKind.HARDLINK, LinkKind.SYMLINK}))
        assert refusals(hub, across, link=kind) == {
            f"no {kind} is possible: the keeper is on another file system"
        }
    assert said(fold(hub, model, policy=Policy(link=LinkKind.HARDLINK))) == [
        ("/models/m", "hardlink", "/hub/b")
    ]
    assert said(fold(at("/cow/a", 1), at("/cow/b", 2), policy=Policy(link=LinkKind.REFLINK))) == [
        ("/cow/b", "reflink", "/cow/a")
    ]
    assert said(fold(at("/cow/a", 1), at("/cow/b", 2), policy=Policy(link=LinkKind.HARDLINK))) == [
        ("/cow/b", "hardlink", "/cow/a")
    ]


def test_a_file_system_with_one_kind_of_link() -> None:
    hub, model = at("/hub/b", 1), at("/models/m", 2)
    only_hard = replace(DISK, symlink=False, kind="")
    around = replace(SURROUNDINGS, filesystems=FILESYSTEMS | {"/models": only_hard})
    assert said(fold(hub, model, around=around)) == [("/models/m", "hardlink", "/hub/b")]
    assert fold(hub, model, around=around).actions[0].reason == "it tolerates no symlink: hard link"
    assert refusals(hub, model, link=LinkKind.SYMLINK, around=around) == {
        "its file system (unknown) has no symlinks"
    }


@pytest.mark.parametrize("link", [None, *LinkKind])
def test_without_links_the_reason_is_the_file_system_whatever_was_asked_for(link: LinkKind | None) -> None:
    expected = (
        "its file system cannot share extents with the keeper's"
        if link is LinkKind.REFLINK
        else ("its file system (vfat) has no links")
    )
    assert refusals(at("/fat/a", 1), at("/fat/b", 2), link=link) == {expected}


def test_a_file_that_tolerates_no_link_at_all() -> None:
    nothing = frozenset[LinkKind]()
    assert refusals(at("/hub/b", 1), at("/models/m", 2, links=nothing)) == {
        "no kind of link may stand in its place"
    }


@pytest.mark.parametrize("path", ["/models/m", "/cow/m"])
def test_a_read_only_file_system_is_told_as_such_for_every_kind(path: str) -> None:
    folder = path.rpartition("/")[0]
    read_only = replace(FILESYSTEMS[folder], read_only=True)
    around = replace(SURROUNDINGS, filesystems=FILESYSTEMS | {folder: read_only})
    for links in (None, frozenset({LinkKind.HARDLINK})):
        assert refusals(at("/hub/b", 1), at(path, 2, links=links), around=around) == {
            "its file system is mounted read-only"
        }


def test_a_group_that_could_not_read_the_keeper() -> None:
    keeper = at("/hub/b", 1, gid=1, mode=0o640)
    victim = at("/models/m", 2, gid=2, mode=0o640)
    assert len(fold(keeper, victim).actions) == 1
    closed = at("/hub/b", 1, gid=1, mode=0o600)
    assert refusals(closed, victim) == {"its group could not read /hub/b"}
    assert len(fold(closed, at("/models/m", 2, gid=2, mode=0o600)).actions) == 1
    everybody = at("/hub/b", 1, gid=1, mode=0o604)
    assert refusals(everybody, victim) == {"/hub/b can be read by fewer users than it"}


def test_a_content_that_can_name_no_object_is_left_alone() -> None:
    found = [at("/hub/b", 1), at("/models/m", 2)]
    duplicates = DuplicateSet(4 << 20, {"xet": SHA}, Trust.CLAIMED, tuple(found))
    what = plan([duplicates], Policy(), SURROUNDINGS)
    assert what.actions == () and what.skipped[0].reason == "none of its digests can name a vault object"


def test_what_an_action_says() -> None:
    local = fold(at("/hub/b", 1), at("/models/m", 2)).actions[0]
    assert local.reason == "local copy: symlink into the vault" and local.read_only
    assert (local.vault, local.bytes, local.digests) == ("/hubfold", 4 << 20, {"sha256": SHA})
    far = fold(at("/hub/b", 1), at("/drive/models/m", 2)).actions[0]
    assert far.reason == "another file system: only a symlink reaches over" and far.read_only
    caches = fold(at("/hub/b", 1), at("/hub2/b", 2)).actions[0]
    assert caches.reason == "cache to cache: a hard link survives whatever either client deletes"
    assert caches.vault is None and not caches.read_only
    asked = fold(at("/hub/b", 1), at("/models/m", 2), policy=Policy(link=LinkKind.HARDLINK)).actions[0]
    assert asked.reason == "hard link, as asked for" and asked.read_only
