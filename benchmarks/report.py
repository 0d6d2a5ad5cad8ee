"""The figures as a table, and the reach table of what hubfold set out to be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from benchmarks.measure import Sample

MB = 1_000_000


@dataclass(slots=True)
class Row:
    """One program in one state, with the samples of all rounds."""

    program: str
    kind: str
    state: str
    samples: list[Sample] = field(default_factory=list)
    #: What hubfold's own JSON said, of the last round.
    told: dict[str, Any] = field(default_factory=dict)
    failed: str = ""

    def median(self, name: str) -> float:
        return median(getattr(sample, name) for sample in self.samples)

    @property
    def wall(self) -> float:
        return self.median("wall")

    def as_json(self) -> dict[str, Any]:
        return {
            "program": self.program,
            "kind": self.kind,
            "state": self.state,
            "samples": [sample.as_json() for sample in self.samples],
            "told": self.told,
            "failed": self.failed,
        }


@dataclass(slots=True)
class Result:
    """One task, measured."""

    key: str
    title: str
    facts: Mapping[str, Any]
    rows: list[Row]
    load: float

    def row(self, program: str, state: str) -> Row | None:
        return next((r for r in self.rows if (r.program, r.state) == (program, state) and r.samples), None)

    def best(self, kind: str, state: str) -> Row | None:
        """The fastest program of a kind."""
        rows = [row for row in self.rows if row.kind == kind and row.state == state and row.samples]
        return min(rows, key=lambda row: row.wall, default=None)

    def as_json(self) -> dict[str, Any]:
        return {
            "key": self.key,
            "title": self.title,
            "facts": dict(self.facts),
            "load": self.load,
            "rows": [row.as_json() for row in self.rows],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Result:
        """What `as_json` gave."""
        rows = [
            Row(
                row["program"],
                row["kind"],
                row["state"],
                [Sample(**sample) for sample in row["samples"]],
                row["told"],
                row["failed"],
            )
            for row in data["rows"]
        ]
        return cls(data["key"], data["title"], data["facts"], rows, data["load"])


def table(results: Sequence[Result]) -> str:
    """Everything in one table: medians; the ratio is a row's time by that of the first row in the same state."""
    lines = [
        "| program | cache | n | wall s | min–max | ÷ hubfold | CPU s | asked MB | disk MB | peak MB | cache grew MB |",
        "|---|---|--:|--:|---|--:|--:|--:|--:|--:|--:|",
    ]
    for result in results:
        lines.append(
            f"| **{result.title}** (load {result.load:.1f}, size {result.facts['factor']:g}) |||||||||||"
        )
        for state in dict.fromkeys(row.state for row in result.rows):
            rows = [row for row in result.rows if row.state == state]
            base = rows[0].wall if rows[0].samples else None
            lines += [_line(row, base) for row in rows]
    return "\n".join(lines)


def _line(row: Row, base: float | None) -> str:
    if not row.samples:
        return f"| {row.program} | {row.state} | 0 | {row.failed.splitlines()[0][:80] if row.failed else ''} ||||||||"
    walls = [sample.wall for sample in row.samples]
    ratio = f"{row.wall / base:.2f}" if base else ""
    return (
        f"| {row.program} | {row.state} | {len(walls)} | {row.wall:.3f} | {min(walls):.3f}–{max(walls):.3f} | {ratio} "
        f"| {row.median('cpu'):.2f} | {row.median('read') / MB:,.0f} | {row.median('device') / MB:,.0f} "
        f"| {row.median('memory') / MB:,.0f} | {row.median('cache') / MB:,.0f} |"
    )


# what was to be reached


@dataclass(frozen=True, slots=True)
class Mark:
    """One line of the reach table: a figure, and whether it is what was wanted."""

    what: str
    wanted: str
    figure: str
    reached: bool


def reach(results: Sequence[Result]) -> list[Mark]:
    """The reach table, as far as the tasks that it needs were measured."""
    by_key = {result.key: result for result in results}
    found: list[Mark] = []
    for key, judge in _JUDGES.items():
        if key in by_key:
            found += judge(by_key[key])
    found += [*_flat(by_key), *_linear(by_key)]
    return found


