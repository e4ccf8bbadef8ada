"""Link to a server: it connects, connects again after each loss, and hands out the items of its session one after another.

    connect ─► welcome ─► the session's requests ─► frames ─► items          lost ─► a pause that doubles, with jitter ─► connect

It reads only when it is asked for more, so that a book is exactly as its item says; what waits meanwhile is bounded here and there. A
client that asks too rarely is closed with 1013 by the server, and resumes. While it waits it pings: nothing heard for SILENT_S shows
all books as STALE, and after DEAD_S the connection is given up.
"""

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio import client
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from alphapulse_cli import __version__
from alphapulse_cli.client.items import Connected, Disconnected, Item
from alphapulse_cli.client.session import Session
from alphapulse_cli.edges.exchange.proxies import proxy_of
from alphapulse_cli.edges.exchange.session import Backoff
from alphapulse_cli.errors import AlphapulseError, DecodeError, ExchangeError, Refused, UsageError
from alphapulse_cli.shm import clock
from alphapulse_cli.wire.served import subprotocol

PING_EVERY_S = 0.5
SILENT_NS, DEAD_NS = 2_000_000_000, 6_000_000_000
CONNECT_WITHIN_S, CLOSE_WITHIN_S = 10.0, 1.0
MOST_MESSAGE_BYTES = 64 << 20  # a group of a quarter of the largest usual ring
WAITING_FRAMES = 4096  # beyond it TCP makes the server wait
FIRST_PAUSE_S, LONGEST_PAUSE_S, AT_ONCE_S = 0.1, 10.0, 0.2
EXAMPLE = "write ws://127.0.0.1:8765, or wss://host/path"
REFUSALS = {
    400: "the server refuses the address",
    401: "the token is wrong",
    403: "the server refuses this client",
    404: "no server there",
}


class Dialled(client.connect):
    """Connector of the library that follows no redirects: a token is for the server that was named."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Return the error itself."""
        return exc


