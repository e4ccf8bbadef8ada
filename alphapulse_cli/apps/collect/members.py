"""Symbols of a running set: those it began with, what its patterns match later, and what `collect add` and `collect rm` change.

    list of instruments, every ten minutes ─┐
    collect add, collect rm ────────────────┴─► Members ─► Connections.add, remove

Symbols that come later get connections of their own, so that the books of the others go on undisturbed.
"""

import asyncio
from collections.abc import Collection, Sequence

from alphapulse_cli.apps.collect.connections import Connections, Feed
from alphapulse_cli.apps.collect.listing import later_list, list_instruments
from alphapulse_cli.apps.collect.plan import choose, find, unlisted
from alphapulse_cli.errors import StorageError, UsageError
from alphapulse_cli.flow.ingest import Notice
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.choice import is_pattern, matches, top_count
from alphapulse_cli.market.instrument import Instrument, near_symbols

MOST_NAMED = 8  # symbols of a notice; a pattern may bring hundreds


class Members:
    """Symbols of a running set. `skipped` are wanted ones that were not listed at the start."""

    def __init__(self, feed: Feed, outlet: Outlet, connections: Connections, notice: Notice, skipped: Sequence[str]) -> None:
        self._feed, self._outlet, self._connections, self._notice = feed, outlet, connections, notice
        self._skipped = list(skipped)
        self._patterns = list(feed.plan.standing_choices)
        self._removed: set[str] = set()  # by `collect rm`: no pattern takes them up again
        self._missed: set[str] = set()  # not in the last list
        self._has_more = asyncio.Event()  # something to look for in the list was added
        self.symbols = set(outlet.symbols)  # those collected now

    async def follow(self) -> None:
        """Follow the list of instruments until cancelled: add newly listed wanted ones, retire delisted ones.

        A symbol of a pattern is retired when two lists in a row do not contain it; one that was named stays, DELISTED.
        """
        feed = self._feed
        while True:
            while not (self._skipped or self._patterns):
                self._has_more.clear()
                await self._has_more.wait()
            listed = await later_list(feed.exchange, feed.mode, feed.fetcher, feed.plan.listing_every_s)
            self._take_up(listed)
            gone = unlisted(self.symbols, self._patterns, listed)
            if ended := sorted(gone & self._missed):
                self._remove(ended)
                self._notice("warning", f"delisted by the exchange: {', '.join(ended)}; their books are RETIRED")
            self._missed = gone

    def feed_texts(self) -> list[str]:
        """Texts that tell another process of the feed: exchange, mode, REST address, then each symbol with its native name."""
        feed = self._feed
        natives = [f"{one.symbol} {one.native}" for one in self._connections.instruments()]
        return [feed.exchange.facts.name, feed.mode.name, feed.fetcher.base_url, *natives]

    async def add(self, choices: Sequence[str]) -> list[str]:
        """Collect further symbols and patterns; returns the symbols that were not collected before.

        UsageError for top:N, Refused for what is not listed, StorageError if there is no room: nothing has changed then.
        """
        top = next(filter(top_count, choices), "")
        if top:
            raise UsageError(f"{top}: the most traded are chosen when a collector starts", "add symbols or a pattern")
        feed = self._feed
        listed = await list_instruments(feed.exchange, feed.mode, feed.fetcher, self._notice)
        chosen, _ = choose(feed.plan.exchange, choices, listed)
        new = [instrument for instrument in chosen if instrument.symbol not in self.symbols]
        self._open(new)
        self._patterns += [one for one in choices if is_pattern(one) and one not in self._patterns]
        self._skipped = [symbol for symbol in self._skipped if symbol not in self.symbols]
        self._removed.difference_update(instrument.symbol for instrument in chosen)
        self._has_more.set()
        return [instrument.symbol for instrument in new]

    def remove(self, choices: Sequence[str]) -> list[str]:
        """Retire symbols and patterns; returns the removed symbols.

        UsageError for one that is not collected, or if nothing would be left: nothing has changed then.
        """
        found = {one: self._collected_by(one) for one in choices}
        for one, symbols in found.items():
            if not (symbols or one in self._patterns or one in self._skipped):
                near = ", ".join(near_symbols(one, self.symbols))
                raise UsageError(f"{one} is not collected", f"did you mean {near}?" if near else "")
        ended = {symbol for symbols in found.values() for symbol in symbols}
        if ended == self.symbols:
            raise UsageError("nothing would be left to collect", "end the collector instead: Ctrl-C, or SIGTERM")
        self._remove(ended)
        self._removed |= ended
        self._patterns = [one for one in self._patterns if one not in choices]
        self._skipped = [one for one in self._skipped if one not in choices]
        return sorted(ended)

    def _collected_by(self, choice: str) -> set[str]:
        return {symbol for symbol in self.symbols if symbol == choice or (is_pattern(choice) and matches(choice, symbol))}

    def _take_up(self, listed: Sequence[Instrument]) -> None:
        found, missing = find([*self._skipped, *self._patterns], listed)
        self._skipped = [symbol for symbol in self._skipped if symbol in missing]
        new = [one for one in found if one.symbol not in self.symbols and one.symbol not in self._removed]
        names = some([instrument.symbol for instrument in new])
        try:
            self._open(new)
        except StorageError as error:
            self._notice("warning", f"newly listed: {names}, but not collected: {error}")
        else:
            if new:
                self._notice("said", f"newly listed: {names}; collected from now on")

    def _open(self, instruments: Sequence[Instrument]) -> None:
        symbols = [instrument.symbol for instrument in instruments]
        try:
            self._outlet.add(symbols)
            self._connections.add(instruments)
        except StorageError:
            self._outlet.remove(symbols)
            raise
        self.symbols.update(symbols)

    def _remove(self, symbols: Collection[str]) -> None:
        self._connections.remove(symbols)
        self.symbols.difference_update(symbols)


def some(symbols: Sequence[str]) -> str:
    """Symbols for a notice: all of a few, the first MOST_NAMED of many with the number of the others."""
    more = len(symbols) - MOST_NAMED
    return ", ".join(symbols[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
