"""What is answered, over a real connection."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.testing.trees import Tree, hub_cache, local_dir
from tests.building.serving import HERE, Served, application, served
from tests.serving.conftest import FILES, WEIGHTS

FILE = "/org/base/resolve/main/model.safetensors"
SHA = hashlib.sha256(WEIGHTS).hexdigest()


def blob(cached: Tree, name: str = "model.safetensors") -> Path:
    [link] = cached["hf/hub/models--org--base/snapshots"].glob(f"*/{name}")
    return link.resolve()


def photograph(folder: Path) -> dict[str, tuple[int, ...]]:
    """Everything of each file that a change would change; of access times nothing."""
    found = {}
    for path in sorted(folder.rglob("*")):
        st = path.lstat()
        found[str(path)] = (st.st_ino, st.st_mode, st.st_size, st.st_mtime_ns, st.st_ctime_ns, st.st_nlink)
    return found


def test_a_file_whole_and_in_part_and_nothing_on_the_roots_changes(cached: Tree, serving: Served) -> None:
    before = photograph(cached["hf"])
    commit = cached.hub.commit_of("org/base")
    whole = serving.ask(FILE)
    assert (whole.status, whole.body == WEIGHTS) == (200, True)
    assert whole.headers["etag"] == whole.headers["x-linked-etag"] == f'"{SHA}"'
    assert (whole.headers["x-linked-size"], whole.headers["x-repo-commit"]) == (str(len(WEIGHTS)), commit)
    part = serving.ask(FILE, Range="bytes=1048570-1048580")
    assert (part.status, part.body) == (206, WEIGHTS[1048570:1048581])
    assert part.headers["content-range"] == f"bytes 1048570-1048580/{len(WEIGHTS)}"
    assert serving.ask(FILE, Range="bytes=-5").body == WEIGHTS[-5:]
    assert serving.ask(FILE, Range=f"bytes={len(WEIGHTS)}-").status == 416
    head = serving.ask(FILE, "HEAD")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(WEIGHTS)))
    assert serving.ask(f"/.hubfold/sha256/{SHA}").body == WEIGHTS
    assert serving.ask("/datasets/org/data/resolve/main/part.parquet").body == b"rows"
    assert photograph(cached["hf"]) == before
    assert any(line.endswith("s") and f"GET {FILE} 206 11" in line for line in serving.lines)


def test_what_the_hub_tells_of_a_revision(cached: Tree, serving: Served) -> None:
    commit = cached.hub.commit_of("org/base")
    info = json.loads(serving.ask("/api/models/org/base/revision/main").body)
    assert (info["id"], info["sha"]) == ("org/base", commit)
    assert sorted(one["rfilename"] for one in info["siblings"]) == sorted(FILES)
    tree = json.loads(serving.ask(f"/api/models/org/base/tree/{commit}?recursive=true").body)
    told = {one["path"]: one for one in tree if one["type"] == "file"}
    hubs = {one.path: one.as_tree_entry() for one in cached.hub.files("org/base").values()}
    assert told == hubs
    for kind, body in (
        ("application/json", b'{"paths": ["sub", "config.json"], "expand": false}'),
        ("application/x-www-form-urlencoded", b"paths=sub&paths=config.json"),
    ):
        found = serving.ask("/api/models/org/base/paths-info/main", "POST", body, Content_Type=kind)
        assert [one["path"] for one in json.loads(found.body)] == ["sub", "config.json"]
    assert serving.ask("/api/models/org/base/paths-info/main", "POST", b"[").status == 400
    assert serving.ask("/api/models/org/base/tree/main/none").status == 404


def test_what_is_not_here_says_so(serving: Served) -> None:
    for path, code in {
        "/api/models/org/none/revision/main": "RepoNotFound",
        "/org/none/resolve/main/x": "RepoNotFound",
        "/api/models/org/base/revision/none": "RevisionNotFound",
        "/org/base/resolve/none/config.json": "RevisionNotFound",
        "/org/base/resolve/main/none.json": "EntryNotFound",
        "/org/base/resolve/main/../../../../../../etc/passwd": "EntryNotFound",
        "/org/base/resolve/main/%0d%0aX-Mine:%20yes": "EntryNotFound",
        "/api/models/%ff%0aX": "RepoNotFound",
        f"/.hubfold/sha256/{'0' * 64}": "EntryNotFound",
        "/api/whoami-v2": None,
        "/../../etc/passwd": None,
    }.items():
        answer = serving.ask(path)
        assert (path, answer.status, answer.headers.get("x-error-code")) == (path, 404, code)
        assert "x-mine" not in answer.headers
    assert not any("\n" in line or "\x1b" in line for line in serving.lines)


def test_of_a_revision_that_is_here_in_part_nothing_is_called_absent(cached: Tree, serving: Served) -> None:
    """Clients remember that a file is not in a revision: it is said only where a listing says so."""
    blob(cached, "sub/notes.txt").unlink()
    [listing] = cached["hf/hub/models--org--base/trees"].iterdir()
    for listed in (True, False):
        if not listed:
            listing.unlink()
        application_looks_again(serving)
        assert serving.ask("/api/models/org/base/revision/main").status == 404
        for name, code in (("sub/notes.txt", None), ("none", "EntryNotFound" if listed else None)):
            answer = serving.ask(f"/org/base/resolve/main/{name}")
            assert (answer.status, answer.headers.get("x-error-code")) == (404, code)
        assert serving.ask(FILE).body == WEIGHTS


def application_looks_again(serving: Served) -> None:
    """Who asks for what is not there has the roots looked at, once the last look is not of just now."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hubfold.serving.catalogue.MISSED", -1.0)
        serving.ask("/org/none/resolve/main/x")


