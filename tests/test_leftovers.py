"""What a removal could not empty is not forgotten: the next command goes on with it."""

from __future__ import annotations

import errno
import os

from faults import tree

from hubfold import Engine, fsops


def test_a_revision_that_could_not_be_emptied_is_gone_on_with(tmp_path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    place = str(tmp_path / "place")
    hub = os.path.join(place, "hf/hub")
    tree.cache(hub, "org/one", {"model.bin": tree.model("weights", 5000)})

    def fails(directory: fsops.Directory, name: str) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with Engine(environ=tree.environment(place)) as engine:
        engine.scan([hub], min_size=1)
        with monkeypatch.context() as patch:
            patch.setattr(fsops, "remove_tree", fails)
            assert engine.remove(["org/one"]).failed
            assert engine.recover().left, "it is told, and tried again"
        assert [path for path in tree.files(place) if "/.hubfold-" in path]
        assert engine.runs()[0].state == "unfinished"
        engine.recover()
        assert not [path for path in tree.files(place) if "/.hubfold-" in path]
        assert engine.runs()[0].state == "recovered"
