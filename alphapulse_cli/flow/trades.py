"""Publisher of trades: those of one frame become one group of the trade ring.

A trade that fits no record is counted and reported once.
"""

from collections.abc import Callable, Mapping, Sequence

from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.events import Trade
from alphapulse_cli.shm.block import CounterBlock
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.wire import trade as trade_record

Notice = Callable[[str, str], None]


class TradePublisher:
    """Publisher of one set's trades. `counters` are those of the symbols, by native symbol."""

    def __init__(self, outlet: Outlet, counters: Mapping[str, CounterBlock], notice: Notice) -> None:
        self._outlet, self._counters, self._notice = outlet, counters, notice
        self._reported_refusals: set[str] = set()  # natives with a trade that no record holds

    def publish(self, trades: Sequence[Trade], receive_ns: int) -> None:
        """Publish the trades of one frame as one group; as several where they exceed a quarter of the ring.

        `receive_ns` is CLOCK_REALTIME.
        """
        records: list[bytes] = []
        for trade in trades:
            counters = self._counters[trade.instrument.native]
            if trade.refused:
                self._refuse(trade)
                continue
            try:
                records.append(trade_record.pack(trade, receive_ns, 0))
            except ValueError:
                counters.add(Counter.TRADES_REFUSED)
                continue
            counters.add(Counter.TRADES)
            if trade.exchange_ns is not None and not trade.history:
                self._outlet.delays.count(counters, receive_ns, trade.exchange_ns)
        ring = self._outlet.trades
        largest = max(ring.capacity // 4, 1)
        for start in range(0, len(records), largest):
            group = records[start : start + largest]
            ring.publish(trade_record.as_group(group), len(group))

    def _refuse(self, trade: Trade) -> None:
        """Count a trade that fits no record, and report the first of its symbol; books are not affected."""
        native = trade.instrument.native
        self._counters[native].add(Counter.TRADES_REFUSED)
        if native not in self._reported_refusals:
            self._reported_refusals.add(native)
            self._notice(
                "warning",
                f"{trade.instrument.id}: left out a trade that fits no record ({trade.refused}). Others like it are only counted,"
                " as trades_refused. The book is not affected; no action is needed",
            )
