"""Each exchange's own protocol over a real loopback socket, read by a raw client that shares no code with alphapulse's decoders."""

import contextlib
import json
from typing import Any

import orjson
import pytest
from support.feeds import EXCHANGES
from support.sim_clients import CLIENTS, RawClient
from support.sim_parts import client_of, get, within
from websockets.exceptions import ConnectionClosedError

from alphapulse_cli import exchanges
from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.bitfinex.facts import OB_CHECKSUM
from alphapulse_cli.exchanges.protocol import joined
from alphapulse_cli.market.events import Unrecognised
from alphapulse_cli.sim.exchange import VIRTUAL_START_NS, SimulatedExchange
from alphapulse_cli.sim.listings import LISTED, listings
from alphapulse_cli.sim.market_maker import SimulatedMarket
from alphapulse_cli.sim.mischief import GARBAGE_FRAME, UNKNOWN_FRAME

EVERY_PROTOCOL = pytest.mark.parametrize(("name", "mode"), CLIENTS, ids=lambda word: word or "default")

REFUSED = {  # words of each exchange's refusal by a rate limit
    "kraken": "Exceeded msg rate",
    "coinbase": "rate limit exceeded",
    "binance-us": "Too many requests",
    "binance": "Too many requests",
    "okx": "Requests too frequent",
    "bitfinex": "ratelimit: error",
    "bybit": "Too many visits",
}


TRADES_THEN_BOOK = [  # subscriptions: a client's first, and its later ones
    (
        "kraken",
        {"method": "subscribe", "params": {"channel": "trade", "symbol": ["BTC/USD"]}},
        [{"method": "subscribe", "params": {"channel": "book", "symbol": ["BTC/USD"]}}],
    ),
    (
        "bitfinex",
        {"event": "subscribe", "channel": "trades", "symbol": "tBTCUSD"},
        [{"event": "conf", "flags": OB_CHECKSUM}, {"event": "subscribe", "channel": "book", "symbol": "tBTCUSD", "prec": "P0"}],
    ),
]


def first_symbol(name):
    """Its first listing: BTC against a dollar of some kind."""
    return LISTED[name][0][0]


def exchange_of(name, mode="", symbols=(), levels=80, **options):
    """A simulated exchange with small books that moves when it is told to."""
    market = SimulatedMarket(name, 8, symbols, levels_per_side=levels, start_ns=VIRTUAL_START_NS)
    return SimulatedExchange(name, market, mode=mode, **{"rate": 0, **options})


@contextlib.asynccontextmanager
async def subscribed(name, mode, symbol="", **options):
    """(the exchange, a raw client that is subscribed to one symbol)."""
    async with exchange_of(name, mode, **options) as exchange, client_of(exchange) as websocket:
        client: RawClient = CLIENTS[name, mode](websocket, exchange, symbol or first_symbol(name))
        await client.subscribe()
        yield exchange, client


class TestBooksAreExact:
    """Snapshot and updates rebuild the truth, and whatever the protocol proves itself by is right on every frame."""

    @EVERY_PROTOCOL
    async def test_books_are_exact_after_every_few_steps(self, name, mode):
        """Checksums, sequences, prices on the grid; trades as they were, by the taker's side, ids without a hole."""
        async with subscribed(name, mode) as (exchange, client):
            start = exchange.truth.recent_trades(client.symbol, 10**6)
            for _ in range(60):
                await exchange.advance(4)
                await client.read_until_exact()
            assert client.wrong == []
            known = exchange.truth.recent_trades(client.symbol, 10**6)[len(start) :]
            told = [(trade.trade_id, trade.price_ticks, trade.size_lots, trade.side.name.lower()) for trade in known]
            assert len(told) > 20
            assert client.trades[-len(told) :] == told

    @pytest.mark.parametrize(("name", "symbol"), [(name, row[0]) for name, rows in LISTED.items() for row in rows])
    async def test_books_of_every_listed_symbol_are_exact(self, name, symbol):
        """Every grid there is."""
        async with subscribed(name, "", symbol, levels=30) as (exchange, client):
            for _ in range(5):
                await exchange.advance(4, symbol)
                await client.read_until_exact()
            assert client.wrong == []

    async def test_coinbase_sends_45000_levels_in_one_frame(self):
        """Stub orders of 10^13 ticks included."""
        async with subscribed("coinbase", "", symbols=["BTC-USD"], levels=0) as (exchange, client):
            await exchange.advance(5)
            await client.read_until_exact()
            assert len(client.book.bids) + len(client.book.asks) > 45_000
            assert max(client.book.asks) == 10**13
            assert client.wrong == []

    @pytest.mark.parametrize("name", LISTED)
    async def test_books_are_exact_on_a_timer_too(self, name):
        """By the real clock, at a rate; stopped to compare."""
        async with subscribed(name, "", rate=100) as (exchange, client):
            while exchange.step_count < 300:
                await client.read()
            exchange.stop_timer()
            await client.read_until_exact()
            assert client.wrong == []


