"""The trees that are measured, the same bytes at every making.

Hub caches and `local_dir` copies are written by hand in the layout of huggingface_hub, with names that are the true
sha256 of their files, because 4 GB by way of a client and a server would take longer than all measuring.

Run as a program (``python -m benchmarks.trees KIND PLACE FACTOR``) it makes one tree and its ``manifest.json``: in a
process of its own, so that the one that measures stays small.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

MIB = 1 << 20
#: What every program is told to leave alone: hubfold's own default.
MIN_SIZE = MIB

_POOL = random.Random(20260101).randbytes(8 * MIB)
_COMMIT = "%040x"


def content(seed: str, size: int) -> Iterator[bytes | memoryview]:
    """`size` bytes that no other seed has, not even in part; not to be compressed or deduplicated in blocks."""
    pool = memoryview(_POOL)
    for number in range(-(-size // MIB)):
        head = hashlib.sha256(f"{seed}/{number}".encode()).digest()
        length = min(MIB, size - number * MIB)
        yield head[:length]
        if length > len(head):
            start = int.from_bytes(head[:8], "little") % (len(pool) - MIB)
            yield pool[start : start + length - len(head)]


def write(path: str, seed: str, size: int) -> str:
    """Write one file; its sha256."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    digest = hashlib.sha256()
    with open(path, "wb", buffering=0) as file:
        for part in content(seed, size):
            file.write(part)
            digest.update(part)
    return digest.hexdigest()


def copy(source: str, target: str) -> str:
    """A copy with blocks of its own, on every file system."""
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(source, "rb", buffering=0) as from_, open(target, "wb", buffering=0) as to:
        buffer = memoryview(bytearray(4 * MIB))
        while count := from_.readinto(buffer):
            to.write(buffer[:count])
    return target


def near(source: str, target: str) -> str:
    """A copy with one byte changed where no sample at even distances looks: same size, same head, same tail."""
    copy(source, target)
    place = os.path.getsize(target) * 5 // 8 + 1
    with open(target, "r+b", buffering=0) as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 1]))
    return target


