"""The simulated Coinbase over a real socket: what REST and the channels tell is what happened in its market."""

import json
from decimal import Decimal
from typing import Any

import pytest
from support.sim_parts import client_of, get, within
from websockets.exceptions import ConnectionClosedError

from alphapulse_cli.sim.exchange import VIRTUAL_START_NS, SimulatedExchange
from alphapulse_cli.sim.market_maker import SimulatedMarket

STEPS_A_SECOND = 20  # of the virtual clock
MARKET = "/api/v3/brokerage/market/products/BTC-USD"


def exchange_of(mode):
    market = SimulatedMarket("coinbase", 8, ["BTC-USD"], levels_per_side=60, start_ns=VIRTUAL_START_NS)
    return SimulatedExchange("coinbase", market, mode=mode, rate=0)


async def heard_until(websocket, is_last):
    """Frames up to the first of which `is_last` is true."""
    found: list[Any] = []
    while not found or not is_last(found[-1]):
        found.append(json.loads(await within(websocket.recv())))
    return found


def amounts(exchange):
    return [Decimal(trade.size_lots).scaleb(-8) for trade in exchange.truth.recent_trades("BTC-USD", 10**6)]


async def test_the_advanced_ticker_adds_up_the_trades_that_the_client_heard():
    async with exchange_of("advanced") as exchange, client_of(exchange) as websocket:
        for channel in ("market_trades", "ticker", "candles", "heartbeats"):
            await websocket.send(json.dumps({"type": "subscribe", "channel": channel, "product_ids": ["BTC-USD"]}))
            await heard_until(websocket, lambda frame: frame["channel"] == "subscriptions")
        await exchange.advance(60 * STEPS_A_SECOND)
        frames = await heard_until(websocket, lambda frame: frame["events"][0].get("heartbeat_counter") == 59)
        heard = [row for frame in frames if frame["channel"] == "market_trades" for row in frame["events"][0]["trades"]]
        ticker = [frame["events"][0]["tickers"][0] for frame in frames if frame["channel"] == "ticker"][-1]
        candle = [frame["events"][0]["candles"][-1] for frame in frames if frame["channel"] == "candles"][-1]
        prices = [Decimal(row["price"]) for row in heard]
        assert len(heard) > 50
        assert Decimal(ticker["volume_24_h"]) == sum(Decimal(row["size"]) for row in heard)
        assert (Decimal(ticker["low_24_h"]), Decimal(ticker["high_24_h"])) == (min(prices), max(prices))
        numbers = [frame["sequence_num"] for frame in frames]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
        candles = (await get(exchange, f"{MARKET}/candles?granularity=FIVE_MINUTE"))[1]["candles"]
        assert sum(Decimal(row["volume"]) for row in candles) == sum(amounts(exchange))
        assert candle.pop("product_id") == "BTC-USD"
        assert {row["start"]: Decimal(row["volume"]) for row in candles}[candle["start"]] >= Decimal(candle["volume"])


async def test_the_exchange_pages_through_all_trades_once():
    async with exchange_of("exchange") as exchange:
        await exchange.advance(400)
        ids, after = [], ""
        while page := (await get(exchange, f"/products/BTC-USD/trades?limit=7{after}"))[1]:
            ids += [row["trade_id"] for row in page]
            after = f"&after={page[-1]['trade_id']}"
        assert ids == [int(trade.trade_id) for trade in reversed(exchange.truth.recent_trades("BTC-USD", 10**6))]
        assert len(ids) > 20


@pytest.mark.parametrize(("mode", "path"), [("advanced", "/v2/exchange-rates"), ("exchange", "/currencies")])
async def test_what_clients_ask_first_is_there_before_the_market_moves(mode, path):
    async with exchange_of(mode) as exchange:
        status, body = await get(exchange, path)
        assert status == 200
        assert "BTC" in str(body)


async def test_a_client_of_trades_alone_meets_faults_of_the_connection():
    async with exchange_of("exchange") as exchange, client_of(exchange) as websocket:
        await websocket.send(json.dumps({"type": "subscribe", "channels": ["matches"], "product_ids": ["BTC-USD"]}))
        await heard_until(websocket, lambda frame: frame["type"] == "subscriptions")
        exchange.inject("disconnect")
        await exchange.advance(200)
        with pytest.raises(ConnectionClosedError):
            await heard_until(websocket, lambda _: False)
        assert exchange.injection_counts == {"disconnect": 1}


async def test_faults_of_book_frames_wait_for_a_book():
    async with exchange_of("exchange") as exchange, client_of(exchange) as websocket:
        await websocket.send(json.dumps({"type": "subscribe", "channels": ["matches"], "product_ids": ["BTC-USD"]}))
        await heard_until(websocket, lambda frame: frame["type"] == "subscriptions")
        exchange.inject("gap")
        await exchange.advance(200)
        assert exchange.injection_counts == {}
