"""What can go wrong, told in one phrase."""

from __future__ import annotations

import errno

from hubfold import errors


def test_a_hint_is_kept_beside_the_words() -> None:
    error = errors.RootError("it is missing", "look for it")
    assert (str(error), error.hint) == ("it is missing", "look for it")
    assert errors.RootError("it is missing").hint == ""


def test_what_is_left_alone_can_be_told_apart() -> None:
    assert issubclass(errors.Busy, errors.LeftAlone)
    assert issubclass(errors.BytesDiffer, errors.LeftAlone)


def test_the_words_of_an_error_that_has_no_number() -> None:
    assert errors.describe(OSError("odd")) == "odd"
    assert errors.describe(ValueError("odd")) == "odd"
    assert errors.describe(OSError(errno.ENAMETOOLONG, "")) != ""
