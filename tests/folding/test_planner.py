"""The planner alone: replicas in, plan out, no disk."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hubfold.access import Permissions, Way
from hubfold.backend.contract import Capabilities
from hubfold.content import VAULT, DuplicateSet, IndexedReplica, LinkKind, Role, Root, Signature, Trust
from hubfold.disk.drives import UNKNOWN, Drive
from hubfold.disk.filesystem import FileSystem
from hubfold.folding.plan import Plan
from hubfold.folding.planner import Policy, Surroundings, plan
from hubfold.folding.rights import Makes
from hubfold.vault import backend
from hubfold.vault.names import VaultPlace, claims_of
from tests.building.people import acl

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
    return found._replace(**changes)  # type: ignore[arg-type]


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


def test_only_what_lies_below_the_given_paths_is_replaced() -> None:
    below = Policy(below=("/models",))
    assert [action.path for action in fold(at("/models/m", 1), at("/hub/b", 2), policy=below).actions] == [
        "/models/m"
    ]
    assert fold(at("/hub/b", 1), at("/hub2/b", 2), policy=below).actions == ()
    linked = [at("/models/n", 3, nlink=2), at("/hub2/n", 3, nlink=2)]
    skipped = fold(at("/hub/b", 2), *linked, policy=below).skipped
    assert skipped and all("outside of the given paths" in skip.reason for skip in skipped)


def test_what_lies_in_a_place_that_stays_keeps_and_is_not_replaced() -> None:
    stays = Policy(stays=("/models",))
    found = fold(at("/models/m", 1), at("/hub/b", 2), at("/hub2/b", 3), policy=stays)
    assert {one.path: one.keeper.path for one in found.actions} == {
        "/hub/b": "/models/m",
        "/hub2/b": "/models/m",
    }
    linked = [at("/models/n", 3, nlink=2), at("/hub2/n", 3, nlink=2)]
    assert not fold(at("/hub/b", 2), *linked, policy=Policy(stays=("/hub", "/models"))).actions


def test_payloads_that_share_their_extents_free_them_once_and_with_the_last() -> None:
    files = [at("/cow/a", 1), at("/cow/b", 2), at("/cow/c", 3)]
    apart = fold(*files).bytes
    alike = replace(SURROUNDINGS, extents={(4, 1): "one", (4, 2): "two", (4, 3): "two"})
    together = fold(*files, around=alike)
    assert len(together.actions) == 2 and together.bytes == apart // 2
    other = at(
        "/cow/d", 4, nlink=2
    )  # a name elsewhere: with a link it would free nothing, and its extents stay
    stays = replace(SURROUNDINGS, extents={(4, 1): "one", (4, 2): "two", (4, 4): "two"})
    link = Policy(link=LinkKind.HARDLINK)
    assert fold(at("/cow/a", 1), at("/cow/b", 2), other, around=stays, policy=link).bytes == 0


def test_in_a_work_tree_of_git_no_symlink_stands() -> None:
    around = replace(SURROUNDINGS, work_trees=frozenset({"/models"}))
    found = fold(at("/hub/b", 1), at("/models/m", 2), at("/bind/m", 3), around=around)
    assert LinkKind.SYMLINK not in {action.link for action in found.actions if action.path == "/models/m"}


def test_what_a_client_copies_over_a_local_copy_stays_a_file_of_its_own() -> None:
    capabilities = CAPABILITIES | {"cache": replace(CACHE, copies_over=frozenset({"sha256"}))}
    found = fold(at("/hub/b", 1), at("/models/m", 2), around=replace(SURROUNDINGS, capabilities=capabilities))
    assert found.actions == ()
    assert ["a client that syncs" in skip.reason for skip in found.skipped] == [True]


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
    around = replace(SURROUNDINGS, filesystems=FILESYSTEMS | {"/models": DISK._replace(read_only=True)})
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


def test_without_a_vault_a_copy_becomes_a_hard_link_where_it_may_be_one() -> None:
    around = replace(SURROUNDINGS, vaults={})
    found = fold(at("/hub/b", 1), at("/models/m", 2), around=around)
    assert said(found) == [("/models/m", "hardlink", "/hub/b")]
    assert "no place for a vault" in found.actions[0].reason
    symlink = frozenset({LinkKind.SYMLINK})
    nowhere = fold(at("/hub/b", 1), at("/models/m", 2, links=symlink), around=around)
    assert nowhere.actions == () and "no place for a vault" in nowhere.skipped[0].reason


def test_a_layout_whose_files_are_of_one_owner_is_not_linked_across_owners_whatever_is_asked_for() -> None:
    capabilities = CAPABILITIES | {"views": Capabilities(same_owner=True)}
    around = replace(SURROUNDINGS, capabilities=capabilities)
    for one, other in (("/models/m", "/views/v"), ("/views/v", "/models/m")):
        found = fold(at(one, 1), at(other, 2, uid=1001), policy=Policy(across_owners=True), around=around)
        assert found.actions == ()
        assert "views needs its files to be of one owner" in found.skipped[0].reason
    assert fold(at("/models/m", 1), at("/views/v", 2), around=around).actions


def test_what_a_program_writes_into_in_place_is_read_only_from_then_on_and_the_plan_says_so() -> None:
    writes = Capabilities(cache=True, written_in_place="oobabooga")
    around = replace(SURROUNDINGS, capabilities=CAPABILITIES | {"cache": writes})
    for link in (LinkKind.HARDLINK, LinkKind.SYMLINK):
        found = fold(at("/hub/b", 1), at("/hub2/b", 2), around=around, policy=Policy(link=link))
        [action] = found.actions
        assert action.read_only and "since oobabooga writes into its files" in action.reason
        assert all(one.read_only for one in action.instead)
    # A keeper that it could write into is no less in danger than what becomes a link to it.
    [action] = fold(at("/hub/b", 1), at("/models/m", 2), around=around).actions
    assert "since oobabooga writes into its files" in action.reason


def test_where_git_ignores_the_files_of_a_layout_a_symlink_may_stand_in_a_work_tree() -> None:
    ignored = CAPABILITIES | {"plain": Capabilities(ignored_by_git=True)}
    around = replace(SURROUNDINGS, work_trees=frozenset({"/models", "/views"}), capabilities=ignored)
    assert [str(one.link) for one in fold(at("/hub/b", 1), at("/models/m", 2), around=around).actions] == [
        "symlink"
    ]
    assert [str(one.link) for one in fold(at("/hub/b", 1), at("/views/v", 2), around=around).actions] == [
        "hardlink"
    ]


def test_a_file_that_a_program_may_have_to_go_on_with_is_linked_where_something_says_that_it_is_whole() -> (
    None
):
    resumes = Capabilities(written_in_place="oobabooga", resumes_in_place=True)
    around = replace(SURROUNDINGS, capabilities=CAPABILITIES | {"plain": resumes})
    claims = {"sha256": SHA}

    def told(*replicas: IndexedReplica) -> list[str]:
        found = fold(*replicas, around=around)
        return [str(one.link) for one in found.actions] or [one.reason for one in found.skipped]

    for other in ("/models/n", "/views/v"):
        for mine in ({}, claims):
            [reason] = set(told(at("/models/m", 1, claims=mine), at(other, 2, claims={})))
            assert "oobabooga may not be at the end of /models/" in reason
    assert told(at("/hub/b", 1, claims=claims), at("/models/m", 2)) == ["symlink"]
    assert told(at("/models/m", 1, claims=claims, computed=claims), at("/models/n", 2)) == ["symlink"]
    assert fold(at("/cow/a", 1), at("/cow/b", 2), around=around).actions[0].link == "reflink"
    assert fold(at("/cow/a", 1), at("/cow/b", 2), around=around).actions[0].instead == ()


def test_a_file_may_be_kept_or_not_whatever_its_layout_says_of_others() -> None:
    assert fold(at("/views/a", 1, keeps=True), at("/views/b", 2)).actions
    assert said(fold(at("/models/a", 1, keeps=False), at("/models/b", 2))) == [
        ("/models/a", "symlink", OBJECT)
    ]


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
        ("/models/m", "/hub/b can be read by fewer users than it: other users could not read it any more"),
    ]


def test_a_link_kind_that_was_asked_for_and_cannot_be_is_told() -> None:
    hub, model = at("/hub/b", 1), at("/models/m", 2)
    assert refusals(hub, model, link=LinkKind.REFLINK) == {
        "its file system cannot share extents with that of the kept file"
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
            f"no {kind} is possible: the kept file is on another file system"
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
    only_hard = DISK._replace(symlink=False, kind="")
    around = replace(SURROUNDINGS, filesystems=FILESYSTEMS | {"/models": only_hard})
    assert said(fold(hub, model, around=around)) == [("/models/m", "hardlink", "/hub/b")]
    assert fold(hub, model, around=around).actions[0].reason == "it tolerates no symlink: hard link"
    assert refusals(hub, model, link=LinkKind.SYMLINK, around=around) == {
        "its file system (unknown) has no symlinks"
    }


@pytest.mark.parametrize("link", [None, *LinkKind])
def test_without_links_the_reason_is_the_file_system_whatever_was_asked_for(link: LinkKind | None) -> None:
    expected = (
        "its file system cannot share extents with that of the kept file"
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
    read_only = FILESYSTEMS[folder]._replace(read_only=True)
    around = replace(SURROUNDINGS, filesystems=FILESYSTEMS | {folder: read_only})
    for links in (None, frozenset({LinkKind.HARDLINK})):
        assert refusals(at("/hub/b", 1), at(path, 2, links=links), around=around) == {
            "its file system is mounted read-only"
        }


FEWER = "/hub/b can be read by fewer users than it: members of group 2 could not read it any more"


def test_a_group_that_could_not_read_the_keeper() -> None:
    victim = at("/models/m", 2, gid=2, mode=0o640)
    for closed in (at("/hub/b", 1, gid=1, mode=0o640), at("/hub/b", 1, gid=1, mode=0o600)):
        assert {reason for reason in refusals(closed, victim) if reason.startswith("/hub/b")} == {FEWER}
    assert len(fold(at("/hub/b", 1, gid=1, mode=0o600), at("/models/m", 2, gid=2, mode=0o600)).actions) == 1


def test_a_content_that_can_name_no_object_becomes_a_hard_link_or_is_left_alone() -> None:
    found = [at("/hub/b", 1), at("/models/m", 2)]
    what = plan([DuplicateSet(4 << 20, {"xet": SHA}, Trust.CLAIMED, tuple(found))], Policy(), SURROUNDINGS)
    assert said(what) == [("/models/m", "hardlink", "/hub/b")]
    far = [at("/hub/b", 1), at("/drive/models/m", 2)]
    what = plan([DuplicateSet(4 << 20, {"md5": SHA[:32]}, Trust.CLAIMED, tuple(far))], Policy(), SURROUNDINGS)
    assert what.actions == () and what.skipped[0].reason == "none of its digests can name a vault object"


def test_what_an_action_says() -> None:
    local = fold(at("/hub/b", 1), at("/models/m", 2)).actions[0]
    assert local.reason == "your copy becomes a link to the kept file in /hubfold" and local.read_only
    assert (local.vault, local.bytes, local.digests) == ("/hubfold", 4 << 20, {"sha256": SHA})
    far = fold(at("/hub/b", 1), at("/drive/models/m", 2)).actions[0]
    assert (
        far.reason
        == "your copy becomes a link to the kept file in /hubfold, on another file system (the primary place)"
        and far.read_only
    )
    caches = fold(at("/hub/b", 1), at("/hub2/b", 2)).actions[0]
    assert caches.reason == "both caches get one file, which stays whatever either client deletes"
    assert caches.vault is None and not caches.read_only
    asked = fold(at("/hub/b", 1), at("/models/m", 2), policy=Policy(link=LinkKind.HARDLINK)).actions[0]
    assert asked.reason == "hard link, as asked for" and asked.read_only


# -- readers, limits, and what is done instead ------------------------------------------------------------------------

HOME = Permissions.of(1000, 1000, 0o700, path="/home/me")


def closed(*folders: str) -> Surroundings:
    """Only user 1000 gets into these folders, and into the vault."""
    shut = Way.through([HOME])
    vaults = {root: [place._replace(way=shut) for place in places] for root, places in VAULTS.items()}
    return replace(SURROUNDINGS, ways=dict.fromkeys(folders, shut), vaults=vaults)


def test_a_symlink_that_some_reader_could_not_follow_becomes_a_hard_link() -> None:
    files = at("/hub/b", 1), at("/models/m", 2)
    action = fold(*files, around=closed("/hub")).actions[0]
    assert (str(action.link), action.target) == ("hardlink", "/hub/b")
    assert action.reason == (
        "hard link, since other users could not read it any more by a symlink: /home/me is closed to them"
    )
    assert refusals(*files, link=LinkKind.SYMLINK, around=closed("/hub")) == {
        "other users could not read it any more by a symlink: /home/me is closed to them"
    }
    assert refusals(at("/hub/b", 1), at("/drive/models/m", 2), around=closed("/hub")) == {
        "other users could not read it any more by a symlink: /home/me is closed to them"
    }
    assert said(fold(*files, around=closed("/hub", "/models"))) == [("/models/m", "symlink", OBJECT)]


def test_two_users_own_files_stay_two_files() -> None:
    files = at("/hub/a", 1, mode=0o600, uid=7, gid=7), at("/hub/b", 2, mode=0o600, uid=8, gid=8)
    what = fold(*files, policy=Policy(across_owners=True))
    assert what.actions == () and [skip.path for skip in what.skipped] == ["/hub/b"]
    assert "user 8 could not read it any more" in what.skipped[0].reason
    cow = at("/cow/a", 1, mode=0o600, uid=7, gid=7), at("/cow/b", 2, mode=0o600, uid=8, gid=8)
    assert said(fold(*cow)) == [("/cow/b", "reflink", "/cow/a")]


@pytest.mark.parametrize("names", ["ab", "ba"])
def test_which_payload_stays_does_not_depend_on_names(names: str) -> None:
    public, private = (f"/models/{name}" for name in names)
    around = replace(SURROUNDINGS, ways={"/models": Way.through([HOME])})
    what = fold(at(public, 1), at(private, 2, mode=0o600), around=around)
    assert [(a.path, a.keeper.path) for a in what.actions] == [(private, public)]
    sparse = fold(at(public, 1, allocated=1 << 20), at(private, 2))
    assert [(a.path, a.keeper.path, a.bytes) for a in sparse.actions] == [(private, public, 4 << 20)]
    by_acl = {(1, 1): Permissions.of(1000, 1000, 0o640, acl(0o640, users=[(7, 4)]))}
    seen = replace(around, files=by_acl)
    what = fold(at(public, 1, mode=0o640), at(private, 2, mode=0o640), around=seen)
    assert [(a.path, a.keeper.path) for a in what.actions] == [(private, public)]


def test_what_is_rounded_to_blocks_is_no_hole() -> None:
    what = fold(at("/models/a", 1), at("/models/b", 2, allocated=(4 << 20) - 512))
    assert {a.keeper.path for a in what.actions} == {"/models/a"}


def test_a_second_keeper_of_a_content_gets_an_object_of_its_own() -> None:
    files = [
        at(f"/models/{name}", number, uid=uid) for number, (name, uid) in enumerate([("a", 7), ("b", 7)])
    ]
    files += [at(f"/models/{name}", number + 5, uid=8) for number, name in enumerate("cd")]
    targets = {action.path: action.target for action in fold(*files).actions}
    assert targets["/models/b"] == OBJECT
    assert targets["/models/d"].startswith(OBJECT + ".") and claims_of(
        targets["/models/d"].rpartition("/")[2]
    )


def test_a_file_that_can_get_no_more_names_is_followed_by_a_second_one() -> None:
    no_symlink = frozenset({LinkKind.HARDLINK})
    full = at("/hub/b", 1, nlink=64_999)
    others = [at(f"/models/{name}", number, links=no_symlink) for number, name in enumerate("cdef", 2)]
    what = fold(full, *others)
    assert [(a.path, a.keeper.path) for a in what.actions] == [
        ("/models/c", "/hub/b"),
        ("/models/e", "/models/d"),
        ("/models/f", "/models/d"),
    ]
    assert [(s.path, s.reason) for s in what.skipped] == [
        ("/models/d", "/hub/b has as many names as its file system allows (65,000)")
    ]
    # All symlinks lead to one object, which is one name.
    assert (
        len(fold(full, *(at(f"/models/{name}", number) for number, name in enumerate("cde", 2))).actions) == 3
    )


def test_a_link_is_ready_for_where_extents_cannot_be_shared_after_all() -> None:
    action = fold(at("/cow/a", 1), at("/cow/b", 2)).actions[0]
    assert [(str(a.link), a.path, a.bytes) for a in (action, *action.instead)] == [
        ("reflink", "/cow/b", 4 << 20),
        ("symlink", "/cow/b", 4 << 20),
    ]
    assert [str(a.link) for a in action.instead[0].instead] == ["hardlink"]
    asked = fold(at("/cow/a", 1), at("/cow/b", 2), policy=Policy(link=LinkKind.REFLINK)).actions[0]
    assert asked.instead == ()


def test_files_that_are_written_in_place_share_extents_among_themselves_only() -> None:
    one, two = at("/cow/a", 1), at("/cow/b", 2)
    mixed = replace(SURROUNDINGS, in_place={(4, 1)})
    assert [str(a.link) for a in fold(one, two, around=mixed).actions] == ["symlink"]
    assert "chattr +C" in next(iter(refusals(one, two, link=LinkKind.REFLINK, around=mixed)))
    both = replace(SURROUNDINGS, in_place={(4, 1), (4, 2)})
    assert [str(a.link) for a in fold(one, two, around=both).actions] == ["reflink"]


def test_an_ordinary_user_folds_what_he_could_take_back() -> None:
    hub, model = at("/hub/b", 1), at("/models/m", 2)
    me = replace(SURROUNDINGS, makes=Makes(1000, frozenset({1000})))
    assert len(fold(hub, model, around=me).actions) == 1
    assert refusals(hub, at("/models/m", 2, gid=0), around=me) == {
        "undo could not make it again: its group 0 is none of yours"
    }
    labelled = replace(me, unsettable={(1, 2): "security.capability"})
    assert "security.capability" in next(iter(refusals(hub, model, around=labelled)))
    # Its own file stays where extents are shared: there is nothing to take back.
    assert len(fold(at("/cow/a", 1), at("/cow/b", 2, gid=0), around=me).actions) == 1


def with_drives(drive: Drive, of_disk: Drive = UNKNOWN, *, primary: str = "/hub") -> Surroundings:
    """`/drive` on such a drive, and all else on another; `primary` is the primary place."""
    systems = {
        path: one._replace(drive=drive if one is DRIVE else of_disk) for path, one in FILESYSTEMS.items()
    }
    roots = {
        path: replace(root, role=Role.PRIMARY if path == primary else Role.SECONDARY)
        for path, root in ROOTS.items()
    }
    vaults = {
        root: [
            place._replace(filesystem=place.filesystem._replace(drive=systems[root].drive)) for place in found
        ]
        for root, found in VAULTS.items()
    }
    return Surroundings(CAPABILITIES, roots, systems, vaults)


USB = Drive(removable=True)


@pytest.mark.parametrize("policy", [Policy(), Policy(below=("/models",))])
def test_a_file_never_becomes_a_link_to_a_removable_drive_by_its_name_or_its_cache(policy: Policy) -> None:
    inside, cached, copied = at("/models/z", 1), at("/drive/hub/a", 2), at("/drive/models/a", 3)
    for outside in (cached, copied):
        told = fold(inside, outside, policy=policy, around=with_drives(USB))
        assert [action.path for action in told.actions] == ([outside.path] if not policy.below else [])
    assert fold(inside, copied).actions[0].path == "/models/z", "where nothing is known of the drives"


def test_nor_where_the_copy_that_stays_can_serve_no_other() -> None:
    """Of another owner: the second copy is tried against the one on the removable drive, too."""
    theirs, outside, mine = at("/models/a", 1, uid=7), at("/drive/models/b", 2), at("/models/c", 3)
    told = fold(theirs, outside, mine, around=with_drives(USB))
    assert [action.path for action in told.actions] == ["/drive/models/b"]
    assert told.actions[0].keeper.path == "/models/c"
    stuck = fold(theirs, outside._replace(pinned=True), mine._replace(nlink=2), around=with_drives(USB))
    assert not stuck.actions


def test_a_vault_object_on_a_removable_drive_is_not_kept_before_a_file_inside() -> None:
    around = with_drives(USB)
    systems = {**around.filesystems, "/hubfold": around.filesystems["/drive/hub"]}
    systems["/hubfold/objects/ab"] = systems["/hubfold"]
    told = fold(at("/models/m", 1), at(OBJECT, 2), around=replace(around, filesystems=systems))
    assert not told.actions


@pytest.mark.parametrize("into", [None, "/drive/hub"])
def test_what_the_user_chose_may_be_removable(into: str | None) -> None:
    around = with_drives(USB, primary="/hub" if into else "/drive/hub")
    told = fold(at("/models/m", 1), at("/drive/hub/b", 2), policy=Policy(into=into), around=around)
    [action] = told.actions
    assert action.path == "/models/m"
    why = "that of the chosen cache" if into else "the primary place"
    assert action.reason.endswith(f", on another file system ({why})")


def test_of_two_that_are_alike_the_faster_drive_keeps() -> None:
    inside, outside = at("/models/a", 1), at("/drive/models/b", 2)
    told = fold(inside, outside, around=with_drives(Drive(fast=True)))
    assert [action.path for action in told.actions] == ["/models/a"]
    assert told.actions[0].reason.endswith("on another file system (a faster drive)")
    told = fold(at("/hub/a", 1), outside, around=with_drives(Drive(fast=True)))
    assert [action.path for action in told.actions] == ["/drive/models/b"], "a role is stronger"


def test_the_plan_says_that_a_drive_is_removable() -> None:
    told = fold(at("/models/z", 1), at("/drive/models/a", 2), around=with_drives(USB))
    assert told.actions[0].reason.endswith("on another file system (yours is on a removable drive)")
