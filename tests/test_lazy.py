"""Names that a package hands on: imported when they are first used, and no earlier."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

from hubfold.lazy import hand_on


def test_a_name_is_that_of_its_home_and_looked_up_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "packed", types.ModuleType("packed"))
    home = types.ModuleType("packed.home")
    home.Thing = object()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "packed.home", home)
    get = hand_on("packed", {"home": ("Thing",)})
    assert get("Thing") is home.Thing
    assert sys.modules["packed"].Thing is home.Thing, "the package has it from now on"


def test_a_name_that_nobody_has_is_no_attribute() -> None:
    with pytest.raises(AttributeError, match="'packed' has no attribute 'other'"):
        hand_on("packed", {"home": ("Thing",)})("other")


@pytest.mark.parametrize(
    ("package", "loads"),
    [
        ("hubfold", "hubfold.errors"),
        ("hubfold.backend", "hubfold.backend.contract"),
        ("hubfold.testing", "pytest"),
    ],
)
def test_importing_a_package_loads_none_of_the_homes(package: str, loads: str) -> None:
    program = f"import sys, {package}; sys.exit({loads!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
