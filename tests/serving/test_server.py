"""The limits of the server, and what becomes of clients that are slow, too many, or gone."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.errors import HubfoldError, UsageError
from hubfold.testing.trees import Tree
from tests.building.serving import HERE, Served, application, served, server
from tests.building.waiting import PATIENCE, until
from tests.serving.conftest import WEIGHTS

FILE = "/org/base/resolve/main/model.safetensors"
GET = f"GET {FILE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def connected(serving: Served) -> socket.socket:
    return socket.create_connection(serving.address, PATIENCE)


def told(serving: Served, why: str) -> bool:
    """Whether an answer was ended for this reason."""
    return any(f"ended: {why}" in line for line in serving.lines)


def rest(sock: socket.socket) -> bytes:
    """All that comes until the other side closes, by whatever means."""
    found = b""
    try:
        while data := sock.recv(1 << 20):
            found += data
    except ConnectionResetError:
        pass
    return found


@pytest.mark.slow
def test_a_head_that_does_not_come_ends_the_connection(
    serving: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_FOR_A_HEAD", 0.2)
    small = GET.replace(b"model.safetensors", b"config.json")
    for before, beginning in ((b"", b""), (b"", b"GET / HT"), (small, b"GET / HTTP")):
        with connected(serving) as sock:
            sock.sendall(before)
            while before and not sock.recv(1 << 20).endswith(b"{}"):
                pass
            sock.sendall(beginning)
            assert not rest(sock)


def test_what_is_no_request_or_has_no_end_is_refused(serving: Served) -> None:
    for bad in (b"\x16\x03\x01 nonsense\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 300_000):
        with connected(serving) as sock, pytest.MonkeyPatch.context() as patch:
            patch.setattr(server, "_FOR_A_HEAD", 1.0)
            sock.sendall(bad)
            assert b" 200 " not in rest(sock)
    assert serving.ask(FILE).status == 200


@pytest.mark.slow
def test_who_takes_nothing_is_let_go_and_who_goes_is_noticed(
    serving: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(application, "STALLED", 0.3)
    # Buffers that hold less than the file.
    with socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(serving.address)
        slow.sendall(GET)
        until(lambda: told(serving, "nobody took it"), "it is waited for")
        assert len(rest(slow)) < len(WEIGHTS)
    monkeypatch.setattr(application, "STALLED", PATIENCE)
    gone = socket.socket()
    gone.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    gone.connect(serving.address)
    gone.sendall(GET)
    gone.recv(100)
    gone.close()
    until(lambda: told(serving, "the client went away"), "nobody noticed")
    assert serving.ask(FILE).body == WEIGHTS


def test_more_connections_than_the_limit_are_told_so(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "LIMITS", server.Limits(2))
    with served(engine) as serving:
        idle = [connected(serving) for _ in range(2)]
        assert serving.ask(FILE).status == 503
        more = [connected(serving) for _ in range(8)]
        assert rest(more[-1]) == b"", "far more are closed at once"
        for one in (*idle, *more):
            one.close()


def test_many_requests_by_one_connection_and_one_after_another_was_cut(serving: Served) -> None:
    with connected(serving) as sock:
        sock.sendall(GET + GET.replace(b"model.safetensors", b"config.json"))
        found = b""
        while not found.endswith(b"\r\n\r\n{}"):
            found += sock.recv(1 << 20)
        assert found.count(b"HTTP/1.1 200") == 2
        assert WEIGHTS in found


def test_other_machines_only_with_a_token_or_by_a_word(engine: Engine) -> None:
    everywhere = replace(HERE, bind="0.0.0.0:0")
    with pytest.raises(UsageError, match="no token") as raised, served(engine, everywhere):
        pass
    assert "--token-file" in raised.value.hint
    with served(engine, replace(everywhere, without_token=True)) as serving:
        assert not serving.begun.own


def test_an_address_that_is_taken_or_nobodys(engine: Engine, serving: Served) -> None:
    taken = "{}:{}".format(*serving.address)
    for address in (taken, "203.0.113.1:1", "no.such.host.invalid:1"):
        with pytest.raises(HubfoldError, match="cannot be listened at") as raised:
            server.listen(server.gate.address(address))
        assert "--bind" in raised.value.hint


@pytest.mark.slow
def test_by_https(engine: Engine, tmp_path: Path) -> None:
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    with pytest.raises(UsageError, match="TLS needs"), served(engine, replace(HERE, tls=(str(cert), None))):
        pass
    bad = replace(HERE, tls=(str(cert), str(key)))
    with pytest.raises(FileNotFoundError), served(engine, bad):
        pass
    cert.write_text("no certificate")
    key.write_text("no key")
    with pytest.raises(HubfoldError, match="certificate cannot be used"), served(engine, bad):
        pass
    made = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    done = subprocess.run(["openssl", *made.split(), *more], capture_output=True, check=False)
    if done.returncode:
        pytest.skip("openssl makes no certificate here")
    with served(engine, replace(HERE, tls=(str(cert), str(key)))) as serving:
        assert serving.endpoint.startswith("https://")
        trust = ssl.create_default_context(cafile=str(cert))
        with trust.wrap_socket(connected(serving), server_hostname="127.0.0.1") as sock:
            sock.sendall(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            assert rest_of(sock).endswith(WEIGHTS)


def rest_of(sock: ssl.SSLSocket) -> bytes:
    found = b""
    while data := sock.recv(1 << 20):
        found += data
    return found


@pytest.mark.slow
def test_what_is_going_out_when_it_is_to_end_is_waited_for_a_while(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_TO_END", PATIENCE)
    with served(engine) as serving:
        slow = socket.socket()
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(serving.address)
        slow.sendall(GET)
        beginning = slow.recv(10)
        engine.workspace.stop.set()
        whole: list[bytes] = []
        reader = threading.Thread(target=lambda: whole.append(beginning + rest(slow)))
        reader.start()
    reader.join(PATIENCE)
    slow.close()
    assert whole[0].endswith(WEIGHTS[-1000:])


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="no list of descriptors")
def test_descriptors_are_given_back(cached: Tree, serving: Served) -> None:
    serving.ask(FILE)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        serving.ask(FILE)
        serving.ask(FILE, "HEAD")
        serving.ask(FILE, Range="bytes=5-4,9")
    until(lambda: len(os.listdir("/proc/self/fd")) <= before, "descriptors stay open")
