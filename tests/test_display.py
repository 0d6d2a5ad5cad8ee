"""Sizes as people type and read them, and text from disk that must not reach a terminal as it is."""

from __future__ import annotations

import json

import pytest

from hubfold import display
from hubfold.errors import UsageError


@pytest.mark.parametrize(
    ("typed", "size"),
    [
        ("0", 0),
        ("4096", 4096),
        ("500M", 500_000_000),
        ("500m", 500_000_000),
        ("10GB", 10_000_000_000),
        ("1.5GiB", 1_610_612_736),
        ("1.5 GiB", 1_610_612_736),
        (" 2TB ", 2_000_000_000_000),
        ("64KiB", 65_536),
        ("1k", 1000),
        ("7B", 7),
        (".5M", 500_000),
        ("9007199254740993B", 9_007_199_254_740_993),
    ],
)
def test_a_size_is_read_as_typed(typed: str, size: int) -> None:
    assert display.parse_size(typed) == size


@pytest.mark.parametrize(
    "typed", ["", "GB", "-1", "1.5.2G", "10 apples", "1e9", "iB", "1iB", "0x10", "٣M", "nan", "1,5G", "5MM"]
)
def test_what_is_no_size_is_refused_with_an_example(typed: str) -> None:
    with pytest.raises(UsageError) as refused:
        display.parse_size(typed)
    assert repr(typed) in str(refused.value)
    assert "1.5GiB" in refused.value.hint


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0B"),
        (999, "999B"),
        (1000, "1.0K"),
        (1_048_576, "1.0M"),
        (999_949, "999.9K"),
        (999_950, "1.0M"),
        (54_100_000_000, "54.1G"),
        (-1500, "-1.5K"),
        (3 * 10**24, "3.0Y"),
    ],
)
def test_a_size_is_shown_in_decimal_units(size: int, text: str) -> None:
    assert display.size(size) == text


def test_sizes_look_as_hf_cache_shows_them() -> None:
    from huggingface_hub.utils._cache_manager import _format_size

    for size in (1000, 1234, 54_100_000_000, 112_400_000_000, 7_000_000_000_000):
        assert display.size(size) == _format_size(size)


def test_time_spans_read_naturally() -> None:
    assert [display.duration(seconds) for seconds in (0.26, 59.9, 59.96, 125, 3600, 3780)] == [
        "0.3 s",
        "59.9 s",
        "1 min 0 s",
        "2 min 5 s",
        "1 h 0 min",
        "1 h 3 min",
    ]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("model.safetensors", "model.safetensors"),
        ("modèle 模型 🤗", "modèle 模型 🤗"),
        ("a\nb", r"a\nb"),
        ("red\x1b[31m", r"red\x1b[31m"),
        ("c1\x9b31m", r"c1\x9b31m"),
        ("evil\u202etxt.exe", r"evil\u202etxt.exe"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("line\u2028end", r"line\u2028end"),
        ("latin\udce9", r"latin\xe9"),
        ("tag\U000e0001", r"tag\U000e0001"),
        ("back\\slash", "back\\slash"),
        ("back\\slash\n", r"back\\slash\n"),
    ],
)
def test_text_from_disk_is_shown_escaped(name: str, text: str) -> None:
    assert display.shown(name) == text
    assert display.shown(name).isprintable()


def test_json_is_ascii_and_keeps_names_that_are_not_utf8() -> None:
    name = b"caf\xe9 \x1b[31m \xe2\x80\xae".decode("utf-8", "surrogateescape")
    text = display.as_json({"path": name})
    assert text.isascii()
    assert r"\udce9" in text
    assert json.loads(text)["path"] == name


@pytest.mark.parametrize(
    ("seconds", "shown"), [(86400, "1d"), (7 * 86400, "7d"), (36 * 3600, "36h"), (90, "90s"), (0, "0s")]
)
def test_a_time_span_is_shown_as_it_is_typed(seconds: int, shown: str) -> None:
    assert display.time_span(seconds) == shown
    assert display.parse_duration(shown) == seconds


@pytest.mark.parametrize(
    ("path", "home", "shown"),
    [
        ("/home/me/models/a", "/home/me", "~/models/a"),
        ("/home/me", "/home/me/", "~"),
        ("/home/meadow/a", "/home/me", "/home/meadow/a"),
        ("/root", "/", "/root"),
        ("/a", "", "/a"),
        (
            "the kept file in /home/me/models, on another drive",
            "/home/me",
            "the kept file in ~/models, on another drive",
        ),
        ("/mnt/home/me/a", "/home/me", "/mnt/home/me/a"),
        ("/root/a", "/", "/root/a"),
    ],
)
def test_the_home_is_a_tilde(path: str, home: str, shown: str) -> None:
    assert display.from_home(path, home) == shown
