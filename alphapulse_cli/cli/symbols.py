"""`alphapulse symbols`: what an exchange lists."""

from typing import Annotated

import typer

from alphapulse_cli.cli import options, render, talk
from alphapulse_cli.errors import ExitCode, UsageError

app = options.command_app()

COLUMNS = (
    render.Column("exchange"),
    render.Column("symbol"),
    render.Column("native", "its own name"),
    render.Column("tick_size", right=True),
    render.Column("lot_size", right=True),
    render.Column("min_size", right=True),
    render.Column("trading"),
    render.Column("alias_of", "shares the book of"),
)


@app.command()
def symbols(
    pattern: Annotated[str, typer.Argument(metavar="[PATTERN]", help="A part of the name, or a pattern with * and ?.")] = "",
    names: options.Exchanges = None,
    mode: Annotated[
        str, typer.Option(metavar="MODE", show_default=False, help="The feed, as `alphapulse exchanges` lists them.")
    ] = "",
    rest_url: Annotated[
        str, typer.Option("--rest-url", metavar="URL", show_default=False, help="REST address instead of the exchange's.")
    ] = "",
    as_json: options.Json = False,
) -> None:
    """The symbols an exchange lists: canonical name, its own name, tick size, lot size, smallest order, whether it trades.

    Example: alphapulse symbols --exchange kraken "BTC-*"
    """
    import asyncio

    from alphapulse_cli.apps.symbols import Listing, list_symbols

    settings = options.settings()
    chosen = list(settings.choose("exchanges", names))
    if not chosen:
        raise UsageError("which exchange?", "alphapulse symbols --exchange kraken; `alphapulse exchanges` lists them")
    if rest_url and len(chosen) > 1:
        raise UsageError("--rest-url goes with one exchange", "set exchange.NAME.rest_url in the configuration")

    def notice(level: str, message: str) -> None:
        if level == "warning":
            talk.warning(message)

    async def listed() -> list[Listing]:
        found: list[Listing] = []
        for name in chosen:
            url, rest = settings.get("url", name), rest_url or settings.get("rest_url", name)
            found += await list_symbols(name, pattern, mode or settings.get("mode", name), url, rest, notice)
        return found

    found = asyncio.run(listed())
    render.emit_rows((one.row() for one in found), COLUMNS, as_json)
    if not found:
        talk.warning(f"no symbol of {', '.join(chosen)} matches {pattern!r}")
        raise typer.Exit(ExitCode.FAILED)
