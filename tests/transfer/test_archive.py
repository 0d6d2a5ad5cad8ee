"""The list of a backup: read back as it was written, and refused as a whole where hubfold would not have written it."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubfold.backend.changes import PartPlace
from hubfold.backend.contract import StorageBackend
from hubfold.errors import BackupError
from hubfold.transfer import archive
from hubfold.transfer.archive import BackedUp, Listed, Part, dump, load, pour, unfit
from tests.building.tiers import tries

SHA = "ab" * 32


class Shelf(StorageBackend):
    """A layout whose parts lie in ``model/``, but for ``model/notes``, which belongs in none."""

    name = "shelf"

    def place(self, name: str) -> PartPlace | None:
        return None if name == "model/notes" else PartPlace(0)


BACKENDS = {"shelf": Shelf()}
MODEL = BackedUp(
    "shelf",
    "model",
    "org/base",
    "1" * 40,
    (
        Part("model/blobs/x", SHA, 5, 7),
        Part("model/deep/link", link="../blobs/x"),
        Part("model/empty", hashlib.sha256().hexdigest()),
    ),
)


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """The list of `MODEL`, with something of it changed."""
    document = json.loads(dump([MODEL]))
    change(document)
    return json.dumps(document).encode()


def test_a_list_is_read_back_as_it_was_written() -> None:
    other = BackedUp("shelf", "dataset", "org/data", "", (Part("data/\udcff", SHA, 1, 0),))
    assert load(dump([MODEL, other]), "x", BACKENDS) == Listed((MODEL, other))
    assert load(dump([]), "x", BACKENDS) == Listed(())


def test_the_folder_of_a_model_is_that_of_all_its_parts() -> None:
    assert MODEL.top == "model"
    assert MODEL.key == ("shelf", "model", "org/base", "1" * 40)


@pytest.mark.parametrize("names", [["x"], ["x", "y"], ["blobs/x", "manifests/y"], ["model/x", "model.json"]])
def test_a_model_that_lies_in_several_folders_has_the_root_as_its_own(names: list[str]) -> None:
    model = replace(MODEL, parts=tuple(Part(name, SHA, 5, 7) for name in names))
    assert model.top == ""
    assert load(dump([model]), "x", BACKENDS) == Listed((model,))


def test_one_model_that_is_wrong_stands_in_nobodys_way() -> None:
    document = json.loads(dump([MODEL, MODEL, MODEL]))
    document["models"][0]["parts"][0]["name"] = "../escaped"
    document["models"][1]["layout"] = "attic"
    document["models"].append("no model at all")
    found = load(json.dumps(document).encode(), "x", BACKENDS)
    assert found.models == (MODEL,)
    assert [(one.title, one.reason.split(" ", 1)[0]) for one in found.refused] == [
        ("org/base", "'../escaped'"),
        ("org/base", "no"),
        ("model 4", "string"),
    ]
    kept = json.loads(dump(found.models, found.refused))["models"]
    assert kept[1:] == [document["models"][0], document["models"][1], "no model at all"]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"parts": (Part("model/notes", SHA),)}, "no part of a shelf"),
        ({"parts": ()}, "no parts"),
        ({"layout": "attic"}, "no loaded backend"),
        ({"repo_id": "nul\0"}, "no text"),
        ({"parts": (Part("model/x", SHA), Part("model/l", link="/etc/passwd"))}, "no part of the model"),
        ({"parts": (Part("model/x", SHA, 5, -1),)}, "no size or time"),
    ],
)
def test_what_could_not_be_restored_is_known_before_it_is_written(wrong: dict[str, Any], reason: str) -> None:
    assert unfit(MODEL, BACKENDS) == ""
    model = replace(MODEL, **wrong)
    assert reason in unfit(model, BACKENDS)
    with pytest.raises(BackupError):
        load(dump([model]), "x", BACKENDS)


def part(number: int, **fields: object) -> Callable[[dict[str, Any]], object]:
    return lambda document: document["models"][0]["parts"][number].update(fields)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d.update(format="tar"), "no list of a backup"),
        (lambda d: d.update(version=2), "newer"),
        (lambda d: d.pop("models"), "models"),
        (lambda d: d["models"][0].update(layout="attic"), "no loaded backend is called 'attic'"),
        (lambda d: d["models"][0].update(repo_id=5), "no text"),
        (lambda d: d["models"][0].update(revision="a\0b"), "no text"),
        (lambda d: d["models"][0].update(parts=[]), "no parts"),
        (part(0, name="../x"), "leads out"),
        (part(0, name="/etc/passwd"), "leads out"),
        (part(0, name="model/../../x"), "leads out"),
        (part(0, name="model//x"), "leads out"),
        (part(0, name="other/x"), "no part of the model"),
        (part(0, name="model/.hubfold-1"), "leads out"),
        (part(0, name="model/notes"), "no part of a shelf"),
        (part(0, name="model/\ud800"), "surrogates not allowed"),
        (part(2, name="model/blobs/x"), "two parts of one name"),
        (part(2, name="model/blobs/x/below"), "lies below a file"),
        (part(2, name="model/deep/link/below"), "lies below a file"),
        (part(1, link="/model/blobs/x"), "no part of the model"),
        (part(1, link="../blobs/gone"), "no part of the model"),
        (part(1, link="link"), "no part of the model"),
        (part(1, link="../../other"), "no part of the model"),
        (part(0, sha256="AB" * 32), "no sha256"),
        (part(0, sha256="ab"), "no sha256"),
        (part(0, size=-1), "no size or time"),
        (part(0, size=True), "no size or time"),
        (part(0, mtime_ns=1.5), "no size or time"),
        (part(0, mtime_ns=1 << 62), "no size or time"),
    ],
)
def test_one_wrong_word_and_nothing_is_restored(
    change: Callable[[dict[str, Any]], object], reason: str
) -> None:
    with pytest.raises(BackupError, match=r"/backup is no backup that hubfold has written") as caught:
        load(changed(change), "/backup", BACKENDS)
    assert reason in str(caught.value)
    assert caught.value.hint == "nothing was restored from it"


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b"5", b"\xff", b"[" * 100_000])
def test_what_is_no_list_is_refused(text: bytes) -> None:
    with pytest.raises(BackupError):
        load(text, "/backup", BACKENDS)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.sampled_from(["model/x", "..", SHA]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=tries(40, 200), deadline=None)
@given(st.data())
def test_whatever_stands_in_a_field_every_name_stays_below_its_folder(data: st.DataObject) -> None:
    document = json.loads(dump([MODEL]))
    record = document["models"][0]
    where = data.draw(st.sampled_from([document, record, *record["parts"]]))
    where[data.draw(st.sampled_from(sorted(where)))] = data.draw(JSON)
    try:
        found = load(json.dumps(document).encode(), "x", BACKENDS)
    except BackupError:
        return
    for model in found.models:
        assert all(one.name.startswith(model.top + "/") for one in model.parts if model.top)
        assert not any(one.name.startswith("/") for one in model.parts)
        assert not any(".." in one.name.split("/") for one in model.parts)


def test_what_is_poured_is_hashed_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "CHUNK", 3)
    out, told = io.BytesIO(), []
    digest = pour(io.BytesIO(b"0123456789"), out.write, 8, told.append)
    assert out.getvalue() == b"01234567", "not a byte more than was said"
    assert digest == hashlib.sha256(b"01234567").hexdigest()
    assert told == [3, 3, 2]


def test_what_ends_before_its_time_is_no_content() -> None:
    with pytest.raises(BackupError, match="ends before its time"):
        pour(io.BytesIO(b"012"), io.BytesIO().write, 4, lambda _: None)
