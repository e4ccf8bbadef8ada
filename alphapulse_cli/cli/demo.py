"""`alphapulse demo`: simulated exchanges, collectors and the live screen in one command, without a network."""

from typing import Annotated

import typer

from alphapulse_cli.cli import options

PORT, HTTP_PORT = 8765, 8080  # those of `serve`
app = options.command_app()


def _complete_simulated(incomplete: str) -> list[str]:
    return options.complete_words("all", *options.complete_exchange(""), several=True)(incomplete)


@app.command()
def demo(
    names: Annotated[
        list[str] | None,
        typer.Option(
            "--exchange",
            "--exchanges",
            "-e",
            metavar="NAME",
            autocompletion=_complete_simulated,
            show_default=False,
            help="Exchanges to simulate: names, with commas between, or all. Default: kraken,coinbase,binance-us.",
        ),
    ] = None,
    symbols: options.Symbols = None,
    rate: Annotated[
        float, typer.Option(min=0.1, metavar="N", help="Book updates per second for each symbol of each exchange.")
    ] = 20.0,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Seed of the market: the same seed gives the same market.")] = 1,
    mischief: Annotated[
        str,
        typer.Option(
            metavar="KINDS",
            autocompletion=options.complete_mischief,
            help="Faults to cause: gap, checksum:0.01, stall, …; see `alphapulse sim`.",
        ),
    ] = "",
    plant: Annotated[
        str,
        typer.Option(
            metavar="RATE",
            autocompletion=options.complete_words("6/min", "10s", "off"),
            help="Rate of planted cross-exchange opportunities: 6/min, 10s, or off.",
        ),
    ] = "6/min",
    serve: Annotated[
        bool, typer.Option("--serve", show_default=False, help="Run `alphapulse serve` on these books too (extra `serve`).")
    ] = False,
    port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            metavar="PORT",
            show_default=str(PORT),
            help="With --serve, port of the WebSocket side; 0 takes a free one.",
        ),
    ] = None,
    http_port: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=65_535,
            metavar="PORT",
            show_default=str(HTTP_PORT),
            help="With --serve, port of the REST side; 0 takes a free one.",
        ),
    ] = None,
    shm_dir: options.ShmDir = None,
    duration: options.Duration = None,
    plain: Annotated[
        bool, typer.Option("--plain", show_default=False, help="Show a plain board instead of the live screen.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Run simulated exchanges, a collector for each, and the live screen on their books. Nothing leaves this machine.

    An exchange that lists none of the symbols is simulated with the same against USDT.

    While it runs, try in a second terminal: alphapulse tail deltas; alphapulse reconstruct --symbol BTC-USD --depth 10;
    alphapulse arb watch; alphapulse segments; with --serve a browser at http://127.0.0.1:8080/docs. q or Ctrl-C ends it; only retired
    segments remain.
    """
    import asyncio
    import sys

    from alphapulse_cli.apps.demo import EXCHANGES, SYMBOLS, DemoPlan, chosen_exchanges
    from alphapulse_cli.apps.demo import demo as run_demo
    from alphapulse_cli.cli import render, running, stderr
    from alphapulse_cli.cli import tui as live
    from alphapulse_cli.errors import ExitCode, UsageError
    from alphapulse_cli.readers.status import StatusSource
    from alphapulse_cli.shm.directory import Directory, open_directory
    from alphapulse_cli.sim.mischief import parse_mischief
    from alphapulse_cli.sim.planted import parse_plant

    for name, given in (("--port", port), ("--http-port", http_port)):
        if given is not None and not serve:
            raise UsageError(f"{name} is a port of the server", "add --serve")
    parse_plant(plant)  # before anything is started
    if mischief:
        parse_mischief(mischief)
    settings = options.settings()
    where = settings.choose("shm_dir", shm_dir)
    plan = DemoPlan(
        chosen_exchanges(options.split_lists(names)) if names else EXCHANGES,
        tuple(symbols or SYMBOLS),
        rate,
        seed,
        mischief,
        str(where or ""),
        plant,
        transport=settings.get("transport"),
        verbosity=stderr.flags(),
        serve_ports=(PORT if port is None else port, HTTP_PORT if http_port is None else http_port) if serve else None,
    )
    if serve:
        from alphapulse_cli.apps.serve.serve import require_extra

        require_extra()
    plan.symbols_by_exchange()  # before anything is started
    board = not render.wants_json(as_json) and sys.stdout.isatty()
    notices = running.Notices(on_board=board)
    full = board and not plain and all(stderr.is_terminal(stream) for stream in (sys.stdin, sys.stderr))

    ending: list[int] = []
    failed: list[ExitCode] = []  # kept here: the duration may be over before all processes have ended

    async def show(directory: Directory) -> None:
        if full:
            screen = live.live_screen(where or None, list(plan.exchanges), notices=notices.lines)
            await screen.run_async()
            ending.append(live.ended(screen))
        else:
            title = "alphapulse demo: simulated exchanges, real protocols; Ctrl-C ends it"
            await running.show(StatusSource(directory, plan.exchanges).sample, notices, title, as_json=as_json)

    async def work() -> ExitCode:
        with open_directory(where or None, create=True) as directory:
            try:
                async with asyncio.timeout(duration):
                    code = await running.beside(
                        run_demo(plan, lambda name, line: notices.add(name, "said", line), failed.append), show(directory)
                    )
            except TimeoutError:
                return failed[0] if failed else ExitCode.DONE
            return ExitCode(ending[-1]) if ending else code or ExitCode.DONE

    raise typer.Exit(running.run(work()))
