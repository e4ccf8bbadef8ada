"""Protocol of a WebSocket connection (`Link`): its methods, its bounds, and the errors that all libraries share.

A *link* is one connection. It passes every frame to `on_frame(frame, receive_ns)`, text frames as their bytes; `closed` returns why
it ended. `receive_ns`, in ns since 1970, is the earliest time that the library lets us see. `on_frame` runs in the event loop, and
no more is read while it runs: TCP makes the exchange wait. A link lets the event loop (heartbeat, watchdog) run after at most
FRAMES_PER_TURN frames.

Errors have the same text, whichever library they come from.
"""

import os
import ssl
from collections.abc import Callable
from typing import Protocol
from urllib.parse import SplitResult, urlsplit

from alphapulse_cli.edges.exchange import retry_after
from alphapulse_cli.errors import ExchangeError, Refused, UsageError

MAX_FRAME_BYTES = 64 << 20  # Coinbase's BTC-USD snapshot is 5 MB in one frame
OPEN_TIMEOUT_S = 10.0
CLOSE_TIMEOUT_S = 1.0
FRAMES_PER_TURN = 64
REFUSING, NOT_FOUND, TOO_MANY = (403, 451), 404, (418, 429)  # HTTP statuses

OnFrame = Callable[[bytes, int], None]


class Link(Protocol):
    """One WebSocket connection."""

    async def send(self, frame: bytes) -> None:
        """Send one text frame. ExchangeError if the connection is gone."""

    async def ping(self) -> None:
        """Send a protocol ping and wait for its pong. ExchangeError if the connection ends first."""

    async def closed(self) -> str:
        """Wait until the connection has ended; returns the reason, one line. Raises an exception that `on_frame` raised."""

    async def close(self) -> None:
        """Close the connection with a closing handshake, within seconds. No frame is passed on from its first step on."""


def check_address(url: str) -> SplitResult:
    """Split a WebSocket address. UsageError for other than a ws:// or wss:// address."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("ws", "wss") and not parts.fragment and parts.port != 0  # .port raises for an invalid port
        usable = usable and bool((parts.hostname or "").encode("idna"))
    except ValueError:  # an invalid port or host name
        usable = False
    if not usable:
        raise UsageError(f"not a WebSocket address: {url[:200]!r}", "write ws://host:port/path or wss://…")
    return parts


# Errors, with the same text for every library. Text of the other side is hostile: it is cut and kept on one line.


def no_answer(url: str, timeout_s: float) -> ExchangeError:
    """ExchangeError for a connection that was not established in time."""
    return ExchangeError(f"no connection to {url[:200]} within {timeout_s:g} s")


def answers(url: str, status: int, headers: retry_after.Headers = ()) -> ExchangeError:
    """Error for an HTTP answer instead of a WebSocket: Refused if a retry cannot help, else with the pause that is asked for."""
    refused = refusal(url, status)
    if refused is not None:
        return refused
    pause_s = retry_after.asked_pause_s(headers)
    asks = "" if pause_s is None else f"; it asks for a pause until {retry_after.end_of(pause_s)}"
    many = ": too many connections" if status in TOO_MANY else ""
    return ExchangeError(f"no WebSocket at {url[:200]}: it answers {status}{many}{asks}", "is the address right?", pause_s)


def refusal(url: str, status: int) -> Refused | None:
    """Refused for an HTTP status that a retry cannot change (403, 404, 451), in REST and at a handshake; None for others."""
    if status in REFUSING:
        return Refused(f"{url[:200]} answers {status}: the exchange refuses this address", "it may not serve your region")
    if status == NOT_FOUND:
        return Refused(f"{url[:200]} answers {status}: there is nothing at this path", "is the address right?")
    return None


def cannot_connect(url: str, error: Exception) -> ExchangeError:
    """ExchangeError for any other failure to connect; Refused for a certificate that cannot be verified."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return untrusted(url, error)
    if isinstance(error, ConnectionError) and error.errno:
        reason = os.strerror(error.errno).lower()
    else:
        reason = " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
    return ExchangeError(f"cannot connect to {url[:200]}: {reason[:200]}", "is the address right, and the network up?")


def untrusted(url: str, error: ssl.SSLCertVerificationError) -> Refused:
    """Refused for a certificate that cannot be verified."""
    reason = " ".join(str(error.verify_message or error).split())
    return Refused(
        f"{url[:200]}: its certificate cannot be verified: {reason[:200]}",
        "is the clock right? a proxy that opens TLS needs its own certificate in SSL_CERT_FILE",
    )


def closed_by_exchange(code: int, reason: str) -> str:
    """Reason text of a connection that the exchange closed."""
    return f"closed by the exchange, code {code} {reason[:80]}".rstrip()


def closed_by_us(code: int) -> str:
    """Reason text of a connection closed by this side."""
    return f"closed by us, code {code}"


CUT = "connection lost"
