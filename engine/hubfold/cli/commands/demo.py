"""``hubfold demo``."""

from __future__ import annotations

import os
import shutil
import tempfile

import click

from hubfold import display
from hubfold.cli import options
from hubfold.cli.errors import FAILED
from hubfold.cli.options import Session
from hubfold.errors import UsageError


@options.command(
    "demo",
    examples=[
        ("hubfold demo", "in a temporary folder, which is removed at the end"),
        ("hubfold demo ./try --size 200M", "in a new folder, which stays for you to look at"),
    ],
)
@click.argument("folder", metavar="[DIR]", required=False, type=click.UNPROCESSED)
@click.option(
    "--size",
    callback=options.as_size,
    default="48M",
    show_default=True,
    metavar="SIZE",
    help="What all the copies take before.",
)
@click.option("--keep", is_flag=True, help="Keep the temporary folder.")
def command(session: Session, folder: str | None, size: int, keep: bool) -> int | None:
    """Do the whole job on a small set-up of its own, and check that it did what it should.

    Two caches, local copies, a plain copy and a fine-tune, downloaded by huggingface_hub from a Hub on 127.0.0.1; then
    scan, dry run, consolidate, verify and undo. Touches nothing outside its folder.
    """
    from hubfold.demo import Demo

    output = session.output
    where = folder or tempfile.mkdtemp(prefix="hubfold-demo-")
    try:
        demo = Demo(where, size, tell=output.line, quiet=output.quiet or output.as_json)
    except UsageError:
        if folder is None:
            os.rmdir(where)
        raise
    report = demo.run()
    output.report(report)
    for complaint in report.complaints:
        output.warning(f"does not hold: {complaint}")
    output.line()
    for step in report.steps:
        output.line(f"{display.size(step.allocated_bytes):>8}  after {step.command}")
    if folder is None and not keep and not report.complaints:
        shutil.rmtree(where)
        output.message("all of it is as it should be; the temporary folder is removed")
    else:
        output.message("look around with:")
        output.message(
            f"  export {' '.join(f'{name}={value}' for name, value in demo.environ.items() if name != 'HOME')}"
        )
    return FAILED if report.complaints else None
