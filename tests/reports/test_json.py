"""The JSON of every report, to the letter: scripts rely on it.

``reports.json`` has what each example is written as. It is changed by hand and on purpose, never by the test.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

import hubfold.reports
from hubfold import demo, display
from hubfold.content import DuplicateSet, IndexedReplica, LinkKind, Partial, Role, Signature, Trust
from hubfold.json_form import JsonForm
from hubfold.models.patterns import Selection
from hubfold.reports.fleet import Answer, ExportedFile, ExportReport, FleetReport
from hubfold.reports.health import (
    DoctorReport,
    Finding,
    MountFinding,
    MountReport,
    Problem,
    VerifyReport,
)
from hubfold.reports.locks import FoundLock, Pulse, UnlockReport
from hubfold.reports.models import (
    CheckedModel,
    CheckReport,
    Disk,
    Download,
    Judged,
    Look,
    MissingFile,
    Model,
    ModelFile,
    ModelPlace,
    ModelsReport,
    Recommendation,
    Revision,
    UnconfiguredModel,
    Wholeness,
)
from hubfold.reports.moves import (
    BalancedModel,
    BalancedPlace,
    BalanceReport,
    MovedModel,
    MoveReport,
    PinReport,
)
from hubfold.reports.origins import Other, Shares, Verdict, WhyReport
from hubfold.reports.outcomes import Failed, Left, Notice
from hubfold.reports.overview import MappedFile, MappedModel, MappedPlace, Overview
from hubfold.reports.places import PlaceUse, RegisteredModel, RegistryReport
from hubfold.reports.removals import Needed, RemovedModel, RemoveReport
from hubfold.reports.runs import (
    ConsolidateReport,
    Done,
    FarmReport,
    GcReport,
    RecoverReport,
    RunDetail,
    RunSummary,
    UndoReport,
)
from hubfold.reports.scans import DupesReport, RootReport, ScanReport, Space, StatusRoot, Unreferenced
from hubfold.reports.transfers import (
    AdoptReport,
    BackedUpModel,
    BackupReport,
    DamagedFile,
    DownloadedModel,
    DownloadReport,
    MigrateReport,
    RestoreReport,
    Reused,
)

GOLDEN = Path(__file__).with_name("reports.json")

#: A name that is not UTF-8, one with what a terminal would obey, and one beyond the basic plane.
ODD, HOSTILE, FAR = "/m/\udcff", '/m/\x1b[2J\n"\\', "/m/\u00e9\U0001f600"

LEFT = Left(path=ODD, reason="it changed")
FAILED = Failed(path=HOSTILE, error="the drive reported an error")
MOUNTED = MountFinding(
    kind="link-leads-out", path=ODD, container="/c/a", message="m", fix="f", service="web",
    mounts=("/v:/v:ro",), links=7,
)  # fmt: skip
NOTICE = Notice(path=FAR, message="cannot be read", kind="unreadable")
DONE = Done(path="/m/a", keeper="/c/k", target="/c/o", link=str(LinkKind.SYMLINK), reason="why", bytes=12)
ROOT = RootReport(path="/m", backend="local-dir", role=Role.PRIMARY, files=3, bytes=40, allocated_bytes=4096)
PLACE_USE = PlaceUse("slow", ODD, 40, 100)
REGISTERED = RegisteredModel(
    name="big",
    repo_id="org/big",
    revision=None,
    place="custom",
    cache_path="/b",
    cache_dir="/b/hub",
    base="/b",
    source="registered",
)
STATUS = StatusRoot(
    path=ODD,
    backend="local-dir",
    role=Role.SECONDARY,
    files=3,
    bytes=40,
    limit=10**12,
    online=True,
    source="added",
)
SUMMARY = RunSummary(
    run="20260131-1",
    command="consolidate",
    started="2026-01-31T12:00:00Z",
    state="finished",
    actions=2,
    bytes=9,
)
MISSING = MissingFile(name="w.bin", bytes=100, reason="is not there", partial_bytes=7, damaged=True)
UNSIZED = MissingFile(name="", bytes=None, reason="no file of it is there")
REVISION = Revision(
    revision="1a2b",
    refs=("main", "v1"),
    path="/c/s/1a2b",
    state=Wholeness.BROKEN,
    judged=Judged.LISTING,
    bytes=60,
    files=(ModelFile(name="a", path="/c/a", bytes=50), ModelFile(name="b", path=ODD, bytes=None)),
    missing=(MISSING,),
    partials=(Partial(path="/c/p", size=7, name="w.bin"),),
    expected_bytes=160,
    last_modified=1700000000.25,
    selected=(Selection(include=("*.bin",), exclude=("old/",)), Selection(include=("a",))),
    unselected=None,
)
NAMELESS = Revision(
    revision="", refs=(), path=FAR, state=Wholeness.INCOMPLETE, judged=Judged.FILES, bytes=0, files=(),
    missing=(UNSIZED,),
)  # fmt: skip
PLACE = ModelPlace(
    root="/c",
    backend="hub-cache",
    role=Role.PRIMARY,
    cache=True,
    path="/c/m",
    bytes=60,
    revisions=(REVISION,),
)
COPY = ModelPlace(
    root="/m", backend="local-dir", role=Role.SECONDARY, cache=False, path=FAR, bytes=1, revisions=(NAMELESS,)
)
MODEL = Model(
    repo_type="dataset",
    repo_id="org/data",
    bytes=60,
    physical_bytes=4096,
    places=(PLACE, COPY),
    last_accessed=1700000001.5,
    last_modified=1700000000.25,
    freed_bytes=512,
)
UNKNOWN = Model(repo_type="model", repo_id="", bytes=1, physical_bytes=2, places=(COPY,))
CHECKED = CheckedModel(
    name="small",
    id="org/small",
    revision="main",
    status="incomplete",
    path="/c/s",
    root="/c",
    bytes=5,
    expected_bytes=12,
    missing=(MISSING, UNSIZED),
    missing_bytes=7,
    near=("org/smaller",),
    copies=("/m/a", ODD),
    reclaimable_bytes=33,
)
RECOMMENDATION = Recommendation(kind="download", message="get it", command="hubfold download x", model="x")
UNCONFIGURED = UnconfiguredModel(id="org/other", bytes=9, state=Wholeness.WHOLE)
DOWNLOAD = Download(path="/c/p", model="org/m", name="w", bytes=7, expected_bytes=100, rate=12.6)
DISK = Disk(mount="/", total_bytes=1000, free_bytes=10, roots=("/c", "/m"), rate=-3.5)
DAMAGED = DamagedFile(name="a/w.bin", reason="has 1 bytes instead of 2")
OTHER = Other(path=ODD, how=Shares.SAME_FILE, repo_id="acme/base")
WHY = WhyReport(
    path="/m/a",
    file="/c/o",
    state=Verdict.FOLDED,
    reason="local copy",
    size=12,
    keeper="/c/k",
    link="symlink",
    run="20260131-1",
    started="2026-01-31T12:00:00Z",
    bytes=4096,
    others=(Other(path="/m/b", how=Shares.LINK), OTHER),
    next=("undo", "20260131-1"),
)
ALONE = WhyReport(path=FAR, file=FAR, state=Verdict.ALONE, reason="no other file has its size")
REUSED = Reused(path="/c/b", source="/m/a", how="hardlink", bytes=9)
DOWNLOADED = DownloadedModel(
    name="org/m", path="/c/s", commit="1a2b", files=3, bytes=90, present_bytes=30, fetch_bytes=60
)
BACKED_UP = BackedUpModel(name="org/m", revision="1a2b", files=3, bytes=90)
REPLICA = IndexedReplica(
    path=ODD,
    root="/m",
    backend="local-dir",
    signature=Signature(1 << 63, 12, 50, -1, 3),
    allocated=4096,
    nlink=1,
    mode=0o644,
    uid=0,
    gid=0,
    claims={"sha256": "ab"},
    computed={},
    repo_id="org/m",
    revision="1a2b",
)
BARE = REPLICA._replace(path="/m/b", repo_id=None, revision=None)


def examples() -> Iterator[tuple[str, Any]]:
    """(title, report); what a report leaves out of its JSON is given too."""
    yield "Left", LEFT
    yield "Failed", FAILED
    yield "Notice", NOTICE
    yield "RootReport", ROOT
    yield "RootReport with an error", dataclasses.replace(ROOT, role=Role.SECONDARY, error="is not there")
    yield "ScanReport", ScanReport(
        roots=(ROOT,), files=3, bytes=40, duplicate_sets=2, reclaimable_bytes=20, bytes_read=10, files_read=1,
        seconds=1.23456, warnings=(NOTICE,),
    )  # fmt: skip
    yield (
        "DupesReport",
        DupesReport(
            sets=((DuplicateSet(50, {"sha256": "ab", "xet": "cd"}, Trust.CLAIMED, (REPLICA, BARE)), 4096),),
            reclaimable_bytes=4096,
        ),
    )
    yield "StatusRoot", STATUS
    yield "StatusRoot without a limit", dataclasses.replace(STATUS, limit=None, online=False)
    yield "Done", DONE
    yield "ConsolidateReport", ConsolidateReport(
        run=None, actions=(DONE,), skipped=(LEFT,), failed=(FAILED,), reclaimed_bytes=12, notes=("as root",),
        interrupted=True,
    )  # fmt: skip
    yield "UndoReport", UndoReport(
        run="r1", restored=("/m/a", ODD), left=(LEFT,), failed=(FAILED,), bytes_needed=5, interrupted=True,
        kept=(Left(path="/m/b", reason="its mode stays"),), removed=(ODD,), folders=("/m",),
    )  # fmt: skip
    yield "ExportReport", ExportReport("/f/x.parquet", 3, 40, others=2)
    exported = ExportedFile("/f/x.parquet", "node7", "ab", 3, 90, stale=True)
    answer = Answer("hosts", "what", ("host", "bytes"), (("node7", 40),))
    yield "ExportedFile", exported
    yield "Answer", answer
    yield "FleetReport", FleetReport((exported,), (answer,), (NOTICE,))
    yield "RunSummary", SUMMARY
    yield "RunDetail", RunDetail(summary=SUMMARY, actions=((DONE, "done"), (DONE, "left")))
    yield (
        "RecoverReport",
        RecoverReport(runs=("r1", "r2"), finished=("/m/a",), rolled_back=(ODD,), left=(LEFT,), waiting=True),
    )
    yield "RecoverReport of nothing", RecoverReport()
    found = FoundLock(
        "/m/x.host", Pulse.SILENT, "node7", 4711, "undo", since="2026-01-31T10:00:00Z", token="t", of="/m/x"
    )
    yield "FoundLock", found
    yield "UnlockReport", UnlockReport(locks=(found,), broken=("/m/x.host", ODD))
    yield "GcReport", GcReport(
        removed=("/v/o", ODD), bytes=77, kept=(LEFT,), failed=(FAILED,), folders=("/v",),
        vault_files=("/v/o.links",),
    )  # fmt: skip
    yield (
        "FarmReport",
        FarmReport(
            path="/f", run="r1", added=("/f/a",), kept=4, removed=("/f/b",), left=(LEFT,), failed=(FAILED,)
        ),
    )
    yield "MissingFile", MISSING
    yield "ModelFile", ModelFile(name="b", path=ODD, bytes=None)
    yield "Revision", REVISION
    yield "Revision without a name", NAMELESS
    yield "ModelPlace", PLACE
    yield "Model", MODEL
    yield "Model without a name", UNKNOWN
    yield (
        "ModelsReport",
        ModelsReport(
            rows=((MODEL, None), (UNKNOWN, NAMELESS), (MODEL, REVISION)),
            physical_bytes=4098,
            warnings=(NOTICE,),
        ),
    )
    yield "CheckedModel", CHECKED
    yield "CheckedModel that is missing", CheckedModel(name="a", id="b", revision=None, status="missing")
    yield "Recommendation", RECOMMENDATION
    yield (
        "CheckReport",
        CheckReport(
            models=(CHECKED,), cache="/c", free_bytes=8, recommendations=(RECOMMENDATION,), warnings=(NOTICE,)
        ),
    )
    yield "UnconfiguredModel", UNCONFIGURED
    yield (
        "CheckReport of one cache",
        CheckReport(
            models=(dataclasses.replace(CHECKED, elsewhere=ODD),),
            cache="/c",
            free_bytes=8,
            reserve_bytes=9,
            disk_bytes=10,
            there=True,
            readable=True,
            writable=False,
            anywhere=False,
            unconfigured=(UNCONFIGURED,),
        ),
    )
    yield "CheckReport of whole models", CheckReport(models=(), cache=None, free_bytes=None)
    yield "Download", DOWNLOAD
    yield (
        "Download at the first look",
        dataclasses.replace(DOWNLOAD, name=None, expected_bytes=None, rate=None),
    )
    yield "Download that stands still", dataclasses.replace(DOWNLOAD, rate=0.0)
    yield "Disk", DISK
    yield "Disk at the first look", dataclasses.replace(DISK, rate=None)
    yield "Look", Look(
        at=1.5, models=(MODEL, UNKNOWN), downloads=(DOWNLOAD,), disks=(DISK,), physical_bytes=4098, rate=2.5,
        warnings=(NOTICE,),
    )  # fmt: skip
    yield "Look, the first", Look(at=1.5, models=(), downloads=(), disks=(), physical_bytes=0)
    yield "Problem", Problem(path=ODD, kind="corrupt", message="its bytes are others")
    yield "VerifyReport", VerifyReport(checked=3, bytes_read=9, problems=(Problem("/a", "edited", "m"),))
    yield "VerifyReport of one that went on", VerifyReport(checked=3, bytes_read=9, problems=(), resumed=2)
    yield (
        "Finding",
        Finding(kind="corrupt", path=ODD, message="m", fix="f", fixed=True, mendable=True, replaces=(ODD,)),
    )
    yield "DoctorReport", DoctorReport(findings=(Finding(kind="k", path="/a", message="m", fix="f"),))
    yield "MountFinding", MOUNTED
    yield "MountReport", MountReport(findings=(MOUNTED,), links=7, not_looked_at=(LEFT,))
    yield "Needed", Needed(path="/l", content="/c", becomes="stays whole")
    yield (
        "RemovedModel",
        RemovedModel(kind="revision", name="org/m", root="/c", revisions=("1a",), path="/c/m"),
    )
    yield "RemovedModel that stays elsewhere", RemovedModel("model", "org/m", "/m", held_by=ODD)
    yield "RemovedModel that is the last", RemovedModel("model", "org/m", "/m", last=True)
    yield "RemoveReport", RemoveReport(
        run="r1", models=(RemovedModel(kind="model", name="m", root="/c"),), removed=("/c/a", ODD), bytes=11,
        needed=(Needed(path="/l", content="/c", becomes="stays whole"),), left=(LEFT,), failed=(FAILED,),
        interrupted=True, folders=("/c",), vault_files=("/v/o.links",),
    )  # fmt: skip
    yield "Reused", REUSED
    yield "Space", Space(cache_bytes=4096, copy_bytes=8192, vault_bytes=512, saved_bytes=None, state_bytes=7)
    yield "Unreferenced", Unreferenced("interrupted downloads", 2, 4096, "hubfold clean")
    yield "Unreferenced that hubfold does not free", Unreferenced("chunks", 1, 512, None, ODD)
    yield "Other", OTHER
    yield "WhyReport", WHY
    yield "WhyReport of a file that has no copies", ALONE
    yield "DamagedFile", DAMAGED
    yield "DownloadedModel", DOWNLOADED
    yield (
        "DownloadedModel that was damaged",
        dataclasses.replace(DOWNLOADED, damaged=(DAMAGED,), as_it_is="why", lost_bytes=5),
    )
    yield (
        "DownloadReport",
        DownloadReport(
            cache="/c",
            run=None,
            models=(DOWNLOADED,),
            reused=(REUSED,),
            links=("/f/a", ODD),
            failed=(FAILED,),
        ),
    )
    yield "BackedUpModel", BACKED_UP
    yield (
        "BackupReport",
        BackupReport(target="/b.tar", run="r1", models=(BACKED_UP,), bytes=90, written=60, failed=(FAILED,)),
    )
    yield "RestoreReport", RestoreReport(
        root="/c", run="r1", models=(BACKED_UP,), restored=("/c/a", ODD), written=60, left=(LEFT,),
        failed=(FAILED,),
    )  # fmt: skip
    yield "PlaceUse", PLACE_USE
    yield "PlaceUse that is away", dataclasses.replace(PLACE_USE, used_bytes=None, away=True)
    yield "RegisteredModel", REGISTERED
    yield "RegisteredModel anywhere", dataclasses.replace(REGISTERED, place="", base=None, revision="v1")
    yield "RegistryReport", RegistryReport((REGISTERED,))
    moved = MovedModel(
        name="org/m",
        source="/c",
        run="r1",
        revisions=("1a2b",),
        bytes=90,
        copied=60,
        freed=4096,
        links=(ODD,),
    )
    yield "MovedModel", moved
    yield "MoveReport", MoveReport(
        target="/slow", models=(moved,), copied=60, freed=4096, left=(LEFT,), failed=(FAILED,)
    )  # fmt: skip
    place = BalancedPlace(name="fast", path="/c", limit=100, used=90, over=0)
    balanced = BalancedModel(
        name="org/m",
        source="/c",
        target="/slow",
        run="r1",
        used=1_700_000_000,
        known_by="hubfold path",
        freed=4096,
    )
    yield "BalancedPlace", place
    yield "BalancedModel", balanced
    yield "BalanceReport", BalanceReport(places=(place,), models=(balanced,), left=(LEFT,), failed=(FAILED,))
    yield "PinReport", PinReport(pinned=("org/m",))
    yield "AdoptReport", AdoptReport(
        folder="/f", cache="/c", run="r1", model="org/base", commit="c" * 40, told_by="its clone", made=("/c/a", ODD),
        reused=(Reused(path="/c/a", source=ODD, how="hardlink", bytes=9),), written=60, read_only=(ODD,),
        links=("/f/b",), missing=("c.bin",), left=(LEFT,), failed=(FAILED,),
    )  # fmt: skip
    yield "MigrateReport", MigrateReport(
        old="/o", new="/c", how="move", run="r1", models=(BACKED_UP,), made=("/c/a", ODD),
        reused=(Reused(path="/c/a", source=ODD, how="hardlink", bytes=9),), written=60, links=("/o/b",),
        removed=("/o/c",), left=(LEFT,), failed=(FAILED,),
    )  # fmt: skip
    mapped = MappedModel("org/m", 90, (MappedFile("w.bin", 60, duplicate=True), MappedFile("c.json", 30)))
    yield "MappedFile", MappedFile("w.bin", 60, duplicate=True)
    yield "MappedModel", mapped
    yield "MappedPlace", MappedPlace("/c", "hub-cache", 90, (mapped,))
    yield "Overview", Overview(
        made_at=1_700_000_000.5, host="h", space=Space(cache_bytes=90, copy_bytes=0, vault_bytes=0),
        reclaimable_bytes=9, roots=(), models=(MODEL,), duplicates=DupesReport((), 9), set_count=0,
        map=(MappedPlace("/c", "hub-cache", 90, (mapped,)),), warnings=(Notice("/c", "odd"),),
    )  # fmt: skip
    yield "Selection", Selection(include=("*.bin",), exclude=("old/",))
    yield (
        "DemoReport",
        demo.DemoReport(
            folder="/d",
            steps=(demo.Step("hubfold scan", 0, 0.12345, 4096),),
            checks=("whole",),
            complaints=("no",),
        ),
    )


EXAMPLES = dict(examples())


def written() -> Mapping[str, str]:
    """What each example is written as; with the files one by one, where a report has those."""
    found = {}
    for title, report in EXAMPLES.items():
        found[title] = display.as_json(report.as_json())
        if isinstance(report, Revision | ModelPlace | Model | ModelsReport):
            found[f"{title}, with files"] = display.as_json(report.as_json(files=True))
    return found


def test_a_report_is_written_as_it_always_was() -> None:
    golden = json.loads(GOLDEN.read_text(encoding="ascii"))
    # As text: the order of the keys counts, and that nothing is written which is not ASCII.
    assert written() == {title: display.as_json(report) for title, report in golden.items()}


def test_every_report_is_pinned() -> None:
    places = [
        import_module(f"hubfold.reports.{found.name}") for found in iter_modules(hubfold.reports.__path__)
    ]
    reports = {
        cls
        for module in places
        for name, cls in inspect.getmembers(module, inspect.isclass)
        if cls.__module__ == module.__name__ and issubclass(cls, JsonForm) and not name.startswith("_")
    }
    assert len(reports) > 35
    assert reports <= {type(report) for report in EXAMPLES.values()}
