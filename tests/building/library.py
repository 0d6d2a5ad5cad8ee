"""What hubfold and the client say of the models of a tree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from hubfold import Engine
from hubfold.reports.models import Model
from hubfold.testing.trees import Tree

SIZE = 40_000
#: A repository of which nobody wants all files.
GGUF = {f"many.Q{n}.gguf": b"x" * n * 1000 for n in (4, 6, 8)} | {"config.json": b"{}"}


def models(engine: Engine, *roots: Path) -> dict[str, Model]:
    return {model.id: model for model in engine.library(roots).models}


def hf_ls(cache: Path, *arguments: str) -> Any:
    """What `hf cache ls` prints as JSON."""
    import io
    from contextlib import redirect_stderr, redirect_stdout

    from huggingface_hub.cli.hf import app

    out = io.StringIO()
    with redirect_stdout(out), redirect_stderr(io.StringIO()):
        app(["cache", "ls", "--cache-dir", str(cache), "--format", "json", *arguments], standalone_mode=False)
    return json.loads(out.getvalue())


def commit_of(tree: Tree, repo: str, cache: str = "hub") -> Path:
    """The folder of the one revision of a repository."""
    [snapshot] = tree[f"{cache}/models--{repo.replace('/', '--')}/snapshots"].iterdir()
    return snapshot


def configure(engine: Engine, text: str) -> None:
    """Write `config.toml`."""
    Path(engine.state.home).mkdir(exist_ok=True)
    Path(engine.state.config).write_text(text)
