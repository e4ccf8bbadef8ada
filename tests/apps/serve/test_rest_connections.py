"""Bounds on the connections of the REST port, over real sockets: who sends no request costs little, and keeps nobody out."""

import asyncio
from contextlib import asynccontextmanager

import pytest
from support.reader_sets import Writer, ladder
from support.serving import serving

pytest.importorskip("fastapi")

from alphapulse_cli.apps.serve import gate, serve
from alphapulse_cli.apps.serve.rest import make_app
from alphapulse_cli.apps.serve.state import Limits

REQUEST = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
LIMIT_S = 60


@pytest.fixture
def writer(directory):
    with Writer(directory) as made:
        made.snapshot(ladder(4))
        yield made


class Peer:
    """One connection to the REST port."""

    def __init__(self, reader, writer):
        self.reader, self.writer = reader, writer

    async def is_answered(self):
        """Whether a request is answered, with 200; False for a connection that was cut off."""
        try:
            self.writer.write(REQUEST)
            head = await self.reader.readuntil(b"\r\n\r\n")
            await self.reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split()[0]))
        except (ConnectionError, asyncio.IncompleteReadError):
            return False
        return head.startswith(b"HTTP/1.1 200")

    async def cut_off(self):
        """Wait until the server ends the connection."""
        try:
            assert await self.reader.read() == b""
        except ConnectionError:
            return

    @property
    def is_open(self):
        return not self.reader.at_eof() and self.reader.exception() is None


@asynccontextmanager
async def port_of(directory, **limits):
    """A function that connects to a server; all its connections are cut off at the end."""
    peers: list[Peer] = []
    async with asyncio.timeout(LIMIT_S), serving(directory, make_app=make_app, limits=Limits(**limits)) as server:

        async def connect():
            peers.append(Peer(*await asyncio.open_connection("127.0.0.1", server.state.http_port)))
            return peers[-1]

        yield connect
        for peer in peers:
            peer.writer.transport.abort()
        await asyncio.gather(*(peer.writer.wait_closed() for peer in peers), return_exceptions=True)


async def of_twenty_silent_ones(directory):
    """How many of twenty connections without a request are still open where one with a request was answered."""
    async with port_of(directory) as connect:
        silent = [await connect() for _ in range(20)]
        for _ in range(3):  # turns of the loop in which the ends arrive, too
            assert await (await connect()).is_answered()
        return [peer.is_open for peer in silent]


async def test_the_oldest_without_a_request_are_cut_off_and_one_with_a_request_is_answered(directory, writer, monkeypatch):
    monkeypatch.setattr(gate, "HALF_OPEN", 5)
    assert await of_twenty_silent_ones(directory) == [False] * 16 + [True] * 4


async def test_a_mutant_without_that_bound_keeps_them_all(directory, writer, monkeypatch):
    monkeypatch.setattr(gate, "HALF_OPEN", 5)
    monkeypatch.setattr(gate.Gate, "enter", lambda *_: None)
    assert await of_twenty_silent_ones(directory) == [True] * 20


async def test_beyond_the_most_connections_a_new_one_is_cut_off_and_the_others_go_on(directory, writer, monkeypatch):
    monkeypatch.setattr(serve, "REQUESTS_AT_ONCE", 3)
    monkeypatch.setattr(serve, "HALF_OPEN", 0)
    async with port_of(directory, clients=1) as connect:
        peers = [await connect() for _ in range(3)]
        assert [await peer.is_answered() for peer in peers] == [True] * 3
        fourth = await connect()
        await (await connect()).cut_off()
        assert [peer.is_open for peer in (*peers, fourth)] == [True] * 4
        assert not await fourth.is_answered()  # one connection too many for requests: 503, and closed
        await fourth.cut_off()
        assert [await peer.is_answered() for peer in peers] == [True] * 3


@pytest.mark.parametrize("begun", [b"", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ", REQUEST], ids=["silent", "slow", "idle"])
async def test_a_connection_without_a_further_request_is_cut_off_in_time(directory, writer, monkeypatch, begun):
    monkeypatch.setattr(serve, "REQUEST_WITHIN_S", 0.1)
    async with port_of(directory) as connect:
        peer = await connect()
        peer.writer.write(begun)
        if begun == REQUEST:
            assert b"200 OK" in await peer.reader.readuntil(b"\r\n\r\n")
            await peer.reader.readuntil(b"}")
        await peer.cut_off()
        assert await (await connect()).is_answered()
