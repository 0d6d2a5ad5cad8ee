"""What can go wrong, told in one phrase."""

from __future__ import annotations

import errno

import pytest

from hubfold import errors
from hubfold.errors import LeftAlone


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


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.EACCES, "x"), "permission denied"),
        (OSError(errno.EPERM, "x"), "not permitted"),
        (OSError(errno.EROFS, "x"), "the file system is read-only"),
        (OSError(errno.ENOSPC, "x"), "no space left on the file system"),
        (OSError(errno.EDQUOT, "x"), "the disk quota is used up"),
        (OSError(errno.EIO, "x"), "the drive reported an error"),
        (OSError(errno.ENOENT, "x"), "it is gone"),
        (OSError(errno.EMLINK, "x"), "the file system allows no more hard links to this file"),
        (OSError(errno.EXDEV, "x"), "the file system does not link between these two places"),
        (OSError(errno.EOPNOTSUPP, "x"), "the file system does not support it"),
        (OSError(errno.ENOSYS, "x"), "the system does not support it"),
        (OSError(errno.ENOTEMPTY, "Directory not empty"), "Directory not empty"),
        (OSError("no number"), "no number"),
        (LeftAlone("its own words"), "its own words"),
    ],
)
def test_an_error_is_told_in_one_phrase(error: BaseException, words: str) -> None:
    assert errors.describe(error) == words


def test_a_full_disk_and_a_used_up_quota_are_both_out_of_space() -> None:
    assert frozenset({errno.ENOSPC, errno.EDQUOT}) == errors.OUT_OF_SPACE