def reach_table(marks: Sequence[Mark]) -> str:
    lines = ["| what | wanted | figure | reached |", "|---|---|---|---|"]
    lines += [f"| {m.what} | {m.wanted} | {m.figure} | {'yes' if m.reached else '**no**'} |" for m in marks]
    return "\n".join(lines)


def _against(
    result: Result, state: str, other: Row | None, wanted: float, what: str, *, ours: str = "hubfold"
) -> Iterator[Mark]:
    """hubfold `wanted` times faster than `other`."""
    row = result.row(ours, state)
    if row is not None and other is not None:
        ratio = other.wall / row.wall
        yield Mark(
            what,
            f"{wanted:g} × faster than {other.program}",
            f"{ratio:.2f} × ({row.wall:.3f} s, {other.wall:.3f} s)",
            ratio >= wanted,
        )


def _within(
    result: Result, state: str, limit: Row | None, wanted: float, what: str, *, ours: str = "hubfold"
) -> Iterator[Mark]:
    """hubfold's time no more than `wanted` times that of `limit`."""
    row = result.row(ours, state)
    if row is not None and limit is not None:
        ratio = row.wall / limit.wall
        yield Mark(
            what,
            f"within {wanted:g} of {limit.program}",
            f"{ratio:.2f} ({row.wall:.3f} s, {limit.wall:.3f} s)",
            ratio <= wanted,
        )


def _scan_claimed(result: Result) -> Iterator[Mark]:
    row = result.row("hubfold", "cold") or result.row("hubfold", "warm")
    if row is not None:
        read = row.told.get("bytes_read", -1)
        yield Mark("first scan of (a), claims only", "no content byte read", f"{read} bytes", read == 0)
    yield from _against(result, "cold", result.best("peer", "cold"), 40, "the same, cold")
    yield from _against(result, "warm", result.best("peer", "warm"), 5, "the same, warm")


def _scan_whole(result: Result) -> Iterator[Mark]:
    yield from _against(result, "cold", result.best("peer", "cold"), 2.5, "first scan of (a) whole, cold")
    row = result.row("hubfold", "cold") or result.row("hubfold", "warm")
    if row is not None:
        ratio = row.told.get("bytes_read", 0) / result.facts["must_read"]
        yield Mark(
            "the same: only what has no claim is read", "1.00 of its bytes", f"{ratio:.2f}", ratio <= 1.01
        )


def _scan_plain(result: Result) -> Iterator[Mark]:
    yield from _within(result, "cold", result.row("cat", "cold"), 1.1, "first scan of (b), cold")
    for state, fclones, others in (("cold", 1.0, 1.5), ("warm", 1.0, 2.5)):
        rows = [r for r in result.rows if r.kind == "peer" and r.state == state and r.samples]
        ours = [r for r in rows if r.program.startswith("fclones")]
        rest = [r for r in rows if not r.program.startswith("fclones")]
        fastest = [min(group, key=lambda row: row.wall, default=None) for group in (ours, rest)]
        yield from _against(result, state, fastest[0], fclones, f"first scan of (b), {state}")
        yield from _against(result, state, fastest[1], others, f"first scan of (b), {state}")


def _scan_copies(result: Result) -> Iterator[Mark]:
    rows = [r for r in result.rows if r.program.startswith("fclones") and r.state == "warm" and r.samples]
    fastest = min(rows, key=lambda row: row.wall, default=None)
    yield from _against(result, "warm", fastest, 1, "a cache and plain copies, warm")


def _plan_sets(result: Result) -> Iterator[Mark]:
    row = result.row("hubfold consolidate --dry-run", "warm")
    if row is not None:
        cpu = row.median("cpu")
        yield Mark(
            f"`consolidate --dry-run`, {result.facts['sets']:,} sets", "2 s of CPU", f"{cpu:.2f} s", cpu <= 2
        )


def _rescan(result: Result) -> Iterator[Mark]:
    for state in ("cold", "warm"):
        what = f"{result.title[0].lower()}{result.title[1:]}, {state}"
        yield from _within(result, state, result.row("find -printf", state), 2.5, what)
        for peer in ("fclones --cache", "rmlint --xattr"):
            yield from _against(result, state, result.row(peer, state), 1, what)


