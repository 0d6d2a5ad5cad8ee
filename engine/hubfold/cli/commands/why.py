"""``hubfold why``.

``--json``: ``{"path", "file", "state", "reason", "size", "keeper", "link", "run", "started", "bytes",
"others": [{"path", "how": "link"|"same file"|"copy", "repo_id"}], "next"}``.
"""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.origins import WhyReport

#: Other paths that a terminal gets without --full; a pipe gets all.
_HANDFUL = 10

_VERDICTS = {
    "folded": "your copy is a {link} to the kept file since run {run}",
    "keeps": "this file is kept for others",
    "would be folded": "not folded yet: it would become a {link} to the kept file",
    "would be kept": "not folded yet: it would stay, and its copies become links to it",
    "left alone": "left alone",
    "alone": "not folded: it has no copies",
    "unknown": "not known",
    "dangling": "a link that leads nowhere",
}


@options.command(
    "why",
    examples=[
        ("hubfold why ~/models/base/model.safetensors", "who keeps its content, or why it was not folded"),
        ("hubfold why --json model.gguf | jq -r .state", "in one word, for a script"),
    ],
)
@click.argument("path", type=click.UNPROCESSED)
@options.full
def command(session: Session, path: str) -> None:
    """Tell what became of the file at PATH, and why.

    Who keeps its content, which run put which link there, what else has the content; or what a fold would do with it;
    or why it is left alone. By the runs and the last scan; nothing is read again and nothing is changed.
    """
    output = session.output
    with session.engine() as engine:
        report = engine.why(path)
    output.report(report)
    if output.quiet:
        output.names([report.keeper or report.file])
    elif not output.as_json:
        _show(output, report, full=session.full)


def _show(output: Output, report: WhyReport, *, full: bool) -> None:
    verdict = _VERDICTS[report.state].format(link=report.link, run=report.run)
    output.line(f"{output.place(report.path, full=full)}: {verdict}", "bold")
    output.line(f"  why: {output.place(report.reason, full=full)}")
    if report.keeper:
        output.line("  kept: ", path=output.place(report.keeper, full=full))
    if report.file not in (report.path, report.keeper):
        output.line("  its bytes lie in: ", path=output.place(report.file, full=full))
    if report.size:
        output.line(f"  size: {display.size(report.size)}{_freed(report)}")
    others = [other for other in report.others if other.path not in (report.file, report.keeper)]
    many = not full and output.to_terminal and len(others) > _HANDFUL
    for other in others[: _HANDFUL if many else None]:
        model = f" ({other.repo_id})" if other.repo_id else ""
        output.line(f"  {other.how}: ", path=f"{output.place(other.path, full=full)}{model}")
    if many:
        output.message(f"{len(others) - _HANDFUL:,} more paths have its content; --full lists them")
    if report.next:
        output.message(f"next: {shlex.join(['hubfold', *report.next])}")


def _freed(report: WhyReport) -> str:
    if not report.bytes:
        return ""
    done = report.run and report.state in ("folded", "keeps")
    return f", folding {'freed' if done else 'would free'} {display.size(report.bytes)}"
