"""`transformers` loads its configuration after all that hubfold does to a model, in an environment of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import model_files, safetensors

pytestmark = pytest.mark.clients

LOAD = """
import json, sys
from transformers import AutoConfig
config = AutoConfig.from_pretrained(sys.argv[1], cache_dir=sys.argv[2], local_files_only=True)
print(json.dumps([type(config).__name__, config.hidden_size]))
"""
CONFIG = json.dumps({"model_type": "llama", "hidden_size": 64}).encode()
COPIES = {**model_files("tiny"), "config.json": CONFIG}


class User:
    """One user with a cache, who runs hubfold and transformers."""

    def __init__(self, base: Path, hub: LoopbackHub) -> None:
        self.base, self.cache = base, base / "hf" / "hub"
        self.environ = {
            **os.environ,
            **hub.environ(),
            "HUBFOLD_HOME": str(base / "state"),
            "HF_HOME": str(base / "hf"),
        }
        for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
            self.environ.pop(name, None)

    def run(self, *command: str, python: str = sys.executable) -> str:
        done = subprocess.run([python, *command], env=self.environ, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}: {done.stdout[-800:]}{done.stderr[-800:]}"
        return done.stdout

    def hubfold(self, *arguments: str | Path) -> None:
        self.run("-m", "hubfold", *map(str, arguments))

    def loads(self, repo_id: str, cache: Path | None = None, code: str = LOAD) -> Any:
        python = os.path.join(os.environ["HUBFOLD_TEST_CLIENTS"], "transformers", "bin", "python")
        if not os.path.exists(python):
            pytest.skip("there is no environment with transformers")
        return json.loads(
            self.run("-c", code, repo_id, str(cache or self.cache), python=python).splitlines()[-1]
        )


def test_auto_config_loads_after_download_consolidate_rm_backup_and_restore(
    tmp_path: Path, loopback_hub: LoopbackHub
) -> None:
    loopback_hub.add("org/one", COPIES)
    loopback_hub.add("org/two", COPIES)
    user = User(tmp_path, loopback_hub)
    expected = ["LlamaConfig", 64]
    user.hubfold("download", "org/one")
    loopback_hub.forget_hits()
    user.hubfold("download", "org/two", "-y")
    assert loopback_hub.downloads(1 << 20) == [], "the second model's content was here already"
    assert user.loads("org/one") == user.loads("org/two") == expected
    user.run(
        "-c",
        "import sys; from huggingface_hub import snapshot_download as get; get('org/one', local_dir=sys.argv[1])",
        str(tmp_path / "models"),
    )
    user.hubfold("consolidate", "-y", "--min-size", "0", user.cache, tmp_path / "models")
    assert (tmp_path / "models" / "model.safetensors").is_symlink()
    assert user.loads("org/one") == user.loads("org/two") == expected
    user.hubfold("rm", "org/one", "-y")
    assert not (user.cache / "models--org--one").exists()
    assert user.loads("org/two") == expected
    user.hubfold("backup", tmp_path / "backup.tar")
    user.hubfold("rm", "org/two", "-y")
    user.hubfold("restore", tmp_path / "backup.tar", "-y")
    assert user.loads("org/two") == expected


#: Configuration, tokenizer and weights, as `from_pretrained` finds them; without torch, tensors are arrays.
LOAD_ALL = """
import json, sys
from safetensors.numpy import load_file
from transformers import AutoConfig, AutoTokenizer
from transformers.utils import cached_file
how = dict(cache_dir=sys.argv[2], local_files_only=True)
config = AutoConfig.from_pretrained(sys.argv[1], **how)
words = AutoTokenizer.from_pretrained(sys.argv[1], **how)("two words")["input_ids"]
weights = load_file(cached_file(sys.argv[1], "model.safetensors", **how))
print(json.dumps([type(config).__name__, words, sum(array.size for array in weights.values())]))
"""
TOKENIZER = json.dumps(
    {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {"type": "WordLevel", "vocab": {"two": 0, "words": 1, "?": 2}, "unk_token": "?"},
    }
).encode()
SETTINGS = json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "?"}).encode()


@pytest.mark.parametrize("how", ["--all-of", "--cache"])
def test_from_pretrained_loads_what_was_moved_from_both_places_and_after_it_came_back(
    tmp_path: Path, other_drive: Path, loopback_hub: LoopbackHub, how: str
) -> None:
    files = {**COPIES, "tokenizer.json": TOKENIZER, "tokenizer_config.json": SETTINGS}
    files["model.safetensors"] = safetensors("weights", 2 << 20)
    loopback_hub.add("org/one", files)
    user, moved = User(tmp_path, loopback_hub), other_drive / "hub"
    user.hubfold("download", "org/one")
    before = user.loads("org/one", code=LOAD_ALL)
    assert before[:2] == ["LlamaConfig", [0, 1]] and before[2] > 1000
    user.hubfold("move", how, user.cache, "--to", moved, "-y")
    [blob] = [path for path in (user.cache / "models--org--one" / "blobs").iterdir() if path.is_symlink()]
    assert blob.resolve().is_relative_to(other_drive)
    assert user.loads("org/one", code=LOAD_ALL) == user.loads("org/one", moved, code=LOAD_ALL) == before
    user.hubfold("recall", "org/one", "-y")
    assert not blob.is_symlink() and user.loads("org/one", code=LOAD_ALL) == before
