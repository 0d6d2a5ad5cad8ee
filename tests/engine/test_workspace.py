"""What every operation asks: which roots are known, which is the primary one, and where vaults are."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path

import pytest

from hubfold.backend.contract import Capabilities, StorageBackend
from hubfold.content import VAULT, Role, Root
from hubfold.disk.paths import canonical
from hubfold.engine.workspace import Workspace
from hubfold.errors import HubfoldError, LeftAlone
from hubfold.state.home import KnownRoot
from hubfold.vault import objects


class Shelf(StorageBackend):
    """Any folder with a file `shelf`; those that $SHELVES names are its own by default."""

    name = "shelf"
    capabilities = Capabilities(cache=True)

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        return path if "shelf" in names else None

    @classmethod
    def default_roots(cls, environ: Mapping[str, str]) -> list[str]:
        return [one for one in environ.get("SHELVES", "").split(":") if one]

    def content_path(
        self, root: Root, repo_type: str, repo_id: str, digests: Mapping[str, str]
    ) -> str | None:
        return os.path.join(root.path, *digests.values())


class Store(Shelf):
    """Of a program that downloads by itself, in its own layout."""

    name = "store"

    def content_path(
        self, root: Root, repo_type: str, repo_id: str, digests: Mapping[str, str]
    ) -> str | None:
        return None


class Plain(StorageBackend):
    name = "plain"
    fallback = True


class Place:
    """A workspace with two layouts, and folders for it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environ: dict[str, str] = {"HUBFOLD_HOME": str(folder / "state")}

    def root(self, name: str, *, shelf: bool = False) -> str:
        path = self.folder / name
        path.mkdir(parents=True)
        if shelf:
            (path / "shelf").write_bytes(b"")
        return canonical(path)

    def workspace(self, *backends: type[StorageBackend]) -> Workspace:
        made = Workspace(environ=self.environ)
        chosen = backends or (Shelf, Plain)
        made.__dict__["registry"] = {one.name: one for one in chosen}
        made.__dict__["backends"] = {one.name: one() for one in chosen}
        return made

    def configure(self, *roots: str, role: str = "secondary") -> None:
        state = self.folder / "state"
        state.mkdir(exist_ok=True)
        lines = (f'[[roots]]\npath = "{root}"\nrole = "{role}"\n' for root in roots)
        (state / "config.toml").write_text("".join(lines))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def known(workspace: Workspace) -> list[tuple[str, str]]:
    return sorted((os.path.basename(root.path), root.backend) for root in workspace.known_roots())


def test_a_configured_root_is_what_recognises_it_and_else_anybodys(place: Place) -> None:
    place.configure(place.root("a", shelf=True), place.root("b"))
    assert known(place.workspace()) == [("a", "shelf"), ("b", "plain")]
    assert known(place.workspace(Shelf)) == [("a", "shelf")], "nobody takes what none recognises"


def test_a_root_of_a_backend_that_is_not_loaded_is_left_out(place: Place) -> None:
    path = place.root("a", shelf=True)
    place.configure(path)
    workspace = place.workspace()
    with workspace.index as index:
        index.save_root(Root(place.root("a/gone"), "attic"))
        index.save_root(Root(place.root("a/old"), "plain", Role.SECONDARY, 7))
        assert known(workspace) == [("a", "shelf"), ("old", "plain")]


def test_what_was_only_looked_at_is_no_root(place: Place) -> None:
    path = place.root("a", shelf=True)
    place.configure(path)
    workspace = place.workspace()
    with workspace.index as index:
        index.save_root(Root(place.root("looked"), "plain"))
        index.save_root(Root(place.root("a/folder"), "shelf"))
        assert known(workspace) == [("a", "shelf")], "nor is a folder of a root, in its own layout"


