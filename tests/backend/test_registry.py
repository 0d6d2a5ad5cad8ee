"""Plugins of other people: found by their entry point, blocked when asked, and no fault of theirs stops anything."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hubfold.backend import distributions as installed_distributions
from hubfold.backend import registry
from hubfold.backend.contract import StorageBackend
from hubfold.backend.hookspecs import hookimpl
from hubfold.errors import PluginError
from hubfold.testing import BackendContract, Built
from tests import CHECKOUT
from tests.building.distributions import BUILT_IN, loaded, write_distribution

EXAMPLE = CHECKOUT / "plugins" / "example"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, installed by pip as its author would, into a folder of its own."""
    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source") / "example"
    shutil.copytree(EXAMPLE, source)
    if importlib.util.find_spec("hatchling") is None or importlib.util.find_spec("pip") is None:
        # Without its build backend at hand pip would have to fetch that: what it would leave, by hand.
        shutil.copy(source / "hubfold_gpt4all.py", target)
        write_distribution(target, "hubfold-gpt4all", "1.2.3", {"gpt4all": "hubfold_gpt4all"})
        return target
    pip = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--disable-pip-version-check", "--target", str(target), str(source)], check=True)
    return target


def plugin(name: str, *backends: type[StorageBackend]) -> ModuleType:
    module = ModuleType(name)

    @hookimpl
    def hubfold_storage_backends() -> list[type[StorageBackend]]:
        return list(backends)

    module.hubfold_storage_backends = hubfold_storage_backends  # type: ignore[attr-defined]
    return module


def test_the_built_in_backends_load_like_anybodys() -> None:
    found = loaded()
    assert list(found["backends"]) == BUILT_IN
    assert found["backends"]["hub-cache"][:2] == ["builtin", "hubfold"]
    assert found["broken"] == []


def test_the_built_in_entry_point_is_the_one_that_is_installed() -> None:
    """It is known without asking, since asking takes a seventh of start-up."""
    [point] = [point for point in distribution("hubfold").entry_points if point.group == "hubfold"]
    assert (point.name, point.value) == (registry.BuiltIn.name, registry.BuiltIn.module)
    assert installed_distributions.version_of("hubfold") == distribution("hubfold").version


def test_finding_plugins_does_not_import_the_client() -> None:
    code = "import sys, hubfold_plugins; from hubfold.backend import registry; print('huggingface_hub' in sys.modules)"
    code += "; registry.load(); print('huggingface_hub' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == ["False", "False"]


@pytest.mark.slow
def test_a_backend_of_somebody_else_is_found(installed: Path) -> None:
    found = loaded(installed)
    assert list(found["backends"]) == [*BUILT_IN, "gpt4all"]
    assert found["backends"]["gpt4all"] == ["gpt4all", "hubfold-gpt4all", "1.2.3"]
    assert found["broken"] == []


@pytest.mark.slow
def test_outside_plugins_can_be_blocked(installed: Path, tmp_path: Path) -> None:
    broken = write_distribution(tmp_path, "broken", "1", {"x": "no_such_module"})
    assert list(loaded(installed, broken, HUBFOLD_NO_PLUGINS="1")["backends"]) == BUILT_IN
    assert loaded(installed, broken, HUBFOLD_NO_PLUGINS="1")["broken"] == []
    for no in ("0", ""):
        assert "gpt4all" in loaded(installed, HUBFOLD_NO_PLUGINS=no)["backends"]


FAULTS = {
    "a module that is not there": "",
    "a module that does not import": "import no_such_module",
    "a module with an error of syntax": "def (",
    "a module that exits": "raise SystemExit(3)",
    "a module without hooks": "",
    "a hook that raises": "raise RuntimeError('boom')",
    "a hook that returns nothing": "return None",
    "a hook that returns no class": "return ['hub-cache']",
    "a hook that returns a class of something else": "return [int]",
    "a hook that returns a backend without a name": "return [StorageBackend]",
    "a hook that exits": "raise SystemExit(3)",
}


@pytest.mark.parametrize("fault", [name for name in FAULTS if name != "a module without hooks"])
def test_a_broken_plugin_is_left_out_and_named(installed: Path, tmp_path: Path, fault: str) -> None:
    text = FAULTS[fault]
    if fault.startswith("a hook"):
        text = (
            "from hubfold import StorageBackend, hookimpl\n"
            f"@hookimpl\ndef hubfold_storage_backends():\n    {text}\n"
        )
    modules = {} if "not there" in fault else {"faulty_module": text}
    place = write_distribution(tmp_path, "faulty-distribution", "0.1", {"faulty": "faulty_module"}, modules)
    found = loaded(installed, place)
    assert list(found["backends"]) == [*BUILT_IN, "gpt4all"], "all the others are there"
    [message] = found["broken"]
    assert "faulty-distribution 0.1" in message
    assert "'faulty'" in message


def test_a_plugin_without_a_hook_that_hubfold_has_is_no_fault(installed: Path, tmp_path: Path) -> None:
    place = write_distribution(tmp_path, "empty", "1", {"empty": "empty_module"}, {"empty_module": ""})
    found = loaded(installed, place)
    assert list(found["backends"]) == [*BUILT_IN, "gpt4all"]
    assert found["broken"] == []


def test_a_plugin_for_hooks_of_a_newer_hubfold_is_left_out_and_named(tmp_path: Path) -> None:
    text = "from hubfold import hookimpl\n@hookimpl\ndef hubfold_of_tomorrow(): return []\n"
    place = write_distribution(tmp_path, "tomorrow", "9", {"new": "new_module"}, {"new_module": text})
    found = loaded(place)
    assert list(found["backends"]) == BUILT_IN
    [message] = found["broken"]
    assert "tomorrow 9" in message
    assert "hubfold_of_tomorrow" in message