def _hard_links(result: Result) -> Iterator[Mark]:
    for state in ("cold", "warm"):
        what = f"consolidate, hard links, {state}"
        yield from _against(result, state, result.row("fclones", state), 1, what)
        yield from _against(result, state, result.row("hardlink", state), 1.3, what)
        yield from _within(result, state, result.row("cmp", state), 1.2, what)


def _reflinks(result: Result) -> Iterator[Mark]:
    rows = [r for r in result.rows if r.program.startswith("duperemove") and r.state == "cold" and r.samples]
    fastest = min(rows, key=lambda row: row.wall, default=None)
    yield from _against(result, "cold", fastest, 5, "consolidate, reflinks, cold")


def _shared(result: Result) -> Iterator[Mark]:
    again, start = result.row("hubfold", "warm"), result.row("hubfold --help", "warm")
    if again is not None and start is not None:
        more = again.wall - start.wall
        yield Mark(
            "all shared already",
            "0.2 s over start-up",
            f"{more:.3f} s ({again.wall:.3f} s in all)",
            more <= 0.2,
        )


def _start_up(result: Result) -> Iterator[Mark]:
    for program, wanted in (("hubfold --help", 0.15), ("hubfold (index present)", 0.25)):
        row = result.row(program, "warm")
        if row is not None:
            yield Mark(f"`{program}`", f"{wanted} s", f"{row.wall:.3f} s", row.wall <= wanted)


def _small_first(result: Result) -> Iterator[Mark]:
    row = result.row("hubfold", "warm")
    if row is not None:
        memory = row.median("memory") / MB
        yield Mark(
            f"{result.facts['files']:,} files", "300 MB", f"{memory:.0f} MB at the peak", memory <= 300
        )


def _ls(result: Result) -> Iterator[Mark]:
    row = result.row("hubfold", "warm")
    if row is not None:
        what = f"`ls`, {result.facts['models']:,} models beside {result.facts['files']:,} files"
        cpu = row.median("cpu")
        yield Mark(what, "2 s of CPU", f"{cpu:.2f} s", cpu <= 2)


def _linear(by_key: Mapping[str, Result]) -> Iterator[Mark]:
    """What listing costs grows as models and files do, together: not as one times the other."""
    costs = {}
    for key, result in by_key.items():
        row = result.row("hubfold", "warm")
        if (key == "ls" or key.startswith("ls-")) and row is not None:
            costs[int(result.facts["models"])] = row.median("cpu") / result.facts["models"] * 1000
    if len(costs) > 1:
        few, many = min(costs), max(costs)
        figure = ", ".join(f"{count:,}: {cost:.1f} ms" for count, cost in sorted(costs.items()))
        what = f"`ls`, CPU per model, from {few:,} to {many:,} with as many more files"
        yield Mark(what, "no more", figure, costs[many] <= 1.15 * costs[few])


def _flat(by_key: Mapping[str, Result]) -> Iterator[Mark]:
    costs = {}
    for key, result in by_key.items():
        row = result.row("hubfold", "warm")
        if key.startswith("small-first") and row is not None:
            costs[int(result.facts["files"])] = row.wall / result.facts["files"] * 1e6
    if len(costs) > 1:
        few, many = min(costs), max(costs)
        figure = ", ".join(f"{count:,}: {cost:.0f} µs" for count, cost in sorted(costs.items()))
        yield Mark(
            "cost per file", f"flat from {few:,} to {many:,}", figure, costs[many] <= 1.15 * costs[few]
        )


_JUDGES = {
    "scan-claimed": _scan_claimed,
    "scan-whole": _scan_whole,
    "scan-plain": _scan_plain,
    "scan-copies": _scan_copies,
    "plan-sets": _plan_sets,
    "tail-unchanged": _rescan,
    "tail-changed": _rescan,
    "small-again": _rescan,
    "hard-links": _hard_links,
    "reflinks": _reflinks,
    "shared-already": _shared,
    "small-first": _small_first,
    "ls": _ls,
    "start-up": _start_up,
}
