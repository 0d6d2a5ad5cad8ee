"""Every reader of what others wrote, or a disk spoiled, is given random damage of what is right.

It leaves it alone or says clearly what is wrong: no other exception than those that the command line explains, no file
with other bytes afterwards, nothing outside of what was named. ``HUBFOLD_TEST_EXAMPLES=N`` tries N random examples of
each instead of a few fixed ones.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import sqlite3
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings
from hypothesis import strategies as st

from hubfold import Engine
from hubfold.cli.errors import explain
from hubfold.errors import BackupError, HubfoldError, HubRefused, JournalDamaged
from hubfold.journal import journal
from hubfold.state import config
from hubfold.state.home import StateDamaged, StateHome
from hubfold.testing import loopback_hub
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.transfer import archive
from hubfold.transfer.containers import is_tar, zstd
from tests.building import tree
from tests.building.damage import changes, damages

pytestmark = pytest.mark.slow

EXAMPLES = int(os.environ.get("HUBFOLD_TEST_EXAMPLES", "0"))
#: The slow tier tries so many times as many.
MORE = 1 if os.environ.get("HUBFOLD_TEST_SLOW", "0") in ("", "0") else 3


def few(examples: int) -> settings:
    return settings(
        max_examples=EXAMPLES or examples * MORE,
        derandomize=not EXAMPLES,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        # Most examples are dear, and one that is a bit smaller is not worth the minutes it takes to find it.
        phases=[Phase.explicit, Phase.generate],
    )


def clear(error: BaseException) -> None:
    """The error is one that a person can do something with: a line that says what, and no control characters."""
    _, message, _ = explain(error)
    assert not message.startswith("unexpected"), repr(error)
    assert message.strip(), repr(error)


def tried(what: Callable[[], object]) -> bool:
    """Whether it worked; it may fail, but clearly."""
    try:
        what()
    except (HubfoldError, OSError) as error:
        clear(error)
        event(type(error).__name__)
        return False
    return True


class Place:
    """A tree with everything in it, at one path for good; `fresh` brings it back as it was first."""

    def __init__(self) -> None:
        self.top = tempfile.mkdtemp(
            prefix="hubfold-fuzz-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None
        )
        self.path = os.path.join(self.top, "place")
        self.hub = os.path.join(self.path, "hf/hub")
        self.repo = os.path.join(self.hub, "models--org--one")
        self.copies = os.path.join(self.path, "models/one")
        self.plain = os.path.join(self.path, "plain")
        self.canary = tree.write(os.path.join(self.top, "escaped"), b"nobody's business")
        self.saved = os.path.join(self.top, "saved")
        self.before: dict[str, tree.Seen] = {}
        weights, tokens = tree.model("weights", 9000), tree.model("tokens", 5000)
        self.files = {
            "model-00001-of-00001.safetensors": weights,
            "sub/tokens.bin": tokens,
            "config.json": b"{}",
        }
        tree.cache(self.hub, "org/one", self.files)
        tree.write(
            os.path.join(self.repo, "snapshots", "a" * 40, "model.safetensors.index.json"), self.index()
        )
        tree.write(os.path.join(self.repo, "trees", "a" * 40 + ".json"), json.dumps(self.listing()).encode())
        tree.local_dir(self.copies, self.files)
        tree.write(os.path.join(self.plain, "copy.safetensors"), weights)
        tree.write(os.path.join(self.plain, "fine-tune.safetensors"), tree.fine_tune(weights))
        self.roots = (self.hub, self.copies, self.plain)

    def index(self) -> bytes:
        return json.dumps({"weight_map": {"layer": "model-00001-of-00001.safetensors"}}).encode()

    def listing(self) -> dict[str, object]:
        import hashlib

        entries = {
            name: {
                "size": len(data),
                "blob_id": "0" * 40,
                "lfs_sha256": hashlib.sha256(data).hexdigest(),
                "lfs_size": len(data),
                "xet_hash": "0" * 64,
            }
            for name, data in self.files.items()
        }
        return {"format_version": 1, "files": entries}

    def save(self) -> None:
        self.before = {
            path: seen for path, seen in tree.census(self.path).items() if not path.endswith(".links")
        }
        shutil.copytree(self.path, self.saved, symlinks=True)

    def fresh(self) -> None:
        shutil.rmtree(self.path)
        shutil.copytree(self.saved, self.path, symlinks=True)

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        with Engine(
            environ={**tree.environment(self.path), "HF_HOME": os.path.join(self.path, "hf")}
        ) as engine:
            yield engine

    def whole(self, but: Sequence[str] = ()) -> None:
        """Every path reads its bytes, and nobody went outside."""
        assert tree.losses(self.before, self.path, but) == []
        assert sorted(os.listdir(self.top)) == ["escaped", "place", "saved"]
        assert Path(self.canary).read_bytes() == b"nobody's business"

    def folded(self) -> None:
        with self.engine() as engine:
            engine.scan(self.roots, min_size=1)
            assert engine.apply(engine.plan(self.roots, min_size=1)).actions


@pytest.fixture
def place() -> Iterator[Place]:
    made = Place()
    try:
        yield made
    finally:
        shutil.rmtree(made.top)


# -- what clients wrote ----------------------------------------------------------------------------------------------

COMMIT = "a" * 40
BOOKKEEPING = (
    f"hf/hub/models--org--one/trees/{COMMIT}.json",
    f"hf/hub/models--org--one/snapshots/{COMMIT}/model.safetensors.index.json",
    "hf/hub/models--org--one/refs/main",
    "models/one/.cache/huggingface/download/model-00001-of-00001.safetensors.metadata",
    "models/one/.cache/huggingface/download/sub/tokens.bin.metadata",
)
#: Files that appear where clients keep theirs, under names that nobody chose well.
PLANTED = (
    "hf/hub/models--org--one/blobs",
    "hf/hub/models--org--one/refs",
    "hf/hub/models--org--one/trees",
    f"hf/hub/models--org--one/snapshots/{COMMIT}",
    "hf/hub/models--",
    "hf/hub/models--x--\udcff\n/refs",
    "hf/hub",
    "models/one/.cache/huggingface/download",
    "models/one/.cache/huggingface/trees",
)
names = st.sampled_from(
    (
        "0" * 64 + ".incomplete",
        "0" * 40 + ".deadbeef.incomplete",
        ".incomplete",
        "..incomplete",
        "\udcff.incomplete",
        "x\x1b[2J",
        "main",
        "pr",
        "0" * 40,
        "0" * 40 + ".json",
        "model-99999-of-99999.safetensors",
        "model-00001-of-00000.gguf",
        "y.metadata",
        "z.index.json",
        "blobs",
        "refs",
        "snapshots",
    )
) | st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=12
).filter(lambda name: name not in (".", ".."))


@few(15)
@given(
    spoiled=st.lists(st.tuples(st.sampled_from(BOOKKEEPING), damages()), max_size=3),
    listing=st.none() | changes(),
    index=st.none() | changes(),
    planted=st.lists(st.tuples(st.sampled_from(PLANTED), names, st.binary(max_size=40)), max_size=3),
)
def test_whatever_clients_wrote_nothing_is_lost_and_nothing_falls_over(
    spoiled: list[tuple[str, Callable[[bytes], bytes]]],
    listing: Callable[[Any], Any] | None,
    index: Callable[[Any], Any] | None,
    planted: list[tuple[str, str, bytes]],
) -> None:
    made = Place()
    try:
        if listing is not None:
            text = json.dumps(listing(made.listing())).encode()
            Path(made.path, BOOKKEEPING[0]).write_bytes(text)
        if index is not None:
            Path(made.path, BOOKKEEPING[1]).write_bytes(json.dumps(index(json.loads(made.index()))).encode())
        for name, damage in spoiled:
            path = Path(made.path, name)
            path.write_bytes(damage(path.read_bytes()))
        for folder, name, data in planted:
            path = Path(made.path, folder, name)
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                if not os.path.lexists(path):
                    path.write_bytes(data)
            except OSError:
                continue  # a file stands where the folder would be
        made.before = tree.census(made.path)
        shutil.copytree(made.path, made.saved, symlinks=True)
        with made.engine() as engine:
            told = [str(notice.message) for notice in engine.scan(made.roots, min_size=1).warnings]
            library = engine.models()
            told += [str(notice.message) for notice in library.warnings]
            tried(engine.check)
            engine.doctor()
            engine.verify()
            engine.apply(engine.plan(made.roots, min_size=1))
            assert not [text for text in told if "failed: " in text], told
        made.whole()
        with made.engine() as engine:
            tried(lambda: engine.apply_removal(engine.plan_clean(older_than=0)))
            tried(lambda: engine.remove(["org/one"]))
        kept = [path for path in made.before if path.startswith(made.hub)]
        made.whole(kept)
    finally:
        shutil.rmtree(made.top)


# -- what hubfold wrote ------------------------------------------------------------------------------------------------


def test_a_damaged_journal_loses_nothing(place: Place) -> None:
    place.before = tree.census(place.path)
    place.folded()
    (path,) = Path(place.path, tree.STATE, "runs").glob("*.jsonl")
    text = path.read_bytes()
    records = [json.loads(line) for line in text.splitlines()]
    shutil.copytree(place.path, place.saved, symlinks=True)

    @few(40)
    @given(
        damage=damages() | changes().map(lambda change: lambda _: lines(change(records))), cut=st.booleans()
    )
    def run(damage: Callable[[bytes], bytes], cut: bool) -> None:
        place.fresh()
        damaged = damage(text)
        if cut:
            damaged = damaged[: damaged.rfind(b'{"record": "done"')]
        path.write_bytes(damaged)
        shape = tree.shape(place.path)
        refused = False
        try:
            journal.read(str(path.parent), path.name.removesuffix(".jsonl"))
        except JournalDamaged as error:
            clear(error)
            refused = True
        with place.engine() as engine:
            for what in (engine.runs, engine.recover, engine.undo, engine.doctor, engine.gc):
                tried(what)
                place.whole()
        if refused:
            assert tree.shape(place.path) == shape
            event("refused")

    run()


def lines(records: Any) -> bytes:
    if not isinstance(records, list):
        records = [records]
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def test_a_damaged_index_swaps_nothing_wrong(place: Place) -> None:
    with place.engine() as engine:
        engine.scan(place.roots, min_size=1)
    place.save()
    index = os.path.join(place.path, tree.STATE, "index.db")
    columns = []
    with sqlite3.connect(index) as database:
        tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            columns += [(table, row[1]) for row in database.execute(f'PRAGMA table_info("{table}")')]
    database.close()
    cells = st.tuples(
        st.sampled_from(sorted(columns)),
        st.integers(0, 40),
        st.none()
        | st.integers(-(1 << 63), (1 << 63) - 1)
        | st.sampled_from((0, -1, "", "0" * 64, b"\xff", b"/", b"../../escaped", "\x1b[2J"))
        | st.binary(max_size=33)
        | st.floats()
        | st.just("another row's"),
    )

    @few(25)
    @given(rows=st.lists(cells, max_size=6), damage=st.none() | damages())
    def run(rows: list[tuple[tuple[str, str], int, object]], damage: Callable[[bytes], bytes] | None) -> None:
        place.fresh()
        with sqlite3.connect(index) as database:
            for (table, column), row, value in rows:
                if value == "another row's":
                    found = database.execute(
                        f'SELECT "{column}" FROM "{table}" ORDER BY "{column}"'
                    ).fetchone()
                    value = found[0] if found else None
                try:
                    database.execute(
                        f'UPDATE "{table}" SET "{column}" = ? WHERE rowid IN '
                        f'(SELECT rowid FROM "{table}" LIMIT 1 OFFSET ?)',
                        (value, row),
                    )
                except (sqlite3.Error, OverflowError):
                    continue  # a constraint of the schema
        database.close()
        if damage is not None:
            Path(index).write_bytes(damage(Path(index).read_bytes()))
        with place.engine() as engine:
            tried(lambda: engine.dupes())
            tried(lambda: engine.apply(engine.plan(min_size=1)))
            place.whole()
            tried(lambda: engine.scan(place.roots, min_size=1))
            tried(lambda: engine.verify())
            tried(lambda: engine.roots())
            tried(lambda: engine.apply(engine.plan(place.roots, min_size=1)))
        place.whole()

    run()


def test_a_vault_that_somebody_wrote_in_keeps_what_is_needed(place: Place) -> None:
    place.before = tree.census(place.path)
    place.folded()
    shutil.copytree(place.path, place.saved, symlinks=True)
    vault = os.path.join(place.path, "hf/hubfold")
    objects = sorted(path for path in tree.files(vault) if "/objects/" in path)
    noted = [path for path in objects if path.endswith(".links")]
    assert noted
    planted = st.tuples(
        st.sampled_from(("", "objects", "objects/00", "objects/zz", "replaced")),
        names | st.sampled_from(("0" * 64, "0" * 64 + ".links", "0" * 32, ".hubfold-vault", ".lock")),
        st.binary(max_size=20),
    )

    @few(25)
    @given(
        spoiled=st.lists(
            st.tuples(st.sampled_from([*noted, os.path.join(vault, ".hubfold-vault")]), damages()), max_size=3
        ),
        files=st.lists(planted, max_size=3),
    )
    def run(spoiled: list[tuple[str, Callable[[bytes], bytes]]], files: list[tuple[str, str, bytes]]) -> None:
        place.fresh()
        for path, damage in spoiled:
            Path(path).write_bytes(damage(Path(path).read_bytes()))
        for folder, name, data in files:
            path = os.path.join(vault, folder, name)
            try:
                if not os.path.lexists(path):
                    tree.write(path, data)
            except OSError:
                continue
        with place.engine() as engine:
            for what in (engine.doctor, engine.gc, lambda: engine.scan(min_size=1), engine.undo, engine.gc):
                tried(what)
                place.whole()

    run()


# -- what the user wrote -----------------------------------------------------------------------------------------------

CONFIG = b"""
[[roots]]
path = "/mnt/nas/models"
backend = "local-dir"
role = "secondary"
limit = "2TB"