def sha256(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


# hub caches


def repository(cache: str, repo_id: str) -> str:
    return os.path.join(cache, "models--" + repo_id.replace("/", "--"))


def add_to_cache(cache: str, repo_id: str, commit: str, name: str, make: Callable[[str], object]) -> str:
    """A file of a repository as the client stores an LFS file; `make` writes it where it is told. The blob's path."""
    repo = repository(cache, repo_id)
    fresh = os.path.join(repo, "blobs", "new")
    os.makedirs(os.path.dirname(fresh), exist_ok=True)
    made = make(fresh)
    digest = made if isinstance(made, str) and len(made) == 64 else sha256(fresh)
    blob = os.path.join(repo, "blobs", digest)
    os.rename(fresh, blob)
    link = os.path.join(repo, "snapshots", commit, name)
    os.makedirs(os.path.dirname(link), exist_ok=True)
    os.symlink(os.path.relpath(blob, os.path.dirname(link)), link)
    os.makedirs(os.path.join(repo, "refs"), exist_ok=True)
    with open(os.path.join(repo, "refs", "main"), "w") as file:
        file.write(commit)
    return blob


def add_local_copy(folder: str, commit: str, name: str, blob: str) -> str:
    """A file as ``snapshot_download(local_dir=folder)`` leaves it, with the client's three lines about it."""
    path = copy(blob, os.path.join(folder, name))
    metadata = os.path.join(folder, ".cache/huggingface/download", name + ".metadata")
    os.makedirs(os.path.dirname(metadata), exist_ok=True)
    with open(metadata, "w") as file:
        file.write(f"{commit}\n{os.path.basename(blob)}\n{time.time() + 1}\n")
    return path


# (a) and (b)


def models(place: str, factor: float) -> dict[str, Any]:
    """(a) a hub cache of 12 repositories (4 GB at factor 1), `local_dir` copies of 60 % of it, a second cache with 3 of
    the repositories, plain copies of some files and near-duplicates; (b) names for the same files in plain folders.

    (b) is made of hard links, so that both trees take the room of one. No program sees both at once.
    """
    hub, second = os.path.join(place, "a/hf/hub"), os.path.join(place, "a/project/hub")
    local, plain = os.path.join(place, "a/local"), os.path.join(place, "a/plain")
    # Sizes like those of sharded weights; no two contents have the same but where it is meant.
    blobs: dict[str, str] = {}
    same: dict[str, list[str]] = {}
    for number in range(12):
        commit = _COMMIT % (number + 1)
        for shard in range(3):
            nominal = (60 + 17 * ((number * 3 + shard) % 5) + 20 * shard) * 1_000_000
            size = max(int(nominal * factor), MIN_SIZE) + 4096 * (number * 3 + shard) + 137
            name = f"model-{shard + 1:05}-of-00003.safetensors"
            key = f"{number}/{shard}"
            blob = add_to_cache(
                hub,
                f"org/model-{number}",
                commit,
                name,
                lambda path, key=key, size=size: write(path, f"model/{key}", size),  # type: ignore[misc]
            )
            blobs[key], same[key] = blob, [blob]
        add_to_cache(
            hub,
            f"org/model-{number}",
            commit,
            "tokenizer.json",
            lambda path, number=number: write(path, f"tokenizer/{number}", 70_000 + number),  # type: ignore[misc]
        )
    for key, blob in blobs.items():
        number, shard = map(int, key.split("/"))
        name, commit = f"model-{shard + 1:05}-of-00003.safetensors", _COMMIT % (number + 1)
        if number % 5 < 3:
            same[key].append(add_local_copy(os.path.join(local, f"model-{number}"), commit, name, blob))
        if number in (0, 3, 7):
            same[key].append(
                add_to_cache(
                    second,
                    f"org/model-{number}",
                    commit,
                    name,
                    lambda path, blob=blob: copy(blob, path) and os.path.basename(blob),  # type: ignore[misc]
                )
            )
    unclaimed = []
    for key in ("1/0", "3/1", "4/0", "8/2"):
        unclaimed.append(copy(blobs[key], os.path.join(plain, f"copies/{key.replace('/', '-')}.safetensors")))
        same[key].append(unclaimed[-1])
    nearly = []
    for key in ("2/0", "6/1", "9/0"):
        nearly.append(near(blobs[key], os.path.join(plain, f"tuned/{key.replace('/', '-')}.safetensors")))
    stripped = {path: _stripped(place, path) for paths in (*same.values(), nearly) for path in paths}
    shared = [paths for paths in same.values() if len(paths) > 1]
    bases = [same[key][0] for key in ("2/0", "6/1", "9/0")]
    must = dict.fromkeys([path for paths in shared for path in paths] + bases + nearly)
    return {
        "claimed": [hub, local, second],
        "whole": [hub, local, second, plain],
        "plain": [os.path.join(place, "b")],
        "hub": hub,
        "must_read_whole": unclaimed + nearly,
        "must_read_plain": [stripped[path] for path in must],
        "every": list(stripped),
        "pairs": [[stripped[paths[0]], stripped[other]] for paths in shared for other in paths[1:]],
        "bytes_claimed": sum(
            os.path.getsize(p) for paths in same.values() for p in paths if p not in unclaimed
        ),
    }


def _stripped(place: str, path: str) -> str:
    """A plain name for a file of (a), which says nothing of its content."""
    relative = os.path.relpath(path, os.path.join(place, "a"))
    name = hashlib.md5(relative.encode(), usedforsecurity=False).hexdigest()[:10]
    top = relative.split("/", 1)[0]
    target = os.path.join(place, "b", top, name + ".bin")
    os.makedirs(os.path.dirname(target), exist_ok=True)
    os.link(path, target)
    return target


# trees that are changed


def pairs(place: str, factor: float) -> dict[str, Any]:
    """A hub cache of 8 files (1 GiB at factor 1), each with a `local_dir` copy: for what changes the tree."""
    hub, local = os.path.join(place, "hf/hub"), os.path.join(place, "local")
    found = []
    for number in range(8):
        size = max(int(128 * MIB * factor), MIN_SIZE) + 4096 * number + 11
        name, commit = f"model-{number}.safetensors", _COMMIT % 77
        blob = add_to_cache(
            hub,
            "org/pairs",
            commit,
            name,
            lambda path, number=number, size=size: write(path, f"pairs/{number}", size),  # type: ignore[misc]
        )
        found.append([blob, add_local_copy(os.path.join(local, "pairs"), commit, name, blob)])
    return {"roots": [hub, local], "pairs": found, "every": [path for pair in found for path in pair]}


def plain_copies(manifest: dict[str, Any], place: str) -> list[str]:
    """A plain copy of each blob of `pairs`, with nothing that says what it is: the roots of both."""
    for blob, copied in manifest["pairs"]:
        copy(blob, os.path.join(place, os.path.basename(copied)))
    return [manifest["roots"][0], place]


def unfold(manifest: dict[str, Any]) -> None:
    """Give every victim of `pairs` a copy of its own again, whatever a program made of it."""
    for keeper, victim in manifest["pairs"]:
        os.chmod(keeper, 0o644)
        fresh = victim + ".fresh"
        copy(keeper, fresh)
        st = os.stat(keeper)
        os.utime(fresh, ns=(st.st_mtime_ns, st.st_mtime_ns))
        os.rename(fresh, victim)
    for root in manifest["roots"]:
        for vault in (os.path.join(root, ".hubfold"), os.path.join(os.path.dirname(root), "hubfold")):
            shutil.rmtree(vault, ignore_errors=True)


# (c) and (d)


def small_files(place: str, count: int, folders: int) -> dict[str, Any]:
    """`count` files of 100 to 4,000 bytes in `folders` folders, 30 % of them copies of others."""
    top = os.path.join(place, "tree")
    chance = random.Random(7)
    paths: list[tuple[int, int]] = []
    per_folder = -(-count // folders)
    made = 0
    for folder in range(folders):
        here = os.path.join(top, f"{folder // 100:02}", f"part-{folder:05}")
        os.makedirs(here)
        for number in range(min(per_folder, count - made)):
            if paths and chance.random() < 0.3:
                seed, size = chance.choice(paths)
            else:
                seed, size = made, chance.randrange(100, 4000)
                if len(paths) < 100_000:
                    paths.append((seed, size))
            fd = os.open(
                os.path.join(here, f"item-{number:06}.json"), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644
            )
            os.writev(fd, list(content(f"small/{seed}", size)))
            os.close(fd)
            made += 1
    return {"roots": [top], "files": made}


def change(manifest: dict[str, Any], share: float, turn: int) -> int:
    """Rewrite `share` of the files of `small_files`, others at each `turn`; how many."""
    (top,) = manifest["roots"]
    every = max(1, int(1 / share))
    changed = number = 0
    for folder, folders, names in os.walk(top):
        folders.sort()
        for name in sorted(names):
            number += 1
            if number % every == turn % every:
                with open(os.path.join(folder, name), "r+b", buffering=0) as file:
                    file.write(f"{turn:08}".encode())
                changed += 1
    return changed


def library(place: str, models: int, files: int) -> dict[str, Any]:
    """(e) a hub cache of `models` small models, and a plain folder of `files` files, 100 in a folder."""
    hub, plain = os.path.join(place, "hf/hub"), os.path.join(place, "plain")
    for number in range(models):
        for name in ("config.json", "model.safetensors", "tokenizer.json"):
            add_to_cache(
                hub,
                f"org/model-{number}",
                _COMMIT % (number + 1),
                name,
                lambda path, seed=f"library/{number}/{name}": write(path, seed, 1000),  # type: ignore[misc]
            )
    for number in range(files):
        write(os.path.join(plain, f"{number // 100:05}", f"{number % 100:02}.bin"), f"library/{number}", 100)
    return {"roots": [hub, plain], "models": models, "files": files}


def sets(place: str, count: int) -> dict[str, Any]:
    """`count` pairs of equal small model files, in two trees with 50 in a folder."""
    tops = [os.path.join(place, side) for side in ("a", "b")]
    for top in tops:
        for number in range(count):
            path = os.path.join(top, f"{number // 50:05}", f"model-{number:06}.bin")
            write(path, f"sets/{number}", 4096 + number % 2000)
    return {"roots": tops, "sets": count}


KINDS: dict[str, Callable[[str, float], dict[str, Any]]] = {
    "models": models,
    "pairs": pairs,
    "small": lambda place, factor: small_files(
        place, max(int(1_000_000 * factor), 200), max(int(1000 * factor), 4)
    ),
    "library": lambda place, factor: library(
        place, max(int(500 * factor), 4), max(int(40_000 * factor), 100)
    ),
    "sets": lambda place, factor: sets(place, max(int(20_000 * factor), 20)),
    "tail": lambda place, factor: small_files(
        place, max(int(200_000 * factor), 200), max(int(5000 * factor), 10)
    ),
}


def main() -> None:
    kind, place, factor = sys.argv[1:]
    os.makedirs(place, exist_ok=True)
    manifest = KINDS[kind](place, float(factor))
    with open(os.path.join(place, "manifest.json"), "w") as file:
        json.dump(manifest, file)


if __name__ == "__main__":
    main()
