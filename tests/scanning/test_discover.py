"""Which roots are meant: by path, by layout, by environment."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path

import pytest

from hubfold.backend.boundary import GuardedBackend
from hubfold.backend.contract import StorageBackend
from hubfold.content import VAULT_MARKER, Role, Root
from hubfold.disk.paths import canonical
from hubfold.errors import RootError, UsageError
from hubfold.scanning.discover import discover, fallback
from tests import CHECKOUT
from tests.building.scanned import Place
from tests.faults.filesystems import open_the_way


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    one = Place(tmp_path)
    with one.index:
        yield one


def cache(place: Place, path: str) -> Path:
    place.file(f"{path}/models--org--base/blobs/{'a' * 64}", b"content")
    return place.folder / path


def found(place: Place, *paths: str | Path, **options: object) -> list[tuple[str, str]]:
    given = [place.folder / path for path in paths]
    roots = discover(given, place.backends, **{"environ": {}, **options})  # type: ignore[arg-type]
    return [(os.path.relpath(root.path, place.folder), root.backend) for root in roots]


def test_a_cache_is_found_whichever_of_its_folders_is_given(place: Place) -> None:
    cache(place, "hf/hub")
    assert found(place, "hf") == [("hf/hub", "hub-cache")]
    assert found(place, "hf/hub") == [("hf/hub", "hub-cache")]
    assert found(place, "hf", "hf/hub", "hf/../hf") == [("hf/hub", "hub-cache")]


def test_any_other_folder_is_a_plain_one(place: Place) -> None:
    place.file("models/a", b"")
    assert found(place, "models") == [("models", "local-dir")]
    assert found(place, "models/") == [("models", "local-dir")]


class Plain(StorageBackend):
    name = "plain"
    fallback = True


class Picky(StorageBackend):
    """Written before there was a `fallback`: it takes what it recognises."""

    name = "picky"


def test_the_backend_that_says_so_takes_what_none_recognises(place: Place) -> None:
    place.file("models/a", b"")
    backends = {one.name: GuardedBackend(one()) for one in (Picky, Plain)} | place.backends
    [root] = discover([place.folder / "models"], backends, environ={})
    assert root.backend == "plain", "the first that says so"
    assert fallback(backends) == "plain"


def test_where_no_backend_takes_what_none_recognises_it_has_to_be_named(place: Place) -> None:
    place.file("models/a", b"")
    backends = {"picky": GuardedBackend(Picky())}
    with pytest.raises(RootError, match=r"no backend recognises .*/models") as caught:
        discover([place.folder / "models"], backends, environ={})
    assert "--backend" in caught.value.hint
    [root] = discover([place.folder / "models"], backends, backend="picky", environ={})
    assert root.backend == "picky"
    assert fallback(backends) is None


def test_a_backend_can_be_named(place: Place) -> None:
    cache(place, "hf/hub")
    assert found(place, "hf", backend="hub-cache") == [("hf/hub", "hub-cache")]
    assert found(place, "hf/hub", backend="local-dir") == [("hf/hub", "local-dir")]
    with pytest.raises(UsageError, match="no backend is called 'olama'") as caught:
        found(place, "hf", backend="olama")
    assert "hub-cache" in caught.value.hint
    with pytest.raises(UsageError):
        found(place, "hf", backend="vault")


def test_caches_come_first(place: Place) -> None:
    place.file("a-plain/a", b"")
    cache(place, "z/hub")
    assert found(place, "a-plain", "z") == [("z/hub", "hub-cache"), ("a-plain", "local-dir")]


def test_a_symlink_to_a_root_is_that_root(place: Place) -> None:
    cache(place, "big/hub")
    (place.folder / "hf").symlink_to("big")
    assert found(place, "hf", "big") == [("big/hub", "hub-cache")]
    assert canonical(place.folder / "hf") == str(place.folder / "big")


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_bind_mount_of_a_root_is_that_root(place: Place) -> None:
    place.file("one/a", b"")
    (place.folder / "two").mkdir()
    mounted = subprocess.run(
        ["mount", "--bind", place.folder / "one", place.folder / "two"], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("bind mounts do not work here")
    try:
        assert found(place, "one", "two") == [("one", "local-dir")]
    finally:
        subprocess.run(["umount", place.folder / "two"], check=True)


def test_a_known_root_keeps_its_role_limit_and_backend(place: Place) -> None:
    place.file("models/a", b"")
    known = Root(str(place.folder / "models"), "symlink-farm", Role.PRIMARY, 1000)
    assert discover([place.folder / "models"], place.backends, known=[known], environ={}) == [known]
    cache(place, "hf/hub")
    plain = Root(str(place.folder / "hf/hub"), "local-dir", Role.PRIMARY, 1000)
    assert discover([place.folder / "hf"], place.backends, known=[plain], environ={}) == [
        Root(plain.path, "hub-cache", Role.PRIMARY, 1000)
    ]


def test_known_roots_below_a_path_belong_to_it(place: Place) -> None:
    place.file("data/models/a", b"")
    known = [Root(str(place.folder / name), "local-dir") for name in ("data/models", "elsewhere")]
    assert found(place, "data", known=known) == [("data", "local-dir"), ("data/models", "local-dir")]


def test_without_a_path_the_known_roots_and_those_of_the_environment(place: Place) -> None:
    cache(place, "home/.cache/huggingface/hub")
    cache(place, "project/hub")
    known = [Root(str(place.folder / "offline"), "local-dir")]
    environ = {"HOME": str(place.folder / "home"), "HF_HUB_CACHE": str(place.folder / "project/hub")}
    assert set(found(place, known=known, environ=environ)) == {
        ("offline", "local-dir"),
        ("project/hub", "hub-cache"),
        ("home/.cache/huggingface/hub", "hub-cache"),
    }
    assert found(place, environ={"HOME": str(place.folder / "nobody")}) == []


def test_a_path_that_cannot_be_a_root_is_an_error_with_a_hint(place: Place) -> None:
    place.file("file", b"")
    place.file(f"hf/hubfold/{VAULT_MARKER}", b"")
    (place.folder / "loop").symlink_to("loop")
    for path, message in {
        "missing": "does not exist",
        "file": "is a file, not a folder",
        "file/below": "is a file, not a folder",
        "hf/hubfold": "is a vault of hubfold's own",
        "loop": "cannot be read",
    }.items():
        with pytest.raises(RootError, match=message) as caught:
            found(place, path)
        assert caught.value.hint


def test_a_folder_that_may_not_be_read_is_an_error_with_a_hint(place: Place) -> None:
    private = place.folder / "private"
    private.mkdir(mode=0)
    program = f"""
