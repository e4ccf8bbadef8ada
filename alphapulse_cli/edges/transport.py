"""The small interface to a WebSocket library.

A *link* is one connection. It hands every frame to `on_frame(frame, receive_ns)` as soon as the library has it, text frames as the
bytes they came in; `closed` says why it ended. `websockets` is the library that is always there; another one fits by having the
same five methods.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI

from alphapulse_cli import __version__
from alphapulse_cli.edges.loopback import is_loopback
from alphapulse_cli.errors import ExchangeError, Refused, UsageError
from alphapulse_cli.shm import clock

MAX_FRAME_BYTES = 64 << 20  # Coinbase's BTC-USD snapshot is 5 MB in one frame
OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
FRAMES_PER_TURN = 64
RECEIVE_BUFFER_FRAMES = 1024  # beyond it the library stops reading and TCP makes the exchange wait
REFUSING = (403, 451)  # HTTP statuses of a handshake: not from where you are

OnFrame = Callable[[bytes, int], None]


class Link(Protocol):
    """One WebSocket connection."""

    async def send(self, frame: bytes) -> None:
        """Send one text frame. ExchangeError if the connection is gone."""

    async def ping(self) -> None:
        """Send a protocol ping and wait for its pong. ExchangeError if the connection goes before."""

    async def closed(self) -> str:
        """Wait until the connection has ended; why, in one line."""

    async def close(self) -> None:
        """Close it, politely, within a second."""


class WebsocketsLink:
    """A link of the `websockets` library."""

    def __init__(self, connection: ClientConnection, on_frame: OnFrame) -> None:
        self._connection = connection
        self._reader = asyncio.create_task(self._read(on_frame))

    async def _read(self, on_frame: OnFrame) -> str:
        realtime_ns, receive = clock.realtime_ns, self._connection.recv
        try:
            while True:
                # A full buffer answers `recv` without ever suspending: give the loop (heartbeat, watchdog, sends) its turn.
                for _ in range(FRAMES_PER_TURN):
                    frame = await receive(decode=False)
                    on_frame(frame, realtime_ns())
                await asyncio.sleep(0)
        except ConnectionClosed as closed:
            return describe_close(closed)

    async def send(self, frame: bytes) -> None:
        """Send one text frame."""
        try:
            await self._connection.send(frame, text=True)
        except ConnectionClosed as closed:
            raise ExchangeError(f"connection lost while sending: {describe_close(closed)}") from None

    async def ping(self) -> None:
        """Ping and wait for the pong."""
        try:
            pong = await self._connection.ping()
            await pong
        except ConnectionClosed as closed:
            raise ExchangeError(f"connection lost: {describe_close(closed)}") from None

    async def closed(self) -> str:
        """Wait for the end. What `on_frame` raised is raised here."""
        return await asyncio.shield(self._reader)

    async def close(self) -> None:
        """Close."""
        try:
            await self._connection.close()
        finally:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)  # its failure was told by `closed`


def describe_close(closed: ConnectionClosed) -> str:
    """Who closed and why; the reason is the other side's text: hostile."""
    if closed.rcvd is not None:
        return f"closed by the exchange, code {closed.rcvd.code} {closed.rcvd.reason[:80]}".rstrip()
    if closed.sent is not None:
        return f"closed by us, code {closed.sent.code}"
    return "connection lost"


def _reason(error: Exception) -> str:
    """What went wrong, without Python's brackets."""
    if isinstance(error, ConnectionError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(getattr(error, "strerror", None) or error or type(error).__name__)


async def open_link(url: str, on_frame: OnFrame, open_timeout_s: float = OPEN_TIMEOUT_S) -> Link:
    """Connect. UsageError for what is no ws:// or wss:// address, Refused where we are not let in, ExchangeError for no connection."""
    try:
        connection = await connect(
            url,
            max_size=MAX_FRAME_BYTES,
            max_queue=RECEIVE_BUFFER_FRAMES,
            compression=None,  # costs more CPU than the bytes it saves
            open_timeout=open_timeout_s,
            close_timeout=CLOSE_TIMEOUT_S,
            proxy=None if is_loopback(url) else True,  # the environment's, but never for this machine itself
            ping_interval=None,  # the session's watchdog pings, far sooner than the library would
            user_agent_header=f"alphapulse/{__version__}",
        )
    except TimeoutError:
        raise ExchangeError(f"no connection to {url[:200]} within {open_timeout_s:g} s") from None
    except InvalidStatus as error:
        status = error.response.status_code
        if status in REFUSING:
            raise Refused(
                f"{url[:200]} answers {status}: the exchange refuses this address", "it may not serve your region"
            ) from None
        raise ExchangeError(f"no WebSocket at {url[:200]}: it answers {status}", "is the address right?") from None
    except (OSError, InvalidHandshake, ConnectionClosed) as error:
        raise ExchangeError(
            f"cannot connect to {url[:200]}: {_reason(error)[:200]}", "is the address right, and the network up?"
        ) from None
    except (InvalidURI, ValueError):  # ValueError: a port or a host name that cannot be one
        raise UsageError(f"not a WebSocket address: {url[:200]!r}", "write ws://host:port/path or wss://…") from None
    return WebsocketsLink(connection, on_frame)
