"""Mischief that stays with a connection, or is of the exchange as a whole, as a client of a simulated exchange meets it on its socket."""

import asyncio
import contextlib
import json
from urllib.request import urlopen

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from alphapulse_cli.sim.exchange import SimulatedExchange

SUBSCRIBE = {
    "kraken": {"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USD", "ETH/USD"], "depth": 10}},
    "binance-us": {"method": "SUBSCRIBE", "params": ["btcusdt@depth@100ms", "ethusdt@depth@100ms"], "id": 1},
    "okx": {"op": "subscribe", "args": [{"channel": "books", "instId": each} for each in ("BTC-USDT", "ETH-USDT")]},
    "coinbase": {"type": "subscribe", "channel": "level2", "product_ids": ["BTC-USD", "ETH-USD"]},
    "bitfinex": {"event": "subscribe", "channel": "book", "symbol": "tBTCUSD"},
}
OTHERS = {"bitfinex": {"event": "subscribe", "channel": "book", "symbol": "tETHUSD"}}  # one symbol a request


class Client:
    """One client, and all that it has heard."""

    def __init__(self, sim, websocket):
        self.sim, self.websocket = sim, websocket
        self.heard = []
        self.names = {}  # of Bitfinex's channels, whose data name only a number
        self.listening = asyncio.create_task(self._listen())

    async def _listen(self):
        with contextlib.suppress(ConnectionClosed):
            async for frame in self.websocket:
                if frame.startswith('{"event":"subscribed"'):
                    ack = json.loads(frame)
                    self.names[f"[{ack['chanId']},"] = ack["symbol"]
                name = next((name for number, name in self.names.items() if frame.startswith(number)), "")
                self.heard.append(f"{name}{frame}")

    async def subscribe(self):
        for asked in (SUBSCRIBE, OTHERS):
            if self.sim.name in asked:
                await self.websocket.send(json.dumps(asked[self.sim.name]))
        return await self.drained()

    async def drained(self, steps=0):
        """What was heard since the last call, once the market moved so many steps and nothing is on its way any more."""
        await self.sim.advance(steps)
        await self._round_trip()  # what we said was read, and answers are queued
        while any(connection.queued_bytes for connection in self.sim.connections):  # noqa: ASYNC110 - a queue has no event of its own
            await asyncio.sleep(0)
        await self._round_trip()  # what was sent before the pong is here
        heard, self.heard = self.heard, []
        return heard

    async def _round_trip(self):
        await (await self.websocket.ping())


@contextlib.asynccontextmanager
async def subscribed(name):
    """(the simulated exchange, a client that is subscribed to its two books)."""
    async with (
        SimulatedExchange(name, rate=0, symbols=SYMBOLS[name]) as sim,
        connect(sim.websocket_url, max_size=None, compression=None) as websocket,
    ):
        client = Client(sim, websocket)
        await client.subscribe()
        yield sim, client
        client.listening.cancel()


SYMBOLS = {
    "kraken": ("BTC-USD", "ETH-USD"),
    "coinbase": ("BTC-USD", "ETH-USD"),
    "binance-us": ("BTC-USDT", "ETH-USDT"),
    "okx": ("BTC-USDT", "ETH-USDT"),
    "bitfinex": ("BTC-USD", "ETH-USD"),
}
NAMES = sorted(SYMBOLS)


@pytest.mark.parametrize("name", NAMES)
class TestMute:
    async def test_says_nothing_more_and_answers_pings(self, name):
        async with subscribed(name) as (sim, client):
            assert await client.drained(steps=3)
            sim.inject("mute")
            await client.drained(steps=3)
            assert await client.drained(steps=40) == []

    async def test_one_symbol_goes_and_comes_back_when_it_is_subscribed_to_again(self, name):
        async with subscribed(name) as (sim, client):
            symbol, other = SYMBOLS[name]
            native, kept = (sim.truth.instruments[each].native for each in (symbol, other))
            sim.inject("mute", symbol)
            await client.drained(steps=3)
            heard = "".join(await client.drained(steps=20))
            assert kept in heard
            assert native not in heard
            await client.subscribe()
            if name != "kraken":  # which says "Already subscribed", and goes on
                assert native in "".join(await client.drained(steps=20))


