"""Programs that write where their files lie: named by `verify` where a file that is theirs too was written to."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hubfold import Engine, LinkKind
from hubfold_plugins.huggingface.local_dir import LocalDirBackend
from tests.building import tree


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Engine]:
    writes = replace(LocalDirBackend.capabilities, written_in_place="webui.sh")
    monkeypatch.setattr(LocalDirBackend, "capabilities", writes)
    with Engine(environ=tree.environment(str(tmp_path / "home"))) as made:
        yield made


def written(path: Path) -> None:
    """As root's programs do it, whatever the mode says."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    with open(path, "r+b") as file:
        file.write(b"other bytes")
    path.chmod(mode)


@pytest.mark.parametrize("through", ["a link to the vault", "the file that was kept"])
def test_the_program_is_named_where_a_file_was_written_to(
    engine: Engine, tmp_path: Path, through: str
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(os.urandom(8) * (1 << 17))
    (tmp_path / "two/model.safetensors").write_bytes((tmp_path / "one/model.safetensors").read_bytes())
    engine.scan([tmp_path / "one", tmp_path / "two"])
    plan = engine.plan()
    assert "since webui.sh writes" in plan.actions[0].reason
    assert len(engine.apply(plan).actions) == 1
    link, kept = Path(plan.actions[0].path), Path(plan.actions[0].keeper.path)
    assert link.is_symlink() and kept.stat().st_mode & 0o222 == 0
    engine.verify()
    written(link if through == "a link to the vault" else kept)
    problems = engine.verify().problems
    assert problems
    assert {one.message.rpartition("; ")[2] for one in problems} == {
        "webui.sh writes into its files where they lie"
    }


@pytest.mark.parametrize("link", [LinkKind.SYMLINK, LinkKind.HARDLINK])
def test_doctor_names_it_too_also_where_the_file_is_anothers_by_its_other_name(
    engine: Engine, tmp_path: Path, link: LinkKind
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.safetensors").write_bytes(random.Random(1).randbytes(1 << 20))
    engine.scan([tmp_path / "one", tmp_path / "two"])
    assert len(engine.apply(engine.plan(link=link)).actions) == 1
    written(tmp_path / "two/model.safetensors")
    [finding] = [one for one in engine.doctor().findings if one.kind == "written-through"]
    assert finding.message.endswith("; webui.sh writes into its files where they lie")


def test_nobody_is_named_where_nothing_was_written(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one/model.safetensors").write_bytes(bytes(1 << 20))
    engine.scan([tmp_path / "one"])
    engine.verify()
    (tmp_path / "one/model.safetensors").unlink()
    assert [one.message for one in engine.verify().problems] == ["is not there any more"]
