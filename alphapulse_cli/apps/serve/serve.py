"""Server process: one loop with the source of the rings, the WebSocket server and the REST server, from its start to a graceful stop.

    rings ─► Source ─► StreamServer ─► WebSocket clients on `port`
                  └──► REST app (uvicorn) on `http_port`, metrics

It is a reader of the rings like any other: nothing that a client does reaches a collector. A stop tells every WebSocket client 1012 (the
service restarts), lets requests that are being answered end within STOP_WITHIN_S, and frees the ports.
"""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from alphapulse_cli.apps.serve.opportunities import Opportunities
from alphapulse_cli.apps.serve.source import Source
from alphapulse_cli.apps.serve.state import ServePlan, ServeState
from alphapulse_cli.apps.serve.stream import StreamServer
from alphapulse_cli.edges.columns.extras import require
from alphapulse_cli.errors import AlphapulseError, UsageError
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory

STOP_WITHIN_S = 5.0
MESSAGE_BYTES = 16 << 10  # of a WebSocket client of the REST port, as of the other
MODULES = ("fastapi", "uvicorn", "msgpack", "prometheus_client", "fastapi_offline")

MakeApp = Callable[[ServeState], Any]  # an ASGI application


def require_extra() -> None:
    """Import what the server needs. UsageError, with the installation's command, where it is absent."""
    for module in MODULES:
        require(module, "serve", "serve")


class Serving:
    """The running server, from `start` to `stop`. NoSegment if `needed` and nothing wanted is there."""

    def __init__(
        self,
        plan: ServePlan,
        directory: Directory,
        wanted: Wanted,
        *,
        how: str = "wake",
        needed: bool = False,
        store: Path | None = None,
        make_app: MakeApp | None = None,
    ) -> None:
        source = Source(directory, wanted, how, needed=needed)
        self.state = ServeState(directory, wanted, source, plan, clock.realtime_ns())
        self._streams = StreamServer(self.state, Opportunities(directory, store))
        self._make_app = make_app
        self._rest: Any = None
        self._tasks: list[asyncio.Task[None]] = []
        self._is_open = False

    async def start(self) -> None:
        """Listen on both ports, and begin to read the rings. UsageError for a port that cannot be had."""
        plan, state = self.state.plan, self.state
        rest = None if self._make_app is None else _bound("REST", plan.host, plan.http_port, "--http-port")
        try:
            await self._streams.open()
        except BaseException:
            if rest is not None:
                rest.close()
            raise
        self._is_open = True
        if rest is not None:
            assert self._make_app is not None
            state.http_port = rest.getsockname()[1]
            self._rest = _uvicorn(self._make_app(state))
            self._tasks.append(asyncio.create_task(self._rest.serve([rest])))
        self._tasks.append(asyncio.create_task(state.source.run()))

    async def run(self) -> None:
        """Serve until cancelled; AlphapulseError if a part of the server ends by itself."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
        raise AlphapulseError("a part of the server ended unexpectedly", "its last messages are above")

    async def stop(self) -> None:
        """End gracefully."""
        self.state.is_stopping = True
        if self._rest is not None:
            self._rest.should_exit = True
        if self._is_open:
            await self._streams.close()
        if self._tasks:
            *rest, source = self._tasks
            source.cancel()
            await asyncio.wait(self._tasks, timeout=2 * STOP_WITHIN_S)
            for task in rest:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self.state.source.close()


def _bound(what: str, host: str, port: int, option: str) -> socket.socket:
    """Listening socket. UsageError for a port that cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        made = socket.create_server((host, port), family=family, backlog=128)
        # asyncio sets it for sockets that it makes itself; without it the body of each answer waits 40 ms for a delayed ACK
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made  # noqa: TRY300
    except OSError as error:
        raise UsageError(
            f"no {what} server on {host}:{port}: {error.strerror or error}", f"port 0 takes any free one: {option} 0"
        ) from error


def _uvicorn(app: Any) -> Any:
    """Make a server that leaves signals and the log to the program."""
    uvicorn = require("uvicorn", "serve", "serve")

    class Server(uvicorn.Server):  # type: ignore[misc, name-defined]
        @contextlib.contextmanager
        def capture_signals(self) -> Iterator[None]:
            """Leave the signals alone."""
            yield

    return Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=int(STOP_WITHIN_S),
            ws="websockets-sansio",
            ws_max_size=MESSAGE_BYTES,
            ws_per_message_deflate=False,
        )
    )
