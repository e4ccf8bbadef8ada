"""WebSocket on the REST port, by real clients over sockets: the same messages, exact books, bounds and refusals as on its own port."""

import asyncio
import json
import random
import socket
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from support.reader_sets import Writer, ladder, random_rows
from support.stream_clients import StreamClient
from websockets.exceptions import InvalidStatus

pytest.importorskip("fastapi")

from alphapulse_cli.apps.serve import gate
from alphapulse_cli.apps.serve.messages import BINARY_FRAME, TEXT_FRAME, frame, unframed
from alphapulse_cli.apps.serve.over_http import PATH
from alphapulse_cli.apps.serve.rest import make_app
from alphapulse_cli.apps.serve.serve import Serving
from alphapulse_cli.apps.serve.state import Limits, ServePlan
from alphapulse_cli.readers.selection import Wanted

KEY = ("kraken", "BTC-USD")
ENCODINGS = ("json", "msgpack", "raw")


@asynccontextmanager
async def serving(directory, **plan):
    """A running server of everything in the directory, with its REST side."""
    made = Serving(ServePlan(port=0, http_port=0, **plan), directory, Wanted(), make_app=make_app)
    await made.start()
    running = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        running.cancel()
        await asyncio.wait([running])
        await made.stop()


@pytest.fixture
def writer(directory):
    with Writer(directory, ("BTC-USD", "ETH-USD")) as made:
        made.snapshot(ladder(40))
        made.snapshot(ladder(60), "ETH-USD")
        yield made


async def connected(server, encoding="", query="", **options):
    return await StreamClient.open(server.state.http_port, encoding, path=PATH + query, **options)


async def moved(writer, dice, clients, count, changes=3):
    """Move a book `count` times; wait until all clients are where the writer is, and compare."""
    for number in range(count):
        writer.update(random_rows(dice) if changes == 3 else ladder(changes, 1 + number % 2 * changes))
        writer.check()
        writer.beat()
        await asyncio.sleep(0)
    version = writer.keepers["BTC-USD"].version
    for client in clients:
        await client.until(lambda client=client: KEY in client.books and client.books[KEY].version == version)
        assert client.books[KEY].hash == writer.book().book_hash


async def test_books_of_every_encoding_equal_the_writers_at_every_check(directory, writer):
    async with serving(directory) as server:
        clients = [await connected(server, encoding) for encoding in ("", *ENCODINGS)]
        for client in clients:
            await client.subscribe("deltas", exchange="kraken", symbol="BTC-USD")
        await moved(writer, random.Random(5), clients, 100)
        for client in clients:
            assert client.books[KEY].checks > 50
            await client.close()


async def test_both_ports_give_the_same_messages(directory, writer):
    async with serving(directory) as server:
        here, there = await connected(server), await StreamClient.open(server.state.port)
        for client in (here, there):
            await client.subscribe("deltas", symbol="BTC-USD")
        await moved(writer, random.Random(6), [here, there], 30)
        one, two = ([each for each in client.messages if each["type"] == "group"] for client in (here, there))
        assert one == two
        for client in (here, there):
            await client.close()


@pytest.mark.parametrize("encoding", ["", *ENCODINGS])
async def test_an_address_that_names_a_book_subscribes_at_once(directory, writer, encoding):
    async with serving(directory) as server:
        client = await connected(server, encoding, "?exchange=kraken&symbol=BTC-USD")
        await moved(writer, random.Random(7), [client], 20)
        assert set(client.books) == {KEY}
        await client.close()


