"""What hubfold sees of a hub cache that the real client wrote."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hubfold.backend.contract import Walk
from hubfold.content import LinkKind, Root
from hubfold.scanning.walk import TreeWalk
from hubfold.testing.contract import Remembered, digests_of
from hubfold.testing.loopback_hub import HubFile, LoopbackHub
from hubfold.testing.trees import (
    Tree,
    fine_tune_of,
    has_shared_store,
    hub_cache,
    link_to,
    model_files,
    repository_folder,
    safetensors,
    with_xet_hash,
)
from hubfold_plugins.huggingface.hub_cache import HubCacheBackend
from hubfold_plugins.huggingface.local_dir import LocalDirBackend
from tests.building.one_root import scan

needs_shared_store = pytest.mark.skipif(not has_shared_store(), reason="this client keeps no shared store")


def writes_trees() -> bool:
    try:
        import huggingface_hub._tree_cache  # noqa: F401
    except ImportError:
        return False
    return True


needs_trees = pytest.mark.skipif(not writes_trees(), reason="this client writes no trees/<commit>.json")


def blob(tree: Tree, cache: str, repository: str, name: str) -> str:
    """The path of a file's blob, from the cache."""
    repo_type, _, rest = (
        repository.partition("s/") if repository.startswith("datasets/") else ("model", "", repository)
    )
    repo_id, _, revision = rest.partition("@")
    etag = tree.hub.files(repo_id, revision or "main", repo_type=repo_type)[name].etag
    folder = repository_folder(tree[cache], repository.partition("@")[0])
    return os.path.relpath(folder / "blobs" / etag, tree[cache])


def test_every_file_of_every_repository_is_known_by_its_digest(tree: Tree) -> None:
    tree.hub.add("org/base", model_files("base", 40_000))
    tree.hub.add("gpt2", {"merges.txt": b"a b"})
    tree.hub.add("org/data", {"a.parquet": b"rows"}, repo_type="dataset")
    tree.hub.add("org/app", {"app.py": b"print()"}, repo_type="space")
    tree.build({"hub": hub_cache("org/base", "gpt2", "datasets/org/data", "spaces/org/app")})

    scanned = scan(HubCacheBackend, tree["hub"])

    for path, replica in scanned.replicas.items():
        true = digests_of(tree["hub"] / path)
        [algorithm] = replica.claims
        assert replica.claims == {algorithm: true[algorithm]}
        assert algorithm == ("sha256" if len(os.path.basename(path)) == 64 else "git-sha1")
    assert scanned[blob(tree, "hub", "org/base", "model.safetensors")].repo_id == "org/base"
    assert {(replica.repo_id, replica.repo_type) for replica in scanned.replicas.values()} == {
        ("org/base", "model"),
        ("gpt2", "model"),
        ("org/data", "dataset"),
        ("org/app", "space"),
    }
    assert not scanned.warnings


def test_kernels_are_repositories_too(tree: Tree) -> None:
    content = b"kernel"
    name = "kernels--org--relu/blobs/" + hashlib.sha256(content).hexdigest()
    tree.build({f"hub/{name}": content})
    assert scan(HubCacheBackend, tree["hub"])[name].repo_type == "kernel"


def test_a_blob_is_named_by_the_revision_that_main_names(tree: Tree) -> None:
    shared, old = safetensors("shared", 9_000), safetensors("old", 9_000)
    first = tree.hub.add("org/base", {"a.safetensors": shared, "b.safetensors": old})
    tree.build({"hub": hub_cache("org/base")})
    pull = tree.hub.add("org/base", {"a.safetensors": shared, "c.safetensors": b"pr" * 9}, ref="refs/pr/1")
    main = tree.hub.add("org/base", {"a.safetensors": shared})
    tree.build({"hub": hub_cache("org/base@refs/pr/1", "org/base")})

    scanned = scan(HubCacheBackend, tree["hub"])

    by_name = {
        name: f"models--org--base/blobs/{hashlib.sha256(data).hexdigest()}"
        for name, data in {"shared": shared, "old": old, "pr": b"pr" * 9}.items()
    }
    assert scanned[by_name["shared"]].revision == main
    assert scanned[by_name["pr"]].revision == pull
    assert scanned[by_name["old"]].revision == first, "no ref names it any more, and it is still there"
    for commit in (first, pull, main):
        assert scanned.walk.commit_repo(commit) == ("org/base", "model")


