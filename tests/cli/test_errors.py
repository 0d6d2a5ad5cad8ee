"""The one map from what went wrong to a line, a hint and an exit code."""

from __future__ import annotations

import errno
import inspect

import click
import pytest

from hubfold import errors
from hubfold.cli.errors import explain

#: Its words are its own: it is made of a path and a holder.
_OTHERWISE = errors.HeldElsewhere
ALL = [
    one
    for _, one in inspect.getmembers(errors, inspect.isclass)
    if issubclass(one, errors.HubfoldError) and one is not _OTHERWISE
]


@pytest.mark.parametrize("error", ALL, ids=lambda one: one.__name__)
def test_every_error_of_ours_keeps_its_words_and_has_a_code_that_is_no_success(
    error: type[errors.HubfoldError],
) -> None:
    codes = {"UsageError": 2, "Locked": 4, "NeedsConfirmation": 5, "Interrupted": 130}
    assert explain(error("what", "do this")) == (codes.get(error.__name__, 1), "what", "do this")


def test_a_lock_of_another_host_is_told_with_its_holder() -> None:
    assert explain(errors.HeldElsewhere("/lock", "rm on h"))[:2] == (
        1,
        "another run of hubfold holds /lock: rm on h",
    )


def test_what_a_subclass_means_its_error_means() -> None:
    class Narrower(errors.Locked):
        pass

    assert explain(Narrower("held"))[0] == 4


def test_wrong_usage_names_the_command_that_explains_itself() -> None:
    context = click.Context(
        click.Command("scan"),
        info_name="scan",
        parent=click.Context(click.Group("hubfold"), info_name="hubfold"),
    )
    code, text, hint = explain(click.UsageError("No such option: --x.", context))
    assert (code, text) == (2, "no such option: --x")
    assert "`hubfold scan --help`" in hint
    assert "`hubfold --help`" in explain(click.UsageError("No."))[2]
    assert explain(click.ClickException("It broke.")) == (1, "it broke", "")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), click.Abort()])
def test_an_abort_says_what_became_of_the_work(error: BaseException) -> None:
    code, text, hint = explain(error)
    assert (code, text) == (130, "aborted")
    assert "what was done stays done" in hint


def test_a_reader_that_went_away_is_told_nothing() -> None:
    assert explain(BrokenPipeError()) == (141, "", "")


@pytest.mark.parametrize(
    ("number", "hint"),
    [
        (errno.ENOSPC, "make room"),
        (errno.EDQUOT, "make room"),
        (errno.EACCES, "permissions"),
        (errno.EROFS, "writable"),
        (errno.EIO, "dmesg"),
        (errno.ENAMETOOLONG, "HUBFOLD_DEBUG=1"),
    ],
)
def test_an_error_of_the_system_names_its_path_and_what_helps(number: int, hint: str) -> None:
    code, text, told = explain(OSError(number, "said so", "/a/b"))
    assert (code, text) == (1, "/a/b: said so")
    assert hint in told
    assert explain(OSError(number, "said so", b"/a/\xff"))[1] == "/a/\udcff: said so"
    assert explain(OSError(number, "said so"))[1] == "said so"
    # Of a descriptor, which is no name.
    assert explain(OSError(number, "said so", 7))[1] == "said so"


def test_an_error_of_the_system_without_words_is_told_as_it_is() -> None:
    assert explain(OSError("odd"))[:2] == (1, "odd")


def test_anything_else_is_a_fault_and_says_how_to_report_it() -> None:
    code, text, hint = explain(ZeroDivisionError("by zero"))
    assert (code, text) == (1, "unexpected ZeroDivisionError: by zero")
    assert "HUBFOLD_DEBUG=1" in hint