@pytest.mark.parametrize("name", NAMES)
class TestSubscriptionsThatFail:
    async def test_one_is_refused_for_now_the_next_is_right(self, name):
        async with subscribed(name) as (sim, client):
            sim.inject("refuse")
            await client.drained(steps=3)
            await client.websocket.send(json.dumps(SUBSCRIBE[name]))
            heard = "".join(await client.drained())
            assert any(
                word in heard
                for word in ("Exceeded msg rate", "Too many requests", "rate limit exceeded", "Requests too frequent", "ratelimit")
            )

    async def test_one_lost_subscription_gets_no_answer(self, name):
        async with subscribed(name) as (sim, client):
            sim.inject("lost-ack")
            await client.drained(steps=3)
            await client.websocket.send(json.dumps(SUBSCRIBE[name]))
            assert await client.drained() == []
            await client.websocket.send(json.dumps(SUBSCRIBE[name]))
            assert await client.drained()


@pytest.mark.parametrize("kind", ["disconnect", "rst", "handshake-503"])
async def test_a_connection_is_torn_down(kind):
    async with subscribed("kraken") as (sim, client):
        sim.inject(kind)
        with pytest.raises(ConnectionClosed):
            await client.drained(steps=5)
        assert sim.injection_counts == {kind: 1}


@pytest.mark.parametrize(("status", "pause"), [(401, None), (403, None), (418, "7"), (429, "7"), (503, None)])
async def test_the_next_handshake_is_refused_once(status, pause):
    async with subscribed("kraken") as (sim, client):
        sim.inject(f"handshake-{status}", seconds=7)
        with pytest.raises(ConnectionClosed):
            await client.drained(steps=5)
        with pytest.raises(InvalidStatus) as refused:
            await connect(sim.websocket_url)
        assert refused.value.response.status_code == status
        assert refused.value.response.headers.get("Retry-After") == pause
        async with connect(sim.websocket_url):
            pass


class TestSequenceReset:
    async def test_binances_ids_go_back_on_the_same_connection_and_by_rest(self):
        async with subscribed("binance-us") as (sim, client):
            symbol = SYMBOLS["binance-us"][0]
            before = sim.truth.sequence(symbol)
            sim.inject("sequence-reset", symbol)
            ids = [json.loads(each)["data"]["u"] for each in await client.drained(steps=6) if "BTCUSDT" in each]
            assert ids[0] == max(ids) > before > 100 * ids[-1]
            assert await snapshot_id(sim) == ids[-1]

    async def test_coinbases_numbers_begin_anew(self):
        async with subscribed("coinbase") as (sim, client):
            sim.inject("sequence-reset")
            numbers = [json.loads(each)["sequence_num"] for each in await client.drained(steps=6)]
            assert 0 in numbers[1:]


async def snapshot_id(sim):
    def get():
        with urlopen(f"{sim.rest_url}/api/v3/depth?symbol=BTCUSDT&limit=100", timeout=10) as answer:
            return json.loads(answer.read())["lastUpdateId"]

    return await asyncio.to_thread(get)


class TestSnapshots:
    async def test_old_is_the_one_before_ahead_is_far_ahead_once_each(self):
        async with subscribed("binance-us") as (sim, client):
            first = await snapshot_id(sim)
            sim.inject("old-snapshot")
            await client.drained(steps=5)
            assert await snapshot_id(sim) == first
            assert await snapshot_id(sim) == sim.truth.sequence("BTC-USDT") > first
            sim.inject("ahead-snapshot")
            await client.drained(steps=5)
            assert await snapshot_id(sim) == sim.truth.sequence("BTC-USDT") + 1_000_000
            assert await snapshot_id(sim) == sim.truth.sequence("BTC-USDT")

    async def test_old_and_ahead_snapshots_of_okx_once_each(self):
        async with subscribed("okx") as (sim, client):

            def seq():
                return json.loads(sim.answer("/api/v5/market/books", {"instId": "BTC-USDT", "sz": "400"})[1])["data"][0]["seqId"]

            first = seq()
            for kind, said in (
                ("old-snapshot", lambda: first),
                ("ahead-snapshot", lambda: sim.truth.sequence("BTC-USDT") + 1_000_000),
            ):
                sim.inject(kind)
                await client.drained(steps=5)
                assert seq() == said()
                assert seq() == sim.truth.sequence("BTC-USDT")


async def test_metadata_tell_a_new_smallest_order():
    async with subscribed("kraken") as (sim, client):
        before = sim.truth.instruments["BTC-USD"].min_size_lots
        sim.inject("metadata", "BTC-USD")
        await client.drained(steps=5)
        status, body = sim.answer("/0/public/AssetPairs", {})
        assert (status, sim.truth.instruments["BTC-USD"].min_size_lots) == (200, 2 * before)
        assert body != b""
