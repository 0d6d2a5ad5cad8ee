"""Content re-read: what is told of bytes that are not what they should be."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from hubfold import Engine
from hubfold.backend.contract import Capabilities, Folder, StorageBackend
from hubfold.content import Replica, Root
from hubfold.progress import Stop
from hubfold.reading.pool import Readers
from tests.building import tree
from tests.building.scanned import Place, blob, git_blob, noise

MIB = 1 << 20


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    one = Place(tmp_path)
    with one.index:
        yield one


def kinds(place: Place, links: tuple[str, ...] = ()) -> dict[str, str]:
    return {os.path.relpath(one.path, place.folder): one.kind for one in place.verify(links=links).problems}


def rot(path: Path, *, size: int | None = None) -> None:
    """Other bytes with the same times, as a fault of the drive leaves them."""
    before = path.stat()
    with open(path, "r+b") as file:
        file.seek(path.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def local_copy(place: Place, content: bytes) -> Path:
    """A `local_dir` download with the metadata that the client writes."""
    path = place.file("models/model.safetensors", content)
    lines = ["c" * 40, hashlib.sha256(content).hexdigest(), str(path.stat().st_mtime + 0.5)]
    place.file(
        "models/.cache/huggingface/download/model.safetensors.metadata", ("\n".join(lines) + "\n").encode()
    )
    return path


def test_whole_content_is_no_problem_and_counted(place: Place) -> None:
    blob(place, "hub", noise("lfs"))
    git_blob(place, "hub", noise("git"))
    local_copy(place, noise("local"))
    place.file("plain/a", noise("plain"))
    place.scan("hub", "models", "plain")
    report = place.verify()
    assert (report.checked, report.bytes_read, report.problems) == (4, 4 * MIB, ())
    (plain,) = place.index.below(str(place.folder / "plain"))
    assert plain.computed, "there is something to compare with the next time"
    assert not place.verify().problems


def test_names_of_one_payload_are_read_once(place: Place) -> None:
    path = place.file("plain/a", noise("plain"))
    os.link(path, place.folder / "plain/b")
    place.scan("plain")
    report = place.verify()
    assert (report.checked, report.bytes_read) == (2, MIB)


class Working(StorageBackend):
    """A layout that knows which of its files somebody changed."""

    name = "working"
    capabilities = Capabilities(claims=frozenset({"md5"}))

    @classmethod
    def recognise(cls, path: str, names: Collection[str]) -> str | None:
        return path if "WORK" in names else None

    def replica(self, root: Root, folder: Folder, name: str, stat: os.stat_result) -> Replica | None:
        claims = {"md5": hashlib.md5(b"as it came").hexdigest()}
        path = os.path.join(folder.path, name)
        return None if name == "WORK" else Replica(path, stat, claims, edited=name == "edited.bin")


def test_what_its_layout_says_was_edited_is_edited_and_never_corrupt(place: Place) -> None:
    place.load(Working())
    place.file("work/WORK", b"")
    for name in ("edited.bin", "other.bin"):
        place.file(f"work/{name}", b"other bytes")
    place.scan("work")
    assert kinds(place) == {"work/edited.bin": "edited", "work/other.bin": "corrupt"}
    assert [replica.edited for replica in place.index.below("/")] == [True, False]


@pytest.mark.parametrize("make", [blob, git_blob])
@pytest.mark.parametrize("touched", [False, True])
def test_a_blob_that_is_not_its_name_is_corrupt_however_it_came_to_be(
    place: Place, make: Callable[..., Path], touched: bool
) -> None:
    path = make(place, "hub", noise("lfs"))
    place.scan("hub")
    rot(path)
    if touched:
        os.utime(path, ns=(1, 1))
    (problem,) = place.verify().problems
    assert (problem.path, problem.kind) == (str(path), "corrupt")
    assert ("written to since" in problem.message) is touched
    assert [one.kind for one in place.verify().problems] == ["corrupt"], "and stays so"


def test_a_local_copy_that_was_edited_is_edited(place: Place) -> None:
    path = local_copy(place, noise("local"))
    place.scan("models")
    path.write_bytes(noise("edited"))
    assert kinds(place) == {"models/model.safetensors": "edited"}


def test_a_local_copy_with_other_bytes_and_no_sign_of_an_edit_is_corrupt(place: Place) -> None:
    rot(local_copy(place, noise("local")))
    place.scan("models")
    assert kinds(place) == {"models/model.safetensors": "corrupt"}
    place.scan("models")
    assert kinds(place) == {"models/model.safetensors": "corrupt"}


def test_a_plain_file_is_judged_by_what_was_computed_before(place: Place) -> None:
    for name in ("whole", "rotten", "edited", "touched"):
        place.file(f"plain/{name}", noise(name))
    place.scan("plain")
    place.verify()
    rot(place.folder / "plain/rotten")
    place.file("plain/edited", noise("other"))
    os.utime(place.folder / "plain/touched", ns=(1, 1))
    expected = {"plain/rotten": "corrupt", "plain/edited": "edited"}
    assert kinds(place) == expected
    assert kinds(place)["plain/rotten"] == "corrupt", "rotten bytes do not become what is expected"


def test_what_is_not_there_and_what_leads_nowhere(place: Place) -> None:
    for name in ("missing", "link", "folded", "folder"):
        place.file(f"plain/{name}", noise(name))
    place.file("drive/a", noise("drive"))
    place.scan("plain", "drive")
    keeper = place.file("keeper", noise("folded"))
    for name in ("missing", "link", "folded", "folder"):
        (place.folder / "plain" / name).unlink()
    (place.folder / "plain/link").symlink_to("nowhere")
    (place.folder / "plain/folded").symlink_to(keeper)
    (place.folder / "plain/folder").mkdir()
    shutil.rmtree(place.folder / "drive")
    good = place.folder / "good"
    good.symlink_to(keeper)
    bad = place.folder / "bad"
    bad.symlink_to("nowhere")
    assert kinds(place, (str(good), str(bad))) == {
        "plain/missing": "missing",
        "plain/link": "dangling",
        "plain/folder": "edited",
        "drive/a": "unreadable",
        "bad": "dangling",
    }


def test_a_folded_path_is_judged_by_what_it_reads(place: Place) -> None:
    path = place.file("plain/a", noise("right"))
    place.scan("plain")
    place.verify()
    path.unlink()
    path.symlink_to(place.file("keeper", noise("wrong")))
    assert kinds(place) == {"plain/a": "edited"}


def test_a_read_error_is_unreadable(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.file("plain/a", noise("a"))
    place.scan("plain")

    def failing(*_: object) -> int:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "preadv", failing)
    (problem,) = place.verify().problems
    assert (problem.kind, problem.message) == ("unreadable", "cannot be read: Input/output error")


def test_a_round_that_was_cut_short_goes_on_where_it_was(place: Place, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from hubfold.care.verify import verify
    from hubfold.reports.health import VerifyReport
    from hubfold.state.verified import Verified

    class CutShort(Verified):
        """The power goes before the last file is done."""

        def finish(self, covered: Collection[str]) -> None:
            raise KeyboardInterrupt

    def again(kind: type[Verified] = Verified, below: str = "") -> VerifyReport:
        with ThreadPoolExecutor(1) as executor:
            known = list(place.index.below(str(place.folder / below)))
            return verify(known, place.index, Readers(executor), verified=kind(str(tmp_path / "verified")))

    for number in range(6):
        place.file(f"plain/{number}", noise(f"{number}"))
    place.file("other/name-of-0", b"")
    (place.folder / "other/name-of-0").unlink()
    os.link(place.folder / "plain/0", place.folder / "other/name-of-0")
    place.scan("plain", "other")
    assert not again().problems, "there is something to compare with from now on"
    rot(place.folder / "plain/5")
    with pytest.raises(KeyboardInterrupt):
        again(CutShort, "plain")
    rest = again()
    assert (rest.checked, rest.resumed, rest.bytes_read) == (7, 4, 2 * MIB), (
        "the first has a name that was not looked at"
    )
    assert [os.path.basename(problem.path) for problem in rest.problems] == ["5"], "what is bad is told again"
    assert (again().resumed, again().bytes_read) == (0, 6 * MIB), "a round that came to its end is over"
    with pytest.raises(KeyboardInterrupt):
        again(CutShort)
    place.file("plain/1", noise("anew"))
    place.scan("plain", "other")
    assert again().resumed == 5, "other bytes are read"


def test_it_can_be_stopped(place: Place) -> None:
    from concurrent.futures import ThreadPoolExecutor

    from hubfold.care.verify import verify
    from hubfold.errors import Interrupted

    place.file("plain/a", noise("a"))
    place.scan("plain")
    stop = Stop()
    stop.set()
    with ThreadPoolExecutor(1) as executor, pytest.raises(Interrupted):
        verify(place.index.below("/"), place.index, Readers(executor, stop=stop))


def test_what_only_the_vault_has_by_now_is_read_too(tmp_path: Path) -> None:
    """A client deleted the kept file's repo, and nothing was scanned since: the links read the vault's name of it."""
    place = str(tmp_path / "place")
    hub = f"{place}/hf/hub"
    content = {"model.bin": tree.model("weights", 9000)}
    tree.cache(hub, "org/one", content)
    [link] = tree.local_dir(f"{place}/models/one", content).values()
    with Engine(environ=tree.environment(place)) as engine:
        engine.scan([hub, f"{place}/models/one"], min_size=1)
        assert len(engine.apply(engine.plan(min_size=1)).actions) == 1
        shutil.rmtree(f"{hub}/models--org--one")
        with open(link, "r+b") as file:
            file.write(b"edited")
        [problem] = [one for one in engine.verify().problems if one.kind != "missing"]
        assert problem.kind == "corrupt" and os.path.samefile(problem.path, link)
