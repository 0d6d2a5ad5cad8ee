"""Which model a folder is, and which revision of it: as the folder says, as a cache knows, or as the user says.

Nothing is guessed: where none of them tells, the user is asked for it; where two contradict each other, neither is
taken.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from hubfold.backend.changes import Offer, OfferedFile
from hubfold.errors import HubfoldError, UsageError
from hubfold.library.inventory import HeldRevision
from hubfold.models.names import Name

_COMMIT = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user says of a folder: the model (None: nothing), and a commit, branch or tag of it."""

    repo: Name | None = None
    revision: str | None = None


@dataclass(frozen=True, slots=True)
class Listed:
    """A commit as the Hub lists it, with the digests of each file."""

    commit: str
    files: Mapping[str, Mapping[str, str]]


@dataclass(frozen=True, slots=True)
class Known:
    """What the machine knows: the revisions of its caches, and what the Hub says a branch or tag is (None: it cannot be
    asked)."""

    revisions: Sequence[HeldRevision]
    listed: Callable[[Name, str], Listed | None]


def chosen(folder: str, offers: Sequence[Offer], asked: Asked) -> Offer | None:
    """The one of a folder's models that the user means; None where it has none. Raises `UsageError` for several."""
    of_name = [one for one in offers if asked.repo is None or Name(one.repo_type, one.repo_id) == asked.repo]
    at = [one for one in of_name if asked.revision in (one.revision, one.ref)]
    # Of a single one that is something else, what the user says is held against it later.
    meant = of_name if len(of_name) == 1 else at if len(at) == 1 else list(offers) if len(offers) == 1 else []
    if meant or not offers:
        return meant[0] if meant else None
    titles = sorted({str(Name(one.repo_type, one.repo_id)) for one in of_name or offers})
    several = titles if len(titles) > 1 else sorted(one.revision or one.ref for one in of_name)
    flag = "--repo" if len(titles) > 1 else f"--repo {titles[0]} --revision"
    raise UsageError(
        f"{folder} has several models: {', '.join(several[:5])}{' and more' if several[5:] else ''}",
        f"say which: hubfold adopt {shlex.quote(folder)} {flag} {several[0]}",
    )


def settled(offer: Offer, asked: Asked, known: Known) -> Offer:
    """The offer with its repo id, its commit, and the ref that is known of it.

    Its files are what the revision has, as far as a cache tells what that is. Raises `UsageError` where something has
    to be said by the user, `HubfoldError` where what he says is not so.
    """
    offer = _named(offer, asked, known)
    like = _like(offer, asked, known) if not (offer.repo_id and offer.revision) else ()
    if len({_key(one) for one in like}) > 1:
        raise UsageError(
            f"{offer.path} has what several revisions have: {', '.join(sorted(map(_title, like)))}",
            f"say which it is: {_typed(offer, asked, revision='COMMIT')}",
        )
    if like:
        one = like[0].snapshot
        offer = replace(
            offer,
            repo_id=one.repo_id,
            repo_type=one.repo_type,
            revision=one.revision,
            told_by="a cache that has the same files",
        )
    if not offer.repo_id:
        raise UsageError(
            f"nothing says which model {offer.path} is", f"say it: {_typed(offer, asked, repo='ORG/NAME')}"
        )
    if not offer.revision:
        raise UsageError(
            f"nothing says which revision of {offer.repo_id} {offer.path} is",
            f"say its commit, or ask the Hub what a branch is: {_typed(offer, asked, revision='COMMIT|main')}",
        )
    return _as_listed(offer, known, asked)


def _typed(offer: Offer, asked: Asked, *, repo: str = "", revision: str = "") -> str:
    words = ["hubfold", "adopt", shlex.quote(offer.path)]
    repo = repo or (asked.repo.repo_id if asked.repo is not None else "")
    words += ["--repo", repo] if repo else []
    words += ["--revision", revision or asked.revision or ""] if revision or asked.revision else []
    return " ".join(words)


def _named(offer: Offer, asked: Asked, known: Known) -> Offer:
    """With what the user says, and what caches say of its commit."""
    if offer.revision and not offer.repo_id:
        names = {
            one.name
            for one in known.revisions
            if one.snapshot.revision == offer.revision and one.name.repo_id
        }
        if len(names) == 1:
            name = names.pop()
            offer = replace(offer, repo_id=name.repo_id, repo_type=name.repo_type)
    if asked.repo is not None:
        if offer.repo_id and (offer.repo_type, offer.repo_id) != (asked.repo.repo_type, asked.repo.repo_id):
            raise HubfoldError(
                f"{offer.path} is {offer.repo_id}, by {offer.told_by}, and not {asked.repo.repo_id}",
                "leave --repo out, or name another folder",
            )
        offer = replace(offer, repo_id=asked.repo.repo_id, repo_type=asked.repo.repo_type)
    return _at(offer, asked, known) if asked.revision else offer


