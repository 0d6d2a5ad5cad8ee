"""Scans of real trees: what is found, what is read, and what stays known when places vanish."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest

from hubfold.backend.boundary import GuardedBackend
from hubfold.backend.contract import Capabilities, Folder, StorageBackend, Walk
from hubfold.content import VAULT, VAULT_MARKER, Replica, Root, Trust
from hubfold.errors import Interrupted
from hubfold.faults import Origin
from hubfold.progress import Stop
from hubfold.reading import page_cache
from tests import CHECKOUT
from tests.building.scanned import Place, blob, git_blob, noise
from tests.faults.filesystems import open_the_way

MIB = 1 << 20


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    one = Place(tmp_path)
    with one.index:
        yield one


class Counting(ThreadPoolExecutor):
    """Notes which files are read, and by which algorithms."""

    def __init__(self) -> None:
        super().__init__(2)
        self.read: list[tuple[str, tuple[str, ...]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.read += [(os.path.basename(job.path), job.algorithms) for job in args[0]]
        return super().submit(fn, *args, **kwargs)


# what is found


def test_equal_files_are_a_set_and_others_are_not(place: Place) -> None:
    for name in ("tree/a", "tree/below/b", "other/c"):
        place.file(name, noise("same"))
    place.file("tree/d", noise("different"))
    report = place.scan("tree", "other")
    assert place.sets() == [["other/c", "tree/a", "tree/below/b"]]
    assert (report.files, report.bytes, report.duplicate_sets) == (4, 4 * MIB, 1)
    assert report.reclaimable_bytes == 2 * MIB
    assert not report.failed
    assert not report.warnings
    assert place.duplicates()[0].trust is Trust.COMPUTED


def test_empty_files_and_files_under_the_least_size_are_not_compared(place: Place) -> None:
    for name in ("a", "b"):
        place.file(f"tree/empty-{name}", b"")
        place.file(f"tree/small-{name}", b"config")
    for least, sets in ((7, 0), (1, 1), (0, 1)):
        report = place.scan("tree", min_size=least)
        assert (report.files, report.files_read, report.duplicate_sets) == (4, 2 * sets * (least == 1), sets)


def test_a_fine_tune_with_the_size_and_head_of_its_base_is_never_in_its_set(place: Place) -> None:
    base = noise("base", 4 * MIB)
    for at in (len(base) // 2, 100 * 1024, len(base) - 1, 3 * MIB + 17):
        place.file(f"tree/tuned-{at}", base[:at] + bytes([base[at] ^ 1]) + base[at + 1 :])
    place.file("tree/base", base)
    place.file("tree/copy", base)
    place.scan("tree")
    assert place.sets() == [["tree/base", "tree/copy"]]


def test_hard_links_are_one_payload_and_no_duplicates(place: Place) -> None:
    path = place.file("tree/a", noise("same"))
    os.link(path, place.folder / "tree" / "b")
    report = place.scan("tree")
    assert (report.files, report.bytes, report.duplicate_sets) == (2, MIB, 0)
    place.file("tree/c", noise("same"))
    report = place.scan("tree")
    assert place.sets() == [["tree/a", "tree/b", "tree/c"]]
    assert report.reclaimable_bytes == MIB


def test_a_payload_with_a_name_outside_the_roots_frees_nothing(place: Place) -> None:
    outside = place.file("outside", noise("same"))
    (place.folder / "tree").mkdir()
    os.link(outside, place.folder / "tree" / "a")
    place.file("tree/b", noise("same"))
    assert place.scan("tree").reclaimable_bytes == MIB, "the other one may go"
    os.link(place.folder / "tree" / "b", place.folder / "outside-too")
    assert place.scan("tree").reclaimable_bytes == 0


def test_sparse_files_count_by_their_blocks(place: Place) -> None:
    for name in ("a", "b"):
        with open(place.file(f"tree/{name}", b"x"), "ab") as file:
            file.truncate(10 * MIB)
    report = place.scan("tree")
    assert report.duplicate_sets == 1
    assert report.bytes == 20 * MIB
    assert 0 < report.reclaimable_bytes <= 65536
    assert report.roots[0].allocated_bytes < MIB


def test_payloads_that_share_their_extents_are_folded_already(place: Place) -> None:
    for name in ("a", "b", "c"):
        place.file(f"tree/{name}", noise("same"))
    assert place.scan("tree").reclaimable_bytes == 2 * MIB
    report = place.scan(
        "tree", shared_extents=lambda replica: "one" if replica.path.endswith(("a", "b")) else None
    )
    assert (report.duplicate_sets, report.reclaimable_bytes) == (1, MIB)
    report = place.scan("tree", shared_extents=lambda replica: "all")
    place.index.record_digests(place.duplicates()[0].replicas[0].signature, {})
    report = place.scan("tree", shared_extents=lambda replica: "all")
    assert (report.duplicate_sets, report.reclaimable_bytes) == (0, 0)


@pytest.mark.parametrize(
    "name", [b"\xff\xfe.bin", b"new\nline", b"esc\x1b[31m", "bidi\u202e".encode(), b" ", b"\\x"]
)
def test_any_name_is_found_and_found_again(place: Place, name: bytes) -> None:
    folder = os.fsencode(place.folder) + b"/tree/" + name
    os.makedirs(folder)
    for file in (name, name + b"2"):
        with open(folder + b"/" + file, "wb") as out:
            out.write(noise("same"))
    place.scan("tree")
    (duplicates,) = place.duplicates()
    assert [os.fsencode(replica.path) for replica in duplicates.replicas] == [
        folder + b"/" + name,
        folder + b"/" + name + b"2",
    ]
    assert place.scan("tree").files_read == 0


# what is read


def test_a_second_scan_of_an_unchanged_tree_reads_nothing(place: Place) -> None:
    for number in range(6):
        place.file(f"tree/{number}", noise(str(number % 4), 300_000))
    blob(place, "hf/hub", noise("claimed"))
    place.file("tree/copy", noise("claimed"))
    assert place.scan("tree", "hf").files_read > 0
    before = place.sets()
    version = place.index.version()
    report = place.scan("tree", "hf")
    assert (report.files_read, report.bytes_read) == (0, 0)
    assert (place.sets(), place.index.version()) == (before, version)
    assert report.duplicate_sets == len(before)


def test_equal_claims_are_believed_unread(place: Place) -> None:
    for cache in ("one/hub", "two/hub"):
        blob(place, cache, noise("lfs"))
        git_blob(place, cache, noise("git", 2 * MIB))
    report = place.scan("one", "two")
    assert (report.duplicate_sets, report.bytes_read, report.files_read) == (2, 0, 0)
    assert {one.trust for one in place.duplicates()} == {Trust.CLAIMED}


@pytest.mark.parametrize(("make", "algorithm"), [(blob, "sha256"), (git_blob, "git-sha1")])
def test_the_unclaimed_side_is_read_with_the_algorithm_of_the_claim(
    place: Place, make: Callable[..., Path], algorithm: str
) -> None:
    make(place, "hub", noise("same"))
    place.file("tree/copy", noise("same"))
    place.file("tree/unrelated", noise("unrelated"))
    place.file("tree/of-no-size-like-it", noise("alone", MIB + 1))
    with Counting() as executor:
        report = place.scan("hub", "tree", executor=executor)
    assert sorted(executor.read) == [("copy", (algorithm,)), ("unrelated", (algorithm,))]
    assert (report.files_read, report.bytes_read) == (2, 2 * MIB)
    assert len(place.sets()) == 1
    assert place.duplicates()[0].trust is Trust.CLAIMED


@pytest.mark.parametrize("cold", [None, "blob", "copy"])
def test_what_is_in_memory_is_compared_by_the_fastest_algorithm_whatever_is_claimed(
    place: Place, monkeypatch: pytest.MonkeyPatch, cold: str | None
) -> None:
    """One side from a disk and all is as ever: the claimed side is not read."""
    claimed = blob(place, "hub", noise("same", 5 * MIB))
    copy = place.file("tree/copy", noise("same", 5 * MIB))
    away = {"blob": str(claimed), "copy": str(copy)}.get(cold or "")
    monkeypatch.setattr(page_cache, "in_cache", lambda path, size: size == 5 * MIB and path != away)
    with Counting() as executor:
        report = place.scan("hub", "tree", executor=executor)
    if cold is None:
        assert sorted(executor.read) == sorted([(claimed.name, ("xxh3_128",)), ("copy", ("xxh3_128",))])
        assert place.duplicates()[0].trust is Trust.COMPUTED
    else:
        assert executor.read == [("copy", ("sha256",))]
    assert len(place.sets()) == 1 and report.duplicate_sets == 1
    assert place.scan("hub", "tree").files_read == 0


def test_many_claimed_contents_are_not_read_for_the_sake_of_one_copy(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(6):
        blob(place, "hub", noise(str(number), 5 * MIB), f"models--org--{number}")
    place.file("tree/copy", noise("0", 5 * MIB))
    monkeypatch.setattr(page_cache, "in_cache", lambda path, size: True)
    with Counting() as executor:
        place.scan("hub", "tree", executor=executor)
    assert executor.read == [("copy", ("sha256",))]


def test_samples_separate_before_anything_is_read_whole(place: Place) -> None:
    size = 8 * MIB
    base = noise("base", size)
    place.file("tree/base", base)
    place.file("tree/tuned", base[:MIB] + noise("tuned", size - MIB))
    place.file("tree/other", noise("other", size))
    with Counting() as executor:
        report = place.scan("tree", executor=executor)
    assert {algorithms for _, algorithms in executor.read} == {("sample",)}
    assert report.files_read == 3
    assert report.bytes_read < MIB
    place.file("tree/copy", base)
    with Counting() as executor:
        report = place.scan("tree", executor=executor)
    assert sorted(executor.read) == [("base", ("xxh3_128",)), ("copy", ("sample",)), ("copy", ("xxh3_128",))]
    assert report.files_read == 2
    assert place.sets() == [["tree/base", "tree/copy"]]


def test_claims_of_two_algorithms_are_settled_by_the_fewest_bytes(place: Place) -> None:
    for number in range(3):
        blob(place, "hub", noise(str(number)), f"models--org--{number}")
    git_blob(place, "hub", noise("0"), "models--org--git")
    with Counting() as executor:
        report = place.scan("hub", executor=executor)
    assert [algorithms for _, algorithms in executor.read] == [("sha256",)]
    assert report.bytes_read == MIB
    assert [len(names) for names in place.sets()] == [2]
    assert place.scan("hub").files_read == 0


def test_bytes_read_are_those_the_kernel_counts(place: Place, tmp_path: Path) -> None:
    for number in range(4):
        place.file(f"tree/{number}", noise("same", 3 * MIB + number // 2))
    place.index.close()
    program = f"""
