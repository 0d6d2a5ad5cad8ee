"""``hubfold serve``: the endpoint is printed on stdout when requests can come, each of these on stderr."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.reports.serving import Begun


@dataclass(frozen=True, slots=True)
class Settings:
    """How to serve: see `hubfold.engine.serving`."""

    bind: str
    roots: tuple[str, ...]
    token_file: str | None
    without_token: bool
    next: str | None
    tls_cert: str | None
    tls_key: str | None

    @property
    def tls(self) -> tuple[str | None, str | None]:
        return self.tls_cert, self.tls_key


@options.command(
    "serve",
    examples=[
        ("hubfold serve", "for programs of this machine: HF_ENDPOINT=http://127.0.0.1:8600"),
        ("hubfold serve --next https://huggingface.co", "what is not here is asked there"),
        (
            "hubfold serve --bind 0.0.0.0:8600 --token-file ~/.hubfold-token --tls-cert c.pem --tls-key k.pem",
            "for the hosts of a lab; they set HF_TOKEN to the token",
        ),
        ("hubfold serve --root /mnt/nas/models", "only what this root holds"),
    ],
    reports=False,
)
@click.option("--bind", default="", metavar="HOST:PORT", help="Where to listen (default: 127.0.0.1:8600).")
@click.option(
    "--root",
    "roots",
    multiple=True,
    metavar="PATH",
    help="Only the roots at or below PATH (may be repeated).",
)
@click.option("--token-file", metavar="FILE", help="Answer only who sends the token in FILE (as HF_TOKEN).")
@click.option(
    "--without-token", is_flag=True, help="Let everybody who reaches an address of the network ask."
)
@click.option("--next", metavar="URL", help="The endpoint that is asked for what is not here.")
@click.option("--tls-cert", metavar="FILE", help="Serve https, with this certificate (PEM, with its chain).")
@click.option("--tls-key", metavar="FILE", help="The key of the certificate (PEM).")
@options.gathered(settings=Settings)
def command(session: Session, settings: Settings) -> None:
    """Hand out the models of this host to others, as the Hub does.

    Every client of the Hub downloads from here with HF_ENDPOINT set to what is printed, and `hubfold download --from`
    asks here before the Hub. All roots are served as they are, read-only: caches, local copies, drives. A file is read
    once before its first byte goes out, unless it was before, and never sent if it is not what its name says. Ctrl-C
    ends it.

    Whoever reaches the address reads what you may read, other users of this machine too: give --token-file. Needs the
    packages of `hubfold[serve]`.
    """
    output = session.output
    with session.engine() as engine, session.ended_by_interrupt():
        engine.serve(settings, begun=lambda begun: _tell(output, begun), told=output.message)


def _tell(output: Output, begun: Begun) -> None:
    models = display.count(begun.models, "model")
    output.message(f"{models}, {display.size(begun.bytes)}: {_revisions(begun)}")
    if not begun.token:
        who = "every user of this machine" if begun.own else "everybody who reaches this address"
        output.message(f"{who} can read them: no token is asked for (--token-file)")
    elif begun.plain and not begun.own:
        output.message("the token and the models go unencrypted (--tls-cert, --tls-key)")
    output.message(f"set HF_ENDPOINT={begun.endpoint}; Ctrl-C ends it")
    output.names([begun.endpoint])
    output.deliver()


def _revisions(begun: Begun) -> str:
    whole = f"{display.count(begun.whole, 'revision')} as a whole"
    return f"{whole}, {begun.in_part} by single files" if begun.in_part else whole
