"""The gate before a program starts: what `check` calls whole loads without a network, and every byte of it is right.

Models that the real client downloaded, as a whole or in part, with a listing or without one, are damaged at random.
Whatever came of them, a model that is called whole is given to the client offline, its weights are all there, and each
file of it is compared with what the Hub has. What is not called whole may be whole: that is counted, and is rare.

Where there are older clients, attempts of several releases are killed at random before that, one after another in one
cache, and what is called whole loads in each release that was at it.

The number of tries: some in the plain suite, more with ``HUBFOLD_TEST_SLOW``, as many as ``HUBFOLD_TEST_TRIES`` says.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from huggingface_hub import constants, hf_hub_download, snapshot_download

from hubfold import Engine, ModelCacheManager
from hubfold.testing.trees import Tree, hub_cache, model_files, safetensors
from tests.building.killed import NEWEST, OLDER, MortalClient

TRIES = int(os.environ.get("HUBFOLD_TEST_TRIES", "0"))
SEED = int(os.environ.get("HUBFOLD_TEST_SEED", "20261127"))

SHARDS = [f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3)]
INDEX = json.dumps(
    {"metadata": {}, "weight_map": {f"layer{n}": name for n, name in enumerate(SHARDS)}}
).encode()
REPOSITORIES: dict[str, dict[str, bytes]] = {
    "org/single": {**model_files("single", 20_000), "vocab.txt": b"a word\n" * 10_000},
    "org/shards": {
        **{name: safetensors(name, 9_000) for name in SHARDS},
        "model.safetensors.index.json": INDEX,
        "config.json": b'{"model_type": "llama"}',
        "tokenizer.json": b'{"version": "1.0"}' * 5_000,
    },
    "org/gguf": {
        "README.md": b"# many\n",
        "q4/many.Q4.gguf": b"GGUF" * 20_000,
        "q8/many.Q8.gguf": b"GGUF" * 30_000,
    },
    "org/parts": {
        "model_index.json": json.dumps(
            {"unet": ["d", "U"], "vae": ["d", "V"], "none": [None, None]}
        ).encode(),
        "unet/config.json": b'{"a": 1}',
        "unet/diffusion_pytorch_model.safetensors": safetensors("unet", 9_000),
        "vae/config.json": b'{"b": 2}',
        "vae/diffusion_pytorch_model.safetensors": safetensors("vae", 8_000),
    },
}
ENDINGS = (".safetensors", ".gguf")
RELEASES = (NEWEST, *OLDER)
#: Calls that write, open or rename, of a whole download of these; before the first number nothing was begun.
MOMENTS = (150, 950)


def _begin_anew() -> None:
    """Let the client forget the listings that it remembers: the program that is to start is another process."""
    module = sys.modules.get("huggingface_hub._tree_cache")
    if module is not None:
        module._IN_MEMORY_TREE_CACHE.clear()


class Try:
    """One model in a cache of its own, damaged as the numbers of `random` have it."""

    def __init__(
        self, tree: Tree, engine: Engine, number: int, clients: Mapping[str, MortalClient] | None = None
    ) -> None:
        self.clients = clients or {}
        #: The releases that were at it.
        self.used: set[str] = set()
        self.random = random.Random(f"{SEED}-{number}")
        self.tree = tree
        self.engine = engine
        self.cache = tree["hf/hub"]
        self.repo = self.random.choice(sorted(REPOSITORIES))
        self.files = REPOSITORIES[self.repo]
        self.done: list[str] = [self.repo]
        #: Something was done to its bytes that only reading them tells.
        self.unread = False

    @property
    def folder(self) -> Path:
        return self.cache / f"models--{self.repo.replace('/', '--')}"

    def run(self) -> bool:
        """Whether it was called whole, and the gate held."""
        shutil.rmtree(self.cache, ignore_errors=True)
        _begin_anew()
        self._download()
        listed = self._listing()
        for _ in range(self.random.randrange(3)):
            self._damage(listed)
        if self.unread:
            self.engine.scan(min_size=0)
            self.engine.verify([str(self.cache)])
        [checked] = self.engine.check([self.repo]).models
        whole = checked.status == "cached"
        assert ModelCacheManager(self.cache).is_model_cached(self.repo) is whole, self.done
        if whole:
            self._loads(Path(checked.path or ""))
        elif len(self.done) == 2 and not self.clients:
            raise AssertionError(f"nothing was done to it, and it is {checked.status}: {checked.missing}")
        return whole

    def _download(self) -> None:
        if self.clients:
            self._attempts()
            return
        how = self.random.choice(["whole", "whole", "whole", "patterns", "files"])
        where = {"cache_dir": self.cache, "endpoint": self.tree.hub.endpoint, "token": False}
        if how == "whole":
            self.tree.build({"hf/hub": hub_cache(self.repo)})
        elif how == "patterns":
            some = self.random.sample(sorted(self.files), self.random.randrange(1, len(self.files)))
            snapshot_download(self.repo, allow_patterns=some, **where)  # type: ignore[arg-type]
            self.done.append(f"only {some} came")
        else:
            for name in self.random.sample(sorted(self.files), self.random.randrange(1, len(self.files) + 1)):
                hf_hub_download(self.repo, name, **where)  # type: ignore[arg-type]
                self.done.append(f"{name} came")

    def _attempts(self) -> None:
        """Some downloads one after another, each by some release, each killed somewhere or not at all."""
        for _ in range(self.random.choice([1, 1, 2, 2, 3, 4])):
            release = self.random.choice(sorted(self.clients))
            moment = self.random.randint(*MOMENTS)
            some = self.random.sample(sorted(self.files), self.random.randrange(1, len(self.files)))
            asked: dict[str, object] = {"allow_patterns": some} if self.random.random() < 0.15 else {}
            came = self.clients[release].download(self.repo, self.cache, die_at=moment, **asked)
            self.used.add(release)
            what = f"only {some} of " if asked else ""
            self.done.append(f"{what}{release} {f'ended at {moment}' if came is None else 'came to its end'}")

    def _listing(self) -> bool:
        trees = self.folder / "trees"
        if trees.is_dir() and self.random.random() < 0.5:
            shutil.rmtree(trees)
        # A client that was killed may leave no more than the beginning of one, by another name.
        listed = any(trees.glob("*.json"))
        self.done.append("with a listing" if listed else "without a listing")
        return listed

    def _damage(self, listed: bool) -> None:
        links = sorted(path for path in self.folder.glob("snapshots/*/**/*") if path.is_symlink())
        if not links:
            return
        link = self.random.choice(links)
        name = "/".join(link.relative_to(self.folder / "snapshots").parts[1:])
        blob = link.parent / os.readlink(link)
        ways = ["link gone", "blob gone", "cut", "emptied", "longer", "other bytes", "leads nowhere", "plain"]
        how = self.random.choice(ways)
        # Without a listing, how long a large file should be is known of safetensors alone: the rest has to be read.
        small = blob.exists() and blob.stat().st_size <= 1 << 16
        self.unread |= how == "other bytes" or (how in ("cut", "longer") and not listed and not small)
        self.done.append(f"{name}: {how}")
        if how == "link gone":
            link.unlink()
        elif how == "leads nowhere":
            link.unlink()
            link.symlink_to("../../blobs/nothing")
        elif how == "blob gone":
            blob.unlink(missing_ok=True)
        elif blob.exists():
            self._change(how, name, link, blob, listed=listed)

    def _change(self, how: str, name: str, link: Path, blob: Path, *, listed: bool) -> None:
        content = blob.read_bytes()
        if how == "plain":
            # A file that is no link has no digest for a name: without a listing nothing says what it should be.
            known = listed or link.suffix == ".safetensors"
            content = content if listed else self.files[name]
            link.unlink()
            link.write_bytes(content[:-1] if known and self.random.random() < 0.5 else content)
            self.done[-1] += f" of {link.stat().st_size} bytes"
            return
        cut = content[: self.random.randrange(len(content))] if content else b""
        other = bytes(byte ^ 1 for byte in content)
        new = {"cut": cut, "emptied": b"", "longer": content + b"\n", "other bytes": other}[how]
        if self.random.random() < 0.5:
            blob.write_bytes(new)
        else:
            fresh = blob.with_name("fresh")
            fresh.write_bytes(new)
            fresh.replace(blob)

    def _loads(self, folder: Path) -> None:
        _begin_anew()
        try:
            given = snapshot_download(self.repo, cache_dir=self.cache, local_files_only=True)
        except (OSError, ValueError) as error:
            raise AssertionError(f"the client does not load it: {self.done}") from error
        assert given == str(folder), self.done
        for release in self.used:
            assert self.clients[release].loads(self.repo, self.cache) == given, f"{release}: {self.done}"
        there = {
            path.relative_to(folder).as_posix(): path for path in folder.glob("**/*") if not path.is_dir()
        }
        for name, path in there.items():
            assert path.read_bytes() == self.files[name], f"{name}: {self.done}"
        weights = {name for name in self.files if name.endswith(ENDINGS)}
        if self.repo == "org/gguf":
            assert weights & there.keys(), self.done
        else:
            assert weights <= there.keys(), self.done
            assert there.keys() & {"config.json", "model_index.json"}, self.done


@pytest.fixture
def gate(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Tree, Engine]]:
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HUB_CACHE", str(tree["hf/hub"]))
    monkeypatch.setenv("HF_ENDPOINT", tree.hub.endpoint)
    for repo, files in REPOSITORIES.items():
        tree.hub.add(repo, files)
    tree["hf"].mkdir()
    with Engine() as engine:
        yield tree, engine


def _tried(
    gate: tuple[Tree, Engine], numbers: range, clients: Mapping[str, MortalClient] | None = None
) -> None:
    whole = sum(Try(*gate, number, clients).run() for number in numbers)
    print(f"{len(numbers)} tries, {whole} called whole")
    assert whole, "a gate that lets nobody in holds always"


@pytest.mark.slow
def test_what_is_called_whole_is_whole(gate: tuple[Tree, Engine]) -> None:
    _tried(gate, range(8))


@pytest.mark.slow
def test_what_is_called_whole_is_whole_tried_often(gate: tuple[Tree, Engine]) -> None:
    _tried(gate, range(8, 8 + (TRIES or 150)))


@pytest.mark.slow
@pytest.mark.clients
def test_what_killed_clients_of_four_releases_left(gate: tuple[Tree, Engine]) -> None:
    clients = {release: MortalClient(release, gate[0].hub) for release in RELEASES}
    try:
        _tried(gate, range(TRIES or 60), clients)
    finally:
        for client in clients.values():
            client.close()
