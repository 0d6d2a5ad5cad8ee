"""Model files in a git work tree, with the real git: it notices nothing of a fold, and takes nothing that it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.building.program import Program
from tests.building.weights import weights

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


class Git:
    """git in one work tree, with no settings of this machine's user."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self._environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "a",
            "GIT_AUTHOR_EMAIL": "a@example.org",
            "GIT_COMMITTER_NAME": "a",
            "GIT_COMMITTER_EMAIL": "a@example.org",
        }

    def __call__(self, *arguments: str, good: bool = True) -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.folder,
            env=self._environ,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0 or not good, done.stderr
        return done.stdout


@pytest.fixture
def git(hubfold: Program) -> Git:
    """A work tree with two copies of a model committed, and one outside of it."""
    folder = hubfold.home / "work"
    folder.mkdir()
    one = Git(folder, hubfold.home / "user")
    one("init", "-q", "-b", "main")
    for name in ("a.safetensors", "sub/b.safetensors"):
        weights(folder / name)
    one("add", "-A")
    one("commit", "-qm", "one")
    weights(hubfold.home / "models" / "copy.safetensors")
    return one


def _bytes(git: Git) -> list[bytes]:
    return [(git.folder / name).read_bytes() for name in ("a.safetensors", "sub/b.safetensors")]


@needs_git
@pytest.mark.parametrize("roots", [["work"], ["work/sub", "models"], ["work", "models"], ["."]], ids=" ".join)
@pytest.mark.parametrize("link", ["auto", "symlink"])
def test_git_notices_nothing(hubfold: Program, git: Git, roots: list[str], link: str) -> None:
    before = _bytes(git)
    places = [hubfold.home / root for root in roots]
    assert hubfold("consolidate", "-y", "--only", "--link", link, *places).code == 0
    assert not [path for path in git.folder.rglob("*") if path.is_symlink()]
    assert not list(git.folder.rglob(".hubfold*")), "no vault in what git looks after"
    assert git("status", "--porcelain", "--ignored") == ""
    git("fsck", "--strict")
    git("clean", "-qfdx")
    assert _bytes(git) == before


@needs_git
def test_a_checkout_of_another_revision_writes_into_no_link(hubfold: Program, git: Git) -> None:
    first = _bytes(git)
    weights(git.folder / "a.safetensors", 2)
    git("commit", "-qam", "two")
    weights(git.folder / "sub" / "b.safetensors", 2)
    git("commit", "-qam", "three")
    copy = weights(hubfold.home / "models" / "second.safetensors", 2)
    kept = copy.read_bytes()
    assert hubfold("consolidate", "-y", "--only", git.folder, copy.parent).code == 0
    assert os.path.samefile(git.folder / "a.safetensors", git.folder / "sub" / "b.safetensors")
    assert git("status", "--porcelain") == ""
    git("checkout", "-q", "HEAD~2")
    assert _bytes(git) == first
    git("checkout", "-q", "main")
    assert _bytes(git) == [kept, kept]
    git("stash", "list")
    assert copy.read_bytes() == kept
    assert (hubfold.home / "models" / "copy.safetensors").read_bytes() == first[0]


@needs_git
def test_a_cache_in_a_work_tree_gets_no_vault_there(hubfold: Program, git: Git) -> None:
    """A project's own cache, which git ignores: the vault beside it would go with it, and its links would not."""
    (git.folder / ".gitignore").write_text("cache/\n")
    git("add", "-A")
    git("commit", "-qm", "ignore")
    repo = git.folder / "cache" / "hub" / "models--org--base"
    commit = "a" * 40
    one = weights(hubfold.home / "models" / "other.safetensors", 3)
    import hashlib

    blob = repo / "blobs" / hashlib.sha256(one.read_bytes()).hexdigest()
    for folder in (blob.parent, repo / "refs", repo / "snapshots" / commit):
        folder.mkdir(parents=True)
    shutil.copy2(one, blob)
    (repo / "refs" / "main").write_text(commit)
    (repo / "snapshots" / commit / "model.safetensors").symlink_to(f"../../blobs/{blob.name}")
    before = one.read_bytes()
    assert hubfold("consolidate", "-y", "--only", repo.parent, one.parent).code == 0
    git("clean", "-qfdx")
    assert one.read_bytes() == before


@pytest.mark.slow
@needs_git
def test_git_lfs_notices_nothing(hubfold: Program, git: Git, tmp_path: Path) -> None:
    if "git-lfs" not in git("lfs", "version", good=False):
        pytest.skip("needs git-lfs")
    bare, clone = tmp_path / "hub.git", hubfold.home / "clone"
    git("init", "-q", "--bare", "-b", "main", str(bare))
    git("lfs", "install", "--skip-repo")
    git("lfs", "track", "*.safetensors")
    git("add", "--renormalize", ".")
    git("add", "-A")
    git("commit", "-qm", "lfs")
    git("push", "-q", f"file://{bare}", "main")
    git("clone", "-q", f"file://{bare}", str(clone))
    there = Git(clone, hubfold.home / "user")
    before = _bytes(there)
    assert len(before[0]) > 1 << 20, "fetched, no pointer"
    for arguments in (["--only"], ["--only", "--all-files"]):
        assert hubfold("consolidate", "-y", *arguments, clone, hubfold.home / "models").code == 0
        assert there("status", "--porcelain", "--ignored") == ""
        there("lfs", "fsck")
        there("clean", "-qfdx")
        assert _bytes(there) == before
