"""coinbase-advanced-py, Coinbase's own SDK, beside a simulated Coinbase behind TLS: its REST client knows https:// alone.

The SDK hands frames on as they come. So this program does what its users do: it keeps a book by `l2_data`, checks `sequence_num`, and
inverts the maker's side of trades. The SDK's own part is REST, the types of its answers, and connecting and subscribing anew.
"""

import asyncio
import json
import os
import threading
from decimal import Decimal

os.environ.update(REQUESTS_CA_BUNDLE=os.environ.get("SSL_CERT_FILE", ""))  # its REST client trusts this one alone

from coinbase.rest import RESTClient
from coinbase.websocket import WSClient
from common import LIMIT_S, run, wait_until
from faults import Faults, Held
from requests.exceptions import HTTPError

LIBRARY, VERSION = "coinbase-advanced-py", "1.8.4"
RUNS = ("coinbase",)
TLS = True
PRODUCT = "BTC-USD"
TAKERS = {"BUY": "sell", "SELL": "buy"}
CHANNELS = {"l2_data", "market_trades", "ticker", "ticker_batch", "candles", "status", "heartbeats", "subscriptions"}


class Program:
    """What a user's `on_message` makes of the frames."""

    def __init__(self):
        self.lock = threading.Lock()
        self.sides: dict[str, dict[Decimal, Decimal]] = {"bid": {}, "offer": {}}
        self.trades, self.channels, self.others = {}, {}, {}
        self.next_number, self.gaps, self.closed = None, 0, 0

    def on_message(self, text):
        message = json.loads(text)
        with self.lock:
            self.take(message)

    def take(self, message):
        channel, number = message.get("channel", message.get("type")), message.get("sequence_num")
        self.channels[channel] = self.channels.get(channel, 0) + 1
        if number is not None:
            self.gaps += self.next_number not in (None, number) and number != 0
            self.next_number = number + 1
        for event in message.get("events", ()):
            if channel == "l2_data":
                self.take_book(event)
            elif channel == "market_trades":
                self.trades.update({row["trade_id"]: (TAKERS[row["side"]], row["price"], row["size"]) for row in event["trades"]})
            else:
                self.others[channel] = event

    def take_book(self, event):
        if event["type"] == "snapshot":
            self.sides = {"bid": {}, "offer": {}}
        for row in event["updates"]:
            side, price, size = self.sides[row["side"]], Decimal(row["price_level"]), Decimal(row["new_quantity"])
            if size:
                side[price] = size
            else:
                side.pop(price, None)

    def on_close(self):
        self.closed += 1


def rest(report, simulator):
    """What it asks by REST, while the market stands still."""
    client = RESTClient(api_key=None, api_secret=None, base_url=simulator.rest_origin.partition("://")[2], timeout=LIMIT_S)
    truth, rows = simulator.truth(PRODUCT), simulator.ask("trades", symbol=PRODUCT)
    products = client.get_public_products()
    one = client.get_public_product(PRODUCT)
    detail = f"{products.num_products} products, {one.base_name} at {one.price}"
    report.check("REST products", one.product_id == PRODUCT and Decimal(one.price) == Decimal(rows[-1][2]), detail)
    book = client.get_public_product_book(PRODUCT, limit=100).pricebook
    report.equal_books("REST book", truth, *([(row.price, row.size) for row in side] for side in (book.bids, book.asks)), depth=100)
    got = {row.trade_id: (TAKERS[row.side], row.price, row.size) for row in client.get_public_market_trades(PRODUCT, 50).trades}
    report.equal_trades("REST trades", rows, got)
    seconds = int(client.get_unix_time().epoch_seconds)
    candles = client.get_public_candles(PRODUCT, str(seconds - 6000), str(seconds), "ONE_MINUTE").candles
    true = [[Decimal(str(each)) for each in row[:6]] for row in simulator.ask("candles", symbol=PRODUCT, seconds=60)]
    found = [
        [Decimal(str(each)) for each in (1000 * int(row.start), row.open, row.high, row.low, row.close, row.volume)]
        for row in reversed(candles)
    ]
    report.check("REST candles", found and found == true, f"{len(found)} candles")


def streams(report, simulator, program):
    """What the channels said, while the market stands still."""
    rows = simulator.ask("trades", symbol=PRODUCT)
    with program.lock:
        sides = [list(side.items()) for side in program.sides.values()]
        report.check("sequence numbers", not program.gaps, f"{sum(program.channels.values())} frames in order")
        report.equal_books("book", simulator.truth(PRODUCT), *sides)
        report.equal_trades("trades and their sides", rows, program.trades)
        ticker = program.others["ticker"]["tickers"][0]
        report.check("ticker", Decimal(ticker["price"]) == Decimal(rows[-1][2]), f"last {ticker['price']}")
        candle, true = program.others["candles"]["candles"][-1], simulator.ask("candles", symbol=PRODUCT, seconds=300)[-1]
        same = Decimal(candle["volume"]) <= Decimal(true[5]) and 1000 * int(candle["start"]) == true[0]
        report.check(
            "candles, status", same and program.others["status"]["products"][0]["id"] == PRODUCT, f"volume {candle['volume']}"
        )


async def main(simulator, report):
    program = Program()
    client = WSClient(
        api_key=None, api_secret=None, base_url=simulator.websocket_url, on_message=program.on_message, on_close=program.on_close
    )
    client.open()
    client.heartbeats()
    client.subscribe([PRODUCT], ["level2", "market_trades", "ticker", "ticker_batch", "candles", "status"])
    filled = wait_until(lambda: set(program.channels) >= CHANNELS and len(program.trades) > 20 and program.channels["l2_data"] > 60)
    report.check("every channel without keys", filled, str(program.channels))
    simulator.ask("freeze")
    beats = program.channels["heartbeats"]
    wait_until(lambda: program.channels["heartbeats"] > beats + 1)
    streams(report, simulator, program)
    rest(report, simulator)
    await after_faults(report, simulator, program, client)


async def after_faults(report, simulator, program, client):
    """It connects and subscribes anew by itself; a gap is its user's to see, who subscribes to the book again."""

    def sides():
        with program.lock:
            return [list(side.items()) for side in program.sides.values()]

    async def book_again():
        await asyncio.to_thread(client.unsubscribe, [PRODUCT], ["level2"])
        await asyncio.to_thread(client.subscribe, [PRODUCT], ["level2"])

    def books():
        return program.channels["l2_data"]

    faults = Faults(simulator, report, PRODUCT, Held(books, sides))
    await faults.strike("gap", "a lost update", lambda: program.gaps, "a step in `sequence_num`", then=book_again)
    await faults.strike("disconnect", "a lost connection", lambda: program.channels["subscriptions"], "it subscribes anew")
    rest = RESTClient(api_key=None, api_secret=None, base_url=simulator.rest_origin.partition("://")[2], timeout=LIMIT_S)
    unknown = asyncio.to_thread(rest.get_public_product, "NOSUCH-USD")
    await report.refused("an unknown product is refused", unknown, HTTPError, "NOT_FOUND")


run(main)
