"""`alphapulse demo --serve`, asked over HTTP as a newcomer asks it: every endpoint gives true data, compared with images, rings and counters."""

import asyncio
import json
import time
import urllib.request

import pytest
from support.e2e import counters, wait_for
from support.rest_parts import scaled
from support.stream_clients import StreamClient

pytest.importorskip("fastapi")

import alphapulse_cli as ap
from alphapulse_cli.wire import trade

SETS = ("binance-us", "coinbase", "kraken")
SYMBOLS = ("BTC-USD", "ETH-USD", "SOL-USD")
TRIES = 200
COMPARED = {
    "/api/v1/exchanges": "counters",
    "/api/v1/symbols": "images",
    "/api/v1/bbo": "images",
    "/api/v1/book/{exchange}/{symbol}": "images",
    "/api/v1/trades/{exchange}/{symbol}/recent": "rings",
    "/api/v1/candles/{exchange}/{symbol}": "rings",
    "/api/v1/deltas": "not configured here",
    "/api/v1/delta-stats/summary": "counters",
    "/api/v1/delta-stats/{exchange}/{symbol}": "counters",
    "/api/v1/arbitrage/opportunities": "nobody watches",
    "/api/v1/feeds": "the Python API",
    "/api/v1/system/health": "images",
    "/health": "",
    "/ready": "images",
    "/metrics": "counters",
}


class Demo:
    """The running demo: `ask` gives the JSON of an address, `shm_dir` is where its books are."""

    def __init__(self, alphapulse):
        self.shm_dir = str(alphapulse.shm_dir)
        self.process = alphapulse.start(
            "demo", "--serve", "--port", "0", "--http-port", "0", "--json", "--rate", "40", "--duration", "10m"
        )
        line = self.process.stderr.readline().decode()
        assert line.startswith("serve: ws://127.0.0.1:"), line
        self.address = line.split()[-1].removesuffix("/docs")

    def body(self, path):
        with urllib.request.urlopen(self.address + path, timeout=30) as response:
            return response.read()

    def ask(self, path):
        return json.loads(self.body(path))


@pytest.fixture(scope="module")
def demo(module_alphapulse):
    made = Demo(module_alphapulse)

    def is_there():
        return made.ask("/api/v1/system/health")["status"] == "ok"

    wait_for(is_there, "all nine books live")
    return made


def image(demo, set_name, symbol):
    with ap.Book(set_name, symbol, shm_dir=demo.shm_dir) as book:
        return book.read()


def compared(demo, path, set_name, symbol, truth):
    """Compare an answer with the image of the same version: a moving book is asked for until both are of one."""
    for _ in range(TRIES):
        before = image(demo, set_name, symbol)
        row = demo.ask(path)
        for copy in (before, image(demo, set_name, symbol)):
            if copy.version == (row[0] if isinstance(row, list) else row)["version"]:
                truth(row, copy)
                return
        time.sleep(0.01)
    raise AssertionError(f"{path} never had the version of the image")


def levels(copy, side):
    return [[price, size] for of, price, size in copy.rows() if of == side]


@pytest.mark.parametrize("set_name", SETS)
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_books_and_best_prices_are_those_of_the_images(demo, set_name, symbol):
    def same_book(row, copy):
        assert (row["bids"], row["asks"]) == (levels(copy, "bid"), levels(copy, "ask"))
        assert (row["state"], row["timestamp_ns"]) == (copy.state.name, copy.timestamp_ns)
        assert (row["bid_levels"], row["ask_levels"]) == (len(copy.bids), len(copy.asks))

    def same_bbo(rows, copy):
        (row,) = rows
        assert [[row["bid"], row["bid_size"]], [row["ask"], row["ask_size"]]] == [levels(copy, "bid")[0], levels(copy, "ask")[0]]

    compared(demo, f"/api/v1/book/{set_name}/{symbol}?depth=100000", set_name, symbol, same_book)
    compared(demo, f"/api/v1/bbo?exchange={set_name}&symbol={symbol}", set_name, symbol, same_bbo)


def test_lists_are_those_of_the_collectors(demo):
    assert [(row["set"], row["symbols"], row["liveness"]) for row in demo.ask("/api/v1/exchanges")] == [
        (name, list(SYMBOLS), "live") for name in SETS
    ]
    rows = demo.ask("/api/v1/symbols")
    assert {(row["set"], row["symbol"]) for row in rows} == {(name, symbol) for name in SETS for symbol in SYMBOLS}
    for row in rows:
        copy = image(demo, row["set"], row["symbol"])
        assert (row["price_decimals"], row["size_decimals"]) == (copy.price_decimals, copy.size_decimals)
        assert row["state"] == "LIVE"


