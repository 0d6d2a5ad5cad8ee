"""Which folders lie in a work tree of git's."""

from __future__ import annotations

import os


class WorkTrees:
    """Asks each folder once. ``.git`` is a folder, or a file in work trees that were added and in submodules."""

    def __init__(self) -> None:
        self._known: dict[str, bool] = {}

    def hold(self, folder: str) -> bool:
        """Whether `folder` is, or lies in, a work tree."""
        if folder not in self._known:
            above = os.path.dirname(folder)
            here = os.path.lexists(os.path.join(folder, ".git"))
            self._known[folder] = here or (above != folder and self.hold(above))
        return self._known[folder]
