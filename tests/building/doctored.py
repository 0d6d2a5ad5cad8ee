"""A model in two caches and a copy, folded, and what goes wrong with it after the fact."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.content import LinkKind
from hubfold.reports.health import Finding
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files

RIGHT = model_files("model")["model.safetensors"]


def build(tree: Tree) -> Tree:
    """A cache, a second cache and a local copy, all of one model."""
    tree.hub.add("org/model", model_files("model"))
    copies = {
        "hf/hub": hub_cache("org/model"),
        "second/hub": hub_cache("org/model"),
        "models": local_dir("org/model"),
    }
    return tree.build(copies)


def fold(tree: Tree, engine: Engine, link: LinkKind | None = None) -> None:
    roots = [tree["hf/hub"], tree["second/hub"], tree["models"]]
    engine.scan(roots)
    report = engine.apply(engine.plan(roots, link=link))
    assert report.actions and not report.failed


def weights(tree: Tree) -> Path:
    return tree["models/model.safetensors"]


def blob(tree: Tree, cache: str = "hf/hub") -> Path:
    (found,) = (path for path in tree[cache].glob("models--*/blobs/*") if path.stat().st_size > 1 << 20)
    return found


def write_through(path: Path) -> None:
    """As a training script does that opens the file it thinks is its own; root is not stopped by the mode."""
    path.chmod(0o644)
    with open(path, "r+b") as file:
        file.seek(1 << 20)
        file.write(b"trained!")


def rot(path: Path) -> None:
    """Other bytes with the same times, as a fault of the drive leaves them."""
    st = path.stat()
    path.chmod(0o644)  # what is kept is read-only, and not everybody is root
    with open(path, "r+b") as file:
        file.seek(1 << 20)
        file.write(b"rotten!")
    path.chmod(st.st_mode)
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


def cut_short(tree: Tree, cache: str) -> Path:
    """A blob of another length than the repository's listing says, where the client writes one (1.33 and later)."""
    if not list(tree[cache].glob("models--*/trees/*.json")):
        pytest.skip("this huggingface_hub writes no listing")
    path = blob(tree, cache)
    path.chmod(0o644)
    os.truncate(path, (1 << 20) + 1)
    return path


def kinds(findings: tuple[Finding, ...]) -> list[str]:
    return [finding.kind for finding in findings]
