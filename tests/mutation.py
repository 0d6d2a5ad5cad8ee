"""Mutation check of the modules that change disks: which small faults in them would no test notice?

    pip install cosmic-ray
    python tests/mutation.py --results FILE folding/executor folding/swaps      # modules below engine/hubfold
    python tests/mutation.py --results FILE --again folding/executor    # only what survived, after tests were added

The mutants are those of cosmic-ray's operators, and of one more that takes a statement away. Each is written into a
copy of the checkout and tried in a fork of this process by the tests that run its line, fastest first, until one fails;
one that passes them is tried by the tests that run hubfold in processes of their own. What differs from the original in
annotations only is no mutant. Linux only; as root, since the tests on btrfs mount an image. `MUTATION.md` has results.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import difflib
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import parso
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.operator import Operator
from cosmic_ray.plugins import get_operator, operator_names
from parso.python.tree import ReturnStmt

CHECKOUT = Path(__file__).resolve().parent.parent
TESTS = [
    "tests/disk",
    "tests/reading",
    "tests/journal",
    "tests/folding",
    "tests/vault",
    "tests/care/test_recovery.py",
]
#: Their lines are not seen by the coverage of this process.
SUBPROCESSES = [
    "tests/test_platforms.py",
    "tests/folding/test_executor.py::test_more_copies_than_files_can_be_open_at_once",
    "tests/folding/test_executor.py::test_what_was_displaced_is_freed_and_closed_when_the_run_is_over",
]
#: Of the CPU that the tests of one mutant may take: how busy the machine is says nothing of it. One that waits for
#: ever takes none, and is ended by the clock.
SECONDS = 25.0
WAITED = 300.0
#: By their path below engine/hubfold.
MODULES = (
    *("folding/executor", "folding/holding", "folding/outcomes", "folding/swapping", "folding/swaps"),
    *("journal/journal", "journal/records", "journal/run_log"),
    *("disk/directory", "disk/exchange", "disk/held", "reading/compare", "reading/extents"),
)

#: Of cosmic-ray's eleven replacements of each binary operator, and seven of each comparison, those that are not absurd.
_WANTED = {
    *("ReplaceBinaryOperator_Add_Sub", "ReplaceBinaryOperator_Sub_Add", "ReplaceBinaryOperator_Mul_Div"),
    *("ReplaceBinaryOperator_BitAnd_BitOr", "ReplaceBinaryOperator_BitOr_BitAnd"),
    *("ReplaceBinaryOperator_LShift_RShift", "ReplaceBinaryOperator_Mod_Div"),
    *("ReplaceComparisonOperator_Eq_NotEq", "ReplaceComparisonOperator_NotEq_Eq"),
    *("ReplaceComparisonOperator_Lt_LtE", "ReplaceComparisonOperator_Lt_GtE"),
    *("ReplaceComparisonOperator_LtE_Lt", "ReplaceComparisonOperator_LtE_Gt"),
    *("ReplaceComparisonOperator_Gt_GtE", "ReplaceComparisonOperator_Gt_LtE"),
    *("ReplaceComparisonOperator_GtE_Gt", "ReplaceComparisonOperator_GtE_Lt"),
    *("ReplaceComparisonOperator_Is_IsNot", "ReplaceComparisonOperator_IsNot_Is"),
    *("ReplaceUnaryOperator_Delete_USub", "ReplaceUnaryOperator_Delete_Invert"),
    *("ReplaceUnaryOperator_Delete_Not", "AddNot", "ReplaceTrueWithFalse", "ReplaceFalseWithTrue"),
    *("ReplaceAndWithOr", "ReplaceOrWithAnd", "ReplaceBreakWithContinue", "ReplaceContinueWithBreak"),
    *("ExceptionReplacer", "NumberReplacer", "RemoveDecorator", "ZeroIterationForLoop"),
}


class DeleteStatement(Operator):  # type: ignore[misc]
    """Calls, raises, deletions and assignments to what is not a local name become `pass`; a `return` returns None."""

    def mutation_positions(self, node):  # type: ignore[no-untyped-def]
        if node.type == "simple_stmt" and node.get_previous_leaf() is not None:
            kind = node.children[0].type
            call = kind in ("atom_expr", "await_expr", "raise_stmt", "del_stmt", "yield_expr")
            assigns = kind == "expr_stmt" and node.children[0].children[0].type != "name"
            adds = kind == "expr_stmt" and node.children[0].children[1].type == "operator"
            adds = adds and node.children[0].children[1].value != "="
            if call or assigns or adds or isinstance(node.children[0], ReturnStmt):
                yield (node.start_pos, node.end_pos)

    def mutate(self, node, index):  # type: ignore[no-untyped-def]
        first = node.get_first_leaf()
        word = "return None" if isinstance(node.children[0], ReturnStmt) else "pass"
        node.children[0] = parso.parse(word).children[0]
        node.get_first_leaf().prefix = first.prefix
        return node

    @classmethod
    def examples(cls):  # type: ignore[no-untyped-def]
        return ()


@dataclass
class Mutant:
    module: str
    operator: str
    line: int
    diff: str
    code: str
    #: The same for the same fault after other lines were changed.
    key: str
    outcome: str = ""
    by: str = ""
    seconds: float = 0.0


def meaning(code: str) -> str:
    """The code without annotations, docstrings and the `*` of a signature, which do nothing here."""
    tree = ast.parse(code)
    for node in ast.walk(tree):
        for field in ("annotation", "returns"):
            if getattr(node, field, None) is not None:
                setattr(node, field, ast.Constant("") if isinstance(node, ast.AnnAssign) else None)
        if isinstance(node, ast.arguments):  # by name or by place: nothing calls them otherwise
            node.args = node.posonlyargs + node.args + node.kwonlyargs
            node.defaults += [default for default in node.kw_defaults if default is not None]
            node.posonlyargs, node.kwonlyargs, node.kw_defaults = [], [], []
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [
                s for s in body if not (isinstance(s, ast.Expr) and isinstance(s.value, ast.Constant))
            ]
    return ast.dump(tree)


def mutants(module: str) -> Iterator[Mutant]:
    source = (CHECKOUT / "engine/hubfold" / f"{module}.py").read_text()
    seen, same = {meaning(source)}, Counter[str]()
    operators = {name.partition("/")[2]: get_operator(name) for name in operator_names()}
    chosen = {name: operators[name] for name in sorted(_WANTED)} | {"DeleteStatement": DeleteStatement}
    for name, operator in chosen.items():
        number = 0
        while (code := mutate_code(source, operator(), number)) is not None:
            number += 1
            try:
                what = meaning(code)
            except SyntaxError:
                continue
            if what in seen:
                continue
            seen.add(what)
            pairs = zip(source.splitlines(), code.splitlines(), strict=False)
            line = next((n for n, (one, other) in enumerate(pairs, 1) if one != other), 1)
            diff = [*difflib.unified_diff(source.splitlines(), code.splitlines(), lineterm="", n=0)][3:]
            fault = "\n".join([module, name, *diff])
            same[fault] += 1
            key = hashlib.sha256(f"{fault}\n{same[fault]}".encode()).hexdigest()
            yield Mutant(module, name, line, "\n".join(diff), code, key)


class Bench:
    """A copy of the checkout, the tests by line, and forks that try one mutant each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tree = folder / "tree"
        wanted = shutil.ignore_patterns(
            ".git", "__pycache__", "*.egg-info", ".*_cache", ".venv", "benchmarks"
        )
        shutil.copytree(CHECKOUT, self.tree, ignore=wanted)
        (folder / "tmp").mkdir()
        paths = [str(self.tree / "engine"), str(self.tree / "plugins")]
        os.environ |= {
            "PYTHONPATH": os.pathsep.join(paths),
            "TMPDIR": str(folder / "tmp"),
            "HOME": str(folder / "tmp"),
        }
        sys.path[:0] = paths
        tempfile.tempdir = None
        self.by_line: dict[str, dict[int, set[str]]] = {}
        self.times: dict[str, float] = {}

    def learn(self) -> None:
        """Which tests run which line, and how long each takes."""
        report = self.folder / "durations.txt"
        subprocess.run(
            [sys.executable, "-m", "compileall", "-q", "engine", "plugins"], cwd=self.tree, check=True
        )
        with open(report, "w") as out:
            subprocess.run(
                [
                    *(
                        sys.executable,
                        "-m",
                        "pytest",
                        "-q",
                        # pytest-cov names no tests where it takes them to be in other processes.
                        *("-n0", "--dist", "no"),
                        "-p",
                        "no:cacheprovider",
                        "--durations=0",
                        "-vv",
                    ),
                    *("--cov=hubfold", "--cov-branch", "--cov-context=test", "--cov-report=", *TESTS),
                ],
                cwd=self.tree,
                env={**os.environ, "COVERAGE_FILE": str(self.folder / "coverage")},
                stdout=out,
                check=True,
            )
        for words in (line.split(None, 2) for line in report.read_text().splitlines()):
            if len(words) == 3 and words[1] in ("call", "setup", "teardown") and words[0].endswith("s"):
                with contextlib.suppress(ValueError):
                    test = words[2].strip()
                    self.times[test] = self.times.get(test, 0) + float(words[0][:-1])
        # Bytecode is made once, but for the mutants: one of the same size and second would be taken for the last.
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
        sys.dont_write_bytecode = True
        for module in MODULES:
            source = self.tree / "engine/hubfold" / module
            for cached in (source.parent / "__pycache__").glob(f"{source.name}.*"):
                cached.unlink()
        from coverage import CoverageData

        data = CoverageData(str(self.folder / "coverage"))
        data.read()
        for path in data.measured_files():
            module = os.path.splitext(os.path.relpath(path, self.tree / "engine/hubfold"))[0]
            lines = self.by_line.setdefault(module, {})
            for line, contexts in data.contexts_by_lineno(path).items():
                lines[line] = {context.partition("|")[0] for context in contexts if context}

    def tests_of(self, mutant: Mutant) -> list[str]:
        """The tests that run the statement of the mutant; all of the module where it runs at import only."""
        lines = self.by_line[mutant.module]
        first = last = mutant.line
        for node in ast.walk(ast.parse((CHECKOUT / "engine/hubfold" / f"{mutant.module}.py").read_text())):
            if isinstance(node, ast.stmt) and node.lineno <= mutant.line <= (node.end_lineno or 0):
                body = getattr(node, "body", None)
                end = (body[0].lineno - 1) if isinstance(body, list) else (node.end_lineno or 0)
                if node.lineno <= mutant.line <= max(end, node.lineno):
                    first, last = node.lineno, max(end, node.lineno)
        found = set().union(*(lines.get(line, set()) for line in range(first, last + 1)))
        return sorted(found or set().union(*lines.values()), key=lambda test: self.times.get(test, 0.0))

    def run(self, tests: list[str]) -> tuple[str, str]:
        """Run tests in a fork; (survived, killed or timeout; the test that failed)."""
        log = self.folder / "log"
        child = os.fork()
        if child == 0:
            try:
                os.setsid()
                self._try(tests, log)
            finally:
                os._exit(98)  # nothing of the parent's is cleaned up here
        until = time.monotonic() + WAITED
        while (done := os.waitpid(child, os.WNOHANG))[0] == 0:
            if time.monotonic() > until:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return "timeout", ""
            time.sleep(0.01)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(done[1])
        failed = [
            line
            for line in log.read_text(errors="replace").splitlines()
            if line.startswith(("FAILED", "ERROR"))
        ]
        return {0: "survived", 99: "timeout"}.get(code, "killed"), failed[0][
            :160
        ] if failed else f"exit {code}"

    def _try(self, tests: list[str], log: Path) -> None:
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.chdir(self.tree)
        resource.setrlimit(resource.RLIMIT_FSIZE, (4 << 30, 4 << 30))
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))
        late = False

        def too_late(*_: object) -> None:
            nonlocal late
            late = True
            raise KeyboardInterrupt

        import pytest

        signal.signal(signal.SIGPROF, too_late)
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        code = int(
            pytest.main(["-x", "-q", "-n0", "-p", "no:cacheprovider", "-p", "no:randomly", "--tb=no", *tests])
        )
        os._exit(99 if late else code)

    @contextlib.contextmanager
    def written(self, mutant: Mutant) -> Iterator[None]:
        path = self.tree / "engine/hubfold" / f"{mutant.module}.py"
        original = path.read_text()
        path.write_text(mutant.code)
        try:
            yield
        finally:
            path.write_text(original)
            for left in (self.folder / "tmp").iterdir():
                shutil.rmtree(left, ignore_errors=True)

    def judge(self, mutant: Mutant) -> None:
        began = time.monotonic()
        with self.written(mutant):
            tests = self.tests_of(mutant)
            mutant.outcome, mutant.by = self.run(tests)
            if mutant.by.startswith("ERROR: not found"):  # the mutant has changed the name of a test
                mutant.outcome, mutant.by = self.run(sorted({test.partition("::")[0] for test in tests}))
            if mutant.outcome == "survived":
                mutant.outcome, mutant.by = self.run(SUBPROCESSES)
        mutant.seconds = round(time.monotonic() - began, 2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="+", choices=MODULES)
    parser.add_argument(
        "--results", type=Path, required=True, help="one JSON object a line is added for each mutant"
    )
    parser.add_argument("--again", action="store_true", help="only those that survived at their last try")
    parser.add_argument("--list", action="store_true", help="count only")
    arguments = parser.parse_args()
    known: dict[str, str] = {}
    if arguments.results.exists():
        for line in arguments.results.read_text().splitlines():
            record = json.loads(line)
            known[record["key"]] = record["outcome"]
    work = []
    for module in arguments.modules:
        found = list(mutants(module))
        work += [
            m
            for m in found
            if (known.get(m.key) == "survived") == arguments.again and (arguments.again or m.key not in known)
        ]
        print(module, len(found), "mutants,", len(work), "to try so far", flush=True)
    # Statements first; then all in an order that makes the part which was tried a sample.
    random.Random(20261122).shuffle(work)
    work.sort(key=lambda mutant: mutant.operator != "DeleteStatement")
    if arguments.list:
        return
    with tempfile.TemporaryDirectory(prefix="hubfold-mutants-") as folder:
        # Tests act for other users, who have to come to what is below.
        os.chmod(folder, 0o755)
        bench = Bench(Path(folder))
        bench.learn()
        # What the forks need and no mutant touches.
        for name in ("pytest", "hypothesis", "xxhash", "filelock", "sqlite3", "http.server", "ctypes"):
            __import__(name)
        for module in arguments.modules:
            source = (CHECKOUT / "engine/hubfold" / f"{module}.py").read_text()
            nothing = Mutant(module, "none", 1, "", source + "\n# no mutant\n", "")
            bench.judge(nothing)
            assert nothing.outcome == "survived", nothing.by
            print(module, "unchanged: passes,", nothing.seconds, "s", flush=True)
        with open(arguments.results, "a") as results:
            for mutant in work:
                bench.judge(mutant)
                record = asdict(mutant)
                del record["code"]
                results.write(json.dumps(record) + "\n")
                results.flush()
                if mutant.outcome == "survived":
                    print(f"{mutant.module}:{mutant.line} {mutant.operator}\n{mutant.diff}\n", flush=True)


if __name__ == "__main__":
    main()
