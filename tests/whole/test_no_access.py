"""What a user may not look into is not called away, missing or gone."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from hubfold import Engine
from hubfold.errors import HubfoldError
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, model_files
from tests.building.people import Person, open_place

NOBODY = Person(65534, (65534,))
Ask = Callable[[Engine], str]


def _hint(engine: Engine, ask: Callable[[Engine], object]) -> str:
    try:
        ask(engine)
    except HubfoldError as error:
        return f"{error}; {error.hint}"
    return "it was there"


ASKED: dict[str, Ask] = {
    "roots": lambda engine: "; ".join(f"{one.path}: {one.error}" for one in engine.roots()),
    "doctor": lambda engine: "; ".join(
        f"{one.kind}: {one.path}: {one.message}" for one in engine.doctor().findings
    ),
    "ls": lambda engine: "; ".join(f"{one.path}: {one.message}" for one in engine.models().warnings),
    "ls MODEL": lambda engine: _hint(engine, lambda it: it.models(["org/base"])),
    "check": lambda engine: "; ".join(one.message for one in engine.check(["org/base"]).recommendations),
    "path": lambda engine: _hint(engine, lambda it: it.model_path("org/base")),
    "rm": lambda engine: _hint(engine, lambda it: it.plan_remove(["org/base"])),
    "clean": lambda engine: "; ".join(
        f"{one.path}: {one.reason}" for one in engine.preview_removal(engine.plan_clean()).left
    ),
    "backup of all": lambda engine: "; ".join(
        f"{one.path}: {one.error}" for one in engine.plan_backup("saved").failed
    ),
    "backup MODEL": lambda engine: _hint(engine, lambda it: it.plan_backup("saved", ["org/base"])),
}


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
@pytest.mark.parametrize("command", ASKED)
def test_it_is_called_what_it_is(command: str) -> None:
    with LoopbackHub() as hub, open_place() as place:
        hub.add("org/base", model_files("base", 40_000))
        Tree(place, hub).build({"closed/hub": hub_cache("org/base")})
        environ = {"HF_HUB_CACHE": str(place / "nothing"), "HOME": str(place)}

        def ask() -> str:
            with Engine(place / "state", environ=environ) as engine:
                return ASKED[command](engine)

        with Engine(place / "state", environ=environ) as engine:
            engine.add_root(place / "closed/hub")
            engine.scan()
        assert "denied" not in ask().lower(), "root reads all; and what this imports another user could not"
        for folder, _, names in os.walk(place / "state"):
            for path in (folder, *(os.path.join(folder, name) for name in names)):
                os.chown(path, NOBODY.uid, NOBODY.uid)
        os.chmod(place, 0o755)
        os.chmod(place / "closed", 0o700)
        told = NOBODY.told(ask)
    assert f"{place}/closed/hub" in told
    assert "ermission denied" in told or "cannot be read" in told
    assert not any(
        word in told for word in ("not there", "is away", "offline", "connect its drive", "is gone")
    )
    if command not in ("roots", "doctor", "ls", "backup of all"):
        assert "may be there" in told
