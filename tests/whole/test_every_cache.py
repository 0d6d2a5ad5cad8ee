"""Every place that a client would load from is seen, and a cache may be named by the folder above it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.building import tree
from tests.building.program import Program

FILES = {"model.safetensors": tree.model("somewhere"), "config.json": b'{"model_type": "llama"}'}


class Somewhere:
    """A program with HF_HOME, and a model of which the client knows the cache."""

    def __init__(self, base: Path) -> None:
        self.hubfold = Program(base / "home")
        self.base, self.home = base, base / "home/hf"
        self.home.mkdir()
        self.environ: dict[str, str] = {}

    def __call__(self, *argv: str | Path, code: int | None = 0) -> str:
        done = self.hubfold(*argv, environ=self.environ)
        assert code is None or done.code == code, (argv, done)
        return done.out

    def loads(self, repo_id: str, cache: Path) -> Path:
        from huggingface_hub import snapshot_download

        folder = Path(snapshot_download(repo_id, cache_dir=cache, local_files_only=True))
        assert {name: (folder / name).read_bytes() for name in FILES} == FILES
        return folder

    def roots(self) -> dict[str, str]:
        """Backend by path, of what `roots` shows."""
        told = self.hubfold("roots", "--json", environ=self.environ).json["roots"]
        return {root["path"]: root["backend"] for root in told}

    def is_known(self, repo_id: str, cache: Path) -> None:
        self("check", "-q", repo_id, "--anywhere")
        assert self("path", repo_id).strip() == str(self.loads(repo_id, cache))


@pytest.fixture
def somewhere(tmp_path: Path) -> Somewhere:
    return Somewhere(tmp_path)


def cache(path: Path, repo_id: str = "org/base") -> Path:
    tree.cache(str(path), repo_id, FILES)
    return path


# caches that nobody named


def beside_hub(place: Somewhere) -> Path:
    """A program was given HF_HOME as its cache_dir."""
    cache(place.home / "hub", "org/inner")
    return cache(place.home)


def beside_no_hub(place: Somewhere) -> Path:
    return cache(place.home)


def hub_in_hub(place: Somewhere) -> Path:
    """HF_HOME was set to the hub."""
    cache(place.home / "hub", "org/inner")
    return cache(place.home / "hub/hub")


def only_hub_in_hub(place: Somewhere) -> Path:
    return cache(place.home / "hub/hub")


def transformers(place: Somewhere) -> Path:
    place.environ["TRANSFORMERS_CACHE"] = str(place.base / "transformers")
    return cache(place.base / "transformers")


def transformers_of_old(place: Somewhere) -> Path:
    """By the name of the variable before, with a `~`."""
    place.environ["PYTORCH_TRANSFORMERS_CACHE"] = "~/transformers"
    return cache(place.base / "home/user/transformers")


def diffusers_left_over(place: Somewhere) -> Path:
    return cache(place.home / "diffusers")


def sentence_transformers(place: Somewhere) -> Path:
    place.environ["SENTENCE_TRANSFORMERS_HOME"] = str(place.base / "st")
    return cache(place.base / "st")


@pytest.mark.parametrize(
    "where",
    [
        beside_hub,
        beside_no_hub,
        hub_in_hub,
        only_hub_in_hub,
        transformers,
        transformers_of_old,
        diffusers_left_over,
        sentence_transformers,
    ],
    ids=lambda where: where.__name__,
)
def test_a_cache_that_programs_find_is_found(
    somewhere: Somewhere, where: Callable[[Somewhere], Path]
) -> None:
    place = where(somewhere)
    somewhere.is_known("org/base", place)
    somewhere("scan")
    shown = somewhere.roots()
    if where not in (
        hub_in_hub,
        only_hub_in_hub,
    ):  # a part of the hub, and `doctor` tells that it is misplaced
        assert shown[str(place)] == "hub-cache"
    somewhere("rm", "org/base", "--from", place, "-y")
    assert not (place / "models--org--base").exists()
    if (somewhere.home / "hub/models--org--inner").exists():
        somewhere.is_known("org/inner", somewhere.home / "hub")


def test_folders_that_hold_no_repository_are_no_roots(somewhere: Somewhere) -> None:
    """HF_HOME with what else lies in it, and a variable that names a folder of the user's."""
    (somewhere.home / "hub").mkdir()
    (somewhere.home / "token").write_text("hf_secret")
    somewhere.environ["TRANSFORMERS_CACHE"] = str(somewhere.base / "models")
    tree.write(str(somewhere.base / "models/w.safetensors"), FILES["model.safetensors"])
    somewhere("scan")
    assert set(somewhere.roots()) == {str(somewhere.home / "hub")}


def test_downloads_go_where_they_went(somewhere: Somewhere) -> None:
    beside_hub(somewhere)
    transformers(somewhere)
    roots = somewhere.hubfold("roots", "--json", environ=somewhere.environ).json["roots"]
    assert {root["path"] for root in roots if root["role"] == "primary"} == {str(somewhere.home / "hub")}


# caches by the folder above them, and those that were nothing yet


def empty_hub(base: Path) -> Path:
    (base / "hub").mkdir(parents=True)
    return base / "hub"


def nothing_at_all(base: Path) -> Path:
    base.mkdir(parents=True)
    return base


def no_hub_yet(base: Path) -> Path:
    base.mkdir(parents=True)
    return base / "hub"


def a_hub(base: Path) -> Path:
    return cache(base / "hub", "org/first")


def a_hub_behind_a_link(base: Path) -> Path:
    base.mkdir(parents=True)
    real = cache(base.parent / "elsewhere", "org/first")
    (base / "hub").symlink_to(real)
    return real


@pytest.mark.parametrize(
    "before",
    [empty_hub, nothing_at_all, no_hub_yet, a_hub, a_hub_behind_a_link],
    ids=lambda one: one.__name__,
)
def test_a_cache_is_one_by_the_folder_above_it_and_once_it_is_filled(
    somewhere: Somewhere, before: Callable[[Path], Path]
) -> None:
    base = somewhere.base / "drive/hf"
    place = before(base)
    somewhere("roots", "add", base, "--role", "primary")
    somewhere("scan")
    cache(place)
    somewhere.is_known("org/base", place)
    somewhere("scan")
    shown = {
        path: backend for path, backend in somewhere.roots().items() if str(somewhere.base / "drive") in path
    }
    assert shown == {str(place): "hub-cache"}
    dry = somewhere("rm", "org/base", "--from", base, "--dry-run")
    assert f"{place}/models--org--base" in dry
    somewhere("clean", "--all", base, "-y")
    assert not list(place.glob("models--*")) and place.is_dir()
    somewhere("roots", "rm", base)
    assert not any(str(somewhere.base / "drive") in path for path in somewhere.roots())


def test_what_the_user_said_of_a_root_holds(somewhere: Somewhere) -> None:
    """A folder that was added as a plain one by name stays one."""
    folder = somewhere.base / "folder"
    folder.mkdir()
    somewhere("roots", "add", folder, "--backend", "local-dir")
    tree.write(str(folder / "w.safetensors"), FILES["model.safetensors"])
    somewhere("scan")
    assert somewhere.roots()[str(folder)] == "local-dir"
