"""Gate of the ports: bounds on what a connection costs before it is a client, and beside its messages.

    TCP connection ─► half open, at most HALF_OPEN, the oldest goes first ─► handshake ─► client
                                                                             every frame, pings too ─► rate ─► 1008, then cut off

The library answers pings by itself and stores no more than it must, but it has no bound on either: pongs that nobody reads would grow
without end, and millions of empty frames would delay every other client.
"""

import resource
from typing import Any

from websockets.asyncio.server import ServerConnection
from websockets.protocol import OPEN

from alphapulse_cli.apps.serve.messages import CloseCode

BACKLOG = 64  # connections that the loop accepts in one turn, and so beyond the bounds
HALF_OPEN = 128  # connections without a handshake
FRAMES_AT_ONCE, FRAMES_PER_S = 1000, 200.0  # of one connection, of all kinds
CUT_OFF_AFTER_S = 1.0  # what a flooding client has to read why
OTHER_FILES = 512  # files that the process opens beside connections: rings, images, captures


class Gate:
    """Connections of a port that have not made their handshake, or a request, the oldest first."""

    def __init__(self) -> None:
        self.half_open: dict[Any, None] = {}

    def enter(self, connection: Any) -> None:
        """Take in a new connection. Beyond HALF_OPEN the oldest is cut off: who means it makes its handshake at once."""
        self.half_open[connection] = None
        if len(self.half_open) > HALF_OPEN:
            oldest = next(iter(self.half_open))
            del self.half_open[oldest]
            oldest.transport.abort()

    def leave(self, connection: Any) -> None:
        """Forget a connection: it is a client's, or gone."""
        self.half_open.pop(connection, None)


class FrameRate:
    """Rate of the frames of one connection: FRAMES_AT_ONCE, then FRAMES_PER_S."""

    WORDS = f"more than {FRAMES_PER_S:g} frames a second"

    def __init__(self) -> None:
        self._left = float(FRAMES_AT_ONCE)
        self._asked_s = 0.0

    def allows(self, now_s: float, frames: int = 1) -> bool:
        """Whether so many further frames are within the rate; `now_s` is the loop's time."""
        self._left = min(self._left + (now_s - self._asked_s) * FRAMES_PER_S, FRAMES_AT_ONCE) - frames
        self._asked_s = now_s
        return self._left >= 0


class GuardedConnection(ServerConnection):
    """A connection that is known to the gate, and the rate of whose frames is bounded."""

    def __init__(self, gate: Gate, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._gate = gate
        self._rate = FrameRate()

    def connection_made(self, transport: Any) -> None:
        """Begin."""
        super().connection_made(transport)
        self._gate.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._gate.leave(self)
        super().connection_lost(exc)

    def process_event(self, event: Any) -> None:
        """Take one event of the connection: its request, then frames."""
        if self.protocol.state is OPEN and not self._rate.allows(self.loop.time()):
            self._end_flood()
            return
        super().process_event(event)

    def _end_flood(self) -> None:
        """Tell the client, read nothing more of what it sends, and cut it off soon."""
        self.protocol.fail(CloseCode.POLICY, FrameRate.WORDS)
        self.send_data()
        self.loop.call_later(CUT_OFF_AFTER_S, self.transport.abort)


def allow_files(connections: int) -> int:
    """Raise this process's bound on open files to what so many connections need, as far as it may: the bound now."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = connections + HALF_OPEN + OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    return soft
