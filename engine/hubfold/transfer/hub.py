"""The Hub, through huggingface_hub: what a repository holds, and fetching it into a cache.

Everything that goes over the network is the client's own work, so its variables hold (``HF_ENDPOINT``,
``HF_HUB_OFFLINE``, ``HF_TOKEN``, proxies), and its errors reach the user in its own words.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from hubfold.errors import HubAway, HubRefused, UsageError
from hubfold.models.names import Name
from hubfold.models.patterns import Selection

_DIGESTS = {"sha256": re.compile(r"[0-9a-f]{64}"), "git-sha1": re.compile(r"[0-9a-f]{40}")}
#: The base classes of what the client's transports raise, by release: 2.x, 1.x, 0.x.
_TRANSPORTS = (("httpx2", "HTTPError"), ("httpx", "HTTPError"), ("requests", "RequestException"))


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file of a repository as the Hub tells it; digests are claims until the bytes are read."""

    path: str
    size: int
    digests: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of one commit that were asked for."""

    commit: str
    files: tuple[ListedFile, ...]

    @property
    def bytes(self) -> int:
        return sum(file.size for file in self.files)


@dataclass(frozen=True, slots=True)
class Hub:
    """The Hub that the environment names."""

    endpoint: str | None
    offline: bool
    #: Whether the client draws its progress bars on stderr.
    bars: bool = False

    @classmethod
    def of(cls, environ: Mapping[str, str], *, bars: bool = False) -> Hub:
        from huggingface_hub import constants

        offline = constants.HF_HUB_OFFLINE or environ.get("HF_HUB_OFFLINE", "").upper() in (
            "1",
            "ON",
            "YES",
            "TRUE",
        )
        return cls(environ.get("HF_ENDPOINT") or None, offline, bars)

    @property
    def resumes(self) -> bool:
        """Whether the client goes on with a file that an earlier attempt began.

        Newer ones (1.33.0 and 2.4.0, not yet 0.36.2) write each attempt to a file of its own name, with a uuid in it
        (``_download_to_tmp_and_move`` of huggingface_hub/file_download.py), and begin it anew. No release tells.
        """
        from huggingface_hub import file_download

        code = getattr(getattr(file_download, "_download_to_tmp_and_move", None), "__code__", None)
        return code is not None and "uuid" not in code.co_names

    def listing(self, name: Name, revision: str | None, selection: Selection) -> Listing:
        """What a revision holds of the files asked for. Raises `HubRefused`, `UsageError`."""
        from huggingface_hub import HfApi
        from huggingface_hub.hf_api import RepoFile
        from huggingface_hub.utils import filter_repo_objects  # type: ignore[attr-defined]

        with _in_its_own_words(self.endpoint):
            api = HfApi(endpoint=self.endpoint)
            info: Any = api.repo_info(name.repo_id, repo_type=name.repo_type, revision=revision)
            entries = api.list_repo_tree(
                name.repo_id, repo_type=name.repo_type, revision=info.sha, recursive=True
            )
            files = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
            chosen = filter_repo_objects(
                files,
                allow_patterns=list(selection.include) or None,
                ignore_patterns=list(selection.exclude) or None,
            )
            if not isinstance(info.sha, str):
                raise ValueError(f"{info.sha!r} is no commit")
            return Listing(info.sha, tuple(_listed(files[path]) for path in chosen))

    def fetch(self, name: Name, revision: str | None, cache: str, selection: Selection) -> str:
        """Let the client fetch what the cache lacks; the snapshot's folder.

        Offline, the folder is given only if it is there. Raises `HubRefused`, `UsageError`, `OSError`.
        """
        from huggingface_hub import snapshot_download

        with self._quietly(), _in_its_own_words(self.endpoint):
            return str(
                snapshot_download(
                    name.repo_id,
                    repo_type=name.repo_type,
                    revision=revision,
                    cache_dir=cache,
                    endpoint=self.endpoint,
                    allow_patterns=list(selection.include) or None,
                    ignore_patterns=list(selection.exclude) or None,
                    local_files_only=self.offline,
                )
            )

    def fetch_file(self, name: Name, revision: str, file: str, cache: str) -> str:
        """Let the client fetch one file into `cache`, a folder of its own; its path there.

        Raises `HubRefused`, also offline, `UsageError`, `OSError`.
        """
        from huggingface_hub import hf_hub_download

        if self.offline:
            raise HubRefused("HF_HUB_OFFLINE is set", "unset it to ask the Hub")
        with self._quietly(), _in_its_own_words(self.endpoint):
            return str(
                hf_hub_download(
                    name.repo_id,
                    file,
                    repo_type=name.repo_type,
                    revision=revision,
                    cache_dir=cache,
                    endpoint=self.endpoint,
                )
            )

    def can_fetch_rest(self, size: int) -> bool:
        """Whether plain HTTP is enough for a file of `size` bytes: the Hub hands out no larger ones by it."""
        from huggingface_hub import constants

        return not self.offline and size <= getattr(constants, "MAX_HTTP_DOWNLOAD_SIZE", size)

    def fetch_rest(
        self, name: Name, revision: str, file: str, into: BinaryIO, *, begun: int, size: int
    ) -> None:
        """Append to the first `begun` bytes of a file, which is at its end there, the rest of its `size` bytes.

        By the client's own transport, which goes on after a fault of the net (``http_get`` of
        huggingface_hub/file_download.py, 0.23.5 to 2.4.0). Where the server hands out all of it `into` begins anew.
        Raises `HubAway`, `HubRefused`, `UsageError`, `OSError`.
        """
        from huggingface_hub import get_hf_file_metadata, hf_hub_url
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]

        with self._quietly(), _in_its_own_words(self.endpoint):
            url = hf_hub_url(
                name.repo_id, file, repo_type=name.repo_type, revision=revision, endpoint=self.endpoint
            )
            headers = build_hf_headers()
            place = get_hf_file_metadata(url, headers=headers).location
            if urlsplit(place).netloc != urlsplit(url).netloc:
                # As the client does: where the content lies is not told who asks.
                headers.pop("authorization", None)
            http_get(place, into, resume_size=begun, headers=headers, expected_size=size)

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Without the client's progress bars, where none are wanted."""
        from huggingface_hub.utils.tqdm import (
            are_progress_bars_disabled,
            disable_progress_bars,
            enable_progress_bars,
        )

        quiet = not self.bars and not are_progress_bars_disabled()
        if quiet:
            disable_progress_bars()
        try:
            yield
        finally:
            if quiet:
                enable_progress_bars()


