"""How work is asked to stop, and that nobody has to listen to how far it is."""

from __future__ import annotations

import threading

import pytest

from hubfold.errors import Interrupted
from hubfold.progress import Progress, Silent, Stop


def test_work_goes_on_until_it_is_asked_to_stop() -> None:
    stop = Stop()
    stop.check()
    assert not stop
    stop.set()
    assert stop
    with pytest.raises(Interrupted) as caught:
        stop.check()
    assert caught.value.hint
    with pytest.raises(Interrupted):
        stop.check()


def test_a_wait_ends_when_a_stop_is_asked_for_by_another_thread() -> None:
    stop = Stop()
    threading.Timer(0.01, stop.set).start()
    stop.wait(60)
    assert stop


def test_silence_takes_everything() -> None:
    progress: Progress = Silent()
    progress.start("reading", None, "bytes")
    progress.advance(1)
    progress.finish()
