"""What goes wrong in the middle of a run: it is taken back, told, and what somebody else did meanwhile stays."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import xxhash

from hubfold.content import LinkKind
from hubfold.disk import directory as fsops
from hubfold.disk import exchange
from hubfold.disk.directory import Directory
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.locks import take_lock
from hubfold.errors import Interrupted, LeftAlone
from hubfold.folding import executor, swaps
from hubfold.folding.executor import Executor
from hubfold.folding.plan import Plan
from hubfold.folding.planner import Policy
from hubfold.folding.swapping import Swapper
from hubfold.journal import journal
from hubfold.journal.records import Intent
from hubfold.reading import compare
from hubfold.vault import objects
from tests.building.descriptors import nothing_stays_open
from tests.building.executing import MODEL, Folding
from tests.building.waiting import PATIENCE

KINDS = pytest.mark.parametrize("kind", [LinkKind.SYMLINK, LinkKind.HARDLINK])


@pytest.fixture
def scene(tmp_path: Path) -> Folding:
    return Folding(tmp_path)


class Strikes:
    """Puts something before, behind or in the place of a method of `Directory` in the folder of the copies."""

    def __init__(self, scene: Folding, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = str(scene.models)
        self.patch = monkeypatch

    def at(
        self, method: str, work: Callable[..., object], *, calls: Sequence[int] = (1,), behind: bool = False
    ) -> None:
        real = getattr(Directory, method)
        count = 0

        def strike(directory: Directory, *args: object) -> object:
            nonlocal count
            if directory.path != self.folder:
                return real(directory, *args)
            count += 1
            if count not in calls:
                return real(directory, *args)
            if behind:
                result = real(directory, *args)
                work()
                return result
            work()
            return real(directory, *args)

        self.patch.setattr(Directory, method, strike)

    def fails(self, method: str, *calls: int, code: int = errno.EIO) -> None:
        def fail() -> None:
            raise OSError(code, os.strerror(code))

        self.at(method, fail, calls=calls or (1,))


@pytest.fixture
def strikes(scene: Folding, monkeypatch: pytest.MonkeyPatch) -> Strikes:
    return Strikes(scene, monkeypatch)


def replace_by(path: Path, content: bytes) -> Callable[[], None]:
    """As an editor saves, or a client downloads: a new file takes the path."""

    def work() -> None:
        new = path.with_name("new")
        new.write_bytes(content)
        new.rename(path)

    return work


# -- before anything is changed ----------------------------------------------------------------------------------------


def test_the_locks_of_the_layout_are_held_during_the_run_and_free_afterwards(
    scene: Folding, strikes: Strikes
) -> None:
    second = scene.file(scene.models, "n", MODEL)
    place, seen = str(scene.base / "locks" / "l"), []
    scene.locks = lambda action: [place]

    def look() -> None:
        with pytest.raises(LeftAlone, match="another program holds"):
            take_lock(place)
        seen.append(place)

    strikes.at("exchange", look, calls=(1, 2))
    assert scene.errors(scene.copy, second) == ["", ""] and seen == [place, place]
    take_lock(place).release()
    assert {intent.locks for intent in scene.log().intents.values()} == {(place,)}


def test_a_lock_that_somebody_holds_leaves_that_file_alone_and_no_other(scene: Folding) -> None:
    second = scene.file(scene.models, "n", MODEL)
    place = str(scene.base / "taken")
    scene.locks = lambda action: [place] if action.path == str(scene.copy) else []
    held = take_lock(place)
    outcomes = {outcome.action.path: outcome.error for outcome in scene.fold(scene.copy, second)}
    held.release()
    assert outcomes == {str(scene.copy): f"another program holds {place}", str(second): ""}
    assert scene.is_as_before() and second.is_symlink()


def test_a_vault_that_another_run_holds_leaves_its_files_alone(scene: Folding) -> None:
    objects.prepare(str(scene.vault))
    with objects.lock(str(scene.vault)):
        assert scene.errors() == [
            f"the kept file {scene.blob} was left alone: another program holds {scene.vault}/.lock"
        ]
    assert scene.is_as_before() and scene.errors() == [""]
    with objects.lock(str(scene.vault)):
        pass


@pytest.mark.parametrize("change", ["removed", "replaced"])
def test_all_names_of_a_payload_are_left_alone_when_one_of_them_changed(
    scene: Folding, strikes: Strikes, change: str
) -> None:
    second, other = scene.models / "second", scene.file(scene.models, "other", MODEL)
    os.link(scene.copy, second)
    what = scene.plan(scene.blob, scene.copy, second, other)
    second.unlink()
    # The link count, and so the ctime, of what is left is as it was scanned.
    os.link(scene.copy, scene.base / "elsewhere")
    found = scene.replica(scene.copy)
    actions = [
        action if action.path == str(other) else action._replace(victim=found._replace(path=action.path))
        for action in what.actions
    ]
    if change == "replaced":
        second.write_bytes(MODEL)
    strikes.at("exchange", lambda: os.close(os.open(scene.copy, os.O_WRONLY | os.O_NONBLOCK)))
    outcomes = {outcome.action.path: outcome.error for outcome in scene.run(Plan(tuple(actions)))}
    reason = "it is gone" if change == "removed" else "it changed since it was scanned"
    assert outcomes == {str(scene.copy): reason, str(second): reason, str(other): ""}
    assert not scene.copy.is_symlink() and other.is_symlink() and scene.temporaries == []


def test_a_keeper_that_cannot_be_read_leaves_its_copies_alone(
    scene: Folding, monkeypatch: pytest.MonkeyPatch
) -> None:
    inode, real = scene.blob.stat().st_ino, os.preadv

    def read(fd: int, *args: object) -> int:
        if os.fstat(fd).st_ino == inode:
            raise OSError(errno.EIO, "Input/output error")
        return real(fd, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "preadv", read)
    (outcome,) = scene.fold()
    assert outcome.error == f"the kept file {scene.blob} was left alone: the drive reported an error"
    assert not outcome.differs and scene.is_as_before() and scene.state_of_journal == {}
    assert not scene.vault.exists()


def test_one_copy_that_cannot_be_read_is_left_alone_and_no_other(
    scene: Folding, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = scene.file(scene.models, "n", MODEL)
    inode, real = scene.copy.stat().st_ino, os.preadv

    def read(fd: int, *args: object) -> int:
        if os.fstat(fd).st_ino == inode:
            raise OSError(errno.EIO, "Input/output error")
        return real(fd, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "preadv", read)
    outcomes = {outcome.action.path: outcome.error for outcome in scene.fold(scene.copy, second)}
    assert outcomes == {str(scene.copy): "the drive reported an error", str(second): ""}
    assert [intent.path for intent in scene.log().intents.values()] == [str(second)]


@pytest.mark.parametrize("what", ["file", "folder"])
def test_a_keeper_that_cannot_be_made_durable_leaves_its_copies_alone(
    scene: Folding, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    inode, real = os.stat(scene.blob if what == "file" else scene.blob.parent).st_ino, os.fsync
    struck = []

    def sync(fd: int) -> None:
        if os.fstat(fd).st_ino == inode:
            struck.append(fd)
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fsync", sync)
    assert scene.errors() == [
        f"the kept file {scene.blob} could not be made durable: the drive reported an error"
    ]
    assert len(struck) == 1, "a second fsync that succeeds proves nothing"
    assert scene.is_as_before() and scene.state_of_journal == {} and not scene.vault.exists()


def test_a_stop_during_the_compare_changes_nothing(scene: Folding, monkeypatch: pytest.MonkeyPatch) -> None:
    def reading(amount: int) -> None:
        scene.stop.set()

    monkeypatch.setattr(scene.progress, "advance", reading)
    with pytest.raises(Interrupted):
        scene.fold()
    assert scene.is_as_before() and scene.state_of_journal == {} and not scene.vault.exists()
    assert scene.progress.finished == 1
    with open(scene.copy, "r+b"), open(scene.blob, "r+b"):
        pass  # nobody holds a lease


def test_a_journal_that_cannot_be_written_ends_the_run_before_a_change(
    scene: Folding, monkeypatch: pytest.MonkeyPatch
) -> None:
    mode = scene.blob.stat().st_mode

    def full(book: journal.Journal) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with journal.Journal.create(scene.runs, "consolidate", "test") as book:
        with monkeypatch.context() as patch:
            patch.setattr(journal.Journal, "sync", full)
            with pytest.raises(OSError, match="No space left"):
                Executor(book, locks=scene.locks, readers=2, progress=scene.progress, stop=scene.stop).apply(
                    scene.plan(scene.blob, scene.copy)
                )
        book._pending.clear()
    assert scene.is_as_before() and not scene.vault.exists() and scene.blob.stat().st_mode == mode


# -- the keeper --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", ["fchmod", "utime"])
def test_a_keeper_that_cannot_be_made_ready_leaves_its_copies_alone(
    scene: Folding, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    os.utime(scene.copy, ns=(10**18, 10**18))
    what = scene.plan(scene.blob, scene.replica(scene.copy, latest_mtime_ns=10**18 + 1))
    monkeypatch.setattr(os, call, fail)
    (outcome,) = scene.run(what)
    assert outcome.error == f"the kept file {scene.blob} could not be made ready: the drive reported an error"
    assert scene.is_as_before() and scene.state_of_journal == {1: "dropped"}
    assert scene.log().reasons == {1: outcome.error}


def test_a_keeper_whose_mode_is_not_ours_to_change_is_kept_as_it_is(
    scene: Folding, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchmod", refuse)
    mode = scene.blob.stat().st_mode
    assert scene.errors() == [""] and scene.copy.is_symlink() and scene.blob.stat().st_mode == mode


@pytest.mark.parametrize(
    ("mode", "policy", "after"),
    [
        (0o664, Policy(), 0o444),
        (0o755, Policy(link=LinkKind.HARDLINK), 0o555),
        (0o444, Policy(), 0o444),
        (0o6664, Policy(), 0o6444),
        (0o446, Policy(), 0o444),
    ],
)
def test_a_keeper_loses_its_write_bits_and_nothing_else(
    scene: Folding, mode: int, policy: Policy, after: int
) -> None:
    scene.blob.chmod(mode)
    scene.copy.chmod(0o400)
    scene.policy = policy
    before = os.stat(scene.blob)
    assert scene.errors() == [""]
    now = os.stat(scene.blob)
    assert stat.S_IMODE(now.st_mode) == after
    assert now.st_mtime_ns == before.st_mtime_ns
    changes = scene.log().keepers
    expected = [] if mode == after else [(str(scene.blob), str(scene.cache), before.st_ino, (mode, after))]
    assert [(c.path, c.root, c.inode, c.mode) for c in changes] == expected
    assert all(c.mtime_ns == (before.st_mtime_ns, before.st_mtime_ns) for c in changes)


def test_between_caches_a_keeper_keeps_its_mode(scene: Folding) -> None:
    other = scene.file(scene.root("second", "cache"), "blobs/x", MODEL)
    mode = scene.blob.stat().st_mode
    assert scene.errors(other) == [""]
    assert scene.blob.stat().st_mode == mode == other.stat().st_mode and scene.log().keepers == []


def test_a_keeper_gets_the_time_that_its_readers_believe(scene: Folding) -> None:
    os.utime(scene.copy, ns=(10**18, 10**18))
    scene.blob.chmod(0o444)
    what = scene.plan(scene.blob, scene.replica(scene.copy, latest_mtime_ns=10**18 + 1))
    before = os.stat(scene.blob)
    scene.run(what)
    now = os.stat(scene.blob)
    assert (now.st_mtime_ns, now.st_atime_ns) == (10**18, before.st_atime_ns)
    (change,) = scene.log().keepers
    assert (change.mode, change.mtime_ns) == ((0o444, 0o444), (before.st_mtime_ns, 10**18))
    assert scene.log().intents[1].keeper_mtime_ns == 10**18


def test_another_file_under_the_digest_in_the_vault_is_told(scene: Folding) -> None:
    what = scene.plan(scene.blob, scene.copy)
    Path(what.actions[0].target).parent.mkdir(parents=True)
    Path(what.actions[0].target).write_bytes(b"stranger")
    assert [o.error for o in scene.run(what)] == ["the vault holds another file under the digest of this one"]
    assert scene.state_of_journal == {1: "dropped"} and scene.is_as_before()


# -- the swap ----------------------------------------------------------------------------------------------------------


@KINDS
def test_a_link_that_cannot_be_made_is_dropped(scene: Folding, strikes: Strikes, kind: LinkKind) -> None:
    scene.policy = Policy(link=kind)
    strikes.fails("symlink" if kind is LinkKind.SYMLINK else "link_from", code=errno.ENOSPC)
    assert scene.errors() == ["no space left on the file system"]
    assert scene.is_as_before() and scene.log().reasons == {1: "no space left on the file system"}


def test_a_link_whose_object_became_another_file_is_not_swapped_in(scene: Folding, strikes: Strikes) -> None:
    (object_,) = [action.target for action in scene.plan(scene.blob, scene.copy).actions]
    strikes.at("symlink", replace_by(Path(object_), b"another"), behind=True)
    assert scene.errors() == ["the link would not read the kept file"]
    assert not scene.copy.is_symlink() and scene.copy.read_bytes() == MODEL
    assert scene.temporaries == [] and scene.state_of_journal == {1: "dropped"}


@KINDS
def test_a_link_that_would_read_something_else_is_not_swapped_in(
    scene: Folding, strikes: Strikes, kind: LinkKind
) -> None:
    scene.policy = Policy(link=kind)
    if kind is LinkKind.SYMLINK:
        (object_,) = [action.target for action in scene.plan(scene.blob, scene.copy).actions]
        strikes.at("symlink", lambda: os.unlink(object_), behind=True)
    else:
        strikes.at("link_from", replace_by(scene.blob, MODEL))
    assert scene.errors() == ["the link would not read the kept file"]
    assert not scene.copy.is_symlink() and scene.copy.read_bytes() == MODEL
    assert scene.copy.stat().st_nlink == 1 and scene.state_of_journal == {1: "dropped"}


@KINDS
def test_an_exchange_that_fails_is_dropped(scene: Folding, strikes: Strikes, kind: LinkKind) -> None:
    scene.policy = Policy(link=kind)
    strikes.fails("exchange")
    assert scene.errors() == ["the drive reported an error"]
    assert scene.is_as_before() and scene.state_of_journal == {1: "dropped"}


@pytest.fixture(params=["exchange", "rename"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With an exchange of names, and on a file system that has none."""
    if request.param == "rename":
        monkeypatch.setattr(fsops, "_libc", None)
    return str(request.param)


