"""Door of the REST side: who may come in, and what proxies and browsers are told. It is ASGI, around the application.

    request ─► token? origin? ─► application ─► headers for caches and browsers

The token is expected in the header `Authorization: Bearer TOKEN`, never in an address: addresses are written to logs. `/health`,
`/ready` and the explorer, which holds no data, need none.
"""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import orjson

Message = MutableMapping[str, Any]
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN_PATHS = frozenset({"/health", "/ready", "/docs", "/docs/oauth2-redirect", "/openapi.json"})
STATIC = "/static-offline-docs"
OPEN_PREFIX = STATIC + "/"
SECRETS = frozenset({"token", "access_token", "api_key", "apikey", "key", "authorization"})
LONGEST_QUERY = 4096
REFUSED = 1008  # close code: policy violation


class Door:
    """Guard of an application: a token, if one is set, and the origins whose pages may open a WebSocket."""

    def __init__(self, inside: Application, token: str, origins: Sequence[str]) -> None:
        self._inside, self._origins = inside, frozenset(origins)
        self._token = token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or refuse it."""
        if scope["type"] not in ("http", "websocket"):
            await self._inside(scope, receive, send)
            return
        problem = self._problem(scope)
        if problem is not None:
            await refuse(scope, receive, send, *problem)
            return
        if scope["type"] == "websocket":
            await self._inside(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            scope = {**scope, "method": "GET"}  # the server leaves out the body
        varies = [b"Authorization"] if self._token else []
        if self._origins:
            varies.append(b"Origin")  # a proxy must not give an answer that allows no origin to a page
        await self._inside(scope, receive, _marked(send, b", ".join(varies)))

    def _problem(self, scope: Scope) -> tuple[int, str, str, str] | None:
        """Status, code, message and hint of a refusal; None where the request may come in."""
        query: bytes = scope.get("query_string", b"")
        if len(query) > LONGEST_QUERY:
            return 414, "too_long", f"the query is longer than {LONGEST_QUERY} bytes", ""
        if query:
            names = {name.lower() for name, _ in parse_qsl(query.decode("latin-1"), keep_blank_values=True)}
            if names & SECRETS:
                return (
                    400,
                    "secret_in_url",
                    "an address is no place for a token: it is written to logs",
                    "Authorization: Bearer TOKEN",
                )
        headers = dict(scope["headers"])
        if scope["type"] == "websocket" and not self._is_own(headers):
            return 403, "origin", "pages of this origin may not connect", "alphapulse serve --origin ORIGIN"
        # a page cannot add a header to the handshake of a WebSocket: there a client may send `auth` instead
        is_later = scope["type"] == "websocket" and b"authorization" not in headers
        if self._token and not is_later and not _is_open(scope["path"]) and not self._is_known(headers):
            wrong = "the token is wrong" if b"authorization" in headers else "a token is needed"
            return 401, "unauthorized", wrong, "Authorization: Bearer TOKEN"
        return None

    def _is_known(self, headers: dict[bytes, bytes]) -> bool:
        scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
        return scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), self._token)

    def _is_own(self, headers: dict[bytes, bytes]) -> bool:
        """Whether a page may open a WebSocket: of our own host, or of an origin that is allowed. Programs send no origin."""
        origin = headers.get(b"origin", b"").decode("latin-1")
        if not origin or origin in self._origins:
            return True
        try:
            return urlsplit(origin).hostname == urlsplit(f"//{headers.get(b'host', b'').decode('latin-1')}").hostname
        except ValueError:
            return False


def _marked(send: Send, varies: bytes) -> Send:
    """Add the headers that hold for every answer."""

    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), (b"x-content-type-options", b"nosniff")]
            if not any(name.lower() == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"no-store"))
            if varies:
                headers.append((b"vary", varies))
            message = {**message, "headers": headers}
        await send(message)

    return marked


def _is_open(path: str) -> bool:
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIX)


async def refuse(scope: Scope, receive: Receive, send: Send, status: int, code: str, message: str, hint: str) -> None:
    """Answer a request, or the handshake of a WebSocket, with an error."""
    body = orjson.dumps({"error": {"code": code, "message": message, "hint": hint}})
    headers = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
    if status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    if scope["type"] == "websocket":
        await receive()  # websocket.connect
        if "websocket.http.response" not in scope.get("extensions", {}):
            await send({"type": "websocket.close", "code": REFUSED, "reason": message})
            return
        kind = "websocket.http.response"
    else:
        kind = "http.response"
        headers.append((b"content-length", b"%d" % len(body)))  # the answer to a handshake gets it from the server
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
