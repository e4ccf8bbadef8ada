"""`alphapulse tui`, or `top`: the live screen."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from alphapulse_cli.cli import options, stderr

if TYPE_CHECKING:
    from collections.abc import Sequence

    from alphapulse_cli.tui.app import AlphapulseApp

app = options.command_app()
NAMES = ("overview", "books", "latency", "tape", "arbitrage", "rings", "feeds")
THEMES = ("dark", "light", "contrast", "colour-blind")


@app.command()
def tui(
    exchanges: options.Exchanges = None,
    symbols: options.Symbols = None,
    screen: Annotated[
        str,
        typer.Option(
            "--screen",
            metavar="NAME",
            autocompletion=options.complete_words(*NAMES),
            show_default=False,
            help=f"First screen: {', '.join(NAMES)}.",
        ),
    ] = "",
    theme: Annotated[
        str,
        typer.Option(
            "--theme",
            metavar="NAME",
            autocompletion=options.complete_words(*THEMES),
            show_default=False,
            help=f"Colours: {', '.join(THEMES)}.",
        ),
    ] = "",
    shm_dir: options.ShmDir = None,
) -> None:
    """Show the live screen: books, ladders, latencies, trades, arbitrage, rings and feeds, as the collectors publish them.

    It only reads segments; collectors may start and stop while it is open. Keys: 1 to 7 for the screens, / to filter, ? for help, q
    to quit. It remembers the screen, the theme and the sorting. `alphapulse top` is the same command. Over a replay's directory it
    shows the recording's whole time with its gaps, and steers the replay: space pauses, ? tells the other keys.

    Example: alphapulse tui --symbol BTC-USD --screen books
    """
    import asyncio

    require("--screen", screen, NAMES)
    require("--theme", theme, THEMES)
    require_terminal()
    where = options.settings().choose("shm_dir", shm_dir)
    live = live_screen(str(where or "") or None, exchanges, symbols, screen, theme)
    asyncio.run(_run(live))
    raise typer.Exit(ended(live))


async def _run(live: "AlphapulseApp") -> None:
    """Run the app; each signal that ends it restores the terminal first."""
    import asyncio
    import signal

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, live.exit)
    loop.add_signal_handler(signal.SIGINT, live.action_interrupt)
    await live.run_async()


def require(option: str, value: str, known: "Sequence[str]") -> None:
    """Check a value of an option. UsageError for one that is not among the known ones."""
    from alphapulse_cli.errors import UsageError

    if value and value not in known:
        raise UsageError(f"unknown {option}: {value[:40]!r}", f"choices are: {', '.join(known)}")


def require_terminal() -> None:
    """Check that there is a terminal to draw on and to read keys from. UsageError if not."""
    import os
    import sys

    from alphapulse_cli.errors import UsageError

    hint = "in a pipe use: alphapulse tail deltas --json"
    for name in ("stdin", "stdout", "stderr"):
        if not stderr.is_terminal(getattr(sys, name)):
            raise UsageError(f"the live screen needs a terminal, and {name} is not one", hint)
    if os.environ.get("TERM") in ("dumb", "unknown"):
        raise UsageError(f"the live screen cannot be drawn with TERM={os.environ['TERM']}", hint)


def live_screen(
    where: str | None,
    exchanges: list[str] | None = None,
    symbols: list[str] | None = None,
    screen: str = "",
    theme: str = "",
    notices: "Sequence[str]" = (),
) -> "AlphapulseApp":
    """Make the app with its feed, ready to run."""
    from alphapulse_cli.apps.arb.watch import configured_fees
    from alphapulse_cli.readers.selection import Wanted
    from alphapulse_cli.tui.app import AlphapulseApp
    from alphapulse_cli.tui.feed.feed import ScreenFeed
    from alphapulse_cli.tui.feed.remote import Remote
    from alphapulse_cli.tui.preferences import Preferences, preferences_path

    wanted = Wanted.of(exchanges, symbols)
    fees = configured_fees(options.settings(), {})
    remote = Remote(where)

    def make_feed(show: Any, failed: Any) -> ScreenFeed:
        return ScreenFeed(where, wanted, show, failed, fees, remote.mark)

    on_alarm = options.settings().get("on_alarm")
    return AlphapulseApp(make_feed, Preferences(preferences_path()), screen, theme, notices, on_alarm, remote)


def ended(live: "AlphapulseApp") -> int:
    """Exit code of an app that has ended; raises the exception that stopped it."""
    if live.failure is not None:
        raise live.failure
    return live.return_code or 0
