"""permessage-deflate of `serve`, by real clients over sockets: only where the server allows it and the client asks; the same messages."""

import json
import random
import zlib

import pytest
from support.reader_sets import Writer, ladder, random_rows
from support.serving import serving
from support.stream_clients import StreamClient
from websockets.asyncio.client import connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.typing import Subprotocol

from alphapulse_cli.apps.serve import deflate
from alphapulse_cli.apps.serve.deflate import Deflation
from alphapulse_cli.apps.serve.messages import BINARY_FRAME, TEXT_FRAME, Encoding, frame, unframed

KEY = ("kraken", "BTC-USD")
ASKED = {
    "as-the-library": ClientPerMessageDeflateFactory(client_max_window_bits=True),
    "small-window": ClientPerMessageDeflateFactory(server_max_window_bits=9, client_max_window_bits=9),
    "large-window": ClientPerMessageDeflateFactory(server_max_window_bits=15, client_max_window_bits=15),
}


@pytest.fixture
def writer(directory):
    with Writer(directory) as made:
        made.snapshot(ladder(2_000))
        yield made


async def collected(server, encoding, **options):
    """Names of the extensions agreed to, and all payloads of a client, the writer's last version included."""
    options = {"compression": None, "proxy": None, "max_size": None, **options}
    protocols = [Subprotocol(encoding.subprotocol)]
    async with connect(f"ws://127.0.0.1:{server.state.port}", subprotocols=protocols, **options) as client:
        asked = {"op": "subscribe", "channel": "deltas"}
        if encoding is Encoding.MSGPACK:
            import msgpack

            await client.send(msgpack.packb(asked))
        else:
            await client.send(json.dumps(asked))
        yield [one.name for one in client.protocol.extensions]
        while True:
            yield await client.recv()


@pytest.mark.parametrize("encoding", list(Encoding))
async def test_messages_are_byte_for_byte_those_of_clients_without_it(directory, writer, encoding):
    async with serving(directory, compress=True, heartbeat_s=3600.0) as server:
        plain = collected(server, encoding)
        packed = [collected(server, encoding, extensions=[one]) for one in ASKED.values()]
        assert await anext(plain) == []
        for client in packed:
            assert await anext(client) == ["permessage-deflate"]
        for client in (plain, *packed):  # welcome, subscribed, and the whole snapshot of each
            for _ in range(2 + 2):
                await anext(client)
        dice = random.Random(3)
        for number in range(20):
            writer.update(random_rows(dice))
            writer.check()
            writer.beat()
            if number % 10 == 9:
                expected = [await anext(plain) for _ in range(20)]
                for client in packed:
                    assert [await anext(client) for _ in range(20)] == expected
        for client in (plain, *packed):
            await client.aclose()


async def test_books_are_exact_and_fewer_bytes_are_sent(directory, writer):
    sent = {}
    for name, extensions in (("plain", None), ("packed", [ASKED["as-the-library"]])):
        async with serving(directory, compress=True) as server:
            client = await StreamClient.open(server.state.port, extensions=extensions)
            await client.subscribe("deltas")
            dice = random.Random(4)
            await client.until(lambda client=client: KEY in client.books)
            for _ in range(100):
                writer.update(random_rows(dice))
            writer.check()
            version = writer.keepers["BTC-USD"].version
            await client.until(lambda client=client, version=version: client.books[KEY].version == version)
            await client.until(lambda client=client: client.books[KEY].checks)
            assert client.books[KEY].hash == writer.book().book_hash
            sent[name] = server.state.clients.bytes_sent
            await client.close()
    assert sent["packed"] < 0.7 * sent["plain"]


