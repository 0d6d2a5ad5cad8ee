"""Whether a revision is whole, without a network: judged by the layout's listing, else by names of shards.

1. Where the layout has a listing of the revision (`Snapshot.expected`), every file of it has to be there at its length.
2. Else by shards: each file that an ``*.index.json`` names in its ``weight_map`` (transformers), and every number of a
   set ``…-00001-of-00003.…`` (safetensors, GGUF) of which one is there. Where a folder has indexes of several formats,
   one format that is whole is enough.
3. Else it has files, and no download of it is open. A model with a ``config.json`` has more than texts: programs fetch
   that file first, and to have it alone is not to have the model.

In any case each of its files can be opened.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from hubfold.content import Snapshot
from hubfold.disk import open_flags
from hubfold.reports.models import Judged, MissingFile, Wholeness

INDEX_SUFFIX = ".index.json"
#: The index of a model of 10,000 tensors takes about 1 MB.
_INDEX_LIMIT = 64 << 20
_SHARD = re.compile(r"(?P<stem>.*-)(?P<number>\d{5})-of-(?P<count>\d{5})(?P<suffix>\.[^/]*)?")
_CONFIG = "config.json"
#: What is beside the weights of a model. Any other file may be weights.
_TEXTS = frozenset(
    {
        ".gif",
        ".jinja",
        ".jpeg",
        ".jpg",
        ".json",
        ".md",
        ".model",
        ".pdf",
        ".png",
        ".py",
        ".txt",
        ".yaml",
        ".yml",
        "",
    }
)
#: More shards than any model has: a name that asks for more is none of a shard.
_MOST_SHARDS = 10_000


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a snapshot lacks, and by what that is known."""

    state: Wholeness
    judged: Judged
    missing: tuple[MissingFile, ...]


def judge(snapshot: Snapshot) -> Judgement:
    """Judge one revision. Reads the small ``*.index.json`` files of one that has no listing."""
    sizes = {file.name: file.size for file in snapshot.files}
    partial = {part.name: part.size for part in snapshot.incomplete if part.name is not None}
    expected = snapshot.expected
    broken = [
        MissingFile(
            name,
            (expected or {}).get(name),
            "leads nowhere",
            partial_bytes=partial.get(name, 0),
            damaged=True,
        )
        for name, size in sizes.items()
        if size is None
    ]
    if expected is not None:
        damaged = [
            MissingFile(name, expected[name], f"has {size} bytes instead of {expected[name]}", damaged=True)
            for name, size in sizes.items()
            if size is not None and expected.get(name, size) != size
        ]
        absent = [
            MissingFile(name, size, "is not there", partial_bytes=partial.get(name, 0))
            for name, size in expected.items()
            if name not in sizes
        ]
        return _judgement(Judged.LISTING, [*broken, *damaged], absent)
    by_index, has_shards = _missing_by_index(snapshot)
    by_name = set(_missing_by_name(sizes))
    has_shards = has_shards or any(_SHARD.fullmatch(name) for name in sizes)
    absent = [
        MissingFile(name, None, "is a shard that is not there")
        for name in sorted(by_index | by_name - sizes.keys())
    ]
    absent += [
        MissingFile(part.name or "", None, "was not downloaded to its end", partial_bytes=part.size)
        for part in snapshot.incomplete
    ]
    if not sizes and not absent:
        absent = [MissingFile("", None, "no file of it is there")]
    elif (
        not absent
        and snapshot.repo_type == "model"
        and _CONFIG in sizes
        and not any(map(_may_be_weights, sizes))
    ):
        absent = [MissingFile("", None, f"has its {_CONFIG} and no weights")]
    return _judgement(Judged.SHARDS if has_shards else Judged.FILES, broken, absent)


def _judgement(judged: Judged, broken: list[MissingFile], absent: list[MissingFile]) -> Judgement:
    state = Wholeness.BROKEN if broken else Wholeness.INCOMPLETE if absent else Wholeness.WHOLE
    return Judgement(state, judged, (*broken, *absent))


def _may_be_weights(name: str) -> bool:
    return os.path.splitext(name)[1].lower() not in _TEXTS


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
        if not file.name.endswith(INDEX_SUFFIX) or file.size is None or file.size > _INDEX_LIMIT:
            continue
        shards = _shards_of(file.path)
        if shards:
            folder = os.path.dirname(file.name)
            lacking.setdefault(folder, []).append({os.path.join(folder, shard) for shard in shards} - there)
    missing: set[str] = set()
    for sets in lacking.values():
        if all(sets):
            # Of the formats that a folder offers, the one that is nearest to its end is the one that was wanted.
            missing |= min(sets, key=len)
    return missing, bool(lacking)


def _shards_of(path: str) -> set[str]:
    """The files that an index names; none where it cannot be read or is none. Its texts are only ever compared."""
    try:
        fd = os.open(path, open_flags.READ | open_flags.NONBLOCK)
    except OSError:
        return set()
    with open(fd, "rb") as file:
        try:
            if not stat.S_ISREG(os.fstat(fd).st_mode):
                return set()
            document = json.loads(file.read(_INDEX_LIMIT))
        except (OSError, ValueError, RecursionError):
            return set()
    weights = document.get("weight_map") if isinstance(document, dict) else None
    if not isinstance(weights, Mapping):
        return set()
    return {shard for shard in weights.values() if isinstance(shard, str) and shard}
