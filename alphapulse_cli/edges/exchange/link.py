"""The words that a WebSocket connection and whoever uses it share: what a link can do, its bounds, and what goes wrong.

A *link* is one connection. It hands every frame to `on_frame(frame, receive_ns)`, text frames as the bytes they came in; `closed` says
why it ended. `receive_ns` is the earliest that the library lets us see; `on_frame` runs in the event loop, and nothing more is read
while it works: TCP makes the exchange wait. No link keeps the loop from the heartbeat for more than FRAMES_PER_TURN frames.

Errors are the same, in the same words, whichever library they come from.
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
        """Send a protocol ping and wait for its pong. ExchangeError if the connection goes before."""

    async def closed(self) -> str:
        """Wait until the connection has ended; why, in one line. What `on_frame` raised is raised here."""

    async def close(self) -> None:
        """Close it, politely, within seconds. From the first step of it on no frame arrives."""


def check_address(url: str) -> SplitResult:
    """Split a WebSocket address. UsageError for what is no ws:// or wss:// address."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("ws", "wss") and not parts.fragment and parts.port != 0  # a port may raise, too
        usable = usable and bool((parts.hostname or "").encode("idna"))
    except ValueError:  # a port, or a host name, that cannot be one
        usable = False
    if not usable:
        raise UsageError(f"not a WebSocket address: {url[:200]!r}", "write ws://host:port/path or wss://…")
    return parts


# What goes wrong, in the same words whichever library it goes wrong in; the other side's text is hostile: cut, on one line.


def no_answer(url: str, timeout_s: float) -> ExchangeError:
    """ExchangeError for a connection that did not stand in time."""
    return ExchangeError(f"no connection to {url[:200]} within {timeout_s:g} s")


def answers(url: str, status: int, headers: retry_after.Headers = ()) -> ExchangeError:
    """HTTP, and no WebSocket: Refused where it will be the same next time, else with the pause that the exchange asks for."""
    refused = refusal(url, status)
    if refused is not None:
        return refused
    pause_s = retry_after.asked_pause_s(headers)
    asks = "" if pause_s is None else f"; it asks to be left alone until {retry_after.end_of(pause_s)}"
    many = ": too many connections" if status in TOO_MANY else ""
    return ExchangeError(f"no WebSocket at {url[:200]}: it answers {status}{many}{asks}", "is the address right?", pause_s)


def refusal(url: str, status: int) -> Refused | None:
    """HTTP statuses that trying again cannot change, in REST as at a handshake; None for the others."""
    if status in REFUSING:
        return Refused(f"{url[:200]} answers {status}: the exchange refuses this address", "it may not serve your region")
    if status == NOT_FOUND:
        return Refused(f"{url[:200]} answers {status}: there is nothing at this path", "is the address right?")
    return None


def cannot_connect(url: str, error: Exception) -> ExchangeError:
    """ExchangeError for any other failure to connect; Refused for a certificate that is not to be trusted."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return untrusted(url, error)
    if isinstance(error, ConnectionError) and error.errno:
        reason = os.strerror(error.errno).lower()
    else:
        reason = " ".join(str(getattr(error, "strerror", None) or error or type(error).__name__).split())
    return ExchangeError(f"cannot connect to {url[:200]}: {reason[:200]}", "is the address right, and the network up?")


def untrusted(url: str, error: ssl.SSLCertVerificationError) -> Refused:
    """A certificate that does not prove who is there."""
    reason = " ".join(str(error.verify_message or error).split())
    return Refused(
        f"{url[:200]}: its certificate is not to be trusted: {reason[:200]}",
        "is the clock right? a proxy that opens TLS needs its own certificate in SSL_CERT_FILE",
    )


def closed_by_exchange(code: int, reason: str) -> str:
    """Reason text of a connection that the exchange closed."""
    return f"closed by the exchange, code {code} {reason[:80]}".rstrip()


def closed_by_us(code: int) -> str:
    """Reason text of a connection that we closed, where the other side did not answer."""
    return f"closed by us, code {code}"


CUT = "connection lost"
