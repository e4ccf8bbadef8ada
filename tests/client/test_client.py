"""The client of `serve` against servers in this process: exact books, resume, losses and states as items, refusals; and its mutants."""

import asyncio
import random
import socket
from contextlib import asynccontextmanager

import pytest
from support.reader_sets import Writer, ladder, random_rows
from support.serving import serving

from alphapulse_cli import client
from alphapulse_cli.apps.serve.state import Limits
from alphapulse_cli.apps.serve.topics import DeltasTopic
from alphapulse_cli.client import frames, link, session
from alphapulse_cli.client.items import RemoteBook
from alphapulse_cli.errors import DecodeError, ExchangeError, Refused, UsageError
from alphapulse_cli.wire.delta import BookReason, BookState
from alphapulse_cli.wire.served import RAW_HEADER

KEY = ("kraken", "BTC-USD")


def url_of(server):
    return f"ws://127.0.0.1:{server.state.port}"


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


class Watch:
    """What a stream hands out, read in a task; `until` waits for a condition of it."""

    def __init__(self, items):
        self.items = []
        self._came = asyncio.Event()
        self._task = asyncio.create_task(self._read(items))

    async def _read(self, items):
        try:
            async for item in items:
                self.items.append(item)
                self._came.set()
        finally:
            self._came.set()

    def of(self, kind):
        return [item for item in self.items if isinstance(item, kind)]

    async def until(self, condition, limit_s=30.0):
        async with asyncio.timeout(limit_s):
            while not condition():
                if self._task.done():
                    self._task.result()
                    raise AssertionError("the items ended")
                self._came.clear()
                await self._came.wait()

    async def stop(self):
        self._task.cancel()
        await asyncio.wait([self._task])


@asynccontextmanager
async def watching(url, *wishes, **options):
    async with client.connect(url, **options) as stream:
        watch = Watch(stream.items(*wishes or (client.Wish("deltas"),)))
        try:
            yield stream, watch
        finally:
            await watch.stop()


def is_at(stream, writer, symbol="BTC-USD"):
    book, ours = stream.books.get(("kraken", symbol)), writer.book(symbol)
    return book is not None and book.epoch == writer.outlet.epoch and book.version == writer.keepers[symbol].version and ours


def assert_same(stream, writer, symbol="BTC-USD"):
    ours, theirs = stream.books["kraken", symbol].book, writer.book(symbol)
    assert (ours.bids(), ours.asks()) == (theirs.bids(), theirs.asks())
    assert stream.books["kraken", symbol].timestamp_ns == writer.now_ns


async def move(writer, dice, stream, watch, count=20):
    for number in range(count):
        writer.now_ns += 1000
        writer.update(random_rows(dice))
        if number % 5 == 4:
            writer.check()
            writer.beat()
            await asyncio.sleep(0)
    writer.check()
    checks = sum(item.version == writer.keepers["BTC-USD"].version for item in watch.of(client.Checked))
    await watch.until(lambda: is_at(stream, writer))
    await watch.until(lambda: sum(item.version == writer.keepers["BTC-USD"].version for item in watch.of(client.Checked)) > checks)
    assert_same(stream, writer)


