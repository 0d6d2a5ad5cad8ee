"""``hubfold adopt``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.transfers import AdoptReport

#: For people, what becomes of a file.
_HOW = {
    "hardlink": "that the cache and the folder share",
    "reflink": "whose extents are shared",
    "copy": "to copy",
}


@options.command(
    "adopt",
    examples=[
        ("hubfold adopt ~/models/base", "a download, a clone or a copy, into the cache"),
        ("hubfold adopt ./base --repo org/base --revision main", "where the folder does not say what it is"),
        ("hubfold adopt ./base --into /data/hub --dry-run", "what it would make in another cache"),
    ],
)
@click.argument("folder", metavar="DIR", type=click.UNPROCESSED)
@click.option("--repo", metavar="ORG/NAME", help="Which model it is, where nothing else says so.")
@click.option("--revision", metavar="REV", help="Its commit; or a branch that a cache or the Hub knows.")
@click.option("--into", metavar="CACHE", help="Into this cache instead of the client's own.")
@options.full
@options.before_change
def command(
    session: Session, folder: str, repo: str | None, revision: str | None, into: str | None
) -> int | None:
    """Make a folder of files a model of the cache.

    DIR is what `hf download --local-dir` filled, a git clone, or a plain copy. Programs then load it by its name,
    offline too; the folder keeps its files, and within one file system no byte is copied: large files are shared, and
    read-only from then on. Which model and revision it is comes from the folder's own notes, its clone, or a cache that
    has the same files; else you are asked for --repo and --revision. Every file is read, and a folder whose files were
    edited since they came is not adopted. `hubfold undo` takes it back.
    """
    output = session.output
    with session.engine() as engine:
        tell.recover_first(session, engine)
        plan = engine.plan_adopt(folder, repo, revision, into=into)
        preview = engine.preview_adopt(plan)
        _show(session, output, preview)
        if preview.made:
            engine.check_adopt_space(plan)
        question = f"Make {display.count(len(preview.made), 'path')} in {preview.cache}?"
        if not tell.goes_on(session, preview, question, nothing=not preview.made):
            if not preview.made:
                output.message("the cache has all of it: `hubfold consolidate` folds what is there twice")
            return None
        report = engine.adopt(plan)
    output.report(report)
    tell.left_alone(output, tell.reasons(report.left[len(preview.left) :]), full=session.full)
    if not report.failed:
        output.line(
            f"{report.model} is in {report.cache} as {report.commit[:12]}:"
            f" {display.count(len(report.made), 'path')} made, {display.size(report.written)} written",
            "bold",
        )
        if report.links:
            links = display.count(len(report.links), "file")
            output.line(f"{links} of {report.folder} read what the cache has")
    return tell.failures(output, report.failed) or None


def _show(session: Session, output: Output, preview: AdoptReport) -> None:
    output.line(f"{preview.model} at {preview.commit[:12]}, by {preview.told_by}", "bold")
    for how, words in _HOW.items():
        files = [one for one in preview.reused if one.how == how]
        if files:
            size = display.size(sum(one.bytes for one in files))
            output.line(f"{display.count(len(files), 'file')} {words}, {size}")
            tell.some(output, [one.source for one in files], full=session.full)
    if preview.read_only:
        output.line(f"read-only from then on, {display.count(len(preview.read_only), 'file')} of the folder")
    if preview.made:
        output.line(f"what is made in {preview.cache}, {display.count(len(preview.made), 'path')}:")
        tell.some(output, preview.made, full=session.full)
    if preview.missing:
        output.line(f"not in the folder, {display.count(len(preview.missing), 'file')} of the revision:")
        tell.some(output, preview.missing, full=session.full)
    tell.left_alone(output, tell.reasons(preview.left), full=session.full)
