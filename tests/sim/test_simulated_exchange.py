"""The server of a simulated exchange over real loopback sockets, speaking the small protocol of support.sim_parts."""

import asyncio
import contextlib
import json
from functools import partial

import pytest
from support.sim_parts import FACTS, SMALL, SmallClient, client_of, get, play, read_to_the_end, until, within
from websockets.exceptions import ConnectionClosed, ConnectionClosedError

from alphapulse_cli.errors import UsageError
from alphapulse_cli.sim.exchange import UNTHROTTLED, VIRTUAL_START_NS, SimulatedExchange
from alphapulse_cli.sim.market_maker import SimulatedMarket
from alphapulse_cli.sim.mischief import FLOOD_STEPS, Injection, Scenario

SYMBOLS = ["BTC-USD", "ETH-USD"]


def small_exchange(levels=60, symbols=SYMBOLS, **options):
    """A simulated exchange that moves when it is told to, with small books."""
    market = SimulatedMarket("kraken", 5, symbols, levels_per_side=levels, start_ns=VIRTUAL_START_NS)
    return SimulatedExchange("small", market, speaker=SMALL, **{"rate": 0, **options})


class TestWhatAClientSees:
    """Snapshot and updates fit; the book is the truth's at all times."""

    async def test_the_book_is_exact_after_every_step(self):
        """Read as many frames as there are: then the dict book is the truth."""
        async with small_exchange() as exchange, client_of(exchange) as websocket:
            client = SmallClient(websocket)
            await client.subscribe("BTC/USD")
            for _ in range(50):
                await exchange.advance(3)
                await client.read_until(lambda: client.seq == exchange.truth.sequence("BTC-USD"))
                assert client.book.levels() == exchange.truth.book("BTC-USD")
            assert client.wrong == []
            assert any("trade" in frame for frame in client.frames)

    async def test_a_late_subscriber_gets_the_book_of_that_moment(self):
        """While the market runs by its timer."""
        async with small_exchange(rate=300) as exchange, client_of(exchange) as websocket:
            await until(lambda: exchange.step_count > 50)
            client = SmallClient(websocket)
            await client.subscribe("BTC/USD")
            await client.read_until(lambda: client.updates > 100)
            exchange.stop_timer()
            await client.read_until(lambda: client.seq == exchange.truth.sequence("BTC-USD"))
            assert client.book.levels() == exchange.truth.book("BTC-USD")
            assert client.wrong == []

    async def test_each_connection_has_its_own_subscriptions(self):
        """Two clients, two symbols; both greeted."""
        async with small_exchange() as exchange, client_of(exchange) as one, client_of(exchange) as other:

            def has_all(client, symbol):
                return client.seq == exchange.truth.sequence(symbol)

            clients = [SmallClient(one), SmallClient(other)]
            await clients[0].subscribe("BTC/USD")
            await clients[1].subscribe("ETH/USD")
            await exchange.advance(20)
            for client, symbol, native in zip(clients, SYMBOLS, ["BTC/USD", "ETH/USD"], strict=True):
                await client.read_until(partial(has_all, client, symbol))
                assert client.frames[0] == {"hello": "plain"}
                assert {frame["update"] for frame in client.frames if "update" in frame} == {native}
                assert client.book.levels() == exchange.truth.book(symbol)

    async def test_unknown_symbols_and_nonsense_get_the_exchanges_own_errors(self):
        """The connection goes on."""
        async with small_exchange() as exchange, client_of(exchange) as websocket:
            client = SmallClient(websocket)
            await websocket.send('{"subscribe":"FOO/BAR"}')
            await websocket.send(b"\xff\x00 binary nonsense")
            await client.read_until(lambda: client.errors == 2)
            assert client.frames[1:] == [{"error": "no FOO/BAR"}, {"error": "what?"}]
            await client.subscribe("BTC/USD")

    async def test_heartbeats_come_each_second_of_the_exchanges_clock(self):
        """Twenty steps of 50 ms are a second."""
        async with small_exchange() as exchange, client_of(exchange) as websocket:
            client = SmallClient(websocket)
            await client.subscribe("BTC/USD")
            await exchange.advance(60)
            await client.read_until(lambda: client.seq == exchange.truth.sequence("BTC-USD"))
            beats = [frame["heartbeat"] - VIRTUAL_START_NS for frame in client.frames if "heartbeat" in frame]
            assert beats == [1_000_000_000, 2_000_000_000, 3_000_000_000]

    def test_the_same_seed_and_steps_send_the_same_frames(self):
        """Mischief included."""

        async def scene():
            mischief = [Scenario("gap", 0.1), Scenario("duplicate", 0.1)]
            async with small_exchange(mischief=mischief, seed=3) as exchange, client_of(exchange) as websocket:
                client = SmallClient(websocket)
                await client.subscribe("BTC/USD")
                await exchange.advance(100)
                await exchange.advance(1, "ETH-USD")
                connection = exchange.connections[0]
                await client.read_until(lambda: connection.queued_bytes == 0 and len(client.frames) == connection.frames_sent)
                return client.frames, list(exchange.injections)

        first, second = play(scene()), play(scene())
        assert first == second
        assert len(first[1]) > 10


