"""Python API of arbitrage: the events of `alphapulse arb watch`, and the detector by itself for books of your own.

    with ap.arbitrage("kraken", "coinbase", symbols=["BTC-USD"]) as events:       # live, from shared memory
        for event in events:
            print(event.kind, event.opportunity.id, event.finding.size.text, event.finding.net.text)

    detector = ap.ArbitrageDetector(ap.ArbitragePolicy(...))                       # offline: any books, in any order you replay them
    market = detector.add("kraken", "kraken", "BTC-USD", parse_fee("0.004"))
    events = detector.update(market, book, timestamp_ns)

`event.finding` is the walk through the books: `.size`, `.net`, `.spent`, `.gross` are exact (`.text`, `.fraction`), `.net_bps` is a
Fraction.
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
    """Endless iterator over the Events of a live watch. Use it in a `with`, or `close` it."""

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
        """Events since the last poll; [] if there are none."""
        return self._watch.poll()

    def wait(self, timeout_s: float) -> bool:
        """Wait for records, at most `timeout_s` and 50 ms; False if none came.

        Poll then all the same: opportunities close by age, too.
        """
        return self._watch.wait(timeout_s)

    @property
    def status(self) -> WatchStatus:
        """Status of the watch: books that are not live, opportunities held back by reason, records missed."""
        return self._watch.status()

    def __iter__(self) -> Iterator[Event]:
        while True:
            events = self.poll()
            yield from events
            if not events:
                self.wait(1.0)

    def close(self) -> None:
        """Close the directory and remove the cursors."""
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
    """Watch the opportunities between these sets (all sets without names) open, change and close.

    `fees`, as {"kraken": "0.0016"}, take precedence over configured fees, and those over the exchanges' lowest tiers. `how` is a
    way of waiting (`readers.waiting`). NoSegment if nothing is collected, UsageError for an impossible fee or symbol.
    """
    wanted = Wanted.of(names, symbols)
    given = configured_fees(layers.load(), dict(fees or {}))
    return Opportunities(wanted, policy, given, shm_dir, how)
