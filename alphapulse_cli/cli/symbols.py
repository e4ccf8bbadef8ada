"""`alphapulse symbols`: the markets that an exchange lists."""

from typing import TYPE_CHECKING, Annotated

import typer

from alphapulse_cli.cli import options, render
from alphapulse_cli.errors import UsageError

if TYPE_CHECKING:
    from alphapulse_cli.edges.config.layers import Settings

app = options.command_app()

COLUMNS = (
    render.Column("symbol"),
    render.Column("native", "the exchange's name"),
    render.Column("tick_size", right=True),
    render.Column("lot_size", right=True),
    render.Column("min_size", right=True),
    render.Column("trading_status"),
    render.Column("status_word", "the exchange's word"),
    render.Column("alias_of"),
)


@app.command()
def symbols(
    pattern: Annotated[
        str,
        typer.Argument(
            metavar="[PATTERN]", help="Part of a symbol, or a pattern with * and ?; all symbols if not given.", show_default=False
        ),
    ] = "",
    names: options.Exchanges = None,
    mode: Annotated[
        str,
        typer.Option(
            metavar="MODE",
            autocompletion=options.complete_mode,
            show_default=False,
            help="Feed of the exchange, as listed by `alphapulse exchanges`.",
        ),
    ] = "",
    rest_url: Annotated[
        str,
        typer.Option(metavar="URL", show_default=False, help="REST address of a simulator or a proxy instead of the exchange's."),
    ] = "",
    form: options.Format = None,
    as_json: options.Json = False,
) -> None:
    """List the markets of an exchange, from its public REST address: symbol, the exchange's own name, tick and lot sizes.

    Example: alphapulse symbols --exchange kraken 'BTC-*'
    """
    from dataclasses import asdict

    from alphapulse_cli.apps.symbols import symbols as list_symbols
    from alphapulse_cli.cli import running
    from alphapulse_cli.edges import background

    settings = options.settings()
    chosen = list(settings.choose("exchanges", names))
    if len(chosen) != 1:
        raise UsageError("symbols needs exactly one exchange", "name it: alphapulse symbols --exchange kraken")
    name = chosen[0]
    notices = running.Notices(on_board=False)
    rows = background.run(
        list_symbols(
            name,
            mode or _configured(settings, "mode", name),
            _configured(settings, "url", name),
            rest_url or _configured(settings, "rest_url", name),
            pattern,
            lambda level, message: notices.add(name, level, message),
        )
    )
    render.emit_rows(map(asdict, rows), COLUMNS, render.chosen_format(form, as_json))


def _configured(settings: "Settings", key: str, name: str) -> str:
    """Configured value of an exchange's key; "" for an exchange that the configuration does not know."""
    try:
        return str(settings.get(key, name))
    except KeyError:
        return ""
