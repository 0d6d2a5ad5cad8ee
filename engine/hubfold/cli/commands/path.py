"""``hubfold path``.

``--json``: ``{"id", "path"}``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from hubfold.cli import options

if TYPE_CHECKING:
    from hubfold.cli.options import Session


@options.command(
    "path",
    examples=[
        ("hubfold path org/model", "the folder with its files"),
        ("hubfold path org/model config.json", "one file of it"),
        ("hubfold path org/model-GGUF model.Q4_K_M.gguf", "for a program that wants the path of one file"),
        ("hubfold path org/model --revision v1.0", "another revision than main"),
    ],
)
@click.argument("model", type=click.UNPROCESSED)
@click.argument("file", required=False, metavar="[FILE]", type=click.UNPROCESSED)
@click.option("--revision", metavar="R", help="A branch, a tag or a commit hash (default: what main names).")
def command(session: Session, model: str, file: str | None, revision: str | None) -> None:
    """Print where MODEL lies, in whichever root it is whole; with FILE, where that file of it lies.

    Exit code 1, and what to do, if it is not whole; a FILE has to be whole itself only. A path with characters that a
    terminal should not see is printed escaped: use --json for those.
    """
    output = session.output
    with session.engine() as engine:
        found = engine.model_path(model, file, revision=revision)
        identifier = engine.model_name(model).id
    if output.as_json:
        output.json({"id": identifier, "path": found})
    else:
        output.names([found])
