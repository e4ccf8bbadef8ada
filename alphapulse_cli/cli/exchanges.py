"""`alphapulse exchanges [check|new]`: the registered exchanges, one row per feed; the conformance kit; a new exchange's package."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.errors import ExitCode, UsageError

app = options.command_app()

COLUMNS = (
    render.Column("exchange"),
    render.Column("mode"),
    render.Column("full_depth", "full book"),
    render.Column("depths"),
    render.Column("validates", "kept right by"),
    render.Column("taker_fee", right=True),
    render.Column("websocket_url", "address", rank=1, whole=True),
)
FINDINGS = (
    render.Column("exchange"),
    render.Column("mode"),
    render.Column("check"),
    render.Column("verdict"),
    render.Column("detail"),
)


@app.callback(invoke_without_command=True)
def exchanges(context: typer.Context, form: options.Format = None, as_json: options.Json = False) -> None:
    """List the exchanges, their feeds (modes), and how each book is validated.

    The first mode of an exchange is its default. The taker fee is that of the lowest tier, as a fraction; `exchange.NAME.taker_fee`
    in the configuration sets your own.
    """
    if context.invoked_subcommand is None:
        render.emit_rows(rows(), COLUMNS, render.chosen_format(form, as_json))
    elif form or as_json:
        raise UsageError(
            "the option of the format belongs after the subcommand", f"alphapulse exchanges {context.invoked_subcommand} … --json"
        )


@app.command()
def check(
    name: Annotated[str, typer.Argument(metavar="EXCHANGE", help="Exchange to check.", autocompletion=options.complete_exchange)],
    mode: Annotated[
        str,
        typer.Option(
            metavar="MODE",
            autocompletion=options.complete_mode,
            show_default=False,
            help="One feed of the exchange; all if not given.",
        ),
    ] = "",
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the market and of the hostile frames.")] = 1,
    form: options.Format = None,
    as_json: options.Json = False,
) -> None:
    """Check that an exchange's package keeps the rules of every exchange: the conformance kit, in memory, without a network.

    Its encoder and its decoder are joined, with the collector's own ingest behind: exact books and trades, lost, doubled and swapped
    frames, wrong checksums, hostile bytes, refused and lost requests, both parsers alike, limits. Exit code 1 if a check failed.

    Example: alphapulse exchanges check kraken
    """
    from alphapulse_cli import exchanges as registry
    from alphapulse_cli.apps import conformance

    form = render.chosen_format(form, as_json)
    exchange = registry.get(name)
    known = [each.name for each in exchange.facts.modes]
    if mode and mode not in known:
        raise UsageError(f"{name} has no mode {mode[:40]!r}", f"modes are: {', '.join(known)}")
    failed = 0

    def found() -> Iterator[dict[str, Any]]:
        nonlocal failed
        for finding in conformance.check(exchange, [mode] if mode else [], seed=seed):
            failed += finding.verdict is conformance.CheckVerdict.FAILED
            yield {
                "exchange": finding.exchange,
                "mode": finding.mode,
                "check": finding.check,
                "verdict": finding.verdict.value,
                "detail": finding.detail,
            }

    render.emit_rows(found(), FINDINGS, form)
    if failed:
        stderr.note(f"{failed} check{'s' if failed > 1 else ''} failed")
        raise typer.Exit(ExitCode.FAILED)


@app.command()
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the exchange: a-z, 0-9 and -, at most 16 characters.")],
    into: Annotated[
        str, typer.Option("--into", metavar="DIR", show_default=False, help="Folder to write it to; the current one if not given.")
    ] = "",
) -> None:
    """Write a plug-in package for a new exchange: a small fictitious one that works at once, with its tests and a README.

    Installed with pip, the exchange is known to every command; its README lists the steps from there to the real one.

    Example: alphapulse exchanges new my-exchange
    """
    from alphapulse_cli.apps import new_exchange

    written = new_exchange.write(name, Path(into))
    for path in written:
        print(safe(path))
    stderr.note(f"the next steps are in {safe(next(path for path in written if path.name == 'README.md'))}")


def rows() -> Iterator[dict[str, Any]]:
    """Iterate over rows, one per mode of each exchange; an exchange that cannot be loaded (a plug-in) gives a warning."""
    from alphapulse_cli import exchanges as registry

    for name in registry.names():
        try:
            facts = registry.get(name).facts
        except UsageError as problem:
            stderr.warning(problem)
            continue
        for position, mode in enumerate(facts.modes):
            yield {
                "exchange": facts.name,
                "title": facts.title,
                "mode": mode.name,
                "default": position == 0,
                "full_depth": mode.full_depth,
                "depths": list(mode.depths),
                "default_depth": mode.default_depth,
                "validates": mode.validates,
                "taker_fee": facts.taker_fee,
                "websocket_url": mode.websocket_url,
                "rest_url": mode.rest_url,
                "quirks": list(facts.quirks),
            }
