"""`doctor --fix`: changed and corrupt content is put right from another copy or by a download, and no byte is lost."""

from __future__ import annotations

import errno
import hashlib
import mmap
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from hubfold import Engine
from hubfold.backend import Folder
from hubfold.care import exchange, recovery, repairs
from hubfold.content import LinkKind, Replica, Root
from hubfold.disk import directory as fsops
from hubfold.journal import journal
from hubfold.reading import compare
from hubfold.reports.health import Finding
from hubfold.reports.outcomes import Settled
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import (
    Tree,
    copy_of,
    has_shared_store,
    hub_cache,
    local_dir,
    model_files,
    safetensors,
    with_xet_hash,
)
from tests.building import plugin
from tests.building.doctored import RIGHT, blob, build, cut_short, fold, kinds, rot, weights, write_through
from tests.building.plugin import Box


@pytest.fixture
def engine(tmp_path: Path, loopback_hub: LoopbackHub) -> Iterator[Engine]:
    """One whose Hub is the loopback's."""
    with Engine(tmp_path / "state", environ={**os.environ, **loopback_hub.environ()}) as engine:
        yield engine


@pytest.fixture
def folded(tree: Tree, engine: Engine) -> Tree:
    fold(build(tree), engine)
    return tree


@pytest.fixture
def copied(folded: Tree, engine: Engine) -> Tree:
    """With one more copy, which is no link: the one to mend from."""
    folded.build({"drive": copy_of("hf/hub")})
    engine.scan([folded["drive"]])
    return folded


def one(findings: tuple[Finding, ...], kind: str) -> Finding:
    (found,) = (finding for finding in findings if finding.kind == kind)
    return found


def kept(tree: Tree) -> list[bytes]:
    return [path.read_bytes() for path in tree.folder.rglob("replaced/*")]


def nothing_is_left(tree: Tree, engine: Engine) -> None:
    ours = [path for path in tree.folder.rglob(".hubfold-*") if path.name != ".hubfold-vault"]
    assert ours == []
    assert engine.recover().runs == ()
    assert {run.state for run in engine.runs()} == {"finished"}


def all_right(tree: Tree) -> None:
    for path in (weights(tree), blob(tree), blob(tree, "second/hub")):
        assert path.read_bytes() == RIGHT, path


# -- from another copy ---------------------------------------------------------------------------------------------