import sys; sys.path.insert(0, {str(CHECKOUT)!r})
from pathlib import Path
from tests.building.scanned import Place
place = Place(Path({str(tmp_path)!r}))
def read_by_now():
    return int(next(line for line in open("/proc/self/io") if line.startswith("rchar")).split()[1])
place.scan("tree", min_size=1 << 40)
before = read_by_now()
report = place.scan("tree")
print(report.bytes_read, report.files_read, read_by_now() - before)
"""
    out = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    bytes_read, files_read, counted = map(int, out.split())
    assert files_read == 4
    assert bytes_read >= 12 * MIB
    assert 0 <= counted - bytes_read < MIB, "the rest is the index"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_rescan_opens_no_content_seen_from_outside(place: Place, tmp_path: Path) -> None:
    for number in range(3):
        place.file(f"tree/file-{number}", noise("same"))
    blob(place, "hub", noise("claimed"))
    place.index.close()
    program = f"""
import sys; sys.path.insert(0, {str(CHECKOUT)!r})
from pathlib import Path
from tests.building.scanned import Place
Place(Path({str(tmp_path)!r})).scan("tree", "hub")
"""
    opened = []
    for _ in range(2):
        trace = tmp_path / "trace"
        command = ["strace", "-f", "-qq", "-e", "trace=open,openat,openat2", "-o", str(trace)]
        subprocess.run([*command, sys.executable, "-c", program], check=True, capture_output=True)
        lines = trace.read_text().splitlines()
        opened.append({line.split('"')[1] for line in lines if "/file-" in line or "/blobs/" in line})
    assert {os.path.basename(path) for path in opened[0]} == {"file-0", "file-1", "file-2"}, (
        "the blob is claimed"
    )
    assert opened[1] == set()


def test_another_process_can_do_the_reading(place: Place) -> None:
    for name in ("a", "b"):
        place.file(f"tree/{name}", noise("same"))
    with ProcessPoolExecutor(1) as executor:
        report = place.scan("tree", executor=executor)
    assert (report.duplicate_sets, report.files_read) == (1, 2)


# changes


def test_an_edit_takes_a_file_out_of_its_set(place: Place) -> None:
    for name in ("a", "b", "c"):
        place.file(f"tree/{name}", noise("same"))
    place.scan("tree")
    place.file("tree/b", noise("edited"))
    place.scan("tree")
    assert place.sets() == [["tree/a", "tree/c"]]


def test_deleted_files_and_folders_lose_their_rows(place: Place) -> None:
    for name in ("a", "below/b", "below/deep/c", "kept/d"):
        place.file(f"tree/{name}", noise(name))
    place.scan("tree")
    (place.folder / "tree/a").unlink()
    shutil.rmtree(place.folder / "tree/below")
    report = place.scan("tree")
    assert place.names() == ["tree/kept/d"]
    assert (report.files, report.bytes) == (1, MIB)


def test_a_file_that_became_something_else_loses_its_row(place: Place) -> None:
    for name in ("folder", "link", "fifo"):
        place.file(f"tree/{name}", noise(name)).unlink()
        place.file(f"tree/{name}", noise(name))
    place.scan("tree")
    for name in ("folder", "link", "fifo"):
        (place.folder / "tree" / name).unlink()
    (place.folder / "tree/folder").mkdir()
    (place.folder / "tree/link").symlink_to("/etc/passwd")
    os.mkfifo(place.folder / "tree/fifo")
    place.scan("tree")
    assert place.names() == []


def test_a_file_that_grows_while_it_is_read_gets_no_digest(place: Place) -> None:
    growing = place.file("tree/growing", noise("same"))
    place.file("tree/still", noise("same"))

    class Meddling(ThreadPoolExecutor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            def during(count: int) -> None:
                with open(growing, "ab") as file:
                    file.write(b"more")

            return super().submit(fn, args[0], during, *args[2:])

    with Meddling(1) as executor:
        report = place.scan("tree", executor=executor)
    assert [warning.path for warning in report.warnings] == [str(growing)]
    assert "changed" in report.warnings[0].message
    assert place.sets() == []
    replica = place.index.replica(str(growing))
    assert replica is not None
    assert replica.computed == {}


def test_a_stopped_scan_goes_on_where_it_was(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubfold.reading.pool.TASK_JOBS", 1)
    for number in range(12):
        place.file(f"tree/{number}", noise("same", 200_000))
    stop = Stop()

    class Stopping(Counting):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            future = super().submit(fn, *args, **kwargs)
            if len(self.read) >= 5:
                future.result()
                stop.set()
            return future

    with Stopping() as executor, pytest.raises(Interrupted):
        place.scan("tree", executor=executor, stop=stop)
    done = [replica for replica in place.index.below(str(place.folder)) if replica.computed]
    assert 0 < len(done) < 12
    with Counting() as executor:
        report = place.scan("tree", executor=executor)
    assert len(executor.read) == 12 - len(done)
    assert report.duplicate_sets == 1
    assert len(place.duplicates()[0].replicas) == 12


# places that are away


def test_a_root_that_is_gone_keeps_what_is_known_of_it(place: Place) -> None:
    place.file("drive/a", noise("same"))
    place.file("tree/b", noise("same"))
    place.scan("drive", "tree")
    os.rename(place.folder / "drive", place.folder / "unplugged")
    report = place.scan()
    assert place.names() == ["drive/a", "tree/b"]
    (failed,) = [root for root in report.roots if root.error]
    assert failed.path == str(place.folder / "drive")
    assert failed.files == 1
    assert "not there" in str(failed.error)
    assert report.failed
    os.rename(place.folder / "unplugged", place.folder / "drive")
    assert place.scan().files_read == 0


def renumber(place: Place, device: int) -> None:
    """Let the rows be of another device, as if the tree had lain on a drive that is now away."""
    with place.index.file.transaction() as connection:
        connection.execute("UPDATE files SET device = ?", (device,))
        connection.execute("UPDATE digests SET device = ?", (device,))
        connection.execute("UPDATE roots SET device = ?", (device,))


def test_a_mount_that_is_missing_keeps_what_is_known_of_it(place: Place) -> None:
    for name in ("drive/models/a", "drive/b"):
        place.file(name, noise("same"))
    place.scan("drive")
    renumber(place, 7)
    shutil.rmtree(place.folder / "drive")
    (place.folder / "drive").mkdir()
    for _ in range(2):
        report = place.scan("drive")
        assert place.names() == ["drive/b", "drive/models/a"], "the empty mount point proves nothing"
        assert "another file system" in str(report.roots[0].error)


def test_a_mount_that_is_missing_below_a_root_keeps_what_is_known_of_it(place: Place) -> None:
    place.file("tree/usb/a", noise("same"))
    place.scan("tree")
    renumber(place, 7)
    shutil.rmtree(place.folder / "tree/usb")
    place.file("tree/here", noise("same"))
    place.scan("tree")
    assert place.names() == ["tree/here", "tree/usb/a"], "an automounter takes the mount point away too"


def test_a_device_that_only_got_another_number_is_the_same(place: Place) -> None:
    for name in ("a", "b", "below/c"):
        place.file(f"drive/{name}", noise("same"))
    place.scan("drive")
    renumber(place, 7)
    (place.folder / "drive/b").unlink()
    report = place.scan("drive")
    assert place.names() == ["drive/a", "drive/below/c"]
    assert report.roots[0].error is None
    assert report.files_read == 0, "digests move with the number"
    assert report.duplicate_sets == 1


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("mount") is None, reason="mounting needs root")
def test_a_real_mount_that_is_taken_away(place: Place) -> None:
    drive = place.folder / "drive"
    drive.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "tmpfs", drive], capture_output=True).returncode:
        pytest.skip("tmpfs cannot be mounted here")
    try:
        place.file("drive/models/a", noise("same"))
        place.file("tree/b", noise("same"))
        assert place.scan("drive", "tree").duplicate_sets == 1
    finally:
        subprocess.run(["umount", drive], check=True)
    report = place.scan()
    assert place.names() == ["drive/models/a", "tree/b"]
    assert report.failed


UNREADABLE = """
import os, sys
sys.path.insert(0, {checkout!r})
from pathlib import Path
from tests.building.scanned import Place
place = Place(Path({folder!r}))
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
report = place.scan("tree")
print(sorted(place.names()))
print([os.path.relpath(w.path, {folder!r}) for w in report.warnings])
"""


@pytest.mark.slow
def test_a_folder_that_cannot_be_read_keeps_its_rows_and_is_told(place: Place) -> None:
    place.file("tree/private/a", noise("same"))
    place.file("tree/private/below/b", noise("same"))
    place.file("tree/c", noise("same"))
    place.file("tree/listed/d", noise("same"))
    place.scan("tree")
    place.index.close()
    listed = place.folder / "tree/listed"
    private = place.folder / "tree/private"
    shutil.rmtree(private / "below")
    program = UNREADABLE.format(checkout=str(CHECKOUT), folder=str(place.folder))
    # The reader below is nobody, who has to make a journal beside the index too.
    open_the_way(place.folder)
    place.folder.chmod(0o777)
    place.database.chmod(0o666)
    Path(f"{place.database}-journal").unlink()
    private.chmod(0)
    # Its names can be read, but nothing about them.
    listed.chmod(0o444)
    try:
        command = [sys.executable, "-c", program]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/")
    finally:
        private.chmod(0o755)
        listed.chmod(0o755)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "['tree/c', 'tree/listed/d', 'tree/private/a', 'tree/private/below/b']",
        "['tree/listed/d', 'tree/private']",
    ]


# backends and nested roots


class Broken(StorageBackend):
    name = "broken"
    capabilities = Capabilities()
    fail: ClassVar[bool] = False

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        for number, replica in enumerate(super().replicas(root, walk)):
            if self.fail and number == 1:
                raise RuntimeError("a bug")
            yield replica


def test_a_backend_that_fails_stops_only_its_own_root(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("bad/a", "bad/b", "bad/below/c", "good/d"):
        place.file(name, noise("same"))
    place.load(Broken())
    place.index.save_root(Root(str(place.folder / "bad"), "broken"))
    place.scan("bad", "good")
    assert len(place.names()) == 4
    monkeypatch.setattr(Broken, "fail", True)
    for name in ("bad/a", "bad/b", "bad/e", "good/f"):
        place.file(name, noise("new"))
    report = place.scan("bad", "good")
    errors = {os.path.basename(root.path): root.error for root in report.roots}
    assert errors["good"] is None
    assert errors["bad"] is not None
    assert (
        "plugin 'p-broken' of some-plugins 1.0 failed in replicas of broken: RuntimeError: a bug"
        in errors["bad"]
    )
    assert {"bad/below/c", "good/f"} <= set(place.names()), "what was known stays, the other root goes on"
    monkeypatch.setattr(Broken, "fail", False)
    place.scan("bad", "good")
    assert len(place.names()) == 6
    assert place.sets() == [["bad/a", "bad/b", "bad/e", "good/f"], ["bad/below/c", "good/d"]]


class Lying(StorageBackend):
    name = "lying"

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        (folder,) = walk.folders(root.path)
        ((name, stat),) = folder.files
        yield Replica(os.path.join(root.path, name), stat, {"sha256": "NOT HEX", "sha512": "0" * 128})
        yield Replica(f"{root.path}/folder", os.stat(root.path))
        yield Replica("/etc/passwd", os.stat("/etc/passwd"))


def test_replicas_outside_the_root_and_claims_that_are_none_are_left_out(place: Place) -> None:
    place.file("tree/a", noise("same"))
    place.load(Lying())
    place.index.save_root(Root(str(place.folder / "tree"), "lying"))
    report = place.scan("tree")
    assert place.names() == ["tree/a"]
    assert place.index.replica("/etc/passwd") is None
    replica = place.index.replica(str(place.folder / "tree/a"))
    assert replica is not None
    assert replica.claims == {}
    assert len(report.warnings) == 3
    [root] = report.roots
    assert root.left_out
    assert "failed in replicas of lying: a file is '/etc/passwd', which does not lie below" in str(root.error)


class Md5(StorageBackend):
    """Names are md5, as DVC has them."""

    name = "by-md5"
    capabilities = Capabilities(claims=frozenset({"md5"}))
    marks = frozenset({"MD5"})

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        assert "MD5" in names, "asked of a folder without a mark"
        return path

    def replica(self, root: Root, folder: Folder, name: str, stat: os.stat_result) -> Replica | None:
        return None if name == "MD5" else Replica(os.path.join(folder.path, name), stat, {"md5": name})


def test_claims_of_two_algorithms_are_joined_by_reading_each_file_of_one_side_once(place: Place) -> None:
    place.load(Md5())
    place.file("store/MD5", b"")
    for what in ("same", "other"):
        place.file(f"store/{hashlib.md5(noise(what)).hexdigest()}", noise(what))
    known = blob(place, "hub", noise("same"))
    report = place.scan("store", "hub")
    assert report.bytes_read == len(noise("same")) * report.files_read
    assert report.files_read <= 2
    [duplicates] = place.duplicates()
    assert os.path.basename(known) in {os.path.basename(one.path) for one in duplicates.replicas}
    assert {"md5", "sha256"} <= duplicates.digests.keys()
    assert place.scan("store", "hub").files_read == 0


class Listing(StorageBackend):
    """What is content, and its digest, stands in one list beside the folder of the files."""

    name = "listing"
    capabilities = Capabilities(claims=frozenset({"sha256"}))
    marks = frozenset({"LIST"})

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        return path if "LIST" in names else None

    def notes(self, root: Root, walk: Walk) -> Iterator[str]:
        yield os.path.join(root.path, "LIST")

    def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
        lines = (walk.read_text(os.path.join(root.path, "LIST")) or "").split()
        said = dict(line.split("=") for line in lines)
        for folder in walk.folders(os.path.join(root.path, "data")):
            for name, stat in folder.files:
                if name in said:
                    yield Replica(os.path.join(folder.path, name), stat, {"sha256": said[name]})


def test_what_the_notes_of_a_layout_say_of_files_that_did_not_change_is_seen(place: Place) -> None:
    place.load(Listing())
    for name in ("one", "two"):
        place.file(f"store/data/{name}", noise("same"))
    place.file("store/LIST", f"one={'0' * 64}".encode())
    place.scan("store")
    assert place.names() == ["store/data/one"]
    true = hashlib.sha256(noise("same")).hexdigest()
    for said, names in (
        (f"one={true} two={true}", ["store/data/one", "store/data/two"]),
        (f"two={true}", ["store/data/two"]),
        (f"two={'1' * 64}", ["store/data/two"]),
    ):
        place.file("store/LIST", said.encode())
        place.scan("store")
        assert place.names() == names
        claims = {place.name(one): one.claims["sha256"] for one in place.index.below("/")}
        assert claims == {f"store/data/{pair.split('=')[0]}": pair.split("=")[1] for pair in said.split()}


def test_a_note_beside_a_file_of_a_store_is_seen_too(place: Place) -> None:
    class Beside(Listing):
        def notes(self, root: Root, walk: Walk) -> Iterator[str]:
            return iter(())

        def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
            for folder in walk.folders(root.path):
                for name, stat in folder.files:
                    if name != "LIST" and f"{name}.whole" in folder.names:
                        yield Replica(os.path.join(folder.path, name), stat)

    place.load(Beside())
    place.file("store/LIST", b"")
    for name in ("one", "two"):
        place.file(f"store/data/{name}", noise(name))
    place.file("store/data/one.whole", b"")
    place.scan("store")
    assert place.names() == ["store/data/one"]
    place.file("store/data/two.whole", b"")
    (place.folder / "store/data/one.whole").unlink()
    place.scan("store")
    assert place.names() == ["store/data/two"]


def test_a_plugin_of_another_version_is_asked_about_all_files_again(place: Place) -> None:
    class Better(Listing):
        def notes(self, root: Root, walk: Walk) -> Iterator[str]:
            return iter(())

        def replicas(self, root: Root, walk: Walk) -> Iterator[Replica]:
            for folder in walk.folders(os.path.join(root.path, "data")):
                yield from (Replica(os.path.join(folder.path, name), stat) for name, stat in folder.files)

    place.load(Listing())
    place.file("store/LIST", b"")
    place.file("store/data/one", noise("one"))
    place.scan("store")
    assert place.names() == []
    place.backends["listing"] = GuardedBackend(Better(), Origin("p-listing", "some-plugins", "1.1"))
    place.scan("store")
    assert place.names() == ["store/data/one"]


def test_a_cache_inside_a_plain_folder_is_a_root_of_its_own(place: Place) -> None:
    place.file("data/plain", noise("same"))
    blob(place, "data/hf/hub", noise("same"))
    place.file("data/hf/token", b"secret")
    report = place.scan("data")
    assert {(os.path.relpath(root.path, place.folder), root.backend) for root in report.roots} == {
        ("data", "local-dir"),
        ("data/hf/hub", "hub-cache"),
    }
    assert report.duplicate_sets == 1
    assert report.files == 3
    again = place.scan("data")
    assert (again.files, again.files_read, len(again.roots)) == (3, 0, 2)


def test_a_copy_gets_its_repository_from_a_cache_that_is_scanned_later(place: Place) -> None:
    content = noise("same")
    path = place.file("data/copy/model.safetensors", content)
    lines = ["c" * 40, hashlib.sha256(content).hexdigest(), str(path.stat().st_mtime + 0.5), ""]
    place.file("data/copy/.cache/huggingface/download/model.safetensors.metadata", "\n".join(lines).encode())
    place.scan("data/copy")
    replica = place.index.replica(str(path))
    assert replica is not None
    assert (replica.revision, replica.repo_id) == ("c" * 40, None)
    blob(place, "data/hf/hub", content)
    place.scan("data")
    replica = place.index.replica(str(path))
    assert replica is not None
    assert (replica.repo_id, replica.repo_type) == ("org/base", "model")


def test_a_folder_belongs_to_the_innermost_root(place: Place) -> None:
    place.file("data/models/a", noise("same"))
    place.file("data/b", noise("same"))
    place.scan("data/models")
    report = place.scan("data")
    assert {os.path.relpath(root.path, place.folder): root.files for root in report.roots} == {
        "data": 1,
        "data/models": 1,
    }
    assert place.names() == ["data/b", "data/models/a"]


def test_a_folder_of_a_root_is_that_roots(place: Place) -> None:
    place.file("data/models/a", noise("same"))
    place.file("data/b", noise("same"))
    place.scan("data")
    report = place.scan("data/models")
    assert [(root.path, root.files) for root in report.roots] == [(str(place.folder / "data"), 2)]
    assert report.files_read == 0


def test_a_vault_is_scanned_with_its_cache_and_not_reported(place: Place) -> None:
    path = blob(place, "hf/hub", noise("same"))
    vault = place.folder / "hf/hubfold"
    place.file(f"hf/hubfold/{VAULT_MARKER}", b"")
    target = vault / "objects" / path.name[:2] / path.name
    target.parent.mkdir(parents=True)
    os.link(path, target)
    place.file("hf/hubfold/objects/ab/.hubfold-temporary", noise("temporary"))
    report = place.scan("hf")
    assert [root.backend for root in report.roots] == ["hub-cache"]
    assert [root.backend for root in place.index.roots(vaults=True)] == ["hub-cache", VAULT]
    replica = place.index.replica(str(target))
    assert replica is not None
    assert (replica.backend, replica.root, replica.nlink) == (VAULT, str(vault), 2)
    path.unlink()
    place.file("models/copy", noise("same"))
    place.scan("hf", "models")
    assert place.sets() == [[f"hf/hubfold/objects/{path.name[:2]}/{path.name}", "models/copy"]]


def test_a_name_that_lies_is_not_in_a_set_once_its_bytes_were_read(place: Place) -> None:
    wrong = blob(place, "one/hub", noise("wrong"), name=hashlib.sha256(noise("right")).hexdigest())
    blob(place, "two/hub", noise("right"))
    place.scan("one", "two")
    assert len(place.sets()) == 1, "nobody has read them yet"
    problems = place.verify().problems
    assert [(problem.path, problem.kind) for problem in problems] == [(str(wrong), "corrupt")]
    place.scan("one", "two")
    assert place.sets() == []


def test_threads_of_the_executor_may_be_many(place: Place) -> None:
    for number in range(40):
        place.file(f"tree/{number}", noise(str(number % 20), 10_000))
    before = threading.active_count()
    with ThreadPoolExecutor(8) as executor:
        assert place.scan("tree", executor=executor).duplicate_sets == 20
    assert threading.active_count() <= before


def test_an_executor_that_fails_leaves_the_index_whole(place: Place) -> None:
    class Failing(Executor):
        def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
            raise RuntimeError("the cluster is away")

    for name in ("a", "b"):
        place.file(f"tree/{name}", noise("same"))
    with pytest.raises(RuntimeError, match="the cluster is away"):
        place.scan("tree", executor=Failing())
    assert place.names() == ["tree/a", "tree/b"]
    assert place.scan("tree").duplicate_sets == 1