class TestRefusals:
    """Each exchange's own answer to what it does not know."""

    async def test_kraken_names_the_unknown_pair(self):
        """And goes on."""
        async with subscribed("kraken", "") as (exchange, client):
            params = {"channel": "book", "symbol": ["FOO/BAR"]}
            await client.websocket.send(json.dumps({"method": "subscribe", "params": params, "req_id": 7}))
            while not any(frame.get("req_id") == 7 for frame in client.frames):
                await client.read()
            assert client.frames[-1]["success"] is False
            assert "FOO/BAR" in client.frames[-1]["error"]
            await exchange.advance(4)
            await client.read_until_exact()

    @pytest.mark.parametrize("mode", ["", "exchange"])
    async def test_coinbase_sends_an_error(self, mode):
        """Of type `error`, without a sequence number."""
        async with subscribed("coinbase", mode) as (_, client):
            words = {"channels": ["level2_batch"]} if mode else {"channel": "level2"}
            await client.websocket.send(json.dumps({"type": "subscribe", "product_ids": ["FOO-BAR"], **words}))
            errors: list[dict[str, Any]] = []
            client.take = errors.append
            while not errors or errors[-1].get("type") != "error":
                await client.read()
            assert "sequence_num" not in errors[-1]

    @pytest.mark.parametrize(
        ("args", "words"),
        [
            (["publicTrade.ETHUSDT", "orderbook.50.FOOBAR"], "Invalid symbol :[orderbook.50.FOOBAR]"),
            (["orderbook.30.BTCUSDT"], "error:handler not found,topic:orderbook.30.BTCUSDT"),
            (["orderbook.50.BTCUSDT"], "error:already subscribed,topic:orderbook.50.BTCUSDT"),
            ([f"publicTrade.T{number}" for number in range(11)], "args size >10"),
        ],
    )
    async def test_bybit_refuses_the_whole_request(self, args, words):
        """And the book goes on."""
        async with subscribed("bybit", "") as (exchange, client):
            await client.websocket.send(json.dumps({"op": "subscribe", "args": args, "req_id": "x"}))
            while not any(frame.get("req_id") == "x" for frame in client.frames):
                await client.read()
            assert (client.frames[-1]["success"], client.frames[-1]["ret_msg"]) == (False, words)
            assert not exchange.connections[0].encoder.trades("ETH-USDT", exchange.truth.recent_trades("ETH-USDT", 1), 0)
            await exchange.advance(4)
            await client.read_until_exact()

    async def test_binance_acknowledges_and_stays_silent(self):
        """As the real one; REST says so instead."""
        async with subscribed("binance-us", "") as (exchange, client):
            await client.websocket.send('{"method":"SUBSCRIBE","params":["foobar@depth@100ms"],"id":9}')
            while not any(frame.get("id") == 9 for frame in client.frames):
                await client.read()
            assert client.frames[-1] == {"result": None, "id": 9}
            status, body = await get(exchange, "/api/v3/depth?symbol=FOOBAR")
            assert (status, body["code"]) == (400, -1121)

    async def test_okx_names_what_it_does_not_know(self):
        """With the code 60018, and goes on; by REST with 200 and a code."""
        async with subscribed("okx", "") as (exchange, client):
            args = [{"channel": "books", "instId": "FOO-BAR"}]
            await client.websocket.send(json.dumps({"id": "9", "op": "subscribe", "args": args}))
            while not any(frame.get("id") == "9" for frame in client.frames):
                await client.read()
            assert (client.frames[-1]["event"], client.frames[-1]["code"]) == ("error", "60018")
            assert "FOO-BAR" in client.frames[-1]["msg"]
            status, body = await get(exchange, "/api/v5/market/books?instId=FOO-BAR")
            assert (status, body["code"]) == (200, "51001")

    async def test_bitfinex_sends_an_error_with_a_code(self):
        """Of an unknown symbol, of a second subscription; and goes on."""
        async with subscribed("bitfinex", "") as (exchange, client):
            for symbol in ("tFOOBAR", client.instrument.native):
                await client.websocket.send(json.dumps({"event": "subscribe", "channel": "book", "symbol": symbol}))
            while len(errors := [frame for frame in client.frames if "code" in frame]) < 2:
                await client.read()
            assert [(frame["code"], frame["symbol"]) for frame in errors] == [(10300, "tFOOBAR"), (10301, client.instrument.native)]
            await exchange.advance(4)
            await client.read_until_exact()


