"""Whether a revision is whole, without a network: judged by the layout's listing, else by what its files say.

1. Where the layout has a listing of the revision (`Snapshot.expected`), every file of it has to be there at its length.
2. Else by names: each file that an ``*.index.json`` has in its ``weight_map`` (transformers), every number of a set
   ``…-00001-of-00003.…`` (safetensors, GGUF) of which one is there, and each part that a ``model_index.json`` names
   (diffusers). Where a folder has indexes of several formats, one format that is whole is enough.
3. Else it has files, and no download of it is open. A model has weights: one with a ``config.json`` and nothing but
   texts is not whole, since programs fetch that file first. Of one with texts alone (a tokenizer, say), or with weights
   as transformers calls them and no config, nobody can tell: it is neither whole nor incomplete but unknown.

In any case each of its files can be read, is not known to have other bytes than it should (`library/contents`), and is
what it is called as far as that is quickly seen (`library/sound`).
"""

from __future__ import annotations

import errno
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from hubfold.content import Snapshot, SnapshotFile
from hubfold.disk import open_flags
from hubfold.errors import describe
from hubfold.library import sound
from hubfold.library.contents import NOTHING, Contents
from hubfold.models.patterns import may_be_weights
from hubfold.reports.models import Judged, MissingFile, Wholeness, state_of

