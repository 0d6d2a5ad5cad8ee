"""Makes the manual page while a wheel is built, of the help of the commands that go into it."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

PAGE = "share/man/man1/hubfold.1"


class ManualPage(BuildHookInterface):
    """Adds the page to the data of the wheel. Imports nothing but hubfold's command line, and that only click."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        sys.path.insert(0, str(Path(self.root, "engine")))
        try:
            from hubfold.cli.app import hubfold
            from hubfold.cli.shell.manual import page

            text = page(hubfold, self.metadata.version)
        finally:
            sys.path.pop(0)
        self._folder = tempfile.TemporaryDirectory(prefix="hubfold-manual-")
        made = Path(self._folder.name, "hubfold.1")
        made.write_text(text, encoding="utf-8")
        build_data["shared_data"][str(made)] = PAGE

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        self._folder.cleanup()