@pytest.mark.parametrize("set_name", SETS)
def test_counts_are_those_of_the_collectors(demo, set_name):
    """They only grow: an answer lies between a look before it and one after it."""
    before = counters(demo.shm_dir, set_name)
    rows = [demo.ask(f"/api/v1/delta-stats/{set_name}/{symbol}") for symbol in SYMBOLS]
    (of_set,) = [row for row in demo.ask("/api/v1/exchanges") if row["set"] == set_name]
    after = counters(demo.shm_dir, set_name)
    for symbol, row in zip(SYMBOLS, rows, strict=True):
        assert before[symbol]["groups"] <= row["total_deltas_processed"] <= after[symbol]["groups"]
        assert before[symbol]["changes"] <= row["total_changes"] <= after[symbol]["changes"]
        assert row["bandwidth_saved_bytes"] == row["full_book_bytes"] - row["delta_bytes"]
        assert row["measured_groups"] > 0
    for name in ("groups", "trades"):
        assert sum(one[name] for one in before.values()) <= of_set[name] <= sum(one[name] for one in after.values())
    assert before[""]["frames"] <= of_set["frames"] <= after[""]["frames"]
    summary = demo.ask("/api/v1/delta-stats/summary")
    assert summary["books"] == len(SETS) * len(SYMBOLS)
    assert summary["total_deltas_processed"] == sum(row["total_deltas_processed"] for row in summary["by_book"])
    metrics = demo.body("/metrics").decode()
    assert f'alphapulse_frames_total{{exchange="{set_name}"' in metrics


def ring_of_trades(demo, set_name, symbol):
    """Trades that the ring holds, oldest first: (id, price, size, side, exchange's ns)."""
    with ap.TradeReader(set_name, start="oldest", shm_dir=demo.shm_dir) as reader:
        records = reader.poll(1 << 20)
    return [
        (
            bytes(one["trade_id"]).rstrip(b"\0").decode(),
            scaled(int(one["price_ticks"]), int(one["price_decimals"])),
            ("buy", "sell", "unknown")[int(one["side"])],
            int(one["exchange_ns"]) or int(one["timestamp_ns"]),
            int(one["size_lots"]),
            bool(int(one["flags"]) & trade.HISTORY),
        )
        for one in records
        if bytes(one["symbol"]).rstrip(b"\0").decode() == symbol
    ]


@pytest.mark.parametrize("set_name", SETS)
def test_trades_and_candles_are_those_of_the_ring(demo, set_name):
    symbol = "BTC-USD"

    def traded():
        """Trades of the server, the newest first."""
        return demo.ask(f"/api/v1/trades/{set_name}/{symbol}/recent?limit=1000")["trades"]

    rows = wait_for(lambda: len(traded()) > 10 and traded(), "more than ten trades")
    held = ring_of_trades(demo, set_name, symbol)
    asked = [(row["trade_id"], row["price"], row["side"], row["exchange_ns"] or row["timestamp_ns"]) for row in reversed(rows)]
    assert asked == [one[:4] for one in held[: len(asked)]]  # the ring has those that came since, too

    def closed():
        """Candles with trades that are closed."""
        answer = demo.ask(f"/api/v1/candles/{set_name}/{symbol}?width=1s&limit=1000")
        return [one for one in answer["candles"] if one["count"] and not one["history"]]

    candles = wait_for(lambda: len(closed()) >= 3 and closed(), "three candles with trades")
    held = [one for one in ring_of_trades(demo, set_name, symbol) if not one[5]]
    for candle in candles:
        inside = [one for one in held if candle["begin_ns"] <= one[3] < candle["end_ns"]]
        assert candle["count"] == len(inside)
        assert candle["volume"].replace(".", "").lstrip("0") == str(sum(one[4] for one in inside))
        assert (candle["high"], candle["low"]) == (max(one[1] for one in inside), min(one[1] for one in inside))


def test_feeds_are_the_cards_of_the_python_api(demo):
    rows = demo.ask("/api/v1/feeds")
    cards = [one.to_dict() for one in ap.feeds(shm_dir=demo.shm_dir)]
    keys = ("set", "kind", "symbol", "connection", "window")
    assert [[row[name] for name in keys] for row in rows] == [[card[name] for name in keys] for card in cards]
    for row, card in zip(rows, cards, strict=True):
        assert row["messages"] <= card["messages"]
        assert row["valid_ns"] <= card["valid_ns"]


def test_the_server_tells_of_itself(demo):
    assert demo.ask("/health") == {"status": "ok"}
    assert demo.ask("/ready") == {"ready": True, "sets": 3, "live": 3, "why": ""}
    health = demo.ask("/api/v1/system/health")
    assert [(one["set"], one["books"], one["live"]) for one in health["sets"]] == [(name, 3, 3) for name in SETS]
    assert demo.ask("/api/v1/arbitrage/opportunities")["watching"] is False


def test_the_stream_on_this_port_has_the_same_books(demo):
    async def run():
        port = int(demo.address.rpartition(":")[2])
        client = await StreamClient.open(port, path="/api/v1/stream/deltas?exchange=kraken")
        await client.until(lambda: len(client.books) == 3 and all(copy.checks >= 2 for copy in client.books.values()), 60)
        await client.close()

    asyncio.run(run())


def test_no_endpoint_was_left_out(demo):
    assert set(demo.ask("/openapi.json")["paths"]) == set(COMPARED)
