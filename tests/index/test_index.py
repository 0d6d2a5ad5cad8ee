"""The index: what it answers, what it survives, and that its groups are those of the bytes."""

from __future__ import annotations

import os
import shutil

import pytest

from hubfold.content import LinkKind, Replica, Role, Root, Signature
from hubfold.duplicates.sets import duplicate_sets
from hubfold.index.index import Index
from tests.building.scanned import Place, made_up, record


def test_a_replica_comes_back_as_it_was_put(place: Place) -> None:
    path = place.file("hub/file", b"content")
    stat = path.stat()
    replica = Replica(
        str(path),
        stat,
        {"sha256": "a" * 64, "git-sha1": "b" * 40, "xet": "c" * 64},
        repo_id="org/n\udcffame",
        repo_type="model",
        revision="d" * 40,
        links=frozenset({LinkKind.REFLINK, LinkKind.HARDLINK}),
        pinned=True,
        latest_mtime_ns=5,
    )
    record(place.index, str(place.folder / "hub"), replica)
    place.index.record_digests(Signature.of(stat), {"xxh3_128": "e" * 32, "sha256": "f" * 64})
    found = place.index.replica(str(path))
    assert found is not None
    assert (found.path, found.root, found.backend) == (str(path), str(place.folder / "hub"), "hub-cache")
    assert found.signature == Signature.of(stat)
    assert (found.allocated, found.nlink, found.mode) == (stat.st_blocks * 512, 1, stat.st_mode)
    assert (found.uid, found.gid) == (stat.st_uid, stat.st_gid)
    assert found.claims == replica.claims
    assert found.computed == {"xxh3_128": "e" * 32, "sha256": "f" * 64}
    assert found.claim_is_a_lie
    assert (found.repo_id, found.repo_type, found.revision) == ("org/n\udcffame", "model", "d" * 40)
    assert (found.links, found.pinned, found.latest_mtime_ns) == (replica.links, True, 5)
    record(place.index, str(place.folder / "hub"), Replica(str(path), stat, links=frozenset()))
    assert (again := place.index.replica(str(path))) is not None
    assert (again.links, again.claims, again.repo_id, again.pinned) == (frozenset(), {}, None, False)


def test_digests_are_of_one_signature(place: Place) -> None:
    record(place.index, "/hub", made_up("/hub/a", 1))
    signature = Signature(1, 1, 100, 10, 20)

    def computed() -> dict[str, str]:
        found = place.index.replica("/hub/a")
        assert found is not None
        return dict(found.computed)

    place.index.record_digests(signature, {"sha256": "a" * 64})
    place.index.record_digests(signature, {"xxh3_128": "b" * 32})
    assert computed() == {"sha256": "a" * 64, "xxh3_128": "b" * 32}
    for other in (
        signature._replace(mtime_ns=11),
        signature._replace(ctime_ns=21),
        signature._replace(size=101),
    ):
        place.index.record_digests(other, {"xxh3_128": "c" * 32})
        assert computed() == {}
        place.index.record_digests(signature, {"sha256": "d" * 64})
        assert computed() == {"sha256": "d" * 64}, "what was known of another signature is not mixed in"


def test_what_was_computed_is_found_by_the_signature_alone(place: Place) -> None:
    signature = Signature(1, 2, 3, 4, 5)
    assert place.index.digests_of(signature) == {}
    place.index.record_digests(signature, {"sha256": "ab" * 32, "git-sha1": "cd" * 20})
    assert place.index.digests_of(signature) == {"sha256": "ab" * 32, "git-sha1": "cd" * 20}
    assert place.index.digests_of(signature._replace(ctime_ns=6)) == {}
    huge = Signature(1 << 63, (1 << 64) - 1, 3, -4, 5)
    place.index.record_digests(huge, {"xxh3_128": "ef" * 16})
    assert place.index.digests_of(huge) == {"xxh3_128": "ef" * 16}


def test_roots_with_their_roles_and_limits(place: Place) -> None:
    roots = [Root("/a", "local-dir", Role.PRIMARY, 1 << 40), Root("/b", "hub-cache"), Root("/v", "vault")]
    for root in reversed(roots):
        place.index.save_root(root)
    assert place.index.roots() == roots[:2]
    assert place.index.roots(vaults=True) == roots
    place.index.save_root(Root("/b", "hub-cache", Role.PRIMARY, 5))
    assert place.index.roots()[1] == Root("/b", "hub-cache", Role.PRIMARY, 5)
    assert place.index.remove_root("/a")
    assert not place.index.remove_root("/a")
    assert [root.path for root in place.index.roots()] == ["/b"]