def test_what_comes_later_is_found(cached: Tree, serving: Served) -> None:
    cached.hub.add("org/later", {"config.json": b"later"})
    cached.build({"hf/hub": hub_cache("org/later")})
    application_looks_again(serving)
    assert serving.ask("/org/later/resolve/main/config.json").body == b"later"


def test_a_blob_that_is_not_what_its_name_says_is_not_sent_and_another_copy_is(
    cached: Tree, serving: Served
) -> None:
    path = blob(cached)
    os.chmod(path, 0o644)
    path.write_bytes(WEIGHTS[:-1] + b"x")
    answer = serving.ask(FILE)
    assert (answer.status, answer.headers.get("x-error-code")) == (404, None)
    cached.build({"models/base": local_dir("org/base")})
    with Engine(cached.folder / "state") as engine:
        engine.add_root(cached["models/base"])
    with served(Engine(cached.folder / "state")) as again:
        found = again.ask(f"/.hubfold/sha256/{SHA}")
        assert (found.status, found.body == WEIGHTS) == (200, True)


def test_a_blob_that_changes_while_it_is_sent_ends_the_answer(
    cached: Tree, serving: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = blob(cached)
    os.chmod(path, 0o644)
    monkeypatch.setattr(application, "BLOCK", 64 << 10)
    real, reads = application.Opened.read, 0

    async def read(opened: application.Opened, block: memoryview, offset: int) -> int:
        nonlocal reads
        reads += 1
        if reads == 10:
            with path.open("r+b") as file:
                file.seek(offset)
                file.write(b"other bytes")
        return await real(opened, block, offset)

    monkeypatch.setattr(application.Opened, "read", read)
    with pytest.raises(http.client.IncompleteRead) as raised:
        serving.ask(FILE)
    assert WEIGHTS.startswith(raised.value.partial)
    assert len(raised.value.partial) < len(WEIGHTS)
    assert any("ended: it is not, or not any more, what it is called" in line for line in serving.lines)


def test_a_blob_that_changes_before_its_last_bytes_go_is_not_sent_to_its_end(
    cached: Tree, serving: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = blob(cached)
    os.chmod(path, 0o644)
    real = application.Opened.still

    async def still(opened: application.Opened) -> None:
        with path.open("r+b") as file:
            file.write(b"other bytes")
        await real(opened)

    monkeypatch.setattr(application.Opened, "still", still)
    with pytest.raises(http.client.IncompleteRead) as raised:
        serving.ask(FILE)
    assert raised.value.partial == WEIGHTS[: -application.LAST]


def test_only_the_roots_that_are_named(cached: Tree, engine: Engine) -> None:
    cached.hub.add("org/other", {"config.json": b"other"})
    cached.build({"other/hub": hub_cache("org/other")})
    for named in ("other/hub", "other"):
        with served(engine, replace(HERE, roots=(str(cached[named]),))) as serving:
            assert serving.begun.models == 1
            assert serving.ask("/org/other/resolve/main/config.json").body == b"other"
            assert serving.ask(FILE).status == 404


def test_a_token_is_asked_for_and_never_told(cached: Tree, engine: Engine, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret-0123456789")
    token.chmod(0o600)
    with served(engine, replace(HERE, token_file=str(token))) as serving:
        for given in ({}, {"Authorization": "Bearer wrong-0123456789"}):
            answer = serving.ask(FILE, **given)
            assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert "HF_TOKEN" in answer.headers["x-error-message"]
        assert serving.ask(FILE, Authorization="Bearer secret-0123456789").body == WEIGHTS
    assert not any("secret" in line or "wrong" in line for line in serving.lines)


def test_the_next_endpoint_is_asked_for_the_rest_and_no_token_goes_there(
    cached: Tree, engine: Engine
) -> None:
    cached.hub.add("org/far", {"model.safetensors": b"far"})
    with served(engine, replace(HERE, next=f"{cached.hub.endpoint}/")) as serving:
        cached.hub.forget_hits()
        assert serving.ask(FILE).body == WEIGHTS
        for path in ("/api/models/org/far/revision/main", "/api/whoami-v2?x=1", "/org/far/resolve/main/x"):
            answer = serving.ask(path, Authorization="Bearer hf_mine")
            assert (answer.status, answer.headers["location"]) == (307, f"{cached.hub.endpoint}{path}")
        assert not cached.hub.hits, "who asks goes there himself"
        head = serving.ask("/org/far/resolve/main/model.safetensors", "HEAD", Authorization="Bearer hf_mine")
        assert (head.status, head.headers["x-linked-size"]) == (307, "3")
        assert [hit.method for hit in cached.hub.hits] == ["HEAD"]
        assert serving.ask("/org/base/resolve/main/none").status == 404, "a commit has no more files there"


def test_another_name_than_this_machines_is_refused(serving: Served) -> None:
    assert serving.ask(FILE, Host="evil.example").status == 403
    assert serving.ask(FILE, "DELETE").status == 405
    assert serving.ask(FILE, X_Long="x" * 20_000).status == 431
