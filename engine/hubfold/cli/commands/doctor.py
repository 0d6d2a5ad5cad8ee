"""``hubfold doctor``."""

from __future__ import annotations

from dataclasses import dataclass

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.errors import SOME_LEFT
from hubfold.cli.options import Session
from hubfold.errors import UsageError


@dataclass(frozen=True, slots=True)
class Through:
    """The mounts to look through."""

    mounts: tuple[str, ...]
    compose: str | None
    environ: tuple[str, ...]


@options.command(
    "doctor",
    examples=[
        ("hubfold doctor", "what is not as it should be; nothing is changed"),
        ("hubfold doctor --fix", "mend what can be mended without losing a byte"),
        ("hubfold doctor --fix --download", "fetch anew what no good copy is left of"),
        ("hubfold doctor --mount ~/models:/models", "what a container with this mount would not find"),
        ("hubfold doctor --compose compose.yaml", "the same for each service of a compose file"),
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
@click.option(
    "--mount",
    "mounts",
    multiple=True,
    metavar="HOST:CONTAINER",
    help="Look through this mount as a container does, and at nothing else (may be repeated; :ro is read-only).",
)
@click.option("--compose", metavar="FILE", help="Look through the mounts of each service of a compose file.")
@click.option(
    "--env",
    "environ",
    multiple=True,
    metavar="NAME=VALUE",
    help="With --mount: a variable of the container, such as HF_HOME (may be repeated).",
)
@options.full
@options.gathered(through=Through)
def command(session: Session, fix: bool, download: bool, through: Through) -> int | None:
    """Look for dangling links, interrupted downloads, misplaced caches, changed blobs and offline roots.

    Content that was written through a link is put right from another copy, which is read whole and compared with the
    digests first; the changed bytes stay in the vault under `replaced/`. With `--download` that works without another
    copy: the file comes from where it came from (HF_ENDPOINT, HF_TOKEN hold), and is used only if its digest is right.
    Exit code 3 while something is left to do.

    With `--mount` or `--compose` it tells what containers do not find: links that lead out of what is mounted, and the
    mount that mends each; caches that their environment names and nothing is mounted at; read-only ones.
    """
    if through.mounts or through.compose is not None:
        return _through_mounts(session, through, mends=fix or download)
    if through.environ:
        raise UsageError(
            "--env goes with --mount", "run `hubfold doctor --mount HOST:CONTAINER --env NAME=VALUE`"
        )
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
                    what = "opened to the group" if finding.kind == "not-shared" else "replaced"
                    output.line(f"  what is {what}, {paths}:")
                    tell.some(output, finding.replaces, full=session.full, indent="    ")
            if not tell.agreed(session, question):
                return None
            report = engine.doctor(fix=True, download=download)
        for fault in engine.faults:
            output.told(fault.line)  # it is one of the findings
    output.report(report)
    for finding in report.findings:
        what = f"{finding.kind}: " if finding.path else finding.kind
        output.line(what, "green" if finding.fixed else "red", path=finding.path)
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


def _through_mounts(session: Session, through: Through, *, mends: bool) -> int | None:
    """What containers do not see."""
    output = session.output
    if mends:
        raise UsageError("--fix mends no mounts", "leave out --fix: what to change is in the report")
    if through.environ and through.compose is not None:
        raise UsageError("--env goes with --mount: a compose file says it itself", "leave out --env")
    pairs = [text.partition("=") for text in through.environ]
    if wrong := next((text for text in through.environ if text.find("=") < 1), None):
        raise UsageError(f"--env {wrong} has no value", "give NAME=VALUE, as in HF_HOME=/models")
    environ = {name: value for name, _, value in pairs} if pairs else None
    with session.engine() as engine:
        report = engine.doctor_mounts(through.mounts, compose=through.compose, environ=environ)
    output.report(report)
    for finding in report.findings:
        where = f"{finding.service}: " if finding.service else ""
        output.line(f"{where}{finding.kind}: {finding.container}", "red")
        if finding.path:
            output.line(f"  on the host: {output.place(finding.path, full=session.full)}")
        output.line(f"  {finding.message}")
        output.line(f"  to mend it: {finding.fix}")
    for left in report.not_looked_at:
        output.line(f"{left.path}: {left.reason}")
    followed = f"{display.count(report.links, 'link')} followed"
    if not report.findings:
        output.line(f"{followed}: a container sees all of it", "bold")
        return None
    output.line(f"{followed}, {display.count(len(report.findings), 'finding')}", "bold")
    return SOME_LEFT
