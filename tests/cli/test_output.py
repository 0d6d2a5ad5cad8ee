"""What reaches a terminal and what reaches a pipe."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from hubfold.cli import streams
from tests.building.program import Program

#: Stands in for a command: the sink's own calls, in a process of its own.
_SINK = """
import itertools, sys, time
time.monotonic = itertools.count(0.0, {tick}).__next__
from hubfold.cli.output import Column, Output
output = Output(as_json={as_json}, quiet={quiet}, plain={plain})
PATH = "/models/" + "very-long-name/" * 12 + "caf\\udce9 \\x1b[31m[bold]red[/bold] \\u202etxt.\\nsafetensors"
{body}
"""

TABLE = (
    'output.table([Column("SIZE", right=True), Column("BACKEND"), Column("PATH")],'
    ' [["4.9G", "hub-cache", PATH], ["1B", "x", "/short"]])'
)
SHOWN = r"caf\xe9 \x1b[31m[bold]red[/bold] \u202etxt.\nsafetensors"


class Sink(Program):
    def command(self, arguments: object) -> list[str | bytes]:
        return [sys.executable, "-c", *arguments]  # type: ignore[misc]

    __call__ = Program.started


@pytest.fixture
def sink(hubfold: Program) -> Sink:
    other = Sink.__new__(Sink)
    other.home, other.environ = hubfold.home, hubfold.environ
    return other


def program(
    body: str, *, as_json: bool = False, quiet: bool = False, plain: bool = False, tick: float = 0.05
) -> str:
    """What `body` does, in a world where `tick` seconds pass from one look at the clock to the next."""
    return _SINK.format(body=body, as_json=as_json, quiet=quiet, plain=plain, tick=tick)


@pytest.mark.parametrize("columns", ["40", "200"])
def test_in_a_pipe_paths_are_never_cut_and_lines_have_no_padding(sink: Sink, columns: str) -> None:
    done = sink(program(TABLE), environ={"COLUMNS": columns})
    lines = done.out.splitlines()
    assert len(lines) == 3
    assert lines[0].split() == ["SIZE", "BACKEND", "PATH"]
    assert lines[1].endswith(SHOWN) and "very-long-name/" * 12 in lines[1]
    assert lines[2] == "  1B  x          /short"
    assert all(line == line.rstrip() for line in lines)
    assert "\x1b" not in done.out


def test_a_terminal_gets_no_control_character_of_a_name(sink: Sink) -> None:
    done = sink.on_terminal(program(TABLE), columns=120)
    assert SHOWN in done.out.replace("\n", "")
    assert "\x1b[31m" not in done.out
    assert "\u202e" not in done.out
    assert "\x1b[1m" in done.out, "the titles are bold on a terminal"


def test_a_narrow_terminal_gets_a_block_per_row(sink: Sink) -> None:
    done = sink.on_terminal(program(TABLE), columns=40)
    lines = done.out.splitlines()
    assert lines[0].startswith("/models/very-long-name/")
    assert lines[1:] == ["  size 4.9G, backend hub-cache", "/short", "  size 1B, backend x"]


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_color_means_no_escape_sequence_at_all(sink: Sink, variables: dict[str, str]) -> None:
    body = f"""{TABLE}
output.line("good", "bold"); output.warning("beware"); output.error("bad", "do this")
bar = output.progress(); bar.start("reading", 100, "bytes"); bar.advance(50); bar.finish()"""
    done = sink.on_terminal(program(body), environ=variables)
    assert "\x1b" not in done.out
    assert "warning: beware" in done.out
    assert "reading" not in done.out


def test_data_goes_to_stdout_and_messages_to_stderr(sink: Sink) -> None:
    done = sink(program('output.line("data"); output.message("by the way"); output.error("what", "hint")'))
    assert done.out == "data\n"
    assert done.err == "by the way\nhubfold: what\n  hint\n"


def test_quiet_leaves_warnings_errors_and_names(sink: Sink) -> None:
    body = f"""{TABLE}
