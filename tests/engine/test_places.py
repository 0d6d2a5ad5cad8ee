"""The places of an engine: from files, variables and the environment, put beside what is on the disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.content import Role
from hubfold.errors import UsageError
from hubfold.places.places import Place
from hubfold.places.space import used


class Home:
    """A home with a client's cache, a current folder, and an environment of its own."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.environ = {
            "HOME": str(folder),
            "HF_HOME": str(folder / "hf"),
            "HUBFOLD_HOME": str(folder / "state"),
            "PATH": os.environ["PATH"],
        }
        self.project = folder / "project"
        self.project.mkdir()
        monkeypatch.chdir(self.project)

    def engine(self, **more: str) -> Engine:
        return Engine(environ={**self.environ, **more})

    def places(self, **more: str) -> list[Place]:
        with self.engine(**more) as engine:
            return engine.places()

    def cache(self, path: str, size: int = 4096) -> Path:
        """A cache with one blob."""
        blobs = self.folder / path / "models--org--base" / "blobs"
        blobs.mkdir(parents=True)
        (blobs / ("a" * 64)).write_bytes(b"x" * size)
        (blobs.parent / "refs").mkdir()
        (blobs.parent / "snapshots").mkdir()
        return self.folder / path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    yield Home(Path(os.path.realpath(tmp_path)), monkeypatch)


def test_without_a_word_the_clients_cache_is_the_primary_place(home: Home) -> None:
    [only] = home.places()
    assert (only.name, only.role, only.source) == ("primary", Role.PRIMARY, "found")
    assert (only.cache, only.base) == (str(home.folder / "hf/hub"), str(home.folder / "hf"))
    assert only.takes_models and not only.away and only.limit_bytes is None


def test_its_limit_may_stand_alone(home: Home) -> None:
    [only] = home.places(PRIMARY_CACHE_LIMIT_GB="100")
    assert (only.limit_bytes, only.sources) == (10**11, {"path": "found", "limit": "environment"})


def test_variables_name_caches_that_need_not_be_there(home: Home) -> None:
    fast, slow = home.folder / "fast", home.folder / "slow"
    found = home.places(PRIMARY_CACHE_PATH=str(fast), SECONDARY_CACHE_PATH=str(slow))
    assert [(one.name, one.cache, one.source) for one in found] == [
        ("primary", str(fast), "environment"),
        ("secondary", str(slow), "environment"),
        ("", str(home.folder / "hf/hub"), "found"),
    ]
    assert all(one.takes_models and one.backend for one in found)
    assert not fast.exists()


def test_a_variable_may_name_the_cache_or_the_folder_above_it(home: Home) -> None:
    home.cache("fast/hub")
    for path in ("fast", "fast/hub"):
        place = home.places(PRIMARY_CACHE_PATH=str(home.folder / path))[0]
        assert (place.cache, place.base) == (str(home.folder / "fast/hub"), str(home.folder / "fast"))
    own = home.places(PRIMARY_CACHE_PATH=str(home.folder / "hf"))
    assert [one.cache for one in own] == [str(home.folder / "hf/hub")], (
        "HF_HOME stands for the hub/ to be made in it"
    )


def test_a_project_is_stronger_than_the_environment_and_what_was_added_is_strongest(home: Home) -> None:
    (home.project / ".env").write_text("PRIMARY_CACHE_PATH=./models\nPRIMARY_CACHE_LIMIT_GB=1\n")
    environ = {"PRIMARY_CACHE_PATH": str(home.folder / "fast"), "PRIMARY_CACHE_LIMIT_GB": "2"}
    first = home.places(**environ)[0]
    assert (first.cache, first.limit_bytes, first.source) == (str(home.project / "models"), 10**9, ".env")
    (home.project / "hubfold.toml").write_text('[[roots]]\npath = "hub"\nrole = "primary"\nname = "mine"\n')
    first = home.places(**environ)[0]
    assert (first.name, first.cache, first.limit_bytes) == ("mine", str(home.project / "hub"), 10**9)
    assert first.sources == {"path": "project", "name": "project", "role": "project", "limit": ".env"}
    home.cache("added")
    with home.engine(**environ) as engine:
        engine.add_root(home.folder / "added", role=Role.PRIMARY)
        assert engine.place_of("primary").cache == str(home.folder / "added")
        assert engine.place_of("mine").role is Role.SECONDARY
        assert engine.download_cache() == str(home.folder / "added")