@pytest.mark.parametrize(
    ("refs", "best"),
    [
        ({"main": "9", "dev": "1"}, "9"),
        ({"dev": "9"}, "9"),
        ({"refs/pr/1": "5", "main": "3"}, "3"),
        ({}, "1"),
        ({"main": "gone"}, "1"),
    ],
)
def test_main_is_the_best_name_then_any_ref_then_the_first_commit(
    tree: Tree, refs: dict[str, str], best: str
) -> None:
    repository, etag = "hub/models--org--base", "e" * 40
    tree.build({f"{repository}/blobs/{etag}": b"x"})
    for digit in "13579":
        tree.build({f"{repository}/snapshots/{digit * 40}/sub/a.bin": link_to(f"../../../blobs/{etag}")})
    tree.build({f"{repository}/refs/{ref}": (digit * 40)[:40].encode() for ref, digit in refs.items()})
    assert scan(HubCacheBackend, tree["hub"])[f"models--org--base/blobs/{etag}"].revision == best * 40


def test_what_may_be_done_to_a_cache() -> None:
    """Each line is a client that would lose data otherwise; see the docstring of `huggingface.hub_cache`."""
    may = HubCacheBackend.capabilities
    assert may.links == {LinkKind.REFLINK, LinkKind.HARDLINK}
    assert may.links_across == {LinkKind.SYMLINK}
    assert may.private_objects
    assert may.cache


def test_a_blob_that_no_revision_uses_has_none(tree: Tree) -> None:
    digest = hashlib.sha256(b"left over").hexdigest()
    tree.build({f"hub/models--org--base/blobs/{digest}": b"left over"})
    replica = scan(HubCacheBackend, tree["hub"])[f"models--org--base/blobs/{digest}"]
    assert (replica.repo_id, replica.revision) == ("org/base", None)


@needs_trees
def test_the_tree_listing_adds_the_xet_hash_and_never_the_hash_of_the_lfs_pointer(tree: Tree) -> None:
    weights = safetensors("base", 9_000)
    tree.hub.add("org/base", {"model.safetensors": with_xet_hash(weights), "config.json": b"{}"})
    tree.build({"hub": hub_cache("org/base")})
    replica = scan(HubCacheBackend, tree["hub"])[blob(tree, "hub", "org/base", "model.safetensors")]
    true = digests_of(Path(replica.path))
    assert replica.claims == {"sha256": true["sha256"], "xet": true["xet"]}


@needs_shared_store
def test_a_payload_of_the_shared_store_is_one_replica_that_stays_where_it_is(tree: Tree) -> None:
    weights = with_xet_hash(safetensors("base", 9_000))
    main = tree.hub.add("org/base", {"model.safetensors": weights})
    tree.hub.add("org/same", {"copy.safetensors": weights})
    tree.build({"hub": hub_cache("org/base", "org/same", shared=True)})

    scanned = scan(HubCacheBackend, tree["hub"])

    [(path, replica)] = scanned.replicas.items()
    assert path == f"blobs/{weights.xet_hash[:2]}/{weights.xet_hash}"  # type: ignore[index]
    assert replica.pinned
    true = digests_of(tree["hub"] / path)
    assert replica.claims == {"sha256": true["sha256"], "xet": true["xet"]}
    assert (replica.repo_id, replica.revision) == ("org/base", main)
    assert not scanned.warnings
    root = Root(str(tree["hub"]), "hub-cache")
    assert HubCacheBackend().lock_paths(root, replica.path) == (f"{replica.path}.lock",)


@needs_shared_store
def test_a_lost_payload_of_the_shared_store_is_told(tree: Tree) -> None:
    weights = with_xet_hash(b"weights" * 999)
    tree.hub.add("org/base", {"model.safetensors": weights})
    tree.build({"hub": hub_cache("org/base", shared=True)})
    [payload] = tree["hub/blobs"].glob("??/*[0-9a-f]")
    payload.unlink()
    scanned = scan(HubCacheBackend, tree["hub"])
    assert not scanned.replicas
    assert "leads nowhere" in scanned.warnings[blob(tree, "hub", "org/base", "model.safetensors")]