class TestBooks:
    def test_every_check_proves_the_replica_and_each_update_says_what_changed(self, directory):
        async def run():
            with Writer(directory) as writer:
                writer.snapshot(ladder(4000))
                async with serving(directory) as server, watching(url_of(server)) as (stream, watch):
                    await watch.until(lambda: watch.of(client.Began))
                    await move(writer, random.Random(3), stream, watch, 100)
                    assert len(watch.of(client.Began)) == 1
                    assert len(watch.of(client.Checked)) > 10
                    assert not watch.of(client.Broken)
                    updates = watch.of(client.Update)
                    assert [one.version for one in updates] == list(range(updates[0].version, updates[-1].version + 1))
                    book = stream.books[KEY]
                    (states,) = [(one.state, one.reason) for one in watch.of(client.StateChanged)][-1:]
                    assert states == (BookState.LIVE, BookReason.NONE)
                    assert book.is_tradable
                    writer.update([(999_000, 7, False)])
                    await watch.until(lambda: is_at(stream, writer))
                    assert watch.of(client.Update)[-1].changes == [("bid", 999_000, 7)]

        asyncio.run(run())

    def test_a_clients_loop_without_asyncio_sees_the_same(self, directory):
        async def serve_until(over, serves):
            with Writer(directory) as writer:
                writer.snapshot(ladder(40))
                async with serving(directory) as server:
                    serves.set_result(url_of(server))
                    dice = random.Random(1)
                    while not over.is_set():
                        writer.update(random_rows(dice))
                        writer.check()
                        writer.beat()
                        await asyncio.sleep(0.005)

        def read(url):
            found: list[client.Item] = []
            items = client.follow(url, "kraken", "btc/usd")
            while sum(isinstance(one, client.Checked) for one in found) < 6:
                found.append(next(items))
            items.close()
            return found

        async def run():
            over, serves = asyncio.Event(), asyncio.get_running_loop().create_future()
            running = asyncio.create_task(serve_until(over, serves))
            found = await asyncio.to_thread(read, await serves)
            over.set()
            await running
            return found

        found = asyncio.run(run())
        assert isinstance(found[0], client.Connected)
        assert {type(one) for one in found} >= {client.Began, client.Update, client.Checked, client.StateChanged}

    def test_trades_come_with_their_own_times(self, directory):
        async def run():
            with Writer(directory) as writer:
                writer.snapshot(ladder(10))
                async with serving(directory) as server, watching(url_of(server), client.Wish("trades")) as (stream, watch):
                    await watch.until(lambda: stream._session.subscribed)
                    writer.trades(("t1", 5, 6, 0), ("t2", 7, 8, 1), exchange_ns=123)
                    await watch.until(lambda: len(watch.of(client.TradeItem)) == 2)
                    first = watch.of(client.TradeItem)[0]
                    assert (first.trade_id, first.price, first.size, first.side) == ("t1", "0.05", "0.00000006", "buy")
                    assert (first.timestamp_ns, first.exchange_ns) == (writer.now_ns, 123)

        asyncio.run(run())

    def test_a_state_of_the_writer_and_a_market_that_pauses_are_shown(self, directory):
        async def run():
            with Writer(directory) as writer:
                writer.snapshot(ladder(10))
                async with serving(directory) as server, watching(url_of(server)) as (stream, watch):
                    await watch.until(lambda: stream.books.get(KEY) and stream.books[KEY].is_tradable)
                    writer.keepers["BTC-USD"].set_state(BookState.SYNCING, BookReason.SEQUENCE_GAP, writer.now_ns)
                    await watch.until(lambda: stream.books[KEY].state is BookState.SYNCING)
                    assert stream.books[KEY].reason is BookReason.SEQUENCE_GAP
                    writer.snapshot(ladder(12))
                    await watch.until(lambda: stream.books[KEY].state is BookState.LIVE)
                    assert_same(stream, writer)

        asyncio.run(run())

    def test_a_dead_writer_is_stale(self, directory):
        async def run():
            async with serving(directory) as server:
                with Writer(directory) as writer:
                    writer.snapshot(ladder(10))
                    async with watching(url_of(server)) as (stream, watch):
                        await watch.until(lambda: stream.books.get(KEY) and stream.books[KEY].is_tradable)
                        writer.close()
                        await watch.until(lambda: stream.books[KEY].state is BookState.STALE)
                        assert stream.books[KEY].reason is BookReason.RETIRED
                        assert stream.books[KEY].is_whole

        asyncio.run(run())


