"""Downloads that a tree is made of: done by the real client once in each process, and copied from then on."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import constants

from hubfold.testing.trees import Tree, parse_repository, repository_folder


class Remembered:
    """Stands in for `Tree._download`. What the client leaves is the same each time where there was nothing before.

    `folder` is where it is kept; `download` is asked for what is not known, and wherever something lies already.
    """

    def __init__(self, folder: Path, download: Callable[..., None]) -> None:
        self._folder = folder
        self._download = download
        self._made: dict[tuple[str, ...], Path] = {}

    def __call__(self, tree: Tree, repository: str, **places: str) -> None:
        asked = self._key(tree, repository, places)
        if asked is None:
            self._download(tree, repository, **places)
            return
        made = self._made.get(asked)
        if made is None:
            made = self._folder / str(len(self._made))
            made.mkdir()
            self._download(tree, repository, **{kind: str(made / kind) for kind in places})
            self._made[asked] = made
        for kind, place in places.items():
            if (made / kind).exists():
                copy = _copy_with_blocks_of_its_own
                shutil.copytree(made / kind, place, symlinks=True, dirs_exist_ok=True, copy_function=copy)

    def _key(self, tree: Tree, repository: str, places: dict[str, str]) -> tuple[str, ...] | None:
        """What the result depends on; None where it depends on more."""
        repo_type, repo_id, revision = parse_repository(repository)
        if tree.python is not None or repo_id in tree.hub.gated:
            return None
        if repository_folder(Path(places["cache_dir"]), repository).exists():
            return None
        if "local_dir" in places and os.path.exists(places["local_dir"]) and os.listdir(places["local_dir"]):
            return None
        commit = tree.hub.commit_of(repo_id, revision, repo_type=repo_type)
        if commit is None:
            return None
        files = tree.hub.files(repo_id, commit, repo_type=repo_type).values()
        return (
            *(repo_type, repo_id, revision, commit, *sorted(places)),
            *(f"{file.path} {file.etag} {file.xet_hash}" for file in files),
            *(f"{name} {value}" for name, value in vars(constants).items() if name.startswith("HF_HUB_")),
        )


def _copy_with_blocks_of_its_own(source: str, target: str) -> None:
    Path(target).write_bytes(Path(source).read_bytes())
    shutil.copystat(source, target)
