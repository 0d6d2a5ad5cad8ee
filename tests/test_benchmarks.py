"""The benchmarks run, and what hubfold says of its own work is true. Nothing is timed to be fast."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import measure, programs, trees

ROOT = Path(__file__).parents[1]
MIB = 1 << 20
COUNTS = pytest.mark.skipif(
    os.geteuid() != 0 or not os.path.exists("/proc/self/io"),
    reason="what a process that has ended had read is told to root only (/proc/<pid>/io)",
)


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


@pytest.mark.slow
def test_every_kind_of_task_runs_and_is_tabled(tmp_path: Path) -> None:
    rows, page = _run(tmp_path, "scan-claimed,hard-links,move")
    assert list(rows) == ["scan-claimed", "hard-links", "move"]
    assert rows["move"]["cp, sync and one read"]["samples"]
    for table in rows.values():
        for name, row in table.items():
            # Another program may be one that this machine's does not take our options.
            assert row["samples"] or not name.startswith("hubfold"), row["failed"]
    assert rows["scan-claimed"]["hubfold"]["told"]["bytes_read"] == 0  # type: ignore[index]
    assert len(os.listdir(tmp_path)) == 1, "the trees are removed again"
    assert "| **Consolidate into hard links" in page


@pytest.mark.slow
def test_listing_models_is_a_task_of_three_sizes_and_lists_them_all(tmp_path: Path) -> None:
    rows, page = _run(tmp_path, "ls")
    assert rows.keys() == {"ls", "ls-4"}, "of so tiny a tree the quarter and the half are the same"
    told = rows["ls"]["hubfold"]
    assert told["samples"], told["failed"]
    assert told["told"]["models"] == 4  # type: ignore[index]
    assert "**List 4 models beside a plain folder of 100 files**" in page


def test_rmlint_is_given_no_path_to_write_to() -> None:
    """It renames what is there, be it /dev/null, and makes a file of its own: every `>/dev/null` fills the disk."""
    for module in ("programs.py", "tasks.py"):
        text = Path(programs.__file__).with_name(module).read_text()
        assert text.count('"summary:') == text.count('"summary:stdout"') == 1


def test_the_trees_are_the_same_at_every_making(tmp_path: Path) -> None:
    made = [trees.pairs(str(tmp_path / place), 0) for place in ("one", "two")]
    names = [[os.path.basename(path) for path in tree["every"]] for tree in made]
    assert names[0] == names[1]
    assert all(trees.sha256(blob) == os.path.basename(blob) for blob, _ in made[0]["pairs"])


@COUNTS
def test_what_a_program_read_is_counted(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"x" * 3_000_000)
    sample = measure.run(["sh", "-c", f"cat {file} >/dev/null"], env=dict(os.environ))
    assert 3_000_000 <= sample.read < 3_500_000
    with pytest.raises(measure.RunFailed, match="exit code 1"):
        measure.run(["false"], env=dict(os.environ))


def _hubfold(
    home: Path, *arguments: str, prefix: tuple[str, ...] = ()
) -> tuple[dict[str, float], measure.Sample]:
    """The JSON of a command and what it was seen to do from outside."""
    program = programs.hubfold(*arguments, home=str(home))
    env = {**programs.environment(str(home)), **program.env}
    sample = measure.run([*prefix, *program.argv], env=env)
    return json.loads(sample.output), sample


@COUNTS
def test_what_a_scan_says_it_read_is_what_it_read(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        trees.write(str(tmp_path / "tree" / name), "same", 3 * MIB)
    near = trees.near(str(tmp_path / "tree/one"), str(tmp_path / "tree/near"))
    trees.write(str(tmp_path / "tree/alone"), "alone", 5 * MIB)
    first, seen = _hubfold(tmp_path / "home", "scan", "--all-files", "--json", str(tmp_path / "tree"))
    again, seen_again = _hubfold(tmp_path / "home", "scan", "--all-files", "--json", str(tmp_path / "tree"))
    assert os.path.getsize(near) == 3 * MIB
    assert (first["files_read"], first["duplicate_sets"]) == (4, 1)
    assert first["bytes_read"] >= 12 * MIB
    assert (again["files_read"], again["bytes_read"]) == (0, 0)
    # What is left of either is the interpreter and the index.
    assert abs(seen.read - seen_again.read - first["bytes_read"]) < MIB
    assert 0 < first["seconds"] < seen.wall


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_seconds_of_a_scan_are_those_that_it_took(tmp_path: Path) -> None:
    for name in ("one", "two"):
        trees.write(str(tmp_path / "tree" / name), "same", 2 * MIB)
    delay = ("strace", "-f", "-qq", "-o", os.devnull, "-e", "inject=preadv,preadv2:delay_enter=700000:when=1")
    told, seen = _hubfold(
        tmp_path / "home", "scan", "--all-files", "--json", str(tmp_path / "tree"), prefix=delay
    )
    assert 0.7 <= told["seconds"] < seen.wall


@COUNTS
def test_one_read_of_a_keeper_serves_all_its_victims(tmp_path: Path) -> None:
    cache = str(tmp_path / "hub")
    blob = trees.add_to_cache(
        cache, "org/one", "a" * 40, "m.bin", lambda path: trees.write(path, "same", 8 * MIB)
    )
    for number in range(3):
        trees.add_local_copy(str(tmp_path / f"copies/{number}"), "a" * 40, "m.bin", blob)
    roots = (cache, str(tmp_path / "copies"))
    _, scanned = _hubfold(tmp_path / "home", "scan", "--json", *roots)
    folded, seen = _hubfold(tmp_path / "home", "consolidate", "--json", "-y", "--link", "hardlink", *roots)
    assert len(folded["actions"]) == 3  # type: ignore[arg-type]
    # The two programs do not load the same modules.
    assert abs(seen.read - scanned.read - 4 * 8 * MIB) < 4 * MIB
    assert os.stat(blob).st_nlink == 4