class TestLosses:
    def test_a_restart_of_the_server_is_survived_by_resume_without_a_snapshot(self, directory):
        async def run():
            port, dice = free_port(), random.Random(9)
            with Writer(directory) as writer:
                writer.snapshot(ladder(40))
                async with serving(directory, port=port) as server:
                    opened = client.connect(url_of(server))
                    await opened.__aenter__()
                    watch = Watch(opened.deltas())
                    await watch.until(lambda: watch.of(client.Began))
                    await move(writer, dice, opened, watch)
                await watch.until(lambda: watch.of(client.Disconnected))
                assert watch.of(client.Disconnected)[0].code == 1012
                assert opened.books[KEY].state is BookState.STALE
                for _ in range(30):
                    writer.update(random_rows(dice))
                writer.beat()
                async with serving(directory, port=port):
                    await watch.until(lambda: opened.books[KEY].is_tradable and is_at(opened, writer))
                    await move(writer, dice, opened, watch)
                    await watch.stop()
                    await opened.close()
                assert [one.again for one in watch.of(client.Connected)] == [False, True]
                assert len(watch.of(client.Began)) == 1, "resumed"
                assert not watch.of(client.Lost)
                versions = [one.version for one in watch.of(client.Update)]
                assert versions == list(range(versions[0], versions[-1] + 1))

        asyncio.run(run())

    def test_what_the_server_no_longer_has_is_told_as_lost(self, directory):
        async def run():
            port, dice = free_port(), random.Random(9)
            with Writer(directory, capacity=64) as writer:
                writer.snapshot(ladder(40))
                async with serving(directory, port=port) as server:
                    opened = client.connect(url_of(server))
                    await opened.__aenter__()
                    watch = Watch(opened.items(client.Wish("deltas"), client.Wish("trades")))
                    await watch.until(lambda: watch.of(client.Began))
                    writer.trades(("t1", 5, 6, 0))
                    await watch.until(lambda: watch.of(client.TradeItem))
                    version = opened.books[KEY].version
                for _ in range(300):
                    writer.update(random_rows(dice))
                writer.trades(("t2", 5, 6, 0), ("t3", 5, 6, 0))
                writer.beat()
                async with serving(directory, port=port):
                    await watch.until(lambda: opened.books[KEY].is_tradable and is_at(opened, writer))
                    await watch.until(lambda: opened._session.subscribed == opened._session.wish_count)
                    writer.trades(("t4", 5, 6, 0))
                    await watch.until(lambda: len(watch.of(client.Lost)) == 2)
                    await move(writer, dice, opened, watch)
                    await watch.stop()
                    await opened.close()
                deltas, trades = watch.of(client.Lost)
                began = watch.of(client.Began)[-1]
                assert (deltas.ring, deltas.symbol, deltas.missed) == ("deltas", "BTC-USD", began.version - version)
                assert (trades.ring, trades.missed) == ("trades", 2)

        asyncio.run(run())

    def test_another_writer_is_told_and_its_book_is_exact(self, directory):
        async def run():
            async with serving(directory) as server:
                with Writer(directory) as first:
                    first.snapshot(ladder(10))
                    opened = client.connect(url_of(server))
                    await opened.__aenter__()
                    watch = Watch(opened.deltas())
                    await watch.until(lambda: watch.of(client.Began))
                    await move(first, random.Random(1), opened, watch)
                with Writer(directory) as second:
                    second.snapshot(ladder(12, 7))
                    await watch.until(lambda: is_at(opened, second))
                    await move(second, random.Random(2), opened, watch)
                    await watch.stop()
                    await opened.close()
                    assert [one.epoch for one in watch.of(client.Restarted)] == [second.outlet.epoch]
                    assert not watch.of(client.Lost)

        asyncio.run(run())

    def test_a_lap_of_the_server_is_told(self, directory):
        async def run():
            with Writer(directory, capacity=64) as writer:
                writer.snapshot(ladder(40))
                async with serving(directory) as server, watching(url_of(server)) as (stream, watch):
                    await watch.until(lambda: watch.of(client.Began))
                    dice = random.Random(2)
                    for _ in range(300):  # in one turn of the loop
                        writer.update(random_rows(dice))
                    await move(writer, dice, stream, watch)
                    (lost,) = watch.of(client.Lost)
                    assert lost.missed > 200
                    assert lost.symbol == ""

        asyncio.run(run())

    def test_a_slow_client_is_told_closed_and_goes_on(self, directory, monkeypatch):
        monkeypatch.setattr(link, "WAITING_FRAMES", 4)

        async def run():
            with Writer(directory, capacity=1 << 14) as writer:
                writer.snapshot(ladder(40))
                limits = Limits(queue_bytes=64 << 10)
                async with serving(directory, limits=limits) as server, client.connect(url_of(server)) as stream:
                    items = stream.deltas("kraken", "BTC-USD")
                    async for item in items:
                        if isinstance(item, client.Checked):
                            break
                    transport = stream._link._websocket.transport
                    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 32 << 10)
                    transport.pause_reading()  # as its full buffer would do later
                    dice = random.Random(4)
                    while not server.state.clients.slow:
                        for _ in range(40):
                            writer.update([(1_000_001 + dice.randrange(60), dice.randrange(1, 1 << 40), True) for _ in range(24)])
                        writer.beat()
                        await asyncio.sleep(0)
                    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
                    transport.resume_reading()
                    writer.check()
                    found = []
                    async with asyncio.timeout(30):
                        async for item in items:
                            found.append(item)
                            if is_at(stream, writer) and isinstance(item, client.Checked):
                                break
                    (closed,) = [item for item in found if isinstance(item, client.Disconnected)]
                    assert closed.code == 1013
                    assert "too slow" in closed.reason
                    assert_same(stream, writer)

        asyncio.run(run())

    def test_a_connection_that_says_nothing_is_stale_and_then_given_up(self, directory, monkeypatch):
        monkeypatch.setattr(link, "PING_EVERY_S", 0.02)
        monkeypatch.setattr(link, "SILENT_NS", 60_000_000)
        monkeypatch.setattr(link, "DEAD_NS", 200_000_000)

        async def run():
            with Writer(directory) as writer:
                writer.snapshot(ladder(10))
                async with serving(directory) as server, watching(url_of(server)) as (stream, watch):
                    await watch.until(lambda: stream.books.get(KEY) and stream.books[KEY].is_tradable)
                    for one in server.state.streams.streams.clients:
                        one.websocket.transport.pause_reading()  # no pong, and nothing else
                    await watch.until(lambda: watch.of(client.Disconnected))
                    await watch.until(lambda: stream.books[KEY].reason is BookReason.DISCONNECTED)
                    reasons = [one.reason for one in watch.of(client.StateChanged)]
                    assert reasons[-2:] == [BookReason.SILENT, BookReason.DISCONNECTED]
                    writer.beat()
                    await watch.until(lambda: stream.books[KEY].is_tradable)

        asyncio.run(run())


