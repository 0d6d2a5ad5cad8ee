"""Variables in a compose file."""

from __future__ import annotations

import pytest

from hubfold.errors import UsageError
from hubfold.mounted.variables import filled_in

ENVIRON = {"CACHE": "/srv/hub", "EMPTY": "", "NAME": "x"}


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("$CACHE:/c", "/srv/hub:/c"),
        ("${CACHE}/${NAME}", "/srv/hub/x"),
        ("${GONE}", ""),
        ("${GONE:-~/hub}:/c", "~/hub:/c"),
        ("${EMPTY:-a}", "a"),
        ("${EMPTY-a}", ""),
        ("${GONE-a}", "a"),
        ("${GONE:-${CACHE}/y}", "/srv/hub/y"),
        ("${GONE:-${ALSO:-$NAME}}z", "xz"),
        ("${NAME:+set}${GONE:+set}${EMPTY+set}${EMPTY:+set}", "setset"),
        ("${CACHE:?say}", "/srv/hub"),
        ("$$CACHE $${CACHE}", "$CACHE ${CACHE}"),
        ("no variable", "no variable"),
        ("$NAME-$NAME.", "x-x."),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, filled: str) -> None:
    assert filled_in(text, ENVIRON) == filled


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("${GONE:?name the cache}", "GONE is not set: name the cache"),
        ("${EMPTY:?}", "EMPTY is not set"),
        ("${GONE", "no end"),
        ("${NAME!}", "no end"),
        ("${}", "no name"),
        ("a $ b", "without a name"),
    ],
)
def test_what_is_wrong_is_said(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        filled_in(text, ENVIRON)
