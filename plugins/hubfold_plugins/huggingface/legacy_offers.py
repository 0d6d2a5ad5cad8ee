"""Files that earlier clients cached, each with a note beside it that says where it came from.

``<file>.json`` beside ``<file>``: ``{"url": …, "etag": …}``, as ``cached_path`` of transformers before 4.22 and
``cached_download`` of huggingface_hub before 0.26 write it. The files of

- transformers lie side by side, called ``<sha256 of the url>.<sha256 of the etag>`` (and ``.h5``), of every model.
  Their address has a branch (``/resolve/main/``), so the note tells no commit;
- sentence-transformers before 2.3 lie in a folder a model (``org_name``) by their own names. Their address has the
  commit.

An etag is the sha256 of an LFS file, the git-sha1 of any other, in quotes; one of another form (an S3 part count) says
nothing.
"""

from __future__ import annotations

import json
import os
import re
from typing import TYPE_CHECKING

from hubfold.backend.changes import Offer, OfferedFile
from hubfold_plugins.huggingface.claims import claims_of_etag
from hubfold_plugins.huggingface.hub_metadata import COMMIT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hubfold.backend.contract import Walk

_NOTE_LIMIT = 4096
_ADDRESS = re.compile(
    r"https?://[^/]+/(?:(datasets|spaces)/)?([^/]+(?:/[^/]+)?)/resolve/([^/]+)/([^?#\0]+)", re.ASCII
)


def is_noted(path: str, walk: Walk) -> bool:
    """Whether a file right in the folder has such a note."""
    names = set(walk.listing(path))
    notes = (os.path.join(path, f"{name}.json") for name in sorted(names) if f"{name}.json" in names)
    return any(_told(walk.read_text(note, _NOTE_LIMIT)) is not None for note in notes)


def of_notes(path: str, walk: Walk) -> Iterator[Offer]:
    """The models of a folder whose files have such notes, one for each revision or branch."""
    found: dict[tuple[str, str, str], dict[str, OfferedFile]] = {}
    for folder in walk.folders(path):
        folder.folders[:] = [name for name in folder.folders if not name.startswith(".")]
        names = set(folder.names).difference(folder.folders)
        for name in sorted(name for name in names if f"{name}.json" in names):
            place = os.path.join(folder.path, name)
            told = _told(walk.read_text(f"{place}.json", _NOTE_LIMIT))
            if told is not None and walk.size(place) is not None:
                key, file, etag = told
                claims = claims_of_etag(etag)
                algorithm = next(iter(claims), "git-sha1")
                found.setdefault(key, {}).setdefault(file, OfferedFile(file, place, algorithm, claims))
    for (repo_type, repo_id, revision), files in found.items():
        commit = revision if COMMIT.fullmatch(revision) else ""
        yield Offer(
            path,
            tuple(files.values()),
            repo_id=repo_id,
            repo_type=repo_type,
            revision=commit,
            ref="" if commit else revision,
            told_by="the notes of an earlier client",
        )


def _told(text: str | None) -> tuple[tuple[str, str, str], str, str] | None:
    """((type, repo id, revision), file, etag) of a note; None for what is none."""
    try:
        note = json.loads(text or "")
        url, etag = note["url"], note["etag"]
        match = _ADDRESS.fullmatch(url)
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    if match is None or not isinstance(etag, str) or ".." in match[4].split("/"):
        return None
    repo_type = (match[1] or "models").removesuffix("s")
    return (repo_type, match[2], match[3]), match[4], etag.removeprefix("W/").strip('"')
