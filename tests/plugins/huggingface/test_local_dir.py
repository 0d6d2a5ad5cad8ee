"""What hubfold sees of folders that ``hf download --local-dir`` filled, and of plain ones."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hubfold.content import LinkKind, Root
from hubfold.testing import digests_of
from hubfold.testing.trees import (
    Tree,
    copy_of,
    hub_cache,
    link_to,
    local_dir,
    model_files,
    safetensors,
    with_xet_hash,
)
from hubfold_plugins.huggingface.hub_cache import HubCacheBackend
from hubfold_plugins.huggingface.local_dir import LocalDirBackend
from tests.building.one_root import scan
from tests.building.tiers import tries

METADATA = ".cache/huggingface/download"
NO_SYMLINK = {LinkKind.REFLINK, LinkKind.HARDLINK}


def believed(folder: Path, name: str) -> bool:
    """Whether the real client believes what it wrote down about a file."""
    from huggingface_hub._local_folder import read_download_metadata

    return read_download_metadata(folder, name) is not None


def metadata(folder: Path, name: str) -> Path:
    return folder / METADATA / f"{name}.metadata"


def test_a_download_is_known_by_its_digests_and_its_commit(tree: Tree) -> None:
    commit = tree.hub.add("org/base", model_files("base", 9_000))
    tree.build({"base": local_dir("org/base")})
    scanned = scan(LocalDirBackend, tree["base"], commits={commit: ("org/base", "model")})
    assert set(scanned) == set(model_files("base"))
    for path, replica in scanned.replicas.items():
        algorithm = "sha256" if path.endswith(".safetensors") else "git-sha1"
        assert replica.claims == {algorithm: digests_of(tree["base"] / path)[algorithm]}
        assert (replica.repo_id, replica.repo_type, replica.revision) == ("org/base", "model", commit)
    assert not scanned.warnings


def test_the_repository_is_told_by_a_cache_that_has_the_commit(tree: Tree) -> None:
    tree.hub.add("org/base", model_files("base", 9_000))
    tree.build({"hub": hub_cache("org/base"), "base": local_dir("org/base")})
    known = scan(HubCacheBackend, tree["hub"]).walk.shared.commits
    assert scan(LocalDirBackend, tree["base"], commits=known)["config.json"].repo_id == "org/base"
    assert scan(LocalDirBackend, tree["base"])["config.json"].repo_id is None


def test_the_repository_is_told_by_the_ref_that_the_client_left_in_its_cache(tree: Tree) -> None:
    tree.hub.add("org/base", model_files("base", 9_000))
    tree.build({"hub/version.txt": b"1", "base": local_dir("org/base", cache="hub")})
    if not tree["hub/models--org--base/refs/main"].exists():
        pytest.skip("this client leaves no ref")
    known = scan(HubCacheBackend, tree["hub"]).walk.shared.commits
    assert scan(LocalDirBackend, tree["base"], commits=known)["config.json"].repo_id == "org/base"


def test_a_tree_listing_adds_the_xet_hash(tree: Tree) -> None:
    tree.hub.add("org/base", {"sub/model.safetensors": with_xet_hash(safetensors("base", 9_000))})
    tree.build({"base": local_dir("org/base")})
    if not tree["base/.cache/huggingface/trees"].exists():
        pytest.skip("this client writes no trees/<commit>.json")
    [replica] = scan(LocalDirBackend, tree["base"]).replicas.values()
    true = digests_of(Path(replica.path))
    assert replica.claims == {"sha256": true["sha256"], "xet": true["xet"]}


def test_a_file_edited_after_its_download_has_no_claim(tree: Tree) -> None:
    tree.hub.add("org/base", model_files("base", 9_000))
    tree.build({"base": local_dir("org/base")})
    edited = tree["base/config.json"]
    edited.write_bytes(b"{}")
    os.utime(edited, ns=(0, edited.stat().st_mtime_ns + 5_000_000_000))
    scanned = scan(LocalDirBackend, tree["base"])
    assert not believed(tree["base"], "config.json")
    assert scanned["config.json"].claims == {}
    assert scanned["config.json"].latest_mtime_ns is None
    assert scanned["config.json"].revision is None
    assert scanned["README.md"].claims


def test_a_file_of_another_size_than_listed_has_no_claim_whatever_its_time(tree: Tree) -> None:
    tree.hub.add("org/base", model_files("base", 9_000))
    tree.build({"base": local_dir("org/base")})
    if not tree["base/.cache/huggingface/trees"].exists():
        pytest.skip("this client writes no trees/<commit>.json")
    edited = tree["base/config.json"]
    before = edited.stat()
    edited.write_bytes(b"{}")
    os.utime(edited, ns=(before.st_atime_ns, before.st_mtime_ns))
    scanned = scan(LocalDirBackend, tree["base"])
    assert scanned["config.json"].claims == {}
    assert "2 bytes" in scanned.warnings["config.json"]


def test_the_latest_mtime_is_the_last_one_that_the_client_believes(tree: Tree) -> None:
    tree.hub.add("org/base", model_files("base", 9_000))
    tree.build({"base": local_dir("org/base")})
    name = "model.safetensors"
    latest = scan(LocalDirBackend, tree["base"])[name].latest_mtime_ns
    assert latest is not None
    os.utime(tree["base"] / name, ns=(0, latest))
    assert believed(tree["base"], name)
    assert scan(LocalDirBackend, tree["base"])[name].claims
    os.utime(tree["base"] / name, ns=(0, latest + 2_000))
    assert not believed(tree["base"], name), "the bound is not two microseconds too strict"
    assert not scan(LocalDirBackend, tree["base"])[name].claims


def test_several_downloads_in_one_folder_are_each_known_by_their_own_metadata(tree: Tree) -> None:
    commits = {}
    for name in ("a", "b", "c"):
        commits[tree.hub.add(f"org/{name}", model_files(name, 9_000))] = (f"org/{name}", "model")
    tree.build(
        {
            "models/a": local_dir("org/a"),
            "models/deep/er/b": local_dir("org/b"),
            "models/a/inside": local_dir("org/c"),
            "models/mine.gguf": b"weights",
        }
    )
    scanned = scan(LocalDirBackend, tree["models"], commits=commits)
    assert scanned["a/config.json"].repo_id == "org/a"
    assert scanned["deep/er/b/tokenizer/tokenizer.json"].repo_id == "org/b"
    assert scanned["a/inside/model.safetensors"].repo_id == "org/c"
    assert scanned["mine.gguf"].claims == {}
    assert len(scanned.replicas) == 13


def test_bookkeeping_is_never_content_and_a_cache_in_it_is_found(tree: Tree) -> None:
    tree.hub.add("org/base", model_files("base", 9_000))
    tree.build(
        {
            "home": local_dir("org/base"),
            "home/.cache/huggingface/hub": hub_cache("org/base"),
            "home/.cache/huggingface/xet/chunk-cache/ab": b"chunk",
            "home/.cache/huggingface/token": b"hf_x",
            "home/.cache/pip/wheel": b"mine",
        }
    )
    scanned = scan(LocalDirBackend, tree["home"], others=(HubCacheBackend,))
    assert set(scanned) == {*model_files("base"), ".cache/pip/wheel"}
    assert scanned.found == [("hub-cache", str(tree["home/.cache/huggingface/hub"]))]


def test_a_misplaced_cache_in_a_home_is_found(tree: Tree) -> None:
    tree.hub.add("org/base", model_files("base", 9_000))
    tree.build({"home/.cache/huggingface/hub/hub": hub_cache("org/base"), "home/notes.txt": b"mine"})
    scanned = scan(LocalDirBackend, tree["home"], others=(HubCacheBackend,))
    assert scanned.found == [("hub-cache", str(tree["home/.cache/huggingface/hub/hub"]))]


def test_the_nearest_download_knows_a_file_best(tree: Tree) -> None:
    outer = tree.hub.add("org/outer", {"inside/config.json": b"{}"})
    inner = tree.hub.add("org/inner", {"config.json": b"[]"})
    tree.build({"a": local_dir("org/outer"), "a/inside": local_dir("org/inner")})
    assert outer != inner
    scanned = scan(LocalDirBackend, tree["a"])
    assert scanned["inside/config.json"].revision == inner
    assert scanned["inside/config.json"].claims == {
        "git-sha1": digests_of(tree["a/inside/config.json"])["git-sha1"]
    }


def test_interrupted_downloads_are_told(tree: Tree) -> None:
    tree.hub.add("org/base", model_files("base", 9_000))
    tree.build(
        {
            "base": local_dir("org/base"),
            f"base/{METADATA}/abc=.{'a' * 64}.incomplete": b"half",
            f"base/{METADATA}/tokenizer/abc=.{'a' * 64}.incomplete": b"a quarter",
            "base/other.incomplete": b"half",
        }
    )
    scanned = scan(LocalDirBackend, tree["base"])
    assert set(scanned) == set(model_files("base"))
    assert {path for path, message in scanned.warnings.items() if "interrupted" in message} == {
        f"{METADATA}/abc=.{'a' * 64}.incomplete",
        f"{METADATA}/tokenizer/abc=.{'a' * 64}.incomplete",
        "other.incomplete",
    }


def test_the_metadata_of_older_clients_counts_too(tree: Tree) -> None:
    tree.hub.add("org/base", model_files("base", 9_000))
    tree.build({"base": local_dir("org/base")})
    new = scan(LocalDirBackend, tree["base"])
    # Up to 0.23 the folder is .huggingface; `test_clients.py` has it written by 0.23.5 itself.
    tree["base/.cache/huggingface"].rename(tree["base/.huggingface"])
    tree["base/.cache"].rmdir()
    old = scan(LocalDirBackend, tree["base"])
    assert LocalDirBackend.recognise(str(tree["base"]), os.listdir(tree["base"])) == str(tree["base"])
    assert {path: replica.claims for path, replica in old.replicas.items()} == {
        path: replica.claims for path, replica in new.replicas.items()
    }


def test_only_a_folder_with_a_download_is_recognised(tree: Tree) -> None:
    tree.hub.add("org/base", {"config.json": b"{}"})
    tree.build({"some/base": local_dir("org/base"), "home/.cache/huggingface/token": b"", "plain/a": b""})
    answers = {
        name: LocalDirBackend.recognise(str(tree[name]), os.listdir(tree[name]))
        for name in ("some", "some/base", "home", "plain")
    }
    assert answers == {"some": None, "some/base": str(tree["some/base"]), "home": None, "plain": None}


# what may stand in a file's place


def test_onnx_data_takes_no_symlink(tree: Tree) -> None:
    tree.build({f"models/{name}": b"x" for name in (
        "alone/model.onnx_data", "alone/weights.data",
        "onnx/model.onnx", "onnx/model.onnx_data", "onnx/model.onnx_data_1", "onnx/decoder.onnx.data",
        "onnx/onnx__MatMul_1234", "onnx/blob.bin", "onnx/model.safetensors", "onnx/config.json",
        "onnx/pytorch_model.bin", "parts/model.onnx", "parts/model.onnx.1",
        "small/model.onnx", "small/config.json", "small/vocab.txt",
    )})  # fmt: skip
    links = {path: replica.links for path, replica in scan(LocalDirBackend, tree["models"]).replicas.items()}
    free = {path for path, kinds in links.items() if kinds is None}
    assert free == {
        "alone/weights.data", "onnx/model.safetensors", "onnx/config.json", "onnx/pytorch_model.bin",
        "small/model.onnx", "small/config.json", "small/vocab.txt",
    }  # fmt: skip
    assert all(kinds == NO_SYMLINK for path, kinds in links.items() if path not in free)


def test_objects_of_git_are_shared_by_extents_or_not_at_all(tree: Tree) -> None:
    tree.build(
        {"clone/.git/lfs/objects/ab/cd/abcd": b"x", "clone/model.bin": b"x", "clone/.gitattributes": b""}
    )
    scanned = scan(LocalDirBackend, tree["clone"])
    assert scanned[".git/lfs/objects/ab/cd/abcd"].links == {LinkKind.REFLINK}
    assert scanned["model.bin"].links is None


# locks


def test_the_lock_is_the_one_that_the_client_takes(tree: Tree) -> None:
    from huggingface_hub._local_folder import get_local_download_paths

    tree.hub.add("org/base", model_files("base", 9_000))
    tree.build({"models/base": local_dir("org/base"), "models/mine/sub/a.gguf": b"weights"})
    for root in (tree["models"], tree["models/base"]):
        place = Root(str(root), "local-dir")
        for name in model_files("base"):
            theirs = get_local_download_paths(tree["models/base"], name).lock_path
            assert LocalDirBackend().lock_paths(place, str(tree["models/base"] / name)) == [str(theirs)]
    plain = LocalDirBackend().lock_paths(
        Root(str(tree["models"]), "local-dir"), str(tree["models/mine/sub/a.gguf"])
    )
    assert plain == [], "no folder is made for the lock of a file that no client downloaded"


# metadata is data


COMMIT, GIT, SHA256, NOW = "c" * 40, "a" * 40, "b" * 64, "4102444800.5"

ODD_METADATA = {
    "empty": b"",
    "one line": COMMIT.encode(),
    "path as commit": f"../../../etc\n{GIT}\n{NOW}\n".encode(),
    "absolute path as commit": f"/etc/passwd\n{GIT}\n{NOW}\n".encode(),
    "path as etag": f"{COMMIT}\n../../x\n{NOW}\n".encode(),
    "upper-case etag": f"{COMMIT}\n{GIT.upper()}\n{NOW}\n".encode(),
    "short etag": f"{COMMIT}\n{GIT[:-1]}\n{NOW}\n".encode(),
    "etag of other digits": f"{COMMIT}\n{'٣' * 40}\n{NOW}\n".encode(),
    "escape": f"{COMMIT}\n\x1b[31m{GIT}\n{NOW}\n".encode(),
    "no time": f"{COMMIT}\n{GIT}\nnever\n".encode(),
    "nan": f"{COMMIT}\n{GIT}\nnan\n".encode(),
    "infinity": f"{COMMIT}\n{GIT}\ninf\n".encode(),
    "end of time": f"{COMMIT}\n{GIT}\n1e300\n".encode(),
    "not UTF-8": b"\xff\xfe\n\xff\n\xff\n",
    "NUL": b"\0" * 300,
    "huge": f"{COMMIT}\n{GIT}\n{NOW}\n".encode() + b"x" * 10_000_000,
}


@pytest.mark.parametrize("text", ODD_METADATA.values(), ids=ODD_METADATA)
def test_odd_metadata_gives_no_claim_and_a_warning(tree: Tree, text: bytes) -> None:
    tree.build({"base/model.bin": b"weights", f"base/{METADATA}/model.bin.metadata": text})
    scanned = scan(LocalDirBackend, tree["base"])
    assert scanned["model.bin"].claims == {}
    assert scanned["model.bin"].latest_mtime_ns is None
    assert set(scanned.warnings) == {f"{METADATA}/model.bin.metadata"}


@pytest.mark.parametrize("etag", [GIT, SHA256])
def test_metadata_of_the_right_form_gives_a_claim(tree: Tree, etag: str) -> None:
    tree.build(
        {
            "base/model.bin": b"weights",
            f"base/{METADATA}/model.bin.metadata": f"{COMMIT}\n{etag}\n{NOW}\n".encode(),
        }
    )
    assert list(scan(LocalDirBackend, tree["base"])["model.bin"].claims.values()) == [etag]


def test_metadata_that_is_a_link_out_of_the_folder_is_not_followed(tree: Tree) -> None:
    tree.build(
        {
            "elsewhere": f"{COMMIT}\n{GIT}\n{NOW}\n".encode(),
            "base/model.bin": b"weights",
            f"base/{METADATA}/model.bin.metadata": link_to("../../../../elsewhere"),
        }
    )
    assert scan(LocalDirBackend, tree["base"])["model.bin"].claims == {}


@settings(max_examples=tries(60, 300), deadline=None, suppress_health_check=list(HealthCheck))
@given(st.binary(max_size=300) | st.lists(st.sampled_from([COMMIT, GIT, SHA256, NOW, "", "..", "-1", "\r"])).map(
    lambda lines: "\n".join(lines).encode()
))  # fmt: skip
def test_whatever_the_metadata_says_the_scan_goes_on(tree: Tree, text: bytes) -> None:
    tree.build({"base/model.bin": b"weights", f"base/{METADATA}/model.bin.metadata": text})
    scanned = scan(LocalDirBackend, tree["base"])
    assert set(scanned) == {"model.bin"}
    # The client's own reader has to come to the same answer wherever we come to one.
    if scanned["model.bin"].claims:
        assert believed(tree["base"], "model.bin")


def test_a_plain_folder_is_every_regular_file_of_it(tree: Tree) -> None:
    tree.build(
        {
            "plain/a.gguf": b"weights",
            "plain/b.gguf": copy_of("plain/a.gguf"),
            "plain/link.gguf": link_to("a.gguf"),
            "plain/loop": link_to("."),
        }
    )
    os.mkfifo(tree["plain/fifo"])
    scanned = scan(LocalDirBackend, tree["plain"])
    assert set(scanned) == {"a.gguf", "b.gguf"}
    assert all(replica.claims == {} and replica.links is None for replica in scanned.replicas.values())