INDEX_SUFFIX = ".index.json"
#: The index of a model of 10,000 tensors takes about 1 MB.
_INDEX_LIMIT = 64 << 20
_SHARD = re.compile(r"(?P<stem>.*-)(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.[^/]*)?")
_CONFIG = "config.json"
_PARTS = "model_index.json"
#: Files that only a model with weights has; the first that is there is named.
_OF_WEIGHTS = (_PARTS, "adapter_config.json", _CONFIG)
_CONFIG_OF = (
    (re.compile(r"[^/]+/diffusion_pytorch_model(\..+)?\.(safetensors|bin)"), _PARTS),
    (re.compile(r"diffusion_pytorch_model(\..+)?\.(safetensors|bin)"), _CONFIG),
    (re.compile(r"(pytorch_)?model(-\d{5}-of-\d{5})?\.(safetensors|bin)"), _CONFIG),
    (re.compile(r"adapter_model\.(safetensors|bin)"), "adapter_config.json"),
)
#: More shards than any model has: a name that asks for more is none of a shard.
_MOST_SHARDS = 10_000
_DANGLING = frozenset({errno.ENOENT, errno.ENOTDIR, errno.ELOOP})


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a snapshot lacks, and by what that is known."""

    state: Wholeness
    judged: Judged
    missing: tuple[MissingFile, ...]
    #: It is of a model, and none of its weights is there.
    weightless: bool = False


def judge(snapshot: Snapshot, contents: Contents = NOTHING) -> Judgement:
    """Judge one revision. Reads small files, and of one that has no listing headers."""
    partial = {part.name: part.size for part in snapshot.incomplete if part.name is not None}
    wrong = [*_hidden(snapshot, contents), *_damaged(snapshot, contents, partial)]
    sizes = {file.name: file.size for file in snapshot.files}
    weights = any(may_be_weights(name) and size != 0 for name, size in sizes.items())
    of_model = snapshot.repo_type == "model"
    expected = snapshot.expected
    if expected is not None:
        absent = [
            MissingFile(name, size, "is not there", partial_bytes=partial.get(name, 0))
            for name, size in expected.items()
            if name not in sizes
        ]
        weightless = of_model and not weights and any(map(may_be_weights, expected))
        return _judgement(Judged.LISTING, wrong, absent, weightless)
    absent, has_shards = _absent_shards(snapshot, sizes)
    absent += [
        MissingFile(part.name or "", None, "was not downloaded to its end", partial_bytes=part.size)
        for part in snapshot.incomplete
    ]
    if not sizes and not absent and not wrong:
        absent.append(MissingFile("", None, "no file of it is there"))
    weightless = of_model and bool(sizes) and not weights
    if of_model and sizes and not (absent and weightless):
        absent += _absent_weights(snapshot, sizes, weightless)
    return _judgement(Judged.SHARDS if has_shards else Judged.FILES, wrong, absent, weightless)


def _judgement(
    judged: Judged, wrong: list[MissingFile], absent: list[MissingFile], weightless: bool
) -> Judgement:
    missing = (*wrong, *absent)
    return Judgement(state_of(missing), judged, missing, weightless)


# what is there


def _hidden(snapshot: Snapshot, contents: Contents) -> Iterator[MissingFile]:
    """That a folder of it cannot be read: nobody can tell then what is in it."""
    hidden = contents.hidden(snapshot.path)
    if hidden is not None and all(hidden != file.path for file in snapshot.files):
        yield MissingFile("", None, f"{hidden} cannot be read", unreadable=True)


def _damaged(snapshot: Snapshot, contents: Contents, partial: Mapping[str, int]) -> Iterator[MissingFile]:
    expected = snapshot.expected or {}
    for file in snapshot.files:
        length = expected.get(file.name)
        if file.size is None or not os.access(file.path, os.R_OK):
            yield _unopened(file, length, partial.get(file.name, 0))
            continue
        if length is not None and length != file.size:
            reason: str | None = f"has {file.size} bytes instead of {length}"
        else:
            reason = contents.wrong(file)
        if reason is None:
            reason = sound.fault(file) if snapshot.expected is None else sound.small(file)
        if reason is not None:
            yield MissingFile(file.name, length, reason, damaged=True)


def _unopened(file: SnapshotFile, length: int | None, begun: int) -> MissingFile:
    """A file that cannot be opened: it leads nowhere, or is there and cannot be read."""
    try:
        os.close(os.open(file.path, open_flags.READ | open_flags.NONBLOCK))
    except OSError as error:
        if error.errno not in _DANGLING:
            reason = f"cannot be read: {describe(error)}"
            return MissingFile(file.name, length, reason, partial_bytes=begun, unreadable=True)
    if not os.path.lexists(file.path):
        # A layout's note on a file that was removed.
        return MissingFile(file.name, length, "is not there", partial_bytes=begun)
    return MissingFile(file.name, length, "leads nowhere", partial_bytes=begun, damaged=True)


# what is not there


def _absent_shards(snapshot: Snapshot, sizes: Mapping[str, int | None]) -> tuple[list[MissingFile], bool]:
    """The shards that are not there, and whether anything says that there are shards."""
    by_index, has_shards = _missing_by_index(snapshot)
    by_name = set(_missing_by_name(sizes))
    has_shards = has_shards or any(_SHARD.fullmatch(name) for name in sizes)
    absent = [
        MissingFile(name, None, "is a shard that is not there")
        for name in sorted(by_index | by_name - sizes.keys())
    ]
    return absent, has_shards


def _absent_weights(
    snapshot: Snapshot, sizes: Mapping[str, int | None], weightless: bool
) -> Iterator[MissingFile]:
    if not weightless:
        yield from _absent_parts(snapshot, sizes)
        yield from _absent_config(sizes)
        return
    named = next((name for name in _OF_WEIGHTS if name in sizes), None)
    if named is not None:
        yield MissingFile("", None, f"has its {named} and no weights", weights=True)
    else:
        reason = "has no weights, and nothing says whether it should"
        yield MissingFile("", None, reason, weights=True, unsure=True)


def _absent_config(sizes: Mapping[str, int | None]) -> Iterator[MissingFile]:
    """The config that transformers, peft and diffusers write beside weights of these names, and ask for first."""
    for named, config in _CONFIG_OF:
        beginning = config.removesuffix("json")
        if not any(name.startswith(beginning) for name in sizes) and any(map(named.fullmatch, sizes)):
            reason = "is not there, and nothing says whether it should be"
            yield MissingFile(config, None, reason, unsure=True)


def _absent_parts(snapshot: Snapshot, sizes: Mapping[str, int | None]) -> Iterator[MissingFile]:
    """The folders that a ``model_index.json`` names and that are not there, or have a config and no weights."""
    index = next((file for file in snapshot.files if file.name == _PARTS), None)
    document = None if index is None else _document(index)
    for part, what in document.items() if isinstance(document, dict) else ():
        if not (isinstance(what, list) and len(what) == 2 and isinstance(what[0], str)) or "/" in part:
            continue
        inside = [name for name in sizes if name.startswith(f"{part}/")]
        if not inside:
            yield MissingFile(f"{part}/", None, f"is a part that {_PARTS} names, and is not there")
        elif f"{part}/{_CONFIG}" in inside and not any(map(may_be_weights, inside)):
            yield MissingFile(f"{part}/", None, f"has its {_CONFIG} and no weights", weights=True)


def _missing_by_name(names: Iterable[str]) -> Iterator[str]:
    """The numbers that sets of shards lack."""
    sets: dict[tuple[str, int, str], set[int]] = {}
    for name in names:
        shard = _SHARD.fullmatch(name)
        if shard is not None and 0 < int(shard["count"]) <= _MOST_SHARDS:
            key = shard["stem"], int(shard["count"]), shard["suffix"] or ""
            sets.setdefault(key, set()).add(int(shard["number"]))
    for (stem, count, suffix), numbers in sets.items():
        for number in range(1, count + 1):
            if number not in numbers:
                yield f"{stem}{number:05}-of-{count:05}{suffix}"


def _missing_by_index(snapshot: Snapshot) -> tuple[set[str], bool]:
    """The files that indexes name and that are not there, and whether there is an index."""
    there = {file.name for file in snapshot.files if file.size is not None}
    lacking: dict[str, list[set[str]]] = {}
    for file in snapshot.files:
        if not file.name.endswith(INDEX_SUFFIX):
            continue
        shards = _shards_of(file)
        if shards:
            folder = os.path.dirname(file.name)
            lacking.setdefault(folder, []).append({os.path.join(folder, shard) for shard in shards} - there)
    missing: set[str] = set()
    for sets in lacking.values():
        if all(sets):
            # Of the formats that a folder offers, the one that is nearest to its end is the one that was wanted.
            missing |= min(sets, key=len)
    return missing, bool(lacking)


def _shards_of(file: SnapshotFile) -> set[str]:
    """The files that an index names; none where it cannot be read or is none. Its texts are only ever compared."""
    document = _document(file)
    weights = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(weights, Mapping):
        return set()
    return {shard for shard in weights.values() if isinstance(shard, str) and shard}


def _document(file: SnapshotFile) -> Any:
    """What a file holds as JSON; None where it is no file, too long or no JSON."""
    if file.size is None or file.size > _INDEX_LIMIT:
        return None
    try:
        fd = os.open(file.path, open_flags.READ | open_flags.NONBLOCK)
    except OSError:
        return None
    with open(fd, "rb") as opened:
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return None
            return json.loads(opened.read(_INDEX_LIMIT))
        except (OSError, ValueError, RecursionError):
            return None
