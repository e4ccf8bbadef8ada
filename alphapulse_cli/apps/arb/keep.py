"""Keeper of a watch's events in the store, for `arb history` and `arb explain`, without slowing the watch."""

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Self

from alphapulse_cli.apps.arb.rows import seen
from alphapulse_cli.edges.opportunities.writer import StoreWriter
from alphapulse_cli.flow.arbitrage.candidate import ArbitragePolicy
from alphapulse_cli.flow.arbitrage.opportunity import Event

CLOSE_S = 10.0  # for a busy disk


class Keeper:
    """Keeper of events in the store at `path`; without one (None) it keeps nothing.

    A failure is reported once, and the watch goes on.
    """

    def __init__(self, path: Path | None, place: str, policy: ArbitragePolicy, report: Callable[[str], None]) -> None:
        self._writer = None if path is None else StoreWriter(path)
        self._place = str(Path(place).resolve())
        self._policy = policy
        self._report = report
        self._has_reported = False
        self._held: deque[Event] = deque()

    def hold(self, event: Event) -> None:
        """Queue an event for `catch_up`, which is called once the event was printed: keeping it takes time."""
        if self._writer is not None:
            self._held.append(event)

    def catch_up(self) -> None:
        """Pass the queued events on to the store's writer."""
        while self._held and self._writer is not None:
            self._writer.put(seen(self._held[0], self._place, self._policy))
            self._held.popleft()  # after the put: an interrupt between them keeps it twice, which does no harm
            if self._writer.error is not None and not self._has_reported:
                self._has_reported = True
                self._report(f"opportunities are not kept: {self._writer.error}")

    def close(self) -> None:
        """Write the queued events, within CLOSE_S, and close the store."""
        if self._writer is None:
            return
        self.catch_up()
        self._writer.close(CLOSE_S)
        if self._writer.error is not None and not self._has_reported:
            self._has_reported = True
            self._report(f"opportunities were not kept: {self._writer.error}")
        elif self._writer.dropped and self._writer.error is None:
            self._report(
                f"{self._writer.dropped} changes of opportunities were not kept: the store could not be written fast enough"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
