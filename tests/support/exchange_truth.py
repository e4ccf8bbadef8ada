"""A market small enough to check by eye: the `Truth` that encoder tests change by hand.

    truth = PlainTruth([instrument("kraken", "BTC-USD", "BTC/USD")])
    truth.change("BTC-USD", [(1000, 5, False), (1001, 7, True)])     # (ticks, lots, is_ask); lots 0 removes
    frames = encoder.update("BTC-USD", changes, now_ns)              # afterwards: the truth already holds them

It keeps two dicts a symbol and sorts whenever it is asked: slow, and obviously right.
"""

from collections.abc import Iterable, Iterator, Sequence

from alphapulse_cli.exchanges.protocol import Change, Level
from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.trade_summary import DAY_S, SECOND_NS, Span, TradeSummary, by_span, merged


def instrument(
    exchange: str = "kraken", symbol: str = "BTC-USD", native: str = "BTC/USD", price_decimals: int = 1, size_decimals: int = 8
) -> Instrument:
    """An instrument with its names and its grid; the rest as it comes."""
    return Instrument(exchange, symbol, native, price_decimals, size_decimals)


class PlainTruth:
    """`exchanges.protocol.Truth` in memory; `change` and `trade` are what happens in the market."""

    def __init__(self, instruments: Iterable[Instrument]) -> None:
        self.instruments = {each.symbol: each for each in instruments}
        self._sides: dict[str, tuple[dict[int, int], dict[int, int]]] = {symbol: ({}, {}) for symbol in self.instruments}
        self._sequences = dict.fromkeys(self.instruments, 0)
        self._trades: dict[str, list[Trade]] = {symbol: [] for symbol in self.instruments}

    def change(self, symbol: str, changes: Sequence[Change]) -> None:
        """New sizes of some levels, in order; 0 removes, and removing what is not there changes nothing."""
        for ticks, lots, is_ask in changes:
            side = self._sides[symbol][is_ask]
            side.pop(ticks, None)
            if lots:
                side[ticks] = lots
        self._sequences[symbol] += len(changes)

    def trade(
        self, symbol: str, ticks: int, lots: int, side: Side = Side.BUY, *, exchange_ns: int | None = None, trade_id: str = ""
    ) -> Trade:
        """One trade, remembered; its id is the next number of the symbol unless given."""
        known = self._trades[symbol]
        trade = Trade(self.instruments[symbol], trade_id or str(len(known) + 1), ticks, lots, side, exchange_ns)
        known.append(trade)
        return trade

    def book(self, symbol: str, depth: int | None = None) -> tuple[Sequence[Level], Sequence[Level]]:
        """Bids and asks, best first."""
        bids, asks = self._sides[symbol]
        return sorted(bids.items(), reverse=True)[:depth], sorted(asks.items())[:depth]

    def sequence(self, symbol: str) -> int:
        """How many level changes there were, ever."""
        return self._sequences[symbol]

    def recent_trades(self, symbol: str, count: int) -> Sequence[Trade]:
        """The last `count` trades, oldest first."""
        return self._trades[symbol][-count:] if count else []

    def last_day(self, symbol: str, now_ns: int) -> TradeSummary:
        """All trades: these markets are younger than a day."""
        return merged(self._one_by_one(symbol), now_ns - DAY_S * SECOND_NS, now_ns)

    def candles(self, symbol: str, span: Span, count: int) -> Sequence[TradeSummary]:
        """The newest candles with a trade, of the trades that have a time."""
        return list(by_span(self._one_by_one(symbol), span))[-count:]

    def _one_by_one(self, symbol: str) -> Iterator[TradeSummary]:
        for trade in self._trades[symbol]:
            one = TradeSummary(trade.exchange_ns or 0, (trade.exchange_ns or 0) + 1)
            one.add(trade)
            yield one
