"""Who holds a lock between hosts, and whether that process is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from hubfold.disk.hosts import holders
from tests.building.host_locks import token_of_another_host, token_that_is_gone


def test_each_holder_has_a_name_of_its_own() -> None:
    tokens = {holders.this_process("gc").token for _ in range(50)}
    assert len(tokens) == 50
    assert all(map(holders.is_token, tokens))
    assert all(map(holders.is_here, tokens))


def test_who_is_at_work_is_not_gone() -> None:
    assert not holders.has_ended(holders.this_process("").token)


def test_who_is_gone_is_gone_also_before_its_parent_asks_for_it() -> None:
    assert holders.has_ended(token_that_is_gone())
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    token = token_that_is_gone(_2=child.pid, _3=holders._started(child.pid))
    assert not holders.has_ended(token)
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert holders.has_ended(token), "a zombie does nothing any more"
    child.wait()
    assert holders.has_ended(token)


@pytest.mark.parametrize("token", ["", "x", token_of_another_host(), token_of_another_host() + "0"])
def test_of_other_hosts_nothing_is_known(token: str) -> None:
    assert not holders.has_ended(token)
    assert not holders.is_here(token)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"[]", b"null", b'{"host": 7, "pid": "x"}', b"\xff", b"[" * 2000]
)
def test_a_text_that_makes_no_sense_says_nothing_that_hurts(text: bytes) -> None:
    holder = holders.told_by(token_of_another_host(), text)
    assert (holder.pid, holder.command) == (4711, "")
    assert "process 4711 on " in holder.line


def test_what_a_holder_says_is_read_again() -> None:
    me = holders.this_process("undo")
    assert holders.told_by(me.token, me.as_text()) == me
