"""Machines that several people use, and a state directory that is damaged, hostile, in use or not ours to write."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.building import tree

from .commands import User, must
from .filesystems import need_root, open_the_way

pytestmark = pytest.mark.slow

ALICE, BOB = User(40_001, 40_001, (40_100,)), User(40_002, 40_002, (40_100,))
TEAM = 40_100


@pytest.fixture
def root() -> None:
    need_root()


def give(path: str, user: User) -> None:
    for folder, folders, names in os.walk(path):
        for name in (*folders, *names):
            os.chown(os.path.join(folder, name), user.uid, user.gid, follow_symlinks=False)
    os.chown(path, user.uid, user.gid)


def home(place: str, user: User) -> dict[str, str]:
    """The environment of a user: a home and a state of their own."""
    own = os.path.join(place, f".home-{user.uid}")
    os.makedirs(own, exist_ok=True)
    os.chown(own, user.uid, user.gid)
    names = {"HUBFOLD_HOME": "state", "HOME": ".", "HF_HOME": "hf", "XDG_CACHE_HOME": "cache"}
    return {name: os.path.normpath(os.path.join(own, value)) for name, value in names.items()}


def reached(tmp_path: Path) -> str:
    """A place that every user can reach: pytest's own folders are closed to others."""
    open_the_way(tmp_path)
    place = tmp_path / "place"
    place.mkdir(mode=0o755)
    return str(place)


class Two:
    """Alice's cache and Bob's copy of a file of it."""

    def __init__(self, place: str) -> None:
        self.place = place
        data = tree.model("weights")
        self.hub = os.path.join(place, "alice/hf/hub")
        self.blob = next(iter(tree.cache(self.hub, "org/one", {"model.safetensors": data}).values()))
        self.models = os.path.join(place, "bob/models")
        self.copy = tree.local_dir(os.path.join(self.models, "one"), {"model.safetensors": data})[
            "model.safetensors"
        ]
        give(os.path.join(place, "alice"), ALICE)
        give(os.path.join(place, "bob"), BOB)
        self.before = tree.census(place)

    def consolidate(self, *argv: str, user: User | None, good: tuple[int, ...]) -> str:
        env = home(self.place, user) if user is not None else None
        argv = ("consolidate", self.hub, self.models, "--link", "symlink", *argv, "-y")
        ran = must(self.place, *argv, user=user, env=env, good=good)
        return ran.stdout + ran.stderr

    @property
    def problems(self) -> list[str]:
        known = {path: seen for path, seen in self.before.items() if "/.home-" not in path}
        return tree.losses(known, self.place) + [
            text for text in tree.leftovers(known, self.place) if not text.startswith(".home-")
        ]


@pytest.fixture
def two(tmp_path: Path, root: None) -> Two:
    return Two(reached(tmp_path))


@pytest.mark.parametrize("user", [None, BOB, ALICE], ids=["root", "bob", "alice"])
def test_files_of_two_owners_are_not_merged_unless_asked(two: Two, user: User | None) -> None:
    said = two.consolidate(user=user, good=(0,))
    assert "it belongs to another owner" in said and "--across-owners" in said
    assert tree.differences({p: s for p, s in two.before.items() if ".home" not in p}, two.place) == []
    assert two.problems == []


def test_root_may_merge_them_and_gives_each_what_is_theirs(two: Two) -> None:
    two.consolidate("--across-owners", user=None, good=(0,))
    assert os.path.islink(two.copy)
    assert (os.lstat(two.copy).st_uid, os.stat(two.copy).st_uid) == (BOB.uid, ALICE.uid)
    vault = os.path.join(two.place, "alice/hf/hubfold")
    made = [os.path.join(folder, name) for folder, _, names in os.walk(vault) for name in names]
    assert {os.lstat(path).st_uid for path in [vault, *made] if not path.endswith("/.lock")} == {ALICE.uid}
    must(two.place, "undo", "-y")
    must(two.place, "gc", "-y")
    assert tree.differences(two.before, two.place) == []


def test_a_vault_that_another_user_cannot_write(two: Two) -> None:
    """Bob may fold his own copy into Alice's cache only where he can add to its vault."""
    said = two.consolidate("--across-owners", user=BOB, good=(0, 3))
    assert "vault" in said or "not permitted" in said or "permission" in said
    assert not os.path.islink(two.copy)
    assert two.problems == []


def test_another_users_file_is_not_replaced(two: Two) -> None:
    """Alice may read Bob's folder, not write it: nothing happens, and nothing of hers is left in it."""
    said = two.consolidate("--across-owners", user=ALICE, good=(0,))
    assert f"it belongs to user {BOB.uid}" in said
    assert not os.path.islink(two.copy)
    assert two.problems == []


