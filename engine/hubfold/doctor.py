"""Finds what is not as it should be, and mends what can be mended without losing a byte.

Looked at are the links that runs made (by their journals), the vaults, what the last scan warned of, and the content
behind links, by size and mtime first: only what moved is read. Content that was written through a link is put right
from another copy; the bytes that were written are kept in the vault's ``replaced/`` folder, since they may be work.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import xxhash

from hubfold import comparing, fsops, vault
from hubfold.content import TEMPORARY_PREFIX, IndexedReplica, LinkKind
from hubfold.errors import HubfoldError, LeftAlone
from hubfold.fsops import Directory, Held
from hubfold.journal import Intent, RunLog
from hubfold.reports import Finding, Notice

#: A folder of a vault with what a repair took out of the way.
REPLACED = "replaced"

_FROM_SCAN = {
    "interrupted": (
        "interrupted-download",
        "download it again to go on with it, or `hubfold clean` to drop it",
    ),
    "dangling": ("dangling-link", "download it again, or connect the drive it leads to"),
    "damaged": ("damaged-blob", "download it again (`hf download --force-download`)"),
    "misplaced": (
        "misplaced-cache",
        "set HF_HOME or HF_HUB_CACHE in one way; `hubfold consolidate` folds what both have",
    ),
    "unreadable": ("unreadable", "run hubfold as a user who may read it, or check the drive"),
}


@dataclass(frozen=True, slots=True)
class Patient:
    """One link that a run made and that was not taken back."""

    path: str
    root: str
    link: LinkKind
    target: str
    text: str
    keeper: str
    keeper_root: str
    size: int | None
    mtime_ns: int | None
    #: All that is known of the content, xxh3_128 as computed when the link was made.
    digests: Mapping[str, str]
    mount: str
    run: str


def patients(logs: Iterable[RunLog]) -> Iterator[Patient]:
    """The links of all runs, in the order in which they were made; a path that was linked again later only once."""
    found: dict[str, Patient] = {}
    for log in logs:
        for number, intent in log.intents.items():
            if log.states[number] == "done" and intent.link is not LinkKind.REFLINK:
                found[intent.path] = _of_intent(intent, log.run)
        for link in () if log.undone else log.farm_links:
            found[link.path] = Patient(
                link.path,
                link.root,
                LinkKind.SYMLINK,
                link.target,
                link.text,
                "",
                "",
                None,
                None,
                {},
                "/",
                log.run,
            )
    return iter(found.values())


def _of_intent(intent: Intent, run: str) -> Patient:
    return Patient(
        intent.path,
        intent.root,
        intent.link,
        intent.target,
        intent.text,
        intent.keeper,
        intent.keeper_root,
        intent.size,
        intent.keeper_mtime_ns,
        {**intent.digests, "xxh3_128": intent.xxh3_128},
        intent.mount,
        run,
    )


@dataclass(frozen=True, slots=True)
class Donor:
    """A file that may have the right bytes, and the root it lies in."""

    path: str
    root: str


#: Files that are said to have a content: asked by digests, and judged by their bytes before they are used.
Donors = Callable[[Mapping[str, str]], Iterable[Donor]]

#: The vault for files of a root, whose ``replaced/`` takes what a repair puts aside. Raises `LeftAlone` for none.
PlaceFor = Callable[[str], str]


def examine(
    links: Iterable[Patient],
    vaults: Iterable[str],
    donors: Donors,
    place_for: PlaceFor,
    roots: Iterable[str],
    *,
    fix: bool,
) -> list[Finding]:
    """Every finding about links, vaults and roots; what can be mended is, with `fix`."""
    findings: list[Finding] = []
    seen: set[str] = set()
    for patient in links:
        finding = _examine_link(patient, donors, place_for, seen, fix=fix)
        if finding is not None:
            findings.append(finding)
    for path in vaults:
        findings += _examine_vault(path)
    for root in roots:
        if not os.path.isdir(root):
            findings.append(
                Finding(
                    "offline-root", root, "it is not there", "connect its drive, or `hubfold roots rm` it"
                )
            )
    return findings


def from_notices(notices: Iterable[Notice]) -> list[Finding]:
    """What a scan warned of, as findings."""
    return [
        Finding(kind, notice.path, notice.message, fix)
        for notice in notices
        if notice.kind in _FROM_SCAN
        for kind, fix in (_FROM_SCAN[notice.kind],)
    ]


# -- links ---------------------------------------------------------------------------------------------------------


def _examine_link(
    patient: Patient, donors: Donors, place_for: PlaceFor, seen: set[str], *, fix: bool
) -> Finding | None:
    try:
        st = os.lstat(patient.path)
    except OSError:
        return None  # the user removed it, or its drive is away: nothing of ours is broken
    if patient.link is LinkKind.SYMLINK:
        if not stat.S_ISLNK(st.st_mode) or not vault.points_at(patient.path, patient.target):
            return None
        try:
            st = os.stat(patient.path)
        except FileNotFoundError:
            return _dangling(patient, donors, fix=fix)
        except OSError as error:
            return Finding("unreadable", patient.path, fsops.describe(error), "check the drive")
        if not any(entry.link == patient.path for entry in vault.read_links(patient.target)):
            return _unnoted(patient, fix=fix)
    shared = patient.target if patient.link is LinkKind.SYMLINK else patient.path
    if shared in seen or patient.size is None or not stat.S_ISREG(st.st_mode):
        return None
    if (st.st_size, st.st_mtime_ns) != (patient.size, patient.mtime_ns) and not _has_content(
        patient.path, patient
    ):
        seen.add(shared)
        return _written_through(patient, donors, place_for, fix=fix)
    return None


def _has_content(path: str, patient: Patient) -> bool:
    with suppress(OSError), open(path, "rb") as file:
        return _digest(file.fileno()) == patient.digests["xxh3_128"]
    return False


def _digest(fd: int) -> str:
    digest = xxhash.xxh3_128()
    while data := os.read(fd, comparing.CHUNK):
        digest.update(data)
    return digest.hexdigest()


def _dangling(patient: Patient, donors: Donors, *, fix: bool) -> Finding:
    """The object is gone: any file with the same bytes becomes the object again."""
    message = f"it leads to {patient.target}, which is gone"
    fix_text = "another copy becomes the vault object again"
    for donor in _good_donors(patient, donors):
        try:
            if fix:
                _make_object(patient, donor)
            return Finding("dangling-link", patient.path, message, fix_text, fix, mendable=True)
        except (OSError, LeftAlone) as error:
            message += f"; {donor.path} could not take its place: {fsops.describe(error)}"
    return Finding("dangling-link", patient.path, message, "no other copy is known: download it again")


def _good_donors(patient: Patient, donors: Donors) -> Iterator[Donor]:
    claims = vault.claims_of(os.path.basename(patient.target)) if patient.link is LinkKind.SYMLINK else {}
    wanted = {**claims, **patient.digests}
    candidates = [Donor(patient.keeper, patient.keeper_root)] if patient.keeper else []
    tried: set[str] = set()
    for donor in [*candidates, *donors(wanted)]:
        if donor.path in tried or donor.path in (patient.path, patient.target):
            continue
        tried.add(donor.path)
        try:
            held = Held(donor.root, donor.path)
        except (OSError, LeftAlone):
            continue
        try:
            # What has no digest of ours to be judged by is judged by the digest that names the object.
            if _is_content(held.fd, wanted):
                yield donor
        except OSError:
            continue
        finally:
            held.close()


def _is_content(fd: int, wanted: Mapping[str, str]) -> bool:
    """Whether a file has the bytes, by reading all of them. A claim is no proof, so every known digest has to agree."""
    import hashlib

    size = os.fstat(fd).st_size
    hashes: dict[str, Any] = {
        "sha256": hashlib.sha256(),
        "git-sha1": hashlib.sha1(b"blob %d\0" % size),
        "xxh3_128": xxhash.xxh3_128(),
    }
    chosen = {name: hashes[name] for name in wanted if name in hashes}
    os.lseek(fd, 0, os.SEEK_SET)
    while data := os.read(fd, comparing.CHUNK):
        for digest in chosen.values():
            digest.update(data)
    return bool(chosen) and all(digest.hexdigest() == wanted[name] for name, digest in chosen.items())


def _make_object(patient: Patient, donor: Donor) -> None:
    place = vault.of_object(patient.target)
    vault.prepare(place)
    keeper = Held(donor.root, donor.path)
    try:
        os.fsync(keeper.fd)
        with vault.lock(place):
            vault.add_object(patient.target, keeper)
            vault.note_links(patient.target, [vault.NeededBy(patient.path, patient.mount, patient.run)])
    finally:
        keeper.close()


def _unnoted(patient: Patient, *, fix: bool) -> Finding:
    if fix:
        with vault.lock(vault.of_object(patient.target)):
            vault.note_links(patient.target, [vault.NeededBy(patient.path, patient.mount, patient.run)])
    return Finding(
        "vault-out-of-step",
        patient.target,
        f"it does not list {patient.path}, which needs it",
        "note the link",
        fix,
        mendable=True,
    )


def _written_through(patient: Patient, donors: Donors, place_for: PlaceFor, *, fix: bool) -> Finding:
    """Other bytes lie behind a link than were compared when it was made."""
    message = (
        f"what it reads ({patient.target}) was changed since the link was made, for every path that shares it"
    )
    for donor in _good_donors(patient, donors):
        if os.path.samefile(donor.path, patient.path):
            continue
        try:
            kept = _put_right(patient, donor, place_for) if fix else ""
            done = f"put right from {donor.path}" + (
                f"; the changed bytes are kept as {kept}" if kept else ""
            )
            return Finding("written-through", patient.path, message, done, fix, mendable=True)
        except (OSError, LeftAlone, HubfoldError) as error:
            message += f"; putting it right from {donor.path} failed: {fsops.describe(error)}"
    return Finding(
        "written-through",
        patient.path,
        message,
        "no other copy has the old bytes: download the model again, or `hubfold undo` if the change is wanted",
    )


def _put_right(patient: Patient, donor: Donor, place_for: PlaceFor) -> str:
    """Give object and keeper the right bytes in an inode of their own; where the changed bytes are kept.

    Every name is exchanged atomically, so that at each instant each path reads the changed bytes or the right ones,
    both whole.
    """
    changed = os.stat(patient.path)
    names = [(vault.of_object(patient.target), patient.target)]
    if patient.keeper and patient.keeper != patient.target:
        names.append((patient.keeper_root, patient.keeper))
    if patient.link is LinkKind.HARDLINK:
        names = [(patient.keeper_root, patient.keeper), (patient.root, patient.path)]
    present = []
    for root, path in names:
        with suppress(OSError):
            st = os.lstat(path)
            if stat.S_ISREG(st.st_mode) and (st.st_dev, st.st_ino) == (changed.st_dev, changed.st_ino):
                present.append((root, path))
    if not present:
        raise LeftAlone("none of its names is where it was")
    kept = _keep_changed(place_for(present[0][0]), *present[0])
    first: tuple[Directory, str] | None = None
    with Directory.parent_of(*present[0])[0] as directory:
        fresh = f"{TEMPORARY_PREFIX}doctor-{patient.run}"
        if donor.path == patient.keeper:
            _link_to(donor, directory, fresh)
        else:
            _copy(donor, directory, fresh, changed)
        first = directory, fresh
        try:
            for root, path in present[1:]:
                other, name = Directory.parent_of(root, path)
                with other:
                    _exchange_for(first, other, name, f"{fresh}-link", changed)
            directory.unlink(_swapped(directory, fresh, os.path.basename(present[0][1]), changed))
        except BaseException:
            with suppress(FileNotFoundError):
                directory.unlink(fresh)
            raise
        directory.sync()
    return kept


def _swapped(directory: Directory, fresh: str, name: str, changed: os.stat_result) -> str:
    displaced = fsops.swap_in(directory, fresh, name)
    st = directory.lstat(displaced)
    if (st.st_dev, st.st_ino) != (changed.st_dev, changed.st_ino):
        # Only the changed bytes have another name by now; a file that came meanwhile goes back.
        fsops.swap_back(directory, fresh, name, displaced)
        raise LeftAlone("it was replaced while it was being put right")
    directory.sync()
    return displaced


def _exchange_for(
    first: tuple[Directory, str], directory: Directory, name: str, temporary: str, changed: os.stat_result
) -> None:
    with suppress(FileNotFoundError):
        directory.unlink(temporary)  # of a repair that was cut short
    directory.link_from(*first, temporary)
    directory.unlink(_swapped(directory, temporary, name, changed))


def _link_to(donor: Donor, directory: Directory, name: str) -> None:
    """The keeper was put right before, by way of another link: one payload again, no second copy."""
    with suppress(FileNotFoundError):
        directory.unlink(name)  # of a repair that was cut short
    source, last = Directory.parent_of(donor.root, donor.path)
    with source:
        directory.link_from(source, last, name)


def _copy(donor: Donor, directory: Directory, name: str, like: os.stat_result) -> None:
    source = Held(donor.root, donor.path)
    try:
        with suppress(FileNotFoundError):
            directory.unlink(name)  # of a repair that was cut short
        target = directory.create_file(name)
        try:
            comparing.copy_bytes(source.fd, target, update=lambda data: None, tick=lambda amount: None)
            if fsops.privileged():
                os.fchown(target, like.st_uid, like.st_gid)
            fsops.set_mode(target, stat.S_IMODE(like.st_mode))
            os.utime(
                target, ns=(source.attributes.atime_ns, min(source.attributes.mtime_ns, like.st_mtime_ns))
            )
            os.fsync(target)
        finally:
            os.close(target)
    finally:
        source.close()


def _keep_changed(place: str, root: str, path: str) -> str:
    """One more name for the changed bytes, in a vault's folder for them; the same for all names of one inode."""
    vault.prepare(place)
    folder = os.path.join(place, REPLACED)
    fsops.make_folders(folder)
    source, last = Directory.parent_of(root, path)
    with source, Directory.open(folder) as kept:
        name = f"{os.path.basename(path)}.{source.lstat(last).st_ino}"
        if kept.lstat_or_none(name) is None:
            kept.link_from(source, last, name)
            kept.sync()
    return os.path.join(folder, name)


# -- vaults --------------------------------------------------------------------------------------------------------


def _examine_vault(path: str) -> Iterator[Finding]:
    try:
        found = list(vault.objects(path))
    except FileNotFoundError:
        return
    except OSError as error:
        yield Finding("unreadable", path, fsops.describe(error), "check its permissions and the drive")
        return
    unneeded = 0
    for object_ in found:
        with suppress(OSError):
            needs = [vault.need(object_, entry) for entry in vault.read_links(object_)]
            unneeded += all(need is vault.Need.GONE for need in needs)
    if unneeded:
        yield Finding(
            "unneeded-objects", path, f"no link needs {unneeded} of its objects", "`hubfold gc` removes them"
        )


def donors_of(replicas: Iterable[IndexedReplica]) -> list[Donor]:
    return [Donor(replica.path, replica.root) for replica in replicas]
