"""`hubfold report`: its figures against those of other commands, and the page in a real browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import pytest

from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, hub_cache, model_files
from tests.building.program import Program

#: A name that would be markup, a script or an escape in a page that were put together from texts.
HOSTILE = "<script><img src=x onerror=alert(1)>\x1b[31m&amp;\udcff.bin"


@pytest.fixture
def tree(hubfold: Program, loopback_hub: LoopbackHub) -> Tree:
    loopback_hub.add("org/base", model_files("base", 1_400_000))
    made = Tree(hubfold.home, loopback_hub)
    made.build({"hf/hub": hub_cache("org/base")})
    (made.folder / "models").mkdir()
    [blob] = made["hf/hub/models--org--base/snapshots"].glob("*/model.safetensors")
    for name in ("copy.safetensors", HOSTILE):
        shutil.copy(blob, made.folder / "models" / name)
    hubfold("roots", "add", str(made.folder / "models"))
    return made


def test_its_figures_are_those_of_the_other_commands(hubfold: Program, tree: Tree) -> None:
    told = hubfold("report", "--json").json
    scan, models = hubfold("scan", "--json").json, hubfold("ls", "--json").json["models"]
    assert told["space"] == scan["space"] | {"state_bytes": told["space"]["state_bytes"]}
    assert told["reclaimable_bytes"] == scan["reclaimable_bytes"] > 0
    assert [(one["id"], one["physical_bytes"], one["freed_bytes"]) for one in told["models"]] == [
        (one["id"], one["physical_bytes"], one["freed_bytes"]) for one in models
    ]
    assert told["duplicates"] == hubfold("dupes", "--json").json["sets"]
    mapped = sum(place["bytes"] for place in told["map"])
    assert mapped == told["space"]["total_bytes"]
    twice = [
        file for place in told["map"] for one in place["models"] for file in one["files"] if file["duplicate"]
    ]
    assert len(twice) == 3 and "model.safetensors" in {file["name"] for file in twice}


def test_the_text_has_the_largest_and_says_what_to_do_next(hubfold: Program, tree: Tree) -> None:
    done = hubfold("report")
    assert done.code == 0
    assert "org/base" in done.out and "duplicate" in done.out and "report --html" in done.err


def test_without_a_root_it_says_so(hubfold: Program) -> None:
    assert "No cache was found" in hubfold("report").out


def test_a_page_goes_only_where_it_may(hubfold: Program, tree: Tree) -> None:
    other = tree.folder / "notes.html"
    other.write_text("mine")
    done = hubfold("report", "--html", str(other))
    assert done.code == 2 and "was not written by hubfold" in done.err and other.read_text() == "mine"
    page = tree.folder / "report.html"
    for _ in range(2):
        assert hubfold("report", "--html", str(page)).code == 0
    assert hubfold("report", "--html", "-").out.startswith("<!DOCTYPE html>")


class Tags(HTMLParser):
    """The elements of a page, and all that is loaded."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.loaded += [
            f"{tag} {key}" for key, _ in attrs if key in ("src", "href", "action") or key.startswith("on")
        ]


def test_no_name_from_a_disk_becomes_markup_and_nothing_is_loaded(hubfold: Program, tree: Tree) -> None:
    text = hubfold("report", "--html", "-").out
    page = Tags()
    page.feed(text)
    assert "img" not in page.tags and not page.loaded
    assert "\x1b" not in text and r"\x1b[31m" in text
    assert "http" not in re.sub(r'http-equiv="', "", text).replace("http://www.w3.org", "")


def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("needs Chromium")
    return found


@pytest.mark.slow
def test_a_real_browser_shows_it_with_no_error_and_no_request(
    hubfold: Program, tree: Tree, tmp_path: Path
) -> None:
    page = tmp_path / "report.html"
    assert hubfold("report", "--html", str(page)).code == 0
    # Each title sorts by the click of a user; what a page says of itself then is dumped.
    clicks = "for (const one of document.querySelectorAll('th button')) one.click();"
    page.write_text(page.read_text().replace("</body>", f"<script>{clicks}</script></body>"))
    command = [chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    done = subprocess.run(
        [*command, profile, "--dump-dom", page.as_uri()], capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0
    assert "CONSOLE" not in done.stderr
    assert len(re.findall("<th [^>]*aria-sort=", done.stdout)) == done.stdout.count("<table>") > 0
    assert '<g class="model"' in done.stdout and 'tabindex="0"' in done.stdout
