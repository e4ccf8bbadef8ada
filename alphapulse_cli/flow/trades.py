"""Trades of one frame become records of the trade ring: one group, counted; what no record holds is left out, counted and told once."""

from collections.abc import Callable, Mapping, Sequence

from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.events import Trade
from alphapulse_cli.shm.block import CounterBlock
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.wire import trade as trade_record

Notice = Callable[[str, str], None]


class TradePublisher:
    """Publisher of one set's trades. `counters` are the symbols', by the exchange's own names."""

    def __init__(self, outlet: Outlet, counters: Mapping[str, CounterBlock], notice: Notice) -> None:
        self._outlet, self._counters, self._notice = outlet, counters, notice
        self._refusals_told: set[str] = set()  # natives with a trade that no record holds

    def publish(self, trades: Sequence[Trade], receive_ns: int) -> None:
        """Publish the trades of one frame as one group; more than a quarter of the ring at once as several."""
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
        """Count a trade whose numbers no record holds, and tell the first of its symbol; no book is concerned."""
        native = trade.instrument.native
        self._counters[native].add(Counter.TRADES_REFUSED)
        if native not in self._refusals_told:
            self._refusals_told.add(native)
            self._notice(
                "warning",
                f"{trade.instrument.id}: a trade that no record can hold ({trade.refused}) was left out, as others like it will be:"
                " they are counted as trades_refused. Its book is not concerned, and nothing needs to be done",
            )
