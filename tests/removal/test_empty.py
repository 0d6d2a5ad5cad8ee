"""What a removal could not empty is not forgotten, and an error that names no path is told like any other."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.disk import directory as fsops
from hubfold.errors import UsageError
from hubfold.removal import empty, settle
from hubfold.vault import objects
from tests.building import tree


def test_a_revision_that_could_not_be_emptied_is_gone_on_with(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    place = str(tmp_path / "place")
    hub = os.path.join(place, "hf/hub")
    tree.cache(hub, "org/one", {"model.bin": tree.model("weights", 5000)})

    def fails(*arguments: object) -> empty.Emptied:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Engine(environ=tree.environment(place)) as engine:
        engine.scan([hub], min_size=1)
        with monkeypatch.context() as patch:
            patch.setattr(empty, "empty", fails)
            patch.setattr(settle, "empty", fails)
            assert engine.remove(["org/one"]).failed
            assert engine.recover().left, "it is told, and tried again"
        assert [path for path in tree.files(place) if "/.hubfold-" in path]
        assert engine.runs()[0].state == "unfinished"
        engine.recover()
        assert not [path for path in tree.files(place) if "/.hubfold-" in path]
        assert engine.runs()[0].state == "recovered"


def test_an_error_of_a_descriptor_is_told_like_any_other(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """`fchown` and its like give a number where others give a path."""
    place = str(tmp_path / "place")
    hub = os.path.join(place, "hf/hub")
    tree.cache(hub, "org/one", {"model.bin": tree.model("weights", 5000)})

    give = fsops.Directory.give_to_owner_of

    def fails(directory: fsops.Directory, other: fsops.Directory) -> None:
        if directory.path.endswith("/objects"):
            raise OSError(errno.EACCES, os.strerror(errno.EACCES), 15)
        give(directory, other)

    with Engine(environ=tree.environment(place)) as engine:
        engine.scan([hub], min_size=1)
        plan = engine.plan_backup(os.path.join(place, "saved"))
        with monkeypatch.context() as patch:
            patch.setattr(fsops.Directory, "give_to_owner_of", fails)
            with pytest.raises(PermissionError):
                engine.backup(plan)
        with monkeypatch.context() as patch:
            patch.setattr(fsops.Directory, "move", fails_to_move)
            [failed] = engine.remove(["org/one"]).failed
        assert os.path.isabs(failed.path)


def fails_to_move(directory: fsops.Directory, *names: object) -> None:
    raise OSError(errno.EACCES, os.strerror(errno.EACCES), "a-name-without-its-folder")


def test_a_vault_that_a_crash_left_without_objects_is_in_nobodys_way(tmp_path) -> None:  # type: ignore[no-untyped-def]
    place = str(tmp_path / "place")
    hub = os.path.join(place, "hf/hub")
    tree.cache(hub, "org/one", {"model.bin": tree.model("weights", 5000)})
    objects.prepare(os.path.join(place, "hf/hubfold"))
    with Engine(environ=tree.environment(place)) as engine:
        engine.scan([hub], min_size=1)
        assert engine.apply_removal(engine.plan_clean(older_than=0)).failed == ()
        assert engine.remove(["org/one"]).failed == ()
        engine.gc()
    assert tree.files(place) == []


class Crash(BaseException):
    """Stands for the end of the process."""


NOTES = ".cache/huggingface/download"
FILES = {"a.bin": tree.model("weights", 5000), "b.bin": tree.model("tokens", 6000), "sub/c.bin": b"c" * 7000}


@pytest.fixture
def copy(tmp_path) -> Iterator[tuple[Engine, str]]:  # type: ignore[no-untyped-def]
    """A local copy of org/one, with a file of its user in it."""
    place = str(tmp_path / "place")
    tree.cache(os.path.join(place, "hf/hub"), "org/one", {"a.bin": FILES["a.bin"]})
    path = os.path.join(place, "models/one")
    tree.local_dir(path, FILES)
    tree.write(os.path.join(path, "mine.txt"), b"mine")
    with Engine(environ=tree.environment(place)) as engine:
        engine.add_root(os.path.join(place, "hf/hub"))
        engine.add_root(os.path.join(place, "models"))
        yield engine, path


def killed(
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    path: str,
    method: str,
    *,
    after: int = 0,
    below: str = "",
) -> None:
    """`rm` of the copy at `path`, ended at a call of `method` in a folder with `below` in its path."""
    real = getattr(fsops.Directory, method)
    count = 0

    def strike(directory: fsops.Directory, *names: object) -> object:
        nonlocal count
        if below in directory.path and directory.path.startswith(path):
            count += 1
            if count > after:
                raise Crash
        return real(directory, *names)

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(fsops.Directory, method, strike)
        engine.remove([path])


def aside(path: str) -> str:
    [found] = Path(path, ".cache/huggingface").glob(".hubfold-*")
    return str(found)


def whole(engine: Engine) -> dict[str, set[str]]:
    """The files of each revision that is called whole, by where it lies."""
    return {
        place.path: {file.name for file in revision.files}
        for model in engine.models().models
        for place in model.places
        for revision in place.revisions
        if revision.state == "whole"
    }


def test_half_emptied_notes_are_not_given_back_with_what_somebody_added(copy, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    engine, path = copy
    killed(engine, monkeypatch, path, "unlink", after=2, below="/.hubfold-")
    assert 0 < len(list(Path(aside(path)).rglob("*.metadata"))) < len(FILES), "half of them are gone"
    tree.write(os.path.join(aside(path), "sub/theirs"), b"theirs")
    report = engine.recover()
    assert tree.files(os.path.join(path, ".cache")) == [os.path.join(path, NOTES, "sub/theirs")]
    assert path not in whole(engine)
    assert any(item.path == path and "hubfold rm" in item.reason for item in report.left)
    assert [
        item for item in report.left if item.path == os.path.join(path, NOTES) and "sub/theirs" in item.reason
    ]
    assert engine.runs()[0].state == "recovered"


def test_notes_that_are_all_there_go_back_with_what_somebody_added(copy, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    engine, path = copy
    killed(engine, monkeypatch, path, "unlink", below="/.hubfold-")
    tree.write(os.path.join(aside(path), "theirs"), b"theirs")
    engine.recover()
    assert whole(engine)[path] == set(FILES)
    assert os.path.exists(os.path.join(path, NOTES, "theirs"))


def test_a_note_that_a_client_wrote_anew_is_somebody_elses(copy, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    engine, path = copy
    killed(engine, monkeypatch, path, "unlink", after=2, below="/.hubfold-")
    tree.write(os.path.join(aside(path), "sub/c.bin.metadata"), b"anew", mtime_ns=tree.OLD_NS + 1)
    engine.recover()
    assert Path(path, NOTES, "sub/c.bin.metadata").read_bytes() == b"anew"


def test_what_was_added_stays_where_it_is_if_its_name_is_taken(copy, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    engine, path = copy
    killed(engine, monkeypatch, path, "unlink", after=2, below="/.hubfold-")
    theirs = tree.write(os.path.join(aside(path), "theirs"), b"older")
    tree.write(os.path.join(path, NOTES, "theirs"), b"newer")
    report = engine.recover()
    assert Path(theirs).read_bytes() == b"older" and Path(path, NOTES, "theirs").read_bytes() == b"newer"
    assert any(theirs in item.reason for item in report.left)
    assert engine.runs()[0].state == "recovered", "it is told once, and is nothing to wait for"


def test_a_half_emptied_revision_of_a_cache_is_not_given_back(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    place = str(tmp_path / "place")
    hub = os.path.join(place, "hf/hub")
    tree.cache(hub, "org/one", FILES)
    with Engine(environ=tree.environment(place)) as engine:
        engine.scan([hub], min_size=1)
        real = fsops.Directory.unlink
        struck = []

        def strike(directory: fsops.Directory, name: str) -> None:
            if "/.hubfold-" in directory.path:
                if struck:
                    raise Crash
                struck.append(name)
            real(directory, name)

        with monkeypatch.context() as patch, pytest.raises(Crash):
            patch.setattr(fsops.Directory, "unlink", strike)
            engine.remove(["org/one"])
        [renamed] = Path(hub).glob("*/.hubfold-*")
        tree.write(os.path.join(renamed, "theirs.txt"), b"theirs")
        engine.recover()
        revision = os.path.join(hub, "models--org--one/snapshots", "a" * 40)
        assert tree.files(revision) == [os.path.join(revision, "theirs.txt")]


def test_what_comes_while_it_is_being_emptied_gets_its_name_back(copy, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    """As a file that a client made in the instant in which its folder was renamed."""
    engine, path = copy
    real = fsops.Directory.unlink

    def meanwhile(directory: fsops.Directory, name: str) -> None:
        if "/.hubfold-" in directory.path and directory.path.endswith("/sub"):
            tree.write(os.path.join(aside(path), "zz.lock"), b"theirs")
        real(directory, name)

    with monkeypatch.context() as patch:
        patch.setattr(fsops.Directory, "unlink", meanwhile)
        assert engine.remove([path]).failed
    engine.recover()
    assert Path(path, NOTES, "zz.lock").read_bytes() == b"theirs"
    assert not list(Path(path, ".cache/huggingface").glob(".hubfold-*"))


@pytest.mark.parametrize(("method", "after"), [("unlink", 1), ("unlink", 0), ("sync", 0), ("rmdir", 0)])
def test_rm_again_ends_what_was_cut_short_of_a_copy(copy, monkeypatch, method: str, after: int) -> None:  # type: ignore[no-untyped-def]
    engine, path = copy
    killed(engine, monkeypatch, path, method, after=after)
    left = [one for one in engine.recover().left if one.path == path]
    rest = [name for name in FILES if os.path.exists(os.path.join(path, name))]
    if path not in whole(engine):
        assert len(left) == bool(rest)
        assert not rest or f"hubfold rm {path}" in left[0].reason
    plan = engine.plan_remove([path])
    assert set(engine.preview_removal(plan).removed) >= {os.path.join(path, name) for name in rest}
    assert not engine.apply_removal(plan).failed
    assert tree.files(path) == [os.path.join(path, "mine.txt")]
    assert sorted(os.listdir(path)) == ["mine.txt"], "no folder of the client's is left either"
    with pytest.raises(UsageError):
        engine.plan_remove([path])


def test_rm_again_takes_nothing_that_changed_since_or_that_a_client_noted_anew(copy, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    engine, path = copy
    killed(engine, monkeypatch, path, "unlink", below="/models/one", after=6)
    engine.recover()
    rest = [name for name in FILES if os.path.exists(os.path.join(path, name))]
    assert set(rest) == set(FILES), "the notes are gone, the files are not"
    Path(path, "a.bin").write_bytes(b"mine now")
    os.replace(tree.write(os.path.join(path, "new"), FILES["b.bin"]), os.path.join(path, "b.bin"))
    assert not engine.remove([path]).failed
    assert Path(path, "a.bin").read_bytes() == b"mine now"
    assert Path(path, "b.bin").read_bytes() == FILES["b.bin"]
    assert not os.path.exists(os.path.join(path, "sub"))


def test_a_copy_that_was_downloaded_again_is_not_taken_for_the_rest_of_the_old_one(copy, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    engine, path = copy
    killed(engine, monkeypatch, path, "unlink", below="/models/one", after=6)
    note = tree.local_dir(os.path.join(path, "else"), {"a.bin": FILES["a.bin"]})
    assert note
    os.makedirs(os.path.join(path, NOTES))
    os.rename(
        os.path.join(path, "else", NOTES, "a.bin.metadata"), os.path.join(path, NOTES, "a.bin.metadata")
    )
    assert not any("hubfold rm" in one.reason for one in engine.recover().left)
    removed = engine.preview_remove([path]).removed
    assert os.path.join(path, "a.bin") in removed and os.path.join(path, "b.bin") not in removed


@pytest.mark.slow
def test_removing_many_revisions_reads_the_mounts_no_more_often_than_removing_two(  # type: ignore[no-untyped-def]
    tmp_path, monkeypatch
) -> None:
    read: list[object] = []
    really = open

    def counted(path, *arguments, **words):  # type: ignore[no-untyped-def]
        read.extend([path] if path == "/proc/self/mountinfo" else [])
        return really(path, *arguments, **words)

    times = []
    for count in (2, 20):
        place = str(tmp_path / str(count))
        for number in range(count):
            files = {"model.bin": tree.model(f"weights {number}", 5000)}
            tree.cache(os.path.join(place, "hf/hub"), "org/one", files, f"{number:040x}")
        with Engine(environ=tree.environment(place)) as engine, monkeypatch.context() as patch:
            engine.scan([os.path.join(place, "hf/hub")], min_size=1)
            plan = engine.plan_remove(["org/one"])
            read.clear()
            patch.setattr("builtins.open", counted)
            assert len(engine.apply_removal(plan).models[0].revisions) == count
        times.append(len(read))
    assert times[0] == times[1]