def test_a_sticky_folder_that_everybody_may_write(two: Two) -> None:
    """Where Alice may make files, too: she could not make one of Bob's again. root may, but not by a symlink, which the
    system lets only its owner follow there."""
    folder = os.path.dirname(two.copy)
    os.chown(folder, 0, 0)
    os.chmod(folder, 0o1777)
    for name in (".cache/huggingface/download", ".cache/huggingface", ".cache"):
        os.chmod(os.path.join(folder, name), 0o777)
    for user, reason in (
        (ALICE, f"it belongs to user {BOB.uid}"),
        (None, "everybody may write to its folder"),
    ):
        assert reason in two.consolidate("--across-owners", user=user, good=(0,))
        assert not os.path.islink(two.copy) and os.lstat(two.copy).st_uid == BOB.uid
        assert two.problems == []


def test_a_group_writable_cache(tmp_path: Path, root: None) -> None:
    """Two people share a cache by its group: each folds their own copies into it, the other still can use it."""
    place = reached(tmp_path)
    data = tree.model("weights")
    hub = os.path.join(place, "team/hub")
    tree.cache(hub, "org/one", {"model.safetensors": data})
    os.chown(os.path.join(place, "team"), 0, 0)
    for folder, _, names in os.walk(os.path.join(place, "team")):
        os.chown(folder, ALICE.uid, TEAM)
        os.chmod(folder, 0o2775)
        for name in names:
            os.chown(os.path.join(folder, name), ALICE.uid, TEAM, follow_symlinks=False)
    copies = {}
    for name, user in (("alice", ALICE), ("bob", BOB)):
        models = os.path.join(place, name, "models")
        copies[name] = tree.write(os.path.join(models, "copy.safetensors"), data)
        give(os.path.join(place, name), user)
    before = tree.census(place)
    for name, user in (("alice", ALICE), ("bob", BOB)):
        models = os.path.dirname(copies[name])
        argv = ("consolidate", hub, models, "--across-owners", "--link", "symlink", "-y")
        must(place, *argv, user=user, env=home(place, user), good=(0, 3))
        kept = {path: seen for path, seen in before.items() if ".home" not in path}
        assert tree.losses(kept, place) == []
        assert [left for left in tree.leftovers(kept, place) if not left.startswith(".home")] == []
    assert os.path.islink(copies["alice"])
    for user in (ALICE, BOB):
        must(place, "undo", "-y", user=user, env=home(place, user), good=(0, 1))
    assert tree.losses({path: seen for path, seen in before.items() if ".home" not in path}, place) == []
    assert not os.path.islink(copies["alice"]) and not os.path.islink(copies["bob"])


# -- the state -------------------------------------------------------------------------------------------------------


class Known:
    """A scanned tree with its state."""

    def __init__(self, place: str) -> None:
        self.place = place
        self.tree = tree.one_cache(place)
        self.before = tree.census(place)
        self.index = os.path.join(place, tree.STATE, "index.db")
        must(place, "scan", *self.tree.roots)

    def consolidate(self, good: tuple[int, ...] = (0,)) -> str:
        return must(self.place, "consolidate", *self.tree.roots, "-y", good=good).stderr

    def untouched(self) -> None:
        assert tree.differences(self.before, self.place) == []
        assert tree.leftovers(self.before, self.place, vaults=False) == []

    def folds_and_comes_back(self) -> None:
        self.consolidate()
        assert os.path.islink(os.path.join(self.place, "plain/downloaded.safetensors"))
        assert not os.path.islink(os.path.join(self.place, "plain/fine-tune.safetensors"))
        assert tree.losses(self.before, self.place) == []
        must(self.place, "undo", "-y")
        must(self.place, "gc", "-y")
        self.untouched()


@pytest.fixture
def known(tmp_path: Path) -> Known:
    return Known(str(tmp_path / "tree"))