output.line("data"); output.message("by the way"); output.names(["a\\nb"]); output.warning("beware")"""
    done = sink(program(body, quiet=True))
    assert (done.out, done.err) == ("a\\nb\n", "warning: beware\n")


def test_with_json_stdout_holds_one_document(sink: Sink) -> None:
    done = sink(
        program(
            f'{TABLE}\noutput.line("data"); output.json({{"path": PATH}}); output.message("m")', as_json=True
        )
    )
    assert done.json["path"].endswith("caf\udce9 \x1b[31m[bold]red[/bold] \u202etxt.\nsafetensors")
    assert done.out.isascii()
    assert done.err == "m\n"


def test_a_terminal_that_knows_no_utf8_gets_escapes(sink: Sink) -> None:
    done = sink(program('output.line("模型")'), environ={"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})
    assert (done.code, done.out) == (0, "\\u6a21\\u578b\n")


def test_the_bar_shows_bytes_and_goes_when_done(sink: Sink) -> None:
    body = """
bar = output.progress()
bar.start("reading /models/\\x1b[31m[bold]x[/bold]", 4_000_000, "bytes")
for _ in range(8):
    bar.advance(500_000)
bar.finish()
bar.start("looking", None, "files"); bar.advance(3); bar.finish()"""
    done = sink.on_terminal(program(body), columns=120)
    assert r"reading /models/\x1b[31m[bold]x[/bold]" in done.out
    assert "/4.0 MB" in done.out
    assert "MB/s" in done.out
    assert done.out.rstrip().endswith("\x1b[2K"), "the last thing drawn is an empty line"


@pytest.mark.slow
def test_what_is_done_in_a_blink_draws_nothing(sink: Sink) -> None:
    body = 'bar = output.progress(); bar.start("reading", 10, "bytes"); bar.advance(10); bar.finish()'
    assert sink.on_terminal(program(body, tick=0)).out == ""
    assert "reading" in sink.on_terminal(program(body, tick=1)).out


def test_there_is_no_bar_in_a_pipe(sink: Sink) -> None:
    body = 'bar = output.progress(); bar.start("reading", 10, "bytes"); bar.advance(10); bar.finish()'
    assert sink(program(body, tick=1)).err == ""


@pytest.mark.parametrize(
    ("typed", "answer"),
    [("y\n", True), ("YES\n", True), ("n\n", False), ("\n", False), ("\x04", False), ("yy\n", False)],
)
def test_only_y_and_yes_are_a_yes(sink: Sink, typed: str, answer: bool) -> None:
    done = sink.on_terminal(
        program('output.line(str(output.confirm("Delete \\x1b[31m?")))'), answers=[("[y/N]", typed)]
    )
    assert done.out.rstrip().endswith(str(answer))
    assert r"Delete \x1b[31m? [y/N]" in done.out


def test_a_closed_pipe_ends_quietly(hubfold: Program) -> None:
    command = " ".join(f"'{word}'" for word in map(str, hubfold.command(["--help"])))
    done = subprocess.run(
        ["bash", "-c", f"{command} | true; echo ${{PIPESTATUS[0]}}"],
        env=hubfold.environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")


def test_a_full_disk_behind_stdout_is_said_so(hubfold: Program) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            hubfold.command(["--version"]),
            env=hubfold.environ,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr


def test_a_signal_ends_the_wait_for_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whenever it comes: a read that began right after it would wait for ever, with what its handler raises unheard."""
    nobody, writes = os.pipe()
    before = signal.signal(signal.SIGINT, lambda number, frame: None)
    try:
        with open(nobody) as stdin:
            monkeypatch.setattr(sys, "stdin", stdin)
            sent = threading.Timer(0.01, os.kill, (os.getpid(), signal.SIGINT))
            sent.start()
            streams.wait_for_line()
            sent.join()
            os.write(writes, b"y\n")
            streams.wait_for_line()
            assert stdin.readline() == "y\n"
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(writes)
