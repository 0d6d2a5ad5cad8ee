"""`hf fold …`: hubfold as an extension of the real `hf`, as it would lie there once `hf extensions install` was done.

That command fetches from GitHub, so its last step is taken here: the manifest is written by the client's own code.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

_INSTALLED = """
import sys
from datetime import datetime, timezone
from pathlib import Path
from huggingface_hub.cli.extensions import ExtensionManifest
folder = Path(sys.argv[1]); folder.mkdir(parents=True)
ExtensionManifest(owner="acme", repo="hf-fold", repo_id="acme/hf-fold", short_name="fold", executable_path=sys.argv[2],
    type="python", installed_at=datetime.now(timezone.utc), description="one copy", commit_sha="0" * 40).save(folder)
"""


@pytest.mark.slow
def test_the_real_hf_runs_it_with_its_arguments_and_its_exit_code(tmp_path: Path, isolated: Path) -> None:
    pytest.importorskip("huggingface_hub.cli.extensions", reason="this hf has no extensions")
    program, hf = (Path(sys.executable).with_name(name) for name in ("hf-fold", "hf"))
    assert program.is_file() and hf.is_file()
    folder = isolated / ".local/share/hf/extensions/hf-fold"
    subprocess.run([sys.executable, "-c", _INSTALLED, str(folder), str(program)], check=True)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(hf), *arguments], env=dict(os.environ), capture_output=True, text=True, timeout=600
        )

    told = run("fold", "--version")
    assert (told.returncode, told.stdout.split()[0]) == (0, "hubfold"), told.stderr
    assert run("fold", "ls", "org/nothing").returncode == 1
    assert run("fold", "nonsense").returncode == 2
    assert "fold" in run("extensions", "list").stdout
