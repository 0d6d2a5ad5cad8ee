"""`webui` keeps the contract, on the folders of each of its programs."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import sqlite3
from pathlib import Path

from hubfold.testing import BackendContract, Built, safetensors
from hubfold_plugins.webui.store import WebUiBackend


def write(top: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(data)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def noted(path: Path) -> dict[str, object]:
    """What the program notes of a file, once it has hashed it."""
    return {"mtime": os.path.getmtime(path), "sha256": sha256(path.read_bytes())}


def cache_json(top: Path, **titles: str) -> None:
    """``cache.json`` with these titles, by the files that they are of."""
    told = {title: noted(top / path) for path, title in titles.items()}
    (top / "cache.json").write_text(json.dumps({"hashes": told, "hashes-addnet": {"lora/x": {"mtime": 1}}}))


def diskcache(top: Path, **titles: str) -> None:
    """The database that the package ``diskcache`` makes, as far as it is asked."""
    place = top / "cache/hashes"
    place.mkdir(parents=True)
    connection = sqlite3.connect(place / "cache.db")
    connection.execute("CREATE TABLE Cache (key BLOB, raw INTEGER, mode INTEGER, filename TEXT, value BLOB)")
    rows = [(title, 1, 4, None, pickle.dumps(noted(top / path))) for path, title in titles.items()]
    connection.executemany("INSERT INTO Cache VALUES (?, ?, ?, ?, ?)", rows)
    connection.commit()
    connection.close()


def invoke_db(top: Path, *rows: tuple[str, str, str, str]) -> None:
    """InvokeAI's table of models, as (path, name, type, source)."""
    (top / "databases").mkdir(parents=True, exist_ok=True)
    connection = sqlite3.connect(top / "databases/invokeai.db")
    told = ", ".join(
        f"{name} TEXT GENERATED ALWAYS AS (json_extract(config, '$.{name}')) VIRTUAL"
        for name in ("path", "name", "type", "source")
    )
    connection.execute(f"CREATE TABLE models (id TEXT, config TEXT, {told})")
    for number, row in enumerate(rows):
        config = json.dumps(dict(zip(("path", "name", "type", "source"), row, strict=True)))
        connection.execute("INSERT INTO models (id, config) VALUES (?, ?)", (str(number), config))
    connection.commit()
    connection.close()


class TestAutomatic1111(BackendContract):
    backend = WebUiBackend

    def build(self, folder: Path) -> Built:
        top = folder / "stable-diffusion-webui"
        content = {
            "models/Stable-diffusion/base.safetensors": safetensors("base", 9000),
            "models/Lora/sub/style.safetensors": safetensors("style", 9000),
            "models/Lora/sub/style.json": b"{}",
            "embeddings/bad.pt": b"bad" * 3000,
            "extensions/controlnet/models/canny.pth": b"canny" * 3000,
        }
        beside = {
            "launch.py": b"",
            "extensions-builtin/x.py": b"",
            "extensions/controlnet/scripts/x.pth": b"",
            "repositories/x/model.ckpt": b"",
            "models/VAE/half.safetensors.part": b"half",
        }
        write(top, content | beside)
        cache_json(top, **{"models/Stable-diffusion/base.safetensors": "checkpoint/base.safetensors"})
        diskcache(top, **{"embeddings/bad.pt": "textual_inversion/bad"})
        return Built(top, set(content))


class TestStabilityMatrix(BackendContract):
    backend = WebUiBackend

    def build(self, folder: Path) -> Built:
        base = safetensors("base", 9000)
        info = json.dumps({"ModelId": 1, "Hashes": {"SHA256": sha256(base).upper(), "BLAKE3": "x"}}).encode()
        content = {"StableDiffusion/base.safetensors": base, "StableDiffusion/base.preview.jpeg": b"JPEG"}
        write(folder / "Data/Models", {**content, "StableDiffusion/base.cm-info.json": info})
        write(folder / "Data", {"settings.json": b"{}", "Packages/ComfyUI/main.py": b""})
        (folder / "Data/Models/linked").symlink_to(folder / "Data/Packages/ComfyUI")
        return Built(folder / "Data/Models", set(content))


class TestInvokeAi(BackendContract):
    backend = WebUiBackend

    def build(self, folder: Path) -> Built:
        top = folder / "invokeai"
        content = {
            "models/0b1c/base.safetensors": safetensors("base", 9000),
            "models/9f8e/model_index.json": b"{}",
            "models/9f8e/unet/model.safetensors": safetensors("unet", 9000),
        }
        beside = {
            "invokeai.yaml": b"schema_version: 4.0.2\n",
            "models/tmpinstall_x/half.safetensors": b"half",
            "models/.download_cache/x.safetensors": b"half",
            "models/0b1c/late.safetensors.downloading": b"half",
        }
        write(top, content | beside)
        invoke_db(
            top,
            ("0b1c/base.safetensors", "Base", "main", "https://civitai.com/x"),
            ("9f8e", "SDXL", "main", "stabilityai/sdxl-turbo"),
        )
        return Built(top, set(content))
