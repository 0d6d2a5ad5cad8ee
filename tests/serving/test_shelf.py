"""What is on the shelf, and what is not."""

from __future__ import annotations

from collections.abc import Mapping

from hubfold.content import Snapshot, SnapshotFile
from hubfold.models.names import Name
from hubfold.serving.shelf import shelve

BASE = Name("model", "org/base")
ONE, OTHER = "c" * 40, "d" * 40
SHA, GIT = "a" * 64, "b" * 40


def file(name: str, size: int | None = 2, root: str = "/hub", **claims: str) -> SnapshotFile:
    return SnapshotFile(
        name, f"{root}/{name}", size, {key.replace("_", "-"): one for key, one in claims.items()}
    )


def snapshot(
    *files: SnapshotFile,
    commit: str = ONE,
    refs: tuple[str, ...] = ("main",),
    expected: Mapping[str, int] | None = None,
    repo_id: str = "org/base",
) -> Snapshot:
    return Snapshot(repo_id, "model", commit, refs, "/hub", files, expected=expected)


def test_a_revision_is_whole_by_its_listing_alone() -> None:
    files = file("x", sha256=SHA), file("y", git_sha1=GIT)
    [model] = shelve([snapshot(*files)]).models.values()
    assert model.revisions[ONE].files.keys() == {"x", "y"}
    assert not model.revisions[ONE].whole, "nobody knows whether there is more of it"
    for listed, whole in (
        ({"x": 2, "y": 2}, True),
        ({"x": 2, "y": 2, "z": 1}, False),
        ({"x": 2, "y": 3}, False),
    ):
        shelf = shelve([snapshot(*files, expected=listed)])
        assert shelf.models[BASE].revisions[ONE].whole is whole
    assert "y" not in shelf.models[BASE].revisions[ONE].files, "it has not the length that the listing says"


def test_what_nothing_proves_is_not_on_it() -> None:
    shelf = shelve(
        [snapshot(file("x"), file("y", xet=SHA), file("z", None, sha256=SHA), file("\udcff", sha256=SHA))]
    )
    assert not shelf.models[BASE].revisions[ONE].files
    assert not shelve([snapshot(repo_id=""), snapshot(commit="")]).models


def test_roots_complete_each_other_and_the_first_has_the_word() -> None:
    first = snapshot(file("x", root="/one", sha256=SHA), expected={"x": 2, "y": 2})
    second = snapshot(
        file("x", root="/two", sha256=SHA), file("y", root="/two", git_sha1=GIT), refs=("main", "v1")
    )
    third = snapshot(file("x", root="/three", sha256="f" * 64), commit=OTHER, refs=("main", "v2"))
    shelf = shelve([first, second, third])
    model = shelf.models[BASE]
    assert model.revisions[ONE].whole
    assert model.revisions[ONE].files["x"].paths == ("/one/x", "/two/x")
    assert model.refs == {"main": ONE, "v1": ONE, "v2": OTHER}
    assert model.revision("v2") is model.revisions[OTHER] is model.revision(OTHER)
    assert model.revision("v3") is None
    assert shelf.by_sha256.keys() == {SHA, "f" * 64}
    assert shelf.bytes == 6
