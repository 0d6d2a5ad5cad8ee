"""The real DVC after a fold of its cache against a hub cache, and after it was taken back."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from tests.building import tree

pytestmark = [pytest.mark.slow, pytest.mark.programs]

FILES = {
    "model.safetensors": tree.model("dvc"),
    "data/a.bin": tree.model("rows"),
    "data/sub/b.bin": tree.model("more"),
}


class Dvc:
    """DVC in an environment of its own, in one repository, with no settings of this machine's user."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.program = Path(os.environ["HUBFOLD_TEST_PROGRAMS"], "dvc", "bin", "dvc")
        if not self.program.exists():
            pytest.skip("there is no environment with dvc")
        self._environ = {
            "PATH": f"{self.program.parent}:{os.environ['PATH']}",
            "HOME": str(home),
            "DVC_SITE_CACHE_DIR": str(home / "site"),
            "DVC_SYSTEM_CONFIG_DIR": str(home / "system"),
            "DVC_NO_ANALYTICS": "1",
        }

    def __call__(self, *arguments: str) -> str:
        done = subprocess.run(
            [str(self.program), *arguments],
            cwd=self.folder,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture
def dvc(request: pytest.FixtureRequest, tmp_path: Path) -> Dvc:
    """A repository with a file and a folder, and a remote on this disk that has both."""
    home, folder = tmp_path / "home", tmp_path / "work/repo"
    for path in (home, folder):
        path.mkdir(parents=True)
    one = Dvc(folder, home)
    one("init", "--no-scm", "-q")
    one("config", "cache.type", request.param)
    for name, data in FILES.items():
        tree.write(str(folder / name), data)
    one("add", "-q", "model.safetensors", "data")
    one("remote", "add", "-q", "-d", "store", str(tmp_path / "work/remote"))
    one("push", "-q")
    return one


@pytest.fixture
def engine(tmp_path: Path, dvc: Dvc) -> Iterator[Engine]:
    hub = tmp_path / "home/.home/huggingface/hub"
    tree.cache(str(hub), "org/base", {os.path.basename(name): data for name, data in FILES.items()})
    with Engine(environ=tree.environment(str(tmp_path / "home"))) as made:
        made.add_root(tmp_path / "work")
        yield made


def _objects(top: Path) -> list[Path]:
    found = [path for path in sorted(top.rglob("files/md5/*/*")) if path.suffix != ".dir"]
    assert len(found) == 3
    return found


def _seen(dvc: Dvc) -> dict[str, tuple[bytes, bool, bool]]:
    """Of each file of the work tree its bytes, whether it is a link, and whether it is its object."""
    objects = {os.stat(path).st_ino for path in _objects(dvc.folder / ".dvc/cache")}
    seen = {}
    for name in FILES:
        path = dvc.folder / name
        seen[name] = (path.read_bytes(), path.is_symlink(), path.stat().st_ino in objects)
    return seen


def _content(dvc: Dvc) -> None:
    assert "up to date" in dvc("status")
    assert "in sync" in dvc("status", "-c")
    assert {name: (dvc.folder / name).read_bytes() for name in FILES} == FILES


def _fold(engine: Engine) -> None:
    engine.scan()
    done = engine.apply(engine.plan())
    assert not done.failed
    assert len({one.path for one in done.actions}) >= 6, "the cache's objects and the remote's"


@pytest.mark.parametrize("dvc", ["copy", "hardlink", "symlink"], indirect=True)
def test_dvc_notices_nothing_of_a_fold_nor_of_what_takes_it_back(
    dvc: Dvc, engine: Engine, tmp_path: Path
) -> None:
    before = _seen(dvc)
    _fold(engine)
    places = (dvc.folder / ".dvc/cache", tmp_path / "work/remote")
    assert len({os.stat(path).st_ino for place in places for path in _objects(place)}) == 3
    assert _seen(dvc) == before
    _content(dvc)
    assert not engine.verify().problems
    engine.undo()
    assert _seen(dvc) == before
    _content(dvc)
    assert len({os.stat(path).st_ino for place in places for path in _objects(place)}) == 6


@pytest.mark.parametrize("dvc", ["copy", "symlink"], indirect=True)
def test_it_checks_out_fetches_and_pushes_what_was_folded(dvc: Dvc, engine: Engine, tmp_path: Path) -> None:
    _fold(engine)
    (dvc.folder / "model.safetensors").unlink()
    shutil.rmtree(dvc.folder / "data")
    dvc("checkout", "-q")
    _content(dvc)
    dvc("checkout", "--relink", "-q")
    _content(dvc)
    shutil.rmtree(dvc.folder / ".dvc/cache")
    dvc("pull", "-q", "--force")
    _content(dvc)
    shutil.rmtree(tmp_path / "work/remote")
    dvc("push", "-q")
    _content(dvc)
    assert not [path for path in (dvc.folder / ".dvc/cache").rglob("*") if path.is_symlink()]


@pytest.mark.parametrize("dvc", ["hardlink"], indirect=True)
def test_an_edit_and_a_collection_touch_no_other_name(dvc: Dvc, engine: Engine) -> None:
    _fold(engine)
    hub = {path: path.read_bytes() for path in Path(engine.download_cache() or "").rglob("blobs/*")}
    assert len(hub) == 3
    dvc("unprotect", "model.safetensors")
    with open(dvc.folder / "model.safetensors", "r+b") as file:
        file.write(b"edited")
    dvc("add", "-q", "model.safetensors")
    dvc("gc", "-w", "-f", "-q")
    assert len(_objects(dvc.folder / ".dvc/cache")) == 3
    assert {path: path.read_bytes() for path in hub} == hub
    assert (dvc.folder / "model.safetensors").read_bytes()[:6] == b"edited"
    assert "up to date" in dvc("status")
    engine.scan()
    assert not engine.verify().problems
