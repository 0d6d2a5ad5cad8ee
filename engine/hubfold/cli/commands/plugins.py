"""``hubfold plugins``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hubfold.cli import options

if TYPE_CHECKING:
    from hubfold.backend.registry import LoadedBackend
    from hubfold.cli.options import Session


@options.command(
    "plugins",
    examples=[
        ("hubfold plugins", "the loaded backends, from which distribution, and what they allow"),
        ("HUBFOLD_NO_PLUGINS=1 hubfold plugins", "without those of other distributions"),
        ("hubfold plugins --json", "for a script"),
    ],
)
def command(session: Session) -> None:
    """Show which backends are loaded, from which distribution, with their capabilities."""
    output = session.output
    with session.engine() as engine:
        registry = engine.registry
    backends = list(registry.values())
    if output.as_json:
        broken_json = [
            {"plugin": broken.origin.plugin, "distribution": broken.origin.whence, "error": broken.what}
            for broken in registry.broken
        ]
        output.json({"backends": [_as_json(backend) for backend in backends], "broken": broken_json})
    elif output.quiet:
        output.names(registry)
    else:
        for backend in backends:
            output.line(f"{backend.name}, from {backend.distribution} {backend.version}", "bold")
            output.line(f"  {', '.join(_capabilities(backend))}")


def _capabilities(backend: LoadedBackend) -> list[str]:
    """In words, what the planner reads as data."""
    allowed = backend.capabilities
    words = ["cache"] if allowed.cache else []
    words.append(
        "its files may be the ones that stay" if allowed.keeps else "its files never stay for others"
    )
    words.append(f"links: {' '.join(sorted(allowed.links)) or 'none'}")
    words.append(f"across drives: {' '.join(sorted(allowed.links_across)) or 'none'}")
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
            "claims": sorted(allowed.claims),
        },
    }