def test_removing_a_root_forgets_its_rows_only(place: Place) -> None:
    record(place.index, "/a", made_up("/a/x", 1))
    record(place.index, "/b", made_up("/b/x", 2))
    place.index.remove_root("/a")
    assert [replica.path for replica in place.index.below("/")] == ["/b/x"]


def test_another_backend_for_a_root_begins_anew(place: Place) -> None:
    record(place.index, "/a", made_up("/a/x", 1))
    place.index.save_root(Root("/a", "local-dir"))
    assert list(place.index.below("/a")) == []


def test_what_lies_below_a_path(place: Place) -> None:
    paths = ["/r/a", "/r/a.b/x", "/r/ab/x", "/r/b/c/d", "/r/b/e", "/r/b!/f", "/r/b/c0/g"]
    record(place.index, "/r", *(made_up(path, number) for number, path in enumerate(paths)))

    def below(path: str) -> list[str]:
        return [replica.path for replica in place.index.below(path)]

    assert sorted(below("/")) == sorted(paths)
    assert sorted(below("/r")) == sorted(paths)
    assert below("/r/b") == ["/r/b/e", "/r/b/c/d", "/r/b/c0/g"]
    assert below("/r/b/c") == ["/r/b/c/d"]
    assert below("/r/b/") == below("/r/b")
    assert below("/r/a") == ["/r/a"]
    assert below("/elsewhere") == []
    assert sorted(replica.path for replica in place.index.replicas("/r")) == sorted(paths)


def test_totals_of_roots_without_touching_the_disk(place: Place) -> None:
    path = place.file("tree/a", b"x" * 5000)
    os.link(path, place.folder / "tree/b")
    place.scan("tree")
    shutil.rmtree(place.folder / "tree")
    (state,) = place.index.states()
    assert (state.files, state.bytes, state.allocated) == (2, 5000, 8192)
    assert state.scanned_at is not None
    assert state.device == os.stat(place.folder).st_dev


# our own actions


def test_an_action_of_our_own_is_not_taken_for_an_edit(place: Place) -> None:
    keeper, victim, other = (
        place.file(f"tree/{name}", b"same" * 1000) for name in ("keeper", "victim", "other")
    )
    place.scan("tree")
    before = place.index.replica(str(keeper))
    assert before is not None
    victim.unlink()
    os.link(keeper, victim)
    with place.index.batch():
        for path in (keeper, victim):
            place.index.refresh(str(path), os.lstat(path), keep_digests_of=before.signature)
    for path in (keeper, victim):
        found = place.index.replica(str(path))
        assert found is not None
        assert found.signature == Signature.of(os.lstat(path))
        assert found.nlink == 2
        assert found.computed == before.computed
    assert [len(one.payloads) for one in place.duplicates()] == [2], "the other one is a payload of its own"
    assert place.scan("tree").files_read == 0
    other.unlink()
    place.index.forget(str(other))
    assert place.index.replica(str(other)) is None
    assert place.sets() == []


def test_every_known_name_of_a_payload_is_brought_up_to_date(place: Place) -> None:
    path = place.file("one/a", b"same" * 1000)
    (place.folder / "two").mkdir()
    os.link(path, place.folder / "two/b")
    place.scan("one", "two")
    os.link(path, place.folder / "object")
    place.index.refresh(str(path), os.lstat(path))
    found = place.index.replica(str(place.folder / "two/b"))
    assert found is not None
    assert (found.signature, found.nlink) == (Signature.of(os.lstat(path)), 3)


def test_a_batch_is_done_whole_or_not_at_all(place: Place) -> None:
    record(place.index, "/a", made_up("/a/x", 1))
    with pytest.raises(KeyError), place.index.batch():
        place.index.forget("/a/x")
        raise KeyError
    assert place.index.replica("/a/x") is not None


def test_questions_about_no_root_have_an_answer(place: Place) -> None:
    """A download into a home where nothing was ever scanned asks them."""
    assert place.index.liars([]) == []
    assert list(duplicate_sets(place.index, [], 0)) == []


def test_results_are_remembered_until_something_changes(place: Place) -> None:
    place.index.remember("key", "value 1")
    assert place.index.remembered("key") == "value 1"
    place.index.forget("/nothing")
    assert place.index.remembered("key") is None


def test_deleting_the_index_loses_time_only(place: Place) -> None:
    for name in ("a", "b"):
        place.file(f"tree/{name}", b"same")
    place.scan("tree")
    before = place.sets()
    place.index.close()
    place.database.unlink()
    place.index = Index(place.database)
    place.scan("tree")
    assert place.sets() == before
