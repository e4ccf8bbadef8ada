"""A recording played as the exchange: one port on loopback, WebSocket and REST, paced by events and not by the clock.

    timeline   frame · frame · answer · frame · …      in the order in which they were recorded
                 │               └─ waits until the client has asked for it, answers, goes on
                 └─ sent as fast as the client takes it

Nothing is played before the client has said something (its subscription) and the test has called `play`, so that readers can attach
first; at a `Pause` it has to call it again. After the last frame the connection stays open and pings are answered: the books stay LIVE until somebody ends them. A path of
`always` is answered at any time, each answer of the timeline once, everything else with 404. One client at a time: the first.

It runs in a thread of its own; leaving the `with` raises what went wrong in it.
"""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Self, cast

from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

LIMIT_S = 60.0  # for anything that is waited for
LAST_TURNS = 10  # of the loop, after the server: a connection that was only just accepted or closed is let go of in them


@dataclass(frozen=True)
class Frame:
    """The exchange sends it."""

    body: bytes


@dataclass(frozen=True)
class Answer:
    """The exchange answers a GET of `path`, query and all, at this point of the timeline and not before."""

    path: str
    body: bytes


@dataclass(frozen=True)
class Pause:
    """Nothing more is played until the test calls `play` again. An answer and the frames after it race for the client; here none does."""


Confirm = Callable[[bytes], Sequence[bytes]]  # what the client sent -> what the exchange says to it


@dataclass
class ReplayServer:
    """Plays `timeline` to the first client. `sent_count` frames were sent so far; `subscribed` and `played` are set once they are so."""

    timeline: Sequence[Frame | Answer | Pause]
    always: Mapping[str, bytes] = field(default_factory=dict)
    confirm: Confirm = lambda _: ()
    sent_count: int = 0
    heard: list[bytes] = field(default_factory=list)  # what the client sent
    refused: list[str] = field(default_factory=list)  # paths that were answered with 404
    port: int = 0

    def __post_init__(self) -> None:
        self.subscribed, self.played = threading.Event(), threading.Event()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="replay", daemon=True)

    @property
    def url(self) -> str:
        """The WebSocket address; REST is at the same host and port."""
        return f"ws://127.0.0.1:{self.port}"

    @property
    def frame_count(self) -> int:
        """How many frames there are to send."""
        return sum(isinstance(step, Frame) for step in self.timeline)

    def play(self) -> None:
        """Let the timeline begin, or go on after a pause."""
        self._loop.call_soon_threadsafe(self._go.release)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._ready.wait(LIMIT_S)
        self._raise()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(LIMIT_S)
        if kind is None:
            self._raise()

    def _raise(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as failure:  # noqa: BLE001  # raised again in the thread that waits
            self._failure = failure
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._go, self._spoken, self._stop = asyncio.Semaphore(0), asyncio.Event(), asyncio.Event()
        self._asked = {step.path: self._loop.create_future() for step in self.timeline if isinstance(step, Answer)}
        self._bodies = {path: self._loop.create_future() for path in self._asked}
        self._taken = False
        transports: set[asyncio.BaseTransport] = set()

        class Connection(ServerConnection):
            """One whose transport is known here, however far it came."""

            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                transports.add(transport)
                super().connection_made(transport)

        options: dict[str, Any] = {
            "create_connection": Connection,
            "compression": None,
            "ping_interval": None,
            "open_timeout": LIMIT_S,
            "close_timeout": 1,
        }
        async with serve(self._on_client, "127.0.0.1", 0, process_request=self._on_request, **options) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self._ready.set()
            await self._stop.wait()
        for turn in range(2 * LAST_TURNS):
            if turn == LAST_TURNS:
                for transport in transports:
                    cast(asyncio.WriteTransport, transport).abort()
            await asyncio.sleep(0)

    async def _on_request(self, _: ServerConnection, request: Request) -> Response | None:
        if "upgrade" in request.headers:
            return None
        body = await self._body_of(request.path)
        status = HTTPStatus.OK if body is not None else HTTPStatus.NOT_FOUND
        headers = Headers({"Content-Type": "application/json", "Content-Length": str(len(body or b"")), "Connection": "close"})
        return Response(status, status.phrase, headers, body or b"")

    async def _body_of(self, path: str) -> bytes | None:
        if path in self.always:
            return self.always[path]
        asked = self._asked.get(path)
        if asked is None or asked.done():
            self.refused.append(path)
            return None
        asked.set_result(None)
        body: bytes = await self._bodies[path]
        return body

    async def _on_client(self, connection: ServerConnection) -> None:
        if self._taken:
            await connection.close(1013, "one client at a time")
            return
        self._taken = True
        player = asyncio.create_task(self._play(connection))
        try:
            async for text in connection:
                frame = text.encode() if isinstance(text, str) else text
                self.heard.append(frame)
                for answer in self.confirm(frame):
                    await connection.send(answer, text=True)
                self._spoken.set()
                self.subscribed.set()
        finally:
            player.cancel()
            await asyncio.wait([player])
            if not player.cancelled() and player.exception() is not None:
                self._failure = player.exception()

    async def _play(self, connection: ServerConnection) -> None:
        await self._go.acquire()
        await self._spoken.wait()
        try:
            for step in self.timeline:
                match step:
                    case Frame(body):
                        await connection.send(body, text=True)
                        self.sent_count += 1
                    case Answer(path, body):
                        await asyncio.wait_for(self._asked[path], LIMIT_S)
                        self._bodies[path].set_result(body)
                    case Pause():
                        await self._go.acquire()
        except ConnectionClosed:
            return  # the client had enough: a test that minds looks at `played`
        self.played.set()
