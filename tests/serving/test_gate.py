"""Who may ask."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hubfold.errors import UsageError
from hubfold.serving import gate
from hubfold.serving.gate import Address, BadToken, Gate

TOKEN = "0123456789abcdef"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("127.0.0.1:80", Address("127.0.0.1", 80)),
        ("localhost", Address("localhost", 8600)),
        ("[::1]:0", Address("::1", 0)),
        ("::1", Address("::1", 8600)),
        (":9000", Address("127.0.0.1", 9000)),
    ],
)
def test_addresses(text: str, meant: Address) -> None:
    assert gate.address(text) == meant


@pytest.mark.parametrize(
    "text", ["127.0.0.1:port", "host:99999", "http://host:80", "host/path", "user@host:80", ""]
)
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        gate.address(text)


def test_how_others_reach_an_address() -> None:
    assert gate.reached_at("127.0.0.1") == "127.0.0.1"
    assert gate.reached_at("::1") == "[::1]"
    assert gate.reached_at("0.0.0.0") == gate.reached_at("::") == socket.gethostname()


def test_a_token_is_one_line_that_only_its_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    assert gate.read_token(str(path)) == TOKEN
    for mode in (0o640, 0o604, 0o620):
        path.chmod(mode)
        with pytest.raises(BadToken, match="others") as raised:
            gate.read_token(str(path))
        assert "chmod 600" in raised.value.hint
    path.chmod(0o600)
    for text in ("", "short", f"{TOKEN}\n{TOKEN}", f"{TOKEN} x", f"{TOKEN}ü", "x" * 5000):
        path.write_text(text)
        with pytest.raises(BadToken, match="does not hold"):
            gate.read_token(str(path))
    with pytest.raises(BadToken, match="no file"):
        gate.read_token(str(tmp_path))


def test_only_who_sends_the_token() -> None:
    asks = Gate(TOKEN, own=False)
    assert asks.refuses({"authorization": f"Bearer {TOKEN}"}) is None
    assert asks.refuses({"authorization": f"bearer {TOKEN}"}) is None
    for given in ("", TOKEN, f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer ", "Bearer \udcff"):
        assert asks.refuses({"authorization": given})
    assert asks.refuses({})


def test_a_page_of_a_browser_comes_by_another_name() -> None:
    for host in ("127.0.0.1:8600", "localhost:8600", "[::1]:1", "127.0.0.2"):
        assert Gate(None, own=True).refuses({"host": host}) is None
    for host in ("", "evil.example", "127.0.0.1.evil.example", "192.168.0.1:8600", "[::"):
        assert Gate(None, own=True).refuses({"host": host})
    assert Gate(None, own=False).refuses({"host": "models.lab"}) is None, "who lets everybody ask said so"