def test_what_is_put_in_place_is_what_was_hashed(
    copied: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The donor is read twice, to be judged and to be copied: it may have changed between the two."""
    real = compare.copy_bytes

    def with_another_byte(source: int, target: int, **options: object) -> int:
        size = real(source, target, **options)  # type: ignore[arg-type]
        os.pwrite(target, b"!", 1 << 20)
        return size

    monkeypatch.setattr(compare, "copy_bytes", with_another_byte)
    write_through(weights(copied))
    changed = weights(copied).read_bytes()
    found = [finding for finding in engine.doctor(fix=True).findings if finding.kind == "written-through"]
    assert found and not any(finding.fixed for finding in found)
    assert "was changed while it was being copied" in found[0].message
    assert weights(copied).read_bytes() == blob(copied).read_bytes() == changed
    assert kept(copied) == []
    nothing_is_left(copied, engine)


@pytest.mark.slow
@pytest.mark.parametrize("link", [None, LinkKind.HARDLINK])
def test_what_was_put_right_is_as_the_run_left_it_and_can_be_undone(
    tree: Tree, engine: Engine, link: LinkKind | None
) -> None:
    mode = blob(build(tree)).stat().st_mode
    fold(tree, engine, link)
    tree.build({"drive": copy_of("hf/hub")})
    engine.scan([tree["drive"]])
    before = blob(tree).stat()
    write_through(weights(tree))
    engine.doctor(fix=True)
    after = blob(tree).stat()
    assert stat.S_IMODE(after.st_mode) == stat.S_IMODE(before.st_mode) == 0o444
    assert (after.st_mtime_ns, after.st_uid) == (before.st_mtime_ns, before.st_uid)
    undone = engine.undo()
    assert (undone.failed, undone.left) == ((), ())
    for path in (weights(tree), blob(tree), blob(tree, "second/hub")):
        assert path.read_bytes() == RIGHT and path.lstat().st_mode == mode
    assert not os.path.samefile(weights(tree), blob(tree))


@pytest.mark.slow
def test_it_works_where_names_cannot_be_exchanged(
    copied: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(self: fsops.Directory, one: str, other: str) -> None:
        raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(fsops.Directory, "exchange", unknown)
    write_through(weights(copied))
    changed = weights(copied).read_bytes()
    assert all(finding.fixed for finding in engine.doctor(fix=True).findings)
    all_right(copied)
    assert kept(copied) == [changed]
    nothing_is_left(copied, engine)


@pytest.mark.slow
def test_a_repair_is_a_run_that_shows_what_it_did(copied: Tree, engine: Engine) -> None:
    write_through(weights(copied))
    engine.doctor(fix=True)
    last = engine.runs()[0]
    assert (last.command, last.state) == ("doctor", "finished")
    shown = {action.path: state for action, state in engine.run(last.run).actions}
    assert shown[str(blob(copied))] == "done" and last.actions == len(shown)


def test_a_doctor_with_nothing_to_mend_writes_no_journal(folded: Tree, engine: Engine) -> None:
    before = engine.runs()
    assert engine.doctor(fix=True).findings == ()
    assert engine.runs() == before


def test_a_file_of_the_users_own_in_the_place_of_a_hard_link_is_no_finding(
    tree: Tree, engine: Engine
) -> None:
    fold(build(tree), engine, LinkKind.HARDLINK)
    tree.build({"drive": copy_of("hf/hub")})
    engine.scan([tree["drive"]])
    newer = weights(tree).with_suffix(".new")
    newer.write_bytes(b"a newer model" * (1 << 17))
    newer.replace(weights(tree))
    assert engine.doctor(fix=True).findings == ()
    assert weights(tree).read_bytes() == b"a newer model" * (1 << 17)


@pytest.mark.slow
def test_a_blob_that_the_client_is_at_work_on_is_left_alone(copied: Tree, engine: Engine) -> None:
    write_through(weights(copied))
    name = blob(copied).name
    lock = copied["hf/hub/.locks/models--org--model"] / f"{name}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(lock):
        found = engine.doctor(fix=True).findings
    assert any("another program holds" in finding.message for finding in found)
    assert blob(copied).read_bytes() != RIGHT


class Crash(BaseException):
    """The process ends here: nothing is tidied up."""


def crash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repairs, "settle_mends", lambda mends: Settled(waiting=True))


@pytest.mark.slow
def test_a_newer_file_that_a_crash_caught_under_our_name_goes_back(
    copied: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_through(weights(copied))
    real = exchange.swap_in
    caught: list[Path] = []

    def late(directory: fsops.Directory, temporary: str, name: str) -> str:
        directory.unlink(name)
        caught.append(Path(directory.path, name))
        caught[0].write_bytes(b"newer")
        real(directory, temporary, name)
        raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(exchange, "swap_in", late)
        crash(patched)
        with pytest.raises(Crash):
            engine.doctor(fix=True)
    assert caught[0].read_bytes() == RIGHT
    assert engine.recover().left == ()
    assert caught[0].read_bytes() == b"newer"
    assert not list(copied.folder.rglob(".hubfold-2*"))


@pytest.mark.slow
def test_a_repair_that_a_crash_caught_after_its_last_step_can_be_undone_too(
    tree: Tree, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold(build(tree), engine, LinkKind.HARDLINK)
    tree.build({"drive": copy_of("hf/hub")})
    engine.scan([tree["drive"]])
    write_through(weights(tree))
    run = engine.runs()[0].run
    real = journal.Journal.append

    def dies(self: journal.Journal, record: str, **fields: object) -> None:
        if record == "mended":
            raise Crash
        real(self, record, **fields)

    with monkeypatch.context() as patched:
        patched.setattr(journal.Journal, "append", dies)
        with pytest.raises(Crash):
            engine.doctor(fix=True)
    assert weights(tree).read_bytes() == RIGHT
    undone = engine.undo(run)
    assert (undone.failed, undone.left) == ((), ())
    assert not os.path.samefile(weights(tree), blob(tree))


@pytest.mark.parametrize("name", ["elsewhere", "vault"])
def test_a_crafted_journal_unlinks_no_file_of_somebody_else(
    folded: Tree, engine: Engine, tmp_path: Path, name: str
) -> None:
    """`kept` is the one path of a repair that is unlinked under a name that is not hubfold's own."""
    precious = tmp_path / "replaced" / "precious"
    precious.parent.mkdir()
    precious.write_bytes(b"precious")
    if name == "vault":
        (tmp_path / ".hubfold-vault").write_text("")
    with recovery.begin(engine.state, "doctor") as book:
        book.append(
            "mend",
            number=1,
            path=str(precious),
            root=str(tmp_path),
            temporary=".hubfold-x",
            inode=precious.stat().st_ino,
            text="",
            new=0,
            kept=str(precious),
            source="",
        )
    engine.recover()
    assert precious.read_bytes() == b"precious"


# -- however it was written --------------------------------------------------------------------------------------------


def by_open(path: Path) -> None:
    """As torch.save does."""
    with open(path, "wb") as file:
        file.write(b"trained" * (1 << 18))


def by_mmap(path: Path) -> None:
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as view:
        view[1 << 20 : (1 << 20) + 7] = b"trained"
        view.flush()


@pytest.mark.parametrize("write", [by_open, by_mmap])
@pytest.mark.parametrize("link", [None, LinkKind.HARDLINK])
def test_a_write_through_is_found_by_verify_told_apart_and_mended(
    tree: Tree, engine: Engine, write: Callable[[Path], None], link: LinkKind | None
) -> None:
    """A name that is a hash makes other bytes *corrupt*; a file that a user may edit is *edited*."""
    fold(build(tree), engine, link)
    tree.build({"drive": copy_of("hf/hub")})
    engine.scan([tree["drive"]])
    engine.scan()
    weights(tree).chmod(0o644)  # root is not stopped by the mode, others have to do this first
    write(weights(tree))
    changed = weights(tree).read_bytes()
    expected = {str(blob_of(tree, cache)): "corrupt" for cache in ("hf/hub", "second/hub")}
    other = weights(tree) if link else weights(tree).resolve()
    expected[str(other)] = "edited" if link else "corrupt"
    assert {problem.path: problem.kind for problem in engine.verify().problems} == expected
    assert "written-through" in kinds(engine.doctor().findings)
    assert {finding.fixed for finding in engine.doctor(fix=True).findings} == {True}
    all_right(tree)
    assert kept(tree) == [changed]
    assert engine.verify().problems == () and engine.doctor().findings == ()


def blob_of(tree: Tree, cache: str) -> Path:
    (link,) = tree[cache].glob("models--*/snapshots/*/model.safetensors")
    return link.resolve()


# -- by a download ---------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_write_through_with_no_other_copy_is_downloaded_only_when_asked(
    folded: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    write_through(weights(folded))
    changed = weights(folded).read_bytes()
    loopback_hub.forget_hits()
    told = [finding for finding in engine.doctor(fix=True).findings if finding.kind == "written-through"]
    assert told and all("hubfold doctor --fix --download" in finding.fix for finding in told)
    assert weights(folded).read_bytes() == changed and loopback_hub.hits == []
    looked = engine.doctor(download=True).findings
    assert any(finding.mendable for finding in looked) and loopback_hub.hits == []
    assert [f for f in engine.doctor(fix=True, download=True).findings if not f.fixed] == []
    all_right(folded)
    assert kept(folded) == [changed]
    assert weights(folded).stat().st_ino == blob(folded).stat().st_ino
    assert [hit.filename for hit in loopback_hub.downloads(1 << 20)] == ["model.safetensors"]
    nothing_is_left(folded, engine)
    assert engine.doctor().findings == ()


@pytest.mark.slow
def test_nothing_is_downloaded_in_offline_mode(
    folded: Tree, tmp_path: Path, loopback_hub: LoopbackHub
) -> None:
    write_through(weights(folded))
    changed = weights(folded).read_bytes()
    loopback_hub.forget_hits()
    environ = {**os.environ, **loopback_hub.environ(), "HF_HUB_OFFLINE": "1"}
    with Engine(tmp_path / "state", environ=environ) as engine:
        engine.add_root(folded["hf/hub"])
        found = engine.doctor(fix=True, download=True).findings
        assert any("HF_HUB_OFFLINE is set" in finding.message for finding in found)
        nothing_is_left(folded, engine)
    assert loopback_hub.hits == [] and weights(folded).read_bytes() == changed


@pytest.mark.slow
def test_a_download_that_is_not_what_its_name_says_is_not_used(
    tree: Tree, engine: Engine, tmp_path: Path, loopback_hub: LoopbackHub
) -> None:
    served = tmp_path / "served"
    served.write_bytes(RIGHT)
    loopback_hub.add("org/model", {"model.safetensors": served})
    tree.build({"hf/hub": hub_cache("org/model"), "models": local_dir("org/model")})
    engine.scan([tree["hf/hub"], tree["models"]])
    engine.apply(engine.plan([tree["hf/hub"], tree["models"]]))
    write_through(weights(tree))
    changed = weights(tree).read_bytes()
    served.write_bytes(RIGHT[:-1] + b"!")
    found = one(engine.doctor(fix=True, download=True).findings, "written-through")
    assert not found.fixed and "what came is not what the name says" in found.message
    assert weights(tree).read_bytes() == changed
    nothing_is_left(tree, engine)


@pytest.mark.slow
def test_a_hub_that_refuses_is_told_in_its_own_words(
    folded: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    write_through(weights(folded))
    loopback_hub.gated.add("org/model")
    loopback_hub._repositories.clear()
    found = engine.doctor(fix=True, download=True).findings
    assert any("downloading it" in f.message and "404" in f.message for f in found), found
    nothing_is_left(folded, engine)


def test_a_repair_that_failed_leaves_no_vault_where_there_was_none(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    tree.hub.add("org/model", model_files("model"))
    tree.build({"hf/hub": hub_cache("org/model")})
    cut_short(tree, "hf/hub")
    engine.scan([tree["hf/hub"]])
    loopback_hub._repositories.clear()
    assert not one(engine.doctor(fix=True, download=True).findings, "damaged-blob").fixed
    assert os.listdir(tree["hf"]) == ["hub"]


def test_gc_leaves_a_vault_that_holds_changed_bytes_alone(tree: Tree, engine: Engine) -> None:
    tree.hub.add("org/model", model_files("model"))
    tree.build({"hf/hub": hub_cache("org/model")})
    cut_short(tree, "hf/hub")
    engine.scan([tree["hf/hub"]])
    assert one(engine.doctor(fix=True, download=True).findings, "damaged-blob").fixed
    before = sorted(os.listdir(tree["hf/hubfold"]))
    marker = tree["hf/hubfold/.hubfold-vault"].stat()
    engine.gc()
    assert sorted(os.listdir(tree["hf/hubfold"])) == before
    assert tree["hf/hubfold/.hubfold-vault"].stat().st_ctime_ns == marker.st_ctime_ns, (
        "it was one all the time"
    )


@pytest.mark.slow
def test_rot_that_verify_found_is_mended_by_a_download_under_every_name(folded: Tree, engine: Engine) -> None:
    engine.verify()
    rot(blob(folded))
    rotten = blob(folded).read_bytes()
    assert "corrupt" in {problem.kind for problem in engine.verify().problems}
    told = one(engine.doctor(fix=True).findings, "corrupt")
    assert not told.fixed and "--download" in told.fix and blob(folded).read_bytes() == rotten
    assert one(engine.doctor(fix=True, download=True).findings, "corrupt").fixed
    all_right(folded)
    assert kept(folded) == [rotten]
    assert engine.doctor().findings == () and engine.verify().problems == ()


@pytest.mark.slow
def test_rot_is_mended_from_another_copy_where_there_is_one(
    copied: Tree, engine: Engine, loopback_hub: LoopbackHub
) -> None:
    rot(blob(copied))
    engine.verify()
    loopback_hub.forget_hits()
    assert not one(engine.doctor().findings, "corrupt").fixed
    assert one(engine.doctor(fix=True, download=True).findings, "corrupt").fixed
    all_right(copied)
    assert loopback_hub.hits == []


@pytest.mark.slow
def test_a_blob_that_is_too_short_is_mended(tree: Tree, engine: Engine) -> None:
    tree.hub.add("org/model", model_files("model"))
    tree.build({"hf/hub": hub_cache("org/model")})
    cut_short(tree, "hf/hub")
    engine.scan([tree["hf/hub"]])
    for _ in range(2):
        told = one(engine.doctor(fix=True).findings, "damaged-blob")
        assert not told.fixed and "--download" in told.fix
    assert one(engine.doctor(fix=True, download=True).findings, "damaged-blob").fixed
    assert blob(tree).read_bytes() == RIGHT
    assert engine.doctor().findings == ()


@pytest.mark.slow
def test_a_payload_of_the_shared_store_is_mended_where_it_lies(tree: Tree, engine: Engine) -> None:
    """Its name is a xet hash, and the repositories' blobs are symlinks to it."""
    pytest.importorskip("hf_xet")
    if not has_shared_store():
        pytest.skip("this huggingface_hub has no shared store")
    tree.hub.add("org/model", {**model_files("model"), "model.safetensors": with_xet_hash(RIGHT)})
    tree.build({"hf/hub": hub_cache("org/model", shared=True)})
    payload = blob_of(tree, "hf/hub")
    assert payload.is_relative_to(tree["hf/hub/blobs"])
    engine.scan([tree["hf/hub"]])
    rot(payload)
    engine.verify()
    assert one(engine.doctor(fix=True, download=True).findings, "corrupt").fixed
    assert payload.read_bytes() == RIGHT and stat.S_IMODE(payload.stat().st_mode) == 0o444
    assert engine.doctor().findings == () and engine.verify().problems == ()


@pytest.mark.slow
def test_an_object_of_which_nothing_is_left_is_downloaded(folded: Tree, engine: Engine) -> None:
    object_ = weights(folded).resolve()
    for path in (object_, blob(folded), blob(folded, "second/hub")):
        path.unlink()
    found = engine.doctor(fix=True, download=True).findings
    assert [f.fixed for f in found if f.path == str(weights(folded))] == [True]
    assert weights(folded).read_bytes() == RIGHT and weights(folded).resolve() == object_
    assert stat.S_IMODE(object_.stat().st_mode) == 0o444
    nothing_is_left(folded, engine)


# -- a client that writes through a link ---------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("link", [None, LinkKind.HARDLINK])
def test_a_local_copy_that_a_client_updated_through_its_link_keeps_the_new_revision(
    tree: Tree, engine: Engine, loopback_hub: LoopbackHub, link: LinkKind | None
) -> None:
    """FACTS 5: the client copies the new revision over the old blob, and notes the new one for the local copy."""
    build(tree)
    tree.build({"untouched": local_dir("org/model", cache="hf/hub")})
    roots = [tree[name] for name in ("hf/hub", "second/hub", "models", "untouched")]
    engine.scan(roots)
    engine.apply(engine.plan(roots, link=link))
    old = blob(tree)
    old.chmod(0o644)  # else the client's copy is refused for everybody but root
    new = safetensors("newer")
    loopback_hub.add("org/model", {**model_files("model"), "model.safetensors": new})
    tree.build({"hf/hub": hub_cache("org/model"), "models": local_dir("org/model", cache="hf/hub")})
    assert old.read_bytes() == weights(tree).read_bytes() == new, "the old blob is a lie now"
    found = engine.doctor(fix=True, download=True).findings
    assert "written-through" in kinds(found) and all(finding.fixed for finding in found), found
    assert old.read_bytes() == RIGHT and tree["untouched/model.safetensors"].read_bytes() == RIGHT
    assert weights(tree).read_bytes() == new and not weights(tree).is_symlink()
    assert weights(tree).stat().st_nlink == 1 and kept(tree) == []
    assert engine.doctor(fix=True).findings == ()
    nothing_is_left(tree, engine)


# -- what is somebody's work -----------------------------------------------------------------------------------------


@pytest.fixture
def boxed(tree: Tree, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model in a cache and in a box, whose layout knows what came there, and until when it was left as it came."""
    tree.hub.add("org/model", model_files("model"))
    tree.build({"hf/hub": hub_cache("org/model")})
    plugin.install(tmp_path / "plugin", monkeypatch)
    file = plugin.fill(tree.folder / "box", content=RIGHT)
    came = file.stat().st_mtime_ns
    digest = hashlib.sha256(RIGHT).hexdigest()

    def replica(self: Box, root: Root, folder: Folder, name: str, stat: os.stat_result) -> Replica | None:
        if not name.endswith(".safetensors"):
            return None
        return Replica(os.path.join(folder.path, name), stat, {"sha256": digest}, latest_mtime_ns=came)

    monkeypatch.setattr(Box, "replica", replica)
    return file


def edit(path: Path) -> bytes:
    write_through(path)
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 5_000_000_000))
    return path.read_bytes()


@pytest.mark.slow
def test_what_a_layout_calls_edited_is_replaced_by_nothing(tree: Tree, engine: Engine, boxed: Path) -> None:
    engine.add_root(boxed.parent.parent)
    engine.scan([tree["hf/hub"]])
    engine.scan()
    edited = edit(boxed)
    told = {problem.path: problem.kind for problem in engine.verify().problems}
    assert told == {str(boxed): "edited"}
    engine.doctor(fix=True, download=True)
    assert boxed.read_bytes() == edited
    assert kept(tree) == []


@pytest.mark.slow
def test_neither_where_it_is_one_file_with_a_blob_that_is_put_right(
    tree: Tree, engine: Engine, boxed: Path
) -> None:
    """Somebody linked it himself: the blob gets its bytes back, and he keeps what he wrote."""
    boxed.unlink()
    os.link(blob(tree), boxed)
    tree.build({"drive": copy_of("hf/hub")})
    engine.add_root(boxed.parent.parent)
    for cache in ("hf/hub", "drive"):
        engine.scan([tree[cache]])
    engine.scan()
    edited = edit(boxed)
    engine.scan()
    told = {problem.path: problem.kind for problem in engine.verify().problems}
    assert told == {str(boxed): "edited", str(blob(tree)): "corrupt"}
    assert one(engine.doctor(fix=True).findings, "corrupt").fixed
    assert blob(tree).read_bytes() == RIGHT
    assert boxed.read_bytes() == edited


@pytest.mark.slow
def test_nor_where_a_run_made_it_one(tree: Tree, engine: Engine, boxed: Path) -> None:
    tree.build({"drive": copy_of("hf/hub")})
    engine.add_root(boxed.parent.parent)
    roots = [tree["hf/hub"], boxed.parent.parent]
    engine.scan(roots)
    assert engine.apply(engine.plan(roots, link=LinkKind.HARDLINK)).actions
    engine.scan([tree["drive"]])
    edited = edit(boxed)
    engine.scan()
    engine.verify()
    engine.doctor(fix=True)
    assert blob(tree).read_bytes() == RIGHT
    assert boxed.read_bytes() == edited
