"""Settings of other programs: a path, or nothing."""

from __future__ import annotations

import pytest

from hubfold_plugins import settings


@pytest.mark.parametrize(
    ("text", "told", "folder"),
    [
        ('{"place": "/mnt/models/../hub/"}', "/mnt/models/../hub/", "/mnt/hub"),
        ('{"place": "models"}', "models", ""),
        ('{"place": ""}', "", ""),
        ('{"place": "/a\\u0000b"}', "", ""),
        ('{"place": ["/mnt"]}', "", ""),
        ('{"other": "/mnt"}', "", ""),
        ('["/mnt"]', "", ""),
        ('{"place": ', "", ""),
        ("[" * 100_000, "", ""),
        ("", "", ""),
        (None, "", ""),
    ],
    ids=lambda one: str(one)[:24],
)
def test_what_settings_say_of_a_place(text: str | None, told: str, folder: str) -> None:
    assert (settings.text_of(text, "place"), settings.folder_of(text, "place")) == (told, folder)
