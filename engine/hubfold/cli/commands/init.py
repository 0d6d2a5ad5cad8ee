"""``hubfold init``.

``--json``: ``{"path", "written", "text"}``; `text` is what the file holds, or would hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hubfold.cli import options, tell

if TYPE_CHECKING:
    from hubfold.cli.options import Session


@options.command(
    "init",
    examples=[
        ("hubfold init", "write config.toml, every setting in it with what it is for"),
        ("hubfold init --dry-run", "print that file instead"),
    ],
)
@options.before_change
def command(session: Session) -> None:
    """Write a config.toml with every setting explained.

    All of it is commented out, so nothing changes before you edit it. A file that is there already is never written
    over. It lies in ~/.config/hubfold, or in HUBFOLD_HOME.
    """
    output = session.output
    with session.engine() as engine:
        text = engine.sample_config
        path = engine.state.config if session.dry_run else engine.write_config()
    if output.as_json:
        output.json({"path": path, "written": not session.dry_run, "text": text})
    elif session.dry_run:
        output.page(text)
        output.message(tell.DRY_RUN)
    else:
        output.line(f"wrote {path}")
        output.message("next: edit it; `hubfold check` and `hubfold roots` show what it comes to")
