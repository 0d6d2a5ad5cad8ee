"""``python -m benchmarks``: measures everything and prints one table."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from benchmarks import measure, programs, report
from benchmarks.programs import Program
from benchmarks.report import Result, Row
from benchmarks.tasks import COLD, Place, Task, tasks

SIZES = {"full": 1.0, "half": 0.5, "small": 0.05, "tiny": 0.0005}
#: Under this size nobody should read anything into the ratios.
MEANS_SOMETHING = 0.2
#: Rounds of a program whose first run took longer than so many seconds.
LONG = ((20.0, 1), (5.0, 3))


def main(arguments: Sequence[str] | None = None) -> int:
    asked = _asked(arguments)
    if asked.show:
        with open(asked.json) as file:
            data = json.load(file)
        print(_page(data["about"], [Result.from_json(result) for result in data["results"]]))
        return 0
    place = tempfile.mkdtemp(prefix="hubfold-benchmarks-", dir=asked.place)
    about = {"size": asked.size, "factor": asked.factor, **measure.machine(), "missing": programs.missing()}
    results = _earlier(asked)
    try:
        only = set(asked.only.split(",")) if asked.only else None
        chosen = tasks(
            Place(place, asked.factor, asked.fclones_threads), lambda key: only is None or key in only
        )
        for task in chosen:
            found = _measured(task, place, asked)
            results = [*(result for result in results if result.key != found.key), found]
            # One after the other: a run that is stopped has what it measured.
            _write(asked, about, results)
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(_page(about, results))
    return 0


def _asked(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--size", default="full", help="full, half, small, tiny, or a factor (default: full)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each program (default: 5)")
    parser.add_argument("--only", default="", help="tasks by name, with commas (scan-claimed,start-up,…)")
    parser.add_argument(
        "--place", default=None, help="where the trees are made (default: the temporary folder)"
    )
    parser.add_argument("--cold", choices=["yes", "no"], default="yes", help="no: leave the page cache alone")
    parser.add_argument(
        "--fclones-threads", type=int, nargs="*", default=[1, 2, 4], help="more rows of fclones"
    )
    parser.add_argument(
        "--update", action="store_true", help="keep what the file of --json has of other tasks"
    )
    parser.add_argument(
        "--show", action="store_true", help="measure nothing, print what the file of --json has"
    )
    parser.add_argument("--json", default="", help="also write the samples here")
    parser.add_argument("--markdown", default="", help="also write the table here")
    asked = parser.parse_args(arguments)
    asked.factor = SIZES.get(asked.size) or float(asked.size)
    asked.settle = asked.factor >= MEANS_SOMETHING or asked.cold == "yes"
    return asked


def _earlier(asked: argparse.Namespace) -> list[Result]:
    if not (asked.update and os.path.exists(asked.json)):
        return []
    with open(asked.json) as file:
        return [Result.from_json(result) for result in json.load(file)["results"]]


def _measured(task: Task, place: str, asked: argparse.Namespace) -> Result:
    states = [s for s in task.states if s != COLD or (asked.cold == "yes" and measure.can_drop())]
    rows = {(p.name, state): Row(p.name, p.kind, state) for state in states for p in task.programs}
    rounds = (
        min(task.rounds or asked.rounds, asked.rounds) if asked.rounds < 5 else task.rounds or asked.rounds
    )
    load = measure.load()
    for number in range(rounds):
        for state in states:
            for program in task.programs[::-1] if task.backwards else task.programs:
                row = rows[program.name, state]
                if not row.failed and number < _rounds(row, rounds):
                    _once(task, program, row, state, place, asked)
        _say(task, rows.values(), number)
    return Result(task.key, task.title, {**task.facts, "factor": asked.factor}, list(rows.values()), load)


def _rounds(row: Row, asked: int) -> int:
    first = row.samples[0].wall if row.samples else 0.0
    return min([asked, *(rounds for seconds, rounds in LONG if first > seconds)])


def _once(task: Task, program: Program, row: Row, state: str, place: str, asked: argparse.Namespace) -> None:
    env = {**programs.environment(os.path.join(place, "home")), **program.env}
    try:
        if program.before is not None:
            program.before()
        if asked.settle:
            # What was written before it is not to be written out while it runs.
            os.sync()
        if state == COLD:
            measure.drop()
        else:
            # Before each program: some of them take files out of the cache behind them.
            measure.warm(task.warm)
        if program.wake:
            measure.run(program.wake, env=env)
        sample = measure.run(program.argv, env=env, stdin=program.stdin, accept=program.accept)
    except measure.RunFailed as error:
        row.failed = str(error)
        print(f"{program.name}: {error}", file=sys.stderr)
        return
    row.samples.append(sample)
    if program.kind == "hubfold" and sample.output.startswith("{"):
        told = json.loads(sample.output)
        row.told = {
            key: len(value) if isinstance(value, list) else value
            for key, value in told.items()
            if key not in ("roots", "warnings", "run")
        }


def _say(task: Task, rows: Any, number: int) -> None:
    last = ", ".join(
        f"{r.program} {r.state} {r.samples[-1].wall:.2f}" for r in rows if len(r.samples) > number
    )
    print(f"{task.key} {number + 1}: {last}", file=sys.stderr, flush=True)


def _page(about: dict[str, Any], results: Sequence[Result]) -> str:
    lines = [
        f"{about['began']}, size {about['size']}, {about['cores']} cores ({about['cpu']}), "
        f"{about['memory_bytes'] / 1e9:.0f} GB, {about['kernel']}, Python {about['python']}, "
        f"load at the start {about['load_at_start']:.1f}.",
    ]
    if about["missing"]:
        lines.append(f"Not installed, so not in the table: {', '.join(about['missing'])}.")
    large = [r for r in results if r.key == "start-up" or r.facts["factor"] >= MEANS_SOMETHING]
    if len(large) < len(results):
        lines.append("Tasks of a tiny size only show that they run: their figures are start-up times.")
    marks = report.reach(large)
    if marks:
        lines += ["", report.reach_table(marks)]
    return "\n".join([*lines, "", report.table(results)])


def _write(asked: argparse.Namespace, about: dict[str, Any], results: Sequence[Result]) -> None:
    if asked.json:
        with open(asked.json, "w") as file:
            json.dump({"about": about, "results": [result.as_json() for result in results]}, file, indent=1)
    if asked.markdown:
        with open(asked.markdown, "w") as file:
            file.write(_page(about, results) + "\n")


if __name__ == "__main__":
    sys.exit(main())
