"""The next endpoint, for what this host does not have.

Who asks is sent there (307), and asks himself, with what the client thinks right to tell another host: no token passes
through here. But clients follow no redirect from a HEAD of a file to another host, and read its headers instead (as the
Hub answers for files in LFS). So that one is asked from here, without any token, and its answer handed on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from hubfold.errors import UsageError


@dataclass(frozen=True, slots=True)
class Told:
    """An answer to be handed on."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)


def endpoint(text: str) -> str:
    """The URL of an endpoint without a slash at its end. Raises `UsageError`."""
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise UsageError(f"{text!r} is no endpoint", "write a URL, such as https://huggingface.co")
    if parts.username is not None or parts.password is not None:
        raise UsageError("an endpoint takes no name and no password", "leave out what stands before the @")
    return text.rstrip("/")


def head(url: str, seconds: float = 10) -> Told:
    """What the next endpoint says of a file, without a token."""
    from huggingface_hub import errors, get_hf_file_metadata

    try:
        found = get_hf_file_metadata(url, token=False, timeout=seconds)
    except errors.HfHubHTTPError as error:
        response = error.response
        told = {
            name: response.headers[name]
            for name in ("X-Error-Code", "X-Error-Message", "X-Repo-Commit")
            if name in response.headers
        }
        return Told(response.status_code, told)
    # What else its transport raises depends on its release, and means the same.
    except Exception as error:  # noqa: BLE001
        return Told(502, {"X-Error-Message": f"the next endpoint does not answer ({type(error).__name__})"})
    headers = {"Location": url}
    if found.commit_hash is not None:
        headers["X-Repo-Commit"] = found.commit_hash
    if found.etag is not None:
        headers["X-Linked-Etag"] = f'"{found.etag}"'
    if found.size is not None:
        headers["X-Linked-Size"] = str(found.size)
    return Told(307, headers)