[models]
small = "org/small-model"
large = { repo = "org/large-model", revision = "main", size = "54GB" }
"""


@few(150)
@given(
    damages()
    | st.lists(
        st.sampled_from(
            (*CONFIG.decode().split("\n"), "[models.x]", "[roots]", "roots = 1", "models = []", "size = -1")
        )
    ).map(lambda found: lambda _: "\n".join(found).encode())
)
def test_a_config_is_read_or_refused_by_name(damage: Callable[[bytes], bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "config.toml")
        Path(path).write_bytes(damage(CONFIG))
        try:
            found = config.load(path)
        except config.ConfigError as error:
            assert str(error).startswith(path) and error.hint
        else:
            assert all(os.path.isabs(root.path) and "\0" not in root.path for root in found.roots)


@few(100)
@given(damages() | changes().map(lambda change: lambda text: json.dumps(change(json.loads(text))).encode()))
def test_a_list_of_roots_is_read_or_refused_by_name(damage: Callable[[bytes], bytes]) -> None:
    entries = [{"path": "/mnt/nas", "backend": None, "role": "primary", "limit": 5}]
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "roots.json").write_bytes(damage(json.dumps({"version": 1, "roots": entries}).encode()))
        try:
            found = StateHome.locate(folder).registered_roots()
        except StateDamaged as error:
            assert folder in str(error) and error.hint
        else:
            assert all(os.path.isabs(root.path) and "\0" not in root.path for root in found)


# -- backups -----------------------------------------------------------------------------------------------------------


def test_a_list_of_a_backup_is_read_or_refused_as_a_whole(place: Place) -> None:
    with place.engine() as engine:
        engine.scan(place.roots, min_size=1)
        engine.backup(engine.plan_backup(os.path.join(place.path, "backup")))
        backends = engine.workspace.backends
    text = Path(place.path, "backup", archive.LIST).read_bytes()

    @few(150)
    @given(
        damages() | changes().map(lambda change: lambda data: json.dumps(change(json.loads(data))).encode())
    )
    def run(damage: Callable[[bytes], bytes]) -> None:
        try:
            models = archive.load(damage(text), "it", backends).models
        except BackupError as error:
            clear(error)
            return
        for model in models:
            for part in model.parts:
                path = os.path.normpath(os.path.join("/root", part.name))
                assert path.startswith("/root/models--") and "\0" not in path

    run()


members = st.tuples(
    st.sampled_from(
        (
            tarfile.REGTYPE,
            tarfile.SYMTYPE,
            tarfile.LNKTYPE,
            tarfile.DIRTYPE,
            tarfile.CHRTYPE,
            tarfile.BLKTYPE,
            tarfile.FIFOTYPE,
        )
    ),
    st.sampled_from(
        (
            "../escaped",
            "/escaped",
            "objects/00/" + "0" * 64,
            "objects/00/../../../escaped",
            archive.LIST,
            "objects",
            "x\x1b[2J",
            "",
        )
    ),
    st.sampled_from(("", "../../escaped", "/etc/passwd", "objects")),
    st.binary(max_size=600),
)


@pytest.mark.parametrize("form", ["saved.tar", "saved.tar.zst", "folder"])
def test_a_hostile_or_damaged_backup_restores_what_is_whole_and_nothing_elsewhere(
    place: Place, form: str
) -> None:
    if form.endswith(".zst"):
        zstd()
    source = os.path.join(place.path, form)
    with place.engine() as engine:
        engine.scan(place.roots, min_size=1)
        engine.backup(engine.plan_backup(source))
    place.save()
    if form == "folder":
        text, holds = b"", sorted(path for path in tree.files(place.path) if path.startswith(source + "/"))
    else:
        packed = Path(source).read_bytes()
        text = zstd().decompress(packed) if form.endswith(".zst") else packed
        holds = []
    new = os.path.join(place.path, "new/hub")

    def tampered(extra: list[tuple[bytes, str, str, bytes]], at_start: bool) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as target, tarfile.open(fileobj=io.BytesIO(text)) as honest:

            def add() -> None:
                for kind, name, link, data in extra:
                    member = tarfile.TarInfo(name)
                    member.type, member.linkname = kind, link
                    member.size = len(data) if kind == tarfile.REGTYPE else 0
                    target.addfile(member, io.BytesIO(data))

            if at_start:
                add()
            for member in honest:
                target.addfile(member, honest.extractfile(member))
            if not at_start:
                add()
        return out.getvalue()

    @few(25)
    @given(
        extra=st.lists(members, max_size=2),
        at_start=st.booleans(),
        inside=st.none() | damages(),
        outside=st.none() | damages(),
        which=st.integers(0, 100),
    )
    def run(
        extra: list[tuple[bytes, str, str, bytes]],
        at_start: bool,
        inside: Callable[[bytes], bytes] | None,
        outside: Callable[[bytes], bytes] | None,
        which: int,
    ) -> None:
        place.fresh()
        but = [source, *holds]
        if form == "folder":
            if inside is not None:
                spoiled = Path(holds[which % len(holds)])
                spoiled.write_bytes(inside(spoiled.read_bytes()))
        else:
            data = tampered(extra, at_start)
            data = inside(data) if inside is not None and which % 2 else data
            data = zstd().compress(data) if form.endswith(".zst") else data
            data = outside(data) if outside is not None and not which % 2 else data
            Path(source).write_bytes(data)
        with place.engine() as engine:
            done = tried(lambda: engine.restore(source, engine.plan_restore(source, into=new)))
            tried(engine.recover)
        event(f"restored: {done}")
        place.whole(but)
        for path in tree.files(new):
            assert "/.hubfold-" not in path
            if "/blobs/" in path and not path.endswith(".lock"):
                assert tree.digest(path) == os.path.basename(path)
        snapshots = Path(new, "models--org--one/snapshots")
        for link in snapshots.rglob("*") if snapshots.is_dir() else ():
            assert link.exists(), f"{link} looks whole and is not"
        assert is_tar(source) or os.path.isdir(source)

    run()


# -- the Hub -----------------------------------------------------------------------------------------------------------

HEADERS = (
    "ETag",
    "X-Repo-Commit",
    "X-Linked-Etag",
    "X-Linked-Size",
    "Content-Range",
    "Content-Type",
    "X-Error-Code",
)
#: No etag with a path in it: huggingface_hub (2.4.0) makes a path of one by itself, and its lock file lands outside.
header_values = st.sampled_from(
    (
        "",
        '"',
        '""',
        "-1",
        "1e9",
        "0" * 64,
        "x" * 500,
        "W/",
        "\xff",
        "bytes 5-1/0",
    )
)


def test_a_digest_of_the_hub_that_is_a_path_leads_nowhere(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mirror may answer anything; where content is put follows from the digest that it names."""
    size = 1 << 20
    tree.write(os.path.join(place.plain, "large.gguf"), tree.model("large", size))
    outside = os.path.join(place.path, "outside")
    json_of = loopback_hub._Handler._json

    def hostile(self: Any, given: Any, repository: Any) -> None:
        for entry in given if isinstance(given, list) else ():
            entry["lfs"]["oid"] = "../../../../../outside/" + "0" * 41
        json_of(self, given, repository)

    monkeypatch.setattr(loopback_hub._Handler, "_json", hostile)
    with LoopbackHub() as hub:
        hub.add("org/one", {"model.gguf": tree.model("other", size)})
        environ = {**tree.environment(place.path), **hub.environ(), "HF_HUB_OFFLINE": "0"}
        with Engine(environ=environ) as engine:
            engine.scan([place.plain], min_size=1)
            with pytest.raises(HubRefused, match="makes no sense"):
                engine.download(engine.plan_download(["org/one"], into=os.path.join(place.path, "new/hub")))
    assert not os.path.exists(outside)


