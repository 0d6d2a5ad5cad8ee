"""After folding, the real huggingface_hub is content: the newest in this process's environment, older ones in theirs.

Every question is asked in a process of the client's own, so that nothing of it is remembered from before.
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from hubfold import Engine
from hubfold.content import LinkKind
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import fine_tune_of, safetensors
from tests.building.clients import NEWEST, OLDER, Client

BIG = 1 << 20

WEIGHTS = safetensors("base", 3 << 20)
#: Under 10 MB and no LFS suffix: a regular git file, whose etag is a git-sha1.
VOCABULARY = safetensors("vocabulary", 2 << 20)


@functools.cache
def publish(hub: LoopbackHub) -> tuple[str, str]:
    """What the Hub has: the commits of org/base, the second of two, and of org/tuned."""
    _, base = (
        hub.add("org/base", {"model.safetensors": WEIGHTS, "vocab.txt": VOCABULARY, "config.json": config})
        for config in (b"{}", b"{ }")
    )
    return base, hub.add("org/tuned", {"model.safetensors": fine_tune_of(WEIGHTS), "vocab.txt": VOCABULARY})


class Home:
    """Two caches of one user with several repos, local copies of them, and a plain copy."""

    def __init__(self, base: Path, hub: LoopbackHub) -> None:
        self.hub = hub
        self.base_commit, self.tuned_commit = publish(hub)
        self.cache, self.other = base / "hf" / "hub", base / "project"
        self.local, self.plain = base / "models", base / "backup"
        self.roots = [self.cache, self.other, self.local, self.plain]

    def fill(self, client: Client) -> None:
        client("download", "org/base", self.cache, "")
        client("download", "org/tuned", self.cache, "")
        client("download", "org/base", self.other, "")
        client("download", "org/base", self.cache, self.local / "base")
        client("download", "org/tuned", self.cache, self.local / "tuned")
        self.plain.mkdir()
        (self.plain / "weights.safetensors").write_bytes(WEIGHTS)

    @cached_property
    def contents(self) -> dict[Path, bytes]:
        return self.read()

    def files(self) -> Iterator[Path]:
        """Every path with content that a program may open."""
        for place in [
            *self.cache.glob("*/snapshots"),
            *self.other.glob("*/snapshots"),
            self.local,
            self.plain,
        ]:
            for path in sorted(place.rglob("*")):
                if (
                    ".cache" not in path.parts
                    and ".huggingface" not in path.parts
                    and (path.is_file() or path.is_symlink())
                ):
                    yield path

    def read(self) -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in self.files()}

    def outside(self) -> dict[Path, bytes]:
        """What has to stay readable whatever is deleted from the first cache."""
        return {path: data for path, data in self.contents.items() if not path.is_relative_to(self.cache)}


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, hub: LoopbackHub, client: Client) -> Path:
    """What this client wrote, once; each test folds a copy."""
    place = tmp_path_factory.mktemp("filled")
    Home(place, hub).fill(client)
    return place


@pytest.fixture
def home(tmp_path: Path, filled: Path, hub: LoopbackHub) -> Home:
    subprocess.run(["cp", "-a", f"{filled}/.", str(tmp_path)], check=True)
    home = Home(tmp_path, hub)
    assert home.contents
    return home


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    with Engine(tmp_path / "state") as engine:
        yield engine


def fold(engine: Engine, home: Home, **options: Any) -> None:
    scan = engine.scan(home.roots)
    assert not scan.failed
    report = engine.apply(engine.plan(home.roots, **options))
    assert not report.failed and report.actions
    assert {path: path.read_bytes() for path in home.contents} == home.contents


def test_the_client_sees_what_it_saw(home: Home, engine: Engine, client: Client) -> None:
    before = [client("scan", cache) for cache in (home.cache, home.other)]
    fold(engine, home)
    assert [client("scan", cache) for cache in (home.cache, home.other)] == before
    for cache in (home.cache, home.other):
        for repo_id, _, _, revisions in client("scan", cache)["repos"]:
            for revision in revisions:
                assert client("offline", repo_id, revision[0], cache)


def test_a_local_dir_that_was_folded_is_up_to_date_and_fetches_no_big_file(
    home: Home, engine: Engine, client: Client
) -> None:
    fold(engine, home)
    home.hub.forget_hits()
    for name in ("base", "tuned"):
        client("download", f"org/{name}", home.cache, home.local / name)
    assert home.hub.downloads(at_least=BIG) == []
    assert home.read() == home.contents
    # It is a link still: nothing was copied back either.
    assert (home.local / "base" / "model.safetensors").is_symlink()
    # And what a client would copy from its cache onto itself never became one.
    assert not (home.local / "base" / "vocab.txt").is_symlink()


@pytest.fixture(
    scope="module", params=[NEWEST, *(pytest.param(release, marks=pytest.mark.clients) for release in OLDER)]
)
def another(request: pytest.FixtureRequest, hub: LoopbackHub) -> Iterator[Client]:
    client = Client(request.param, hub)
    yield client
    client.close()


#: What became of a client's notes about a local copy: where clients to 0.23 have them, and later ones.
_NOTES = {
    "there": lambda local: None,
    "in the other place": lambda local: _moved(local),
    "lost": lambda local: [
        shutil.rmtree(local / name, ignore_errors=True) for name in (".cache", ".huggingface")
    ],
    "older than the file": lambda local: [os.utime(path) for path in local.iterdir() if path.is_file()],
}


def _moved(local: Path) -> None:
    old, new = local / ".huggingface", local / ".cache" / "huggingface"
    if old.exists():
        new.parent.mkdir()
        old.rename(new)
    else:
        new.rename(old)


@pytest.mark.parametrize(
    "link", [None, pytest.param(LinkKind.HARDLINK, marks=pytest.mark.slow)], ids=["auto", "hardlink"]
)
@pytest.mark.parametrize(
    "notes",
    [
        "in the other place",
        *(pytest.param(n, marks=pytest.mark.slow) for n in _NOTES if n != "in the other place"),
    ],
)
def test_a_folded_local_dir_syncs_as_an_unfolded_one(
    home: Home, engine: Engine, client: Client, another: Client, notes: str, link: LinkKind | None
) -> None:
    """Written by one release, synced by any other, whatever it makes of the notes."""
    fold(engine, home, link=link)
    for name in ("base", "tuned"):
        _NOTES[notes](home.local / name)
        another("download", f"org/{name}", home.cache, home.local / name)
    assert home.read() == home.contents
    assert engine.verify([home.cache]).problems == ()


@pytest.mark.parametrize("age", [3600, pytest.param(-3600, marks=pytest.mark.slow)])
def test_that_holds_whether_the_blob_is_older_or_newer_than_the_metadata(
    home: Home, engine: Engine, client: Client, age: int
) -> None:
    for blob in home.cache.glob("*/blobs/*"):
        st = blob.stat()
        os.utime(blob, ns=(st.st_atime_ns, st.st_mtime_ns + age * 10**9))
    fold(engine, home)
    home.hub.forget_hits()
    for name in ("base", "tuned"):
        client("download", f"org/{name}", home.cache, home.local / name)
    assert home.hub.downloads(at_least=BIG) == []
    assert home.read() == home.contents


@pytest.mark.parametrize("link", ["auto", pytest.param("hardlink", marks=pytest.mark.slow)])
def test_deleting_the_keepers_repo_or_revision_leaves_every_link_readable(
    home: Home, engine: Engine, client: Client, link: str
) -> None:
    from hubfold.content import LinkKind

    fold(engine, home, link=None if link == "auto" else LinkKind(link))
    client.cache_rm(home.cache, "model/org/base")
    assert not list(home.cache.glob("models--org--base/blobs/*"))
    assert {path: path.read_bytes() for path in home.outside()} == home.outside()
    client.cache_rm(home.cache, home.tuned_commit)
    assert {path: path.read_bytes() for path in home.outside()} == home.outside()
    assert engine.doctor(fix=True).findings == () and engine.verify().problems == ()
    # What a run did can be taken back even then.
    undone = engine.undo()
    assert not undone.failed
    assert all(
        not os.path.lexists(left.path) and left.reason == "it was deleted since" for left in undone.left
    )
    assert {path: path.read_bytes() for path in home.outside()} == home.outside()


def test_prune_leaves_every_link_readable(home: Home, engine: Engine, client: Client) -> None:
    if client.release.startswith("0."):
        pytest.skip("`hf cache prune` came with 1.0")
    third = home.hub.add("org/base", {"model.safetensors": safetensors("new", 3 << 20)})
    try:
        client("download", "org/base", home.cache, "")
    finally:
        home.hub.tag("org/base", "main", home.base_commit)
    fold(engine, home)
    client.cache_prune(home.cache)
    snapshots = os.listdir(home.cache / "models--org--base" / "snapshots")
    assert third in snapshots and home.base_commit not in snapshots
    assert {path: path.read_bytes() for path in home.outside()} == home.outside()


def test_deleting_a_cache_on_another_drive_takes_no_other_link_with_it(
    tmp_path: Path, hub: LoopbackHub, client: Client, engine: Engine, other_drive: Path
) -> None:
    """A client up to 1.31 deletes what a blob's symlink resolves to: that has to be an object of this link's own."""
    hub.add("org/far", {"model.safetensors": WEIGHTS})
    cache, far, local = tmp_path / "hub", other_drive / "hub", tmp_path / "models"
    client("download", "org/far", cache, "")
    client("download", "org/far", far, "")
    client("download", "org/far", cache, local)
    engine.scan([cache, far, local])
    report = engine.apply(engine.plan([cache, far, local]))
    assert not report.failed and {action.link for action in report.actions} == {"symlink"}
    assert client("scan", far)["warnings"] == []
    assert client("offline", "org/far", "main", far) == {"model.safetensors": len(WEIGHTS)}
    client.cache_rm(far, "model/org/far")
    assert (local / "model.safetensors").read_bytes() == WEIGHTS
    (blob,) = cache.glob("*/blobs/*")
    assert blob.read_bytes() == WEIGHTS


def test_the_first_scan_of_what_the_client_wrote_reads_no_content(
    home: Home, engine: Engine, client: Client, tmp_path: Path
) -> None:
    """By our own count, and by strace: no blob and no copy is opened."""
    first = engine.scan([home.cache, home.other, home.local])
    assert (first.bytes_read, first.files_read) == (0, 0)
    assert first.duplicate_sets == 3 and first.reclaimable_bytes > 10 << 20
    log = tmp_path / "strace"
    command = [
        "strace",
        "-f",
        "-qq",
        "-o",
        str(log),
        "-e",
        "trace=openat,open",
        sys.executable,
        "-m",
        "hubfold",
        "scan",
    ]
    try:
        done = subprocess.run(
            [*command, "--json", *map(str, (home.cache, home.other, home.local))],
            env={**os.environ, "HUBFOLD_HOME": str(tmp_path / "fresh")},
            capture_output=True,
            text=True,
        )
    except FileNotFoundError:
        pytest.skip("strace is not installed")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["bytes_read"] == 0
    text = log.read_text()
    big = [path for path in home.contents if path.is_relative_to(home.local) and path.stat().st_size >= BIG]
    blobs = [path for path in home.cache.glob("*/blobs/*") if path.stat().st_size >= BIG]
    assert len(big) == len(blobs) == 4
    assert "/refs/main" in text, "strace saw what was opened"
    assert [path for path in (*big, *blobs) if f'"{path}"' in text or f'"{path.name}"' in text] == []


def test_the_fine_tune_is_never_linked_to_its_base(home: Home, engine: Engine) -> None:
    fold(engine, home)
    base = (home.local / "base" / "model.safetensors").stat()
    tuned = (home.local / "tuned" / "model.safetensors").stat()
    assert base.st_ino != tuned.st_ino


def test_a_blob_whose_name_lies_is_told_and_never_kept(home: Home, engine: Engine) -> None:
    (blob,) = (path for path in home.cache.glob("models--org--base/blobs/*") if path.read_bytes() == WEIGHTS)
    wrong = bytearray(WEIGHTS)
    wrong[1 << 20] ^= 1
    blob.write_bytes(wrong)
    engine.scan(home.roots)
    report = engine.apply(engine.plan(home.roots))
    told = [
        failure
        for failure in report.failed
        if str(blob) in failure.error and "corrupt" in failure.error.lower()
    ]
    assert told, report.failed
    # The next run knows, and folds the honest copies among themselves.
    engine.scan(home.roots)
    again = engine.apply(engine.plan(home.roots))
    assert not again.failed and str(blob) not in {action.keeper for action in again.actions}
    assert str(blob) in {skip.path for skip in again.skipped}
    assert (home.local / "base" / "model.safetensors").read_bytes() == WEIGHTS
    assert (home.plain / "weights.safetensors").read_bytes() == WEIGHTS
    assert blob.read_bytes() == wrong


def test_a_second_scan_reads_no_file_and_a_second_run_has_nothing_to_do(home: Home, engine: Engine) -> None:
    engine.scan(home.roots)
    assert engine.scan(home.roots).files_read == 0
    fold(engine, home)
    again = engine.scan(home.roots)
    assert again.files_read == 0 and again.reclaimable_bytes == 0
    assert engine.plan(home.roots).actions == ()


def test_what_a_client_writes_through_a_link_is_found_and_mended(
    home: Home, engine: Engine, client: Client, tmp_path: Path
) -> None:
    """FACTS 5: a client that has the new revision in its cache copies it over what the local copy links to."""
    fold(engine, home)
    local = home.local / "base" / "model.safetensors"
    (old,) = (blob for blob in home.cache.glob("models--org--base/blobs/*") if blob.read_bytes() == WEIGHTS)
    old.chmod(0o644)  # else the client's copy is refused for everybody but root
    new = safetensors("newer", len(WEIGHTS))
    home.hub.add("org/base", {"model.safetensors": new, "vocab.txt": VOCABULARY, "config.json": b"{ }"})
    try:
        client("download", "org/base", home.cache, "")
        client("download", "org/base", home.cache, home.local / "base")
    finally:
        home.hub.tag("org/base", "main", home.base_commit)
    assert local.read_bytes() == new
    assert old.read_bytes() == new, "if this client writes through no link, there is nothing to mend"
    problems = {problem.path: problem.kind for problem in engine.verify([home.cache]).problems}
    assert problems == {str(old): "corrupt"}
    # All copies were folded into the one that was written to, so the old bytes have to come from the Hub.
    assert [finding.fixed for finding in engine.doctor(fix=True).findings] == [False]
    home.hub.forget_hits()
    with Engine(tmp_path / "state", environ={**os.environ, **home.hub.environ()}) as online:
        found = online.doctor(fix=True, download=True).findings
    assert [(finding.kind, finding.fixed) for finding in found] == [("written-through", True)]
    assert [hit.filename for hit in home.hub.downloads(BIG)] == ["model.safetensors"]
    assert old.read_bytes() == WEIGHTS and local.read_bytes() == new
    others = {path: data for path, data in home.contents.items() if path != local}
    assert {path: path.read_bytes() for path in others} == others
    assert client("offline", "org/base", home.base_commit, home.cache)["model.safetensors"] == len(WEIGHTS)
    assert engine.doctor().findings == () and engine.verify().problems == ()


@pytest.mark.slow
def test_after_undo_and_gc_all_is_as_it_was(
    home: Home, engine: Engine, client: Client, tmp_path: Path
) -> None:
    from hubfold.testing import snapshot

    for path in home.files():
        if not path.is_symlink() and path.stat().st_size > BIG:
            os.setxattr(path, "user.origin", b"hub")
            path.chmod(0o640)
    places = [home.cache, home.other, home.local, home.plain]
    # Inode numbers and ctimes are new, lock files are the client's own; everything else is as it was.
    before = [comparable(snapshot(place)) for place in places]
    engine.scan(home.roots)
    engine.apply(engine.plan(home.roots))
    undone = engine.undo()
    assert not undone.failed and not undone.left
    engine.gc()
    assert [comparable(snapshot(place)) for place in places] == before
    assert not (tmp_path / "hf" / "hubfold").exists()
    assert all(
        os.getxattr(path, "user.origin") == b"hub"
        for path in home.files()
        if path.is_relative_to(home.local) and path.stat().st_size > BIG
    )


def comparable(taken: dict[str, Any]) -> dict[str, Any]:
    """Mode, owner, links, size, mtime and content of files; of folders, which were written in, the first two."""
    found = {}
    for path, (mode, uid, gid, nlink, _, _, size, mtime_ns, _, held) in taken.items():
        if not path.endswith(".lock") and "/.locks" not in path:
            found[path] = (
                (mode, uid, gid) if stat.S_ISDIR(mode) else (mode, uid, gid, nlink, size, mtime_ns, held)
            )
    return found
