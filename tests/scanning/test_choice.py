"""What of a root is content, asked of `Chosen` itself. What users see of it: `tests/cli/test_which_files.py`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hubfold.backend.contract import Capabilities, StorageBackend
from hubfold.content import VAULT, Replica, Root, Scope
from hubfold.errors import UsageError
from hubfold.scanning.choice import IGNORE_FILE, Chosen


class Plain(StorageBackend):
    name = "plain"
    capabilities = Capabilities(vouches=False)


class Store(StorageBackend):
    name = "store"


def chosen(scope: Scope, backend: type[StorageBackend] = Plain) -> Chosen:
    return Chosen(scope, Root("/root", backend.name), backend())


def replica(path: str, *, vouched: bool = False) -> Replica:
    return Replica(path, os.stat(__file__), vouched=vouched)


def test_a_store_vouches_for_all_and_a_client_for_what_it_noted() -> None:
    assert chosen(Scope(), Store).takes(replica("/root/any.thing"))
    assert not chosen(Scope()).takes(replica("/root/any.thing"))
    assert chosen(Scope()).takes(replica("/root/any.thing", vouched=True))
    assert chosen(Scope(all_files=True)).takes(replica("/root/any.thing"))
    assert chosen(Scope()).takes(replica("/root/a.safetensors"))
    assert not chosen(Scope(include=("*.dat",))).takes(replica("/root/a.safetensors"))
    assert chosen(Scope(include=("*.dat",)), Store).takes(replica("/root/a.safetensors"))


def test_a_vault_is_left_whole_by_every_pattern() -> None:
    vault = Chosen(Scope(exclude=("*",)), Root("/root/.hubfold", VAULT), Store())
    assert not vault.narrows("/root/.hubfold", {IGNORE_FILE}, lambda path: "*")
    assert vault.takes(replica("/root/.hubfold/objects/ab/abc"))


@pytest.mark.parametrize(
    ("pattern", "folder", "name", "out"),
    [
        ("*.bin", "/root/deep", "a.bin", True),
        ("deep/", "/root", "deep", True),
        ("a/b", "/root/a", "b", True),
        ("a/b", "/root/c/a", "b", False),
        ("/root/a", "/root", "a", True),
        ("/a", "/root", "a", False),
        ("/*/a", "/root", "a", True),
    ],
)
def test_patterns_are_of_the_root_or_of_the_file_system(
    pattern: str, folder: str, name: str, out: bool
) -> None:
    one = chosen(Scope(exclude=(pattern,)))
    assert one.narrows("/root", set(), lambda path: None)
    assert one.leaves_out(folder, name, is_folder=pattern.endswith("/")) is out


def test_an_ignore_file_that_cannot_be_read_leaves_out_all_it_may_be_about() -> None:
    one = chosen(Scope())
    assert one.narrows("/root", {IGNORE_FILE}, lambda path: None)
    assert one.leaves_out("/root", "a.safetensors")


def test_a_line_that_is_no_pattern_says_nothing() -> None:
    one = chosen(Scope())
    assert one.narrows("/root", {IGNORE_FILE}, lambda path: "!\n*.bin\n")
    assert one.leaves_out("/root", "a.bin")
    assert not one.leaves_out("/root", "a.gguf")


def test_a_word_of_the_user_that_is_no_pattern_is_an_error() -> None:
    with pytest.raises(UsageError):
        chosen(Scope(exclude=("!",)))


def test_what_was_chosen_is_told_apart_where_it_says_what_has_a_row(tmp_path: Path) -> None:
    tokens = {chosen(scope).token for scope in (Scope(), Scope(all_files=True), Scope(include=("*.a",)))}
    assert len(tokens) == 3
    assert chosen(Scope(), Store).token == b""