class TestMutants:
    """The same runs with a fault planted: each must be told, or the proofs above prove nothing."""

    def test_a_group_that_the_client_drops_is_noticed_and_healed(self, directory, monkeypatch):
        take = session.Session._take_group
        dropped: list[int] = []

        def drops_one(self, group, items):
            if group.kind == session.DELTA_KIND and group.version > 20 and not dropped:
                dropped.append(group.version)
            else:
                take(self, group, items)

        monkeypatch.setattr(session.Session, "_take_group", drops_one)
        self._assert_broken(directory, "CHAIN_BROKEN")
        assert dropped

    def test_a_change_that_the_client_drops_is_told_by_the_check(self, directory, monkeypatch):
        read = frames.Reader.read
        dropped: list[int] = []

        def drops_one(self, payload):
            found = read(self, payload)
            if isinstance(found, frames.Group) and found.kind == session.DELTA_KIND and found.version > 20 and not dropped:
                dropped.append(found.version)
                found.records[frames.COUNT_AT] = 0  # the group is there, its changes are not
            return found

        monkeypatch.setattr(frames.Reader, "read", drops_one)
        self._assert_broken(directory, "CHECK_FAILED")
        assert dropped

    def test_a_group_that_the_server_drops_is_noticed(self, directory, monkeypatch):
        emit = DeltasTopic._emit
        dropped: list[int] = []

        def drops_one(self, group):
            if group.version > 20 and not dropped:
                dropped.append(group.version)
            else:
                emit(self, group)

        monkeypatch.setattr(DeltasTopic, "_emit", drops_one)
        self._assert_broken(directory, "CHAIN_BROKEN")

    def _assert_broken(self, directory, why):
        async def run():
            with Writer(directory) as writer:
                writer.snapshot(ladder(40))
                async with serving(directory) as server, watching(url_of(server)) as (stream, watch):
                    await watch.until(lambda: watch.of(client.Began))
                    dice = random.Random(6)
                    for _ in range(40):
                        writer.update(random_rows(dice))
                    writer.check()
                    await watch.until(lambda: watch.of(client.Broken))
                    assert watch.of(client.Broken)[0].why.name == why
                    await move(writer, dice, stream, watch)
                    assert len(watch.of(client.Began)) == 2

        asyncio.run(run())