def test_an_unmarked_blobs_folder_is_not_taken_for_the_shared_store(tree: Tree) -> None:
    tree.hub.add("org/base", model_files("base", 9_000))
    tree.build({"hub": hub_cache("org/base"), f"hub/blobs/ab/{'ab' * 32}": b"mine"})
    scanned = scan(HubCacheBackend, tree["hub"])
    assert not [path for path in scanned if path.startswith("blobs/")]
    assert "no part of a hub cache" in scanned.warnings["blobs"]


def test_an_interrupted_download_is_told_and_is_no_content(tree: Tree) -> None:
    tree.hub.add("org/base", {"config.json": b"{}"})
    name = f"hub/models--org--base/blobs/{'a' * 64}.incomplete"
    tree.build({"hub": hub_cache("org/base"), name: b"half"})
    scanned = scan(HubCacheBackend, tree["hub"])
    assert len(scanned.replicas) == 1
    assert "interrupted download of 4 bytes" in scanned.warnings[os.path.relpath(name, "hub")]


def test_a_broken_link_is_told_and_hides_nothing_else(tree: Tree) -> None:
    tree.hub.add("org/base", model_files("base", 9_000))
    tree.build({"hub": hub_cache("org/base")})
    everything = scan(HubCacheBackend, tree["hub"])
    lost = blob(tree, "hub", "org/base", "model.safetensors")
    tree[f"hub/{lost}"].unlink()
    scanned = scan(HubCacheBackend, tree["hub"])
    assert set(scanned) == set(everything) - {lost}
    [(path, message)] = scanned.warnings.items()
    assert path.endswith("/model.safetensors")
    assert "leads nowhere" in message