def around_the_swap(
    monkeypatch: pytest.MonkeyPatch, *, before: Callable[[], object] = int, behind: Callable[[], object] = int
) -> None:
    real = exchange.swap_in

    def swap_in(*args: object) -> str:
        before()
        displaced = real(*args)  # type: ignore[arg-type]
        behind()
        return displaced

    monkeypatch.setattr(exchange, "swap_in", swap_in)


@KINDS
def test_a_file_saved_anew_right_before_the_swap_stays(
    scene: Folding, monkeypatch: pytest.MonkeyPatch, way: str, kind: LinkKind
) -> None:
    scene.policy = Policy(link=kind)
    around_the_swap(monkeypatch, before=replace_by(scene.copy, b"newer"))
    assert scene.errors() == ["it changed while it was being replaced"]
    assert scene.copy.read_bytes() == b"newer" and scene.temporaries == []
    assert scene.state_of_journal == {1: "dropped"}


@KINDS
def test_a_file_saved_anew_right_behind_the_swap_stays_and_the_older_is_told(
    scene: Folding, monkeypatch: pytest.MonkeyPatch, way: str, kind: LinkKind
) -> None:
    scene.policy = Policy(link=kind)
    around_the_swap(monkeypatch, behind=replace_by(scene.copy, b"newer"))
    (error,) = scene.errors()
    assert scene.copy.read_bytes() == b"newer"
    (older,) = scene.temporaries
    assert older.read_bytes() == MODEL
    assert error == (
        "its path changed while it was being replaced; taking it back failed: the file as it was before is at "
        f"{older.name} beside it"
    )
    assert scene.state_of_journal == {1: "intent"}
    assert [left.path for left in scene.recover().left] == [str(scene.copy)]
    assert scene.copy.read_bytes() == b"newer" and older.read_bytes() == MODEL