class TestRest:
    """REST on the same port, below the prefix of the real exchange."""

    async def test_metadata_and_books(self):
        """With and without the prefix; the query's values reach it; unknown paths are its own 404."""
        async with small_exchange() as exchange:
            assert exchange.rest_url == f"http://127.0.0.1:{exchange.port}/api/v9"
            assert await get(exchange, "/instruments") == (200, ["BTC/USD", "ETH/USD"])
            status, body = await get(exchange, "/book?symbol=BTC-USD")
            assert status == 200
            assert [tuple(level) for level in body["bids"]] == exchange.truth.book("BTC-USD")[0]
            assert await get(exchange, "/book?symbol=FOO") == (404, {"error": "not here"})
            assert await get(exchange, "/../../etc/passwd") == (404, {"error": "not here"})

    async def test_a_large_body_arrives_whole(self):
        """45,000 levels."""
        market = SimulatedMarket("coinbase", 5, ["BTC-USD"], start_ns=VIRTUAL_START_NS)
        async with SimulatedExchange("small", market, speaker=SMALL, rate=0) as exchange:
            _, body = await get(exchange, "/book?symbol=BTC-USD")
            assert len(body["bids"]) == market.level_counts("BTC-USD")[0]


class TestPace:
    """A set rate, bursts, as fast as can be, or not at all."""

    async def test_a_set_rate_is_kept_within_reason(self):
        """200 steps a second of each of two symbols: never faster, and not much slower even on a busy machine."""
        async with small_exchange(rate=200) as exchange:
            loop = asyncio.get_running_loop()
            start = loop.time()
            await until(lambda: exchange.step_count >= 400)
            assert 0.8 < loop.time() - start < 15

    async def test_bursts_come_together(self):
        """Steps are counted in whole bursts."""
        async with small_exchange(rate=100, burst=25) as exchange:
            seen = set()
            while exchange.step_count < 100:
                await asyncio.sleep(0)
                seen.add(exchange.step_count)
            assert all(count % 25 == 0 for count in seen)

    async def test_unthrottled_waits_for_its_clients_and_stays_exact(self):
        """No frame is lost to speed; nothing happens while nobody is there."""
        async with small_exchange(rate=UNTHROTTLED) as exchange:
            for _ in range(10):
                await asyncio.sleep(0)
            assert exchange.step_count == 0
            async with client_of(exchange) as websocket:
                client = SmallClient(websocket)
                await client.subscribe("BTC/USD")
                await client.read_until(lambda: exchange.step_count > 3000)
                exchange.stop_timer()
                await client.read_until(lambda: client.seq == exchange.truth.sequence("BTC-USD"))
                assert client.book.levels() == exchange.truth.book("BTC-USD")
                assert client.wrong == []

    @pytest.mark.parametrize("options", [{"rate": -1}, {"rate": float("nan")}, {"burst": 0}, {"mode": "none"}])
    def test_impossible_options_are_refused(self, options):
        """Before any port is opened."""
        with pytest.raises(UsageError):
            small_exchange(**options)


