"""The benchmarks run: nothing is timed here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def _run(tmp_path: Path, tasks: str) -> tuple[dict[str, dict[str, dict[str, object]]], str]:
    """Each task's rows by program, and the page that was printed."""
    out = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks", "--size", "tiny", "--rounds", "1", "--cold", "no"]
    command += ["--place", str(tmp_path), "--only", tasks, "--fclones-threads", "--json", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    results = json.loads(out.read_text())["results"]
    rows = {one["key"]: {row["program"]: row for row in one["rows"]} for one in results}
    return rows, done.stdout


def test_every_kind_of_task_runs_and_is_tabled(tmp_path: Path) -> None:
    rows, page = _run(tmp_path, "scan-claimed,hard-links")
    assert list(rows) == ["scan-claimed", "hard-links"]
    for programs in rows.values():
        for name, row in programs.items():
            # Another program may be one that this machine's does not take our options.
            assert row["samples"] or not name.startswith("hubfold"), row["failed"]
    assert rows["scan-claimed"]["hubfold"]["told"]["bytes_read"] == 0  # type: ignore[index]
    assert len(os.listdir(tmp_path)) == 1, "the trees are removed again"
    assert "| **Consolidate into hard links" in page


def test_the_trees_are_the_same_at_every_making(tmp_path: Path) -> None:
    from benchmarks import trees

    made = [trees.pairs(str(tmp_path / place), 0) for place in ("one", "two")]
    names = [[os.path.basename(path) for path in tree["every"]] for tree in made]
    assert names[0] == names[1]
    assert all(trees.sha256(blob) == os.path.basename(blob) for blob, _ in made[0]["pairs"])


def test_what_a_program_read_is_counted(tmp_path: Path) -> None:
    from benchmarks import measure

    if not os.path.exists("/proc/self/io"):
        pytest.skip("no /proc/<pid>/io here")
    file = tmp_path / "file"
    file.write_bytes(b"x" * 3_000_000)
    sample = measure.run(["sh", "-c", f"cat {file} >/dev/null"], env=dict(os.environ))
    assert 3_000_000 <= sample.read < 3_500_000
    with pytest.raises(measure.RunFailed, match="exit code 1"):
        measure.run(["false"], env=dict(os.environ))
