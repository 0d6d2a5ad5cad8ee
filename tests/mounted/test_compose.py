"""The services of a compose file."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import pytest

from hubfold.errors import UsageError
from hubfold.mounted.compose import Beside, Service, services
from hubfold.mounted.mounts import Mount

FILES = {"/proj/web.env": {"HF_HOME": "/from-file", "OTHER": "1"}}


def read_env(path: str, required: bool) -> Mapping[str, str]:
    if path not in FILES and required:
        raise UsageError(f"{path} is not there")
    return FILES.get(path, {})


def read(text: str, **environ: str) -> list[Service]:
    return services(text, Beside("/proj", {"HOME": "/home/ana", **environ}, read_env))


def mounts(volumes: str, **environ: str) -> tuple[Mount, ...]:
    indented = "\n".join(f"      {line}" for line in volumes.strip().splitlines())
    return read(f"services:\n  web:\n    volumes:\n{indented}\n", **environ)[0].mounts


@pytest.mark.parametrize(
    ("volume", "mount"),
    [
        ("- ~/.cache/huggingface:/cache", Mount("/home/ana/.cache/huggingface", "/cache")),
        ("- ./models:/models:ro", Mount("/proj/models", "/models", read_only=True)),
        ("- ../shared:/shared/:z,ro", Mount("/shared", "/shared", read_only=True)),
        ("- /srv:/srv:rw", Mount("/srv", "/srv")),
        ("- ${WHERE:-/data/hub}:/hub", Mount("/data/hub", "/hub")),
        ("- {type: bind, source: ./m, target: /m, read_only: true}", Mount("/proj/m", "/m", read_only=True)),
        ("- type: bind\n  source: ~/m\n  target: /home", Mount("/home/ana/m", "/home")),
        ("- hub:/cache", Mount("", "/cache")),
        ("- /cache", Mount("", "/cache")),
        ("- {type: tmpfs, target: /tmp}", Mount("", "/tmp")),
    ],
)
def test_a_volume(volume: str, mount: Mount) -> None:
    assert mounts(volume) == (mount,)


def test_a_variable_of_the_environment() -> None:
    assert mounts("- $WHERE:/hub", WHERE="/nas/hub") == (Mount("/nas/hub", "/hub"),)


def test_a_volume_that_is_not_the_hosts_is_told_as_such() -> None:
    (web,) = read(
        "services: {web: {volumes: ['hub:/cache', {type: tmpfs, target: /t}, /x], tmpfs: /run:size=1m}}"
    )
    assert web.kept == (
        ("volume hub", "/cache"),
        ("a tmpfs of its own", "/t"),
        ("a volume of its own", "/x"),
        ("a tmpfs of its own", "/run"),
    )
    assert {mount.target for mount in web.mounts} == {"/cache", "/t", "/x", "/run"}


def test_a_named_volume_that_binds_a_folder_is_that_folder() -> None:
    (web,) = read(
        """
        services: {web: {volumes: ["hub:/cache:ro"]}}
        volumes: {hub: {driver_opts: {type: none, o: "bind,rw", device: ./hub}}, other: }
        """
    )
    assert (web.mounts, web.kept) == ((Mount("/proj/hub", "/cache", read_only=True),), ())


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ("{HF_HOME: /hf, EMPTY: '', NUMBER: 1}", {"HF_HOME": "/hf", "EMPTY": "", "NUMBER": "1"}),
        ("[HF_HOME=/a=b, GIVEN, GONE]", {"HF_HOME": "/a=b", "GIVEN": "yes"}),
        ("{GIVEN: , GONE: }", {"GIVEN": "yes"}),
        ("['HF_HOME=${WHERE:-/x}/hf']", {"HF_HOME": "/x/hf"}),
    ],
)
def test_the_environment(environment: str, found: dict[str, str]) -> None:
    (web,) = read(f"services: {{web: {{environment: {environment}}}}}", GIVEN="yes")
    assert web.environ == found


@pytest.mark.parametrize(
    "files", ["web.env", "[web.env]", "[{path: ./web.env}, {path: gone.env, required: false}]"]
)
def test_a_file_of_variables_counts_less_than_the_environment(files: str) -> None:
    (web,) = read(f"services: {{web: {{env_file: {files}, environment: [OTHER=2]}}}}")
    assert web.environ == {"HF_HOME": "/from-file", "OTHER": "2"}


def test_several_services_in_their_order_with_what_they_share() -> None:
    found = read(
        """
        x-models: &models
          volumes: [ "/srv:/srv" ]
        services:
          web: { <<: *models, environment: { A: "1" } }
          job: { <<: *models }
          db: { image: postgres, volumes: !reset [] }
        """
    )
    assert [one.name for one in found] == ["web", "job", "db"]
    assert [len(one.mounts) for one in found] == [1, 1, 0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no services"),
        ("services: []", "no services"),
        ("services: {web: }", "no services"),
        ("[1, 2", "no YAML"),
        ("services: {web: {volumes: /a:/b}}", "volumes is no list"),
        ("services: {web: {volumes: [{type: bind, source: /a}]}}", "no target"),
        ("services: {web: {env_file: gone.env}}", "gone.env is not there"),
        ("services: {web: {volumes: ['${GONE:?name it}:/a']}}", "GONE is not set: name it"),
        ("services: &a {web: *a}", "nested too deep"),
        ("a: !!python/object:os.system {}", "no YAML"),
    ],
)
def test_what_is_no_compose_file_is_said(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        read(text)


def test_without_a_library_that_reads_yaml_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "yaml", None)
    with pytest.raises(UsageError, match="YAML") as raised:
        read("services: {}")
    assert "hubfold[compose]" in raised.value.hint
