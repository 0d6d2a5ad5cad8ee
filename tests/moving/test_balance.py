"""Each place under its limit: what was used longest ago goes to the next place, and nothing else."""

from __future__ import annotations

import os
import subprocess

import pytest

from hubfold.content import Role
from hubfold.disk.in_use import is_open
from hubfold.engine.balancing import PINNED
from hubfold.models.names import UnknownModel
from hubfold.moving.plan import OPEN
from hubfold.reports.moves import BalanceReport
from hubfold.state.used import Use
from tests.building import tree
from tests.moving.conftest import Machine

MIB = 1 << 20


def places(machine: Machine, limit: int, behind: int | None = None) -> None:
    """The cache may hold `limit` bytes, the drive behind it `behind`."""
    machine.slow.mkdir(exist_ok=True)
    tree.cache(str(machine.slow), "org/there", {"x.bin": b"x"})
    machine.engine.add_root(machine.hub, role=Role.PRIMARY, limit=limit)
    machine.engine.add_root(machine.slow, limit=behind)


def used(machine: Machine, *models: str) -> None:
    """These models were used, the last one last."""
    for number, model in enumerate(models):
        machine.engine.state.used.note([("model", model)], Use(2_000_000_000 + number * 1000, "path"))


def balance(machine: Machine) -> BalanceReport:
    return machine.engine.apply_balance(machine.engine.plan_balance())


def holds(folder: str | os.PathLike[str]) -> int:
    """As `du` counts."""
    done = subprocess.run(["du", "-s", "--block-size=1", folder], capture_output=True, text=True, check=True)
    return int(done.stdout.split()[0])


@pytest.mark.slow
@pytest.mark.parametrize("order", [("org/one", "org/two"), ("org/two", "org/one")])
def test_the_least_recently_used_model_goes_and_the_limit_is_kept(
    machine: Machine, order: tuple[str, str]
) -> None:
    places(machine, 3 * MIB // 2)
    used(machine, *order)
    preview = machine.engine.preview_balance(machine.engine.plan_balance())
    report = balance(machine)
    assert [one.name for one in preview.models] == [one.name for one in report.models] == [order[0]]
    assert report.models[0].known_by == "hubfold path"
    assert not machine.losses()
    assert holds(machine.hub) <= 3 * MIB // 2
    assert report.places[0].used == holds(machine.hub) and report.places[0].over == 0
    assert balance(machine).models == ()


@pytest.mark.slow
def test_pinned_models_stay_and_what_stands_in_the_way_is_told(machine: Machine) -> None:
    places(machine, MIB // 2)
    used(machine, "org/one", "org/two")
    assert machine.engine.pin(["org/one"]).pinned == ("org/one",)
    report = balance(machine)
    assert [one.name for one in report.models] == ["org/two"]
    assert [(left.path, left.reason) for left in report.left] == [("org/one", PINNED)]
    assert report.places[0].over == holds(machine.hub) - MIB // 2 > 0
    assert machine.engine.pin(["org/one"], pinned=False).pinned == ()
    assert [one.name for one in balance(machine).models] == ["org/one"]
    assert holds(machine.hub) <= MIB // 2
    with pytest.raises(UnknownModel):
        machine.engine.pin(["org/on"])


@pytest.mark.slow
def test_the_limit_of_the_next_place_holds_too(machine: Machine) -> None:
    places(machine, MIB // 2, behind=3 * MIB // 2)
    used(machine, "org/one", "org/two")
    report = balance(machine)
    assert [one.name for one in report.models] == ["org/one"]
    assert [left.path for left in report.left] == ["org/two"] and "has room" in report.left[0].reason
    assert holds(machine.slow) <= 3 * MIB // 2
    assert report.places[0].over > 0


@pytest.mark.slow
def test_what_a_program_has_open_stays(machine: Machine) -> None:
    places(machine, 3 * MIB // 2)
    used(machine, "org/one", "org/two")
    with machine.blob().open("rb"):
        if not is_open(str(machine.blob())):
            pytest.skip("no leases here")
        report = balance(machine)
    assert [one.name for one in report.models] == ["org/two"]
    assert [left.reason for left in report.left] == [OPEN]


def test_without_a_note_of_use_the_times_of_files_tell(machine: Machine) -> None:
    places(machine, 3 * MIB // 2)
    blob = machine.blob("sub/other.safetensors", "org/two")
    os.utime(blob, ns=(tree.OLD_NS + 10**12, tree.OLD_NS - 10**15))
    os.utime(machine.blob(), ns=(tree.OLD_NS, tree.OLD_NS))
    os.utime(machine.blob("config.json"), ns=(tree.OLD_NS, tree.OLD_NS))
    plan = machine.engine.plan_balance()
    going = machine.engine.preview_balance(plan).models
    assert [(one.name, one.known_by) for one in going] == [("org/one", "came")]


def test_where_no_place_has_a_limit_nothing_is_asked(machine: Machine) -> None:
    machine.engine.add_root(machine.hub, role=Role.PRIMARY)
    assert machine.engine.preview_balance(machine.engine.plan_balance()) == BalanceReport((), ())


def test_path_and_check_are_uses(machine: Machine) -> None:
    machine.engine.add_root(machine.hub)
    machine.engine.model_path("org/one")
    machine.engine.check(["org/one", "org/two"])
    uses = machine.engine.state.used.uses()
    assert uses["model", "org/one"].by == "path"
