"""One TCP port that serves WebSocket clients and answers GET requests.

    ws://host:port/…   ─► on_handshake(path and query) ─► refused, or let in ─► on_client(websocket), until it returns
    http://host:port/… ─► on_get(path, query) ─► Answer

All runs in one event loop. A name that a query repeats has its values joined by commas; a body of a GET is ignored. Every answer has a Date. With `tls` the addresses are wss:// and https://. There is no login and no limit on
requests: a public server needs a proxy in front that has them.
"""

import logging
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from urllib.parse import parse_qsl, urlsplit

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from alphapulse_cli.edges.server.plain_get import PlainGetConnection
from alphapulse_cli.errors import UsageError

CLOSE_TIMEOUT_S = 1.0
LOGGER = logging.getLogger("alphapulse.server")
# a client that opens the port without a handshake needs no traceback
LOGGER.addFilter(lambda record: record.msg != "opening handshake failed")


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer to a request: HTTP status, body, and headers apart from Date, Content-Length and Connection, which are added."""

    status: int
    body: bytes = b""
    headers: Sequence[tuple[str, str]] = (("Content-Type", "application/json"),)


OnClient = Callable[[ServerConnection], Awaitable[None]]
OnGet = Callable[[str, Mapping[str, str]], Awaitable[Answer]]
OnHandshake = Callable[[str], Answer | None]  # path and query in; None accepts the handshake


class Listener:
    """A listening port, from `open` to `close`. `name` is used in the error for a port that cannot be had."""

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        on_client: OnClient,
        on_get: OnGet,
        on_handshake: OnHandshake,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.name, self.host, self.port, self._tls = name, host, port, tls
        self._on_client, self._on_get, self._on_handshake = on_client, on_get, on_handshake
        self._server: Server | None = None

    async def open(self) -> int:
        """Listen, and return the port: for port 0 the free one that was taken. UsageError if the port cannot be had."""
        try:
            self._server = await serve(
                self._on_client,
                self.host,
                self.port,
                process_request=self._respond,
                compression=None,
                close_timeout=CLOSE_TIMEOUT_S,
                logger=LOGGER,
                ssl=self._tls,
                create_connection=PlainGetConnection,
            )
        except OSError as error:
            raise UsageError(
                f"{self.name}: no server on {self.host}:{self.port}: {error.strerror or error}", "port 0 takes any free one"
            ) from error
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self.port

    async def close(self) -> None:
        """Close every client with code 1001, and free the port."""
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    async def _respond(self, _: ServerConnection, request: Request) -> Response | None:
        """Answer a GET, or refuse a WebSocket handshake; return None to accept it."""
        if "upgrade" in request.headers:
            refusal = self._on_handshake(request.path)
            return None if refusal is None else _response(refusal)
        parts = urlsplit(request.path)
        return _response(await self._on_get(parts.path, _values(parts.query)))


def _values(query: str) -> dict[str, str]:
    """Values of a query by name; those of a repeated name are joined by commas."""
    found: dict[str, str] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        found[name] = f"{found[name]},{value}" if name in found else value
    return found


def _response(answer: Answer) -> Response:
    phrase = HTTPStatus(answer.status).phrase if answer.status in {*HTTPStatus} else "refused"
    headers = [
        ("Date", formatdate(usegmt=True)),
        *answer.headers,
        ("Content-Length", str(len(answer.body))),
        ("Connection", "close"),
    ]
    return Response(answer.status, phrase, Headers(headers), answer.body)
