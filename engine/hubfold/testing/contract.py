"""The contract of a backend as tests: subclass `BackendContract`, write `build` (see `hubfold.testing`)."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import re
import shutil
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

import pytest

from hubfold.backend.boundary import GuardedBackend
from hubfold.backend.changes import LeftoverKind
from hubfold.backend.contract import Capabilities, StorageBackend
from hubfold.content import ALGORITHMS, LinkKind, Replica, Root, Signature, Snapshot, SnapshotFile
from hubfold.disk.bounds import Bounds
from hubfold.scanning.walk import Listed, TreeWalk
from hubfold.testing.built import Built
from hubfold.testing.folds import FoldContract

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hubfold.backend.changes import ModelPart, Removal

_LENGTHS = {"sha256": 64, "git-sha1": 40, "xxh3_128": 32, "xet": 64, "md5": 32}
_ODD_NAMES = (
    "",
    ".",
    "..",
    "\n",
    "\x1b[31m",
    "\udcff\udcfe",
    "a\nb",
    "‮gnp.exe",
    "x" * 255,
    "--",
    "models--",
    "hub",
)


class BackendContract(FoldContract):
    """What the engine relies on. Set `backend`, write `build`."""

    backend: ClassVar[type[StorageBackend]]

    def build(self, folder: Path) -> Built:
        """A small tree of the layout below `folder`: content, bookkeeping, all that a client may leave."""
        raise NotImplementedError

    @pytest.fixture
    def built(self, tmp_path: Path) -> Built:
        folder = tmp_path / "built"
        folder.mkdir()
        return self.build(folder)

    def guarded(self) -> GuardedBackend:
        """The backend as the engine has it: what it raises, or answers that it must not, is a `BackendFault`.

        Where paths lie is looked at on the disk too: none behind a symlink.
        """
        return GuardedBackend(self.backend(), disk=Bounds())

    def scan(self, built: Built, memory: Remembered | None = None) -> tuple[list[Replica], TreeWalk]:
        """The replicas of the root, by the walk that the engine uses."""
        root = Root(str(built.root), self.backend.name)
        walk = TreeWalk(root, {self.backend.name: self.guarded()}, memory=memory)
        found: list[Replica] = []
        self.guarded().replicas(root, walk, found.append)
        return found, walk

    def walk(self, root: Root) -> TreeWalk:
        """A walk of the root, as the engine hands it out."""
        return TreeWalk(root, {self.backend.name: self.guarded()})

    def names(self, built: Built) -> list[tuple[str, str]]:
        """(repo_type, repo_id) of every model of the root."""
        root = Root(str(built.root), self.backend.name)
        return sorted(
            {(one.repo_type, one.repo_id) for one in self.guarded().snapshots(root, self.walk(root))}
        )

    def removals(self, built: Built) -> list[Removal]:
        """What goes with each model of the root."""
        root = Root(str(built.root), self.backend.name)
        return [
            removal
            for name in self.names(built)
            for removal in self.guarded().removals(root, *name, None, self.walk(root))
        ]

    def test_it_has_a_name_and_frozen_capabilities(self) -> None:
        assert isinstance(self.backend.name, str)
        assert self.backend.name
        assert isinstance(self.backend.capabilities, Capabilities)
        assert self.backend.capabilities.claims <= set(ALGORITHMS)
        assert self.backend.capabilities.links_across <= {LinkKind.SYMLINK}
        with pytest.raises(dataclasses.FrozenInstanceError):
            self.backend.capabilities.cache = True  # type: ignore[misc]

    def test_its_root_is_recognised(self, built: Built) -> None:
        answer = self.backend.recognise(str(built.root), os.listdir(built.root))
        assert answer == (str(built.root) if built.recognised else None)

    def test_odd_names_do_not_make_recognise_raise(self, tmp_path: Path) -> None:
        for name in _ODD_NAMES:
            path = os.path.join(str(tmp_path), name)
            answer = self.backend.recognise(path, _ODD_NAMES)
            assert answer is None or (isinstance(answer, str) and f"{answer}/".startswith(f"{path}/"))

    def test_default_roots_are_absolute_and_come_from_the_environment(self, tmp_path: Path) -> None:
        ours = os.path.expanduser("~")
        for root in self.backend.default_roots({"HOME": str(tmp_path)}):
            assert os.path.isabs(root)
            assert root == os.path.normpath(root)
            # That of a service of the machine lies where it does, whoever asks.
            of_machine = os.path.isdir(root) and not f"{root}/".startswith(f"{ours}/")
            assert root.startswith(str(tmp_path)) or of_machine, "HOME is what the environment says it is"

    def test_every_content_file_is_a_replica_once_and_bookkeeping_never(self, built: Built) -> None:
        replicas, _ = self.scan(built)
        paths = [os.path.relpath(replica.path, built.root) for replica in replicas]
        assert sorted(paths) == sorted(built.content)

    def test_replicas_are_regular_files_inside_the_root(self, built: Built) -> None:
        for replica in self.scan(built)[0]:
            assert replica.path == os.path.normpath(replica.path)
            assert replica.path.startswith(f"{built.root}/")
            now = os.lstat(replica.path)
            assert stat.S_ISREG(now.st_mode)
            assert Signature.of(replica.stat) == Signature.of(now)

    def test_claims_are_well_formed_and_announced(self, built: Built) -> None:
        for replica in self.scan(built)[0]:
            assert set(replica.claims) <= self.backend.capabilities.claims
            for algorithm, digest in replica.claims.items():
                assert re.fullmatch(rf"[0-9a-f]{{{_LENGTHS[algorithm]}}}", digest)

    def test_claims_are_true_of_the_bytes(self, built: Built) -> None:
        for replica in self.scan(built)[0]:
            true = digests_of(Path(replica.path))
            for algorithm, digest in replica.claims.items():
                assert true.get(algorithm, digest) == digest, replica.path

    def test_snapshots_are_made_of_what_is_there(self, built: Built) -> None:
        root = Root(str(built.root), self.backend.name)
        for snapshot in self.guarded().snapshots(root, self.walk(root)):
            for path in (snapshot.path, snapshot.home or snapshot.path):
                assert f"{path}/".startswith(f"{built.root}/")
            names = [file.name for file in snapshot.files]
            assert len(names) == len(set(names))
            for file in snapshot.files:
                assert file.path.startswith(f"{snapshot.path}/")
                assert file.size == (os.stat(file.path).st_size if os.path.exists(file.path) else None)
            for partial in snapshot.incomplete:
                assert partial.size == os.lstat(partial.path).st_size

    def test_what_goes_with_a_model_lies_inside_the_root(self, built: Built) -> None:
        for removal in self.removals(built):
            assert removal.backend == self.backend.name
            sides = [path for path in (removal.path, removal.aside) if path]
            for path in (*sides, *removal.files[len(removal.links) :], *removal.folders, *removal.empty):
                assert f"{path}/".startswith(f"{built.root}/")

    def test_what_goes_with_a_model_is_there_and_each_path_goes_once(self, built: Built) -> None:
        for removal in self.removals(built):
            for path in (*removal.files, *removal.folders, *removal.empty):
                assert os.path.lexists(path), path
            assert len(removal.files) == len(set(removal.files))

    def test_files_go_as_files_and_folders_as_folders(self, built: Built) -> None:
        for removal in self.removals(built):
            for path in removal.files:
                assert not stat.S_ISDIR(os.lstat(path).st_mode), path
            for path in (*removal.folders, *removal.empty):
                assert stat.S_ISDIR(os.lstat(path).st_mode), path
            assert not removal.folders or os.path.isdir(removal.aside), "put aside in a folder that is there"

    def test_a_folder_that_is_put_aside_is_listed_down_to_its_last_file(self, built: Built) -> None:
        """What is not listed was not named: with it in there the folder stays."""
        for removal in self.removals(built):
            inside = {
                os.path.join(place, name)
                for folder in removal.folders
                for place, folders, files in os.walk(folder)
                for name in (*files, *(one for one in folders if os.path.islink(os.path.join(place, one))))
            }
            assert inside == set(removal.inside)

    def test_once_a_model_is_gone_its_folders_are_empty_and_nothing_shows_it(self, built: Built) -> None:
        """As `hubfold rm` does it, but for locks and journal."""
        for name in self.names(built):
            removals = self._removals_of(built, name)
            for removal in removals:
                for path in removal.files:
                    with suppress(FileNotFoundError):
                        os.unlink(path)
                for folder in (*removal.folders, *removal.empty):
                    _remove_if_empty(folder)
                if not removal.kept:
                    left = [folder for folder in removal.empty if os.path.lexists(folder)]
                    assert not {*left} - {str(built.root)}
            # A layout that does not say how is left alone.
            assert not removals or name not in self.names(built)
            assert not self._removals_of(built, name)

    def test_with_a_model_nothing_goes_that_another_shows(self, built: Built) -> None:
        """What several models need stays with one of them: neither in what goes, nor said to be free."""
        for name in self.names(built):
            root = Root(str(built.root), self.backend.name)
            others = {
                os.path.realpath(file.path)
                for one in self.guarded().snapshots(root, self.walk(root))
                for file in one.files
                if (one.repo_type, one.repo_id) != name and file.size is not None
            }
            for removal in self._removals_of(built, name):
                gone = {os.path.realpath(path) for path in removal.content}
                needed = self.guarded().still_needed(root, removal.content, self.walk(root))
                free = gone - {os.path.realpath(path) for path in needed}
                assert not others & free, "another model needs it"

    def _removals_of(self, built: Built, name: tuple[str, str]) -> list[Removal]:
        root = Root(str(built.root), self.backend.name)
        return list(self.guarded().removals(root, *name, None, self.walk(root)))

    def test_what_models_share_is_told_of_each_of_them(self, built: Built) -> None:
        removals = {removal.path: removal for removal in self.removals(built)}
        for removal in removals.values():
            for shared in removal.shared:
                assert os.path.lexists(shared.path) and shared.path not in removal.files
                assert removal.path in shared.users and len(shared.users) > 1
                assert all(shared in removals[user].shared for user in shared.users)

    def test_a_model_that_is_not_there_has_nothing_to_go(self, built: Built) -> None:
        for name in (("model", "no-such/model"), ("dataset", "../.."), ("model", "\n"), ("space", "x" * 255)):
            assert not self._removals_of(built, name)

    def test_all_removals_are_those_of_each_model(self, built: Built) -> None:
        root = Root(str(built.root), self.backend.name)
        found = self.guarded().all_removals(root, self.walk(root))
        if found is not None:
            for name in self.names(built):
                mine = [one for one in found if (one.repo_type, one.repo_id) == name]
                assert mine == list(self.guarded().removals(root, *name, None, self.walk(root)))

    def test_what_was_left_behind_is_there_and_lies_inside_the_root(self, built: Built) -> None:
        root = Root(str(built.root), self.backend.name)
        for leftover in self.guarded().leftovers(root, self.walk(root)):
            assert f"{leftover.path}/".startswith(f"{built.root}/")
            assert os.path.lexists(leftover.path)
            assert leftover.removal.root == str(built.root)
            for path in (*leftover.removal.files, *leftover.removal.folders):
                assert os.path.lexists(path), path

    def test_nothing_that_a_model_needs_is_left_over(self, built: Built) -> None:
        """A detached revision is a model, and is told as one."""
        root = Root(str(built.root), self.backend.name)
        shown = {
            os.path.realpath(file.path)
            for one in self.guarded().snapshots(root, self.walk(root))
            for file in one.files
            if file.size is not None
        }
        for leftover in self.guarded().leftovers(root, self.walk(root)):
            if leftover.kind is not LeftoverKind.DETACHED:
                assert not shown & set(leftover.removal.content)

    def test_what_cannot_be_looked_into_makes_nothing_left_over_and_nothing_unneeded(
        self, built: Built, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        root = Root(str(built.root), self.backend.name)
        paths = [os.path.join(built.root, path) for path in built.content]

        def goes() -> set[str]:
            found = self.guarded().leftovers(root, self.walk(root))
            return {path for one in found for path in (*one.removal.content, *one.removal.files)}

        def needed() -> set[str]:
            return set(self.guarded().still_needed(root, paths, self.walk(root)))

        left_over, needs = goes(), needed()
        for folder in sorted(path for path, _, _ in os.walk(built.root) if path != str(built.root)):
            with monkeypatch.context() as patch:
                _refuse(patch, folder)
                assert goes() <= left_over, f"without {folder}"
                assert needs <= needed(), f"without {folder}"

    def test_only_what_was_asked_about_is_needed(self, built: Built) -> None:
        root = Root(str(built.root), self.backend.name)
        paths = [os.path.join(built.root, path) for path in built.content]
        assert set(self.guarded().still_needed(root, paths, self.walk(root))) <= set(paths)

    def test_every_part_of_a_model_has_its_place(self, built: Built) -> None:
        root = Root(str(built.root), self.backend.name)
        for one in self.guarded().snapshots(root, self.walk(root)):
            for part in self.guarded().parts(root, one, self.walk(root)):
                assert self.guarded().place(part.name) is not None
                assert part.text is not None or f"{part.source}/".startswith(f"{built.root}/")
                assert part.text is not None or os.path.isfile(part.source)

    def test_the_parts_of_one_model_are_the_same_whatever_was_asked_before(self, built: Built) -> None:
        """With one walk, as the engine asks of all models of a root."""
        root = Root(str(built.root), self.backend.name)
        shared = self.walk(root)
        for _ in range(2):
            for one in self.guarded().snapshots(root, self.walk(root)):
                alone = self.guarded().parts(root, one, self.walk(root))
                assert list(self.guarded().parts(root, one, shared)) == list(alone)

    def test_the_parts_of_a_model_make_it_anew_at_another_place(self, built: Built, tmp_path: Path) -> None:
        """As `hubfold restore` puts them there: by the stages of `place`, links with their text."""
        root = Root(str(built.root), self.backend.name)
        other = tmp_path / "other"
        other.mkdir()
        whole = [one for one in self.guarded().snapshots(root, self.walk(root)) if not one.broken]
        made = []
        for one in whole:
            parts = self.guarded().parts(root, one, self.walk(root))
            made += [one] if parts else []
            names = [part.name for part in parts]
            assert len(names) == len(set(names)), "one part a name"
            for part in sorted(parts, key=lambda part: self._stage(part.name)):
                _put(part, other)
        there = Root(str(other), self.backend.name)
        shown = {self._shown(one, other) for one in self.guarded().snapshots(there, self.walk(there))}
        assert {self._shown(one, built.root) for one in made} <= shown

    def _stage(self, name: str) -> int:
        place = self.guarded().place(name)
        assert place is not None
        assert not place.unit or name.startswith(f"{place.unit}/"), "the unit is a folder above the part"
        return place.stage

    def _shown(self, one: Snapshot, root: Path) -> tuple[object, ...]:
        files = sorted((file.name, file.size) for file in one.files)
        return one.repo_type, one.revision, os.path.relpath(one.path, root), tuple(files)

    def test_names_that_lead_out_have_no_place(self) -> None:
        for name in ("../x", "/x", "a/../../x", "..", ".", "a//b", "a/./b"):
            assert self.backend().place(name) is None, name

    def test_a_name_from_somewhere_does_not_make_place_raise(self) -> None:
        for name in ("x", "x/y", "models--a--b/blobs/x", "\n", "\x1b[31m", "\udcff", "x" * 255):
            self.guarded().place(name)

    def test_what_its_program_is_given_is_content_of_the_layout(self, built: Built, tmp_path: Path) -> None:
        """As `hubfold farm --for` puts it there: files under the names of `shown`, notes with their content."""
        if not self.guarded().shows:
            return
        source = Root(str(built.root), self.backend.name)
        other = tmp_path / "shown"
        other.mkdir()
        there = Root(str(other), self.backend.name)
        files = set()
        for one in (*self.guarded().snapshots(source, self.walk(source)), _any_model(tmp_path / "cache")):
            sizes = {file.name: file for file in one.files if file.size is not None}
            for shown in self.guarded().shown(there, one, self.walk(there)):
                path = other / shown.name
                path.parent.mkdir(parents=True, exist_ok=True)
                if shown.content is not None:
                    path.write_text(shown.content)
                elif shown.file in sizes:
                    shutil.copyfile(sizes[shown.file].path, path)
                    files.add(str(path))
        found: list[Replica] = []
        self.guarded().replicas(there, self.walk(there), found.append)
        assert files, "a model of every kind of file has none that the program has a use for"
        assert files <= {one.path for one in found}, "what a scan would not find is no part of a model"

    def test_a_model_of_any_name_does_not_make_shown_raise(self, built: Built) -> None:
        root = Root(str(built.root), self.backend.name)
        names = [f"{odd or 'x'}.{suffix}" for odd in _ODD_NAMES for suffix in ("gguf", "safetensors", "ckpt")]
        files = tuple(SnapshotFile(name, f"{built.root}/x", 1) for name in names)
        for repo_id in (*_ODD_NAMES, "a/b", "../a", "a/..", "/a", "a/b/c"):
            for repo_type in ("model", "dataset", ""):
                one = Snapshot(repo_id, repo_type, "", (), str(built.root), files=files)
                self.guarded().shown(root, one, self.walk(root))

    def test_nothing_is_written(self, built: Built) -> None:
        before = snapshot(built.root.parent)
        self.scan(built)
        self.removals(built)
        root = Root(str(built.root), self.backend.name)
        self.guarded().leftovers(root, self.walk(root))
        assert snapshot(built.root.parent) == before

    def test_no_content_is_opened(self, built: Built) -> None:
        with opened() as paths:
            self.scan(built)
        assert not paths & {os.path.join(built.root, path) for path in built.content}

    def test_an_unchanged_tree_gives_no_replica_again(self, built: Built) -> None:
        memory = Remembered()
        first, _ = self.scan(built, memory)
        memory.keep(first)
        again, walk = self.scan(built, memory)
        assert again == []
        assert walk.unchanged >= len(first)

    def test_a_file_that_changed_is_given_again(self, built: Built) -> None:
        memory = Remembered()
        first, _ = self.scan(built, memory)
        memory.keep(first)
        path = min(replica.path for replica in first)
        os.utime(path, ns=(0, os.lstat(path).st_mtime_ns + 1))
        again, _ = self.scan(built, memory)
        assert path in {replica.path for replica in again}

    def test_a_folder_that_cannot_be_read_is_a_warning_and_no_stop(
        self, built: Built, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        everything = {replica.path for replica in self.scan(built)[0]}
        for folder in sorted(path for path, _, _ in os.walk(built.root) if path != str(built.root)):
            with monkeypatch.context() as patch:
                _refuse(patch, folder)
                replicas, walk = self.scan(built)
            found = {replica.path for replica in replicas}
            lost = {path for path in everything if path.startswith(f"{folder}/")}
            assert found <= everything
            assert everything - found <= lost, f"without {folder}"
            if lost - found:
                assert any(warning.path == folder for warning in walk.warnings)

    def test_odd_names_on_disk_stop_nothing(self, built: Built) -> None:
        everything = {replica.path for replica in self.scan(built)[0]}
        for folder in [path for path, _, _ in os.walk(os.fsencode(built.root))]:
            for name in (b"\xff\xfe", b"a\n\x1b[31mb", "‮gnp.exe".encode()):
                (Path(os.fsdecode(folder)) / os.fsdecode(name)).write_bytes(b"odd")
                odd = Path(os.fsdecode(folder)) / os.fsdecode(name + b"-folder")
                odd.mkdir()
                (odd / os.fsdecode(name)).write_bytes(b"odd")
        replicas, _ = self.scan(built)
        assert everything <= {replica.path for replica in replicas}

    def test_lock_paths_lie_inside_the_root(self, built: Built) -> None:
        root = Root(str(built.root), self.backend.name)
        for path in (*built.content, "no/such/file", *_ODD_NAMES):
            for lock in self.guarded().lock_paths(root, os.path.join(built.root, path)):
                assert lock.startswith(f"{built.root}/")

    def test_no_lock_lies_behind_a_symlink(self, built: Built) -> None:
        root = Root(str(built.root), self.backend.name)
        for path in built.content:
            for lock in self.guarded().lock_paths(root, os.path.join(built.root, path)):
                assert not os.path.islink(lock)
                assert os.path.realpath(os.path.dirname(lock)) == os.path.dirname(lock)

    def test_what_is_reached_is_a_link_in_the_root(self, built: Built) -> None:
        for link in self.guarded().reached(Root(str(built.root), self.backend.name)):
            assert link.startswith(f"{built.root}/") and os.path.islink(link)

    def test_vault_places_are_absolute(self, built: Built) -> None:
        root = Root(str(built.root), self.backend.name)
        places = self.guarded().vault_places(root)
        # The guard answers with none for one that fails, too.
        assert list(places) == list(self.backend().vault_places(root))
        for place in places:
            assert not os.path.islink(place)
            assert place != str(built.root)

    def test_a_home_is_no_default_root(self, tmp_path: Path) -> None:
        bounds = Bounds({"HOME": str(tmp_path)})
        for root in self.backend.default_roots({"HOME": str(tmp_path)}):
            assert not bounds.too_much(root), root


def _any_model(folder: Path) -> Snapshot:
    """One with a file of each kind that programs have a use for, as the Hub has such models."""
    names = ("base-Q4_K_M.gguf", "Q8_0/base-Q8_0.gguf", "base.safetensors", "base.ckpt", "README.md")
    folder.mkdir()
    files = []
    for name in names:
        path = folder / os.path.basename(name)
        content = b"GGUF" + name.encode() * 100
        path.write_bytes(content)
        claims = {"sha256": hashlib.sha256(content).hexdigest()}
        files.append(SnapshotFile(name, str(path), len(content), claims))
    return Snapshot("org/base", "model", "a" * 40, ("main",), str(folder), files=tuple(files))


def _put(part: ModelPart, root: Path) -> None:
    path = root / part.name
    path.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(path):
        return  # two revisions share it
    if part.text is not None:
        path.symlink_to(part.text)
    else:
        shutil.copy2(part.source, path)


def _remove_if_empty(folder: str) -> None:
    """A folder, and those in it, that hold nothing."""
    for place, _, _ in os.walk(folder, topdown=False):
        with suppress(OSError):
            os.rmdir(place)


class Remembered:
    """What a scan remembers for the next one, in a dictionary: `hubfold.scanning.walk.Memory`."""

    told_by = b""

    def __init__(self) -> None:
        self._fingerprints: dict[str, bytes] = {}
        self._signatures: dict[str, dict[str, Signature]] = {}

    def keep(self, replicas: list[Replica]) -> None:
        for replica in replicas:
            folder, name = os.path.split(replica.path)
            self._signatures.setdefault(folder, {})[name] = Signature.of(replica.stat)

    def fingerprint(self, folder: str) -> bytes | None:
        return self._fingerprints.get(folder)

    def signatures(self, folder: str) -> Mapping[str, Signature]:
        return self._signatures.get(folder, {})

    def listed(self, folder: Listed) -> None:
        self._fingerprints[folder.path] = folder.fingerprint


def digests_of(path: Path) -> dict[str, str]:
    """The digests of a file by reading it: sha256, git-sha1, and xet where hf_xet is there."""
    data = path.read_bytes()
    digests = {
        "sha256": hashlib.sha256(data).hexdigest(),
        "git-sha1": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest(),
        "md5": hashlib.md5(data).hexdigest(),
    }
    # Its library keeps a log where the user's home is.
    os.environ.setdefault("HF_XET_LOG_DEST", os.devnull)
    try:
        import hf_xet
    except ImportError:
        return digests
    [info] = hf_xet.hash_files([str(path)])
    return {**digests, "xet": info.hash}


def snapshot(folder: Path) -> dict[str, tuple[object, ...]]:
    """All that `lstat` says of each path below `folder` but its access time, and its bytes or its link."""
    taken: dict[str, tuple[object, ...]] = {}
    for place, folders, files in os.walk(folder):
        for name in ["", *folders, *files]:
            path = os.path.join(place, name)
            st = os.lstat(path)
            held: object = None
            if stat.S_ISLNK(st.st_mode):
                held = os.readlink(path)
            elif stat.S_ISREG(st.st_mode):
                held = hashlib.sha256(Path(path).read_bytes()).digest()
            taken[path] = (st.st_mode, st.st_uid, st.st_gid, st.st_nlink, *Signature.of(st), held)
    return taken


class opened:  # noqa: N801 - used like a function
    """``with opened() as paths``: every path that this process opens in the block, by whatever call."""

    _active: ClassVar[set[str] | None] = None
    _hooked: ClassVar[bool] = False

    def __enter__(self) -> set[str]:
        if not opened._hooked:
            # An audit hook cannot be taken out again, so there is one, and it rests.
            sys.addaudithook(_on_audit)
            opened._hooked = True
        opened._active = set()
        return opened._active

    def __exit__(self, *exc: object) -> None:
        opened._active = None


def _on_audit(event: str, arguments: tuple[Any, ...]) -> None:
    if opened._active is not None and event == "open" and isinstance(arguments[0], str | bytes):
        opened._active.add(os.path.abspath(os.fsdecode(arguments[0])))


def _refuse(patch: pytest.MonkeyPatch, folder: str) -> None:
    """Let the system refuse to read `folder`, for a superuser too."""

    def wrapped(call: Any) -> Any:
        def guarded(path: Any = ".", *arguments: Any, **keywords: Any) -> Any:
            return _denied(folder) if path == folder else call(path, *arguments, **keywords)

        return guarded

    for name in ("open", "listdir", "scandir"):
        patch.setattr(os, name, wrapped(getattr(os, name)))


def _denied(folder: str) -> NoReturn:
    raise PermissionError(13, "Permission denied", folder)
