"""Finds what is not as it should be, and mends what can be mended without losing a byte.

Looked at are the links that runs made (by their journals), the vaults, what the last scan warned of, content that was
read and is not what its name says, and the content behind links, by size and mtime first: only what moved is read.
What has other bytes than it should have is put right from another copy, or by a download where that is asked for;
`repairs` does it. The bytes that were there are kept in the vault's ``replaced/`` folder, since they may be work. Those
of a path whose layout says that they were edited since they came (`is_edited`) are work, and are replaced by nothing.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import chain

from hubfold import display, errors
from hubfold.backend.changes import LEFTOVER_AGE
from hubfold.care.exchange import is_inode
from hubfold.care.holes import Hole, fill, lead_right
from hubfold.care.made_links import Patient, same_file
from hubfold.care.repairs import Case, Donor, Mender, is_content
from hubfold.content import IndexedReplica, LinkKind, Signature
from hubfold.disk.filesystem import FileSystems
from hubfold.disk.held import HeldFile
from hubfold.disk.paths import why_not_a_folder
from hubfold.errors import Away, HubfoldError, Interrupted, LeftAlone
from hubfold.faults import BackendFault, Fault
from hubfold.journal.presence import check_vault
from hubfold.progress import Progress, Stop
from hubfold.reports.health import Finding
from hubfold.reports.outcomes import Notice
from hubfold.vault import objects
from hubfold.vault.links import points_at
from hubfold.vault.names import of_object
from hubfold.vault.need import Here, Need, need

_FROM_SCAN = {
    "interrupted": ("interrupted-download", "download it again to go on with it, or {clean} to drop it"),
    "dangling": ("dangling-link", "download it again, or connect the drive it leads to"),
    "misplaced": (
        "misplaced-cache",
        "set HF_HOME or HF_HUB_CACHE in one way; `hubfold consolidate` folds what both have",
    ),
    "unreadable": ("unreadable", "run hubfold as a user who may read it, or check the drive"),
}


def _clean(path: str) -> str:
    """The command that drops what was left at `path`: a plain one leaves alone what was touched just now."""
    try:
        young = time.time() - os.lstat(path).st_mtime < LEFTOVER_AGE
    except OSError:
        young = False
    if not young:
        return "`hubfold clean`"
    age = display.time_span(LEFTOVER_AGE)
    return f"`hubfold clean --older-than 0` (by itself it takes what is older than {age})"


#: How what was done begins where the bytes were downloaded for it.
FROM_THE_HUB = "put right from the Hub"
_MEND_PLUGIN = "tell whoever wrote it, or uninstall it; HUBFOLD_NO_PLUGINS=1 leaves out all but hubfold's own"


@dataclass(frozen=True, slots=True)
class Origin:
    """Where content can be had on the Hub: `what` for a person, `fetch` downloads it into a folder."""

    what: str
    fetch: Callable[[str], str]


@dataclass(frozen=True, slots=True)
class Around:
    """What the doctor asks of the engine."""

    #: Replicas that are said to have one of these digests; judged by their bytes before they are used.
    having: Callable[[Mapping[str, str]], Iterable[IndexedReplica]]
    #: Every known name of a payload.
    names: Callable[[os.stat_result], Iterable[IndexedReplica]]
    replica: Callable[[str], IndexedReplica | None]
    #: The digests that the layout of a root, the first, states for a path below it, whatever lies there.
    stated: Callable[[str, str], Mapping[str, str]]
    #: Roots that are caches: a file of any other that several paths read is read-only.
    caches: Collection[str]
    #: Where content that belongs at one of these paths can be downloaded.
    origins: Callable[[Sequence[str]], Iterable[Origin]]
    #: What this machine can see of links.
    here: Here
    #: Replicas of which nobody knows whether they have the content of a hole: those of its size, or else its name, and
    #: of a hole whose size is not known either, the others.
    unread: Callable[[Hole], tuple[Sequence[IndexedReplica], Sequence[IndexedReplica]]]
    #: Reads replicas, so that `having` knows of them: by the algorithms of these digests.
    learn: Callable[[Sequence[IndexedReplica], Mapping[str, str]], None]
    #: Where the object of a link lies now that its vault moved, None if it did not.
    moved: Callable[[Patient], str | None]


@dataclass(frozen=True, slots=True)
class _Mending:
    """How content that is gone or changed can be had again."""

    wanted: Mapping[str, str]
    #: The names that should have it, as (root, path).
    names: Sequence[tuple[str, str]]
    #: The root whose vault a download goes to; "" for none.
    root: str
    #: What is told before it is done, "{}" for who has the content.
    fix: str
    #: Lets a donor mend it; what is told then.
    mend: Callable[[Mender, Donor], str]
    #: Who is asked first.
    first: Sequence[Donor] = ()
    #: The payload that has other bytes.
    changed: os.stat_result | None = None
    #: Who is asked when nobody else has it.
    last: Callable[[], Iterable[Donor]] = tuple


@dataclass(slots=True)
class _Cure:
    """How a finding could be, or was, mended."""

    fix: str = ""
    done: bool = False
    mendable: bool = False
    #: What was tried in vain.
    tried: str = ""
    #: Paths that get another file, or another link.
    replaces: tuple[str, ...] = ()


@dataclass(slots=True)
class Doctor:
    """Looks, and with a `mender` mends; with `download` also by asking the Hub."""

    around: Around
    progress: Progress
    stop: Stop
    mender: Mender | None = None
    download: bool = False
    findings: list[Finding] = field(default_factory=list)
    #: Paths and inodes that were looked at, each once.
    _seen: set[str] = field(default_factory=set)
    _handled: set[tuple[int, int]] = field(default_factory=set)
    _patients: Sequence[Patient] = ()
    #: Links that dangle since their vault moved, with the object that they are to lead to: by where it was and is.
    _moved: dict[tuple[str, str], list[tuple[Patient, str]]] = field(default_factory=dict)
    #: Vault objects that a link needs.
    _needed: set[str] = field(default_factory=set)

    def links(self, found: Iterable[Patient]) -> None:
        """The links that runs made."""
        self._patients = list(found)
        for patient in self._patients:
            self._link(patient)
        for (old, new), links in self._moved.items():
            self._vault_moved(old, new, links)

    def vaults(self, paths: Iterable[str]) -> None:
        """Objects that nothing needs, and vaults that cannot be read; call it when the links were looked at."""
        for path in paths:
            self.findings += _of_vault(path, self._needed, self.around.here)

    def roots(self, paths: Iterable[str], configured: Collection[str] = ()) -> None:
        """Roots that are not there, or that this user may not look into; call it when a scan's notices were taken.

        What is `configured` is no root any more when config.toml does not name it.
        """
        told = {finding.path for finding in self.findings}
        for root in paths:
            error = why_not_a_folder(root)
            if isinstance(error, PermissionError):
                if root not in told:
                    kind, fix = _FROM_SCAN["unreadable"]
                    self.findings.append(Finding(kind, root, errors.describe(error), fix))
            elif not os.path.isdir(root):
                forget = "take it out of config.toml" if root in configured else "`hubfold roots rm` it"
                fix = f"connect its drive, or {forget}"
                self.findings.append(Finding("offline-root", root, "it is not there", fix))

    def faults(self, faults: Iterable[Fault]) -> None:
        """What plugins did wrong while all was looked at."""
        for fault in faults:
            self.findings.append(Finding("faulty-plugin", fault.root, str(fault), _MEND_PLUGIN))

    def notices(self, notices: Iterable[Notice]) -> None:
        """What a scan warned of; call it when the links were looked at, whose findings say more."""
        told = {(finding.kind, finding.path) for finding in self.findings}
        told |= {("dangling-link", one.path) for links in self._moved.values() for one, _ in links}
        for notice in notices:
            if notice.kind in _FROM_SCAN:
                kind, fix = _FROM_SCAN[notice.kind]
                if "{clean}" in fix:
                    fix = fix.format(clean=_clean(notice.path))
                if (kind, notice.path) not in told:
                    self.findings.append(Finding(kind, notice.path, notice.message, fix))

    def damaged(self, files: Iterable[tuple[str, int, int]]) -> None:
        """Files of caches, as (path, bytes, bytes by the listing), of another length than their layout says.

        A scan warns of them too, but only of those that are new to it.
        """
        for path, size, expected in files:
            replica = self.around.replica(path)
            message = f"has {size:,} bytes, its repository says {expected:,}"
            if replica is not None:
                self._payload("damaged-blob", replica, message)

    def liars(self, replicas: Iterable[IndexedReplica]) -> None:
        """Replicas that were read and are not what their layout says; names of one payload are one finding."""
        for replica in replicas:
            if not is_edited(replica):
                self._payload("corrupt", replica, "its bytes are not what its name says")

    def unfit(self, root: str, path: str, wanted: Mapping[str, str], message: str) -> Finding | None:
        """A file of a cache that is not the `wanted` content, however that is known; None where it is gone by now."""
        try:
            st = os.lstat(path)
        except OSError:
            return None
        if not stat.S_ISREG(st.st_mode) or (st.st_dev, st.st_ino) in self._handled:
            return None
        self._unfit("damaged-blob", (root, path), st, wanted, message)
        return self.findings[-1]

    # -- links ------------------------------------------------------------------------------------------------------

    def _link(self, patient: Patient) -> None:
        try:
            st = os.lstat(patient.path)
        except OSError:
            return  # the user removed it, or its drive is away: nothing of ours is broken
        if patient.link is LinkKind.SYMLINK:
            if not stat.S_ISLNK(st.st_mode) or not points_at(patient.path, patient.target):
                return
            self._needed.add(patient.target)
            try:
                st = os.stat(patient.path)
            except FileNotFoundError:
                self._dangling(patient)
                return
            except OSError as error:
                self._add("unreadable", patient.path, errors.describe(error), _Cure("check the drive"))
                return
            if not self._is_noted(patient):
                self._unnoted(patient)
        shared = patient.target if patient.link is LinkKind.SYMLINK else patient.path
        if shared in self._seen or patient.size is None or not stat.S_ISREG(st.st_mode):
            return
        self._seen.add(shared)
        if (st.st_dev, st.st_ino) in self._handled:
            return
        if (st.st_size, st.st_mtime_ns) == (patient.size, patient.mtime_ns) or not patient.is_ours(st):
            return
        path = os.path.realpath(patient.path)
        if not self._is_content(path, Signature.of(st), {"xxh3_128": patient.digests["xxh3_128"]}):
            self._written_through(patient, st)

    def _is_noted(self, patient: Patient) -> bool:
        """Whether the object's list has the link, as made by this machine."""
        noted = objects.read_links(patient.target)
        return any(entry.link == patient.path and self.around.here.owns(entry) for entry in noted)

    def _line(self, patient: Patient) -> objects.NeededBy:
        vault = of_object(patient.target)
        return self.around.here.needed_by(patient.path, patient.root, patient.run, vault, patient.mount)

    def _dangling(self, patient: Patient) -> None:
        """The object is gone: any file with the same bytes becomes the object again."""

        def mend(mender: Mender, donor: Donor) -> str:
            line = self._line(patient)
            mender.make_object(patient.target, line, patient.wanted, patient.mtime_ns, donor)
            return fix

        now = self.around.moved(patient)
        if now is not None:
            self._needed.add(now)
            self._moved.setdefault((of_object(patient.target), of_object(now)), []).append((patient, now))
            return
        try:
            check_vault(patient.places, of_object(patient.target))
        except Away as reason:
            cure = _Cure("connect its drive, or put the folder back")
            self._add("dangling-link", patient.path, errors.describe(reason), cure)
            return
        fix = "another copy becomes the vault object again"
        cure = self._cure(_Mending(patient.wanted, patient.names, of_object(patient.target), fix, mend))
        cure.fix = cure.fix or "no other copy is known: download it again"
        self._add("dangling-link", patient.path, f"it leads to {patient.target}, which is gone", cure)

    def _vault_moved(self, old: str, new: str, links: Sequence[tuple[Patient, str]]) -> None:
        number = display.count(len(links), "link")
        replaces = tuple(patient.path for patient, _ in links)
        cure = _Cure(f"{number} to it get the new place as text", mendable=True, replaces=replaces)
        failed = 0
        for patient, object_ in links if self.mender is not None else ():
            try:
                assert self.mender is not None
                self.mender.repoint(patient.root, patient.path, patient.text, object_)
            except (OSError, LeftAlone) as error:
                failed += 1
                cure.tried = f"; {patient.path} failed: {errors.describe(error)}"
        cure.done = self.mender is not None and not failed
        self._add(
            "moved-vault", new, f"moved from {old} to {new}; {number} still lead to the old place", cure
        )

    def _unnoted(self, patient: Patient) -> None:
        cure = _Cure("note the link", mendable=True)
        if self.mender is not None:
            try:
                self.mender.note(patient.target, self._line(patient))
                cure.done = True
            except (OSError, LeftAlone) as error:
                cure.tried = f"; noting it failed: {errors.describe(error)}"
        message = f"it does not list {patient.path}, which needs it"
        self._add("vault-out-of-step", patient.target, message, cure)

    def _written_through(self, patient: Patient, st: os.stat_result) -> None:
        """Other bytes lie behind a link than were compared when it was made."""
        told = f"what it reads ({patient.target}) was changed since the link was made, for every path that shares it"
        try:
            owners = tuple(self._owners(patient, st))
        except BackendFault as fault:
            # A client that updated a local copy may have written just these bytes.
            self._handled.add((st.st_dev, st.st_ino))
            self._add(
                "written-through",
                patient.path,
                told,
                _Cure(f"{fault}: nobody can tell whose bytes these are"),
            )
            return
        edited = {name.path for name in self.around.names(st) if is_edited(name)}
        known = {path: root for root, path in patient.names if path not in edited}
        known |= dict(self._names(st, patient.wanted))
        names = [(root, path) for path, root in known.items() if path not in {one for _, one, _ in owners}]
        read_only = any(objects.is_vault(root) or root not in self.around.caches for root, _ in names)
        case = Case(
            names=tuple(names),
            changed=st,
            wanted=patient.wanted,
            mtime_ns=patient.mtime_ns,
            owners=owners,
            read_only=read_only,
        )
        self._handled.add((st.st_dev, st.st_ino))
        if not any(same_file(path, st) for _, path in case.names):
            return  # only who these bytes belong to has them by now
        cure = self._put_right(case, patient.keeper)
        cure.fix = cure.fix or (
            "no other copy has the old bytes: download the model again, or `hubfold undo` if the change is wanted"
        )
        self._add("written-through", patient.path, told, cure)

    def _owners(self, patient: Patient, st: os.stat_result) -> Iterator[tuple[str, str, str]]:
        """Links to changed bytes whose layout states just these, as (root, path, text).

        A client that updates a local copy writes through the link, and notes the new revision: that path is right.
        """
        known: dict[str, bool] = {}
        path = os.path.realpath(patient.path)
        for one in self._patients:
            try:
                if not os.path.samestat(os.stat(one.path), st):
                    continue
            except OSError:
                continue
            claims = self.around.stated(one.root, one.path)
            told = repr(sorted(claims.items()))
            if claims and told not in known:
                known[told] = self._is_content(path, Signature.of(st), claims)
            if claims and known[told]:
                yield one.root, one.path, os.readlink(one.path) if os.path.islink(one.path) else ""

    def _names(self, st: os.stat_result, wanted: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """(path, root) of the known names of a payload, without those whose layout wants other bytes, or these."""
        for name in self.around.names(st):
            if not is_edited(name) and all(
                wanted.get(algorithm, value) == value for algorithm, value in name.claims.items()
            ):
                yield name.path, name.root

    def holes(self, found: Iterable[Hole]) -> None:
        """Links of layouts that lead nowhere; call it when the links of runs were looked at."""
        told = {(finding.kind, finding.path) for finding in self.findings}
        told |= {("dangling-link", one.path) for links in self._moved.values() for one, _ in links}
        for hole in found:
            if ("dangling-link", hole.path) not in told:
                self._hole(hole)

    def _hole(self, hole: Hole) -> None:
        message = f"it leads to {hole.before}, where there is nothing"
        if not hole.needs_bytes:
            cure = _Cure("it gets the text that leads to its blob", mendable=True)
            if self.mender is not None:
                blob = Donor(hole.content, hole.content_root)
                self._try(cure, self.mender, blob, lambda mender, _: lead_right(hole, mender))
            self._add("dangling-link", hole.path, message, cure)
            return
        rest: list[IndexedReplica] = []

        def unread() -> Iterator[Donor]:
            near, others = self.around.unread(hole)
            for some in (near, others if self.mender is not None else ()):
                if some:
                    self.around.learn(some, hole.digests)
                    yield from self._having(hole.digests)
            rest[:] = others

        def mend(mender: Mender, donor: Donor) -> str:
            keeper = replace(
                donor, keeper=donor.root in self.around.caches and hole.root in self.around.caches
            )
            return fill(hole, mender, keeper, lambda place: self._needed_by(mender, hole, place))

        belongs = (hole.content_root, hole.content) if hole.content else (hole.root, hole.path)
        how = _Mending(hole.digests, (belongs,), hole.root, "its bytes are taken from {}", mend, last=unread)
        cure = self._cure(how)
        if rest and self.mender is None and not cure.mendable:
            number = display.count(len(rest), "file")
            cure = _Cure(f"by one of {number} that nobody has read yet, if that has its bytes", mendable=True)
        cure.fix = cure.fix or "no copy of it is known: download it again, or connect the drive that it is on"
        self._add("dangling-link", hole.path, message, cure)

    def _having(self, digests: Mapping[str, str]) -> Iterator[Donor]:
        return (Donor(replica.path, replica.root) for replica in self.around.having(digests))

    def _needed_by(self, mender: Mender, hole: Hole, vault: str) -> objects.NeededBy:
        mount = FileSystems().of(os.path.dirname(hole.path)).mount
        return self.around.here.needed_by(hole.path, hole.root, mender.run, vault, mount)

    # -- content ------------------------------------------------------------------------------------------------------

    def _payload(self, kind: str, replica: IndexedReplica, message: str) -> None:
        """A payload that is not what the layout says of it."""
        try:
            st = os.lstat(replica.path)
        except OSError:
            return
        if (st.st_dev, st.st_ino) in self._handled or Signature.of(st)[:4] != replica.signature[:4]:
            return
        self._unfit(kind, (replica.root, replica.path), st, replica.claims, message)

    def _unfit(
        self, kind: str, name: tuple[str, str], st: os.stat_result, wanted: Mapping[str, str], message: str
    ) -> None:
        self._handled.add((st.st_dev, st.st_ino))
        root, path = name
        names = dict(self._names(st, wanted))
        names.setdefault(path, root)
        case = Case(tuple((root, path) for path, root in sorted(names.items())), st, wanted)
        cure = self._put_right(case, "")
        cure.fix = cure.fix or "no other copy is known: download it again (`hf download --force-download`)"
        self._add(kind, path, message, cure)

    def _put_right(self, case: Case, keeper: str) -> _Cure:
        def mend(mender: Mender, donor: Donor) -> str:
            kept = mender.put_right(case, donor)
            where = case.owners[0][1] if case.owners else kept
            return f"put right from {donor.path}; the changed bytes are kept as {where}"

        donor = next((Donor(path, root, keeper=True) for root, path in case.names if path == keeper), None)
        first = [donor] if donor is not None and not same_file(donor.path, case.changed) else []
        root = case.names[0][0] if case.names else ""
        replaces = [path for root, path in case.names if is_inode(root, path, case.changed)]
        replaces += [path for _, path, text in case.owners if text]
        cure = self._cure(
            _Mending(
                wanted=case.wanted,
                names=case.names,
                root=root,
                fix="put right from {}",
                mend=mend,
                first=first,
                changed=case.changed,
            )
        )
        cure.replaces = tuple(replaces)
        return cure

    def _cure(self, how: _Mending) -> _Cure:
        """Let the first file that has the wanted bytes mend it."""
        cure = _Cure()
        known = [*how.first, *(Donor(path, root) for root, path in how.names)]
        known += self._having(how.wanted)
        for donor in self._good(chain(known, _late(how.last)), how.wanted, how.changed):
            cure.mendable, cure.fix = True, how.fix.format(donor.path)
            if self.mender is None or self._try(cure, self.mender, donor, how.mend):
                return cure
        cure.mendable, cure.fix = False, ""
        for origin in self.around.origins([path for _, path in how.names]) if how.root else ():
            if not self.download:
                again = "download it again, as `hubfold doctor --fix --download` does"
                cure.fix = f"no other copy is known: {again} ({origin.what})"
                return cure
            cure.mendable, cure.fix = True, f"download it anew ({origin.what})"
            if self.mender is None:
                return cure
            try:
                with self.mender.fetched(how.root, how.names[0][1], origin.fetch) as donor:
                    if not any(self._good([donor], how.wanted, None)):
                        raise LeftAlone("what came is not what the name says")
                    if self._try(cure, self.mender, donor, how.mend):
                        cure.fix = cure.fix.replace(
                            f"put right from {donor.path}", f"{FROM_THE_HUB} ({origin.what})"
                        )
                        return cure
            except Interrupted:
                raise
            except (OSError, HubfoldError, LeftAlone) as error:
                cure.tried += f"; downloading it ({origin.what}) failed: {errors.describe(error)}"
        return cure

    def _try(self, cure: _Cure, mender: Mender, donor: Donor, mend: Callable[[Mender, Donor], str]) -> bool:
        try:
            cure.fix = mend(mender, donor)
            cure.done = True
        except Interrupted:
            raise
        except (OSError, HubfoldError, LeftAlone) as error:
            cure.tried += f"; mending it from {donor.path} failed: {errors.describe(error)}"
        return cure.done

    def _good(
        self, donors: Iterable[Donor], wanted: Mapping[str, str], changed: os.stat_result | None
    ) -> Iterator[Donor]:
        """The donors that have the wanted bytes, each read whole."""
        tried: set[str] = set()
        for donor in donors:
            if donor.path in tried or (changed is not None and same_file(donor.path, changed)):
                continue
            tried.add(donor.path)
            try:
                held = HeldFile(donor.root, donor.path)
            except (OSError, LeftAlone):
                continue
            try:
                if self._is_content(donor.path, held.signature, wanted):
                    yield donor
            finally:
                held.close()

    def _is_content(self, path: str, signature: Signature, wanted: Mapping[str, str]) -> bool:
        return is_content(path, signature, wanted, self.progress, self.stop)

    def _add(self, kind: str, path: str, message: str, cure: _Cure) -> None:
        self.findings.append(
            Finding(
                kind,
                path,
                message + cure.tried,
                cure.fix,
                cure.done,
                mendable=cure.mendable,
                replaces=cure.replaces if cure.mendable else (),
            )
        )


def is_edited(replica: IndexedReplica) -> bool:
    """Whether the layout of a path says that somebody changed it: it knows what came there, and that this is later.

    Not where a name is the digest: such a file is for nobody to edit.
    """
    latest = replica.latest_mtime_ns
    return replica.edited or (
        latest is not None
        and replica.signature.mtime_ns > latest
        and not any(value in os.path.basename(replica.path) for value in replica.claims.values())
    )


def _late(what: Callable[[], Iterable[Donor]]) -> Iterator[Donor]:
    """The same, asked for when it is needed."""
    yield from what()


def _of_vault(path: str, needed: Collection[str], here: Here) -> Iterator[Finding]:
    try:
        found = list(objects.objects(path))
    except FileNotFoundError:
        return
    except OSError as error:
        yield Finding("unreadable", path, errors.describe(error), "check its permissions and the drive")
        return
    unneeded = 0
    for object_ in found:
        if object_ in needed:
            continue
        with suppress(OSError):
            needs = [need(object_, entry, here) for entry in objects.read_links(object_)]
            unneeded += all(found is Need.GONE for found in needs)
    if unneeded:
        yield Finding(
            "unneeded-objects", path, f"no link needs {unneeded} of its objects", "`hubfold gc` removes them"
        )
