"""Frames, snapshots and a dict-fed client book for the Binance tests."""

import orjson

from alphapulse_cli.exchanges.binance import Decoder
from alphapulse_cli.exchanges.protocol import BOOK, TRADES
from alphapulse_cli.market.events import GapFound, Snapshot, Update
from alphapulse_cli.market.requests import FetchSnapshot, Send
from support.exchange_truth import instrument

SECOND = 1_000_000_000
BTC = instrument("binance-us", "BTC-USDT", "BTCUSDT", 2, 4)
ETH = instrument("binance-us", "ETH-USDT", "ETHUSDT", 2, 3)


def diff(first, final, bids=(), asks=(), native="BTCUSDT", ms=1_633_998_274_793):
    data = {"e": "depthUpdate", "E": ms, "s": native, "U": first, "u": final, "b": list(bids), "a": list(asks)}
    return orjson.dumps({"stream": f"{native.lower()}@depth@100ms", "data": data})


def snapshot(last, bids=(), asks=()):
    return orjson.dumps({"lastUpdateId": last, "bids": list(bids), "asks": list(asks)})


def trade(number, price="1.00", size="2", native="BTCUSDT", maker=True):
    data = {"e": "trade", "E": 1, "s": native, "t": number, "p": price, "q": size, "T": 1_633_998_275_019, "m": maker, "M": True}
    return orjson.dumps({"stream": f"{native.lower()}@trade", "data": data})


def started(*instruments, depth=0, mode="", channels=(BOOK, TRADES), exchange="binance-us"):
    """A connected decoder whose subscriptions were already taken."""
    decoder = Decoder(instruments or (BTC,), set(channels), depth, mode, exchange)
    decoder.connected(0)
    decoder.pending_requests()
    return decoder


def live(last=10, bids=(), asks=()):
    """A decoder of BTC-USDT whose book stands at `last`, its first event taken."""
    decoder = started()
    assert decoder.receive(diff(last, last), 0) == ()
    assert len(fetches(decoder)) == 1
    decoder.receive_snapshot(BTC, snapshot(last - 1, bids, asks), 0)
    return decoder


def fetches(decoder):
    return [request for request in decoder.pending_requests() if isinstance(request, FetchSnapshot)]


def sent(decoder):
    return [orjson.loads(request.frame) for request in decoder.pending_requests() if isinstance(request, Send)]


def kinds(events):
    return [type(event) for event in events]


class DictBook:
    """The simplest client: two dicts, live between a Snapshot and the next GapFound."""

    def __init__(self):
        self.sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
        self.gaps: list[GapFound] = []
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
            if isinstance(event, GapFound):
                self.live = False
                self.gaps.append(event)
