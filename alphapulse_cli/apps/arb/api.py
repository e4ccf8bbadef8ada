"""Arbitrage for Python: what `alphapulse arb watch` sees, as events; and the detector by itself for books of your own.

    with ap.arbitrage("kraken", "coinbase", symbols=["BTC-USD"]) as events:       # live, from shared memory
        for event in events:
            print(event.kind, event.opportunity.id, event.finding.size.text, event.finding.net.text)

    detector = ap.ArbitrageDetector(ap.ArbitragePolicy(...))                       # offline: any books, in any order you replay them
    market = detector.add("kraken", "kraken", "BTC-USD", parse_fee("0.004"))
    events = detector.update(market, book, timestamp_ns)

`event.finding` is the walk: `.size`, `.net`, `.spent`, `.gross` are exact (`.text`, `.fraction`), `.net_bps` a Fraction.
"""

from collections.abc import Collection, Iterator, Mapping
from types import TracebackType
from typing import Self

from alphapulse_cli.apps.arb.watch import Watch, WatchStatus, configured_fees
from alphapulse_cli.edges.config import layers
from alphapulse_cli.flow.arbitrage.candidate import ArbitragePolicy
from alphapulse_cli.flow.arbitrage.opportunity import Event
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm.directory import open_directory


class Opportunities:
    """An iterator of Events that does not end by itself. Use it in a `with`, or `close` it."""

    def __init__(
        self, wanted: Wanted, policy: ArbitragePolicy | None, fees: Mapping[str, str], shm_dir: str | None, how: str
    ) -> None:
        self._directory = open_directory(shm_dir)
        try:
            self._watch = Watch(self._directory, wanted, policy or ArbitragePolicy(), fees, how, "python")
        except BaseException:
            self._directory.close()
            raise

    def poll(self) -> list[Event]:
        """What happened since the last poll; none if nothing did."""
        return self._watch.poll()

    def wait(self, timeout_s: float) -> bool:
        """Wait until there may be more; False after the timeout, 50 ms at most: what grows old must be told."""
        return self._watch.wait(timeout_s)

    @property
    def status(self) -> WatchStatus:
        """Books that are not live, what was held back and why, records missed."""
        return self._watch.status()

    def __iter__(self) -> Iterator[Event]:
        while True:
            events = self.poll()
            yield from events
            if not events:
                self.wait(1.0)

    def close(self) -> None:
        """Let go of the directory and the cursors."""
        self._watch.close()
        self._directory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def arbitrage(
    *names: str,
    symbols: Collection[str] | None = None,
    policy: ArbitragePolicy | None = None,
    fees: Mapping[str, str] | None = None,
    shm_dir: str | None = None,
    how: str = "wake",
) -> Opportunities:
    """Opportunities between these sets (all there are for none), as they open, change and close.

    `fees` {"kraken": "0.0016"} over the configured ones, those over the exchanges' lowest tiers. NoSegment where nothing is collected,
    UsageError for a fee or symbol that is none.
    """
    wanted = Wanted.of(names, symbols)
    given = configured_fees(layers.load(), dict(fees or {}))
    return Opportunities(wanted, policy, given, shm_dir, how)
