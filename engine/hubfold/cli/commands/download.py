"""``hubfold download``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from hubfold import display
from hubfold.cli import options, tell
from hubfold.errors import NoSpace, UsageError

if TYPE_CHECKING:
    from hubfold.cli.options import Session
    from hubfold.cli.output import Output
    from hubfold.engine.engine import Engine
    from hubfold.reports.transfers import DownloadReport

_ALL = "all"


@dataclass(frozen=True, slots=True)
class Only:
    """Which revision and which files of each model."""

    revision: str | None
    include: tuple[str, ...]
    exclude: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Near:
    """Hosts that are asked before the Hub, and the file with the token that they want."""

    endpoints: tuple[str, ...]
    from_token: str | None


@dataclass(frozen=True, slots=True)
class Asked:
    """Which models."""

    models: tuple[str, ...]
    missing: bool
    every: bool


@dataclass(frozen=True, slots=True)
class Shown:
    """The folder that shows what came, and the program that it is a folder of."""

    to: str | None
    program: str | None


@options.command(
    "download",
    examples=[
        ("hubfold download org/model", "into the cache; what some root has already is not fetched"),
        ("hubfold download org/model --include '*.safetensors' --dry-run", "what would be fetched"),
        ("hubfold download org/many-GGUF --include '*Q4_K_M*'", "one quantisation; it is whole with that"),
        ("hubfold download org/model --to ~/models/it", "and a folder of links to its files"),
        (
            "hubfold download org/many-GGUF --for PROGRAM",
            "and into the folder of another program, with no copy",
        ),
        (
            "hubfold download org/model --from http://lab-1:8600",
            "what `hubfold serve` has there comes from there",
        ),
        ("hubfold download", "choose among the models of config.toml"),
        (
            "hubfold check -q || hubfold download --missing",
            "for a script: those of config.toml that are not whole",
        ),
    ],
)
@click.argument("models", nargs=-1, metavar="[MODEL]...", type=click.UNPROCESSED)
@click.option("--missing", is_flag=True, help="All models of config.toml that are not whole in the cache.")
@click.option("--all", "every", is_flag=True, help="All models of config.toml, brought up to date.")
@click.option("--revision", metavar="REVISION", help="A branch, a tag or a commit (default: main).")
@click.option(
    "--include",
    multiple=True,
    metavar="GLOB",
    help="Only files like this (may be repeated); with those `ls` and `check` call it whole.",
)
@click.option("--exclude", multiple=True, metavar="GLOB", help="No files like this (may be repeated).")
@click.option("--into", metavar="CACHE", help="Into this cache, or place, instead of the client's own.")
@click.option(
    "--to", metavar="DIR", help="Also make DIR a folder of links: one model's files, or org/name/ each."
)
@click.option(
    "--for",
    "program",
    metavar="PROGRAM",
    help="Also give them to this program, in its own folder or that of --to: see `hubfold farm --for`.",
)
@click.option(
    "--from",
    "endpoints",
    multiple=True,
    metavar="URL",
    help="Ask this host, which runs `hubfold serve`, before the Hub (may be repeated).",
)
@click.option("--from-token", metavar="FILE", help="A file with the token that the hosts of --from want.")
@options.before_change
@options.gathered(only=Only, asked=Asked, shown=Shown, near=Near)
def command(
    session: Session, asked: Asked, only: Only, shown: Shown, near: Near, into: str | None
) -> int | None:
    """Download models into the cache, never a second copy.

    Each goes to the place that it is registered at, else to the primary place, and where that has no room under its
    limit to the next one, which is told (see `hubfold roots`). Without any it is the client's own cache.

    Content that some root has already (another model, a local copy, another drive) is put into the cache after its
    bytes were checked; huggingface_hub fetches the rest. HF_ENDPOINT, HF_HUB_OFFLINE and HF_TOKEN count. What lies in
    the cache and is cut short, or was found corrupt, is got anew; the bytes that were there are kept in the vault. Exit
    code 3 if a model is not whole in the end. A cache named by --into is one of the roots from then on; of a base
    folder (an HF_HOME), its hub/.

    With --from, or `neighbours` in config.toml, large files are asked for by their sha256 at other hosts first, and
    counted only when they are that; the Hub says which files there are, and gives what no host has.

    What an earlier attempt left of a large file, in any root, is gone on with, and the whole held against its sha256.

    Needs no question, for it only adds, and keeps what it puts right. One thing is asked: whether files of your own
    folders may be hard-linked into the cache, which makes them read-only; they are copied else. -y is a yes.
    """
    output = session.output
    with session.engine() as engine:
        engine.ask_neighbours(near.endpoints, near.from_token)
        to = shown.to
        if shown.program is not None:
            # What cannot be given to it is not downloaded first.
            to = engine.program_folder(shown.program, to)
        chosen = _chosen(output, engine, asked, into)
        if not chosen:
            output.message("nothing is missing: all models of config.toml are whole there")
        plan = engine.plan_download(
            chosen, only.revision, include=only.include, exclude=only.exclude, into=into
        )
        shared = plan.shared_files
        if session.dry_run or session.yes:
            plan = plan.sharing()
        _tell_failed(output, engine)
        preview = engine.preview_download(plan)
        _show(output, preview, shared)
        if session.dry_run:
            output.report(preview)
            try:
                engine.check_space(plan)
            except NoSpace as error:
                output.warning(f"{error}: {error.hint}")
            output.message(tell.DRY_RUN)
            return None
        if shared and not session.yes and output.can_ask:
            files = display.count(len(shared), "file")
            question = f"Hard-link {files} of your folders into the cache and make them read-only (no: copy)?"
            plan = plan.sharing() if session.confirm(question) else plan
        tell.recovered(output, engine.recover())
        report = engine.download(plan, to=to, program=shown.program, bars=output.watched)
        _tell_failed(output, engine)
    output.report(report)
    for model in (model for one in report.each for model in one.models):
        near_bytes = model.neighbour_bytes
        of_it = f", {display.size(near_bytes)} of it from other hosts" if near_bytes else ""
        output.message(f"{model.name}: whole, {display.size(model.fetch_bytes)} were downloaded{of_it}")
        if model.path and not output.as_json:
            output.names([model.path])
    if to is not None:
        output.message(f"{display.count(len(report.links), 'link')} added in {to}")
    return tell.failures(output, [failed for one in report.each for failed in one.failed]) or None


def _tell_failed(output: Output, engine: Engine) -> None:
    for endpoint, why in engine.neighbours_failed.items():
        output.warning(f"{endpoint}: {why}; the Hub is asked instead")


def _show(output: Output, preview: DownloadReport, shared: list[str]) -> None:
    for one in preview.each:
        _show_cache(output, one, several=bool(preview.elsewhere))
    for path in shared:
        output.message(f"  {path} gets read-only if it is hard-linked")


def _show_cache(output: Output, preview: DownloadReport, *, several: bool) -> None:
    """What goes into one cache; which one that is where there are several, or where it is not the first."""
    if several or preview.why:
        named = f"{preview.place} ({preview.cache})" if preview.place else preview.cache
        output.message(f"into {named}{f': {preview.why}' if preview.why else ''}")
    for model in preview.models:
        if model.as_it_is:
            output.message(f"{model.name}: whole already; {model.as_it_is}")
            continue
        if model.commit is None:
            output.message(f"{model.name}: offline, so only what the cache has")
            continue
        output.message(
            f"{model.name}: {display.count(model.files, 'file')}, {display.size(model.bytes)};"
            f" {display.size(model.present_bytes)} in the cache, {display.size(model.fetch_bytes)} to download"
        )
        if model.neighbour_bytes:
            output.message(f"  {display.size(model.neighbour_bytes)} of it from other hosts, as they say")
        if model.gone_on_bytes:
            output.message(
                f"  {display.size(model.gone_on_bytes)} that an earlier attempt left are gone on with"
            )
        if model.lost_bytes:
            output.message(
                f"  {display.size(model.lost_bytes)} that an earlier attempt left are begun anew: this huggingface_hub"
                " does not go on within a file; `hubfold clean --older-than 0` removes them afterwards"
            )
        for file in model.damaged:
            output.message(f"  {file.name} {file.reason}: got anew, what is there is kept in the vault")
    for item in preview.reused:
        output.message(f"  {item.how} instead of {display.size(item.bytes)} to download: {item.source}")


def _chosen(output: Output, engine: Engine, asked: Asked, into: str | None) -> tuple[str, ...]:
    """The models that the command is about; none where --missing finds nothing to do."""
    if (bool(asked.models), asked.missing, asked.every).count(True) > 1:
        raise UsageError("MODEL, --missing and --all exclude each other", "give one of them")
    if asked.missing:
        return engine.missing_models(into)
    if asked.every:
        configured = tuple(engine.configured_models)
        if not configured:
            raise UsageError("no model is configured", f"add [models] to {engine.state.config}")
        return configured
    return asked.models or _choose(output, engine, into)


def _choose(output: Output, engine: Engine, into: str | None) -> tuple[str, ...]:
    """Let the user choose among the configured models."""
    configured = list(engine.configured_models.values())
    if not output.can_ask or not configured:
        hint = (
            "name one, as org/name, or give --missing or --all"
            if configured
            else f"name one, or list some in {engine.state.config}"
        )
        raise UsageError("no MODEL was given" + ("" if configured else " and none is configured"), hint)
    there = engine.check(cache=into, anywhere=False).models
    for number, (model, checked) in enumerate(zip(configured, there, strict=True), 1):
        size = f", {display.size(model.size)}" if model.size else ""
        at = f"@{model.revision}" if model.revision else ""
        output.line(f"{number:3}  {model.name}: {model.repo_id}{at}{size} ({checked.status})")
    answer = output.ask(f"Which ones (numbers, or {_ALL})?")
    if answer.strip().lower() == _ALL:
        return tuple(model.name for model in configured)
    try:
        numbers = [int(word) for word in answer.replace(",", " ").split()]
        if not numbers or min(numbers) < 1:
            raise ValueError
        return tuple(configured[number - 1].name for number in numbers)
    except (ValueError, IndexError):
        raise UsageError(f"{answer.strip()!r} is no choice", f"type numbers of the list, or {_ALL}") from None