class TestSlowAndGoneClients:
    """Nobody's slowness is another's trouble."""

    async def test_a_client_that_does_not_read_is_dropped_at_the_bound_and_told(self):
        """The socket is full and so is its queue: close code 1008 with the reason, seen by the client if it reads in time."""
        async with small_exchange(levels=2000, queue_bytes=1_000_000) as exchange, client_of(exchange, max_queue=1) as slow:
            while not exchange.connections or not exchange.connections[0].dropped:
                await slow.send('{"subscribe":"BTC/USD"}')
                await asyncio.sleep(0)
                assert all(connection.queued_bytes <= 1_000_000 for connection in exchange.connections)
            with pytest.raises(ConnectionClosedError, match="too slow") as closed:
                await read_to_the_end(slow)
            assert closed.value.rcvd.code == 1008
            await until(lambda: not exchange.connections)
            assert "too slow" in exchange.dropped[0]

    async def test_others_lose_nothing_by_it(self):
        """A client that reads goes on while the other is dropped."""
        async with (
            small_exchange(levels=2000, queue_bytes=1_000_000) as exchange,
            client_of(exchange, max_queue=1) as slow,
            client_of(exchange) as quick,
        ):
            client = SmallClient(quick)
            await client.subscribe("BTC/USD")
            while not exchange.dropped:
                if len(exchange.connections) == 2 and not exchange.connections[0].dropped:
                    await slow.send('{"subscribe":"BTC/USD"}')
                await exchange.advance(1)
                await client.read_until(lambda: client.seq == exchange.truth.sequence("BTC-USD"))
            assert [connection.number for connection in exchange.connections] == [2]
            assert client.book.levels() == exchange.truth.book("BTC-USD")
            assert client.wrong == []

    async def test_a_client_that_goes_is_forgotten(self):
        """With close frame or without."""
        async with small_exchange() as exchange:
            for abruptly in (False, True):
                websocket = await client_of(exchange)
                await until(lambda: len(exchange.connections) == 1)
                if abruptly:
                    websocket.transport.abort()
                else:
                    await websocket.close()
                await until(lambda: not exchange.connections)
                await exchange.advance(5)
            assert exchange.connection_count == 2