def test_a_place_that_is_added_and_new_is_a_cache(home: Home) -> None:
    (home.folder / "usb" / "lost+found").mkdir(parents=True)
    (home.folder / "papers").mkdir()
    (home.folder / "papers" / "a.txt").write_text("no model")
    with home.engine() as engine:
        assert engine.add_root(home.folder / "usb", name="usb", limit=5).name == "usb"
        engine.add_root(home.folder / "papers", role=Role.SECONDARY)
        (home.folder / "usb" / "notes.txt").write_text("no model")
        engine.workspace.look_again()
        usb, papers = engine.place_of("usb"), engine.place_of(str(home.folder / "papers"))
        assert (usb.takes_models, usb.limit_bytes, usb.role) == (True, 5, Role.SECONDARY)
        assert (papers.takes_models, papers.name) == (False, "secondary")


def test_names_are_words_and_no_two_places_have_one(home: Home) -> None:
    one, other = home.cache("one"), home.cache("other")
    with home.engine() as engine:
        engine.add_root(one, name="usb")
        for name, role, message in (
            ("usb", None, "called 'usb' already"),
            ("a/b", None, "is no name"),
            ("primary", Role.SECONDARY, "has the role primary"),
        ):
            with pytest.raises(UsageError, match=message):
                engine.add_root(other, name=name, role=role)
        engine.add_root(one, name="primary")
        engine.add_root(other, name="primary")
        assert [(p.name, p.cache) for p in engine.places() if p.role is Role.PRIMARY] == [
            ("primary", str(other))
        ]


def test_the_room_left_is_under_the_limit_as_du_counts(home: Home) -> None:
    fast = home.cache("fast", 10**6)
    limit = used(str(fast)) + 5000
    (home.folder / "slow").mkdir()
    with home.engine() as engine:
        engine.add_root(fast, role=Role.PRIMARY, limit=limit)
        engine.add_root(home.folder / "slow", name="slow")
        primary, slow = engine.place_of("primary"), engine.place_of("slow")
        assert engine.room_left(primary) == 5000
        assert engine.room_left(slow) > 10**6
        assert engine.next_place_for(5000) == primary
        assert engine.next_place_for(5001) == slow
        assert engine.next_place_for(1 << 60) is None


def test_a_reserve_is_kept_of_what_is_free(home: Home) -> None:
    (home.folder / "state").mkdir()
    (home.folder / "state/config.toml").write_text(f"reserve = {1 << 60}\n")
    with home.engine() as engine:
        assert engine.room_left(engine.place_of("primary")) == 0


def test_a_place_that_has_to_be_made_is_no_error_of_a_scan(home: Home) -> None:
    with home.engine(PRIMARY_CACHE_PATH=str(home.folder / "new")) as engine:
        report = engine.scan()
        assert not report.failed and not report.roots
        [root] = [one for one in engine.roots() if one.name == "primary"]
        assert (root.to_be_made, root.away, root.online) == (True, False, False)


def test_a_place_that_was_there_is_away_and_no_new_one(home: Home) -> None:
    fast = home.cache("fast")
    with home.engine() as engine:
        engine.add_root(fast, name="fast")
        state = engine.state
    path, (_, inside, inode) = next(iter(state.located().items()))
    state.remember_located(path, ("ext4:" + "1" * 32, inside, inode))
    with home.engine() as engine:
        place = engine.place_of("fast")
        assert place.away and engine.room_left(place) == 0
        [root] = [one for one in engine.roots() if one.name == "fast"]
        assert (root.away, root.online, root.to_be_made) == (True, False, False)
        engine.add_root(fast, name="fast")
        assert not engine.place_of("fast").away, "who adds it again means what is there now"
        engine.remove_root(fast)
        assert state.located() == {}


def test_what_a_file_or_a_variable_names_is_taken_back_there(home: Home) -> None:
    (home.project / ".env").write_text("SECONDARY_CACHE_PATH=cold\n")
    fast = home.cache("fast")
    for path, where in ((home.project / "cold", str(home.project / ".env")), (fast, "the environment")):
        with (
            home.engine(PRIMARY_CACHE_PATH=str(fast)) as engine,
            pytest.raises(Exception, match="is a root by") as no,
        ):
            engine.remove_root(path)
        assert where in str(no.value)


def test_a_folder_that_is_gone_under_its_feet_stops_no_command(home: Home) -> None:
    home.project.rmdir()
    assert home.places()[0].name == "primary"
