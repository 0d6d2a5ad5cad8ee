"""What the files of a repository of the Hub are to programs for images: which go on which shelf.

Told by names alone, by the first of these that says so:

1. a folder on the way that is called as a shelf of ComfyUI is: ``split_files/text_encoders/t5xxl_fp16.safetensors``;
2. a folder of a repository in the layout of diffusers: ``vae/diffusion_pytorch_model.safetensors``;
3. a file at the top, or the repository, that is called by what it is: ``…lora….safetensors``;
4. a file at the top of a repository that is no model of transformers: a checkpoint.

What comes in parts, or twice in another format, is on no shelf: these programs load single files.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from hubfold_plugins.flat import hub_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubfold.content import Snapshot

#: ``folder_names_and_paths`` of ComfyUI's folder_paths.py, its older names with what is meant by them.
_SHELVES = {
    **{
        name: name
        for name in (
            *("audio_encoders", "checkpoints", "clip_vision", "controlnet", "diffusion_models", "embeddings"),
            *("gligen", "hypernetworks", "loras", "model_patches", "photomaker", "style_models"),
            *("text_encoders", "upscale_models", "vae", "vae_approx"),
        )
    },
    "clip": "text_encoders",
    "unet": "diffusion_models",
    # Of repositories in the layout of diffusers.
    **dict.fromkeys(("text_encoder", "text_encoder_2", "text_encoder_3"), "text_encoders"),
    "transformer": "diffusion_models",
    "image_encoder": "clip_vision",
}
#: What is in the name of a file or of its repository, the plainest word first.
_WORDS = (
    (re.compile(r"(?<![a-z])(lora|loras|lycoris|locon)(?![a-z])"), "loras"),
    (re.compile(r"control[-_]?net|(?<![a-z])control[-_](?:lora|sd|v\d)"), "controlnet"),
    (re.compile(r"clip[-_]?vision"), "clip_vision"),
    (re.compile(r"(?<![a-z])(t5xxl|clip_l|clip_g|umt5|text_encoder)"), "text_encoders"),
    (re.compile(r"esrgan|upscal|(?<![a-z])[248]x[-_]|swinir"), "upscale_models"),
    (re.compile(r"(?<![a-z])embedding|textual[-_]?inversion"), "embeddings"),
    (re.compile(r"(?<![a-z])vae(?![a-z])"), "vae"),
)
_WEIGHTS = (".safetensors", ".sft", ".ckpt", ".pt", ".pth")
_PART = re.compile(r"-\d{5}-of-\d{5}\.")
#: What a repository of transformers has at its top, and one for these programs has not.
_OF_TRANSFORMERS = frozenset({"config.json", "adapter_config.json"})


def on_shelves(snapshot: Snapshot) -> Iterator[tuple[str, str, str]]:
    """(shelf of ComfyUI, ``<org>/<name>/<file>`` on it, name in the repository) of each file that has its place."""
    if snapshot.repo_type != "model" or not hub_name(snapshot.repo_id):
        return
    names = {file.name for file in snapshot.files}
    there: set[tuple[str, str]] = set()
    for name in sorted(names, key=_safest_first):
        kind = _kind(snapshot.repo_id, name, names)
        stem, suffix = os.path.splitext(os.path.basename(name))
        # Two of one name on a shelf are one model in two formats, or of two folders.
        if kind and stem and not stem.startswith(".") and (kind, stem) not in there:
            there.add((kind, stem))
            yield kind, f"{snapshot.repo_id}/{stem}{suffix}", name


def _safest_first(name: str) -> tuple[int, str]:
    return _WEIGHTS.index(suffix) if (suffix := _suffix(name)) in _WEIGHTS else len(_WEIGHTS), name


def _suffix(name: str) -> str:
    return os.path.splitext(name)[1].lower()


def _kind(repo_id: str, name: str, names: set[str]) -> str:
    *folders, last = name.lower().split("/")
    if _suffix(last) not in _WEIGHTS or _PART.search(last):
        return ""
    for folder in reversed(folders):
        if folder in _SHELVES:
            return _SHELVES[folder]
    if folders:
        return ""
    for called in (last, repo_id.lower().partition("/")[2]):
        for words, kind in _WORDS:
            if words.search(called):
                return kind
    return "" if _OF_TRANSFORMERS & names else "checkpoints"
