"""The page "Instead of your own cache manager": each of its lines is run, in its order, on a small set-up.

The trees are written by the client of this environment, and where there are older ones by each of these.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path

import pytest

from hubfold import ModelCacheManager, check_model_availability
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, local_dir, model_files, safetensors
from tests.building.killed import NEWEST, OLDER
from tests.building.program import Program

PAGE = Path(__file__).resolve().parent.parent / "engine/docs/instead-of-your-own-cache-manager.md"
CONFIG = '[models]\nbase = "acme/base"\nchat = "acme/chat"\nquant = { repo = "acme/many", include = ["*Q4_K_M*"] }\n'


def rows() -> list[tuple[str, str]]:
    """(what it is for, the code) of each row of each table."""
    lines = PAGE.read_text(encoding="utf-8").splitlines()
    found = [re.fullmatch(r"\| (.+) \| `(.+)` \|", line) for line in lines]
    return [(one[1], one[2].replace("\\|", "|")) for one in found if one is not None]


CALLS = [code for _, code in rows() if not code.startswith("hubfold")]
COMMANDS = [(what, code) for what, code in rows() if code.startswith("hubfold")]


@pytest.fixture(params=[NEWEST, *(pytest.param(one, marks=pytest.mark.clients) for one in OLDER)])
def home(request: pytest.FixtureRequest, tmp_path: Path, loopback_hub: LoopbackHub) -> Path:
    """acme/base in the cache and below ~/models; acme/chat and acme/many on the Hub."""
    loopback_hub.add("acme/base", model_files("base", 2 << 20))
    loopback_hub.add("acme/chat", model_files("chat", 2 << 20))
    quants = {f"many.Q{n}_K_M.gguf": safetensors(f"q{n}", 1 << 20) for n in (4, 8)}
    loopback_hub.add("acme/many", {**quants, "config.json": b"{}"})
    folder = tmp_path / "home" / "user"
    folder.mkdir(parents=True)
    tree = Tree(folder, loopback_hub)
    if request.param != NEWEST:
        tree.python = os.path.join(os.environ["HUBFOLD_TEST_CLIENTS"], request.param, "bin", "python")
    tree.build({".cache/huggingface/hub": hub_cache("acme/base"), "models/base": local_dir("acme/base")})
    return folder


def test_the_page_has_the_class_and_every_script() -> None:
    assert len(CALLS) >= 14 and len(COMMANDS) >= 35
    headings = re.findall(r"^### (.+)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    told = " ".join(headings).lower()
    for script in ("analyse", "consolidate", "list", "find", "check", "download", "clean", "watch"):
        assert script in told
    methods = {name for name in vars(ModelCacheManager) if not name.startswith("_")}
    assert methods == set(re.findall(r"manager\.(\w+)", " ".join(CALLS))), "each has a row"


def test_every_call_of_the_page(
    home: Path, loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HOME", str(home))
    for name in ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HF_ENDPOINT", loopback_hub.endpoint)
    state = Path(os.environ["HUBFOLD_HOME"])
    state.mkdir(exist_ok=True)
    (state / "config.toml").write_text(CONFIG)
    names = {
        "manager": ModelCacheManager(),
        "ModelCacheManager": ModelCacheManager,
        "check_model_availability": check_model_availability,
    }
    given = {code: eval(code, names) for code in CALLS}
    for code, value in given.items():
        assert value not in (None, False, 0, [], {}), code
    assert given['check_model_availability("acme/chat")'][0] is True
    assert given['check_model_availability("acme/base", cache_dir="~/.cache/huggingface")'][0] is True
    assert given['manager.check_model_cache("base")']["cached"] is True


@pytest.mark.slow
def test_every_command_of_the_page(home: Path, tmp_path: Path, loopback_hub: LoopbackHub) -> None:
    program = Program.__new__(Program)
    program.home, program.prefix = home, []
    program.environ = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "HUBFOLD_HOME": str(tmp_path / "state"),
        "LANG": "C.UTF-8",
        **loopback_hub.environ(),
    }
    for name in ("HF_HOME", "HF_HUB_CACHE"):
        program.environ.pop(name, None)
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "config.toml").write_text(CONFIG)
    for what, line in COMMANDS:
        code = 0
        for command in line.split(" || "):
            done = program(*_words(command, home))
            code = done.code
            if code == 0:
                break
        assert code == (3 if "exit code 3" in what else 0), (line, done)


def _words(command: str, home: Path) -> list[str]:
    return [re.sub(r"^~", str(home), word) for word in shlex.split(command)[1:]]