def _listed(entry: Any) -> ListedFile:
    """Raises `ValueError` for a digest or size that is none: a path is made of the one, sums of the other."""
    if entry.lfs is not None:
        algorithm, digest, size = "sha256", entry.lfs.sha256, entry.lfs.size
    else:
        algorithm, digest, size = "git-sha1", entry.blob_id, entry.size
    if not isinstance(digest, str) or not _DIGESTS[algorithm].fullmatch(digest):
        raise ValueError(f"{digest!r} is no {algorithm}")
    if type(size) is not int or size < 0 or not isinstance(entry.path, str):
        raise ValueError(f"{entry.path!r} has no length")
    return ListedFile(entry.path, size, {algorithm: digest})


def _transport_errors() -> tuple[type[Exception], ...]:
    return tuple(getattr(sys.modules[module], name) for module, name in _TRANSPORTS if module in sys.modules)


def _away(error: BaseException | None) -> bool:
    """Whether the Hub did not answer at all, or said that it is down."""
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError):
        return _away(error.__cause__)
    if isinstance(error, errors.HfHubHTTPError):
        status = getattr(getattr(error, "response", None), "status_code", None)
        return isinstance(status, int) and status >= 500
    return isinstance(error, _transport_errors())


def _no_answer(error: Exception, endpoint: str | None) -> HubAway:
    from huggingface_hub import constants

    host = urlsplit(endpoint or constants.ENDPOINT).netloc or endpoint
    named = f"HF_ENDPOINT names it ({endpoint})" if endpoint else "set HF_ENDPOINT to ask another"
    return HubAway(
        f"the Hub at {host} does not answer: {_line(error)}",
        f"check the network; {named}; what is there already stays, and the same command goes on from here",
    )


@contextmanager
def _in_its_own_words(endpoint: str | None) -> Iterator[None]:
    """Turn what the client raises into one line of its own words and a hint; `HubAway` where no Hub answers."""
    from huggingface_hub import errors

    refused: tuple[type[Exception], ...] = (
        errors.HfHubHTTPError,
        errors.EntryNotFoundError,
        *_transport_errors(),
    )
    try:
        yield
    except errors.HFValidationError as error:
        raise UsageError(_line(error), "write it as org/name, or datasets/org/name") from error
    except errors.OfflineModeIsEnabled as error:
        raise HubRefused(_line(error), "unset HF_HUB_OFFLINE to ask the Hub") from error
    except errors.GatedRepoError as error:
        raise HubRefused(_line(error), "ask for access on its page, then `hf auth login`") from error
    except errors.RepositoryNotFoundError as error:
        raise HubRefused(
            _line(error), "check the spelling; for a private one, `hf auth login` first"
        ) from error
    except refused as error:
        if _away(error):
            raise _no_answer(error, endpoint) from error
        raise HubRefused(
            _line(error), "what is there already stays; the same command goes on from here"
        ) from error
    except OSError:
        raise
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, AssertionError) as error:
        raise HubRefused(
            f"the Hub's answer makes no sense ({type(error).__name__}: {_line(error)})",
            "if HF_ENDPOINT names a mirror, ask the Hub itself; what is there already stays",
        ) from error


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
