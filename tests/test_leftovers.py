"""What a removal could not empty is not forgotten, and an error that names no path is told like any other."""

from __future__ import annotations

import errno
import os

import pytest
from faults import tree

from hubfold import Engine, fsops, vault


def test_a_revision_that_could_not_be_emptied_is_gone_on_with(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    place = str(tmp_path / "place")
    hub = os.path.join(place, "hf/hub")
    tree.cache(hub, "org/one", {"model.bin": tree.model("weights", 5000)})

    def fails(directory: fsops.Directory, name: str) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Engine(environ=tree.environment(place)) as engine:
        engine.scan([hub], min_size=1)
        with monkeypatch.context() as patch:
            patch.setattr(fsops, "remove_tree", fails)
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
    vault.prepare(os.path.join(place, "hf/hubfold"))
    with Engine(environ=tree.environment(place)) as engine:
        engine.scan([hub], min_size=1)
        assert engine.apply_removal(engine.plan_clean(older_than=0)).failed == ()
        assert engine.remove(["org/one"]).failed == ()
        engine.gc()
    assert tree.files(place) == []
