"""``hubfold roots``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options
from hubfold.cli.output import Column

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.scans import StatusRoot


@click.group(
    "roots",
    cls=options.CommandGroup,
    invoke_without_command=True,
    examples=[
        ("hubfold roots", "the roots that a scan without PATH walks"),
        ("hubfold roots add /mnt/nas/models --role secondary --limit 2TB", "register one more"),
        ("hubfold roots rm /mnt/nas/models", "forget it again; its files stay"),
    ],
)
@options.output_options
@click.pass_context
def command(ctx: click.Context, session: Session) -> None:
    """Show, add and remove roots.

    Roots come from `hubfold roots add`, from config.toml, and from the environment (HF_HOME and its like).
    """
    if ctx.invoked_subcommand is None:
        _list(session)


@options.command(
    "ls",
    examples=[
        ("hubfold roots ls", "the roots with their space and where each is known from"),
        ("hubfold roots ls -q", "only their paths"),
    ],
)
def ls(session: Session) -> None:
    """Show the roots."""
    _list(session)


@options.command(
    "add",
    examples=[
        ("hubfold roots add ~/models", "a folder; its layout is recognised"),
        (
            "hubfold roots add /mnt/big/hub --role primary --limit 1.5TB",
            "the cache that copies are folded into",
        ),
    ],
)
@click.argument("path", type=click.UNPROCESSED)
@click.option("--backend", metavar="NAME", help="Its layout (default: what it is recognised as).")
@click.option(
    "--role",
    type=click.Choice(["primary", "secondary"]),
    default="secondary",
    show_default=True,
    help="Copies in the primary root are kept before those in others.",
)
@click.option("--limit", callback=options.as_size, metavar="SIZE", help="How much this root may hold.")
def add(session: Session, path: str, backend: str | None, role: str, limit: int | None) -> None:
    """Register PATH as a root."""
    from hubfold.content import Role

    with session.engine() as engine:
        root = engine.add_root(path, backend=backend, role=Role(role), limit=limit)
    session.output.report(root)
    session.output.line(f"added {root.path} ({root.backend}, {root.role})")
    session.output.message("next: hubfold scan")


@options.command(
    "rm",
    examples=[
        ("hubfold roots rm ~/models", "forget it; its files and links stay as they are"),
        ("hubfold roots rm /mnt/gone", "works for a drive that is not there any more"),
    ],
)
@click.argument("path", type=click.UNPROCESSED)
def rm(session: Session, path: str) -> None:
    """Forget the root PATH. Nothing in it is touched."""
    with session.engine() as engine:
        root = engine.remove_root(path)
    session.output.report(root)
    session.output.line(f"removed {root.path} from the roots; its files stay as they are")
    if root.source == "found":
        session.output.message(
            "the environment names it (HF_HOME and its like): the next scan knows it again"
        )


for _subcommand in (ls, add, rm):
    command.add_command(_subcommand)


def _list(session: Session) -> None:
    output = session.output
    with session.engine() as engine:
        roots = engine.roots()
    if output.as_json:
        output.json({"roots": [root.as_json() for root in roots]})
    elif output.quiet:
        output.names(root.path for root in roots)
    elif not roots:
        output.line("no roots yet")
        output.message("next: hubfold roots add PATH")
    else:
        show(output, roots)


def show(output: Output, roots: list[StatusRoot]) -> None:
    """The roots with their space as the index knows it."""
    columns = [
        Column("SIZE", right=True),
        Column("LIMIT", right=True),
        Column("FILES", right=True),
        Column("BACKEND"),
        Column("ROLE"),
        Column("FROM"),
        Column("ROOT", below=True),
    ]
    output.table(
        columns,
        [
            [
                "no access" if root.error else display.size(root.bytes) if root.online else "offline",
                display.size(root.limit) if root.limit is not None else "",
                f"{root.files:,}",
                root.backend,
                str(root.role),
                root.source,
                root.path,
            ]
            for root in roots
        ],
    )
