"""The real RamaLama: what it makes, lists, reads, pulls again and removes before a fold, after it, and after undo."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubfold import Engine
from tests.building import ramalama, tree
from tests.building.modelscope_hub import ENVIRONMENTS
from tests.building.ollama_server import gguf
from tests.building.scanned import noise

PYTHON = ENVIRONMENTS / "ramalama" / "bin" / "python"

pytestmark = [
    pytest.mark.programs,
    pytest.mark.skipif(
        bool(os.environ.get("HUBFOLD_TEST_PROGRAMS")) and not PYTHON.exists(), reason="needs RamaLama"
    ),
]

#: By the program's own classes: what `pull` hands to them has been downloaded.
ASK = """
import json, os, shutil, sys
from ramalama.model_store.global_store import GlobalModelStore
from ramalama.model_store.store import ModelStore
from ramalama.model_store.snapshot_file import SnapshotFile, SnapshotFileType
from ramalama.common import generate_sha256
from ramalama.model_inspect.gguf_parser import GGUFInfoParser

class Downloaded(SnapshotFile):
    def download(self, blob_file_path, snapshot_dir):
        if not os.path.exists(blob_file_path):
            shutil.copyfile(self.url, blob_file_path)

NAME = "m-00002-of-00002.gguf"
base, what, *rest = sys.argv[1:]
store = GlobalModelStore(base)
model = ModelStore(store, "base", "huggingface", "org")
if what == "pull":
    digest, first, second = rest
    files = [
        Downloaded(first, {}, f"sha256:{digest}", "m-00001-of-00002.gguf", SnapshotFileType.GGUFModel, False, True),
        Downloaded(second, {}, generate_sha256(NAME), NAME, SnapshotFileType.Other),
    ]
    model.new_snapshot("latest", f"sha256:{digest}", files)
    print(json.dumps(None))
elif what == "list":
    told = store.list_models("", False)
    print(json.dumps({name: sorted([f.name, f.size, f.is_partial] for f in files) for name, files in told.items()}))
elif what == "read":
    path = model.get_blob_file_path_by_name(model.get_snapshot_hash("latest"), "m-00001-of-00002.gguf")
    print(json.dumps([os.path.relpath(path, base), GGUFInfoParser.parse("m", "r", path).serialize(json=True)]))
elif what == "remove":
    print(json.dumps(model.remove_snapshot("latest")))
"""

WEIGHTS, SECOND = gguf("base", 100_000), noise("second", 300_000)


class Program:
    """RamaLama with a store of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = folder / "store"
        self.downloads = folder.parent / "downloads"
        self.downloads.mkdir()
        (self.downloads / "1").write_bytes(WEIGHTS)
        (self.downloads / "2").write_bytes(SECOND)

    def __call__(self, what: str, *arguments: str) -> Any:
        line = [str(PYTHON), "-c", ASK, str(self.folder), what, *arguments]
        answer = subprocess.run(line, capture_output=True, text=True, timeout=300)
        assert answer.returncode == 0, answer.stderr[-2000:]
        return json.loads(answer.stdout.splitlines()[-1])

    def pull(self) -> None:
        digest = ramalama.by_content(WEIGHTS).removeprefix("sha256-")
        self("pull", digest, str(self.downloads / "1"), str(self.downloads / "2"))

    def seen(self) -> list[object]:
        files = {str(p.relative_to(self.store)): p.read_bytes() for p in self.store.rglob("*") if p.is_file()}
        return [self("list"), self("read"), files]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    (tmp_path / "ramalama").mkdir()
    one = Program(tmp_path / "ramalama")
    one.pull()
    return one


@pytest.fixture
def engine(program: Program) -> Iterator[Engine]:
    with Engine() as one:
        one.add_root(program.store)
        yield one


def test_it_lists_reads_and_pulls_after_a_fold_and_after_undo(
    program: Program, engine: Engine, tmp_path: Path
) -> None:
    before = program.seen()
    assert {name for model, _ in engine.models().rows for name in [model.id]} == set(program("list"))
    tree.cache(str(tmp_path / "hub"), "org/base", {"1.gguf": WEIGHTS, "2.gguf": SECOND})
    given = [tmp_path / "hub", program.store]
    engine.scan(given, min_size=10_000)
    done = engine.apply(engine.plan(given, min_size=10_000, into=tmp_path / "hub"))
    assert len(done.actions) == 4 and not done.failed
    assert program.seen() == before
    program.pull()
    assert program.seen() == before, "it makes the names of its snapshot anew, of what the blobs are"
    assert not any(path.is_symlink() for path in program.store.rglob("*"))
    engine.undo()
    assert program.seen() == before


def test_what_it_removes_stays_in_the_cache_and_what_hubfold_removes_is_gone_for_it(
    program: Program, engine: Engine, tmp_path: Path
) -> None:
    tree.cache(str(tmp_path / "hub"), "org/base", {"1.gguf": WEIGHTS, "2.gguf": SECOND})
    given = [tmp_path / "hub", program.store]
    engine.scan(given, min_size=10_000)
    engine.apply(engine.plan(given, min_size=10_000, into=tmp_path / "hub"))
    assert program("remove") is True
    assert program("list") == {}
    assert {path.read_bytes() for path in (tmp_path / "hub").glob("models--*/blobs/*")} == {WEIGHTS, SECOND}
    program.pull()
    engine.remove(["huggingface://org/base:latest"])
    assert program("list") == {}
    assert not any(path.is_file() for path in program.store.rglob("*"))
