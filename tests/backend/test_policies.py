"""What plugins have a say in beside layouts: each hook by a test plugin, and one that fails stops only itself."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubfold import Engine
from hubfold.cli.app import run as command_line
from tests.building import tree

FIRST = "from hubfold import hookimpl\n"
Written = Callable[[str, str], None]


@pytest.fixture
def write(tmp_path: Path) -> Written:
    """Write a plugin of one file."""
    folder = tmp_path / "home/state/plugins"
    folder.mkdir(parents=True)
    return lambda name, text: (folder / f"{name}.py").write_text(FIRST + text) and None


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {**tree.environment(str(tmp_path / "home")), "HUBFOLD_HOME": str(tmp_path / "home/state")}


@pytest.fixture
def copies(tmp_path: Path) -> list[Path]:
    """Three copies of one content, by the order in which hubfold would keep them."""
    found = [tmp_path / "models" / name / "model.safetensors" for name in "abc"]
    for path in found:
        path.parent.mkdir(parents=True)
        path.write_bytes(tree.model("weights", 1 << 20))
    return found


def kept(environ: dict[str, str], copies: list[Path]) -> tuple[set[str], list[str], list[str]]:
    """(the copies that stay, the reasons of those left alone, the faults of plugins) of a plan."""
    with Engine(environ=environ) as engine:
        engine.scan([path.parent for path in copies])
        plan = engine.plan()
        return (
            {action.keeper.path for action in plan.actions},
            sorted({skip.reason for skip in plan.skipped}),
            [str(fault) for fault in engine.faults],
        )


def test_a_plugin_chooses_which_copy_is_kept(
    write: Written, environ: dict[str, str], copies: list[Path]
) -> None:
    assert kept(environ, copies)[0] == {str(copies[0])}
    write("second", "@hookimpl\ndef hubfold_prefer(candidates, size):\n    return sorted(candidates)[1]")
    assert kept(environ, copies) == ({str(copies[1])}, [], [])


def test_a_plugin_says_what_must_not_be_replaced(
    write: Written, environ: dict[str, str], copies: list[Path]
) -> None:
    write(
        "no", "@hookimpl\ndef hubfold_veto(action):\n    return 'not that' if '/b/' in action.path else None"
    )
    with Engine(environ=environ) as engine:
        engine.scan([path.parent for path in copies])
        plan = engine.plan()
        assert [action.path for action in plan.actions] == [str(copies[2])]
        assert [(skip.path, skip.reason) for skip in plan.skipped] == [(str(copies[1]), "not that (says no)")]


def test_a_veto_that_came_since_the_plan_counts(
    write: Written, environ: dict[str, str], copies: list[Path]
) -> None:
    with Engine(environ=environ) as engine:
        engine.scan([path.parent for path in copies])
        plan = engine.plan()
    assert len(plan.actions) == 2
    write("no", "@hookimpl\ndef hubfold_veto():\n    return 'a freeze'")
    with Engine(environ=environ) as engine:
        report = engine.apply(plan)
    assert report.actions == () and not any(path.is_symlink() for path in copies)
    assert {left.reason for left in report.skipped} == {"a freeze (says no)"}


@pytest.mark.slow
def test_a_plugin_is_told_before_and_after_each_run_and_which_paths_changed(
    write: Written, environ: dict[str, str], copies: list[Path], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    write(
        "around",
        f"""
def note(*words):
    with open({str(log)!r}, "a") as file:
        print(*words, file=file)

@hookimpl
def hubfold_before_run(command):
    import os
    note("before", command, os.path.islink({str(copies[1])!r}))

@hookimpl
def hubfold_after_run(command, run, paths):
    # The lock is free: the plugin may call hubfold.
    import subprocess, sys, os
    code = subprocess.run([sys.executable, "-m", "hubfold", "gc", "-y"], env={{**os.environ, **{environ!r}}}).returncode
    note("after", command, bool(run), len(paths), code)
""",
    )
    with Engine(environ=environ) as engine:
        engine.scan([path.parent for path in copies])
        engine.apply(engine.plan())
        engine.undo()
    assert log.read_text().splitlines() == [
        "before consolidate False",
        "after consolidate True 2 0",
        "before undo True",
        "after undo True 2 0",
    ]


def test_a_plugin_has_findings_for_doctor(
    write: Written, environ: dict[str, str], copies: list[Path]
) -> None:
    write(
        "look",
        "@hookimpl\ndef hubfold_findings(roots):\n"
        "    return [('odd', root.path, 'looks odd', 'look again') for root in roots]",
    )
    with Engine(environ=environ) as engine:
        engine.scan([copies[0].parent])
        engine.add_root(copies[0].parent)
        found = [one for one in engine.doctor().findings if one.kind == "look:odd"]
    assert [(one.path, one.message, one.fix) for one in found] == [
        (str(copies[0].parent), "looks odd", "look again")
    ]


def test_a_plugin_gets_the_section_of_its_name(
    write: Written, environ: dict[str, str], copies: list[Path]
) -> None:
    text = """
