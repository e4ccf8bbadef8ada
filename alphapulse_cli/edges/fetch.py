"""REST: snapshots and instrument metadata, bounded in size, time and rate. GET only, with the standard library, off the event loop.

Each GET runs in a daemon thread of its own: a host that never answers holds up neither the loop nor the end of the process.
"""

import asyncio
import contextlib
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field
from http.client import HTTPException
from urllib.parse import urlsplit

from alphapulse_cli import __version__
from alphapulse_cli.edges import retry_after, transport
from alphapulse_cli.edges.budget import Budget
from alphapulse_cli.edges.loopback import is_loopback
from alphapulse_cli.errors import ExchangeError, UsageError
from alphapulse_cli.shm import clock

MAX_BODY_BYTES = 64 << 20
TIMEOUT_S = 10.0  # without a byte
WHOLE_TIMEOUT_S = 60.0  # for all of it, however it trickles
CHUNK_BYTES = 1 << 18
BUDGET_SPAN_S = 30.0  # half of a minute's weight in any half minute: so much may go at once
RETRY_AFTER_S = 60.0  # of an answer that says "too many" and not for how long
MOST_AT_ONCE = 8  # GETs under way

Get = Callable[[str], bytes]


@dataclass(slots=True)
class Fetcher:
    """GETs below one REST address, within the exchange's weight per minute. UsageError for what is no http:// or https:// address."""

    base_url: str
    weight_per_minute: int
    timeout_s: float = TIMEOUT_S
    whole_timeout_s: float = WHOLE_TIMEOUT_S
    max_body_bytes: int = MAX_BODY_BYTES
    _budget: Budget = field(init=False)
    _at_once: asyncio.Semaphore = field(init=False)

    def __post_init__(self) -> None:
        try:
            parts = urlsplit(self.base_url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0  # a port may raise, too
        except ValueError:
            usable = False
        if not usable:
            raise UsageError(f"not a REST address: {self.base_url[:200]!r}", "write http://host:port or https://…")
        self._budget = Budget(self.weight_per_minute // 2, BUDGET_SPAN_S)
        self._at_once = asyncio.Semaphore(MOST_AT_ONCE)

    async def get(self, path: str, weight: int = 1) -> bytes:
        """The body. ExchangeError for anything but a 200; Refused where trying again cannot help."""
        pause_s = self._budget.reserve(clock.monotonic_ns(), weight)
        if pause_s > 0:
            await asyncio.sleep(pause_s)
        url = self.base_url.rstrip("/") + path
        async with self._at_once:
            try:
                return await _in_thread(self._get, url)
            except urllib.error.HTTPError as error:
                with contextlib.closing(error):
                    raise self._refusal(url, error) from None
            except (OSError, HTTPException, ValueError) as error:
                inner = getattr(error, "reason", error)
                if isinstance(inner, ssl.SSLCertVerificationError):
                    raise transport.untrusted(url, inner) from None
                raise ExchangeError(
                    f"cannot fetch {url[:200]}: {_reason(error)}", "is the address right, and the network up?"
                ) from None

    def _refusal(self, url: str, error: urllib.error.HTTPError) -> ExchangeError:
        refused = transport.refusal(url, error.code)
        if refused is not None:
            return refused
        message, pause_s = f"{url[:200]} answers {error.code}", retry_after.asked_pause_s(error.headers.items())
        if error.code in transport.TOO_MANY:
            message += ": too many requests"
            pause_s = RETRY_AFTER_S if pause_s is None else pause_s
        if pause_s is None:
            return ExchangeError(message)
        self._budget.pause(clock.monotonic_ns() + int(pause_s * 1e9))
        return ExchangeError(f"{message}; nothing is asked before {retry_after.end_of(pause_s)}", retry_after_s=pause_s)

    def _get(self, url: str) -> bytes:
        headers = {"User-Agent": f"alphapulse/{__version__}", "Accept": "application/json"}
        request = urllib.request.Request(url, headers=headers)  # noqa: S310  # http(s) is checked
        give_up_at = time.monotonic() + self.whole_timeout_s
        body = bytearray()
        # The environment's proxies are for the world outside: this machine is reached without one.
        proxies = urllib.request.ProxyHandler({} if is_loopback(url) else None)
        with urllib.request.build_opener(proxies).open(request, timeout=self.timeout_s) as answer:
            length = answer.length  # None where the answer does not say
            while chunk := answer.read1(CHUNK_BYTES):
                body += chunk
                if len(body) > self.max_body_bytes:
                    raise ValueError(f"an answer of more than {self.max_body_bytes} bytes")
                if time.monotonic() > give_up_at:
                    raise TimeoutError(f"no whole answer within {self.whole_timeout_s:.0f} s")
        if length is not None and len(body) < length:
            raise ValueError(f"an answer cut short after {len(body)} of {length} bytes")
        return bytes(body)


def _reason(error: Exception) -> str:
    """What went wrong, in one line without Python's brackets; the other side's text may be in it: hostile."""
    inner = getattr(error, "reason", error)
    if isinstance(inner, TimeoutError) and not str(inner).startswith("no whole"):
        return "no answer in time"
    return " ".join(str(getattr(inner, "strerror", None) or inner or type(inner).__name__).split())[:200]


async def _in_thread(get: Get, url: str) -> bytes:
    """`get(url)` in a daemon thread; cancelled, the thread is left to its timeout."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[bytes] = loop.create_future()

    def settle(body: bytes | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is not None:
            answer.set_exception(error)
        elif body is not None:
            answer.set_result(body)

    def run() -> None:
        body: bytes | None = None
        failed: Exception | None = None
        try:
            body = get(url)
        except Exception as error:  # noqa: BLE001 - it is raised where it is awaited
            failed = error
        with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits any more
            loop.call_soon_threadsafe(settle, body, failed)

    threading.Thread(target=run, daemon=True, name="alphapulse-fetch").start()
    return await answer
