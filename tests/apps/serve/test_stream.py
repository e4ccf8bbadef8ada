"""The WebSocket side of `serve`, by real clients over sockets: exact books in each encoding, resume, slow clients, limits, requests."""

import asyncio
import json
import random
import socket
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from support.reader_sets import Writer, kept_alive, ladder, random_rows
from support.serving import serving
from support.stream_clients import StreamClient
from websockets.exceptions import InvalidStatus

from alphapulse_cli.apps.serve import gate, source, stream
from alphapulse_cli.apps.serve.clients import Client
from alphapulse_cli.apps.serve.messages import SnapshotParts
from alphapulse_cli.apps.serve.source import Source
from alphapulse_cli.apps.serve.state import Limits, ServePlan
from alphapulse_cli.apps.serve.topics import DeltasTopic

KEY = ("kraken", "BTC-USD")
ENCODINGS = ("json", "msgpack", "raw")


@pytest.fixture
def writer(directory):
    with Writer(directory, ("BTC-USD", "ETH-USD")) as made:
        made.snapshot(ladder(40))
        made.snapshot(ladder(60), "ETH-USD")
        yield made


async def moved(writer, dice, clients, count, symbol="BTC-USD", each=5):
    """Move a book `count` times, with a CHECK now and then; wait until all clients are where the writer is."""
    for number in range(count):
        writer.update(random_rows(dice), symbol)
        if number % each == each - 1:
            writer.check(symbol)
            writer.beat()
            await asyncio.sleep(0)
    writer.check(symbol)
    version = writer.keepers[symbol].version
    for client in clients:
        await client.until(lambda client=client: is_at(client, version, symbol))
        assert client.books["kraken", symbol].hash == writer.book(symbol).book_hash


def is_at(client, version, symbol="BTC-USD"):
    copy = client.books.get(("kraken", symbol))
    return copy is not None and copy.version == version


class TestDeltas:
    def test_books_of_every_encoding_equal_the_writers_at_every_check(self, directory, writer):
        async def run():
            async with serving(directory) as server:
                clients = [await StreamClient.open(server.state.port, encoding) for encoding in ("", *ENCODINGS)]
                for client in clients:
                    said = await client.subscribe("deltas", exchange="kraken", symbol="btc/usd")
                    assert (said["books"], said["symbol"]) == (1, "BTC-USD")
                    assert client.messages[0] | {"limits": 0, "channels": 0, "server": 0} == {
                        "type": "welcome",
                        "protocol": 1,
                        "encoding": client.encoding,
                        "needs_auth": False,
                        "heartbeat_s": 15.0,
                        "limits": 0,
                        "channels": 0,
                        "server": 0,
                    }
                await moved(writer, random.Random(5), clients, 300)
                for client in clients:
                    assert set(client.books) == {KEY}
                    assert client.books[KEY].checks > 10
                    await client.close()

        asyncio.run(run())

    def test_a_large_book_comes_in_parts_and_groups_meanwhile_are_not_lost(self, directory):
        async def run():
            with Writer(directory) as writer:
                writer.snapshot(ladder(20_000))
                async with serving(directory) as server:
                    clients = [await StreamClient.open(server.state.port, encoding) for encoding in ENCODINGS]
                    for client in clients:
                        await client.send(op="subscribe", channel="deltas")
                    dice = random.Random(8)
                    while not all(client.counts["snapshot"] for client in clients):
                        writer.update(random_rows(dice))
                        writer.beat()
                        await asyncio.sleep(0.001)
                    await moved(writer, dice, clients, 50)
                    assert clients[0].of("snapshot")[0]["parts"] == 20
                    assert all(len(client.of("snapshot")) == client.of("snapshot")[0]["parts"] for client in clients)
                    for client in clients:
                        await client.close()

        asyncio.run(run())

    def test_a_pattern_takes_in_books_that_appear_later(self, directory, writer):
        async def run():
            async with serving(directory) as server, await StreamClient.open(server.state.port) as client:
                said = await client.subscribe("deltas", exchange="k*", symbol="*-usd")
                assert said["books"] == 2
                with Writer(directory, ("SOL-USD", "SOL-EUR"), "second") as second:
                    second.snapshot(ladder(10), "SOL-USD")
                    second.snapshot(ladder(10), "SOL-EUR")
                    await client.until(lambda: ("second", "SOL-USD") in client.books)
                    assert client.books["second", "SOL-USD"].hash == second.book("SOL-USD").book_hash
                await client.until(lambda: len(client.books) == 3)
                assert ("second", "SOL-EUR") not in client.books

        asyncio.run(run())

    def test_a_lap_is_told_and_healed_by_a_snapshot(self, directory):
        async def run():
            with Writer(directory, capacity=64) as writer:
                writer.snapshot(ladder(40))
                async with serving(directory) as server, await StreamClient.open(server.state.port) as client:
                    await client.subscribe("deltas")
                    await client.until(lambda: KEY in client.books)
                    dice = random.Random(2)
                    for _ in range(300):  # in one turn of the loop: the source cannot read meanwhile
                        writer.update(random_rows(dice))
                    await moved(writer, dice, [client], 10)
                    (missed,) = client.of("missed")
                    assert (missed["set"], missed["ring"]) == ("kraken", "deltas")
                    assert missed["missed"] > 200
                    assert client.counts["snapshot"] == 2

        asyncio.run(run())

    def test_another_writer_is_told_and_begins_with_a_snapshot(self, directory):
        async def run():
            async with serving(directory) as server, await StreamClient.open(server.state.port) as client:
                await client.subscribe("deltas")
                with Writer(directory) as first:
                    first.snapshot(ladder(10))
                    await client.until(lambda: KEY in client.books)
                    await moved(first, random.Random(1), [client], 10)
                await client.until(lambda: client.of("status") and client.of("status")[-1]["reason"] == "RETIRED")
                with Writer(directory) as second:
                    second.snapshot(ladder(12, 7))
                    await client.until(lambda: client.books[KEY].epoch == second.outlet.epoch and is_at(client, 1))
                    await moved(second, random.Random(1), [client], 10)
                    assert [one["epoch"] for one in client.of("restarted") if one["ring"] == "deltas"] == [second.outlet.epoch]

        asyncio.run(run())