keep = ""

@hookimpl
def hubfold_settings(settings):
    global keep
    if not isinstance(settings.get("keep", ""), str):
        raise ValueError("keep is no text")
    keep = settings.get("keep", "")

@hookimpl
def hubfold_prefer(candidates):
    return next((path for path in candidates if path.startswith(keep)), None) if keep else None
"""
    write("mine", text)
    config = Path(environ["HUBFOLD_HOME"], "config.toml")
    config.write_text(f'[plugins.mine]\nkeep = "{copies[2].parent}"\n[plugins.other]\nx = 1\n')
    assert kept(environ, copies) == ({str(copies[2])}, [], [])
    with Engine(environ=environ) as engine:
        engine.scan([copies[0].parent])
        assert "config.toml: [plugins.other]: no plugin of that name is loaded" in engine.notices
    config.write_text("[plugins.mine]\nkeep = 3\n")
    chosen, _, [fault] = kept(environ, copies)
    assert chosen == {str(copies[0])} and "keep is no text" in fault and "'mine'" in fault


def test_a_plugin_brings_a_command_and_those_of_hubfold_stay(
    write: Written,
    environ: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    write(
        "commands",
        "import click, sys\n@click.command('hello')\n@click.argument('who')\ndef hello(who):\n"
        "    click.echo(f'hello {who}', file=sys.stderr)\n"
        "@click.command('runs')\ndef runs():\n    raise RuntimeError('not ours')\n"
        "@hookimpl\ndef hubfold_commands():\n    return [hello, runs]",
    )
    assert command_line(["hello", "world"]) == 0
    assert "hello world" in capfd.readouterr().err
    assert command_line(["runs", "--json"]) == 0
    assert command_line(["helo"]) == 2


WRONG = [
    ("hubfold_prefer", "return '/no/candidate'", "none of the candidates"),
    ("hubfold_prefer", "raise SystemExit('bye')", "SystemExit: bye"),
    ("hubfold_veto", "return 3", "where a str is asked for"),
    ("hubfold_veto", "raise RuntimeError('boom')", "RuntimeError: boom"),
    ("hubfold_before_run", "raise RuntimeError('boom')", "RuntimeError: boom"),
    ("hubfold_after_run", "raise SystemExit('bye')", "SystemExit: bye"),
    ("hubfold_findings", "return [('a', 'b')]", "a finding is not its kind"),
    ("hubfold_findings", "return iter(lambda: ('a', 'b', 'c', 'd'), 0)", "more than 1,000 findings"),
    ("hubfold_settings", "raise ValueError('no such key')", "no such key"),
]


@pytest.mark.parametrize(("hook", "text", "told"), WRONG, ids=lambda one: str(one)[:24])
def test_a_plugin_that_fails_stops_only_itself_and_is_told_once(
    write: Written, environ: dict[str, str], copies: list[Path], hook: str, text: str, told: str
) -> None:
    write("bad", f"@hookimpl\ndef {hook}():\n    {text}")
    write("good", "@hookimpl\ndef hubfold_prefer(candidates):\n    return sorted(candidates)[2]")
    with Engine(environ=environ) as engine:
        engine.scan([path.parent for path in copies])
        report = engine.apply(engine.plan())
        engine.doctor()
        faults = [str(fault) for fault in engine.faults]
    assert len(report.actions) == 2 and not copies[2].is_symlink()
    assert [told in fault and "'bad'" in fault and hook in fault for fault in faults] == [True]


def test_no_plugin_costs_nothing(environ: dict[str, str], copies: list[Path]) -> None:
    with Engine(environ=environ) as engine:
        engine.scan([path.parent for path in copies])
        engine.plan()
        assert not any(map(engine.workspace.policies.has, ("hubfold_veto", "hubfold_prefer")))


def test_the_plan_in_json_says_who_was_against_it(
    write: Written,
    environ: dict[str, str],
    copies: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[Any],
) -> None:
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    write("no", "@hookimpl\ndef hubfold_veto():\n    return 'a freeze'")
    folders = [str(path.parent) for path in copies]
    assert command_line(["consolidate", "--dry-run", "--json", *folders]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {one["reason"] for one in told["skipped"]} == {"a freeze (says no)"}
