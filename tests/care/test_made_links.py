"""The links that runs made, as the doctor looks at them: each path once, as it was made last."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from hubfold.care.made_links import of_runs, same_file, suspects
from hubfold.content import LinkKind
from hubfold.journal.run_log import RunLog
from tests.building.folding import Scene
from tests.building.journals import FARM, INTENT, MEND, RUN, written

SHA = "ab" * 32


def log(folder: Path, name: str, *records: dict[str, object]) -> RunLog:
    (folder / name).mkdir()
    return written(folder / name, RUN, *records)


def intent(**fields: object) -> dict[str, object]:
    return {"record": "intent", **replace(INTENT, **fields).as_record()}  # type: ignore[arg-type]


DONE = {"record": "done", "number": 1}


def test_what_was_done_is_looked_at_and_what_was_not_or_shares_extents_is_not(tmp_path: Path) -> None:
    runs = [
        log(tmp_path, "1", intent(path="/m/done"), DONE),
        log(tmp_path, "2", intent(path="/m/open")),
        log(tmp_path, "3", intent(path="/m/shared", link="reflink"), DONE),
    ]
    assert [one.path for one in of_runs(runs)] == ["/m/done"]


def test_a_path_that_was_linked_again_is_what_the_later_run_made_of_it(tmp_path: Path) -> None:
    runs = [
        log(tmp_path, "1", intent(path="/m/f", keeper_inode=5), DONE),
        log(tmp_path, "2", intent(path="/m/f", keeper_inode=6), DONE),
    ]
    assert [one.keeper_inode for one in of_runs(runs)] == [6]


def test_links_of_a_farm_count_until_it_is_undone(tmp_path: Path) -> None:
    farm: dict[str, object] = {"record": "farm", **FARM.as_record()}
    [found] = of_runs([log(tmp_path, "1", farm)])
    assert (found.path, found.link, found.target, found.size) == (
        FARM.path,
        LinkKind.SYMLINK,
        FARM.target,
        None,
    )


def test_a_link_has_to_have_every_digest_that_is_known_also_by_the_name_of_its_object(tmp_path: Path) -> None:
    object_ = f"/v/objects/ab/{SHA}"
    [link] = of_runs([log(tmp_path, "1", intent(target=object_, digests={"xet": "t"}), DONE)])
    assert link.wanted == {"sha256": SHA, "xet": "t", "xxh3_128": INTENT.xxh3_128}
    assert link.names == (("/v", object_), (INTENT.keeper_root, INTENT.keeper))
    hard = replace(link, link=LinkKind.HARDLINK)
    assert "sha256" not in hard.wanted
    assert hard.names == ((INTENT.keeper_root, INTENT.keeper), (INTENT.root, INTENT.path))


def test_a_hard_link_is_ours_while_it_shares_its_inode_with_the_keeper(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    keeper, path = scene.file(scene.cache, "b", b"bytes"), scene.root("models") / "m"
    path.hardlink_to(keeper)
    [link] = of_runs([log(tmp_path, "1", intent(keeper=str(keeper), keeper_inode=5, link="hardlink"), DONE)])
    assert link.is_ours(path.stat()), "the keeper was put right since, and is another inode"
    path.unlink()
    path.write_bytes(b"bytes")
    assert not link.is_ours(path.stat()), "somebody saved a file of his own there"
    assert replace(link, keeper_inode=path.stat().st_ino).is_ours(path.stat())
    assert replace(link, link=LinkKind.SYMLINK).is_ours(path.stat())


def test_a_repair_that_was_begun_and_not_finished_makes_its_path_suspect(tmp_path: Path) -> None:
    def mend(number: int, path: str) -> dict[str, object]:
        return {"record": "mend", **replace(MEND, number=number, path=path).as_record()}

    ended: dict[str, object] = {"record": "mended", "numbers": [1]}
    first = log(tmp_path, "1", mend(1, "/m/whole"), mend(2, "/m/open"), ended)
    assert suspects([first]) == ["/m/open"]
    later = log(tmp_path, "2", mend(1, "/m/open"), ended)
    assert suspects([first, later]) == []
    assert suspects([later, first]) == ["/m/open"]


def test_one_file_by_two_names(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"")
    other.hardlink_to(one)
    assert same_file(str(other), os.lstat(one))
    other.unlink()
    other.symlink_to(one)
    assert not same_file(str(other), os.lstat(one)), "a symlink is another file"
    assert not same_file(str(tmp_path / "missing"), os.lstat(one))