async def test_a_client_that_never_reads_is_bounded_and_closed_and_delays_nobody(directory, writer):
    limits = Limits(queue_bytes=64 << 10)
    async with serving(directory, limits=limits) as server:
        good = await connected(server, query="?symbol=BTC-USD")
        counts, dice, most = server.state.clients, random.Random(9), 0
        _, stalled = await asyncio.open_connection("127.0.0.1", server.state.http_port)
        transport: Any = stalled.transport
        transport.pause_reading()
        stalled.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 10)
        stalled.write(
            f"GET {PATH}?symbol=BTC-USD HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        await good.until(lambda: KEY in good.books)
        while not counts.slow:
            await moved(writer, dice, [good], 4, changes=100)  # far below the bound: the good one has read them before the next
            most = max(most, counts.queue_bytes())
        assert 0 < most <= limits.queue_bytes
        assert counts.closed[1013] == 1
        await moved(writer, dice, [good], 20)
        assert good.counts["snapshot"] == 1
        transport.abort()
        with suppress(OSError):
            await stalled.wait_closed()
        await good.close()


async def test_a_stop_tells_its_clients_1012(directory, writer):
    async with serving(directory) as server:
        client = await connected(server, query="?symbol=BTC-USD")
        await client.until(lambda: KEY in client.books)
    await client.until(lambda: client.closed is not None)
    assert client.closed[0] == 1012
    assert not server.streams.streams.clients


async def test_what_is_wrong_is_answered_and_the_connection_goes_on(directory, writer):
    async with serving(directory) as server:
        client = await connected(server)
        await client.send(op="dance")
        await client.until(lambda: client.counts["error"] == 1)
        await client.subscribe("deltas", symbol="BTC-USD")
        await client.close()


async def test_a_message_that_is_too_large_closes(directory, writer):
    async with serving(directory) as server:
        client = await connected(server)
        await client.websocket.send(json.dumps({"op": "ping", "x": "y" * (17 << 10)}))
        await client.until(lambda: client.closed is not None)
        assert client.closed[0] == 1009


UPGRADE = (
    f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()
EMPTY = {"pings": 0x89, "pongs": 0x8A, "texts": 0x81, "parts": 0x00}


async def flooded(server, opcode):
    """All that came to a client which sends frames without an end, until it was cut off."""
    reader, flooding = await asyncio.open_connection("127.0.0.1", server.state.http_port)
    flooding.write(UPGRADE)
    came = bytearray()
    with suppress(ConnectionError):
        while b"welcome" not in came:
            came += await reader.read(4096)
        begun = bytes((0x01, 0x80, 0, 0, 0, 0)) if opcode == EMPTY["parts"] else b""
        flooding.write(begun + bytes((opcode, 0x80, 0, 0, 0, 0)) * (gate.FRAMES_AT_ONCE + 100))
        async with asyncio.timeout(30):
            while data := await reader.read(65536):
                came += data
    flooding.transport.abort()
    return bytes(came)


class TestFlood:
    @pytest.mark.parametrize("opcode", EMPTY.values(), ids=EMPTY)
    async def test_of_frames_is_told_and_cut_off_and_delays_nobody(self, directory, writer, opcode):
        async with serving(directory) as server:
            good = await connected(server, query="?symbol=BTC-USD")
            came = await flooded(server, opcode)
            assert b"frames a second" in came or (b"messages a second" in came and opcode == EMPTY["texts"])
            assert came.count(b"\x8a\x00") <= gate.FRAMES_AT_ONCE + 100
            await moved(writer, random.Random(3), [good], 10)
            await good.close()

    async def test_a_mutant_without_the_bound_answers_all(self, directory, writer, monkeypatch):
        monkeypatch.setattr(gate.FrameRate, "allows", lambda *_: True)
        async with serving(directory) as server:
            client = await connected(server)
            answers = await asyncio.gather(*(client.websocket.ping() for _ in range(gate.FRAMES_AT_ONCE + 100)))
            await asyncio.gather(*answers)
            await client.close()


class TestDoor:
    async def status_of(self, server, **options):
        with pytest.raises(InvalidStatus) as refused:
            await connected(server, **options)
        return refused.value.response.status_code

    async def test_too_many_clients_of_an_address(self, directory, writer):
        async with serving(directory, limits=Limits(clients_per_address=1)) as server:
            one = await connected(server)
            assert await self.status_of(server) == 429
            await one.close()

    async def test_the_token_by_header_by_message_and_never_by_address(self, directory, writer):
        async with serving(directory, token="secret-token") as server:
            assert await self.status_of(server, headers={"Authorization": "Bearer wrong"}) in (401, 403)
            assert await self.status_of(server, query="?token=secret-token") in (400, 403)
            by_header = await connected(server, query="?symbol=BTC-USD", headers={"Authorization": "Bearer secret-token"})
            await by_header.until(lambda: KEY in by_header.books)
            by_message = await connected(server)
            await by_message.send(op="subscribe", channel="deltas")
            await by_message.until(lambda: by_message.counts["error"] == 1)
            assert not by_message.books
            await by_message.send(op="auth", token="secret-token")
            await by_message.until(lambda: by_message.counts["authorized"] == 1)
            await by_message.subscribe("deltas", symbol="BTC-USD")
            await by_message.until(lambda: KEY in by_message.books)
            await by_header.close()
            await by_message.close()

    async def test_pages_of_other_origins_may_not_connect(self, directory, writer):
        async with serving(directory, origins=("https://desk.example",)) as server:
            assert await self.status_of(server, origin="https://evil.example") == 403
            for origin in ("https://desk.example", "http://127.0.0.1:3000"):
                client = await connected(server, origin=origin)
                await client.close()


@pytest.mark.parametrize("sizes", [[0], [125, 126, 65_535, 65_536], [3, 70_000, 1]])
def test_frames_are_taken_apart_as_they_were_made(sizes):
    payloads = [bytes([number]) * size for number, size in enumerate(sizes, 65)]
    kinds = [(TEXT_FRAME, BINARY_FRAME)[size % 2] for size in sizes]
    data = b"".join(frame(kind, payload) for kind, payload in zip(kinds, payloads, strict=True))
    assert list(unframed(data)) == list(zip(kinds, payloads, strict=True))