class TestResume:
    def test_a_copy_is_continued(self, directory, writer):
        async def run():
            async with serving(directory) as server:
                client = await StreamClient.open(server.state.port)
                await client.subscribe("deltas", symbol="BTC-USD")
                dice = random.Random(4)
                await client.until(lambda: KEY in client.books)
                await moved(writer, dice, [client], 20)
                await client.close()
                copy = client.books[KEY]
                for _ in range(30):
                    writer.update(random_rows(dice))
                writer.check()
                async with await StreamClient.open(server.state.port) as witness:  # the server has read them where one has them
                    await witness.subscribe("bbo", symbol="BTC-USD")
                    await witness.until(lambda: witness.of("bbo") and server.state.source.book(KEY).version == copy.version + 30)
                for encoding in ENCODINGS:
                    again = await StreamClient.open(server.state.port, encoding)
                    again.books[KEY] = type(copy)()
                    again.books[KEY].epoch, again.books[KEY].version = copy.epoch, copy.version
                    again.books[KEY].levels, again.books[KEY].hash = dict(copy.levels), copy.hash
                    wish = {"set": "kraken", "symbol": "BTC-USD", "epoch": copy.epoch, "version": copy.version}
                    await again.subscribe("deltas", symbol="BTC-USD", resume=[wish])
                    await moved(writer, dice, [again], 5)
                    (resumed,) = again.of("resumed")
                    assert resumed["groups"] >= 30
                    assert again.counts["snapshot"] == 0
                    await again.close()

        asyncio.run(run())

    @pytest.mark.parametrize(("of", "reason"), [({"epoch": 5}, "epoch"), ({"version": 10**9}, "history")])
    def test_or_told_to_take_a_snapshot(self, directory, writer, of, reason):
        async def run():
            async with serving(directory) as server, await StreamClient.open(server.state.port) as client:
                wish = {"set": "kraken", "symbol": "BTC-USD", "epoch": writer.outlet.epoch, "version": 1} | of
                await client.subscribe("deltas", symbol="BTC-USD", resume=[wish])
                await client.until(lambda: KEY in client.books)
                assert [one["reason"] for one in client.of("not_resumed")] == [reason]
                await moved(writer, random.Random(4), [client], 5)

        asyncio.run(run())


