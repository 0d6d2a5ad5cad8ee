"""``huggingface-metadata.txt``, which text-generation-webui writes into the folder of a model before it downloads it::

    url: https://huggingface.co/<user>/<repo>
    branch: main
    download date: 2026-05-03 10:00:00
    sha256sum:
        <64 hex> <path in the repository>

Of files that git has itself there is no line. All files come into one folder, whatever folder they had in the
repository.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from hubfold_plugins.flat import hub_name

_SUM = re.compile(r"\s*([0-9a-f]{64})\s+(\S.*)")
_URL = re.compile(r"https?://[^/]+/(.+?)/?")
_BRANCH = re.compile(r"[\w.\-]+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is noted of one folder."""

    #: ``user/repo``; "" where nothing names it.
    repo_id: str = ""
    branch: str = ""
    #: By the file's name in the folder; "" where two files of the repository have it.
    sums: dict[str, str] = field(default_factory=dict)

    def claims(self, name: str) -> dict[str, str]:
        """What the file of this name is to be once it is whole."""
        digest = self.sums.get(name)
        return {"sha256": digest} if digest else {}


def parse(text: str) -> Metadata:
    """What a text says; lines that say nothing are passed over."""
    told: dict[str, str] = {}
    sums: dict[str, str] = {}
    for line in text.splitlines():
        found = _SUM.fullmatch(line)
        if found:
            name = found[2].rpartition("/")[2]
            sums[name] = "" if sums.get(name, found[1]) != found[1] else found[1]
        else:
            key, _, value = line.partition(": ")
            told.setdefault(key, value.strip())
    url = _URL.fullmatch(told.get("url", ""))
    branch = told.get("branch", "")
    return Metadata(hub_name(url[1]) if url else "", branch if _BRANCH.fullmatch(branch) else "", sums)