def test_plain_files_in_snapshots_are_content_that_takes_no_symlink(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants, file_download

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_SYMLINKS", True, raising=False)
    monkeypatch.setattr(file_download, "are_symlinks_supported", lambda *_: False)
    commit = tree.hub.add("org/base", model_files("base", 9_000))
    tree.build({"hub": hub_cache("org/base")})

    scanned = scan(HubCacheBackend, tree["hub"])

    name = f"models--org--base/snapshots/{commit}/model.safetensors"
    assert not tree[f"hub/{name}"].is_symlink(), "or this client has another way to switch symlinks off"
    assert scanned[name].links == {LinkKind.REFLINK, LinkKind.HARDLINK}
    assert (scanned[name].repo_id, scanned[name].revision) == ("org/base", commit)
    if writes_trees():
        true = digests_of(tree[f"hub/{name}"])
        assert scanned[name].claims == {"sha256": true["sha256"]}
        config = scanned[f"models--org--base/snapshots/{commit}/config.json"]
        assert config.claims == {"git-sha1": digests_of(Path(config.path))["git-sha1"]}


@needs_trees
def test_a_plain_file_of_another_size_than_listed_is_an_unknown_one(tree: Tree) -> None:
    commit = tree.hub.add("org/base", {"config.json": b"{}"})
    tree.build({"hub": hub_cache("org/base")})
    name = f"models--org--base/snapshots/{commit}/config.json"
    tree[f"hub/{name}"].unlink()
    tree[f"hub/{name}"].write_bytes(b"{ }")
    assert scan(HubCacheBackend, tree["hub"])[name].claims == {}


def test_a_blob_that_is_a_link_to_elsewhere_is_a_view(tree: Tree) -> None:
    digest = hashlib.sha256(b"weights").hexdigest()
    tree.build(
        {
            f"other drive/{digest}": b"weights",
            f"hub/models--org--base/blobs/{digest}": link_to(str(tree[f"other drive/{digest}"])),
            f"hub/models--org--base/blobs/{'0' * 64}": link_to(str(tree["other drive/gone"])),
        }
    )
    scanned = scan(HubCacheBackend, tree["hub"])
    assert not scanned.replicas
    [(path, message)] = scanned.warnings.items()
    assert path.endswith("0" * 64)
    assert "leads nowhere" in message


@needs_trees
def test_a_blob_of_the_wrong_size_is_told_and_keeps_its_name_as_a_claim(tree: Tree) -> None:
    tree.hub.add("org/base", {"model.safetensors": safetensors("base", 9_000)})
    tree.build({"hub": hub_cache("org/base")})
    path = blob(tree, "hub", "org/base", "model.safetensors")
    with tree[f"hub/{path}"].open("ab") as file:
        file.write(b"more")
    scanned = scan(HubCacheBackend, tree["hub"])
    assert scanned[path].claims == {"sha256": os.path.basename(path)}, "verify will say that this is a lie"
    assert "9004 bytes" in scanned.warnings[path]


def test_a_link_that_leaves_its_repository_is_told(tree: Tree) -> None:
    commit = tree.hub.add("org/base", {"config.json": b"{}"})
    tree.build(
        {
            "hub": hub_cache("org/base"),
            "elsewhere": b"weights",
            f"hub/models--org--base/snapshots/{commit}/model.bin": link_to("../../../../elsewhere"),
        }
    )
    scanned = scan(HubCacheBackend, tree["hub"])
    assert len(scanned.replicas) == 1
    assert "hf cache rm" in scanned.warnings[f"models--org--base/snapshots/{commit}/model.bin"]


def test_odd_refs_and_listings_give_warnings_and_nothing_else(tree: Tree) -> None:
    commit = tree.hub.add("org/base", {"config.json": b"{}"})
    tree.build({"hub": hub_cache("org/base")})
    everything = set(scan(HubCacheBackend, tree["hub"]))
    repository = "hub/models--org--base"
    tree.build(
        {
            f"{repository}/refs/evil": b"../../../etc/passwd",
            f"{repository}/refs/binary": b"\xff\xfe\x00",
            f"{repository}/refs/long": b"a" * 100_000,
            f"{repository}/refs/escape": b"\x1b[31m\n",
        }
    )
    for listing in (
        b"[]", b"{}", b"null", b"\xff", b'{"format_version": 1, "files": [1]}', b"[" * 100_000,
        b'{"format_version": 1, "files": {"a": {"size": "1", "blob_id": 5}, "b": 7, "config.json": {}}}',
        b'{"format_version": 1, "files": {"config.json": {"size": 2, "blob_id": "../../x", "xet_hash": "zz"}}}',
        b'{"format_version": 1, "files": {"x": {"lfs_sha256": "' + b"a" * 40 + b'", "lfs_size": 2}}}',
    ):  # fmt: skip
        tree.build({f"{repository}/trees/{commit}.json": listing})
        scanned = scan(HubCacheBackend, tree["hub"])
        assert set(scanned) == everything
        assert all(set(replica.claims) == {"git-sha1"} for replica in scanned.replicas.values())
        told = {path for path in scanned.warnings if "/refs/" in path}
        assert told == {f"models--org--base/refs/{name}" for name in ("evil", "binary", "long", "escape")}


# where a cache is


def recognised(path: Path) -> str | None:
    return HubCacheBackend.recognise(str(path), os.listdir(path))


def test_the_cache_is_found_whichever_folder_of_it_is_given(tree: Tree) -> None:
    commit = tree.hub.add("org/base", model_files("base", 9_000))
    tree.build({"hf/hub": hub_cache("org/base"), "hf/token": b"hf_x"})
    hub = tree["hf/hub"]
    assert recognised(hub) == str(hub)
    assert recognised(tree["hf"]) == str(hub), "HF_HOME stands for its hub/"
    assert recognised(tree.folder) is None
    repository = hub / "models--org--base"
    for below in (repository, repository / "blobs", repository / "snapshots" / commit):
        assert recognised(below) == str(below)
    assert len(scan(HubCacheBackend, repository).replicas) == 4
    assert len(scan(HubCacheBackend, repository / "blobs").replicas) == 4
    assert not scan(HubCacheBackend, repository / "snapshots").replicas
    for root in (hub, repository, repository / "blobs"):
        places = HubCacheBackend().vault_places(Root(str(root), "hub-cache"))
        assert places == (f"{tree['hf/hubfold']}", f"{hub / '.hubfold'}"), "never inside a repository"


def test_a_cache_below_a_scanned_folder_is_left_to_this_backend(tree: Tree) -> None:
    tree.hub.add("org/base", model_files("base", 9_000))
    tree.build({"home/.cache/huggingface/hub": hub_cache("org/base"), "home/notes.txt": b"mine"})
    scanned = scan(LocalDirBackend, tree["home"], others=(HubCacheBackend,))
    assert set(scanned) == {"notes.txt"}
    assert scanned.found == [("hub-cache", str(tree["home/.cache/huggingface/hub"]))]


def test_hub_hub_and_models_beside_hub_are_found(tree: Tree) -> None:
    for name in ("a", "b", "c"):
        tree.hub.add(f"org/{name}", {"config.json": name.encode()})
    tree.build({"hf": hub_cache("org/a"), "hf/hub": hub_cache("org/b"), "hf/hub/hub": hub_cache("org/c")})
    assert recognised(tree["hf"]) == str(tree["hf"])
    scanned = scan(HubCacheBackend, tree["hf"])
    assert {replica.repo_id for replica in scanned.replicas.values()} == {"org/a", "org/b", "org/c"}
    only_below = scan(HubCacheBackend, tree["hf/hub"])
    assert {replica.repo_id for replica in only_below.replicas.values()} == {"org/b", "org/c"}


def test_a_foreign_folder_in_a_cache_is_told(tree: Tree) -> None:
    tree.hub.add("org/base", {"config.json": b"{}"})
    tree.build({"hub": hub_cache("org/base"), "hub/mine/model.gguf": b"weights"})
    scanned = scan(HubCacheBackend, tree["hub"])
    assert len(scanned.replicas) == 1
    assert set(scanned.warnings) == {"mine"}


_PRECEDENCE = """
import importlib, json, os, sys
from huggingface_hub import constants
for environ in json.load(sys.stdin):
    os.environ.clear()
    os.environ.update(environ)
    importlib.reload(constants)
    print(os.path.abspath(constants.HF_HUB_CACHE))
"""


def test_the_default_root_is_the_clients_own(tmp_path: Path) -> None:
    home = str(tmp_path)
    settings = [
        {},
        {"XDG_CACHE_HOME": f"{home}/xdg"},
        {"XDG_CACHE_HOME": f"{home}/xdg", "HF_HOME": f"{home}/hf"},
        {"HF_HOME": "~/tilde"},
        {"HF_HOME": "$BIG/hf", "BIG": f"{home}/big"},
        {"HF_HOME": "${BIG}/hf", "BIG": f"{home}/big"},
        {"HUGGINGFACE_HUB_CACHE": f"{home}/old", "HF_HOME": f"{home}/hf"},
        {"HUGGINGFACE_HUB_CACHE": "~/old/$NOT_SET"},
        {"HF_HUB_CACHE": f"{home}/new", "HUGGINGFACE_HUB_CACHE": f"{home}/old", "HF_HOME": f"{home}/hf"},
        {"HF_HUB_CACHE": "relative/hub"},
    ]
    environs = [{"HOME": home, "PATH": os.defpath, **setting} for setting in settings]
    answer = subprocess.run(
        [sys.executable, "-c", _PRECEDENCE],
        input=json.dumps(environs),
        capture_output=True,
        text=True,
        check=True,
    )
    ours = [list(HubCacheBackend.default_roots(environ)) for environ in environs]
    assert [roots[0] for roots in ours] == answer.stdout.splitlines()
    assert all(roots[-1] == f"{home}/.cache/huggingface/hub" for roots in ours), (
        "the one it would be without any"
    )


# what the engine relies on


def test_the_lock_is_the_one_that_the_client_takes(tree: Tree) -> None:
    tree.hub.add("org/base", model_files("base", 9_000))
    tree.build({"hub": hub_cache("org/base")})
    root = Root(str(tree["hub"]), "hub-cache")
    locks = {
        lock
        for replica in scan(HubCacheBackend, tree["hub"]).replicas.values()
        for lock in HubCacheBackend().lock_paths(root, replica.path)
    }
    assert locks == {str(path) for path in tree["hub/.locks"].rglob("*.lock")}


@needs_trees
def test_an_unchanged_cache_costs_no_listing(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.hub.add("org/base", model_files("base", 9_000))
    tree.hub.add("org/other", model_files("other", 9_000))
    tree.build({"hub": hub_cache("org/base", "org/other")})
    memory = Remembered()
    memory.keep(list(scan(HubCacheBackend, tree["hub"], memory=memory).replicas.values()))
    read: list[str] = []
    real = TreeWalk.read_text

    def noted(walk: TreeWalk, path: str, limit: int = 1 << 20) -> str | None:
        read.append(os.path.relpath(path, tree["hub"]))
        return real(walk, path, limit)

    monkeypatch.setattr(TreeWalk, "read_text", noted)
    path = blob(tree, "hub", "org/other", "config.json")
    tree[f"hub/{path}"].touch()
    # With it, what lies beside it: a note there may say something else of them now.
    beside = {one.rpartition("/")[0] for one in scan(HubCacheBackend, tree["hub"], memory=memory)}
    assert beside == {path.rpartition("/")[0]}
    assert [name.partition("/")[0] for name in read if "/trees/" in name] == ["models--org--other"]


def test_snapshots_are_what_the_client_itself_sees(tree: Tree) -> None:
    from huggingface_hub import scan_cache_dir

    tree.hub.add("org/base", model_files("base", 9_000))
    tree.build({"hub": hub_cache("org/base")})
    tree.hub.add("org/base", {"config.json": b"{1}", "a/b/c.txt": b"deep"})
    tree.hub.add("org/data", {"a.parquet": b"rows"}, repo_type="dataset")
    tree.build({"hub": hub_cache("org/base", "datasets/org/data")})
    theirs = {
        (repo.repo_id, repo.repo_type, revision.commit_hash, tuple(sorted(revision.refs)), str(revision.snapshot_path),
         frozenset((str(file.file_path), file.size_on_disk) for file in revision.files))
        for repo in scan_cache_dir(tree["hub"]).repos for revision in repo.revisions
    }  # fmt: skip
    root = Root(str(tree["hub"]), "hub-cache")
    walk: Walk = TreeWalk(root, {})
    found = list(HubCacheBackend().snapshots(root, walk))
    ours = {
        (one.repo_id, one.repo_type, one.revision, one.refs, one.path,
         frozenset((file.path, file.size) for file in one.files))
        for one in found
    }  # fmt: skip
    assert ours == theirs
    assert len(found) == 3
    assert {file.name for one in found for file in one.files} >= {"a/b/c.txt", "tokenizer/tokenizer.json"}


def test_a_snapshot_with_a_dangling_link_is_broken_and_not_hidden(tree: Tree) -> None:
    tree.hub.add("org/base", model_files("base", 9_000))
    tree.build({"hub": hub_cache("org/base")})
    tree[f"hub/{blob(tree, 'hub', 'org/base', 'config.json')}"].unlink()
    root = Root(str(tree["hub"]), "hub-cache")
    [snapshot] = HubCacheBackend().snapshots(root, TreeWalk(root, {}))
    assert snapshot.broken
    assert {file.name for file in snapshot.files if file.size is None} == {"config.json"}


def test_a_fine_tune_shares_size_and_header_and_no_claim(tree: Tree) -> None:
    base = safetensors("base", 50_000)
    tree.hub.add("org/base", {"model.safetensors": base})
    tree.hub.add("org/tuned", {"model.safetensors": fine_tune_of(base)})
    tree.build({"hub": hub_cache("org/base", "org/tuned")})
    one, other = scan(HubCacheBackend, tree["hub"]).replicas.values()
    assert one.stat.st_size == other.stat.st_size
    assert Path(one.path).read_bytes()[:5000] == Path(other.path).read_bytes()[:5000]
    assert one.claims["sha256"] != other.claims["sha256"]


def test_a_large_git_file_is_claimed_by_its_git_hash(loopback_hub: LoopbackHub, tree: Tree) -> None:
    data = b"vocabulary" * 200_000
    loopback_hub.add("org/base", {"vocab.txt": HubFile(data, lfs=False)})
    tree.build({"hub": hub_cache("org/base")})
    [replica] = scan(HubCacheBackend, tree["hub"]).replicas.values()
    assert replica.claims == {"git-sha1": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()}