class TestCurrentValues:
    def test_bbo_and_book_are_those_of_the_book(self, directory, writer):
        async def run():
            async with serving(directory) as server, await StreamClient.open(server.state.port) as client:
                await client.subscribe("bbo", symbol="BTC-USD")
                await client.subscribe("book:3", symbol="BTC-USD")
                await client.until(lambda: client.counts["bbo"] and client.counts["book"])
                writer.update([(1_000_000, 0, False), (999_000, 3, False), (1_000_001, 77, True)])
                best = writer.book().best_bid(), writer.book().best_ask()
                assert best == ((999_999, 2), (1_000_001, 77))
                await client.until(lambda: client.of("bbo")[-1]["version"] == 2 and client.of("book")[-1]["version"] == 2)
                bbo, book = client.of("bbo")[-1], client.of("book")[-1]
                assert [bbo[name] for name in ("bid", "bid_size", "ask", "ask_size")] == [
                    "9999.99",
                    "0.00000002",
                    "10000.01",
                    "0.00000077",
                ]
                assert (bbo["state"], bbo["epoch"]) == ("LIVE", writer.outlet.epoch)
                assert book["depth"] == 3
                assert book["bids"] == [["9999.99", "0.00000002"], ["9999.98", "0.00000003"], ["9999.97", "0.00000004"]]
                assert book["asks"][0] == ["10000.01", "0.00000077"]
                before = client.counts["bbo"]
                writer.update([(900_000, 5, False)])  # nothing of the best changes
                writer.update([(1_000_001, 78, True)])
                await client.until(lambda: client.of("bbo")[-1]["version"] == 4)
                assert client.counts["bbo"] == before + 1

        asyncio.run(run())

    def test_a_book_whose_writer_ended_has_no_prices(self, directory):
        async def run():
            async with serving(directory) as server, await StreamClient.open(server.state.port) as client:
                with Writer(directory) as writer:
                    writer.snapshot(ladder(10))
                    for channel in ("bbo", "book:2", "status"):
                        await client.subscribe(channel)
                    await client.until(lambda: client.counts["bbo"] and client.counts["book"] and client.counts["status"])
                    assert client.of("bbo")[-1]["bid"] == "10000.00"
                await client.until(lambda: all(client.of(kind)[-1]["reason"] == "RETIRED" for kind in ("bbo", "book", "status")))
                assert client.of("bbo")[-1]["bid"] is None
                assert client.of("book")[-1]["bids"] is None
                assert client.of("status")[-1]["state"] == "STALE"

        asyncio.run(run())

    def test_trades_in_every_encoding(self, directory, writer):
        async def run():
            async with serving(directory) as server:
                clients = [await StreamClient.open(server.state.port, encoding) for encoding in ENCODINGS]
                for client in clients:
                    await client.subscribe("trades", symbol="BTC-USD")
                writer.trades(("a", 5, 6, 0), ("b", 7, 8, 1), exchange_ns=99)
                writer.trades(("c", 5, 6, 0), symbol="ETH-USD")
                for client in clients:
                    await client.until(lambda client=client: client.counts["trade"] == 2)
                first, second = clients[0].of("trade")
                assert (first["trade_id"], first["price"], first["side"], first["sequence"]) == ("a", "0.05", "buy", 0)
                assert (second["size"], second["exchange_ns"], second["epoch"]) == ("0.00000008", 99, writer.outlet.epoch)
                assert clients[1].of("trade") == [first, second]
                assert [one["record"][57:58] for one in clients[2].of("trade")] == [b"a", b"b"]
                for client in clients:
                    await client.close()

        asyncio.run(run())

    def test_stats_are_the_counters(self, directory, writer):
        async def run():
            async with serving(directory) as server, await StreamClient.open(server.state.port) as client:
                await client.subscribe("stats", symbol="BTC-USD")
                await client.until(lambda: client.counts["stats"])
                (stats,) = client.of("stats")[:1]
                assert (stats["version"], stats["bid_levels"], stats["ask_levels"], stats["gaps"]) == (1, 20, 20, 0)

        asyncio.run(run())

    def test_without_a_watch_arbitrage_says_so(self, directory, writer):
        async def run():
            async with serving(directory) as server, await StreamClient.open(server.state.port) as client:
                await client.subscribe("arbitrage")
                await client.until(lambda: client.counts["watching"])
                assert client.of("watching")[0]["watching"] is False
                assert client.counts["arbitrage"] == 0

        asyncio.run(run())