def _at(offer: Offer, asked: Asked, known: Known) -> Offer:
    revision = asked.revision or ""
    if _COMMIT.fullmatch(revision):
        commit, ref = revision, offer.ref if offer.revision == revision else ""
    else:
        commit, ref = _commit_of(offer, revision, known), revision
    if offer.revision and commit and commit != offer.revision:
        raise HubfoldError(
            f"{offer.path} is {offer.revision[:12]}, by {offer.told_by}, and {revision} is {commit[:12]}",
            "leave --revision out to adopt what it is",
        )
    return replace(offer, revision=offer.revision or commit, ref=ref, told_by=offer.told_by or "your word")


def _commit_of(offer: Offer, ref: str, known: Known) -> str:
    if not offer.repo_id:
        return ""
    name = Name(offer.repo_type, offer.repo_id)
    commits = {
        one.snapshot.revision for one in known.revisions if one.name == name and ref in one.snapshot.refs
    }
    if len(commits) == 1:
        return commits.pop()
    listed = known.listed(name, ref)
    return listed.commit if listed is not None else ""


# what caches have


def _like(offer: Offer, asked: Asked, known: Known) -> list[HeldRevision]:
    """Revisions of caches that have these very files; of each one is enough."""
    found: dict[tuple[Name, str], HeldRevision] = {}
    for one in known.revisions:
        if offer.repo_id and one.name != Name(offer.repo_type, offer.repo_id):
            continue
        if offer.revision and one.snapshot.revision != offer.revision:
            continue
        if one.name.repo_id and _COMMIT.fullmatch(one.snapshot.revision) and _fits(offer, one):
            found.setdefault(_key(one), one)
    return list(found.values())


def _fits(offer: Offer, held: HeldRevision) -> bool:
    """Whether each file of the revision is in the folder, as far as it is no mere text; at least one by its sha256."""
    ours = {file.name: file.digests for file in offer.files}
    claims = {file.name: file.claims for file in held.snapshot.files}
    large = [name for name, said in claims.items() if "sha256" in said]
    common = [name for name in claims if name in ours]
    return bool(large) and set(large) <= ours.keys() and all(_same(ours[n], claims[n]) for n in common)


def _same(read: Mapping[str, str], said: Mapping[str, str]) -> bool:
    return all(read.get(name, value) == value for name, value in said.items())


def _key(held: HeldRevision) -> tuple[Name, str]:
    return held.name, held.snapshot.revision


def _title(held: HeldRevision) -> str:
    return f"{held.name}@{held.snapshot.revision[:12]}"


def _as_listed(offer: Offer, known: Known, asked: Asked) -> Offer:
    """By what the caches, and the Hub where it was asked, say of this very revision: its files, and by what each is
    known."""
    name = Name(offer.repo_type, offer.repo_id)
    said: dict[str, Mapping[str, str]] = {}
    listed: set[str] = set()
    for one in known.revisions:
        if one.name == name and one.snapshot.revision == offer.revision:
            said |= {file.name: file.claims for file in one.snapshot.files if file.claims}
            listed |= (one.snapshot.expected or {}).keys()
    of_hub = known.listed(name, offer.ref) if asked.revision and offer.ref and not said else None
    if of_hub is not None and of_hub.commit == offer.revision:
        said |= of_hub.files
        listed |= of_hub.files.keys()
    wrong = [file.path for file in offer.files if not _same(file.digests, said.get(file.name, {}))]
    if wrong:
        raise HubfoldError(
            f"{wrong[0]} is not what {offer.repo_id}@{offer.revision[:12]} has"
            + (f", nor are {len(wrong) - 1} more" if wrong[1:] else ""),
            "it was edited, or is another revision: nothing was changed",
        )
    files = (
        replace(file, algorithm=_known_by(file, said))
        for file in offer.files
        if not listed or file.name in listed
    )
    return replace(offer, files=tuple(files))


def _known_by(file: OfferedFile, said: Mapping[str, Mapping[str, str]]) -> str:
    return next((one for one in ("sha256", "git-sha1") if one in said.get(file.name, {})), file.algorithm)
