"""What llama.cpp noted of its files, whoever wrote it: which repository a file is of, and what its bytes are."""

from __future__ import annotations

import json

import pytest

from hubfold_plugins.llamacpp.notes import Notes
from tests.plugins.llamacpp.test_contract import manifest, sha256

DATA = b"GGUF" * 100
SHA, OTHER = sha256(DATA), "e" * 64


def told(**files: tuple[str, bytes]) -> object:
    return json.loads(manifest(**files))


def test_a_manifest_names_the_files_and_what_they_are() -> None:
    notes = Notes()
    notes.add_manifest("/m", "org/some_repo", told(ggufFile=("Q4/model-00001-of-00002.gguf", DATA)))
    own = "org_some_repo_Q4_model-00001-of-00002.gguf"
    assert notes.file_of(own) == ("org/some_repo", "Q4/model-00001-of-00002.gguf")
    assert notes.claims(own, len(DATA)) == {"sha256": SHA}
    assert notes.claims(own, len(DATA) - 1) == {}, "a file of another length is another file"
    part = "org_some_repo_Q4_model-00002-of-00002.gguf"
    assert notes.file_of(part) == ("org/some_repo", "Q4_model-00002-of-00002.gguf")
    assert notes.claims(part, 1) == {}


def test_of_two_repositories_that_fit_a_name_neither_is_taken() -> None:
    notes = Notes()
    notes.add_manifest("/1", "a/b", told())
    notes.add_manifest("/2", "a/b_c", told())
    assert notes.file_of("a_b_x.gguf") == ("a/b", "x.gguf")
    assert notes.file_of("a_b_c_x.gguf") == ("", "")
    assert notes.file_of("other_x.gguf") == ("", "")


def test_an_etag_is_believed_unless_one_is_shown_to_be_something_else() -> None:
    notes = Notes()
    notes.add_etag("asked.gguf", f'"{OTHER}"\n')
    assert notes.claims("asked.gguf", 7) == {"sha256": OTHER}
    notes.add_manifest("/m", "a/b", told(ggufFile=("x.gguf", DATA)))
    notes.add_etag("a_b_x.gguf", SHA)
    assert notes.claims("asked.gguf", 7) == {"sha256": OTHER}
    notes.add_etag("a_b_x.gguf", "f" * 64)
    assert notes.claims("asked.gguf", 7) == {}
    assert notes.claims("a_b_x.gguf", len(DATA)) == {"sha256": SHA}, "the Hub's own word"


@pytest.mark.parametrize(
    "etag", ["", '"', "W/", f'"{SHA[:-1]}"', f'"{SHA}-9"', SHA.upper(), "\x1b[31m", '"d41d8-99"']
)
def test_other_etags_say_nothing(etag: str) -> None:
    notes = Notes()
    notes.add_etag("x.gguf", etag)
    assert notes.claims("x.gguf", 1) == {}


@pytest.mark.parametrize(
    "manifest",
    [
        None,
        [],
        {"ggufFile": None},
        {"ggufFile": {"rfilename": 3}},
        {"ggufFile": {"rfilename": "../../etc/passwd", "lfs": {"sha256": SHA, "size": 1}}},
        {"ggufFile": {"rfilename": "x\0", "lfs": {"sha256": SHA, "size": 1}}},
        {"ggufFile": {"rfilename": "x", "lfs": {"sha256": "../x", "size": 1}}},
        {"ggufFile": {"rfilename": "x", "lfs": {"sha256": SHA, "size": True}}},
        {"ggufFile": {"rfilename": "x", "lfs": {"sha256": SHA, "size": "9" * 5000}}},
        {"ggufFile": {"rfilename": "x", "lfs": [SHA]}},
    ],
)
def test_a_hostile_manifest_says_nothing_of_the_bytes(manifest: object) -> None:
    notes = Notes()
    notes.add_manifest("/m", "a/b", manifest)
    for name in ("a_b_x", "a_b_.._.._etc_passwd"):
        assert notes.claims(name, 1) == {}
        assert notes.file_of(name)[1] in ("x", ".._.._etc_passwd")


@pytest.mark.parametrize(
    "url",
    [
        3,
        "",
        "x",
        "https://h/a/b/resolve/main/../x",
        "https://h/../b/resolve/main/x",
        "https://h/a/b/tree/main/x",
    ],
)
def test_a_url_of_another_shape_names_no_repository(url: object) -> None:
    notes = Notes()
    notes.add_url("x.gguf", {"url": url, "etag": ["no"]})
    assert notes.file_of("x.gguf") == ("", "")
    notes.add_url("x.gguf", {"url": "https://hf.co/a/b/resolve/main/sub/x.gguf?download=true"})
    assert notes.file_of("x.gguf") == ("a/b", "sub/x.gguf")
