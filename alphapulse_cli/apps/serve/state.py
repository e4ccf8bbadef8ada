"""State that the parts of the server share: settings, limits, counts of clients, and the source of the rings."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from alphapulse_cli.apps.serve.source import Source
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm.directory import Directory

HOST, PORT, HTTP_PORT = "127.0.0.1", 8765, 8080


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what clients may do; beyond each a client is told, and closed or refused."""

    clients: int = 1000
    clients_per_address: int = 100
    queue_bytes: int = 1 << 20  # outstanding for one client, its snapshot in flight not counted
    message_bytes: int = 16 << 10  # of a client's message
    messages_per_s: float = 20.0  # of a client, on average
    messages_at_once: int = 100
    subscriptions: int = 200  # of a client


@dataclass(frozen=True, slots=True)
class ServePlan:
    """Settings of the server. `token` is never shown; "" lets everybody in."""

    host: str = HOST
    port: int = PORT  # of WebSocket clients; 0: any free one
    http_port: int = HTTP_PORT
    token: str = field(default="", repr=False)
    heartbeat_s: float = 15.0
    limits: Limits = field(default_factory=Limits)
    origins: tuple[str, ...] = ()  # of other sites whose pages may read the REST side (CORS)
    history: str = ""  # folder of a dataset or captures, "" for none
    metrics_bind: str = ""  # host:port on which metrics need no token; "" for none
    compress: bool = False  # permessage-deflate for WebSocket clients that ask for it


class ClientFigures(NamedTuple):
    """Figures of one WebSocket client, since it came. `number` counts the clients of the server."""

    number: int
    address: str
    encoding: str
    bytes_sent: int
    bytes_received: int
    queue_bytes: int  # now


@dataclass(slots=True)
class ClientCounts:
    """Counts of the WebSocket side since the start; each exists at 0."""

    accepted: int = 0
    connected: int = 0  # now
    refused: Counter[str] = field(default_factory=Counter)  # by reason: "full", "address", "unauthorized"
    closed: Counter[int] = field(default_factory=Counter)  # by the close code that we sent
    slow: int = 0  # closed with 1013, their queue was full
    messages_sent: int = 0
    bytes_sent: int = 0  # handed to the system, framing included
    writes: int = 0
    messages_received: int = 0
    bytes_received: int = 0
    conflated: int = 0  # updates of bbo, book:N and stats replaced by newer ones for a slow client
    snapshots: int = 0
    resumes: int = 0
    queue_bytes: Callable[[], int] = lambda: 0  # outstanding for all clients, now
    each: Callable[[], Iterable[ClientFigures]] = lambda: ()  # of the clients now


class Scraped(Protocol):
    """Metrics of the server, as Prometheus reads them."""

    async def text(self) -> str:
        """Text of one scrape."""


class ClientServer(Protocol):
    """Server of WebSocket clients, whichever port they came by."""

    def refusal(self, address: str, headers: Any) -> tuple[int, str, str] | None:
        """Status, code and words for a client that may not connect; None for one that may."""

    async def serve_client(self, websocket: Any) -> None:
        """Serve one client to its end."""


@dataclass(slots=True)
class ServeState:
    """All that the parts of the server share."""

    directory: Directory
    wanted: Wanted
    source: Source
    plan: ServePlan
    started_ns: int  # CLOCK_REALTIME
    clients: ClientCounts = field(default_factory=ClientCounts)
    # called after each batch that was written to clients: CLOCK_MONOTONIC in ns of the poll, of the write to the last client
    on_broadcast: list[Callable[[int, int], None]] = field(default_factory=list)
    port: int = 0  # that is listened on
    http_port: int = 0
    metrics_port: int = 0
    is_stopping: bool = False
    metrics: Scraped | None = None  # made with the REST side
    streams: ClientServer | None = None  # the WebSocket side, once it was made
    store: Path | None = None  # file of the opportunities that `arb watch` keeps; None for the user's own

    @property
    def is_ready(self) -> bool:
        """Whether any set is read and its books are whole."""
        books = self.source.books
        return not self.is_stopping and bool(books) and all(map(self.source.is_whole, books))
