"""`hubfold help`."""

from __future__ import annotations

import pytest

from tests.building.program import Program


@pytest.mark.parametrize("names", [(), ("scan",), ("roots",), ("roots", "add")])
def test_it_is_what_the_flag_shows(hubfold: Program, names: tuple[str, ...]) -> None:
    done = hubfold("help", *names)
    assert (done.code, done.err) == (0, "")
    assert done.out == hubfold(*names, "--help").out
    assert hubfold("help", "-q", *names).out == done.out


def test_a_command_that_is_none_gets_the_nearest(hubfold: Program) -> None:
    for names, told in (
        (("scna",), "no command is called 'scna'; did you mean scan?"),
        (("roots", "ad"), "no command is called 'ad'; did you mean add?"),
        (("scan", "more"), "hubfold scan has no commands below it"),
    ):
        done = hubfold("help", *names)
        assert (done.code, done.out) == (2, "")
        assert done.err.splitlines()[0] == f"hubfold: {told}"
        assert "--help` shows" in done.err.splitlines()[1]
