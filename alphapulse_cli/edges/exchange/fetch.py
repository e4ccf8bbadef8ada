"""REST client for snapshots and instrument metadata: GET only, bounded in size, time and rate, with the standard library.

Each GET runs in its own daemon thread: a host that never answers delays neither the event loop nor the process's exit.
"""

import asyncio
import contextlib
import socket
import ssl
import time
import urllib.error
import urllib.request
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from alphapulse_cli import __version__
from alphapulse_cli.edges import background
from alphapulse_cli.edges.exchange import dial, proxies, retry_after
from alphapulse_cli.edges.exchange.link import TOO_MANY, refusal, untrusted
from alphapulse_cli.edges.exchange.rate_limit import RateLimit
from alphapulse_cli.errors import ExchangeError, UsageError
from alphapulse_cli.exchanges.protocol import Rate, joined
from alphapulse_cli.shm import clock

MAX_BODY_BYTES = 64 << 20
TIMEOUT_S = 10.0  # without a byte
WHOLE_TIMEOUT_S = 60.0  # for the whole answer, however slowly it arrives
CHUNK_BYTES = 1 << 18
RETRY_AFTER_S = 60.0  # pause after a "too many requests" without a Retry-After
USUAL_WEIGHT = Rate.within(60, 60.0, burst=30)
MOST_AT_ONCE = 8  # concurrent GETs
FAILING = 300  # first status that urllib raises as an error

MOST_OF_A_REFUSAL = 1 << 16  # bytes read of the body of a failing answer, and the longest time for it
REFUSAL_S = 2.0

Connect = Callable[..., socket.socket]


class Answer(NamedTuple):
    """Answer to a GET: with `error`, the reason, if it is not taken; with status 0 if there was none."""

    path: str
    status: int
    headers: Sequence[tuple[str, str]]
    body: bytes  # without its Content-Encoding
    receive_ns: int  # CLOCK_REALTIME when the event loop had it
    error: str = ""


OnAnswer = Callable[[Answer], None]


@dataclass(slots=True)
class Fetcher:
    """GET client of one REST address, within the exchange's limit of request weight.

    `on_answer` hears of every answer, in the event loop's turn in which `get` returns it, unless `get` is given another listener.
    UsageError for other than http:// or https://.
    """

    base_url: str
    limit: RateLimit = field(default_factory=lambda: RateLimit(USUAL_WEIGHT))
    timeout_s: float = TIMEOUT_S
    whole_timeout_s: float = WHOLE_TIMEOUT_S
    max_body_bytes: int = MAX_BODY_BYTES
    on_answer: OnAnswer | None = None
    _at_once: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base_url)
            usable = (
                parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
            )  # .port raises for an invalid port
        except ValueError:
            usable = False
        if not usable:
            raise UsageError(f"not a REST address: {self.base_url[:200]!r}", "write http://host:port or https://…")
        self._at_once = asyncio.Semaphore(MOST_AT_ONCE)

    async def get(self, path: str, weight: int = 1, on_answer: OnAnswer | None = None) -> bytes:
        """Fetch the body of `path`, once the limit allows its `weight`.

        ExchangeError for any failure; Refused if a retry cannot help.
        """
        pause_s = self.limit.reserve(clock.monotonic_ns(), weight)
        if pause_s > 0:
            await asyncio.sleep(pause_s)
        url = self.base_url.rstrip("/") + path
        listener = on_answer or self.on_answer
        async with self._at_once:
            try:
                answer = await background.call(self._get, url, listener is not None)
            except (OSError, HTTPException, ValueError) as error:
                failure = _failure(url, error)
                if listener is not None:
                    listener(Answer(path, 0, (), b"", clock.realtime_ns(), str(failure)))
                raise failure from None
        failed: ExchangeError | None = None
        if answer.status >= FAILING:
            failed = self._refusal(url, answer)
        elif answer.error:
            failed = _failure(url, ValueError(answer.error))
        if listener is not None:
            error_text = str(failed) if failed is not None else ""
            listener(answer._replace(path=path, receive_ns=clock.realtime_ns(), error=error_text))
        if failed is not None:
            raise failed
        return answer.body

    def _refusal(self, url: str, answer: Answer) -> ExchangeError:
        refused = refusal(url, answer.status)
        if refused is not None:
            return refused
        message, pause_s = f"{url[:200]} answers {answer.status}", retry_after.asked_pause_s(answer.headers)
        if answer.status in TOO_MANY:
            message += ": too many requests"
            pause_s = RETRY_AFTER_S if pause_s is None else pause_s
        if pause_s is None:
            return ExchangeError(message)
        self.limit.pause(clock.monotonic_ns() + int(pause_s * 1e9))
        return ExchangeError(f"{message}; next request not before {retry_after.end_of(pause_s)}", retry_after_s=pause_s)

    def _get(self, url: str, with_refusals: bool) -> Answer:
        """Answer to a GET, with a reason if its body is not to be taken.

        OSError, HTTPException or ValueError if there is no whole one. The body of a failing answer is read only `with_refusals`.
        """
        headers = {"User-Agent": f"alphapulse/{__version__}", "Accept": "application/json"}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  # http(s) is checked
        give_up_at = time.monotonic() + self.whole_timeout_s
        body = bytearray()
        try:
            answer = _opener(url).open(request, timeout=self.timeout_s)
        except urllib.error.HTTPError as error:
            with contextlib.closing(error):
                return Answer("", error.code, error.headers.items(), _beginning(error) if with_refusals else b"", 0)
        with answer:
            length = answer.length  # None if the answer does not state it
            while chunk := answer.read1(CHUNK_BYTES):
                body += chunk
                if len(body) > self.max_body_bytes:
                    raise ValueError(_too_long(self.max_body_bytes))
                if time.monotonic() > give_up_at:
                    raise TimeoutError(f"no whole answer within {self.whole_timeout_s:.0f} s")
        found = Answer("", answer.status, answer.headers.items(), bytes(body), 0)
        if length is not None and len(body) < length:
            return found._replace(error=f"an answer cut short after {len(body)} of {length} bytes")
        try:
            found = found._replace(body=unpacked(found.body, answer.headers.get("Content-Encoding", ""), self.max_body_bytes))
        except ValueError as error:
            return found._replace(error=str(error))
        is_page = found.body.lstrip()[:1] == b"<"
        return found._replace(error="the answer is HTML, not JSON: perhaps a login page or a block") if is_page else found


