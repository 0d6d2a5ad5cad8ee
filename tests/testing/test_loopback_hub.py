"""The Hub on loopback: what the real client gets from it, and what it tells of being asked."""

from __future__ import annotations

import hashlib
import json
import os
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from hubfold.testing.loopback_hub import Hit, HubFile, LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files, parse_repository, safetensors


def ask(
    url: str, method: str = "GET", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(url, method=method, headers=headers or {})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request) as answer:
            return answer.status, dict(answer.headers), answer.read()
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read()


def test_the_client_gets_every_file_as_it_was_given(tree: Tree, tmp_path: Path) -> None:
    on_disk = tmp_path / "on disk"
    on_disk.write_bytes(b"from a path")
    given = {
        "bytes.txt": b"bytes",
        "empty.txt": b"",
        "path.txt": on_disk,
        "generated.bin": (bytes([n]) * 100_000 for n in range(20)),
        "a b#?%&é.txt": b"odd name",
        "deep/er/still.txt": b"deep",
    }
    tree.hub.add("org/base", given)
    tree.build({"copy": local_dir("org/base")})
    got = {str(p.relative_to(tree["copy"])): p.read_bytes() for p in tree["copy"].rglob("*")
           if p.is_file() and ".cache" not in p.parts}  # fmt: skip
    generated = b"".join(bytes([n]) * 100_000 for n in range(20))
    assert got == {**given, "path.txt": b"from a path", "generated.bin": generated}


def test_revisions_and_refs_are_kept_apart(tree: Tree) -> None:
    first = tree.hub.add("org/base", {"a.txt": b"1"})
    second = tree.hub.add("org/base", {"a.txt": b"2"})
    pull = tree.hub.add("org/base", {"a.txt": b"3"}, ref="refs/pr/1")
    tree.hub.tag("org/base", "v1", first)
    assert len({first, second, pull}) == 3
    named = ("main", "refs/pr/1", "v1", first, "v2", "f" * 40)
    assert [tree.hub.commit_of("org/base", name) for name in named] == [
        second,
        pull,
        first,
        first,
        None,
        None,
    ]
    assert tree.hub.commit_of("org/other") is None
    for revision, content in (("main", b"2"), ("v1", b"1"), (first, b"1"), ("refs/pr/1", b"3")):
        name = revision.replace("/", "-")
        tree.build({name: local_dir(f"org/base@{revision}")})
        assert (tree[name] / "a.txt").read_bytes() == content


def test_a_commit_hash_is_the_same_at_every_run() -> None:
    def commits() -> list[str]:
        hub = LoopbackHub()
        return [
            hub.add("org/base", {"a": b"1"}),
            hub.add("org/base", {"a": b"1"}),
            hub.add("org/b", {"a": b"1"}),
        ]

    assert commits() == commits()
    assert len(set(commits())) == 3


def test_etags_are_those_of_the_real_hub(loopback_hub: LoopbackHub) -> None:
    commit = loopback_hub.add("org/base", {
        "config.json": b"{}",
        "model.safetensors": b"weights",
        "big.txt": HubFile(b"text", lfs=True),
        "git.bin": HubFile(b"weights", lfs=False),
    })  # fmt: skip
    url = f"{loopback_hub.endpoint}/org/base/resolve/main"
    # `git hash-object` of "{}" without a newline, and sha256sum.
    assert ask(f"{url}/config.json", "HEAD")[1]["ETag"] == '"9e26dfeeb6e641a33dae4961196235bdb965b21b"'
    status, headers, body = ask(f"{url}/model.safetensors", "HEAD")
    sha256 = hashlib.sha256(b"weights").hexdigest()
    assert (status, body) == (200, b"")
    assert headers["X-Linked-Etag"] == f'"{sha256}"'
    assert headers["X-Linked-Size"] == headers["Content-Length"] == "7"
    assert headers["X-Repo-Commit"] == commit
    tree = json.loads(ask(f"{loopback_hub.endpoint}/api/models/org/base/tree/{commit}")[2])
    by_path = {entry["path"]: entry for entry in tree}
    pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize 7\n".encode()
    pointer_sha1 = hashlib.sha1(b"blob %d\0" % len(pointer) + pointer).hexdigest()
    assert by_path["model.safetensors"]["oid"] == pointer_sha1, "in git lies the pointer, not the content"
    assert by_path["model.safetensors"]["lfs"] == {"oid": sha256, "size": 7, "pointerSize": len(pointer)}
    assert "lfs" in by_path["big.txt"]
    assert "lfs" not in by_path["git.bin"]


