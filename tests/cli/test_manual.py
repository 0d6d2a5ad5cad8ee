"""The manual page: all that the help says, as roff that shows it, in every wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import click
import pytest

from hubfold.cli import errors
from hubfold.cli.app import hubfold as program
from hubfold.cli.shell import manual
from tests import CHECKOUT
from tests.test_docs import ALL

PAGE = manual.page(program, "1.2.3")


def shown(roff: str) -> str:
    """The page without what roff is told."""
    plain = re.sub(r'(?m)^\.(SS|SH|TH|PP|TP|B) ?"?', "", roff)
    for sign, meaning in (
        ("\\-", "-"),
        ("\\(ti", "~"),
        ("\\(ga", "`"),
        ("\\(aq", "'"),
        ("\\(dq", '"'),
        ("\\e", "\\"),
    ):
        plain = plain.replace(sign, meaning)
    return plain


@pytest.mark.parametrize("name", ALL)
def test_it_has_every_command_with_every_flag_and_example(name: str) -> None:
    text = shown(PAGE)
    own = text if name == "hubfold" else text.partition(f"\n{name} [OPTIONS]")[2].partition("[OPTIONS]")[0]
    assert own
    for parameter in ALL[name].params:
        if isinstance(parameter, click.Option):
            assert max(parameter.opts, key=len) in text
            if parameter.opts[0] not in ("--json", "-q", "--no-color"):
                assert " ".join((parameter.help or "").split()) in own
    for line, meaning in ALL[name].examples:
        assert line in own and meaning in own
    assert " ".join((ALL[name].help or "").split("\n\n")[0].split()) in own or name == "hubfold"


def test_it_says_what_exit_codes_mean() -> None:
    codes = {value for name, value in vars(errors).items() if name.isupper() and isinstance(value, int)}
    assert codes == set(errors.MEANINGS)
    ends = PAGE.partition(".SH EXIT STATUS")[2].partition(".SH")[0]
    assert [int(code) for code in re.findall(r"(?m)^\.B (\d+)$", ends)] == sorted(codes)


def test_nothing_of_a_text_is_a_request() -> None:
    examples = [("hubfold \\ '-x' ~/\"y\"", ".tar\nis an ending"), ("hubfold", "…")]
    command = manual.HelpWithExamples("one", help="One.\n\n.tar is an ending. 'x'", examples=examples)
    made = manual.page(click.Group("hubfold", commands={"one": command}, help="All of it."), "1")
    assert "\n\\&.tar is an ending. \\(aqx\\(aq\n" in made
    assert r'.B hubfold \e \(aq\-x\(aq \(ti/"y"' in made
    assert not [line for line in made.splitlines() if re.match(r"[.'](?!TH |SH |SS |PP|TP|B )", line)]


@pytest.mark.skipif(shutil.which("groff") is None, reason="no groff here")
def test_roff_has_nothing_to_complain_of() -> None:
    done = subprocess.run(
        ["groff", "-man", "-ww", "-Tutf8"], input=PAGE, capture_output=True, text=True, check=True
    )
    assert done.stderr == ""


@pytest.mark.slow
def test_a_wheel_has_the_page_of_its_program(tmp_path: Path) -> None:
    from hatchling.builders.wheel import WheelBuilder

    builder = WheelBuilder(str(CHECKOUT))
    [wheel] = builder.build(directory=str(tmp_path), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith("/data/share/man/man1/hubfold.1")]
        assert archive.read(name).decode() == manual.page(program, builder.metadata.version)