def _beginning(refusal: urllib.error.HTTPError) -> bytes:
    """First bytes of a failing answer's body, as far as they arrive soon."""
    until, body = time.monotonic() + REFUSAL_S, b""
    with contextlib.suppress(OSError, HTTPException, ValueError, AttributeError):  # a refusal need not have a body
        while len(body) < MOST_OF_A_REFUSAL and time.monotonic() < until:
            chunk = refusal.read1(MOST_OF_A_REFUSAL - len(body))
            if not chunk:
                break
            body += chunk
    return body


def _failure(url: str, error: Exception) -> ExchangeError:
    """Error of a GET without a usable answer."""
    inner = getattr(error, "reason", error)
    if isinstance(inner, ssl.SSLCertVerificationError):
        return untrusted(url, inner)
    return ExchangeError(f"cannot fetch {url[:200]}: {_reason(error)}", "is the address right, and the network up?")


async def fetch_metadata(fetcher: Fetcher, paths: Sequence[str], weight: int, on_answer: OnAnswer | None = None) -> bytes:
    """Fetch the instrument metadata of these paths, one after the other: returns the body for `parse_instruments`.

    ExchangeError as from `Fetcher.get`: of all, or not at all.
    """
    listener = [] if on_answer is None else [on_answer]
    return joined([await fetcher.get(path, weight, *listener) for path in paths])


def unpacked(body: bytes, encoding: str, max_bytes: int) -> bytes:
    """Undo the Content-Encoding of a body: some servers and proxies compress without a request.

    ValueError for an unknown encoding, for data that cannot be decompressed, and for more than `max_bytes`.
    """
    for name in reversed([word.strip().lower() for word in encoding.split(",")]):
        if name in ("", "identity"):
            continue
        if name not in ("gzip", "x-gzip", "deflate"):
            raise ValueError(f"an answer in an unknown Content-Encoding: {name[:40]}")
        body = _inflated(body, max_bytes)
    return body


def _inflated(body: bytes, max_bytes: int) -> bytes:
    """Decompress gzip (also of several members), zlib, or raw deflate, which some servers send as "deflate"."""
    is_wrapped = body[:2] == b"\x1f\x8b" or (
        len(body) > 1 and body[0] & 0x0F == zlib.DEFLATED and int.from_bytes(body[:2], "big") % 31 == 0
    )
    whole = bytearray()
    try:
        while body:
            inflater = zlib.decompressobj(zlib.MAX_WBITS | 32 if is_wrapped else -zlib.MAX_WBITS)
            whole += inflater.decompress(body, max_bytes + 1 - len(whole))
            if len(whole) > max_bytes:
                raise ValueError(_too_long(max_bytes))
            if not inflater.eof:
                raise ValueError("a compressed answer cut short")
            body = inflater.unused_data
    except zlib.error:
        raise ValueError("an answer that cannot be decompressed") from None
    return bytes(whole)


def _too_long(max_bytes: int) -> str:
    return f"an answer of more than {max_bytes} bytes"


def _opener(url: str) -> urllib.request.OpenerDirector:
    """Make an opener for this address, through the environment's proxy. UsageError for a proxy that cannot be used.

    Each of its connections tries all addresses of the host.
    """
    proxy = proxies.proxy_of(url) or ""
    if proxy.startswith("https:"):
        raise UsageError(f"REST cannot use a proxy that itself speaks TLS: {proxies.hidden(proxy)}", "write http://host:port")
    is_socks = proxy.startswith("socks")
    through = {urlsplit(url).scheme: proxy} if proxy and not is_socks else {}
    connect = partial(proxies.socks_connection, proxy) if is_socks else dial.create_connection
    return urllib.request.build_opener(urllib.request.ProxyHandler(through), _Plain(connect), _Tls(connect))


class _Plain(urllib.request.HTTPHandler):
    """Handler of http:// over connections made by `connect`."""

    def __init__(self, connect: Connect) -> None:
        super().__init__()
        self._connect = connect

    def http_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(partial(_connection, HTTPConnection, self._connect), request)


class _Tls(urllib.request.HTTPSHandler):
    """Handler of https:// over connections made by `connect`."""

    def __init__(self, connect: Connect) -> None:
        super().__init__()
        self._connect = connect

    def https_open(self, request: urllib.request.Request) -> HTTPResponse:
        return self.do_open(partial(_connection, HTTPSConnection, self._connect), request)


def _connection(kind: type[HTTPConnection], connect: Connect, host: str, **options: Any) -> HTTPConnection:
    made = kind(host, **options)
    made._create_connection = connect  # type: ignore[attr-defined]  # noqa: SLF001 - http.client has no other place for it
    return made


def _reason(error: Exception) -> str:
    """Reason of a failure in one line, without Python's tuples; it may contain hostile text of the other side."""
    inner = getattr(error, "reason", error)
    if isinstance(inner, TimeoutError) and not str(inner).startswith("no whole"):
        return "no answer in time"
    return " ".join(str(getattr(inner, "strerror", None) or inner or type(inner).__name__).split())[:200]
