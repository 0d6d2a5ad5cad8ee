"""Folders to adopt, as their users have them: written by hand, so that a test costs nothing."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from hubfold import Engine
from tests.building.tree import OLD_NS, local_dir, model, write

COMMIT = "c" * 40
CONFIG = b'{"model_type": "bert"}\n'
FILES = {"model.safetensors": model("adopted"), "config.json": CONFIG, "sub/vocab.txt": b"a\nb\n"}


def git_sha1(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def etag_of(name: str, data: bytes) -> str:
    return hashlib.sha256(data).hexdigest() if name.endswith(".safetensors") else git_sha1(data)


def download(folder: Path, files: Mapping[str, bytes] = FILES, commit: str = COMMIT) -> Path:
    """What ``snapshot_download(local_dir=folder)`` leaves, with etags as the Hub gives them."""
    local_dir(str(folder), files, commit)
    for name, data in files.items():
        note = folder / ".cache/huggingface/download" / f"{name}.metadata"
        note.write_text(f"{commit}\n{etag_of(name, data)}\n{OLD_NS / 1e9 + 60}\n")
    return folder


def plain(folder: Path, files: Mapping[str, bytes] = FILES) -> Path:
    for name, data in files.items():
        write(str(folder / name), data)
    return folder


def clone(
    folder: Path, files: Mapping[str, bytes] = FILES, remote: str = "https://huggingface.co/org/cloned"
) -> str:
    """A clone whose LFS files were fetched; its commit. What is in git for them are pointers."""

    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
        done = subprocess.run(
            ["git", *identity, *words], cwd=folder, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    folder.mkdir(parents=True)
    git("init", "-q")
    git("remote", "add", "origin", remote)
    for name, data in files.items():
        oid = hashlib.sha256(data).hexdigest()
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(data)}\n".encode()
        write(str(folder / name), pointer if name.endswith(".safetensors") else data)
    git("add", ".")
    git("commit", "-qm", "one")
    plain(folder, {name: data for name, data in files.items() if name.endswith(".safetensors")})
    return git("rev-parse", "HEAD")


def noted(place: Path, address: str, name: str, data: bytes) -> None:
    """A file as an earlier client cached it, with its note."""
    write(str(place), data)
    note = {"url": f"https://huggingface.co/{address}/{name}", "etag": f'"{etag_of(name, data)}"'}
    place.with_name(f"{place.name}.json").write_text(json.dumps(note))


def of_transformers(folder: Path, repo: str, files: Mapping[str, bytes] = FILES) -> Path:
    """The cache of transformers before 4.22: every file of every model side by side."""
    for name, data in files.items():
        url, etag = (
            hashlib.sha256(text.encode()).hexdigest() for text in (f"{repo}/{name}", etag_of(name, data))
        )
        noted(folder / f"{url}.{etag}", f"{repo}/resolve/main", name, data)
        (folder / f"{url}.{etag}.lock").touch()
    return folder


def of_sentences(folder: Path, repo: str, commit: str = COMMIT, files: Mapping[str, bytes] = FILES) -> Path:
    """A model of sentence-transformers before 2.3: a folder called org_name, files by their names."""
    made = folder / repo.replace("/", "_")
    for name, data in files.items():
        noted(made / name, f"{repo}/resolve/{commit}", name, data)
    return made


def bytes_below(folder: Path) -> dict[str, bytes]:
    """What each file below a folder reads."""
    found = {}
    for top, _, names in os.walk(folder):
        for name in names:
            if ".git" not in Path(top).parts:
                path = Path(top, name)
                found[str(path.relative_to(folder))] = path.read_bytes()
    return found


def engine_in(place: Path) -> Engine:
    environ = {"HOME": str(place / "home"), "HF_HOME": str(place / "hf"), "HF_HUB_OFFLINE": "1"}
    (place / "home").mkdir(parents=True, exist_ok=True)
    return Engine(place / "state", environ=environ)
