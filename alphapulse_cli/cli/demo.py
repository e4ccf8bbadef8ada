"""`alphapulse demo`: everything at once, with no network."""

from typing import Annotated

import typer

from alphapulse_cli.cli import options

app = options.command_app()


@app.command()
def demo(
    symbols: options.Symbols = None,
    rate: Annotated[float, typer.Option(min=0.1, help="Book updates a second and symbol, of each exchange.")] = 20.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same market.")] = 1,
    mischief: Annotated[
        str, typer.Option(metavar="KINDS", help="What goes wrong: gap, checksum:0.01, stall, …; see `alphapulse sim`.")
    ] = "",
    shm_dir: options.ShmDir = None,
    duration: options.Duration = None,
    as_json: options.Json = False,
) -> None:
    """Simulated exchanges, a collector for each, and a live view of their books. Nothing leaves this machine.

    While it runs, try in a second terminal: alphapulse tail deltas; alphapulse reconstruct --symbol BTC-USD --depth 10;
    alphapulse segments. Ctrl-C ends it and leaves nothing behind but the retired segments.
    """
    import asyncio
    import sys

    from alphapulse_cli.apps.demo import EXCHANGES, SYMBOLS, DemoPlan
    from alphapulse_cli.apps.demo import demo as run_demo
    from alphapulse_cli.apps.status import StatusSource
    from alphapulse_cli.cli import render, running
    from alphapulse_cli.errors import ExitCode
    from alphapulse_cli.shm.directory import open_directory

    where = options.settings().choose("shm_dir", shm_dir)
    plan = DemoPlan(EXCHANGES, tuple(symbols or SYMBOLS), rate, seed, mischief, str(where or ""))
    notices = running.Notices(on_board=not render.wants_json(as_json) and sys.stdout.isatty())

    async def work() -> ExitCode:
        with open_directory(where or None, create=True) as directory:
            status = StatusSource(directory, plan.exchanges)
            title = "alphapulse demo: simulated exchanges, real protocols; Ctrl-C ends it"
            try:
                async with asyncio.timeout(duration):
                    code = await running.beside(
                        run_demo(plan, lambda name, line: notices.say(name, "said", line)),
                        running.show(status.sample, notices, title, as_json=as_json),
                    )
            except TimeoutError:
                return ExitCode.DONE
            return code or ExitCode.DONE

    raise typer.Exit(running.run(work()))