@asynccontextmanager
async def stalled(port, **request):
    """A client that asked for something and never reads: (reader, writer) of its connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=4 << 20)
    transport: Any = writer.transport
    transport.pause_reading()
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 10)
    writer.write(
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    payload = json.dumps(request).encode()
    assert len(payload) < 126
    writer.write(bytes((0x81, 0x80 | len(payload), 0, 0, 0, 0)) + payload)
    try:
        yield reader, transport
    finally:
        transport.abort()
        with suppress(OSError):
            await writer.wait_closed()


class TestSlowClients:
    def test_one_that_never_reads_is_bounded_told_and_closed_and_delays_nobody(self, directory, writer):
        async def run():
            limits = Limits(queue_bytes=64 << 10)
            async with serving(directory, limits=limits) as server:
                good = await StreamClient.open(server.state.port)
                await good.subscribe("deltas", symbol="BTC-USD")
                counts, dice = server.state.clients, random.Random(9)
                async with stalled(server.state.port, op="subscribe", channel="deltas", symbol="BTC-USD"):
                    await good.until(lambda: KEY in good.books)
                    while not counts.slow:
                        await moved(writer, dice, [good], 20)
                        assert counts.queue_bytes() <= limits.queue_bytes
                    assert counts.closed[1013] == 1
                    await moved(writer, dice, [good], 20)
                    assert good.counts["snapshot"] == 1
                    await good.close()

        asyncio.run(run())

    def test_it_can_read_why(self, directory, writer):
        async def run():
            async with (
                serving(directory, limits=Limits(queue_bytes=8 << 10)) as server,
                stalled(server.state.port, op="subscribe", channel="deltas", symbol="BTC-USD") as (reader, other),
            ):
                while not server.state.clients.slow:
                    writer.update(ladder(200, random.randrange(1, 99)))
                    await asyncio.sleep(0.001)
                other.resume_reading()
                async with asyncio.timeout(30):
                    await reader.readuntil(b'"code":"too_slow"')
                    await reader.readuntil(b"\x03\xf5too slow: ")  # the close frame, 1013

        asyncio.run(run())

    def test_current_values_are_conflated_for_one_that_reads_late(self, directory, writer):
        async def run():
            async with (
                serving(directory, limits=Limits(queue_bytes=64 << 10)) as server,
                stalled(server.state.port, op="subscribe", channel="bbo", symbol="BTC-USD") as (reader, other),
            ):
                counts, lots = server.state.clients, 1
                while not counts.conflated:
                    lots += 1
                    writer.update([(1_000_000, lots, False)])
                    await asyncio.sleep(0.001)
                    assert counts.slow == 0
                for _ in range(100):
                    lots += 1
                    writer.update([(1_000_000, lots, False)])
                    await asyncio.sleep(0.001)
                assert counts.slow == 0
                other.resume_reading()
                async with asyncio.timeout(30):
                    await reader.readuntil(f'"bid_size":"0.{lots:08d}"'.encode())
                assert counts.connected == 1

        with kept_alive(writer):
            asyncio.run(run())

    def test_a_snapshot_larger_than_the_bound_is_taken_and_is_no_reason_to_close(self, directory):
        async def run():
            with Writer(directory) as writer:
                writer.snapshot(ladder(6000))
                async with serving(directory, limits=Limits(queue_bytes=16 << 10)) as server:
                    client = await StreamClient.open(server.state.port)
                    await client.subscribe("deltas")
                    await client.until(lambda: KEY in client.books and client.books[KEY].version)
                    await moved(writer, random.Random(3), [client], 5)
                    await client.close()

        asyncio.run(run())


class TestLimits:
    def test_too_many_clients_of_an_address_and_in_all(self, directory, writer):
        async def run():
            limits = Limits(clients=3, clients_per_address=2)
            async with serving(directory, limits=limits) as server:
                clients = [await StreamClient.open(server.state.port) for _ in range(2)]
                with pytest.raises(InvalidStatus) as refused:
                    await StreamClient.open(server.state.port)
                assert refused.value.response.status_code == 429
                for client in clients:
                    await client.close()
                client = await StreamClient.open(server.state.port)
                await client.close()
                assert server.state.clients.refused == {"address": 1}

            async with serving(directory, limits=Limits(clients=1)) as server:
                client = await StreamClient.open(server.state.port)
                with pytest.raises(InvalidStatus) as refused:
                    await StreamClient.open(server.state.port)
                assert refused.value.response.status_code == 503
                await client.close()

        asyncio.run(run())

    def test_too_many_messages(self, directory, writer):
        async def run():
            limits = Limits(messages_at_once=5, messages_per_s=0.001)
            async with serving(directory, limits=limits) as server:
                client = await StreamClient.open(server.state.port)
                for _ in range(6):
                    await client.send(op="ping")
                assert (await client.until_closed())[0] == 1008
                assert client.counts["pong"] == 5
                assert client.of("error")[-1]["code"] == "limit"

        asyncio.run(run())

    def test_too_large_a_message(self, directory, writer):
        async def run():
            async with serving(directory, limits=Limits(message_bytes=1000)) as server:
                client = await StreamClient.open(server.state.port)
                await client.websocket.send("x" * 1001)
                assert (await client.until_closed())[0] == 1009

        asyncio.run(run())

    def test_too_many_subscriptions(self, directory, writer):
        async def run():
            async with (
                serving(directory, limits=Limits(subscriptions=2)) as server,
                await StreamClient.open(server.state.port) as client,
            ):
                first = await client.subscribe("bbo")
                await client.subscribe("trades")
                error = await client.ask("error", op="subscribe", channel="status", id=7)
                assert (error["code"], error["id"]) == ("limit", 7)
                await client.ask("unsubscribed", op="unsubscribe", subscription=first["subscription"])
                await client.subscribe("status")

        asyncio.run(run())


class TestRequests:
    @pytest.mark.parametrize(
        ("request_", "code", "field"),
        [
            ({}, "missing_field", "op"),
            ({"op": "buy"}, "unknown_op", "op"),
            ({"op": 3}, "unknown_op", "op"),
            ({"op": "subscribe"}, "missing_field", "channel"),
            ({"op": "subscribe", "channel": "delta"}, "wrong_field", "channel"),
            ({"op": "subscribe", "channel": "book:0"}, "wrong_field", "channel"),
            ({"op": "subscribe", "channel": "book:1001"}, "wrong_field", "channel"),
            ({"op": "subscribe", "channel": "book:N"}, "wrong_field", "channel"),
            ({"op": "subscribe", "channel": "book"}, "wrong_field", "channel"),
            ({"op": "subscribe", "channel": ["deltas"]}, "wrong_field", "channel"),
            ({"op": "subscribe", "channel": "deltas", "exchange": 5}, "wrong_field", "exchange"),
            ({"op": "subscribe", "channel": "deltas", "exchange": ""}, "wrong_field", "exchange"),
            ({"op": "subscribe", "channel": "deltas", "symbol": "BTC"}, "wrong_field", "symbol"),
            ({"op": "subscribe", "channel": "deltas", "symbol": "[B]*"}, "wrong_field", "symbol"),
            ({"op": "subscribe", "channel": "deltas", "symbol": "*" * 65}, "wrong_field", "symbol"),
            ({"op": "subscribe", "channel": "bbo", "resume": []}, "wrong_field", "resume"),
            ({"op": "subscribe", "channel": "deltas", "resume": {}}, "wrong_field", "resume"),
            ({"op": "subscribe", "channel": "deltas", "resume": [3]}, "wrong_field", "resume[0]"),
            (
                {"op": "subscribe", "channel": "deltas", "resume": [{"set": "a", "symbol": "b", "epoch": -1, "version": 2}]},
                "wrong_field",
                "resume[0].epoch",
            ),
            ({"op": "unsubscribe"}, "missing_field", "subscription"),
            ({"op": "unsubscribe", "subscription": 99}, "wrong_field", "subscription"),
            ({"op": "unsubscribe", "subscription": True}, "wrong_field", "subscription"),
            ({"op": "unsubscribe", "subscription": "1"}, "wrong_field", "subscription"),
            ({"op": "ping", "id": [1]}, "wrong_field", "id"),
            ({"op": "auth"}, "missing_field", "token"),
            ({"op": "auth", "token": 5}, "wrong_field", "token"),
        ],
    )
    def test_what_is_wrong_is_named_and_the_connection_goes_on(self, directory, writer, request_, code, field):
        async def run():
            async with serving(directory) as server:
                for encoding in ("json", "msgpack"):
                    async with await StreamClient.open(server.state.port, encoding) as client:
                        error = await client.ask("error", **request_)
                        assert (error["code"], error["field"]) == (code, field)
                        assert error["hint"]  # each says what would be right
                        assert (await client.ask("pong", op="ping", id="x"))["id"] == "x"

        asyncio.run(run())

    @pytest.mark.parametrize("payload", ["", "nonsense", "[]", "3", '"x"', b"\xc1", b"\x93", "[" * 5000])
    def test_what_is_no_request(self, directory, writer, payload):
        async def run():
            async with serving(directory) as server:
                for encoding in ("json", "msgpack"):
                    async with await StreamClient.open(server.state.port, encoding) as client:
                        await client.websocket.send(payload)
                        await client.until(lambda client=client: client.counts["error"])
                        assert client.of("error")[0]["code"] == "unreadable"
                        await client.ask("pong", op="ping")

        asyncio.run(run())

    def test_a_subscription_without_a_book_says_what_there_is(self, directory, writer):
        async def run():
            async with serving(directory) as server, await StreamClient.open(server.state.port) as client:
                for asked, hint in (
                    ({"exchange": "krakn"}, "no book matches now; there are: kraken"),
                    ({"symbol": "BTC-EUR"}, "no book matches now; there are: BTC-USD, ETH-USD"),
                    ({"exchange": "kraken"}, None),
                ):
                    said = await client.subscribe("bbo", **asked)
                    assert (said["books"] == 0, said.get("hint")) == (hint is not None, hint)
                refused = await client.ask("error", op="unsubscribe", subscription=99)
                assert refused["hint"] == "there are: 1, 2, 3"

        asyncio.run(run())

    def test_a_token_that_nobody_asked_for_is_no_fault(self, directory, writer):
        async def run():
            async with serving(directory) as server, await StreamClient.open(server.state.port) as client:
                assert (await client.ask("authorized", op="auth", token="any", id=4))["id"] == 4
                await client.ask("pong", op="ping")

        asyncio.run(run())

    def test_unknown_fields_are_ignored(self, directory, writer):
        async def run():
            async with serving(directory) as server, await StreamClient.open(server.state.port) as client:
                said = await client.subscribe("bbo", colour="blue", symbol="BTC-USD")
                assert said["books"] == 1

        asyncio.run(run())

    def test_overlapping_subscriptions_send_once_and_the_last_one_ends_it(self, directory, writer):
        async def run():
            async with serving(directory) as server, await StreamClient.open(server.state.port) as client:
                first = await client.subscribe("deltas", symbol="BTC-*")
                second = await client.subscribe("deltas", symbol="*-USD")
                await client.until(lambda: len(client.books) == 2)
                await moved(writer, random.Random(1), [client], 10)
                assert client.counts["snapshot"] == 2
                await client.ask("unsubscribed", op="unsubscribe", subscription=second["subscription"])
                await moved(writer, random.Random(2), [client], 10)
                await client.ask("unsubscribed", op="unsubscribe", subscription=first["subscription"])
                groups = client.books[KEY].groups
                writer.update([(5, 5, False)])
                await client.subscribe("bbo", symbol="BTC-USD")
                await client.until(lambda: client.of("bbo") and client.of("bbo")[-1]["version"] >= 20)
                assert client.books[KEY].groups == groups
                assert not [topic for topic in server.streams.streams._topics if topic[0] == "deltas"]

        asyncio.run(run())


class TestTokens:
    def test_by_header_by_message_and_never_by_address(self, directory, writer):
        async def run():
            async with serving(directory, token="s3cret") as server:
                port = server.state.port
                async with await StreamClient.open(port, headers={"Authorization": "Bearer s3cret"}) as client:
                    await client.subscribe("bbo")
                async with await StreamClient.open(port) as client:
                    assert client.messages == [] or client.messages[0]["needs_auth"]
                    error = await client.ask("error", op="subscribe", channel="bbo")
                    assert error["code"] == "unauthorized"
                    await client.ask("authorized", op="auth", token="s3cret")
                    await client.subscribe("bbo")
                client = await StreamClient.open(port)
                await client.send(op="auth", token="guess")
                assert (await client.until_closed())[0] == 1008
                with pytest.raises(InvalidStatus) as refused:
                    await StreamClient.open(port, headers={"Authorization": "Bearer guess"})
                assert refused.value.response.status_code == 401
                with pytest.raises(InvalidStatus) as refused:
                    await stream_at(port, "/?token=s3cret")
                assert refused.value.response.status_code == 400

        asyncio.run(run())

    def test_one_that_never_gives_it_is_closed(self, directory, writer, monkeypatch):
        monkeypatch.setattr(stream, "AUTH_WITHIN_S", 0.01)

        async def run():
            async with serving(directory, token="s3cret") as server:
                client = await StreamClient.open(server.state.port)
                assert (await client.until_closed())[0] == 1008

        asyncio.run(run())

    def test_the_plan_does_not_show_it(self):
        assert "s3cret" not in repr(ServePlan(token="s3cret"))


async def stream_at(port, path, **headers):
    from websockets.asyncio.client import connect

    websocket = await connect(f"ws://127.0.0.1:{port}{path}", proxy=None, additional_headers=headers)
    await websocket.close()


class TestHandshakes:
    @pytest.mark.parametrize(
        ("path", "headers", "status"),
        [
            ("/elsewhere", {}, 404),
            ("/", {"Origin": "https://evil.example"}, 403),
            ("/", {"Origin": "null"}, 403),
        ],
    )
    def test_refused(self, directory, writer, path, headers, status):
        async def run():
            async with serving(directory) as server:
                with pytest.raises(InvalidStatus) as refused:
                    await stream_at(server.state.port, path, **headers)
                assert refused.value.response.status_code == status

        asyncio.run(run())

    @pytest.mark.parametrize(
        ("path", "headers"),
        [("/ws", {}), ("/", {"Origin": "http://127.0.0.1:8080"}), ("/", {"Origin": "https://desk.example"})],
    )
    def test_let_in(self, directory, writer, path, headers):
        async def run():
            async with serving(directory, origins=("https://desk.example",)) as server:
                await stream_at(server.state.port, path, **headers)

        asyncio.run(run())

    def test_heartbeats_come(self, directory, writer):
        async def run():
            async with serving(directory, heartbeat_s=0.05) as server, await StreamClient.open(server.state.port) as client:
                await client.until(lambda: client.counts["heartbeat"] >= 3)

        asyncio.run(run())

    def test_a_stop_tells_1012(self, directory, writer):
        async def run():
            async with serving(directory) as server:
                client = await StreamClient.open(server.state.port)
                await client.subscribe("deltas")
            code, reason = await client.until_closed()
            assert (code, reason) == (1012, "the server stops: connect again and resume")

        asyncio.run(run())


def skips_groups(monkeypatch):
    emit = DeltasTopic._emit
    monkeypatch.setattr(DeltasTopic, "_emit", lambda self, group: None if group.version % 7 == 0 else emit(self, group))


def loses_a_level(monkeypatch):
    init = SnapshotParts.__init__

    def broken(self, *arguments):
        init(self, *arguments)
        self._bids = self._bids[:-1]

    monkeypatch.setattr(SnapshotParts, "__init__", broken)


def forgets_groups_behind_a_snapshot(monkeypatch):
    encode = DeltasTopic.encode_part

    def broken(self, joining):
        joining.behind.clear()
        return encode(self, joining)

    monkeypatch.setattr(DeltasTopic, "encode_part", broken)


def resumes_one_too_late(monkeypatch):
    since = Source.since
    monkeypatch.setattr(Source, "since", lambda self, key, epoch, version, until: since(self, key, epoch, version + 1, until))


def does_not_mind_a_lap(monkeypatch):
    def broken(self, group):
        self._version = group.version
        self._emit(group)

    monkeypatch.setattr(DeltasTopic, "take", broken)


def has_no_bound(monkeypatch):
    monkeypatch.setattr(Client, "_counted", lambda self, outstanding: -(1 << 40))


def never_conflates(monkeypatch):
    monkeypatch.setattr(Client, "is_behind", False)


class TestMutants:
    """Broken variants, each of which a test above must catch."""

    @pytest.mark.parametrize(
        ("breaks", "caught_by"),
        [
            (loses_a_level, lambda directory: TestDeltas().test_a_lap_is_told_and_healed_by_a_snapshot(directory)),
            (
                forgets_groups_behind_a_snapshot,
                lambda directory: TestDeltas().test_a_large_book_comes_in_parts_and_groups_meanwhile_are_not_lost(directory),
            ),
            (does_not_mind_a_lap, lambda directory: TestDeltas().test_a_lap_is_told_and_healed_by_a_snapshot(directory)),
        ],
    )
    def test_of_deltas(self, directory, monkeypatch, breaks, caught_by):
        breaks(monkeypatch)
        with pytest.raises(AssertionError):
            caught_by(directory)

    @pytest.mark.parametrize(
        ("breaks", "caught_by"),
        [
            (resumes_one_too_late, lambda *of: TestResume().test_a_copy_is_continued(*of)),
            (skips_groups, lambda *of: TestDeltas().test_books_of_every_encoding_equal_the_writers_at_every_check(*of)),
            (
                has_no_bound,
                lambda *of: TestSlowClients().test_one_that_never_reads_is_bounded_told_and_closed_and_delays_nobody(*of),
            ),
            (never_conflates, lambda *of: TestSlowClients().test_current_values_are_conflated_for_one_that_reads_late(*of)),
        ],
    )
    def test_of_clients(self, directory, writer, monkeypatch, breaks, caught_by):
        breaks(monkeypatch)
        with pytest.raises(AssertionError):
            caught_by(directory, writer)


def handshake(port, head=b"GET / HTTP/1.1\r\nHost: a\r\n"):
    """A connection on which the first part of a request was sent."""
    made = socket.create_connection(("127.0.0.1", port))
    made.sendall(head)
    return made


UPGRADE = (
    b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eHh4eHh4eHh4eHh4eHh4eA==\r\n"
)


def is_cut_off(made):
    with suppress(BlockingIOError):
        made.setblocking(False)
        try:
            return made.recv(1) == b""
        except ConnectionError:
            return True
    return False


class TestGate:
    def test_the_oldest_of_too_many_half_handshakes_goes_and_clients_come_in(self, directory, writer, monkeypatch):
        monkeypatch.setattr(gate, "HALF_OPEN", 5)

        async def run():
            async with serving(directory) as server:
                made = []
                for _ in range(20):
                    made.append(handshake(server.state.port))
                    await asyncio.sleep(0)
                while sum(map(is_cut_off, made)) < 15:  # noqa: ASYNC110 - turns of the loop, as many as it takes
                    await asyncio.sleep(0)
                assert [is_cut_off(one) for one in made[-5:]] == [False] * 5
                async with await StreamClient.open(server.state.port) as late:
                    assert (await late.subscribe("deltas"))["books"] == 2
                for one in made:
                    one.close()

        asyncio.run(run())

    def test_a_stop_does_not_wait_for_half_a_handshake(self, directory, writer, monkeypatch):
        monkeypatch.setattr(stream, "OPEN_WITHIN_S", 600.0)

        async def run():
            async with asyncio.timeout(60), serving(directory) as server:
                made = handshake(server.state.port)
                while not server.streams.gate.half_open:  # noqa: ASYNC110 - turns of the loop, as many as it takes
                    await asyncio.sleep(0)
            made.close()

        asyncio.run(run())

    @pytest.mark.parametrize("opcode", [0x89, 0x8A])
    def test_a_flood_of_pings_or_pongs_is_cut_off(self, directory, writer, opcode):
        async def run():
            async with serving(directory) as server:
                made = handshake(server.state.port, b"GET / HTTP/1.1\r\nHost: a\r\n" + UPGRADE + b"\r\n")
                made.setblocking(False)
                loop = asyncio.get_running_loop()
                came = b""
                while b"welcome" not in came:
                    came += await loop.sock_recv(made, 4096)
                with suppress(ConnectionError):
                    await loop.sock_sendall(made, bytes((opcode, 0x80, 0, 0, 0, 0)) * (gate.FRAMES_AT_ONCE + 100))
                    while data := await asyncio.wait_for(loop.sock_recv(made, 65536), 30):
                        came += data
                assert b"frames a second" in came
                assert came.count(b"\x8a\x00") <= gate.FRAMES_AT_ONCE + 100
                made.close()

        asyncio.run(run())

    @pytest.mark.parametrize(
        "head",
        [
            b"GET //[ HTTP/1.1\r\nHost: a\r\n",
            b"GET / HTTP/1.1\r\nHost: [\r\nOrigin: http://a\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nOrigin: a\r\nOrigin: b\r\n",
        ],
    )
    def test_a_request_that_cannot_be_read_is_the_clients_fault(self, directory, writer, head):
        async def run():
            async with serving(directory) as server:
                made = handshake(server.state.port, head + UPGRADE + b"\r\n")
                made.setblocking(False)
                assert (await asyncio.get_running_loop().sock_recv(made, 100)).startswith(b"HTTP/1.1 400")
                made.close()

        asyncio.run(run())

    def test_a_tick_that_fails_is_followed_by_the_next(self, directory, writer, monkeypatch):
        async def run():
            async with serving(directory) as server, await StreamClient.open(server.state.port) as client:
                monkeypatch.setattr(server.streams.streams, "_take_stats", lambda: 1 / 0)
                server.streams.streams._stats_after_ns = 0
                while not server.streams.streams._stats_after_ns:  # noqa: ASYNC110 - turns of the loop, as many as it takes
                    await asyncio.sleep(0)
                monkeypatch.undo()
                await client.subscribe("stats")
                await client.until(lambda: client.counts["stats"])

        asyncio.run(run())


class TestFailures:
    def test_a_directory_that_cannot_be_read_for_a_while_is_tried_again(self, directory, writer, monkeypatch):
        async def run():
            async with serving(directory) as server, await StreamClient.open(server.state.port) as client:
                await client.subscribe("deltas")
                failed = []

                def fail(*_):
                    failed.append(1)
                    raise OSError(24, "Too many open files")

                monkeypatch.setattr(server.state.source._deltas, "look", fail)
                while len(failed) < 3:  # noqa: ASYNC110 - turns of the loop, as many as it takes
                    await asyncio.sleep(0)
                monkeypatch.undo()
                await moved(writer, random.Random(3), [client], 10)

        asyncio.run(run())


class TestResumeAtOnce:
    def test_a_server_that_still_reads_the_ring_continues_a_copy_all_the_same(self, directory, writer, monkeypatch):
        async def run():
            dice = random.Random(9)
            async with serving(directory) as server, await StreamClient.open(server.state.port) as client:
                await client.subscribe("deltas", symbol="BTC-USD")
                await client.until(lambda: is_at(client, writer.keepers["BTC-USD"].version))
                copy = client.books[KEY]
            for _ in range(100):
                writer.update(random_rows(dice))
            monkeypatch.setattr(source, "POLL_RECORDS", 3)
            async with serving(directory) as server, await StreamClient.open(server.state.port) as client:
                client.books[KEY] = copy
                wish = {"set": "kraken", "symbol": "BTC-USD", "epoch": copy.epoch, "version": copy.version}
                await client.subscribe("deltas", symbol="BTC-USD", resume=[wish])
                await moved(writer, dice, [client], 20)
                assert (client.counts["resumed"], client.counts["not_resumed"], client.counts["snapshot"]) == (1, 0, 0)

        asyncio.run(run())


class TestLapOfAQuietBook:
    def test_it_is_healed_though_no_later_group_shows_it(self, directory):
        async def run():
            dice = random.Random(1)
            with Writer(directory, ("BTC-USD", "ETH-USD"), capacity=256) as writer:
                writer.snapshot(ladder(40))
                writer.snapshot(ladder(60), "ETH-USD")
                async with serving(directory) as server, await StreamClient.open(server.state.port) as client:
                    await client.subscribe("deltas")
                    await moved(writer, dice, [client], 5)
                    writer.update(random_rows(dice))  # the loop does not turn: the server sees neither this nor what laps it
                    for _ in range(600):
                        writer.update(random_rows(dice), "ETH-USD")
                    writer.beat()
                    await client.until(lambda: is_at(client, writer.keepers["BTC-USD"].version))
                    assert client.books[KEY].hash == writer.book("BTC-USD").book_hash
                    assert client.counts["missed"] == 1

        asyncio.run(run())
