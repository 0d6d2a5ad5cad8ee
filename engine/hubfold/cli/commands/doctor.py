"""``hubfold doctor``."""

from __future__ import annotations

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.errors import SOME_LEFT
from hubfold.cli.options import Session
from hubfold.errors import UsageError


@options.command(
    "doctor",
    examples=[
        ("hubfold doctor", "what is not as it should be; nothing is changed"),
        ("hubfold doctor --fix", "mend what can be mended without losing a byte"),
        ("hubfold doctor --fix --download", "fetch anew what no good copy is left of"),
        ("hubfold doctor --json", "for a script; exit code 3 where something is left to do"),
    ],
)
@click.option(
    "--fix", is_flag=True, help="Mend what can be mended; changed bytes are kept aside, never deleted."
)
@click.option(
    "--download",
    is_flag=True,
    help="With --fix: fetch content anew that no good copy is left of. Not with HF_HUB_OFFLINE.",
)
@click.option("-y", "--yes", is_flag=True, help="With --fix: do not ask.")
@options.full
def command(session: Session, fix: bool, download: bool) -> int | None:
    """Look for dangling links, interrupted downloads, misplaced caches, changed blobs and offline roots.

    Content that was written through a link is put right from another copy, which is read whole and compared with the
    digests first; the changed bytes stay in the vault under `replaced/`. With `--download` that works without another
    copy: the file comes from where it came from (HF_ENDPOINT, HF_TOKEN hold), and is used only if its digest is right.
    Exit code 3 while something is left to do.
    """
    if download and not fix:
        raise UsageError("--download goes with --fix", "run `hubfold doctor --fix --download`")
    output = session.output
    with session.engine() as engine:
        report = engine.doctor(download=download)
        mendable = [finding for finding in report.findings if finding.mendable]
        if fix and mendable:
            question = f"Mend {display.count(len(mendable), 'finding')}?"
            for finding in mendable:
                output.line(f"{finding.kind}: {finding.path}: {finding.fix}")
                if finding.replaces:
                    paths = display.count(len(finding.replaces), "path")
                    output.line(f"  what is replaced, {paths}:")
                    tell.some(output, finding.replaces, full=session.full, indent="    ")
            if not tell.agreed(session, question):
                return None
            report = engine.doctor(fix=True, download=download)
        for fault in engine.faults:
            output.told(fault.line)  # it is one of the findings
    output.report(report)
    for finding in report.findings:
        what = f"{finding.kind}: {finding.path}" if finding.path else finding.kind
        output.line(what, "green" if finding.fixed else "red")
        output.line(f"  {finding.message}")
        output.line(f"  {'mended' if finding.fixed else 'to mend it'}: {finding.fix}")
    if not report.findings:
        output.line("all is as it should be", "bold")
        return None
    output.line(
        f"{display.count(len(report.findings), 'finding')}, {len(report.findings) - report.unfixed:,} mended",
        "bold",
    )
    if not fix and mendable:
        output.message("next: hubfold doctor --fix")
    return SOME_LEFT if report.unfixed else None
