"""Table of commands: the name of each, its module, its line in `alphapulse --help`.

A command is one file, `cli/<name>.py`, that defines `app = options.command_app()`: its signature, its help, one call. The file is
not imported before the command is invoked, so listing the commands costs nothing. A command whose module is absent is not listed.
"""

import importlib.util
from dataclasses import dataclass
from functools import cache

PACKAGE = "alphapulse_cli.cli"


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of the table."""

    name: str
    help: str  # one line, without a full stop
    alias_of: str = ""  # an alias works and is not listed

    @property
    def module(self) -> str:
        """Dotted name of the command's module; a `-` in the command is a `_` in its module."""
        return f"{PACKAGE}.{(self.alias_of or self.name).replace('-', '_')}"


COMMANDS = (  # in the order in which a newcomer needs them
    Entry("demo", "Run simulated exchanges, collectors and the live screen, without a network"),
    Entry("collect", "Collect books and trades of exchanges into shared memory"),
    Entry("capture", "Capture what exchanges send; look into captures, check them, make others of them"),
    Entry("replay", "Play captures again, at any speed, into segments of their own"),
    Entry("record", "Record books and trades, live or of captures, as Parquet files"),
    Entry("verify", "Prove captures: a certificate says what holds and what is missing"),
    Entry("sql", "Query a dataset with SQL: exact prices, nothing is written"),
    Entry("export", "Export captures and datasets to files that other tools load"),
    Entry("tui", "Show the live screen: books, ladders, latencies, trades, arbitrage, rings"),
    Entry("top", "Show the live screen", alias_of="tui"),
    Entry("tail", "Follow the deltas or the trades as they are published"),
    Entry("candles", "Show candles of trades: live, of captures or of datasets"),
    Entry("reconstruct", "Show the full book of a symbol, or prove that every replica is exact"),
    Entry("metrics", "Print the metrics of all sets once, as Prometheus reads them"),
    Entry("arb", "Find cross-exchange opportunities, net of fees and depth"),
    Entry("explain", "Show the evidence for a gap of a capture: frames, books, what readers saw"),
    Entry("feeds", "Show how good each feed was: valid time, gaps, healing, delays"),
    Entry("serve", "Serve books, trades and statistics over WebSocket and REST"),
    Entry("segments", "List the segments in shared memory, their writers and their readers"),
    Entry("doctor", "Check this machine and the collectors, and suggest what to do"),
    Entry("exchanges", "List the exchanges, their feeds, and how each book is validated"),
    Entry("symbols", "List the symbols of an exchange"),
    Entry("bench", "Measure the speed here, each line beside a reference of the same run"),
    Entry("sim", "Run simulated exchanges that speak the real protocols"),
    Entry("config", "Show the configuration and where each value comes from, or write a file"),
    Entry("version", "Show the version, the core's mode and the platform"),
)


@cache
def available() -> dict[str, Entry]:
    """Commands whose modules exist, by name."""
    return {entry.name: entry for entry in COMMANDS if importlib.util.find_spec(entry.module) is not None}
