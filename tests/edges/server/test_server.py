"""The bounded server over real loopback sockets: clients and requests on one port, and nobody's slowness is another's trouble."""

import asyncio
import contextlib

import pytest
from support.sim_parts import read_to_the_end, until, within
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from alphapulse_cli.edges.exchange.fetch import Fetcher
from alphapulse_cli.edges.server.client import TOO_SLOW, Client
from alphapulse_cli.edges.server.listener import Answer, Listener
from alphapulse_cli.errors import ExchangeError, UsageError

FRAME = b"x" * 100_000


class Echo:
    """A server that counts its clients, answers GETs with what it was asked, and refuses handshakes once it is told to."""

    def __init__(self, queue_bytes=1_000_000, client=Client):
        self.clients, self.refusal, self.gone = [], None, []
        self._queue_bytes, self._client = queue_bytes, client
        self.listener = Listener("echo", "127.0.0.1", 0, self.serve, self.get, lambda _: self.refusal)

    async def serve(self, websocket):
        client = self._client(websocket, self._queue_bytes)
        self.clients.append(client)
        try:
            while True:
                client.push([(await websocket.recv()).encode()])
        except ConnectionClosed:
            self.gone.append(client.dropped)
        finally:
            await client.closed()

    async def get(self, path, query):
        if path == "/missing":
            return Answer(404, b"{}")
        return Answer(200, repr((path, dict(query))).encode(), [("Content-Type", "text/plain")])

    @contextlib.asynccontextmanager
    async def open(self):
        port = await self.listener.open()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            await self.listener.close()


async def test_clients_and_requests_share_a_port():
    server = Echo()
    async with server.open() as where, connect(f"ws://{where}/any") as client:
        await client.send("hello")
        assert await client.recv() == "hello"
        fetcher = Fetcher(f"http://{where}")
        assert await fetcher.get("/path?a=1&b=") == repr(("/path", {"a": "1", "b": ""})).encode()
        with pytest.raises(ExchangeError, match="404"):
            await fetcher.get("/missing")
    assert server.gone == [""]


GET = b"GET /path?a=1&b=x&a=2 HTTP/1.1\r\nHost: x\r\n"
ANSWER = repr(("/path", {"a": "1,2", "b": "x"})).encode()


@pytest.mark.parametrize(
    "parts",
    [
        pytest.param([GET + b"\r\n"], id="no body"),
        pytest.param([GET + b"Content-Length: 2\r\nContent-Type: application/json\r\n\r\n{}"], id="body"),
        pytest.param([GET + b"content-length: 2\r\n\r\n", b"{}"], id="body in a packet of its own"),
        pytest.param([GET[:7], GET[7:] + b"CONTENT-LENGTH: 2\r", b"\n\r\n{", b"}"], id="in pieces"),
        pytest.param([GET + b"Content-Length: 70000\r\n\r\n" + b"\x88" * 70_000], id="large body that looks like frames"),
    ],
)
async def test_a_get_is_answered_whatever_its_body(parts):
    """Coinbase's own SDK sends `{}` with each GET. A repeated name of the query keeps all of its values."""
    async with Echo().open() as where:
        reader, writer = await asyncio.open_connection(*where.split(":"))
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0)
        answer = await within(reader.read())
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert answer.endswith(b"\r\n\r\n" + ANSWER)
        writer.close()


@pytest.mark.parametrize(
    "head", [b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}", b"GET / HTTP/1.1\r\nX: " + b"x" * 90_000, b"\r\n\r\n"]
)
async def test_what_is_no_get_and_no_handshake_ends_the_connection_alone(head):
    async with Echo().open() as where:
        reader, writer = await asyncio.open_connection(*where.split(":"))
        writer.write(head)
        writer.write_eof()
        assert not (await within(reader.read())).startswith(b"HTTP/1.1 200")
        writer.close()
        async with connect(f"ws://{where}/any") as client:
            await client.send("hello")
            assert await client.recv() == "hello"


async def test_a_handshake_is_refused_as_it_is_told():
    server = Echo()
    server.refusal = Answer(429, headers=[("Retry-After", "7")])
    async with server.open() as where:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://{where}/")
        assert (refused.value.response.status_code, refused.value.response.headers["Retry-After"]) == (429, "7")
        server.refusal = None
        async with connect(f"ws://{where}/"):
            assert len(server.clients) == 1


async def test_a_taken_port_is_said_with_its_name():
    first = Echo()
    async with first.open():
        with pytest.raises(UsageError, match=f"second: no server on 127.0.0.1:{first.listener.port}") as refused:
            await Listener("second", "127.0.0.1", first.listener.port, first.serve, first.get, lambda _: None).open()
        assert refused.value.hint == "port 0 takes any free one"


async def test_closing_tells_every_client_1001():
    server = Echo()
    async with server.open() as where:
        client = await connect(f"ws://{where}/")
    with pytest.raises(ConnectionClosed) as closed:
        await client.recv()
    assert closed.value.rcvd.code == 1001


async def slow_beside_quick(client=Client):
    """What a client that does not read is told, and how many frames of another arrived meanwhile."""
    server = Echo(client=client)
    async with (
        server.open() as where,
        connect(f"ws://{where}/", max_queue=1, close_timeout=0.2) as slow,
        connect(f"ws://{where}/") as quick,
    ):
        await until(lambda: len(server.clients) == 2)
        for _ in range(400):
            server.clients[0].push([FRAME])
            server.clients[1].push([b"tick"])
            await quick.recv()
            if server.clients[0].dropped:
                break
        await quick.send("still here")
        assert await quick.recv() == "still here"
        assert server.clients[0].queued_bytes <= 1_000_000 + len(FRAME)
        with pytest.raises(ConnectionClosedError) as closed:
            await read_to_the_end(slow)
        return server.clients[0].dropped, closed.value.rcvd, server.clients[1].dropped


async def test_who_reads_too_slowly_is_dropped_and_told_and_nobody_else_notices():
    dropped, told, other = await slow_beside_quick()
    assert dropped.startswith("too slow: ")
    assert (told.code, told.reason) == (TOO_SLOW, dropped)
    assert other == ""


async def test_without_a_bound_the_same_scene_fails():
    """A mutant: a client for whom anything may wait."""

    class Patient(Client):
        def __init__(self, websocket, _queue_bytes):
            super().__init__(websocket, 1 << 62)

    with pytest.raises(AssertionError):
        await slow_beside_quick(Patient)


async def test_an_allowance_holds_frames_back_and_lets_so_many_go():
    server = Echo()
    async with server.open() as where, connect(f"ws://{where}/") as reader:
        await until(lambda: server.clients)
        (client,) = server.clients
        client.allow(0)
        client.push([b"1", b"2", b"3"])
        await reader.ping()
        await asyncio.sleep(0)
        assert (client.frames_sent, client.queued_bytes) == (0, 3)
        client.allow(2)
        assert [await reader.recv(), await reader.recv()] == ["1", "2"]
        assert (client.frames_sent, client.queued_bytes) == (2, 1)
        client.allow(None)
        assert await reader.recv() == "3"
