"""Where the bytes are: each payload once."""

from __future__ import annotations

from hubfold.content import IndexedReplica, Root, Signature
from hubfold.library.space_map import space_map


def replica(path: str, inode: int, allocated: int, repo: str | None = None) -> IndexedReplica:
    return IndexedReplica(
        path=path,
        root="/",
        backend="b",
        signature=Signature(1, inode, allocated, 0, 0),
        allocated=allocated,
        nlink=1,
        mode=0o644,
        uid=0,
        gid=0,
        claims={},
        computed={},
        repo_id=repo,
    )


def test_a_payload_counts_where_it_is_met_first_and_what_takes_nothing_nowhere() -> None:
    cache = [
        replica("/hub/a", 1, 500, "org/base"),
        replica("/hub/b", 2, 700, "org/base"),
        replica("/hub/c", 3, 0),
    ]
    copies = [replica("/copies/x/w.bin", 1, 500), replica("/copies/y.bin", 4, 700)]
    found = space_map(
        [(Root("/hub", "cache"), cache), (Root("/copies", "plain"), copies), (Root("/empty", "plain"), [])],
        {(1, 2), (1, 4)},
        {"/hub/a": "model.bin"},
    )
    assert [(place.path, place.bytes) for place in found] == [("/hub", 1200), ("/copies", 700)]
    (model,) = found[0].models
    assert (model.id, model.bytes) == ("org/base", 1200)
    assert [(file.name, file.bytes, file.duplicate) for file in model.files] == [
        ("b", 700, True),
        ("model.bin", 500, False),
    ]
    assert [(model.id, [file.name for file in model.files]) for model in found[1].models] == [("", ["y.bin"])]
