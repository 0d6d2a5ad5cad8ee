"""``hubfold plugins``."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from hubfold import display
from hubfold.cli import options
from hubfold.cli.errors import SOME_LEFT
from hubfold.errors import UsageError

if TYPE_CHECKING:
    from hubfold.backend.registry import LoadedBackend, LoadedPlugin, Registry
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.kit.look import StoreCheck


@click.group(
    "plugins",
    cls=options.CommandGroup,
    invoke_without_command=True,
    examples=[
        ("hubfold plugins", "the loaded backends, from which distribution, and what they allow"),
        ("HUBFOLD_NO_PLUGINS=1 hubfold plugins", "without those of other distributions"),
        ("hubfold plugins --json", "for a script"),
        ("hubfold plugins new my-store", "write a distribution to begin with, in ./hubfold-my-store"),
        ("hubfold plugins check my-store --store ~/.my-store", "hold it against the contract"),
    ],
)
@options.output_options
@click.pass_context
def command(ctx: click.Context, session: Session) -> None:
    """Show which backends are loaded, from which distribution, with their capabilities; help to write one."""
    if ctx.invoked_subcommand is None:
        _list(session)


@options.command(
    "new",
    examples=[
        ("hubfold plugins new my-store", "in ./hubfold-my-store, with tests that pass"),
        ("hubfold plugins new my-store ~/src/my-store", "in that folder"),
    ],
)
@click.argument("name", type=click.UNPROCESSED)
@click.argument("folder", metavar="[DIR]", required=False, default="", type=click.UNPROCESSED)
def new(session: Session, name: str, folder: str) -> None:
    """Write a distribution with the storage backend NAME to begin with.

    Nothing that is there is written over.
    """
    from hubfold.kit import scaffold

    target, files = scaffold.write(name, folder)
    if session.output.as_json:
        session.output.json({"folder": target, "files": files})
        return
    for file in files:
        session.output.line(f"  {file}")
    session.output.line(f"wrote {display.count(len(files), 'file')} in {target}", "bold")
    # The environment that has hubfold: a plugin is found where it is installed beside it.
    python = shlex.quote(sys.executable)
    session.output.message(
        f"next: cd {shlex.quote(target)} && {python} -m pip install -e '.[dev]' && {python} -m pytest"
    )


@options.command(
    "check",
    examples=[
        (
            "hubfold plugins check",
            "every plugin: does it load, how long does that take, what does it take part in",
        ),
        (
            "hubfold plugins check my-store --store ~/.my-store",
            "the contract, held against a copy of that store",
        ),
    ],
)
@click.argument("name", required=False, default="", type=click.UNPROCESSED)
@click.option(
    "--store", metavar="DIR", default="", help="A store of this layout, of less than 1 GiB: it is copied."
)
def check(session: Session, name: str, store: str) -> int | None:
    """Look at a plugin as its author would: does it load, and does it keep the contract.

    Exit code 3 where a plugin does not load, the folder is not recognised, or a rule is broken. The contract needs
    pytest.
    """
    output = session.output
    if store and not name:
        raise UsageError("--store needs the name of the backend that it is for", "see `hubfold plugins`")
    with session.engine() as engine:
        registry = engine.registry
        if name:
            registry.named(name)
        found = None
        if store:
            from hubfold.kit import look

            found = look.check(
                registry, name, store, lambda: output.message("holding the contract against a copy of it")
            )
    broken = [] if name else _broken_as_json(registry)
    plugins = [one for one in registry.plugins if not name or one.origin == registry[name].backend.origin]
    if output.as_json:
        output.json(
            {
                "plugins": [_plugin_as_json(one) for one in plugins],
                "broken": broken,
                "store": found.as_json() if found is not None else None,
            }
        )
    else:
        for one in plugins:
            milliseconds = f"{one.seconds * 1000:.0f} ms"
            output.line(f"{one.origin.plugin}, from {one.origin.whence}", "bold")
            output.line(
                f"  plugin API {one.api}, loaded in {milliseconds}; hooks: {', '.join(one.hooks) or 'none'}"
            )
        if found is not None:
            _show(output, found, store)
    return SOME_LEFT if broken or (found is not None and not found.is_good) else None


command.add_command(new)
command.add_command(check)


def _show(output: Output, found: StoreCheck, store: str) -> None:
    if not found.root:
        output.line(f"{store} is no store of {found.backend}: `recognise` says nothing of it", "red")
        return
    files = display.count(found.files, "file")
    output.line(
        f"  {found.root}: {files} with content, {found.claimed:,} with digests, "
        f"{display.count(len(found.models), 'model')}; read in {found.seconds * 1000:.0f} ms"
    )
    for warning in found.warnings:
        output.warning(warning)
    output.line(
        f"  contract: {found.kept:,} rules kept, {len(found.skipped):,} skipped, {len(found.broken):,} broken",
        "red" if found.broken else "bold",
    )
    for one in found.broken:
        output.line(f"    {one.rule}", "red")
        output.line(f"      {one.why}")


def _list(session: Session) -> None:
    output = session.output
    with session.engine() as engine:
        registry = engine.registry
    backends = list(registry.values())
    if output.as_json:
        broken_json = _broken_as_json(registry)
        output.json({"backends": [_as_json(backend) for backend in backends], "broken": broken_json})
    elif output.quiet:
        output.names(registry)
    else:
        for backend in backends:
            output.line(f"{backend.name}, from {backend.distribution} {backend.version}", "bold")
            output.line(f"  {', '.join(_capabilities(backend))}")


def _broken_as_json(registry: Registry) -> list[dict[str, str]]:
    return [
        {"plugin": one.origin.plugin, "distribution": one.origin.whence, "error": one.what}
        for one in registry.broken
    ]


def _plugin_as_json(plugin: LoadedPlugin) -> dict[str, Any]:
    return {
        "plugin": plugin.origin.plugin,
        "distribution": plugin.origin.distribution,
        "version": plugin.origin.version,
        "api": plugin.api,
        "hooks": list(plugin.hooks),
        "seconds": plugin.seconds,
    }


def _capabilities(backend: LoadedBackend) -> list[str]:
    """In words, what the planner reads as data."""
    allowed = backend.capabilities
    words = ["cache"] if allowed.cache else []
    words.append(
        "its files may be the ones that stay" if allowed.keeps else "its files never stay for others"
    )
    words.append(f"links: {' '.join(sorted(allowed.links)) or 'none'}")
    words.append(f"across drives: {' '.join(sorted(allowed.links_across)) or 'none'}")
    if allowed.same_owner:
        words.append("of one owner only")
    if allowed.written_in_place:
        words.append(f"{allowed.written_in_place} writes into its files where they lie")
    if allowed.claims:
        words.append(f"knows digests: {' '.join(sorted(allowed.claims))}")
    return words


def _as_json(backend: LoadedBackend) -> dict[str, Any]:
    allowed = backend.capabilities
    return {
        "name": backend.name,
        "plugin": backend.plugin,
        "distribution": backend.distribution,
        "version": backend.version,
        "capabilities": {
            "cache": allowed.cache,
            "keeps": allowed.keeps,
            "links": sorted(allowed.links),
            "links_across": sorted(allowed.links_across),
            "private_objects": allowed.private_objects,
            "same_owner": allowed.same_owner,
            "written_in_place": allowed.written_in_place,
            "claims": sorted(allowed.claims),
        },
    }
