"""``hubfold roots``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.cli.output import Column

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.scans import StatusRoot


@dataclass(frozen=True, slots=True)
class Where:
    """What a root is to be."""

    backend: str | None
    role: str | None
    limit: int | None
    name: str


@click.group(
    "roots",
    cls=options.CommandGroup,
    invoke_without_command=True,
    examples=[
        ("hubfold roots", "the roots that a scan without PATH walks"),
        ("hubfold roots add /mnt/nas/models --role secondary --limit 2TB", "register one more"),
        ("hubfold roots add /mnt/usb/hub --name usb", "a place that models can be registered at"),
        ("hubfold roots rm /mnt/nas/models", "forget it again; its files stay"),
    ],
)
@options.output_options
@click.pass_context
def command(ctx: click.Context, session: Session) -> None:
    """Show, add and remove roots.

    Roots come from `hubfold roots add`, from the hubfold.toml or .env of the project (the nearest folder upwards that
    has one), from config.toml, and from the environment: PRIMARY_CACHE_PATH, PRIMARY_CACHE_LIMIT_GB,
    SECONDARY_CACHE_PATH and SECONDARY_CACHE_LIMIT_GB, in this order, and HF_HOME and its like. One with a name or a
    role is a place for models: downloads go to the primary one, and what has a limit is kept under it.
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
            "where downloads go, and what copies are folded into",
        ),
        ("hubfold roots add /mnt/usb/hub --name usb --limit 2TB", "a place that is called usb"),
    ],
)
@click.argument("path", type=click.UNPROCESSED)
@click.option("--backend", metavar="NAME", help="Its layout (default: what it is recognised as).")
@click.option(
    "--role",
    type=click.Choice(["primary", "secondary"]),
    help="Downloads go to the primary place, and copies there are kept before others. It is its name, too.",
)
@click.option("--limit", callback=options.as_size, metavar="SIZE", help="How much this root may hold.")
@click.option("--name", metavar="NAME", default="", help="What you call it as a place for models.")
@options.gathered(where=Where)
def add(session: Session, path: str, where: Where) -> None:
    """Register PATH as a root.

    With a name or a role it is a place for models. One that has nothing in it yet is taken for a cache.
    """
    from hubfold.content import Role

    role = Role(where.role) if where.role else None
    with session.engine() as engine:
        root = engine.add_root(path, backend=where.backend, role=role, limit=where.limit, name=where.name)
    session.output.report(root)
    called = f"{root.name}, " if root.name and root.name != root.role else ""
    session.output.line(f"added {root.path} ({called}{root.backend}, {root.role})")
    tell.parts_of(session.output, [path], [root.path])
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
    rows = [
        [
            _size(root),
            _limit(root),
            f"{root.files:,}",
            root.backend,
            str(root.role),
            _from(root),
            root.path,
        ]
        for root in roots
    ]
    # Who has named nothing has nothing to read there.
    if any(root.name not in ("", root.role) for root in roots):
        columns.insert(5, Column("NAME"))
        for root, row in zip(roots, rows, strict=True):
            row.insert(5, root.name)
    output.table(columns, rows)


def _size(root: StatusRoot) -> str:
    if root.error:
        return "no access"
    if root.to_be_made:
        return "none yet"
    if not root.online:
        return "away" if root.away else "offline"
    return display.size(root.bytes)


def _limit(root: StatusRoot) -> str:
    """What it holds by blocks of what it may."""
    if root.limit is None:
        return ""
    used = f"{display.size(root.used_bytes)} of " if root.used_bytes is not None else ""
    return used + display.size(root.limit)


def _from(root: StatusRoot) -> str:
    """Where its path is named, and what of its settings is named elsewhere."""
    others: dict[str, list[str]] = {}
    for setting, source in root.sources.items():
        if source != root.source and setting != "path":
            others.setdefault(source, []).append(setting)
    return "; ".join([root.source, *(f"{', '.join(names)} by {source}" for source, names in others.items())])