@pytest.mark.slow
def test_whatever_the_hub_answers_it_is_refused_clearly_and_stays_in_the_cache(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    with place.engine() as engine:
        engine.scan(place.roots, min_size=1)
    place.save()
    monkeypatch.setattr("time.sleep", lambda seconds: None)  # the client waits before it tries again
    answer: list[Callable[[Any], Any] | None] = [None]
    headers: dict[str, str] = {}
    json_of, head_of = loopback_hub._Handler._json, loopback_hub._Handler._head

    def spoiled_json(self: Any, given: object, repository: Any) -> None:
        json_of(self, answer[0](given) if answer[0] is not None else given, repository)
        self.close_connection = True

    def spoiled_head(self: Any, status: Any, kind: str, length: int, given: Any) -> None:
        head_of(self, status, kind, length, {**given, **headers})
        self.close_connection = True

    monkeypatch.setattr(loopback_hub._Handler, "_json", spoiled_json)
    monkeypatch.setattr(loopback_hub._Handler, "_head", spoiled_head)
    new = os.path.join(place.path, "new/hub")

    with LoopbackHub() as hub:
        hub.add("org/one", place.files)
        environ = {**tree.environment(place.path), **hub.environ(), "HF_HUB_OFFLINE": "0"}

        @few(40)
        @given(
            change=st.none() | changes(),
            spoiled=st.dictionaries(st.sampled_from(HEADERS), header_values, max_size=2),
        )
        def run(change: Callable[[Any], Any] | None, spoiled: dict[str, str]) -> None:
            place.fresh()
            answer[0] = change
            headers.clear()
            headers.update(spoiled)
            with Engine(environ=environ) as engine:
                tried(lambda: engine.download(engine.plan_download(["org/one"], into=new)))
            place.whole()
            assert not [
                path for path in tree.files(place.path) if "escaped" in path and "/new/hub/" not in path
            ]

        run()
