"""Frames of OKX in the notation of its documentation, and a decoder to hear them; a client book of two dicts."""

import orjson

from alphapulse_cli.exchanges.okx import Decoder
from alphapulse_cli.exchanges.protocol import BOOK, TRADES
from alphapulse_cli.market.events import GapFound, Snapshot, Update
from alphapulse_cli.market.requests import FetchSnapshot, Send
from support.decimals import top_decimals
from support.exchange_truth import instrument

SECOND = 1_000_000_000
BTC = instrument("okx", "BTC-USDT", "BTC-USDT", 1, 8)
ETH = instrument("okx", "ETH-USDT", "ETH-USDT", 2, 6)
MS = 1_786_538_760_218  # of the frames in OKX's documentation as recorded on 2026-08-12


def levels(*pairs):
    """Rows [price, size, "0", orders] of "price size" words."""
    return [[price, size, "0", "0" if size == "0" else "1"] for price, size in (pair.split() for pair in pairs)]


def book(action, prev, seq, bids=(), asks=(), native="BTC-USDT", checksum=0, ms=MS):
    row = {"asks": levels(*asks), "bids": levels(*bids), "ts": str(ms), "checksum": checksum, "seqId": seq, "prevSeqId": prev}
    return orjson.dumps({"arg": {"channel": "books", "instId": native}, "action": action, "data": [row]})


def snapshot(seq, bids=(), asks=(), **more):
    return book("snapshot", -1, seq, bids, asks, **more)


def update(prev, seq, bids=("64040.2 1",), asks=(), **more):
    return book("update", prev, seq, bids, asks, **more)


def picture(seq, bids=("64040.2 1",), asks=("64040.3 2",), native="BTC-USDT"):
    row = {"asks": levels(*asks), "bids": levels(*bids), "instId": native, "ts": str(MS), "seqId": seq}
    return orjson.dumps({"arg": {"channel": "books5", "instId": native}, "data": [row]})


def trade(number, count=None, px="64040.2", sz="0.5", side="buy", native="BTC-USDT", ms=MS):
    row = {"instId": native, "tradeId": str(number), "px": px, "sz": sz, "side": side, "ts": str(ms)}
    row |= {"count": str(count), "source": "0", "seqId": 79706765242} if count is not None else {}
    return orjson.dumps({"arg": {"channel": "trades", "instId": native}, "data": [row]})


def ack(channel="books", native="BTC-USDT", event="subscribe"):
    return orjson.dumps({"id": "1", "event": event, "arg": {"channel": channel, "instId": native}, "connId": "32f4414f"})


def fetched(seq, bids=("64040.2 1",), asks=("64040.3 2",)):
    """Body of a GET of the book."""
    row = {"asks": levels(*asks), "bids": levels(*bids), "ts": str(MS), "seqId": seq}
    return orjson.dumps({"code": "0", "msg": "", "data": [row]})


def started(*instruments, mode="", channels=(BOOK, TRADES), depth=0):
    """A connected decoder whose subscriptions were already taken."""
    decoder = Decoder(instruments or (BTC,), set(channels), depth, mode)
    decoder.connected(0)
    decoder.pending_requests()
    return decoder


def live(seq=10, *instruments):
    """A decoder whose book of BTC-USDT stands at `seq`."""
    decoder = started(*instruments)
    decoder.receive(ack(), 0)
    decoder.receive(snapshot(seq, ["64040.2 0.5"], ["64040.3 0.38699412"]), 0)
    return decoder


def splicing(mode=""):
    """A decoder whose first message of BTC-USDT is an update from 100 to 105; its REST snapshot was asked for."""
    decoder = started(mode=mode)
    decoder.receive(ack(), 0)
    decoder.receive(update(100, 105, ["64040.2 5"]), 0)
    assert len(fetches(decoder)) == 1
    return decoder


def fetches(decoder):
    return [request for request in decoder.pending_requests() if isinstance(request, FetchSnapshot)]


def sent(decoder):
    """What was asked for over the socket: parsed, but for the text ping."""
    frames = [request.frame for request in decoder.pending_requests() if isinstance(request, Send)]
    return [frame if frame == b"ping" else orjson.loads(frame) for frame in frames]


def asked(decoder):
    """[(op, [(channel, native), …])] of `sent`, pings left out."""
    requests = [each for each in sent(decoder) if each != b"ping"]
    return [(each["op"], [(arg["channel"], arg["instId"]) for arg in each["args"]]) for each in requests]


def kinds(events):
    return [type(event) for event in events]


class DictBook:
    """The simplest client: two dicts, live between a Snapshot and the next GapFound."""

    def __init__(self):
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.live = False

    def apply(self, events):
        for event in events:
            if isinstance(event, Snapshot):
                self.sides, self.live = ({}, {}), True
            if isinstance(event, Snapshot | Update):
                for ticks, lots, is_ask in event.levels:
                    self.sides[is_ask].pop(ticks, None)
                    if lots:
                        self.sides[is_ask][ticks] = lots
            self.live = self.live and not isinstance(event, GapFound)

    def bids(self, count):
        return sorted(self.sides[0].items(), reverse=True)[:count]

    def asks(self, count):
        return sorted(self.sides[1].items())[:count]

    def top_digits(self, count):
        raise NotImplementedError(count)

    def top_decimals(self, count, price_decimals, size_decimals, sign):
        return top_decimals(self.bids(count), self.asks(count), price_decimals, size_decimals, sign=sign)