class TestRefusals:
    def test_addresses_that_are_none(self):
        for url in ("", "http://here", "ws://", "ws://a b", "ws://user:pw@here", "ws://here?token=x", "ws://here:99999"):
            with pytest.raises(UsageError):
                client.connect(url)

    def test_nobody_there(self):
        async def run():
            async with client.connect(f"ws://127.0.0.1:{free_port()}"):
                pass

        with pytest.raises(ExchangeError, match="cannot connect") as refused:
            asyncio.run(run())
        assert "alphapulse serve" in refused.value.hint

    def test_tokens(self, directory):
        async def run():
            with Writer(directory) as writer:
                writer.snapshot(ladder(10))
                async with serving(directory, token="secret-of-the-test") as server:
                    async with watching(url_of(server), token="secret-of-the-test") as (_, watch):
                        await watch.until(lambda: watch.of(client.Began))
                    for wrong in ("", "another"):
                        with pytest.raises(Refused, match="token") as refused:
                            async with client.connect(url_of(server), token=wrong):
                                pass
                        assert "connect(url, token=…)" in refused.value.hint

        asyncio.run(run())

    def test_the_rest_port_and_a_request_that_is_refused(self, directory):
        async def run():
            with Writer(directory) as writer:
                writer.snapshot(ladder(10))
                async with serving(directory, limits=Limits(subscriptions=1)) as server:
                    async with client.connect(url_of(server)) as stream:
                        with pytest.raises(Refused, match="at most 1 subscriptions"):
                            async for _ in stream.deltas():
                                pass
                    with pytest.raises(Refused, match="404"):
                        async with client.connect(f"{url_of(server)}/elsewhere"):
                            pass

        asyncio.run(run())

    def test_two_loops_and_unknown_channels_are_refused(self, directory):
        async def run():
            with Writer(directory) as writer:
                writer.snapshot(ladder(10))
                async with serving(directory) as server, watching(url_of(server)) as (stream, watch):
                    await watch.until(lambda: watch.of(client.Began))
                    with pytest.raises(UsageError, match="two loops"):
                        await anext(stream.trades())
                    with pytest.raises(UsageError, match="unknown channel"):
                        await anext(stream.items(client.Wish("prices")))

        asyncio.run(run())

    def test_frames_that_cannot_be_right_are_refused_with_a_documented_error(self):
        reader, dice = frames.Reader(), random.Random(12)
        good = RAW_HEADER.pack(1, 0, 1, 1, 0, 7, b"kraken")
        refused = 0
        for turn in range(2000):
            payload = good[: turn % 60] + dice.randbytes(dice.choice((0, 5, 128, 256, 512, 700)))
            if turn % 3:
                payload = bytes([turn % 5]) + payload[1:]
            try:
                session.Session().receive(payload)
                reader.read(payload.decode("latin-1"))
            except DecodeError:
                refused += 1
        assert refused > 1000


def test_a_book_says_what_it_is():
    assert repr(RemoteBook("kraken", "kraken", "BTC-USD")) == "<RemoteBook kraken BTC-USD version 0 SYNCING>"