def test_two_entry_points_of_one_name_are_two_plugins(installed: Path, tmp_path: Path) -> None:
    text = "from hubfold import StorageBackend, hookimpl\nclass B(StorageBackend):\n    name = 'b'\n"
    text += "@hookimpl\ndef hubfold_storage_backends(): return [B]\n"
    place = write_distribution(tmp_path, "other", "1", {"gpt4all": "other_module"}, {"other_module": text})
    found = loaded(installed, place)
    assert list(found["backends"]) == [*BUILT_IN, "gpt4all", "b"]
    assert found["broken"] == []


def test_two_backends_of_one_name_are_an_error_that_names_both(installed: Path, tmp_path: Path) -> None:
    text = "from hubfold import StorageBackend, hookimpl\nclass B(StorageBackend):\n    name = 'gpt4all'\n"
    text += "@hookimpl\ndef hubfold_storage_backends(): return [B]\n"
    place = write_distribution(tmp_path, "zz-rival", "1", {"rival": "rival_module"}, {"rival_module": text})
    found = loaded(installed, place)
    assert all(word in found["error"] for word in ("'gpt4all'", "hubfold-gpt4all", "zz-rival", "rival"))
    assert "HUBFOLD_NO_PLUGINS" in found["hint"]


def test_a_distribution_installed_twice_counts_once(installed: Path, tmp_path: Path) -> None:
    """The first on the path counts, as it does for an import."""
    again = write_distribution(tmp_path, "hubfold-gpt4all", "0.9", {"gpt4all": "hubfold_gpt4all"})
    assert loaded(installed, again)["backends"]["gpt4all"][2] == "1.2.3"


def test_a_distribution_with_damaged_metadata_is_left_out_and_named(installed: Path, tmp_path: Path) -> None:
    info = tmp_path / "wreck-1.dist-info"
    info.mkdir()
    (info / "entry_points.txt").write_bytes(b"[hubfold]\nwreck = \xff\xfe\n")
    (tmp_path / "half-1.dist-info").mkdir()
    (tmp_path / "half-1.dist-info" / "entry_points.txt").write_text("[hubfold]\nno equals sign\n")
    found = loaded(installed, tmp_path)
    assert list(found["backends"]) == [*BUILT_IN, "gpt4all"]
    [message] = found["broken"]
    assert str(tmp_path) in message


def test_an_unknown_backend_is_an_error_that_tells_what_there_is() -> None:
    with pytest.raises(PluginError, match="no backend is called 'olama'") as raised:
        registry.load().named("olama")
    assert "hub-cache" in raised.value.hint


def test_a_module_can_be_registered_by_hand() -> None:
    class Mine(StorageBackend):
        name = "mine"

    found = registry.load({}, plugin("mine", Mine))
    assert (found.named("mine").name, found["mine"].distribution) == ("mine", "no distribution")
    with pytest.raises(PluginError, match="two plugins have a backend called 'mine'"):
        registry.load({}, plugin("one", Mine), plugin("two", Mine))


def test_a_backend_of_a_higher_priority_is_asked_first() -> None:
    class Early(StorageBackend):
        name = "early"
        priority = 5

    class Late(StorageBackend):
        name = "late"
        priority = -1

    found = list(registry.load({}, plugin("one", Late), plugin("two", Early)))
    assert found == ["early", *BUILT_IN, "late"]


# the example


def of_example(place: str, name: str) -> Any:
    """What `name` is in a file of the example."""
    spec = importlib.util.spec_from_file_location(Path(place).stem, EXAMPLE / place)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(Path(place).stem, module)
    spec.loader.exec_module(module)
    return getattr(module, name)


class TestExample(BackendContract):
    """The example keeps the contract, and this is how its author would know."""

    backend = of_example("hubfold_gpt4all.py", "Gpt4AllBackend")

    def build(self, folder: Path) -> Built:
        return of_example("tests/test_gpt4all.py", "fill")(folder)  # type: ignore[no-any-return]


@pytest.mark.slow
def test_the_example_is_installed_and_tested_in_a_clean_environment(tmp_path: Path) -> None:
    """As a stranger does it: hubfold from a wheel, the example beside it, its own tests, the command."""
    python = tmp_path / "env/bin/python"
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "env"], check=True)
    example = shutil.copytree(EXAMPLE, tmp_path / "example", ignore=shutil.ignore_patterns("__pycache__"))
    pip = [python, "-m", "pip", "install", "-q", "--disable-pip-version-check"]
    subprocess.run([*pip, CHECKOUT, f"{example}[dev]"], check=True)
    environ = {**os.environ, "HUBFOLD_HOME": str(tmp_path / "state"), "HOME": str(tmp_path)}
    tests = subprocess.run(
        [python, "-m", "pytest", "-q", "-rs"], cwd=example, env=environ, capture_output=True, text=True
    )
    assert tests.returncode == 0 and "skipped" not in tests.stdout, tests.stdout
    store = tmp_path / "store"
    store.mkdir()
    of_example("tests/test_gpt4all.py", "fill")(store)
    line = [python, "-m", "hubfold", "plugins", "check", "gpt4all", "--store", store, "--json"]
    said = subprocess.run(line, env=environ, capture_output=True, text=True)
    found = json.loads(said.stdout)["store"]
    assert said.returncode == 0 and (found["files"], found["claimed"], found["broken"]) == (2, 1, [])
    assert found["kept"] > 30 and not found["skipped"]
