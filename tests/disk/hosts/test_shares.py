"""One host at work on a share, whatever of it each of two knows as a root."""

from __future__ import annotations

from pathlib import Path

import pytest

from hubfold.disk.filesystem import SHARED_VARIABLE
from hubfold.disk.hosts import lock, shares
from hubfold.errors import HeldElsewhere
from tests.building.host_locks import another, token_that_is_gone
from tests.building.waiting import until


@pytest.fixture(autouse=True)
def a_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARED_VARIABLE, "1")


def nothing() -> None:
    pass


def run(*roots: Path, folders: tuple[Path, ...] = ()) -> None:
    with shares.alone([str(one) for one in roots], [str(one) for one in folders], "consolidate", nothing):
        pass


def test_a_run_locks_its_roots_and_leaves_nothing(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).mkdir()
    with shares.alone([str(tmp_path / "a"), str(tmp_path / "b")], [], "consolidate", nothing):
        assert sorted(path.name for path in tmp_path.glob("*/*")) == [".hubfold-run.host"] * 2
        with pytest.raises(HeldElsewhere):
            run(tmp_path / "b")
    assert not list(tmp_path.glob("*/*"))


@pytest.mark.parametrize(
    ("held", "root", "folder"),
    [
        ("s/hub", "s/hub", "s/hub"),
        ("s", "s/hub", "s/hub"),
        ("s/hub/x", "s", "s/hub/x/y"),
        ("s/hub", "s", "s/hub"),
    ],
    ids=["the same", "above", "below", "where something is changed"],
)
def test_two_hosts_do_not_meet(tmp_path: Path, held: str, root: str, folder: str) -> None:
    (tmp_path / "s/hub/x/y").mkdir(parents=True)
    another(tmp_path / held / shares.RUN)
    with pytest.raises(HeldElsewhere, match="consolidate, process 4711 on node7"):
        run(tmp_path / root, folders=(tmp_path / folder,))
    assert len(list(tmp_path.rglob("*.host"))) == 1, "what was taken for nothing is given back"


def test_what_lies_apart_is_nobodys_business(tmp_path: Path) -> None:
    for name in ("s/a", "s/b"):
        (tmp_path / name).mkdir(parents=True)
    another(tmp_path / "s/a" / shares.RUN)
    run(tmp_path / "s/b", folders=(tmp_path / "s/b", tmp_path))


def test_a_run_that_was_killed_stands_in_no_way(tmp_path: Path) -> None:
    (tmp_path / "s/hub").mkdir(parents=True)
    for name in ("s", "s/hub"):
        another(tmp_path / name / shares.RUN, token_that_is_gone())
    with shares.alone([str(tmp_path / "s/hub")], [], "consolidate", nothing) as gone:
        assert [(one.host, one.command) for one in gone] == [("node7", "consolidate")]
    assert [path.parent.name for path in tmp_path.rglob("*.host")] == ["s"], "not its root: nobody's to clear"


def test_what_only_this_host_has_is_not_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SHARED_VARIABLE)
    monkeypatch.setattr(lock, "reaches_other_hosts", lambda folder: folder.endswith("share"))
    for name in ("share", "local"):
        (tmp_path / name).mkdir()
    roots = [str(tmp_path / name) for name in ("share", "local", "gone")]
    assert shares.shared(roots) == [str(tmp_path / "share")]


def test_a_run_whose_lock_was_broken_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.01)
    told: list[bool] = []
    with shares.alone([str(tmp_path)], [], "consolidate", lambda: told.append(True)):
        holder = lock.holder_of(shares.lock_of(str(tmp_path)))
        assert holder is not None
        lock.break_lock(shares.lock_of(str(tmp_path)), holder.token)
        until(lambda: told, "it was not told")
