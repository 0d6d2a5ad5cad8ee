"""`modelscope` keeps the contract, in the layouts of its clients before and after 1.38."""

from __future__ import annotations

from pathlib import Path

from hubfold.testing import BackendContract, Built
from hubfold_plugins.modelscope.cache import ModelScopeBackend

NEW = "models/Qwen--Qwen3-0.6B/snapshots"
OLD = "hub/models/AI-ModelScope/gpt2___5"


def build(cache: Path, content: dict[str, bytes], beside: dict[str, bytes]) -> None:
    for name, data in (content | beside).items():
        (cache / name).parent.mkdir(parents=True, exist_ok=True)
        (cache / name).write_bytes(data)


class TestModelScope(BackendContract):
    backend = ModelScopeBackend

    def build(self, folder: Path) -> Built:
        cache = folder / ".cache/modelscope"
        weights = b"weights" * 3000
        content = {
            f"{NEW}/master/model.safetensors": weights,
            f"{NEW}/v1.0/model.safetensors": weights,
            f"{NEW}/v1.0/tokenizer/vocab.txt": b"words",
            f"datasets/org--rows/snapshots/{'a' * 40}/rows.parquet": b"rows" * 3000,
            f"{OLD}/pytorch_model.bin": weights,
            f"{OLD}/.gitattributes": b"*.bin",
            "hub/ancient/one/model.pt": weights,
        }
        beside = {
            f"{NEW}/v1.0/half.safetensors.incomplete": b"half",
            f"{NEW}/v1.0/big.safetensors_0_167772159": b"part",
            f"{OLD}/.msc": b"cos\nsystem\n(S'false'\ntR.",
            f"{OLD}/.mdl": b"\x80\x04.",
            f"{OLD}/.mv": b"Revision:master,CreatedAt:1700000000",
            "hub/ancient/one/.msc": b"\x80\x04.",
            "hub/models/._____temp/org/x/half.bin": b"half",
            ".lock/file_x.lock": b"",
            "hub/.lock/AI-ModelScope___gpt2.5": b"",
            "credentials/session": b"",
        }
        build(cache, content, beside)
        (cache / OLD).with_name("gpt2.5").symlink_to(cache / OLD, target_is_directory=True)
        return Built(cache, set(content))
