"""`alphapulse sim`: simulated exchanges behind the real protocols, on loopback."""

import shlex
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from alphapulse_cli.cli import options, render, stderr
from alphapulse_cli.errors import UsageError

if TYPE_CHECKING:
    from alphapulse_cli.sim.exchange import SimulatedExchange

app = options.command_app()


@app.command()
def sim(
    names: Annotated[
        list[str], typer.Argument(metavar="EXCHANGE...", help="Exchanges to simulate.", autocompletion=options.complete_exchange)
    ],
    symbols: options.Symbols = None,
    port: Annotated[
        int,
        typer.Option(
            min=0, max=65_535, metavar="PORT", help="Port of the first exchange, the others get the next ones; 0 takes free ports."
        ),
    ] = 0,
    rate: Annotated[
        float, typer.Option(min=0.0, metavar="N", help="Book updates per second for each symbol; 0 for as many as possible.")
    ] = 50.0,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the market: the same seed gives the same market.")] = 1,
    mode: Annotated[
        str,
        typer.Option(
            metavar="MODE", autocompletion=options.complete_mode, help="Feed of the exchange, as listed by `alphapulse exchanges`."
        ),
    ] = "",
    mischief: Annotated[
        str,
        typer.Option(
            metavar="KINDS",
            autocompletion=options.complete_mischief,
            help="Faults to cause, each with an optional probability per update: gap, checksum:0.01, stall, reorder, flood, disconnect, duplicate, garbage, unknown, offgrid, halted:BTC-USD:0.001:30.",
        ),
    ] = "",
    plant: Annotated[
        str,
        typer.Option(
            metavar="RATE",
            autocompletion=options.complete_words("6/min", "10s", "off"),
            help="Plant cross-exchange opportunities at this rate: 6/min or 10s; 6/min:kraken+coinbase if each exchange has its own command. None if not given.",
        ),
    ] = "",
    more: Annotated[
        int,
        typer.Option(
            "--more",
            min=0,
            max=2000,
            metavar="N",
            help="Invented markets with small books beside the listed ones: QAA-USD, QAB-USD and so on.",
        ),
    ] = 0,
    tls: Annotated[
        bool,
        typer.Option(
            "--tls",
            show_default=False,
            help="Serve wss:// and https:// by a temporary certificate authority (extra `tls`), whose file is printed: clients run with SSL_CERT_FILE set to it.",
        ),
    ] = False,
    duration: options.Duration = None,
    as_json: options.Json = False,
    supervised: options.Supervised = False,
) -> None:
    """Run simulated exchanges that speak the real protocols over WebSocket and REST, on this machine only.

    Prints the addresses of each exchange; point `alphapulse collect --url` (or your own bot) at them. Prices are correlated between
    the exchanges of one command, so that spreads cross now and then. The opportunities of --plant, their times and profits are a
    function of the seed: alphapulse_cli.sim.planted lists them.

    Example: alphapulse sim kraken coinbase --seed 7 --mischief gap:0.001
    """
    from alphapulse_cli import exchanges
    from alphapulse_cli.apps.collect.plan import symbols_by_exchange
    from alphapulse_cli.cli import running
    from alphapulse_cli.edges.server.throwaway_ca import throwaway_ca
    from alphapulse_cli.errors import ExitCode
    from alphapulse_cli.sim.exchange import UNTHROTTLED
    from alphapulse_cli.sim.mischief import parse_mischief
    from alphapulse_cli.sim.planted import parse_plant
    from alphapulse_cli.sim.serve import SimSpec, run

    if mode and len(names) > 1:
        raise UsageError("--mode goes with one exchange", "start one `alphapulse sim` for each")
    for name in names:
        exchanges.get(name)
    scenarios = parse_mischief(mischief) if mischief else []
    plan = parse_plant(plant)
    names = list(dict.fromkeys(names))
    chosen = symbols_by_exchange(symbols or (), names)
    planted = plan.schedule(seed, names, [symbol for ours in chosen.values() for symbol in ours]) if plan else None
    specs = [
        SimSpec(
            name,
            tuple(chosen[name]),
            port + place if port else 0,
            rate=rate or UNTHROTTLED,
            mode=mode,
            mischief=scenarios,
            more=more,
        )
        for place, name in enumerate(names)
    ]

    def ready(simulated: Sequence["SimulatedExchange"], ca_file: str) -> None:
        columns = [render.Column("exchange"), render.Column("websocket_url", "WebSocket"), render.Column("rest_url", "REST")]
        rows = [{"exchange": one.name, "websocket_url": one.websocket_url, "rest_url": one.rest_url} for one in simulated]
        if ca_file:
            columns.append(render.Column("ca_file", "CA file"))
            rows = [{**row, "ca_file": ca_file} for row in rows]
        form = render.chosen_format(None, as_json)
        render.emit_rows([*rows, None], columns, form)
        if form == "table" and ca_file:
            stderr.note(f"for clients in another terminal: export SSL_CERT_FILE={ca_file}")
        if form == "table":
            for one in simulated:
                symbols = ",".join(chosen[one.name])
                options = "".join([f" --mode {mode}" if mode else "", f" --symbols {symbols}" if symbols else ""])
                stderr.note(
                    f"to collect from it: alphapulse collect --exchange {one.name} --url {shlex.quote(one.websocket_url)}{options}"
                )

    async def serve() -> ExitCode:
        with throwaway_ca() if tls else nullcontext() as made:
            on_ready = partial(ready, ca_file=str(made.ca_file) if made else "")
            await run(specs, seed=seed, duration=duration, on_ready=on_ready, planted=planted, tls=made.context if made else None)
        return ExitCode.DONE

    raise typer.Exit(running.run(serve(), supervised=supervised))
