"""REST: snapshots and instrument metadata, bounded in size, time and rate. GET only, with the standard library, off the event loop."""

import asyncio
import contextlib
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from http.client import HTTPException

from alphapulse_cli import __version__
from alphapulse_cli.errors import ExchangeError, Refused, UsageError
from alphapulse_cli.shm import clock

MAX_BODY_BYTES = 64 << 20
TIMEOUT_S = 10.0
LONGEST_RETRY_AFTER_S = 600.0
TOO_MANY_REQUESTS, BANNED, FORBIDDEN, LEGAL = 429, 418, 403, 451


@dataclass(slots=True)
class Fetcher:
    """GETs below one REST address, within the exchange's weight per minute."""

    base_url: str
    weight_per_minute: int
    _ready_ns: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        if not self.base_url.startswith(("http://", "https://")):
            raise UsageError(f"not a REST address: {self.base_url[:200]!r}", "write http://host:port or https://…")

    async def get(self, path: str, weight: int = 1) -> bytes:
        """The body. ExchangeError for anything but a 200; Refused where trying again cannot help."""
        # Each request pays its share of the minute before the next may start; one that costs a tenth of the budget waits 6 s.
        now = clock.monotonic_ns()
        start = max(now, self._ready_ns)
        self._ready_ns = start + weight * 60_000_000_000 // max(self.weight_per_minute, 1)
        if start > now:
            await asyncio.sleep((start - now) / 1e9)
        url = self.base_url.rstrip("/") + path
        try:
            return await asyncio.to_thread(_get, url)
        except urllib.error.HTTPError as error:
            with contextlib.closing(error):
                return self._refused(url, error)
        except (OSError, HTTPException, ValueError) as error:
            raise ExchangeError(f"cannot fetch {url[:200]}: {error}", "is the address right, and the network up?") from None

    def _refused(self, url: str, error: urllib.error.HTTPError) -> bytes:
        message = f"{url[:200]} answers {error.code}"
        if error.code in (TOO_MANY_REQUESTS, BANNED):
            pause_s = 60.0
            with contextlib.suppress(ValueError):
                pause_s = min(float(error.headers.get("Retry-After", "60")), LONGEST_RETRY_AFTER_S)
            self._ready_ns = max(self._ready_ns, clock.monotonic_ns() + int(pause_s * 1e9))
            raise ExchangeError(f"{message}: too many requests, waiting {pause_s:.0f} s") from None
        if error.code in (FORBIDDEN, LEGAL):
            raise Refused(f"{message}: the exchange refuses this address", "it may not serve your region") from None
        raise ExchangeError(message) from None


def _get(url: str) -> bytes:
    request = urllib.request.Request(url, headers={"User-Agent": f"alphapulse/{__version__}", "Accept": "application/json"})  # noqa: S310  # http(s) is checked
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
        body: bytes = answer.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise ValueError(f"an answer of more than {MAX_BODY_BYTES >> 20} MiB")
    return body
