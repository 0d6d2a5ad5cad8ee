"""Which files of a plain folder are model files: by name, and where the name says too little by the first bytes.

The names are those of formats that hold weights or what a model cannot do without. Sources: the ``.gitattributes`` that
the Hub writes into each new repository (its list of what is binary and large, less archives, datasets, logs and wasm),
the file formats of its documentation of libraries (``huggingface.js``, ``tasks/src/model-libraries.ts``), and for
checkpoints in parts TensorFlow's ``<name>.data-00000-of-00001`` and the splits of GGUF files.
"""

from __future__ import annotations

import enum
import os
import re
from functools import lru_cache

from hubfold.reading import headers

_MODELS = """
    bin pt pth ckpt safetensors gguf ggml ggmf ggjt onnx onnx_data ort h5 hdf5 keras tflite litertlm task msgpack npy
    npz pb ftz ot mlmodel model spm tiktoken nemo mar engine plan trt caffemodel pdparams pdiparams pdmodel pte ptl
    torchscript distcp mnn rten nnue weights
"""
#: Suffixes of formats that hold weights. Of ``.bin`` the first bytes only tell what it is not: raw weights (OpenVINO,
#: CTranslate2) begin with anything.
_SURE = frozenset(_MODELS.split())
#: Suffixes that others use for anything too: the first bytes have to be those of a model.
_SHARED = frozenset(("pkl", "pickle", "joblib", "data", "params"))
_NAMES = re.compile(
    r"""tokenizer\.json | vocab\.(json|txt) | merges\.txt
    | .+\.(safetensors|bin|gguf)\.index\.json
    | .+\.onnx[._]data(_\d+)? | .+\.onnx\.data
    | .+\.data-\d{5}-of-\d{5}
    | .+\.gguf([.-]part[-_]?\w+ | [.-]split-\w+ | \.\d+)
    """,
    re.VERBOSE,
)


class Kind(enum.Enum):
    """What a name says."""

    MODEL = "a model file"
    SHARED = "a model file, or anything else that has this suffix"
    NAMELESS = "no suffix: what it is, only its bytes tell"
    OTHER = "no model file"


@lru_cache(1 << 12)
def by_name(name: str) -> Kind:
    """What the name of a file says of it."""
    plain = name.lower()
    stem, dot, suffix = plain.rpartition(".")
    if (suffix in _SURE and stem) or _NAMES.fullmatch(plain):
        return Kind.MODEL
    if suffix in _SHARED and stem:
        return Kind.SHARED
    return Kind.OTHER if dot else Kind.NAMELESS


def beginning(path: str) -> bytes | None:
    """The first bytes of a file, None where it cannot be read."""
    try:
        return headers.head(path)
    except OSError:
        return None


def against(path: str, first: bytes | None, *, all_files: bool) -> str | None:
    """Why a file that begins so is left alone; None where nothing speaks against it, or it could not be read."""
    if first is None:
        return None  # whoever compares it will say so
    if headers.is_blank(first):
        return "nothing is written at its beginning: it is still being written, or only room for it was made"
    if all_files:
        return None
    other = headers.other_than_a_model(first)
    if other is not None:
        return f"it is {other}, no model (--all-files folds it all the same)"
    if by_name(os.path.basename(path)) is Kind.SHARED and not headers.may_be_a_model(first):
        return "it does not begin as a model does (--all-files folds it all the same)"
    return None
