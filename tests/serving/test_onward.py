"""The next endpoint, for what is not here."""

from __future__ import annotations

import pytest

from hubfold.errors import UsageError
from hubfold.serving import onward
from hubfold.testing.loopback_hub import LoopbackHub


def test_what_an_endpoint_is() -> None:
    assert onward.endpoint("https://hub.example/") == "https://hub.example"
    for text in (
        "hub.example",
        "ftp://hub.example",
        "https://",
        "https://me:secret@hub.example",
        "https://x/?a=b",
    ):
        with pytest.raises(UsageError) as raised:
            onward.endpoint(text)
        assert "secret" not in str(raised.value)


def test_what_it_says_of_a_file_is_handed_on(loopback_hub: LoopbackHub) -> None:
    commit = loopback_hub.add("org/far", {"model.safetensors": b"far"})
    url = f"{loopback_hub.endpoint}/org/far/resolve/main/model.safetensors"
    told = onward.head(url)
    sha256 = loopback_hub.files("org/far")["model.safetensors"].sha256
    assert (told.status, dict(told.headers)) == (
        307,
        {"Location": url, "X-Repo-Commit": commit, "X-Linked-Etag": f'"{sha256}"', "X-Linked-Size": "3"},
    )
    missing = onward.head(f"{loopback_hub.endpoint}/org/far/resolve/main/none")
    assert (missing.status, missing.headers["X-Error-Code"]) == (404, "EntryNotFound")
    assert onward.head("http://127.0.0.1:9/org/far/resolve/main/x", 1).status == 502
