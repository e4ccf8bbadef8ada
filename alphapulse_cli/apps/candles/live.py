"""Candles of running sets, each when it is closed: `late_ns` after its end by the set's own clock, and when all records are read.

SetReaders ─► SetCandles of each set ─► Markets ─► Candle, Candle, … None ("no more for now")
"""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

from alphapulse_cli.apps.candles.markets import Markets, Rule
from alphapulse_cli.apps.candles.rings import SetCandles
from alphapulse_cli.flow.groups import Start
from alphapulse_cli.market.candles import Candle
from alphapulse_cli.readers.selection import Wanted, settled
from alphapulse_cli.readers.sets import Observe, SetReaders
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.layout import SegmentKind


class LiveCandles:
    """Candles of the wanted sets. NoSegment if one is not there, UsageError for an unknown way of waiting.

    `ago_ns` asks for candles from that long before now on, instead of `rule.from_ns`.
    """

    def __init__(
        self,
        directory: Directory,
        wanted: Wanted,
        rule: Rule,
        start: Start = "now",
        how: str = "wake",
        *,
        ago_ns: int | None = None,
        observe: Observe | None = None,
    ) -> None:
        self._directory = directory
        self._wanted = wanted = settled(directory, wanted, SegmentKind.TRADES)
        self._ago_ns = ago_ns
        self._markets = Markets(rule, wanted)
        self._sets: SetReaders[SetCandles] = SetReaders(
            directory, wanted, self._attach, kind=SegmentKind.TRADES, start=start, how=how, observe=observe
        )

    def _attach(self, name: str, _exchange: str, start: Start) -> SetCandles:
        return SetCandles(self._directory, name, self._markets, self._wanted, start, label="candles", ago_ns=self._ago_ns)

    @property
    def sets(self) -> list[str]:
        """Names of the sets that are read, sorted."""
        return sorted(self._sets.readers)

    @property
    def untold(self) -> list[str]:
        """Sentences about what no candle has told."""
        return self._markets.untold

    @property
    def has_more(self) -> bool:
        """Whether there are records that were not read yet."""
        return any(reader.has_more for reader in self._sets.readers.values())

    def poll(self) -> list[Candle]:
        """Candles that are closed by now."""
        now_ns = clock.monotonic_ns()
        self._sets.look(now_ns)
        return self._read(now_ns)

    def _read(self, monotonic_ns: int) -> list[Candle]:
        found: list[Candle] = []
        for name, reader in self._sets.readers.items():
            now_ns = reader.now_ns  # before the records are read: those of that time are there
            if reader.read(monotonic_ns):
                found += self._markets.close(name, now_ns)
        return found

    def items(self, count: int | None = None, duration_s: float | None = None) -> Iterator[Candle | None]:
        """Iterate over candles, at most `count`, for at most `duration_s` seconds; None means "no more for now"."""
        left = count
        for item in self._sets.items(self._read, duration_s):
            yield item
            if left is not None and item is not None:
                left -= 1
                if left == 0:
                    return

    def close(self) -> None:
        """Remove the cursors."""
        self._sets.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
