"""Which source counts where several name a place, and what the files of a project may say."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.content import Role
from hubfold.places import settings
from hubfold.places.settings import Said, Settled, from_variables, project_at, settle
from hubfold.state.config import ConfigError
from hubfold.state.home import KnownRoot

GB = 10**9


def path_of(root: KnownRoot) -> str:
    return root.path


def told(settled: Settled) -> list[tuple[str, str, str, int | None]]:
    return [(one.root.path, one.root.name, str(one.root.role), one.root.limit) for one in settled.settings]


def variables(**given: str) -> Said:
    return from_variables(given, settings.ENVIRONMENT, "/work")


def test_the_four_variables_name_two_places_with_limits() -> None:
    said = variables(
        PRIMARY_CACHE_PATH="/fast/hub",
        PRIMARY_CACHE_LIMIT_GB="100",
        SECONDARY_CACHE_PATH="slow/../big",
        SECONDARY_CACHE_LIMIT_GB="1.5TB",
    )
    assert told(settle([said], path_of)) == [
        ("/fast/hub", "primary", "primary", 100 * GB),
        ("/work/big", "secondary", "secondary", 1500 * GB),
    ]


@pytest.mark.parametrize(
    ("text", "bytes_"), [("0.5", GB // 2), ("100GB", 100 * GB), (" 7 ", 7 * GB), ("0", 0)]
)
def test_a_limit_is_a_number_of_gb_or_a_size(text: str, bytes_: int) -> None:
    assert variables(PRIMARY_CACHE_LIMIT_GB=text).limits == {"primary": bytes_}


@pytest.mark.parametrize("text", ["much", "-1", "inf", "nan"])
def test_a_limit_that_is_none_is_an_error_that_names_its_variable(text: str) -> None:
    with pytest.raises(ConfigError, match="SECONDARY_CACHE_LIMIT_GB is") as bad:
        variables(SECONDARY_CACHE_LIMIT_GB=text)
    assert "a number of GB" in bad.value.hint


def test_an_empty_variable_is_none() -> None:
    assert variables(PRIMARY_CACHE_PATH="", PRIMARY_CACHE_LIMIT_GB=" ") == Said("environment")


def test_each_setting_is_that_of_the_strongest_source_that_has_it() -> None:
    said = [
        Said("added", (KnownRoot("/a"),)),
        Said("project", (KnownRoot("/a", role=Role.PRIMARY, name="fast"),)),
        Said("config", (KnownRoot("/a", "shelf", Role.SECONDARY, 5, "slow"),)),
        Said("environment", (), {"primary": 7}),
    ]
    [one] = settle(said, path_of).settings
    assert one.root == KnownRoot("/a", "shelf", Role.PRIMARY, 5, "fast")
    assert one.sources == {"path": "added", "name": "project", "role": "project", "limit": "config"}


def test_a_limit_of_a_project_is_stronger_than_that_of_the_users_file() -> None:
    said = [
        Said(".env", (), {"primary": 7}),
        Said("config", (KnownRoot("/a", None, Role.PRIMARY, 5),)),
        Said("environment", (), {"primary": 9}),
    ]
    [one] = settle(said, path_of).settings
    assert (one.root.limit, one.sources["limit"]) == (7, ".env")


def test_the_limit_of_a_variable_holds_for_the_primary_place_wherever_that_is() -> None:
    said = [
        Said("added", (KnownRoot("/a", role=Role.PRIMARY, name="fast"),)),
        variables(PRIMARY_CACHE_PATH="/b", PRIMARY_CACHE_LIMIT_GB="1"),
    ]
    assert told(settle(said, path_of)) == [
        ("/a", "fast", "primary", GB),
        ("/b", "", "secondary", None),
    ], "/b stays a root, and is no second primary place"


def test_without_a_path_it_is_kept_for_the_clients_own_cache() -> None:
    found = settle([variables(PRIMARY_CACHE_LIMIT_GB="1", SECONDARY_CACHE_LIMIT_GB="2")], path_of)
    assert found == Settled((), (GB, "environment"))


def test_a_name_is_given_once() -> None:
    said = [
        Said("project", (KnownRoot("/a", name="slow"), KnownRoot("/b", name="slow"))),
        Said("config", (KnownRoot("/c", name="secondary"), KnownRoot("/d", name="secondary"))),
    ]
    assert [one.root.name for one in settle(said, path_of).settings] == ["slow", "", "secondary", ""]


def test_one_folder_under_two_names_is_one_place() -> None:
    said = [Said("added", (KnownRoot("/link"),)), Said("config", (KnownRoot("/real", None, Role.PRIMARY),))]
    [one] = settle(said, lambda root: "/real").settings
    assert one.root.role is Role.PRIMARY and one.source == "added"


# -- projects


def test_the_nearest_folder_upwards_is_the_project(tmp_path: Path) -> None:
    deep = tmp_path / "project" / "src" / "deep"
    deep.mkdir(parents=True)
    (tmp_path / ".env").write_text("PRIMARY_CACHE_PATH=/outer\n")
    (tmp_path / "project" / "hubfold.toml").write_text(
        '[[roots]]\npath = "models/hub"\nrole = "primary"\nlimit = "5GB"\n[models]\nbase = "org/base"\n'
    )
    project = project_at(str(deep))
    assert project is not None and project.folder == str(tmp_path / "project")
    assert told(settle(project.said, path_of)) == [
        (str(tmp_path / "project" / "models" / "hub"), "primary", "primary", 5 * GB)
    ]
    assert project.config.models is not None and project.config.models["base"].repo_id == "org/base"


def test_a_dotenv_is_weaker_than_the_hubfold_toml_beside_it(tmp_path: Path) -> None:
    (tmp_path / "hubfold.toml").write_text('[[roots]]\npath = "/toml"\nrole = "primary"\n')
    (tmp_path / ".env").write_text(
        'export PRIMARY_CACHE_PATH="/env"\nPRIMARY_CACHE_LIMIT_GB=3 # of it\nSECONDARY_CACHE_PATH=cold\nOTHER=1\n'
    )
    project = project_at(str(tmp_path))
    assert project is not None
    assert told(settle(project.said, path_of)) == [
        ("/toml", "primary", "primary", 3 * GB),
        ("/env", "", "secondary", None),
        (str(tmp_path / "cold"), "secondary", "secondary", None),
    ]


def test_a_project_says_nothing_of_what_scans_take_in(tmp_path: Path) -> None:
    (tmp_path / "hubfold.toml").write_text('exclude = ["x"]\nreserve = "1GB"\nall_files = true\n')
    project = project_at(str(tmp_path))
    assert project is not None
    assert (project.config.exclude, project.config.reserve, project.config.all_files) == ((), 0, False)
    assert [word for word in ("exclude", "reserve", "all_files") if word in " ".join(project.warnings)]


def test_a_project_of_another_user_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text("PRIMARY_CACHE_PATH=/theirs\n")
    monkeypatch.setattr(os, "geteuid", lambda: os.stat(tmp_path).st_uid + 1)
    (owner,) = {os.stat(tmp_path / ".env").st_uid}
    if owner == 0:
        os.chown(tmp_path / ".env", 12345, -1)
    project = project_at(str(tmp_path))
    assert project is not None and project.said == ()
    assert "belongs to another user" in project.warnings[0]


def test_no_project_is_none(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert project_at(str(tmp_path)) is None


def test_a_dotenv_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PRIMARY_CACHE_PATH=/caf\xe9\n")
    with pytest.raises(ConfigError, match="cannot be read"):
        project_at(str(tmp_path))
