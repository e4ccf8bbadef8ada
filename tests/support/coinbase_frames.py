"""Coinbase frames in the shapes of the fact sheet, and what the tests of both feeds share."""

import orjson

from alphapulse_cli.exchanges.coinbase import Decoder
from alphapulse_cli.exchanges.coinbase.feed import HEARTBEATS
from alphapulse_cli.exchanges.timestamps import rfc3339_ns
from alphapulse_cli.market.events import Snapshot, Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import Send

TIME = "2026-08-12T19:27:48.551Z"
LATER = "2026-08-12T19:27:48.551020Z"
SENT = "2026-08-12T19:27:48.600000123Z"
TIME_NS, LATER_NS, SENT_NS = rfc3339_ns(TIME), rfc3339_ns(LATER), rfc3339_ns(SENT)

BTC = Instrument("coinbase", "BTC-USD", "BTC-USD", 2, 8)
ETH = Instrument("coinbase", "ETH-USD", "ETH-USD", 2, 8)
BTC_USDC = Instrument("coinbase", "BTC-USDC", "BTC-USDC", 2, 8, alias_of="BTC-USD")


def started(*instruments, mode="", channels=("book", "trades")):
    """A decoder on a new connection, its subscriptions taken, that of the heartbeats answered."""
    decoder = Decoder(instruments or (BTC, ETH), channels, mode=mode)
    decoder.connected(0)
    decoder.pending_requests()
    decoder._owed.settle(HEARTBEATS)  # by no frame: the tests number theirs from 0
    return decoder


def sent(decoder):
    """What the decoder wants sent, parsed; every request must be a Send."""
    requests = decoder.pending_requests()
    assert all(isinstance(request, Send) for request in requests)
    return [orjson.loads(request.frame) for request in requests]


def levels(event):
    """[(ticks, lots, is_ask)…] of a book event."""
    return list(event.levels)


def picture(events):
    """Events as plain values, comparable: book events say their kind, symbol, time and levels."""
    return [
        (type(each).__name__, each.instrument.symbol, each.exchange_ns, levels(each))
        if isinstance(each, Snapshot | Update)
        else each
        for each in events
    ]


# Advanced Trade


def frame(number, channel, *events, timestamp=SENT):
    return orjson.dumps({"channel": channel, "timestamp": timestamp, "sequence_num": number, "events": list(events)})


def row(side, price, size, event_time=TIME):
    return {"side": side, "event_time": event_time, "price_level": price, "new_quantity": size}


def book(kind, product, *rows):
    return {"type": kind, "product_id": product, "updates": list(rows)}


def snapshot(number, product="BTC-USD", *rows):
    return frame(number, "l2_data", book("snapshot", product, *(rows or (row("bid", "10", "1"), row("offer", "11", "2")))))


def update(number, product="BTC-USD", *rows):
    return frame(number, "l2_data", book("update", product, *(rows or (row("bid", "10", "3"),))))


def trade(number, price="10.5", size="0.1", side="SELL", product="BTC-USD"):
    return {"product_id": product, "trade_id": str(number), "price": price, "size": size, "time": TIME, "side": side}


def trades(number, *rows, kind="update"):
    return frame(number, "market_trades", {"type": kind, "trades": list(rows)})


def heartbeat(number, counter=7):
    go_time = "2026-08-12 19:27:48.05 +0000 UTC m=+1234.56"
    return frame(number, "heartbeats", {"current_time": go_time, "heartbeat_counter": counter})


def confirmation(number, **channels):
    return frame(number, "subscriptions", {"subscriptions": channels})


# Exchange feed


def x_snapshot(product="BTC-USD", bids=(("10.00", "1.0"),), asks=(("11.00", "2.0"),), **more):
    return orjson.dumps({"type": "snapshot", "product_id": product, "asks": asks, "bids": bids, **more})


def x_update(product="BTC-USD", changes=(("buy", "10.00", "3.0"),), time=TIME):
    return orjson.dumps({"type": "l2update", "product_id": product, "changes": changes, "time": time})


def x_match(number, kind="match", side="sell", product="BTC-USD", price="10.50", size="0.1"):
    ids = {"maker_order_id": "2a0d", "taker_order_id": "3c82", "sequence": 177100030}
    named = {"type": kind, "trade_id": number, "side": side, "size": size, "price": price, "product_id": product, "time": TIME}
    return orjson.dumps({**named, **ids})


def x_heartbeat(last_trade_id, product="BTC-USD"):
    return orjson.dumps({"type": "heartbeat", "sequence": 90, "last_trade_id": last_trade_id, "product_id": product, "time": TIME})
