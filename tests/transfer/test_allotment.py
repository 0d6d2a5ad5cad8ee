"""Downloads go to the place that a model is registered at, else to the first that has the room; limits hold."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import snapshot_download

from hubfold import Engine
from hubfold.content import Role
from hubfold.errors import HubRefused, NoSpace
from hubfold.models.names import Name
from hubfold.places.places import PlaceAway
from hubfold.places.space import OverLimit, used
from hubfold.reports.transfers import DownloadReport
from hubfold.testing.loopback_hub import LoopbackHub
from hubfold.testing.trees import Tree, model_files, safetensors
from hubfold.transfer.hub import Hub

MIB = 1 << 20


class Places:
    """A client's cache, and the places `fast` (primary) and `slow` beside it."""

    def __init__(self, tree: Tree, hub: LoopbackHub) -> None:
        self.tree, self.hub = tree, hub
        for name in ("hf", "fast", "slow"):
            tree[name].mkdir()
        for name in ("a", "b"):
            hub.add(f"org/{name}", {"config.json": b"{}", "model.safetensors": safetensors(name, 2 * MIB)})
        self.limit(fast=None)

    def engine(self) -> Engine:
        environ = {
            "HF_HUB_CACHE": str(self.tree["hf/hub"]),
            "HF_ENDPOINT": self.hub.endpoint,
            "HOME": str(self.tree.folder),
        }
        return Engine(self.tree.folder / "state", environ=environ)

    def limit(self, *, fast: int | None, slow: int | None = None) -> None:
        with self.engine() as engine:
            engine.add_root(self.tree["fast"], role=Role.PRIMARY, name="fast", limit=fast)
            engine.add_root(self.tree["slow"], name="slow", limit=slow)

    def download(self, *models: str, into: str | None = None) -> DownloadReport:
        with self.engine() as engine:
            return engine.download(engine.plan_download(models, into=into))

    def where(self, report: DownloadReport) -> dict[str, str]:
        return {
            model.name: os.path.basename(one.cache)
            for one in report.each
            for model in one.models
            if model.path and model.path.startswith(one.cache)
        }

    def loads(self, repo_id: str, place: str) -> bool:
        found = snapshot_download(repo_id, cache_dir=self.tree[place], local_files_only=True)
        return (Path(found) / "model.safetensors").read_bytes() == safetensors(repo_id[-1], 2 * MIB)


@pytest.fixture
def there(tree: Tree, loopback_hub: LoopbackHub, monkeypatch: pytest.MonkeyPatch) -> Places:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    return Places(tree, loopback_hub)


def test_downloads_go_to_the_primary_place(there: Places) -> None:
    report = there.download("org/a")
    assert there.where(report) == {"org/a": "fast"} and not report.elsewhere
    assert there.loads("org/a", "fast")
    assert not there.tree["hf/hub"].exists()


def test_what_has_no_room_goes_to_the_next_place_with_the_figures(there: Places) -> None:
    there.limit(fast=3 * MIB)
    report = there.download("org/a", "org/b")
    assert there.where(report) == {"org/a": "fast", "org/b": "slow"}
    assert there.loads("org/b", "slow")
    [other] = report.elsewhere
    assert other.place == "slow"
    assert other.why.startswith("fast has no room for it (0B of 3.1M used, ") or "of 3.1M used" in other.why
    assert used(str(there.tree["fast"])) <= 3 * MIB
    with there.engine() as engine:
        assert engine.plan_download(["org/b"]).cache.path == str(there.tree["slow"]), (
            "where it lies now, it fits"
        )


def test_where_nothing_has_the_room_it_is_refused_and_nothing_is_made(there: Places) -> None:
    there.limit(fast=MIB, slow=MIB)
    with pytest.raises(OverLimit, match=r"fast holds .* of the 1.0M that it may, and this takes 2.1M more"):
        there.download("org/a")
    assert not list(there.tree["fast"].iterdir()) and not list(there.tree["slow"].iterdir())


@pytest.fixture
def small_drive(monkeypatch: pytest.MonkeyPatch) -> None:
    """All places lie on a drive with room for one of the models."""
    monkeypatch.setattr("hubfold.places.space.free_bytes", lambda folder: 3 * MIB)
    usage = type("Usage", (), {"free": 3 * MIB})
    monkeypatch.setattr("hubfold.transfer.download.shutil.disk_usage", lambda folder: usage)


def test_two_places_of_one_drive_share_what_is_free_of_it(there: Places, small_drive: None) -> None:
    """Each of the models fits where it is registered, but not both."""
    with there.engine() as engine:
        engine.register("one", "org/a", at="fast")
        engine.register("other", "org/b", at="slow")
        assert engine.plan_download(["one"]).models and engine.plan_download(["other"]).models
        plan = engine.plan_download(["one", "other"])
        with pytest.raises(
            NoSpace, match=r"has 3\.1M free, and this takes 2\.1M .*beside 2\.1M to other places"
        ):
            engine.download(plan)
    assert not list(there.tree["fast"].iterdir()) and not list(there.tree["slow"].iterdir())