class TestMischiefOverTheWire:
    """Each kind can be seen by a client, and is in the log."""

    @staticmethod
    @contextlib.asynccontextmanager
    async def struck(kind):
        """(a quiet exchange with one kind armed, its client); in the end, that kind is in the log once."""
        async with small_exchange() as exchange, client_of(exchange) as websocket:
            client = SmallClient(websocket)
            await client.subscribe("BTC/USD")
            await exchange.advance(5)
            exchange.inject(kind, "BTC-USD", seconds=1.0)
            yield exchange, client
            assert [(each.kind, each.connection, each.symbol) for each in exchange.injections] == [(kind, 1, "BTC-USD")]
            assert exchange.injection_counts == {kind: 1}

    @pytest.mark.parametrize(
        ("kind", "wrong"),
        [
            ("gap", "sequence"),
            ("duplicate", "sequence"),
            ("reorder", "sequence"),
            ("checksum", "checksum"),
            ("garbage", "garbage"),
            ("unknown", "unknown"),
        ],
    )
    async def test_frames_go_wrong_as_named(self, kind, wrong):
        """The client notes what it could know."""
        async with self.struck(kind) as (exchange, client):
            await exchange.advance(10, "BTC-USD")
            await client.read_until(lambda: client.seq == exchange.truth.sequence("BTC-USD"))
            assert wrong in client.wrong

    async def test_a_disconnect_is_a_connection_torn_down(self):
        """Without a close frame; another connection may come."""
        async with self.struck("disconnect") as (exchange, client):
            await exchange.advance(10, "BTC-USD")
            with pytest.raises(ConnectionClosedError) as closed:
                await read_to_the_end(client.websocket)
            assert closed.value.rcvd is None
            async with client_of(exchange) as websocket:
                await SmallClient(websocket).subscribe("BTC/USD")

    async def test_a_stall_is_silence_and_then_all_that_waited(self):
        """A second of the exchange's clock: nothing but what was on its way; after it the book is exact."""
        async with self.struck("stall") as (exchange, client):
            await exchange.advance(1, "BTC-USD")
            while not exchange.injections:
                await exchange.advance(1, "BTC-USD")
            sent = exchange.connections[0].frames_sent
            await exchange.advance(15, "BTC-USD")
            assert exchange.connections[0].frames_sent == sent
            assert exchange.connections[0].queued_bytes > 0
            await exchange.advance(10, "BTC-USD")
            await client.read_until(lambda: client.seq == exchange.truth.sequence("BTC-USD"))
            assert client.book.levels() == exchange.truth.book("BTC-USD")
            assert client.wrong == []

    async def test_a_flood_is_many_steps_at_once(self):
        """All of them legal, all of them sent."""
        async with self.struck("flood") as (exchange, client):
            before = exchange.step_count
            await exchange.advance(5, "BTC-USD")
            assert exchange.step_count >= before + 5 + FLOOD_STEPS
            await client.read_until(lambda: client.seq == exchange.truth.sequence("BTC-USD"))
            assert client.book.levels() == exchange.truth.book("BTC-USD")
            assert client.wrong == []

    async def test_what_cannot_strike_is_not_logged(self):
        """A client without a subscription gets no update that could be dropped; the mischief waits for one."""
        async with small_exchange() as exchange, client_of(exchange) as websocket:
            client = SmallClient(websocket)
            await client.read_until(lambda: bool(client.frames))
            exchange.inject("gap")
            await exchange.advance(20)
            assert not exchange.injections
            await client.subscribe("BTC/USD")
            await exchange.advance(20)
            assert [each.kind for each in exchange.injections] == ["gap"]
            assert exchange.injections[0] == Injection(exchange.injections[0].at_ns, "gap", 1, "BTC-USD")

    async def test_an_unknown_kind_is_refused(self):
        """As on the command line."""
        async with small_exchange() as exchange:
            with pytest.raises(UsageError, match="unknown mischief"):
                exchange.inject("gop")


class TestItsLife:
    """Addresses, ports, the end."""

    async def test_addresses_have_the_real_paths(self):
        """Those of the mode."""
        async with small_exchange(mode="fancy") as exchange:
            assert exchange.websocket_url == f"ws://127.0.0.1:{exchange.port}/fancy"
            assert exchange.rest_url == f"http://127.0.0.1:{exchange.port}"
            assert exchange.mode == FACTS.modes[1].name

    async def test_a_taken_port_is_refused_in_one_line(self):
        """Naming it."""
        async with small_exchange() as exchange:
            with pytest.raises(UsageError, match=str(exchange.port)):
                async with small_exchange(port=exchange.port):
                    pass

    async def test_who_opens_the_port_and_says_nothing_leaves_no_trace(self, caplog):
        """Nor does one that speaks no HTTP; the exchange goes on."""
        async with small_exchange() as exchange:
            for words in (b"", b"no HTTP at all\r\n\r\n"):
                reader, writer = await asyncio.open_connection(exchange.host, exchange.port)
                writer.write(words)
                writer.write_eof()
                await within(reader.read())
                writer.close()
                await writer.wait_closed()
            async with client_of(exchange) as websocket:
                await SmallClient(websocket).subscribe("BTC/USD")
        assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]

    async def test_stopping_tells_the_clients(self):
        """Close code 1001, going away."""
        async with small_exchange(rate=50) as exchange:
            websocket = await client_of(exchange)
            await websocket.send(json.dumps({"subscribe": "BTC/USD"}))
        with pytest.raises(ConnectionClosed) as closed:
            await read_to_the_end(websocket)
        assert closed.value.rcvd.code == 1001