def test_what_the_user_says_of_a_root_wins_over_what_was_scanned(place: Place) -> None:
    path = place.root("a")
    place.configure(path, role="primary")
    workspace = place.workspace()
    with workspace.index as index:
        index.save_root(Root(path, "shelf"))
        [root] = workspace.known_roots()
    assert (root.backend, root.role) == ("plain", Role.PRIMARY)


def test_where_nobody_chose_a_primary_root_the_first_default_one_is_it(place: Place) -> None:
    first, second, other = (place.root(name, shelf=True) for name in ("first", "second", "other"))
    place.environ["SHELVES"] = f"{place.folder}/missing:{second}:{first}"
    workspace = place.workspace()
    roots = [Root(path, "shelf") for path in (other, first, second)]
    assert [root.path for root in workspace.by_role(roots)] == [second, first, other]
    chosen = [Root(other, "shelf", Role.PRIMARY), Root(second, "shelf")]
    assert workspace.with_primary(chosen) == chosen
    assert workspace.with_primary([Root(other, "shelf")]) == [Root(other, "shelf")]


def test_the_store_of_another_program_is_primary_for_nobody(place: Place) -> None:
    path = place.root("store", shelf=True)
    place.environ["SHELVES"] = path
    workspace = place.workspace(Store, Plain)
    assert workspace.by_role([Root(path, "store")]) == [Root(path, "store")]


def test_roots_below_a_path_come_with_the_vaults_of_theirs_only(place: Place) -> None:
    one, other, looked = place.root("drive/one"), place.root("other"), place.root("drive/looked")
    place.configure(one, other)
    workspace = place.workspace()
    workspace.backends[VAULT] = Plain()
    with workspace.index as index:
        for root in (Root(one, "plain"), Root(other, "plain"), Root(looked, "plain")):
            index.save_root(root)
            os.mkdir(os.path.join(root.path, ".hubfold"))
            index.save_root(Root(os.path.join(root.path, ".hubfold"), VAULT))

        def found(*paths: str, only: bool = False) -> set[str]:
            roots = set(workspace.roots_of(paths, only=only))
            assert {f"{path}/.hubfold" for path in roots if not path.endswith(".hubfold")} <= roots
            return {path for path in roots if not path.endswith(".hubfold")}

        assert found(f"{place.folder}/drive", only=True) == found(one, looked, only=True) == {one, looked}
        assert found(f"{place.folder}/drive") == {one, looked, other}, "compared with what is known"
        assert found() == {one, other}
        with pytest.raises(HubfoldError, match="no root was scanned there") as caught:
            workspace.roots_of([place.folder / "nowhere"])
        assert "hubfold scan" in caught.value.hint


def test_vaults_are_those_that_are_there(place: Place) -> None:
    one, other = place.root("one"), place.root("other")
    place.configure(one, other)
    objects.prepare(f"{one}/.hubfold")
    workspace = place.workspace()
    with workspace.index as index:
        for path in (one, other):
            index.save_root(Root(path, "plain"))
        index.save_root(Root(f"{one}/.hubfold", VAULT))
        assert workspace.vaults() == [f"{one}/.hubfold"], "once, however many know of it"
        assert workspace.vault_for(f"{one}/.hubfold") == f"{one}/.hubfold"
        assert workspace.vault_for(other) == f"{other}/.hubfold", "it would be there"


def test_where_no_vault_can_be_it_is_said_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    path = place.root("one")
    workspace = place.workspace()
    with workspace.index as index:
        index.save_root(Root(path, "plain"))
        monkeypatch.setattr(os, "access", lambda *_: False)
        with pytest.raises(LeftAlone, match="no place for a vault"):
            workspace.vault_for(path)


def test_asking_for_roots_makes_no_state(place: Place) -> None:
    place.environ["SHELVES"] = place.root("a", shelf=True)
    workspace = place.workspace()
    assert workspace.known_roots() == []
    assert workspace.vaults() == []
    assert list(workspace.sources()) == [("found", KnownRoot(place.environ["SHELVES"], "shelf"))]
    assert not (place.folder / "state").exists()
