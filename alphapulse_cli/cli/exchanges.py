"""`alphapulse exchanges`: the registered exchanges, one row per feed."""

from collections.abc import Iterator
from typing import Any

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.errors import UsageError

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


@app.command()
def exchanges(form: options.Format = None, as_json: options.Json = False) -> None:
    """List the exchanges, their feeds (modes), and how each book is validated.

    The first mode of an exchange is its default. The taker fee is that of the lowest tier, as a fraction; `exchange.NAME.taker_fee`
    in the configuration sets your own.
    """
    render.emit_rows(rows(), COLUMNS, render.chosen_format(form, as_json))


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
