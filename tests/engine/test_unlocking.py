"""Locks of other hosts watched, and taken away where no heart beats."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.disk.hosts import lock, shares
from hubfold.errors import Interrupted
from hubfold.reports.locks import Pulse
from tests.building.host_locks import another


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    monkeypatch.setattr(lock, "STILL", 0.02)
    monkeypatch.setattr(lock, "BEAT", 0.01)
    with Engine(tmp_path / "state", environ={"HOME": str(tmp_path)}) as found:
        yield found


@pytest.fixture
def held(tmp_path: Path) -> Path:
    (tmp_path / "share").mkdir()
    return another(tmp_path / "share" / shares.RUN)


def test_one_whose_heart_stands_still_goes(engine: Engine, held: Path, tmp_path: Path) -> None:
    found = engine.locks([tmp_path / "share"])
    assert [one.state for one in found.locks] == [Pulse.UNKNOWN]
    watched = engine.watch_locks(found)
    assert [one.state for one in watched.locks] == [Pulse.SILENT]
    assert watched.broken == (str(held.parent),)
    assert held.exists(), "who looks takes nothing"
    assert engine.unlock(watched).broken == watched.broken
    assert not held.parent.exists()


def test_one_whose_heart_beats_stays(
    engine: Engine, held: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def beat_and_wait(seconds: float) -> None:
        os.utime(held, ns=(0, held.stat().st_mtime_ns + 1))
        time.sleep(seconds)

    monkeypatch.setattr(engine.workspace.stop, "wait", beat_and_wait)
    watched = engine.watch_locks(engine.locks([tmp_path / "share"]))
    assert [one.state for one in watched.locks] == [Pulse.ALIVE]
    assert engine.unlock(watched).broken == ()
    assert held.exists()


@pytest.mark.parametrize(
    "meanwhile",
    [os.utime, lambda held: held.rename(held.with_name(held.name[:-1] + "0"))],
    ids=["its host woke up", "another one holds it"],
)
def test_what_happened_while_the_question_waited_counts(
    engine: Engine, held: Path, tmp_path: Path, meanwhile: Callable[[Path], object]
) -> None:
    watched = engine.watch_locks(engine.locks([tmp_path / "share"]))
    meanwhile(held)
    assert engine.unlock(watched).broken == ()
    assert list(held.parent.iterdir())


def test_ctrl_c_ends_the_watch(engine: Engine, held: Path, tmp_path: Path) -> None:
    engine.workspace.stop.set()
    with pytest.raises(Interrupted):
        engine.watch_locks(engine.locks([tmp_path / "share"]))
    assert held.exists()