@pytest.mark.parametrize("compress", [False, True])
async def test_nobody_gets_it_unasked_and_none_where_the_server_does_not_allow_it(directory, writer, compress):
    async with serving(directory, compress=compress) as server:
        agreed = {}
        for compression in (None, "deflate"):
            async with connect(f"ws://127.0.0.1:{server.state.port}", compression=compression, proxy=None) as client:
                agreed[compression] = [one.name for one in client.protocol.extensions]
                assert json.loads(await client.recv())["type"] == "welcome"
        assert agreed == {None: [], "deflate": ["permessage-deflate"] if compress else []}


async def test_a_window_that_cannot_be_made_is_declined(directory, writer):
    async with serving(directory, compress=True) as server:
        headers = {"Sec-WebSocket-Extensions": "permessage-deflate; server_max_window_bits=8"}
        async with await StreamClient.open(server.state.port, headers=headers) as client:
            await client.subscribe("deltas")
            await client.until(lambda: KEY in client.books)


async def test_requests_may_be_compressed_and_a_bomb_is_refused(directory, writer):
    async with serving(directory, compress=True) as server:
        async with await StreamClient.open(server.state.port, extensions=[ASKED["as-the-library"]]) as client:
            await client.ask("pong", op="ping", padding="x" * 4_000)
            bomb = json.dumps({"op": "ping", "padding": "x" * (10 << 20)})
            assert len(zlib.compress(bomb.encode())) < 12 << 10 < server.state.plan.limits.message_bytes
            await client.websocket.send(bomb)
            code, _ = await client.until_closed()
            assert code == 1009
        assert server.state.clients.bytes_received < 16 << 10
        async with await StreamClient.open(server.state.port) as other:
            await other.ask("pong", op="ping")


async def test_each_message_is_compressed_once_for_all_clients(directory, writer, monkeypatch):
    made: list[Deflation] = []

    def note(bits):
        made.append(Deflation(bits))
        return made[-1]

    monkeypatch.setattr(deflate, "Deflation", note)
    async with serving(directory, compress=True) as server:
        clients = [await StreamClient.open(server.state.port, extensions=[ASKED["as-the-library"]]) for _ in range(8)]
        for client in clients:
            await client.subscribe("deltas")
            await client.until(lambda client=client: KEY in client.books and client.books[KEY].version)
        before, dice = made[0].made, random.Random(5)
        for _ in range(40):
            writer.update(random_rows(dice))
        version = writer.keepers["BTC-USD"].version
        for client in clients:
            await client.until(lambda client=client: client.books[KEY].version == version)
        assert made[0].made - before == 40
        for client in clients:
            await client.close()


@pytest.mark.parametrize("bits", [9, 11, 13])
def test_frames_are_deflated_and_inflate_to_the_same(bits, monkeypatch):
    dice = random.Random(bits)
    payloads = [b"", b"x" * 63, b"x" * 64, b"levels " * 10_000, dice.randbytes(5_000), dice.randbytes(100) * 3]
    plain = [(dice.choice((TEXT_FRAME, BINARY_FRAME)), payload) for payload in payloads]
    deflation = Deflation(bits)
    made = list(unframed(deflation.deflated(b"".join(frame(*one) for one in plain))))
    found = []
    for opcode, sent in made:
        payload = zlib.decompressobj(-bits).decompress(sent + b"\x00\x00\xff\xff") if opcode & 0x40 else sent
        found.append((opcode & ~0x40, payload))
    assert found == plain
    assert [opcode & 0x40 for opcode, _ in made] == [0, 0, 0x40, 0x40, 0, 0x40]
    assert all(len(after) <= len(before) for (_, after), (_, before) in zip(made, plain, strict=True))


def test_what_is_kept_is_bounded(monkeypatch):
    monkeypatch.setattr(deflate, "KEPT_BYTES", 10_000)
    deflation = Deflation(13)
    for number in range(200):
        data = frame(TEXT_FRAME, b"%d" % number * 500)
        assert deflation.deflated(data) == deflation.deflated(data)
        assert sum(len(one) + len(two) for one, two in deflation._kept.items()) < 10_000 + 2 * len(data)
    assert deflation.made == 200