def test_a_file_deleted_right_behind_the_swap_is_there_again_after_recovery(
    scene: Folding, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    around_the_swap(monkeypatch, behind=scene.copy.unlink)
    (error,) = scene.errors()
    assert error.startswith("its path changed while it was being replaced")
    if way == "exchange":
        assert error.endswith("; taking it back failed: it is gone") and scene.state_of_journal == {
            1: "intent"
        }
        scene.recover()
    assert scene.is_as_before()


@KINDS
def test_a_keeper_that_is_replaced_right_behind_the_swap_loses_its_link(
    scene: Folding, monkeypatch: pytest.MonkeyPatch, way: str, kind: LinkKind
) -> None:
    scene.policy = Policy(link=kind)
    around_the_swap(monkeypatch, behind=replace_by(scene.blob, b"newer"))
    assert scene.errors() == [f"the kept file {scene.blob} changed meanwhile"]
    assert scene.is_as_before() and scene.blob.read_bytes() == b"newer"
    assert scene.state_of_journal == {1: "dropped"}


def test_a_file_that_somebody_wants_to_write_to_is_given_back(
    scene: Folding, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    def want() -> None:
        with pytest.raises(BlockingIOError):
            os.open(scene.copy, os.O_WRONLY | os.O_NONBLOCK)

    around_the_swap(monkeypatch, before=want)
    assert scene.errors() == ["it changed while it was being replaced"]
    assert scene.is_as_before()


def test_what_is_taken_back_is_durable_before_the_journal_says_so(
    scene: Folding, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []
    for method in ("exchange", "unlink", "sync"):
        real = getattr(Directory, method)

        def call(directory: Directory, *args: object, method: str = method, real: object = real) -> object:
            if directory.path == str(scene.models):
                calls.append(method)
            return real(directory, *args)  # type: ignore[operator]

        monkeypatch.setattr(Directory, method, call)
    around_the_swap(monkeypatch, behind=replace_by(scene.blob, b"newer"))
    assert scene.errors() == [f"the kept file {scene.blob} changed meanwhile"]
    assert calls == ["exchange", "exchange", "unlink", "sync"]


@KINDS
def test_a_folder_that_cannot_be_made_durable_gets_its_files_back(
    scene: Folding, strikes: Strikes, way: str, kind: LinkKind
) -> None:
    """One fsync for both; what the disk holds is not sure, so recovery looks again."""
    second = scene.file(scene.models, "n", MODEL)
    scene.policy = Policy(link=kind)
    strikes.fails("sync")
    assert scene.errors(scene.copy, second) == ["the drive reported an error"] * 2
    assert scene.is_as_before() and second.read_bytes() == MODEL and not second.is_symlink()
    assert scene.state_of_journal == {1: "intent", 2: "intent"}
    settled = scene.recover()
    assert settled.rolled_back == [str(scene.copy), str(second)] and not settled.left
    assert scene.log().state == "recovered" and scene.is_as_before()


def test_each_folder_is_made_durable_once_a_batch(scene: Folding, monkeypatch: pytest.MonkeyPatch) -> None:
    copies = [scene.file(scene.models, name, MODEL) for name in ("a", "b", "sub/c")]
    synced: list[str] = []
    real = Directory.sync

    def sync(directory: Directory) -> None:
        synced.append(directory.path)
        real(directory)

    monkeypatch.setattr(Directory, "sync", sync)
    assert scene.errors(*copies) == [""] * 3
    assert synced.count(str(scene.models)) == 1 and synced.count(str(scene.models / "sub")) == 1


def test_a_folder_that_cannot_be_looked_at_gets_its_file_back(scene: Folding, strikes: Strikes) -> None:
    strikes.fails("stat")
    assert scene.errors() == ["the drive reported an error"]
    assert scene.is_as_before() and scene.state_of_journal == {1: "intent"}


def test_what_cannot_be_taken_back_now_stays_open_for_recovery(scene: Folding, strikes: Strikes) -> None:
    strikes.fails("sync")
    strikes.fails("exchange", 2)
    assert scene.errors() == [
        "the drive reported an error; taking it back failed: the drive reported an error"
    ]
    assert scene.state_of_journal == {1: "intent"} and scene.copy.is_symlink() and len(scene.temporaries) == 1
    assert scene.recover().rolled_back == [str(scene.copy)] and scene.is_as_before()


def test_a_displaced_file_that_cannot_be_removed_goes_back(
    scene: Folding, strikes: Strikes, way: str
) -> None:
    strikes.fails("unlink")
    assert scene.errors() == ["the drive reported an error"]
    assert scene.is_as_before() and scene.state_of_journal == {1: "dropped"}


def test_a_keeper_that_changes_while_folders_are_made_durable_loses_its_link(
    scene: Folding, strikes: Strikes, way: str
) -> None:
    strikes.at("sync", replace_by(scene.blob, b"newer"))
    assert scene.errors() == [f"the kept file {scene.blob} changed meanwhile"]
    assert scene.is_as_before() and scene.state_of_journal == {1: "dropped"}


@pytest.mark.skipif(os.geteuid() != 0, reason="a keeper is read-only: only root may open it to write")
def test_a_keeper_that_somebody_wants_to_write_to_at_the_end_serves_no_further_batch(
    scene: Folding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swaps, "BATCH_ACTIONS", 1)
    second = scene.file(scene.models, "n", MODEL)
    real = Swapper._finish

    def finish(self: Swapper, *args: object) -> None:
        real(self, *args)  # type: ignore[arg-type]
        with pytest.raises(BlockingIOError):
            os.open(scene.blob, os.O_WRONLY | os.O_NONBLOCK)

    monkeypatch.setattr(Swapper, "_finish", finish)
    assert scene.errors(scene.copy, second) == [
        "",
        f"the kept file {scene.blob} was left alone: it changed since it was scanned",
    ]


def test_names_of_one_payload_take_turns(scene: Folding, monkeypatch: pytest.MonkeyPatch) -> None:
    """btrfs would lose a name that is exchanged in a folder not durable yet when another name's folder is."""
    second = scene.models / "sub" / "second"
    second.parent.mkdir()
    os.link(scene.copy, second)
    calls: list[tuple[str, str]] = []
    for method in ("exchange", "sync", "unlink"):
        real = getattr(Directory, method)

        def call(directory: Directory, *args: object, method: str = method, real: object = real) -> object:
            if directory.path.startswith(str(scene.models)):
                calls.append((method, os.path.basename(directory.path)))
            return real(directory, *args)  # type: ignore[operator]

        monkeypatch.setattr(Directory, method, call)
    assert scene.errors(scene.copy, second) == ["", ""]
    assert calls == [
        (method, folder) for folder in ("models", "sub") for method in ("exchange", "sync", "unlink")
    ]


# -- the run -----------------------------------------------------------------------------------------------------------


def test_everything_happens_in_the_order_that_loses_no_byte(
    scene: Folding, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Invariant 3, by the calls themselves."""
    calls: list[str] = []

    def note(owner: object, name: str, say: Callable[..., str]) -> None:
        real = getattr(owner, name)

        def call(*args: object, **kwargs: object) -> object:
            calls.append(say(*args))
            return real(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    def path(fd: int) -> str:
        found = os.readlink(f"/proc/self/fd/{fd}")
        return "journal" if found.endswith(".jsonl") else os.path.relpath(found, scene.base)

    note(os, "fsync", lambda fd: f"fsync {path(fd)}")
    note(os, "fchmod", lambda fd, mode: f"chmod {path(fd)} {mode:o}")
    note(compare, "compare", lambda *args, **kwargs: "compare")
    note(objects, "add_object", lambda *args: "object")
    note(objects, "note_links", lambda *args: "links")
    for method in ("symlink", "exchange", "unlink"):
        note(Directory, method, lambda directory, *names, method=method: method)
    what = scene.plan(scene.blob, scene.copy)
    with journal.Journal.create(scene.runs, "consolidate", "test") as book:
        run = Executor(book, locks=scene.locks, readers=2, progress=scene.progress, stop=scene.stop)
        calls.clear()
        assert [outcome.error for outcome in run.apply(what)] == [""]
    tidy = [call for call in calls if not call.startswith("fsync hf")]
    assert tidy == [
        "compare",
        "fsync journal",
        "object",
        "links",
        "chmod hf/hub/blobs/x 444",
        "symlink",
        "exchange",
        "fsync models",
        "unlink",
        "fsync journal",
        "fsync journal",
    ]
    before = calls[: calls.index("object")]
    assert before[before.index("compare") :] == [
        "compare",
        "fsync hf/hub/blobs/x",
        "fsync hf/hub/blobs",
        "fsync journal",
    ]


def test_the_journal_has_all_that_an_undo_needs(scene: Folding) -> None:
    scene.copy.chmod(0o640)
    os.setxattr(scene.copy, "user.a", b"\xff")
    os.utime(scene.copy, ns=(5, 7))
    what = scene.plan(scene.blob, scene.copy)
    st = os.lstat(scene.copy)
    (action,) = what.actions
    assert [o.error for o in scene.run(what)] == [""]
    log = scene.log()
    assert log.intents[1] == Intent(
        number=1,
        path=str(scene.copy),
        root=str(scene.models),
        backend="plain",
        link=LinkKind.SYMLINK,
        target=action.target,
        text=os.readlink(scene.copy),
        temporary=f".hubfold-{log.run}-1",
        keeper=str(scene.blob),
        keeper_root=str(scene.cache),
        keeper_inode=os.lstat(scene.blob).st_ino,
        keeper_mtime_ns=os.lstat(scene.blob).st_mtime_ns,
        size=len(MODEL),
        xxh3_128=xxhash.xxh3_128(MODEL).hexdigest(),
        digests=action.digests,
        payload=f"{st.st_dev}:{st.st_ino}",
        inode=st.st_ino,
        mode=0o640,
        uid=st.st_uid,
        gid=st.st_gid,
        atime_ns=st.st_atime_ns,
        mtime_ns=7,
        xattrs={"user.a": b"\xff"},
        allocated=st.st_blocks * 512,
        bytes=st.st_blocks * 512,
        reason=action.reason,
        mount=FileSystems().of(str(scene.models)).mount,
        locks=(),
        keeper_mode=stat.S_IMODE(os.lstat(scene.blob).st_mode),
    )
    assert log.objects == [action.target] and log.states == {1: "done"}
    (noted,) = objects.read_links(action.target)
    assert (noted.link, noted.mount, noted.run) == (str(scene.copy), log.intents[1].mount, log.run)
    assert {intent.root for intent in log.intents.values()} <= set(log.places)
    vault = log.places[str(scene.vault)]
    assert vault.vault == objects.id_of(str(scene.vault)) != "" and vault.inode == scene.vault.stat().st_ino


def test_progress_is_told_in_the_bytes_that_are_compared(scene: Folding) -> None:
    second = scene.file(scene.models, "n", MODEL)
    assert scene.errors(scene.copy, second) == ["", ""]
    assert scene.progress.started == [("folding", 4 * len(MODEL), "bytes")]
    # The keeper is read once for both.
    assert scene.progress.total == 3 * len(MODEL) and scene.progress.finished == 1


def test_a_keeper_that_the_run_itself_changed_serves_the_next_batch(
    scene: Folding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swaps, "BATCH_ACTIONS", 1)
    os.utime(scene.copy, ns=(10**18, 10**18))
    second = scene.file(scene.models, "n", MODEL)
    what = scene.plan(scene.blob, scene.replica(scene.copy, latest_mtime_ns=10**18 + 1), second)
    assert [o.error for o in scene.run(what)] == ["", ""]
    assert scene.copy.is_symlink() and second.is_symlink()


def behind_each_batch(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    real = Executor._apply_batch

    def apply(self: Executor, batch: object) -> None:
        real(self, batch)  # type: ignore[arg-type]
        do()

    monkeypatch.setattr(Executor, "_apply_batch", apply)


def test_a_keeper_that_somebody_changed_between_two_batches_serves_no_more(
    scene: Folding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swaps, "BATCH_ACTIONS", 1)
    second = scene.file(scene.models, "n", MODEL)
    behind_each_batch(monkeypatch, lambda: os.utime(scene.blob, ns=(1, 1)))
    assert scene.errors(scene.copy, second) == [
        "",
        f"the kept file {scene.blob} was left alone: it changed since it was scanned",
    ]


def test_a_stop_between_two_batches_leaves_whole_what_is_done(
    scene: Folding, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swaps, "BATCH_ACTIONS", 1)
    second = scene.file(scene.models, "n", MODEL)
    behind_each_batch(monkeypatch, scene.stop.set)
    with pytest.raises(Interrupted):
        scene.fold(scene.copy, second)
    assert scene.copy.is_symlink() and not second.is_symlink() and scene.state_of_journal == {1: "done"}
    assert scene.progress.total == 2 * len(MODEL), "nothing of the second batch is read"
    with objects.lock(str(scene.vault)):
        pass


def test_an_empty_plan_does_nothing(scene: Folding) -> None:
    assert scene.run(Plan()) == [] and scene.is_as_before() and not scene.vault.exists()
    assert scene.progress.started == [("folding", 0, "bytes")] and scene.progress.finished == 1


@pytest.fixture(autouse=True)
def all_is_closed() -> Iterator[None]:
    with nothing_stays_open():
        yield


def test_files_are_compared_several_at_once_but_one_by_one_where_a_disk_rotates(
    scene: Folding, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = []
    for name in "abcd":
        content = os.urandom(len(MODEL))
        blob, copy = (
            scene.file(scene.cache, f"blobs/{name}", content),
            scene.file(scene.models, name, content),
        )
        plans.append(scene.plan(blob, copy))
    real, at_work, most, two_at_once = compare.compare, 0, 0, threading.Event()

    def slow(*args: Any, **more: Any) -> Any:
        nonlocal at_work, most
        at_work += 1
        most = max(most, at_work)
        if at_work == 2:
            two_at_once.set()
        two_at_once.wait(PATIENCE if expected == 2 else 0.05)
        try:
            return real(*args, **more)
        finally:
            at_work -= 1

    monkeypatch.setattr(compare, "compare", slow)
    for rotating, expected in ((True, 1), (False, 2)):
        most = 0
        monkeypatch.setattr(executor, "rotates", lambda device, answer=rotating: answer)
        two = plans[:2] if rotating else plans[2:]
        assert not any(o.error for o in scene.run(Plan(tuple(a for what in two for a in what.actions))))
        assert most == expected


@KINDS
def test_a_file_saved_anew_behind_the_swap_of_an_undo_stays(
    scene: Folding, monkeypatch: pytest.MonkeyPatch, way: str, kind: LinkKind
) -> None:
    scene.policy = Policy(link=kind)
    assert scene.errors() == [""]

    def save() -> None:
        replace_by(scene.copy, b"newer")()
        monkeypatch.setattr(Directory, "sync", fails_once(Directory.sync))

    around_the_swap(monkeypatch, behind=save)
    undone = scene.undo()
    assert undone.restored == []
    (failed,) = undone.failed
    assert failed.path == str(scene.copy) and failed.error == "the drive reported an error"
    assert scene.copy.read_bytes() == b"newer"
    assert [path for path in scene.temporaries if path.read_bytes() != MODEL] == []
    scene.recover()
    assert scene.copy.read_bytes() == b"newer" and scene.temporaries == []
    assert scene.undo().restored == [] and scene.copy.read_bytes() == b"newer"


def fails_once(real: Callable[[Directory], None]) -> Callable[[Directory], None]:
    calls: list[Directory] = []

    def sync(directory: Directory) -> None:
        calls.append(directory)
        if len(calls) == 1:
            raise OSError(errno.EIO, "Input/output error")
        real(directory)

    return sync


class Killed(BaseException):
    """The process ends here."""


@KINDS
def test_a_file_saved_right_before_the_swap_of_an_undo_outlives_a_kill_behind_it(
    scene: Folding, monkeypatch: pytest.MonkeyPatch, way: str, kind: LinkKind
) -> None:
    scene.policy = Policy(link=kind)
    assert scene.errors() == [""]

    def kill() -> None:
        raise Killed

    with monkeypatch.context() as patch:
        around_the_swap(patch, before=replace_by(scene.copy, b"newer"), behind=kill)
        with pytest.raises(Killed):
            scene.undo()
    assert scene.copy.read_bytes() == MODEL
    (left,) = scene.recover().left
    (displaced,) = scene.temporaries
    assert displaced.read_bytes() == b"newer" and str(displaced.name) in left.reason
