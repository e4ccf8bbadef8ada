"""WebSocket link over the `websockets` library, which is pure Python and always installed.

    socket ─► the library's buffer, RECEIVE_BUFFER_FRAMES at most ─► our reader task ─► on_frame

The receive time of a frame is that of the last read from the kernel before our task took the frame out of the buffer. For a single
frame that is its own read, in a burst perhaps a later one: never earlier than the frame's arrival, never later than its handling.
"""

import asyncio

from websockets.asyncio import client
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from alphapulse_cli import __version__
from alphapulse_cli.edges.exchange import dial, proxies
from alphapulse_cli.edges.exchange import link as shared
from alphapulse_cli.edges.exchange.link import CUT, OnFrame, answers, cannot_connect, closed_by_exchange, closed_by_us, no_answer
from alphapulse_cli.errors import ExchangeError
from alphapulse_cli.shm import clock

RECEIVE_BUFFER_FRAMES = 1024  # beyond it the library stops reading and TCP makes the exchange wait


class TimedConnection(client.ClientConnection):
    """Connection of the library that notes the time of each read, in ns since 1970."""

    read_ns = 0

    def data_received(self, data: bytes) -> None:
        """Note the time and pass the bytes on to the library."""
        self.read_ns = clock.realtime_ns()
        super().data_received(data)


class Dialled(client.connect):
    """Connector of the library over a socket of `dial`: asyncio's race of addresses leaks one that answers during cancellation."""

    async def open_tcp_connection(self) -> client.ClientConnection:
        """Connect to the host over a socket of `dial`; through a proxy the library connects by itself."""
        if self.proxy is not None:
            return await super().open_tcp_connection()
        usual = self.create_connection_kwargs
        connected = await dial.connected_socket(self.ws_uri.host, self.ws_uri.port)
        self.create_connection_kwargs = {**usual, "sock": connected}
        try:
            return await super().open_tcp_connection()
        finally:
            self.create_connection_kwargs = usual  # a redirect needs another socket


class WebsocketsLink:
    """WebSocket connection over `websockets`: a `Link`."""

    def __init__(self, connection: TimedConnection, on_frame: OnFrame) -> None:
        self._connection = connection
        self._on_frame = on_frame
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> str:
        connection, receive = self._connection, self._connection.recv
        try:
            while True:
                # With a full buffer `recv` never suspends: give the loop (heartbeat, watchdog, sends) its turn.
                for _ in range(shared.FRAMES_PER_TURN):
                    frame = await receive(decode=False)
                    self._on_frame(frame, connection.read_ns)
                await asyncio.sleep(0)
        except ConnectionClosed as closed:
            return _why(closed)

    async def send(self, frame: bytes) -> None:
        """Send one text frame. ExchangeError if the connection is lost."""
        try:
            await self._connection.send(frame, text=True)
        except ConnectionClosed as closed:
            raise ExchangeError(f"connection lost while sending: {_why(closed)}") from None

    async def ping(self) -> None:
        """Ping and wait for the pong. ExchangeError if the connection is lost."""
        try:
            pong = await self._connection.ping()
            await pong
        except ConnectionClosed as closed:
            raise ExchangeError(f"connection lost: {_why(closed)}") from None

    async def closed(self) -> str:
        """Wait for the end; returns its reason."""
        return await asyncio.shield(self._reader)

    async def close(self) -> None:
        """Close: send a close frame, wait CLOSE_TIMEOUT_S for the answer, then close the socket."""
        self._on_frame = _drop
        try:
            async with asyncio.timeout(2 * shared.CLOSE_TIMEOUT_S):  # the library also waits for room to write its close frame
                await self._connection.close()
        except TimeoutError:
            self._connection.transport.abort()
        finally:
            self._reader.cancel()
            await asyncio.gather(self._reader, return_exceptions=True)  # `closed` raised its failure


def _drop(_frame: bytes, _receive_ns: int) -> None:
    """Drop a frame: the link is being closed."""


def _why(closed: ConnectionClosed) -> str:
    if closed.rcvd is not None:
        return closed_by_exchange(closed.rcvd.code, closed.rcvd.reason)
    return closed_by_us(closed.sent.code) if closed.sent is not None else CUT


async def connect(url: str, on_frame: OnFrame, open_timeout_s: float, proxy: str | None) -> WebsocketsLink:
    """Connect, as `transport.open_link`, through that proxy if one is given."""
    try:
        connection = await Dialled(
            url,
            max_size=shared.MAX_FRAME_BYTES,
            max_queue=RECEIVE_BUFFER_FRAMES,
            compression=None,  # costs more CPU than the bytes it saves
            open_timeout=open_timeout_s,
            close_timeout=shared.CLOSE_TIMEOUT_S,
            proxy=proxy,
            ping_interval=None,  # the session's watchdog pings, far sooner than the library would
            user_agent_header=f"alphapulse/{__version__}",
            create_connection=TimedConnection,
            happy_eyeballs_delay=dial.NEXT_AFTER_S,
        )
    except TimeoutError:
        raise no_answer(url, open_timeout_s) from None
    except InvalidStatus as error:
        raise answers(url, error.response.status_code, error.response.headers.raw_items()) from None
    except ImportError:
        raise proxies.needs_socks(proxy or "") from None
    except (OSError, InvalidHandshake, ConnectionClosed, ValueError) as error:
        raise cannot_connect(url, error) from None
    assert isinstance(connection, TimedConnection)
    return WebsocketsLink(connection, on_frame)
