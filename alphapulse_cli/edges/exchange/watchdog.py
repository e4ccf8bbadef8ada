"""Watchdog of a connection's silence, polled every 100 ms: decides when to ping, mark books STALE, replace the connection.

No I/O, no clock.

    frames       prove the feed and the transport        a pong proves the transport alone

    nothing at all      2 s: ping · 3 s: SILENT · 5 s: DEAD
    pongs, no frames    what the feed's facts promise (`protocol.Silence`): DOUBT, MUTE, then DEAD; without a promise, never

A promise holds once the connection has kept it: a frame came half a second or more after the first. Until then, as behind a proxy
or a stand-in that sends no heartbeats, the limits are 6 s and 9 s, unless a DOUBT can prove the books.

A DOUBT ends with the next frame. The fourth in a row, each within a minute of the one before, is DEAD: such a connection answers
requests and sends no data by itself.

Time in which this process did not run does not count as silence: frames that came meanwhile still wait to be read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, unique
from typing import Any

from alphapulse_cli.exchanges.protocol import Silence

AT_ONCE_S, FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.1, 0.25, 30.0
DOUBTS, DOUBTS_WITHIN_S = 3, 60.0  # doubts in a row, each so soon after the one before, that a connection may have
STALL_TICKS = 5  # most ticks between two looks that count as silence: in longer gaps this process was stopped or starved


@unique
class SilenceVerdict(Enum):
    """Verdict on a connection, which determines the next action."""

    NOTHING = "nothing"
    PING = "ping"
    DOUBT = "doubt"  # the promised heartbeat is late: have the books proven
    SILENT = "silent"  # books are STALE: neither frames nor pongs arrive
    MUTE = "mute"  # books are STALE: pings are answered, but the feed is silent beyond its promise
    HEARD = "heard"  # books are not STALE any more
    DEAD = "dead"


@dataclass(frozen=True, slots=True)
class Timing:
    """Time limits of a connection, in seconds."""

    tick_s: float = 0.1
    ping_after_s: float = 2.0
    stale_after_s: float = 3.0
    dead_after_s: float = 5.0
    proven_after_s: float = (
        0.5  # least time from the first frame to one that proves the promise: answers and first snapshots come sooner
    )
    unproven_stale_after_s: float = 6.0
    unproven_dead_after_s: float = 9.0
    at_once_s: float = AT_ONCE_S  # longest pause after a connection that carried data
    first_backoff_s: float = FIRST_BACKOFF_S
    longest_backoff_s: float = LONGEST_BACKOFF_S


class Watchdog:
    """Watchdog of one connection. Times are CLOCK_MONOTONIC in nanoseconds."""

    def __init__(self, timing: Timing, silence: Silence | None, opened_ns: int) -> None:
        self._timing = timing
        self._silence = silence
        self._looked_ns = self._frame_ns = self._pong_ns = opened_ns
        self._pinged = self._is_doubted = False
        self._first_frame_ns: int | None = None
        self._proven_after_ns = int(timing.proven_after_s * 1e9)
        self._is_proven = False  # a frame came long enough after the first
        self._doubts, self._doubted_ns = 0, opened_ns
        self._stale: SilenceVerdict | None = None
        self.silent_s = 0.0

    @property
    def why(self) -> str:
        """Reason for DEAD, as a message."""
        if self._doubts > DOUBTS:
            return f"requests are answered, but its promised heartbeat failed to come {self._doubts} times"
        return f"nothing heard for {self.silent_s:.1f} s"

    def memory(self, now_ns: int) -> list[Any]:
        """Silence so far, as values of JSON, for another watchdog that goes on with the connection; times in ns before now."""
        first_ns = None if self._first_frame_ns is None else now_ns - self._first_frame_ns
        doubts = self._doubts, now_ns - self._doubted_ns, self._is_doubted
        stale = "" if self._stale is None else self._stale.value
        return [now_ns - self._frame_ns, first_ns, self._is_proven, *doubts, self._pinged, stale]

    def recall(self, memory: Sequence[Any], now_ns: int) -> None:
        """Go on from a `memory`. LookupError, TypeError or ValueError for a wrong one."""
        frame_ns, first_ns, is_proven, doubts, doubted_ns, is_doubted, pinged, stale = memory
        self._looked_ns, self._frame_ns = now_ns, now_ns - int(frame_ns)
        self._first_frame_ns = None if first_ns is None else now_ns - int(first_ns)
        self._is_proven, self._is_doubted, self._pinged = bool(is_proven), bool(is_doubted), bool(pinged)
        self._doubts, self._doubted_ns = int(doubts), now_ns - int(doubted_ns)
        self._stale = SilenceVerdict(stale) if stale else None

    def ponged(self, now_ns: int) -> None:
        """Note that a ping was answered."""
        self._pong_ns = now_ns

    def look(self, now_ns: int, *, heard: bool) -> SilenceVerdict:
        """Judge the connection, once a tick.

        `heard`: whether a frame came since the last look. Sets `silent_s`, the seconds without one.
        """
        away_ns, longest_ns = now_ns - self._looked_ns, int(STALL_TICKS * self._timing.tick_s * 1e9)
        if away_ns > longest_ns:
            self._frame_ns += away_ns - longest_ns
            self._pong_ns += away_ns - longest_ns
        self._looked_ns = now_ns
        if heard:
            self._frame_ns = now_ns
            if self._first_frame_ns is None:
                self._first_frame_ns = now_ns
            self._is_proven = self._is_proven or now_ns - self._first_frame_ns >= self._proven_after_ns
        return self._judge(now_ns)

    def _promise(self) -> Silence | None:
        promise, timing = self._silence, self._timing
        if promise is None or self._is_proven or promise.doubt_after_s is not None:
            return promise
        return Silence(
            max(promise.stale_after_s, timing.unproven_stale_after_s), max(promise.dead_after_s, timing.unproven_dead_after_s)
        )

    def _judge(self, now_ns: int) -> SilenceVerdict:
        timing, promise = self._timing, self._promise()
        self.silent_s = feed_s = (now_ns - self._frame_ns) / 1e9
        quiet_s = min(feed_s, (now_ns - self._pong_ns) / 1e9)
        is_mute = promise is not None and feed_s >= promise.stale_after_s
        if quiet_s >= timing.dead_after_s or (promise is not None and feed_s >= promise.dead_after_s):
            return SilenceVerdict.DEAD
        is_quiet = quiet_s >= timing.ping_after_s
        wanted = SilenceVerdict.SILENT if quiet_s >= timing.stale_after_s else SilenceVerdict.MUTE if is_mute else None
        if wanted is not self._stale and (wanted is not None or not is_quiet):
            self._stale = wanted
            return wanted or SilenceVerdict.HEARD
        if self._is_to_be_doubted(now_ns, feed_s):
            return SilenceVerdict.DOUBT if self._doubts <= DOUBTS else SilenceVerdict.DEAD
        if is_quiet and not self._pinged:
            self._pinged = True
            return SilenceVerdict.PING
        self._pinged = is_quiet
        return SilenceVerdict.NOTHING

    def _is_to_be_doubted(self, now_ns: int, feed_s: float) -> bool:
        after_s = self._silence.doubt_after_s if self._silence is not None else None
        was_doubted, self._is_doubted = self._is_doubted, after_s is not None and feed_s >= after_s
        if was_doubted or not self._is_doubted:
            return False
        self._doubts = 1 if (now_ns - self._doubted_ns) / 1e9 >= DOUBTS_WITHIN_S else self._doubts + 1
        self._doubted_ns = now_ns
        return True