def checked_url(url: str) -> str:
    """The address itself. UsageError for one that cannot be a WebSocket server's."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    fine = parts.scheme in ("ws", "wss") and parts.hostname and url.isprintable() and " " not in url and port != 0
    if not fine:
        raise UsageError(f"not a WebSocket address: {url[:80]!r}", EXAMPLE)
    if parts.username or parts.password or "token" in parts.query or parts.fragment:
        raise UsageError("a WebSocket address holds no password, token or fragment", "give the token apart: connect(url, token=…)")
    return url


class Link:
    """Link to the server at `url`. `heard_ns` is CLOCK_MONOTONIC of the last sign of life. UsageError for an address that is none."""

    def __init__(self, url: str, session: Session, token: str = "", tls: ssl.SSLContext | None = None) -> None:
        self.url, self.session = checked_url(url), session
        self.heard_ns = 0
        self._token, self._tls = token, tls
        self._websocket: client.ClientConnection | None = None
        self._backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S, AT_ONCE_S)
        self._pending: deque[Item] = deque()
        self._was_connected = self._is_good = self._is_silent = False
        self._pong: asyncio.Future[float] | None = None
        self._quiet_ns = 0  # waited since something was heard
        self._due_s = 0.0  # time of the loop before which no connection is tried

    async def connect(self) -> None:
        """Connect for the first time. ExchangeError where that fails, Refused where trying again is of no use."""
        await self._open()

    async def items(self) -> AsyncIterator[Item]:
        """Iterate over all items, without end. ExchangeError, Refused."""
        while True:
            while self._pending:
                yield self._pending.popleft()
            await self.more()

    async def more(self) -> None:
        """Wait for one more message, or the next connection, and note its items."""
        if self._websocket is None:
            await self._again()
            return
        try:
            payload = await self._next(self._websocket)
            if payload is None:
                return
            self._is_good = True
            self._pending += self.session.receive(payload)
            if self.session.is_broken:
                self.session.is_broken = False
                await self._lose(1000, "a copy broke: it is begun anew")
        except ConnectionClosed as closed:
            received = closed.rcvd
            code, reason = (received.code, received.reason) if received is not None else (1006, "the connection was cut")
            await self._lose(code, reason or self.session.last_error)
        except DecodeError as error:
            await self._lose(1007, f"the server sent {error}")

    async def _next(self, websocket: client.ClientConnection) -> str | bytes | None:
        """Payload of the next message; None after a time in which nothing came. ConnectionClosed also where the server is silent."""
        while True:
            begun_ns = clock.monotonic_ns()
            try:
                async with asyncio.timeout(PING_EVERY_S):
                    payload = await websocket.recv()
            except TimeoutError:
                # Only time spent waiting counts: a caller that asks late finds old news, not a silent server.
                self._quiet_ns = 0 if self.heard_ns > begun_ns else self._quiet_ns + clock.monotonic_ns() - begun_ns
                if self._quiet_ns > DEAD_NS:
                    websocket.transport.abort()
                    await websocket.wait_closed()
                elif (self._quiet_ns > SILENT_NS) != self._is_silent:
                    self._note_silence(not self._is_silent)
                    return None
                if self._pong is None or self._pong.done():
                    await self._ping(websocket)
                continue
            self.heard_ns, self._quiet_ns = clock.monotonic_ns(), 0
            if self._is_silent:
                self._note_silence(False)
            return payload

    def _note_silence(self, is_silent: bool) -> None:
        self._is_silent = is_silent
        self._pending += self.session.silent() if is_silent else self.session.heard()

    async def _ping(self, websocket: client.ClientConnection) -> None:
        self._pong = waiter = await websocket.ping()  # type: ignore[assignment]

        def note(done: "asyncio.Future[float]") -> None:
            if not done.cancelled() and done.exception() is None:
                self.heard_ns = clock.monotonic_ns()

        waiter.add_done_callback(note)  # type: ignore[attr-defined]

    async def _again(self) -> None:
        """Try to connect again; a failure is an item, and the next one waits longer."""
        try:
            await self._open()
        except Refused:
            raise
        except ExchangeError as error:
            pause_s = max(self._backoff.after_failure_s(), min(error.retry_after_s or 0.0, LONGEST_PAUSE_S))
            self._pending.append(Disconnected(1006, str(error), pause_s))
            self._due_s = asyncio.get_running_loop().time() + pause_s

    async def _lose(self, code: int, reason: str) -> None:
        """End this connection: its books are STALE, and another is made after a pause."""
        await self._drop()
        pause_s = self._backoff.after_good_s() if self._is_good else self._backoff.after_failure_s()
        self._pending.append(Disconnected(code, reason[:200], pause_s))
        self._pending += self.session.disconnected()
        self._due_s = asyncio.get_running_loop().time() + pause_s

    async def _open(self) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(max(self._due_s - loop.time(), 0.0))
        websocket = await self._dial()
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                requests = self.session.welcome(await websocket.recv())
                for request in requests:
                    await websocket.send(request)
        except (ConnectionClosed, TimeoutError) as error:
            await _close(websocket)
            raise ExchangeError(f"{self.url[:80]} closed the connection at once: {error or 'it said nothing'}") from None
        except BaseException:
            await _close(websocket)
            raise
        self._websocket, self._pong = websocket, None
        self.heard_ns, self._quiet_ns, self._is_good, self._is_silent = clock.monotonic_ns(), 0, False, False
        self._pending.append(Connected(self.url, self.session.server, self._was_connected))
        self._was_connected = True

    async def _dial(self) -> client.ClientConnection:
        options: dict[str, Any] = {"ssl": self._tls} if self._tls is not None else {}
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else None
        where = f"{urlsplit(self.url).scheme}://{urlsplit(self.url).netloc}"[:80]
        try:
            return await Dialled(
                self.url,
                subprotocols=[Subprotocol(subprotocol("raw"))],
                additional_headers=headers,
                compression=None,
                proxy=proxy_of(self.url),
                user_agent_header=f"alphapulse/{__version__}",
                open_timeout=CONNECT_WITHIN_S,
                close_timeout=CLOSE_WITHIN_S,
                ping_interval=None,
                max_size=MOST_MESSAGE_BYTES,
                max_queue=WAITING_FRAMES,
                **options,
            )
        except InvalidStatus as error:
            raise _refusal(where, error) from None
        except InvalidURI:
            raise UsageError(f"not a WebSocket address: {self.url[:80]!r}", EXAMPLE) from None
        except ssl.SSLCertVerificationError as error:
            raise Refused(
                f"the certificate of {where} cannot be trusted: {error.verify_message}", "name the authority: SSL_CERT_FILE=ca.pem"
            ) from None
        except (OSError, TimeoutError, InvalidHandshake) as error:
            words = str(error) or "no answer"
            raise ExchangeError(f"cannot connect to {where}: {words[:160]}", "is `alphapulse serve` running there?") from None

    async def send(self, requests: list[str]) -> None:
        """Send requests on the present connection; without one they are part of the next."""
        if self._websocket is not None:
            with suppress(ConnectionClosed):
                for request in requests:
                    await self._websocket.send(request)

    async def _drop(self) -> None:
        websocket, self._websocket = self._websocket, None
        if websocket is not None:
            await _close(websocket)

    async def close(self) -> None:
        """End the connection for good."""
        await self._drop()


async def _close(websocket: client.ClientConnection) -> None:
    with suppress(AlphapulseError, OSError, ConnectionClosed):
        await websocket.close()


def _refusal(where: str, error: InvalidStatus) -> ExchangeError:
    status = error.response.status_code
    body = bytes(error.response.body or b"")[:160].decode("utf-8", "replace").strip()
    words = "".join(letter for letter in body if letter.isprintable())
    if status in (429, 503):
        return ExchangeError(f"{where} has no room: {words or status}", "it is tried again")
    hint = "give the server's: connect(url, token=…)" if status == 401 else "name the WebSocket port: ws://HOST:8765"
    return Refused(f"{where}: {REFUSALS.get(status, 'the server refuses')} ({status}{': ' + words if words else ''})", hint)