import os, sys
sys.path.insert(0, {str(CHECKOUT)!r})
from hubfold.scanning.discover import discover
from hubfold.errors import RootError
if os.geteuid() == 0:
    os.setgroups([]); os.setgid(65534); os.setuid(65534)
try:
    discover([{str(private)!r}], {{}}, environ={{}})
except RootError as error:
    print(str(error).endswith("cannot be read: Permission denied"), error.hint)
"""
    open_the_way(place.folder)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "True run hubfold as a user who may read it\n", done.stderr


class Strict(StorageBackend):
    """Bears no other layout in its folders."""

    name = "strict"
    marks = frozenset({"STRICT"})
    exclusive = True

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        return os.path.join(path, "store") if "STRICT" in names else None

    @classmethod
    def default_roots(cls, environ: Mapping[str, str]) -> Iterable[str]:
        return [environ["STORE"]] if "STORE" in environ else []


def test_a_folder_in_an_exclusive_layout_is_of_its_root_whatever_it_looks_like(place: Place) -> None:
    place.backends["strict"] = GuardedBackend(Strict())
    place.file("app/STRICT", b"")
    cache(place, "app/store/a/hub")
    for path in ("app", "app/store", "app/store/a", "app/store/a/hub"):
        assert found(place, path) == [("app/store", "strict")], path
    assert found(place, "app/store/a", backend="local-dir") == [("app/store/a", "local-dir")], (
        "as the user says"
    )
    own = [Root(str(place.folder / "app/store/a/hub"), "hub-cache")]
    assert found(place, "app/store/a/hub", known=own) == [("app/store/a/hub", "hub-cache")]


def test_an_exclusive_root_that_only_settings_name_is_known_in_what_lies_around_it(place: Place) -> None:
    place.backends["strict"] = GuardedBackend(Strict())
    place.file("data/moved/a/b/x.gguf", b"")
    environ = {"STORE": str(place.folder / "data/moved")}
    assert set(found(place, "data", environ=environ)) == {("data", "local-dir"), ("data/moved", "strict")}
    assert found(place, "data/moved/a/b", environ=environ) == [("data/moved", "strict")]
    assert found(place, "data", environ=environ, known=None) == [("data", "local-dir")]