@pytest.mark.parametrize(
    ("asked", "status", "content", "told"),
    [
        ("bytes=3-", 206, b"3456789", "bytes 3-9/10"),
        ("bytes=3-5", 206, b"345", "bytes 3-5/10"),
        ("bytes=3-99", 206, b"3456789", "bytes 3-9/10"),
        ("bytes=-4", 206, b"6789", "bytes 6-9/10"),
        ("bytes=0-", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=x", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
    ],
)
def test_ranges(
    loopback_hub: LoopbackHub, asked: str, status: int, content: bytes | None, told: str | None
) -> None:
    loopback_hub.add("org/base", {"a.txt": b"0123456789"})
    answer = ask(f"{loopback_hub.endpoint}/org/base/resolve/main/a.txt", headers={"Range": asked})
    assert answer[0] == status
    assert content is None or answer[2] == content
    assert answer[1].get("Content-Range") == told
    assert sum(hit.bytes for hit in loopback_hub.hits) == len(content or b"")


def test_what_is_not_there_is_refused_as_the_client_expects(tree: Tree) -> None:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.utils import EntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    commit = tree.hub.add("org/base", {"a.txt": b"1"})
    where = {"endpoint": tree.hub.endpoint, "cache_dir": str(tree["hub"]), "token": False}
    with pytest.raises(EntryNotFoundError):
        hf_hub_download("org/base", "b.txt", **where)
    with pytest.raises(RevisionNotFoundError):
        hf_hub_download("org/base", "a.txt", revision="v9", **where)
    with pytest.raises(RepositoryNotFoundError):
        hf_hub_download("org/none", "a.txt", **where)
    assert (tree["hub/models--org--base/.no_exist"] / commit / "b.txt").exists()
    for path in (
        "/",
        "/api",
        "/api/models",
        "/org/base",
        "/org/base/resolve",
        "/../../etc/passwd",
        "/api/x/y/tree/z",
    ):
        assert ask(f"{tree.hub.endpoint}{path}")[0] == 404


def test_hits_are_counted_by_method_and_path(tree: Tree) -> None:
    files = model_files("base", 100_000)
    tree.hub.add("org/base", files)
    tree.build({"hub": hub_cache("org/base")})
    assert {(hit.repo_id, hit.filename, hit.bytes) for hit in tree.hub.downloads()} == {
        ("org/base", name, len(content)) for name, content in files.items()
    }
    [big] = tree.hub.downloads(at_least=100_000)
    assert big == Hit("GET", big.path, 200, "org/base", "model.safetensors", 100_000)
    assert tree.hub.count("GET", big.path) == 1
    tree.hub.forget_hits()
    tree.sync("hub")
    assert tree.hub.count() > 0
    assert tree.hub.downloads() == [], "the cache is up to date, so nothing comes twice"


def test_a_local_dir_that_is_up_to_date_downloads_nothing(tree: Tree) -> None:
    tree.hub.add("org/base", model_files("base", 100_000))
    tree.build({"base": local_dir("org/base")})
    tree.hub.forget_hits()
    tree.sync("base")
    assert tree.hub.downloads() == []


def test_spooled_content_goes_with_the_hub() -> None:
    with LoopbackHub() as hub:
        hub.add("org/base", {"a.bin": iter([b"x" * 10])})
        [file] = hub.files("org/base").values()
        assert isinstance(file.source, Path)
        assert file.source.exists()
        endpoint = hub.endpoint
    assert not file.source.exists()
    with pytest.raises(OSError, match=r"refused|closed"):
        ask(endpoint)
    with pytest.raises(RuntimeError):
        _ = hub.endpoint


def test_a_wrong_kind_of_repository_is_an_error() -> None:
    with pytest.raises(ValueError, match="models"):
        LoopbackHub().add("org/base", {}, repo_type="models")


def test_a_safetensors_file_is_valid_and_of_the_size_asked_for() -> None:
    data = safetensors("base", 9_000)
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    assert len(data) == 9_000
    assert header["weight"]["data_offsets"] == [0, 9_000 - 8 - length]
    assert data == safetensors("base", 9_000)
    assert data[: 8 + length] == safetensors("other", 9_000)[: 8 + length]


def test_repositories_are_named_as_people_write_them() -> None:
    assert parse_repository("gpt2") == ("model", "gpt2", "main")
    assert parse_repository("org/base@refs/pr/1") == ("model", "org/base", "refs/pr/1")
    assert parse_repository("datasets/org/data@v1") == ("dataset", "org/data", "v1")


def test_the_environment_of_a_test_is_not_the_users(isolated: Path) -> None:
    for variable in (
        "HOME",
        "HF_HOME",
        "HF_HUB_CACHE",
        "HUGGINGFACE_HUB_CACHE",
        "XDG_CACHE_HOME",
        "HUBFOLD_HOME",
    ):
        assert os.environ[variable].startswith(str(isolated))
    from huggingface_hub import constants

    assert not constants.HF_HUB_CACHE.startswith(os.path.expanduser("~root"))
