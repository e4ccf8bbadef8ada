"""Captures with trades: a simulated Kraken feed, with the exchange's own trade messages between its book updates."""

import random
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from decimal import Decimal

import orjson

from alphapulse_cli.apps.bench.frames import FEEDS
from alphapulse_cli.edges.capture.rows import Kind, Row
from support.captures import tape_rows, write_rows

KRAKEN = next(feed for feed in FEEDS if feed.case == "kraken")
MS = 1_000_000


@dataclass(frozen=True, slots=True)
class Told:
    """Trade as the exchange sent it, in decimals; `is_history` for those of a subscription's snapshot."""

    trade_id: int
    price: Decimal
    size: Decimal
    side: str
    exchange_ns: int
    receive_ns: int
    is_history: bool = False


def message(trades, kind="update"):
    """Kraken's message of trades."""
    rows = ",".join(
        f'{{"symbol":"BTC/USD","side":"{one.side}","price":{one.price},"qty":{one.size},"ord_type":"market",'
        f'"trade_id":{one.trade_id},"timestamp":"{rfc3339(one.exchange_ns)}"}}'
        for one in trades
    )
    return f'{{"channel":"trade","type":"{kind}","data":[{rows}]}}'.encode()


def rfc3339(time_ns):
    """Time with nine digits, as no datetime holds it."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def write_traded(
    folder,
    *,
    updates=200,
    step_ms=250,
    seed=1,
    start_ns=None,
    set_name="kraken",
    lost=(),
    missing=(),
    channels=("book", "trades"),
):
    """Write a capture of `updates` book updates that are `step_ms` apart, with about as many trades. Returns those, in order of publication.

    The subscription's history comes first. At each update in `lost` the connection is lost and comes back two updates later; the history
    that it brings then has five trades that came before, and those of the meantime. Trades with ids in `missing` never come.
    """
    dice = random.Random(seed)
    head, rows, _ = tape_rows(KRAKEN, updates) if start_ns is None else tape_rows(KRAKEN, updates, start_ns)
    head = replace(head, channels=channels, set_name=set_name)
    opening, moving = rows[:-updates], rows[-updates:]
    made, told, number = list(opening), [], 100
    begin_ns = opening[-1].time_ns
    history = [trade(dice, number + i, begin_ns - (20 - i) * 1_000 * MS, begin_ns, is_history=True) for i in range(20)]
    number += 20
    made.append(Row(bytes(Kind.RECEIVED), begin_ns, 1, message(history, "snapshot")))
    told += history
    meanwhile, back_at, snapshot = [], -1, [row for row in opening if b'"snapshot"' in row.payload and b'"book"' in row.payload]
    for place, row in enumerate(moving):
        time_ns = begin_ns + (place + 1) * step_ms * MS
        if place in lost:
            made.append(Row(bytes(Kind.SHUT), time_ns, 1, orjson.dumps({"reason": "closed"})))
            back_at = place + 2
        some = [
            trade(dice, number + i, time_ns - dice.choice([0, 3, 120, 900]) * MS - dice.choice([0, 0, 1]), time_ns)
            for i in range(dice.choice([0, 0, 1, 1, 2, 4]))
        ]
        number += len(some)
        some = [one for one in some if one.trade_id not in missing]
        if place < back_at:
            meanwhile += some
            continue
        if place == back_at:
            natives = [one.native for one in head.instruments]
            made.append(Row(bytes(Kind.OPEN), time_ns, 1, orjson.dumps({"url": head.url, "symbols": natives})))
            made += [row._replace(time_ns=time_ns) for row in snapshot]
            again = [replace(one, receive_ns=time_ns, is_history=True) for one in [*told[-5:], *meanwhile]]
            meanwhile = []
            made.append(Row(bytes(Kind.RECEIVED), time_ns, 1, message(again, "snapshot")))
            told += again
        else:  # behind a snapshot of the past the updates would not follow
            made.append(row._replace(time_ns=time_ns, payload=b'{"channel":"heartbeat"}' if lost else row.payload))
        if some:
            made.append(Row(bytes(Kind.RECEIVED), time_ns, 1, message(some)))
            told += some
    write_rows(folder, head, made)
    return told


def trade(dice, trade_id, exchange_ns, receive_ns, *, is_history=False):
    """Trade near 60,000 with one decimal; now and then its size is finer than the market's grid."""
    price = Decimal(600_000 + dice.randrange(-300, 300)).scaleb(-1)
    size = Decimal(dice.randrange(1, 10**9)).scaleb(-8)
    return Told(trade_id, price, size, dice.choice(["buy", "sell"]), exchange_ns, receive_ns, is_history)
