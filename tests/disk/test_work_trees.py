"""Which folders lie in a work tree of git's."""

from __future__ import annotations

from pathlib import Path

from hubfold.disk.work_trees import WorkTrees


def test_a_folder_with_dot_git_and_all_below_it(tmp_path: Path) -> None:
    deep = tmp_path / "work" / "models" / "deep"
    deep.mkdir(parents=True)
    (tmp_path / "beside").mkdir()
    (tmp_path / "work" / ".git").mkdir()
    trees = WorkTrees()
    assert all(trees.hold(str(folder)) for folder in (deep, deep.parent, tmp_path / "work"))
    assert not any(trees.hold(str(folder)) for folder in (tmp_path, tmp_path / "beside"))


def test_dot_git_is_a_file_where_a_tree_was_added(tmp_path: Path) -> None:
    (tmp_path / "added").mkdir()
    (tmp_path / "added" / ".git").write_text("gitdir: /elsewhere/.git/worktrees/added\n")
    assert WorkTrees().hold(str(tmp_path / "added"))


def test_a_folder_that_is_not_there_lies_where_it_would(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    assert WorkTrees().hold(str(tmp_path / "not" / "made"))


def test_the_top_has_none_above_it() -> None:
    assert not WorkTrees().hold("/")
