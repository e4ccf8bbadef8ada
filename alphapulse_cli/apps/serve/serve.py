"""Server process: one loop with the source of the rings, the WebSocket server and the REST server, from its start to a graceful stop.

    rings ─► Source ─► StreamServer ─► WebSocket clients on `port`
                  └──► REST app (uvicorn) on `http_port`, metrics

It is a reader of the rings like any other: nothing that a client does reaches a collector. A stop tells every WebSocket client 1012 (the
service restarts), lets requests that are being answered end within STOP_WITHIN_S, and frees the ports.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from alphapulse_cli.apps.serve.gate import BACKLOG, CUT_OFF_AFTER_S, HALF_OPEN, FrameRate, Gate, allow_files
from alphapulse_cli.apps.serve.messages import CloseCode
from alphapulse_cli.apps.serve.opportunities import Opportunities
from alphapulse_cli.apps.serve.ports import bound, host_and_port
from alphapulse_cli.apps.serve.source import Source
from alphapulse_cli.apps.serve.state import ServePlan, ServeState
from alphapulse_cli.apps.serve.stream import StreamServer
from alphapulse_cli.edges.columns.extras import require
from alphapulse_cli.errors import AlphapulseError
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory

LOGGER = logging.getLogger("alphapulse.serve")
STOP_WITHIN_S = 5.0
REQUEST_WITHIN_S = 10.0  # that a connection of the REST side has for a request
REQUESTS_AT_ONCE = 256  # on the REST port, beside its WebSocket clients
MODULES = ("fastapi", "uvicorn", "msgpack", "prometheus_client", "fastapi_offline")

MakeApp = Callable[[ServeState], Any]  # an ASGI application of the state


def require_extra() -> None:
    """Import what the server needs. UsageError, with the installation's command, where it is absent."""
    for module in MODULES:
        require(module, "serve", "serve")


class Serving:
    """The running server, from `start` to `stop`. NoSegment if `needed` and nothing wanted is there.

    Without `make_app`, which is `rest.make_app`, there is no REST side.
    """

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
        self.state = ServeState(directory, wanted, source, plan, clock.realtime_ns(), store=store)
        self.streams = StreamServer(self.state, Opportunities(directory, store))
        self._make_app = make_app
        self._web: list[Any] = []  # uvicorn's servers
        self._tasks: list[asyncio.Task[None]] = []
        self._is_open = False

    async def start(self) -> None:
        """Listen on all ports, and begin to read the rings. UsageError for a port that cannot be had."""
        plan, state = self.state.plan, self.state
        most = 2 * (plan.limits.clients + REQUESTS_AT_ONCE)
        if (files := allow_files(most)) < most:
            LOGGER.warning(
                "at most %d files may be open: not enough for %d clients; ulimit -n %d", files, plan.limits.clients, 2 * most
            )
        with contextlib.ExitStack() as opened:
            apps: list[tuple[socket.socket, Any]] = []
            if self._make_app is not None:
                from alphapulse_cli.apps.serve import scraping

                listening = opened.enter_context(bound("REST", plan.host, plan.http_port, "--http-port"))
                apps.append((listening, self._make_app(state)))
                state.http_port = listening.getsockname()[1]
                if plan.metrics_bind and state.metrics is not None:
                    host, port = host_and_port(plan.metrics_bind)
                    listening = opened.enter_context(bound("metrics", host, port, "--metrics-bind"))
                    apps.append((listening, scraping.alone(state.metrics)))
                    state.metrics_port = listening.getsockname()[1]
            await self.streams.open()
            opened.pop_all()
        self._is_open = True
        self._web = [_uvicorn(app, plan) for _, app in apps]
        self._tasks = [
            asyncio.create_task(server.serve([listening])) for server, (listening, _) in zip(self._web, apps, strict=True)
        ]
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
        for server in self._web:
            server.should_exit = True
        if self._is_open:
            await self.streams.close()
        if self._tasks:
            self._tasks[-1].cancel()
            await asyncio.wait(self._tasks, timeout=2 * STOP_WITHIN_S)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
        self.state.source.close()


def _http_protocol(most: int) -> Any:
    """Protocol of uvicorn with a bound on connections, and on those without a request, which are bounded in time, too.

    Its own bound answers 503 to a request, and so holds for connections with a request alone.
    """
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    gate = Gate()

    class Protocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self.seen: Any = None
            gate.enter(self)
            if len(self.connections) > most + HALF_OPEN:
                transport.abort()
            self.waits = self.loop.call_later(REQUEST_WITHIN_S, self.look)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.cycle is not None or self.transport.get_protocol() is not self:
                gate.leave(self)

        def connection_lost(self, exc: Exception | None) -> None:
            self.waits.cancel()
            gate.leave(self)
            super().connection_lost(exc)

        def look(self) -> None:
            """Cut the connection off if it made no request since the last look."""
            if self.transport.is_closing() or self.transport.get_protocol() is not self:
                return
            if self.cycle is self.seen and (self.cycle is None or self.cycle.response_complete):
                self.transport.abort()
                return
            self.seen = self.cycle
            self.waits = self.loop.call_later(REQUEST_WITHIN_S, self.look)

    return Protocol


def _websocket_protocol() -> Any:
    """Protocol of uvicorn for WebSocket clients with the bound on frames that the other port has. Its own has none."""
    from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

    class Protocol(WebSocketsSansIOProtocol):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            self.rate = FrameRate()

        def handle_events(self) -> None:
            if self.rate.allows(self.loop.time(), len(self.conn.events)):
                super().handle_events()
                return
            if self.close_sent:
                self.transport.abort()
                return
            # tell the client, read nothing more of what it sends, and cut it off soon
            self.conn.events.clear()
            self.conn.fail(CloseCode.POLICY, FrameRate.WORDS)
            self.queue.put_nowait({"type": "websocket.disconnect", "code": int(CloseCode.POLICY), "reason": FrameRate.WORDS})
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
            self.transport.resume_reading()
            self.loop.call_later(CUT_OFF_AFTER_S, self.transport.abort)

    return Protocol


def _uvicorn(app: Any, plan: ServePlan) -> Any:
    """Make a server that leaves signals and the log to the program. Beyond its most connections it answers 503."""
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
            ws=_websocket_protocol(),
            ws_max_size=plan.limits.message_bytes,
            ws_ping_interval=plan.heartbeat_s,
            ws_ping_timeout=2 * plan.heartbeat_s,
            http=_http_protocol(plan.limits.clients + REQUESTS_AT_ONCE),
            backlog=BACKLOG,
            limit_concurrency=plan.limits.clients + REQUESTS_AT_ONCE,
            ws_per_message_deflate=False,
        )
    )
