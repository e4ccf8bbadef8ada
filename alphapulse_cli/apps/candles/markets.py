"""Makers of the candles of all wanted markets, by set and symbol."""

import heapq
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from operator import attrgetter

from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.candles import MOST_EMPTY, WIDTHS, Candle, CandleMaker
from alphapulse_cli.readers.selection import Wanted

ORDER = attrgetter("begin_ns", "set_name", "symbol")
SECOND_NS = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Rule:
    """Width of candles, the time that each stays open for late trades (None: for all), and their span.

    Candles from the one of `from_ns` to the one before `to_ns` are made. UsageError for an unknown width and an empty span.
    """

    width: str
    late_ns: int | None = None
    from_ns: int | None = None
    to_ns: int | None = None

    def __post_init__(self) -> None:
        if self.width not in WIDTHS:
            raise UsageError(f"unknown width: {self.width[:20]!r}", f"widths are: {', '.join(WIDTHS)}")
        if self.from_ns is not None and self.to_ns is not None and self.from_ns >= self.to_ns:
            raise UsageError("the end is not after the begin", "what is at the end is left out")

    def border_ns(self, time_ns: int) -> int:
        """Begin of the candle that contains that time."""
        return WIDTHS[self.width].begin_ns(time_ns)

    @property
    def first_ns(self) -> int | None:
        """Begin of the first candle."""
        return None if self.from_ns is None else self.border_ns(self.from_ns)

    @property
    def end_ns(self) -> int | None:
        """End of the last candle: the border at or after `to_ns`."""
        if self.to_ns is None:
            return None
        return WIDTHS[self.width].end_ns(self.border_ns(self.to_ns - 1))


class Markets:
    """Makers of the wanted markets. `begin` comes first for each set."""

    def __init__(self, rule: Rule, wanted: Wanted) -> None:
        self.rule = rule
        self._wanted = wanted
        self._sets: dict[str, _Set] = {}

    def begin(
        self,
        set_name: str,
        exchange: str,
        symbols: Iterable[str],
        began_ns: int,
        from_ns: int | None = None,
        *,
        is_replay: bool = False,
    ) -> None:
        """Watch a set from that time on, with these symbols from the beginning; no effect the second time.

        `from_ns` takes the place of the rule's.
        """
        if set_name in self._sets:
            return
        only = self._wanted.symbols_of(set_name, exchange)
        first_ns = self.rule.first_ns or 0 if from_ns is None else self.rule.border_ns(from_ns)
        self._sets[set_name] = one = _Set(exchange, only, is_replay, first_ns, {})
        for symbol in symbols:
            if only is None or symbol in only:
                one.makers[symbol] = self._maker(set_name, symbol, one, began_ns)

    def maker(self, set_name: str, symbol: str, time_ns: int) -> CandleMaker | None:
        """Maker of a market, which is made where it is not there; None for a symbol that is not wanted."""
        one = self._sets[set_name]
        found = one.makers.get(symbol)
        if found is None and (one.only is None or symbol in one.only):
            found = one.makers[symbol] = self._maker(set_name, symbol, one, time_ns)
        return found

    def makers(self, set_name: str) -> list[tuple[str, CandleMaker]]:
        """All makers of a set, with their symbols."""
        return list(self._sets[set_name].makers.items()) if set_name in self._sets else []

    def close(self, set_name: str, clock_ns: int) -> list[Candle]:
        """Candles of a set that are closed at that time of its clock, oldest first."""
        return sorted((candle for _, maker in self.makers(set_name) for candle in maker.close(clock_ns)), key=ORDER)

    def finish(self, clocks: dict[str, int]) -> Iterator[Candle]:
        """Iterate over all candles left, oldest first; `clocks` has the time at which the watch of each set ended."""
        left = [maker.finish(clock_ns) for name, clock_ns in clocks.items() for _, maker in self.makers(name)]
        yield from heapq.merge(*left, key=ORDER)

    @property
    def untold(self) -> list[str]:
        """Sentences about what no candle tells: late trades behind the last one, and candles that were skipped (`MOST_EMPTY`)."""
        makers = [maker for one in self._sets.values() for maker in one.makers.values()]
        late, skipped = sum(maker.late for maker in makers), sum(maker.skipped for maker in makers)
        told = [f"{late} trades came too late for their candles, and no candle followed that tells it"] if late else []
        return told + ([f"{skipped} candles without trades were left out, in rows of more than {MOST_EMPTY}"] if skipped else [])

    def _maker(self, set_name: str, symbol: str, one: "_Set", began_ns: int) -> CandleMaker:
        rule = self.rule
        names = (set_name, one.exchange, symbol)
        return CandleMaker(names, rule.width, began_ns, rule.late_ns, one.first_ns, rule.end_ns, is_replay=one.is_replay)


@dataclass(frozen=True, slots=True)
class _Set:
    exchange: str
    only: Collection[str] | None
    is_replay: bool
    first_ns: int
    makers: dict[str, CandleMaker]
