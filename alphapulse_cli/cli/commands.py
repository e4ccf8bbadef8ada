"""The command table: every command, the module that holds it, the line that `alphapulse --help` shows.

A command is one file, `cli/<name>.py`, that defines `app = options.command_app()`: its signature, its help, one call. Nothing of it is
imported before it is invoked, so listing the commands costs nothing. A command whose module is not there is not there.
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
        """Where the command is: `-` in a name is `_` in its file's."""
        return f"{PACKAGE}.{(self.alias_of or self.name).replace('-', '_')}"


COMMANDS = (  # in the order in which a newcomer meets them
    Entry("demo", "Simulated exchanges, collectors and a live view in one, without a network"),
    Entry("collect", "Collect books and trades of exchanges into shared memory"),
    Entry("tui", "The live screen: every book, ladder, latency, trade and ring"),
    Entry("top", "The live screen", alias_of="tui"),
    Entry("tail", "Follow the deltas or the trades as they are published"),
    Entry("reconstruct", "The full book of a symbol, now; or prove that every replica is exact"),
    Entry("arb", "Cross-exchange opportunities, net of fees and depth: watch, scan, history, explain"),
    Entry("segments", "What is in shared memory: who writes it, who reads it, how far behind"),
    Entry("doctor", "What works here, what does not, and the next command to type"),
    Entry("exchanges", "The exchanges, their feeds, and how each book is kept right"),
    Entry("symbols", "The symbols an exchange lists"),
    Entry("bench", "How fast it is here, each line beside a reference of the same run"),
    Entry("sim", "Simulated exchanges that speak the real protocols"),
    Entry("config", "The configuration: each value and where it comes from"),
    Entry("version", "The version, the core's mode and the platform"),
)


@cache
def available() -> dict[str, Entry]:
    """The commands whose modules are there, by name."""
    return {entry.name: entry for entry in COMMANDS if importlib.util.find_spec(entry.module) is not None}