def _truncate(path: str) -> None:
    os.truncate(path, os.path.getsize(path) // 2)


def _empty(path: str) -> None:
    os.truncate(path, 0)


def _scribble(path: str) -> None:
    with open(path, "r+b") as file:
        file.seek(4096)
        file.write(os.urandom(8192))


def _not_sqlite(path: str) -> None:
    Path(path).write_bytes(b"a text of somebody else\n" * 400)


def _trigger(path: str) -> None:
    with sqlite3.connect(path) as database:
        (table,) = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' LIMIT 1").fetchone()
        database.execute(f'CREATE TRIGGER planted AFTER INSERT ON "{table}" BEGIN DELETE FROM "{table}"; END')
    database.close()


def _view(path: str) -> None:
    with sqlite3.connect(path) as database:
        database.execute("CREATE VIEW planted AS SELECT 1 AS path")
    database.close()


def _newer(path: str) -> None:
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 9999")
    database.close()


@pytest.mark.parametrize(
    "damage", [os.unlink, _truncate, _empty, _scribble, _not_sqlite, _trigger, _view, _newer]
)
def test_an_index_that_cannot_be_trusted_costs_time_only(known: Known, damage: Callable[[str], None]) -> None:
    """It is begun anew, or refused with the way out; either way nothing is swapped that should not be."""
    damage(known.index)
    ran = must(known.place, "consolidate", *known.tree.roots, "-y", good=(0, 1))
    assert tree.losses(known.before, known.place) == []
    if ran.returncode == 1:
        assert known.index in ran.stderr and len(ran.stderr.strip().splitlines()) >= 2, ran.stderr
        known.untouched()
        os.unlink(known.index)
    else:
        must(known.place, "undo", "-y")
        must(known.place, "gc", "-y")
    known.folds_and_comes_back()


def test_an_index_that_lies_swaps_nothing(known: Known) -> None:
    """Digests that say a fine-tune is its base: the bytes are compared, and differ."""
    database = sqlite3.connect(known.index)
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert tables
    tuned = os.path.join(known.place, "plain/fine-tune.safetensors")
    plain = os.path.join(known.place, "plain/downloaded.safetensors")
    changed = 0
    for table in tables:
        columns = [row[1] for row in database.execute(f'PRAGMA table_info("{table}")')]
        if "path" not in columns and "name" not in columns:
            continue
        for column in columns:
            if column in ("sha256", "xxh3_128", "git_sha1", "computed", "digests"):
                key = "path" if "path" in columns else "name"
                rows = dict(database.execute(f'SELECT {key}, "{column}" FROM "{table}"'))
                pick = {
                    name: value for name, value in rows.items() if str(name).endswith(os.path.basename(plain))
                }
                for value in pick.values():
                    done = database.execute(
                        f'UPDATE "{table}" SET "{column}" = ? WHERE {key} LIKE ?',
                        (value, "%" + os.path.basename(tuned)),
                    )
                    changed += done.rowcount
    database.commit()
    database.close()
    must(known.place, "consolidate", *known.tree.roots, "-y", good=(0, 1, 3))
    assert tree.losses(known.before, known.place) == []
    assert not os.path.islink(tuned)
    assert tree.digest(tuned) != tree.digest(plain)


def test_an_index_that_another_program_holds(known: Known) -> None:
    holder = sqlite3.connect(known.index, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        said = known.consolidate(good=(1, 4))
    finally:
        holder.execute("ROLLBACK")
        holder.close()
    assert "index" in said and ("locked" in said or "another" in said or "in use" in said), said
    known.untouched()
    known.folds_and_comes_back()


def test_an_index_removed_while_it_is_open_is_made_again(known: Known) -> None:
    holder = sqlite3.connect(known.index)
    holder.execute("SELECT count(*) FROM sqlite_master").fetchone()
    os.unlink(known.index)
    known.folds_and_comes_back()
    holder.close()


def journal_of(known: Known) -> Path:
    (path,) = Path(known.place, tree.STATE, "runs").glob("*.jsonl")
    return path


def test_a_journal_whose_last_line_is_half_there(known: Known) -> None:
    known.consolidate()
    path = journal_of(known)
    path.write_bytes(path.read_bytes()[:-9])
    must(known.place, "recover")
    assert tree.losses(known.before, known.place) == []
    must(known.place, "undo", "-y")
    must(known.place, "gc", "-y")
    known.untouched()


@pytest.mark.parametrize("damage", ["middle", "newer", "nonsense", "empty", "first-line-half"])
def test_a_journal_that_makes_no_sense_stops_every_change(known: Known, damage: str) -> None:
    known.consolidate()
    folded = tree.shape(known.place)
    path = journal_of(known)
    text = path.read_bytes()
    path.write_bytes(
        {
            "middle": text.replace(b'"record": "intent"', b'"record": "int', 1),
            "newer": text.replace(b'"version": 1', b'"version": 2', 1),
            "nonsense": b"\x00\xff\n" * 20,
            "empty": b"",
            "first-line-half": text[:30],
        }[damage]
    )
    for argv in (("undo", "-y"), ("recover",), ("consolidate", *known.tree.roots, "-y"), ("gc", "-y")):
        ran = must(known.place, *argv, good=(0, 1))
        assert tree.losses(known.before, known.place) == []
        assert tree.shape(known.place) == folded, argv
        if damage not in ("empty", "first-line-half") and argv[0] in ("undo", "gc"):
            assert ran.returncode == 1 and str(path) in ran.stderr, ran.stderr
    path.write_bytes(text)
    must(known.place, "undo", "-y")
    must(known.place, "gc", "-y")
    known.untouched()


def test_a_state_directory_that_is_read_only(known: Known, root: None) -> None:
    state = os.path.join(known.place, tree.STATE)
    give(known.place, ALICE)
    for folder, _, names in os.walk(state):
        os.chown(folder, 0, 0)
        os.chmod(folder, 0o755)
        for name in names:
            os.chown(os.path.join(folder, name), 0, 0)
    open_the_way(Path(known.place))
    known.before = tree.census(known.place)
    env = {**home(known.place, ALICE), "HUBFOLD_HOME": state}
    for argv in (("scan", *known.tree.roots), ("consolidate", *known.tree.roots, "-y")):
        ran = must(known.place, *argv, user=ALICE, env=env, good=(1,))
        assert state in ran.stderr and len(ran.stderr.strip().splitlines()) >= 2, ran.stderr
    before = {path: seen for path, seen in known.before.items() if ".home" not in path}
    assert tree.differences(before, known.place) == []
