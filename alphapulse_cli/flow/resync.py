"""When a book may ask to be healed: at once the first time, then ever more rarely while healing does not help.

The states a book walks through, and what moves it (`BookState` of `wire.delta`; STALE and HALTED are told apart by their reason):

    COLD ──snapshot──► LIVE ──gap, bad checksum, lost connection──► SYNCING ──snapshot──► LIVE
                       LIVE ──silence──► STALE ──any frame──► LIVE
    any ──no room, a number too fine, refused──► HALTED ──snapshot, if it was refused──► LIVE

Time is handed in: nanoseconds of CLOCK_MONOTONIC, so that a clock that is set stops no healing.
"""

from dataclasses import dataclass

FIRST_PAUSE_NS = 1_000_000_000
LONGEST_PAUSE_NS = 60_000_000_000
CALM_NS = 60_000_000_000  # this long free to ask without having to, and the pauses begin small again


@dataclass(slots=True)
class ResyncPacer:
    """One instrument's: how often it asked lately, and when it may ask again."""

    wanted: bool = False  # a resync is due but not yet asked for
    not_before_ns: int = 0
    pause_ns: int = 0

    def want(self) -> None:
        """The book is wrong; `due` says when to ask."""
        self.wanted = True

    def due(self, now_ns: int) -> bool:
        """Whether to ask the exchange now; asking it makes the next one wait."""
        if not self.wanted or now_ns < self.not_before_ns:
            return False
        if now_ns - self.not_before_ns > CALM_NS:
            self.pause_ns = 0
        self.pause_ns = min(max(2 * self.pause_ns, FIRST_PAUSE_NS), LONGEST_PAUSE_NS)
        self.wanted, self.not_before_ns = False, now_ns + self.pause_ns
        return True

    def healed(self) -> None:
        """A snapshot came: nothing is wanted any more. The pause stays, lest a book that breaks at once asks without end."""
        self.wanted = False