def test_what_does_not_fit_beside_another_place_of_the_drive_does_not_go_on_to_it(
    there: Places, small_drive: None
) -> None:
    with there.engine() as engine:
        plan = engine.plan_download(["org/a", "org/b"])
        assert not plan.elsewhere, "the next place has no more room than the first"
        with pytest.raises(NoSpace, match=r"this takes 4\.2M"):
            engine.check_space(plan)


def test_the_clients_own_cache_is_called_primary_where_no_other_is(there: Places) -> None:
    with there.engine() as engine:
        for name in ("fast", "slow"):
            engine.remove_root(there.tree[name])
        hub = str(there.tree["hf/hub"])
        assert engine.plan_download(["org/a"], into="primary").cache.path == hub
        assert engine.check(["org/a"], cache="primary").cache == hub
        engine.add_root(there.tree["fast"], role=Role.PRIMARY, name="fast")
        assert engine.plan_download(["org/a"], into="primary").cache.path == str(there.tree["fast"])


def test_a_place_that_is_named_is_not_left_for_another(there: Places) -> None:
    there.limit(fast=MIB)
    for into in ("fast", str(there.tree["fast"])):
        with pytest.raises(OverLimit):
            there.download("org/a", into=into)
    assert there.where(there.download("org/a", into="slow")) == {"org/a": "slow"}, "by its name"


@pytest.mark.slow
def test_a_registered_model_goes_to_its_place_and_no_other(there: Places) -> None:
    with there.engine() as engine:
        engine.register("small", "org/a", at="slow")
        engine.register("own", "org/b", path=there.tree["own"])
    report = there.download("small", "own")
    assert {os.path.basename(os.path.dirname(one.cache)): one.cache for one in report.each}.keys() == {
        os.path.basename(there.tree.folder),
        "own",
    }
    assert there.loads("org/a", "slow") and there.loads("org/b", "own/hub")
    there.limit(fast=None, slow=MIB)
    with there.engine() as engine:
        engine.register("more", "org/more", at="slow")
        there.hub.add("org/more", model_files("more"))
        with pytest.raises(OverLimit, match="slow holds"):
            engine.download(engine.plan_download(["more"]))
        engine.unregister(["own"])
        assert engine.model_path("org/b").startswith(str(there.tree["own"])), "what was got there stays known"


def test_by_its_repo_id_too_where_the_names_agree(there: Places) -> None:
    with there.engine() as engine:
        engine.register("small", "org/a", at="slow")
        assert engine.plan_download(["org/a"]).cache.path == str(there.tree["slow"])
        engine.register("other", "org/a", path=there.tree["own"])
        assert engine.plan_download(["org/a"]).cache.path == str(there.tree["fast"])


def test_a_file_shared_with_another_cache_counts_under_the_limit(there: Places) -> None:
    there.download("org/a", into="slow")
    there.limit(fast=MIB)
    with pytest.raises(OverLimit):
        there.download("org/a", into="fast")


def test_a_place_whose_drive_is_away_gets_nothing(there: Places) -> None:
    with there.engine() as engine:
        state = engine.state
    for path, (_, inside, inode) in state.located().items():
        state.remember_located(path, ("ext4:" + "1" * 32, inside, inode))
    for into in (None, "slow", str(there.tree["slow"])):
        with pytest.raises(PlaceAway, match="is away"):
            there.download("org/a", into=into)
    assert not list(there.tree["fast"].iterdir()) and not list(there.tree["slow"].iterdir())


def test_a_restore_keeps_to_the_limit(there: Places) -> None:
    there.download("org/a")
    there.limit(fast=None, slow=MIB)
    with there.engine() as engine:
        engine.backup(engine.plan_backup(there.tree["backup"]))
        plan = engine.plan_restore(there.tree["backup"], into="slow")
        assert plan.root.path == str(there.tree["slow"])
        with pytest.raises(OverLimit, match="slow holds"):
            engine.restore(there.tree["backup"], plan)
    assert not list(there.tree["slow"].iterdir())


def test_a_restore_goes_to_the_next_place_with_the_figures(there: Places) -> None:
    there.download("org/a", into=str(there.tree["hf/hub"]))
    there.limit(fast=MIB)
    with there.engine() as engine:
        engine.backup(engine.plan_backup(there.tree["backup"]))
        plan = engine.plan_restore(there.tree["backup"])
        assert (plan.root.path, "of 1.0M used" in plan.why) == (str(there.tree["slow"]), True)
        assert engine.restore(there.tree["backup"], plan).why == plan.why
    assert there.loads("org/a", "slow")


def test_where_one_cache_gets_nothing_the_others_do(there: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    with there.engine() as engine:
        engine.register("other", "org/b", at="slow")
        plan = engine.plan_download(["other", "org/a"])
        assert [os.path.basename(one.cache.path) for one in plan.each] == ["slow", "fast"]
        fetch = Hub.fetch

        def refuse(hub: Hub, name: Name, *about: Any) -> str:
            if name.repo_id == "org/b":
                raise HubRefused("no")
            return fetch(hub, name, *about)

        monkeypatch.setattr(Hub, "fetch", refuse)
        report = engine.download(plan)
    assert [[one.path for one in each.failed] for each in report.each] == [["org/b"], []]
    assert there.where(report) == {"org/a": "fast"}
