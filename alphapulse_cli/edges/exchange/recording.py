"""Interface of a recorder: a session reports to it what it reports to ingest, in the same order. `edges.capture` implements it."""

from collections.abc import Iterable
from typing import Protocol

from alphapulse_cli.edges.exchange.fetch import Answer
from alphapulse_cli.edges.exchange.watchdog import SilenceVerdict


class Listener(Protocol):
    """Listener to one GET, for `Fetcher.get`, that keeps the time at which the answer was received."""

    receive_ns: int

    def __call__(self, answer: Answer) -> None:
        """Note the answer."""


class SessionRecorder(Protocol):
    """Recorder of the sessions of one set, which call it from one thread. Times are CLOCK_REALTIME in ns."""

    def connection(self) -> int:
        """Return a number for another connection of the set; it stays the same over its reconnects."""

    def opened(self, connection: int, url: str, natives: Iterable[str], time_ns: int) -> None:
        """Note a connection that was made."""

    def received(self, connection: int, frame: bytes, receive_ns: int) -> None:
        """Note a frame that was received, before it is decoded."""

    def sent(self, connection: int, frame: bytes) -> None:
        """Note a frame that is being sent."""

    def listen(self, connection: int, request: str, symbol: str = "") -> Listener:
        """Make the listener that notes the answer to a GET."""

    def marked(self, connection: int, verdict: SilenceVerdict, time_ns: int) -> None:
        """Note the watchdog's judgement of a connection."""

    def shut(self, connection: int, reason: str, time_ns: int) -> None:
        """Record the end of a connection, or a failed try to make one."""