class TestMetadata:
    """REST at `rest_url` + the path of the facts, as a collector asks for it."""

    @EVERY_PROTOCOL
    async def test_every_instrument_is_read_back(self, name, mode):
        """Name for name, grid for grid, by the exchange's own parser; an unknown path is its own 404."""
        exchange_parts = exchanges.get(name)
        facts = exchange_parts.facts
        async with exchange_of(name, mode) as exchange:
            answers = [await get(exchange, path) for path in facts.metadata_paths(mode)]
            assert {status for status, _ in answers} == {200}
            seen = exchange_parts.parse_instruments(joined([orjson.dumps(body) for _, body in answers]), exchange.mode)
            true = exchange.truth.instruments.values()
            grids, true_grids = ({(one.symbol, one.price_decimals, one.size_decimals) for one in found} for found in (seen, true))
            assert grids == true_grids
            assert {one.symbol: one.min_size_lots for one in seen} == {one.symbol: one.min_size_lots for one in true}
            status, _ = await get(exchange, "/no/such/path")
            assert status == 404


class TestMischiefInEachProtocol:
    """What an injection does is what the protocol's own means of proof find."""

    PROVEN = (
        ("kraken", "gap", "checksum"),
        ("kraken", "checksum", "checksum"),
        ("kraken", "reorder", "checksum"),
        ("coinbase", "gap", "sequence"),
        ("coinbase", "duplicate", "sequence"),
        ("coinbase", "reorder", "sequence"),
        ("binance-us", "gap", "sequence"),
        ("binance-us", "reorder", "sequence"),
        ("bitfinex", "gap", "sequence"),
        ("bitfinex", "duplicate", "sequence"),
        ("bitfinex", "reorder", "sequence"),
        ("bitfinex", "checksum", "checksum"),
        ("bitfinex", "sequence-reset", "sequence"),
        ("bitfinex", "garbage", "garbage"),
        ("bitfinex", "unknown", "unknown"),
        ("bitfinex", "offgrid", "off grid"),
        ("bybit", "gap", "sequence"),
        ("bybit", "duplicate", "sequence"),
        ("bybit", "reorder", "sequence"),
        ("kraken", "garbage", "garbage"),
        ("coinbase", "garbage", "garbage"),
        ("binance-us", "garbage", "garbage"),
        ("bybit", "garbage", "garbage"),
        ("kraken", "unknown", "unknown"),
        ("coinbase", "unknown", "unknown"),
        ("binance-us", "unknown", "unknown"),
        ("bybit", "unknown", "unknown"),
        ("kraken", "offgrid", "off grid"),
        ("coinbase", "offgrid", "off grid"),
        ("binance-us", "offgrid", "off grid"),
        ("okx", "gap", "sequence"),
        ("okx", "duplicate", "sequence"),
        ("okx", "reorder", "sequence"),
        ("okx", "garbage", "garbage"),
        ("okx", "unknown", "unknown"),
        ("okx", "offgrid", "off grid"),
        ("bybit", "offgrid", "off grid"),
    )

    @pytest.mark.parametrize(("name", "kind", "wrong"), PROVEN)
    async def test_each_kind_of_mischief_is_detected(self, name, kind, wrong):
        """Once armed, once logged, and found by the client."""
        async with subscribed(name, "") as (exchange, client):
            await exchange.advance(4)
            await client.read_until_exact()
            exchange.inject(kind, client.symbol)
            for _ in range(40):
                await exchange.advance(1, client.symbol)
            while wrong not in client.wrong:
                await client.read()
            assert [each.kind for each in exchange.injections] == [kind]

    @EVERY_PROTOCOL
    def test_the_added_frames_are_what_the_decoders_take_them_for(self, name, mode):
        """One unknown frame and one garbage for all: a kind that nobody knows is no error, half a JSON text is."""
        parts = exchanges.get(name)
        decoder = parts.decoder([row.instrument for row in listings(name)], {"book", "trades"}, 0, mode)
        decoder.connected(VIRTUAL_START_NS)
        assert [type(event) for event in decoder.receive(UNKNOWN_FRAME, VIRTUAL_START_NS)] == [Unrecognised]
        with pytest.raises(DecodeError):
            decoder.receive(GARBAGE_FRAME, VIRTUAL_START_NS)

    @pytest.mark.parametrize("name", ["coinbase", "binance-us", "okx", "bybit"])
    async def test_a_checksum_cannot_be_spoiled_where_there_is_none(self, name):
        """Nothing happens, and nothing is logged."""
        async with subscribed(name, "") as (exchange, client):
            exchange.inject("checksum")
            await exchange.advance(20)
            await client.read_until_exact()
            assert client.wrong == []
            assert not exchange.injections

    @pytest.mark.parametrize(("name", "first", "later"), TRADES_THEN_BOOK)
    async def test_a_checksum_waits_for_a_book_of_a_client_that_has_trades_so_far(self, name, first, later):
        """A collector that connects has its trades a moment before its books."""
        async with exchange_of(name) as exchange, client_of(exchange) as websocket:
            await websocket.send(json.dumps(first))
            await within(_read_until(websocket, b"subscribed" if name == "bitfinex" else b"success"))
            exchange.inject("checksum")
            before = len(exchange.truth.recent_trades(first_symbol(name), 10**6))
            await exchange.advance(100)
            assert len(exchange.truth.recent_trades(first_symbol(name), 10**6)) > before
            assert exchange.injection_counts == {}
            for frame in later:
                await websocket.send(json.dumps(frame))
            await within(_read_until(websocket, b'"channel":"book"'))
            await exchange.advance(20)
            assert exchange.injection_counts == {"checksum": 1}

    @pytest.mark.parametrize("name", EXCHANGES)
    @pytest.mark.parametrize("kind", ["flood", "stall"])
    async def test_harmless_mischief_leaves_books_exact(self, name, kind):
        """A flood is legal, a stall is only late."""
        async with subscribed(name, "") as (exchange, client):
            exchange.inject(kind, seconds=1.0)
            await exchange.advance(40)
            await client.read_until_exact()
            assert client.wrong == []
            assert exchange.injection_counts == {kind: 1}

    async def test_a_disconnect_is_sudden(self):
        """No close frame."""
        async with subscribed("kraken", "") as (exchange, client):
            exchange.inject("disconnect")
            await exchange.advance(40)
            with pytest.raises(ConnectionClosedError) as closed:
                await within(_read_on(client))
            assert closed.value.rcvd is None


async def _read_until(websocket, words):
    while words not in (frame := await websocket.recv(decode=False)):
        assert frame


async def _read_on(client):
    while True:
        await client.read()


class TestARefusalForNow:
    """The fault `refuse` strikes the next subscription; whatever else a client sends is answered as ever."""

    @EVERY_PROTOCOL
    async def test_a_refusal_waits_for_a_request_that_is_an_object(self, name, mode):
        async with subscribed(name, mode) as (exchange, client):
            for frame in ('["subscribe"]', "subscribe", '"subscribe"', '{"subscribe"', '{"x": "subscribe"}'):
                exchange.inject("refuse")
                while not exchange.injection_counts["refuse"]:
                    await exchange.advance(1)
                for each in (frame, json.dumps(client.requests()[-1])):
                    await client.websocket.send(each)
                while REFUSED[name] not in await within(client.websocket.recv()):
                    pass
                exchange.injection_counts.clear()
