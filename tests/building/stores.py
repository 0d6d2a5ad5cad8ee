"""A home with a hub cache and stores of other programs in it, small enough to fold and take back in a blink."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubfold import Engine
from tests.building import tree
from tests.building.tree import census, model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubfold import ConsolidateReport

__all__ = ["Machine", "model"]


class Machine:
    """One user's home below a folder of the test's."""

    def __init__(self, place: Path, **variables: str) -> None:
        self.place = place
        self.home = place / "home"
        self.hub = self.home / ".cache/huggingface/hub"
        self.environ = {"HOME": str(self.home), "HUBFOLD_HOME": str(place / tree.STATE), **variables}
        self.home.mkdir()

    def write(self, path: str, data: bytes | str) -> Path:
        """A file below the home."""
        told = data.encode() if isinstance(data, str) else data
        return Path(tree.write(str(self.home / path), told))

    def cached(self, repo_id: str, files: Mapping[str, bytes], commit: str = "a" * 40) -> dict[str, Path]:
        """A model in the hub cache; the blob of each file."""
        blobs = tree.cache(str(self.hub), repo_id, files, commit)
        return {name: Path(blob) for name, blob in blobs.items()}

    @contextmanager
    def engine(self) -> Iterator[Engine]:
        with Engine(environ=self.environ) as engine:
            yield engine

    def backends(self, *paths: str | Path) -> dict[str, str]:
        """The layout of every root that a scan of `paths` (default: what is found by itself) tells of."""
        with self.engine() as engine:
            report = engine.scan([self.home / path for path in paths])
            return {os.path.relpath(root.path, self.home): root.backend for root in report.roots}

    def warnings(self, *paths: str | Path) -> dict[str, str]:
        with self.engine() as engine:
            report = engine.scan([self.home / path for path in paths])
            return {os.path.relpath(one.path, self.home): one.message for one in report.warnings}

    def fold(self, *paths: str | Path, **how: Any) -> ConsolidateReport:
        """Scan, plan and apply; the report, in which nothing failed."""
        with self.engine() as engine:
            below = [self.home / path for path in paths]
            engine.scan(below)
            report = engine.apply(engine.plan(below, **how))
            assert not report.failed
            return report

    def undo(self) -> None:
        with self.engine() as engine:
            engine.undo()

    def census(self) -> dict[str, Any]:
        """Every path of the home that is no vault of hubfold's, with what it reads."""
        seen = census(str(self.home))
        return {path: one for path, one in seen.items() if "/hubfold/" not in path and "/.lock" not in path}

    def remove(self, name: str) -> None:
        with self.engine() as engine:
            done = engine.apply_removal(engine.plan_remove([name], with_copies=True))
            assert not done.failed

    def models(self) -> dict[str, dict[str, list[str]]]:
        """By model: by the layout of each of its places, the files there."""
        with self.engine() as engine:
            return {
                model.id: {
                    place.backend: sorted(file.name for one in place.revisions for file in one.files)
                    for place in model.places
                }
                for model in engine.library().models
            }
