"""Bitfinex as recorded on 2021-04-17: all frames of a connection, in order, against a model of a few lines."""

import json
from decimal import Decimal

import pytest
from support.bitfinex_frames import NOW
from support.recorded import recorded_frames

from alphapulse_cli.exchanges.bitfinex import Decoder
from alphapulse_cli.market.events import Event, GapFound, Heartbeat, OffGrid, Snapshot, Trade, Update
from alphapulse_cli.market.instrument import Instrument

EVERY_RECORDING = pytest.mark.parametrize(
    ("name", "books", "updates", "grown", "last"), [("bitfinex-book.txt", 1, 66, 0, 342), ("BITFINEX.ws.11.0", 7, 1593, 1, 1670)]
)


class Model:
    """Books as dicts of decimals, trades as rows, read from the text of the frames."""

    def __init__(self):
        self.channels, self.books, self.trades = {}, {}, {}

    def hear(self, frame):
        message = json.loads(frame, parse_float=Decimal)
        if isinstance(message, dict):
            if message["event"] == "subscribed":
                self.channels[message["chanId"]] = message["channel"], message["symbol"]
            return
        channel, native = self.channels.get(message[0], ("", ""))
        if channel == "book" and message[1] != "hb":
            is_snapshot = isinstance(message[1][0], list)
            book = self.books[native] = {} if is_snapshot else self.books[native]
            for price, count, amount in message[1] if is_snapshot else [message[1]]:
                book.pop((price, amount < 0), None)
                if count:
                    book[price, amount < 0] = abs(amount)
        elif channel == "trades" and message[1] not in ("hb", "tu"):
            for number, _, amount, price in [message[2]] if message[1] == "te" else message[1]:
                self.trades.setdefault((native, number), (price, amount))


def natives(name):
    """The symbols of the recorded books, and the frames."""
    frames = [frame for _, frame in recorded_frames(name)]
    return {json.loads(frame)["symbol"] for frame in frames if b'"subscribed","channel":"book"' in frame}, frames


def played(name):
    """(decoder, model, events of all frames); a level finer than the grid is answered as `flow` answers it."""
    found, frames = natives(name)
    books = [Instrument("bitfinex", native[1:].replace(":", "-"), native, 0, 8) for native in sorted(found)]
    decoder, model = Decoder(books, {"book", "trades"}), Model()
    told: list[Event] = []
    decoder.connected(NOW)
    for frame in frames:
        model.hear(frame)
        events = decoder.receive(frame, NOW)
        for event in events:
            if isinstance(event, OffGrid):
                told.append(event)
                finer = event.instrument.on_grid(event.price_decimals, event.size_decimals)
                assert finer is not None
                decoder.use_instrument(finer)
                events = decoder.receive(frame, NOW)
        told += events
    return decoder, model, told


def decimal(units, decimals):
    return Decimal(units).scaleb(-decimals)


@EVERY_RECORDING
def test_its_books_are_the_models(name, books, updates, grown, last):
    """Level for level, on grids that begin without decimals: a snapshot brings its own, and one update of 1,593 needed a finer one."""
    decoder, model, told = played(name)
    held: dict[str, dict[tuple[Decimal, bool], Decimal]] = {}
    for event in told:
        if isinstance(event, Snapshot | Update):
            book = held.setdefault(event.instrument.native, {})
            if isinstance(event, Snapshot):
                book.clear()
            for ticks, lots, is_ask in event.levels:
                price = decimal(ticks, event.levels.price_decimals), is_ask
                book.pop(price, None)
                if lots:
                    book[price] = decimal(lots, event.levels.size_decimals)
    assert held == model.books
    assert len(held) == books
    counts = [sum(isinstance(event, kind) for event in told) for kind in (Update, OffGrid, GapFound)]
    assert counts == [updates, grown, 0]
    assert decoder._expected == last + 1


@EVERY_RECORDING
def test_its_trades_are_the_models_each_once(name, books, updates, grown, last):
    _, model, told = played(name)
    trades = [event for event in told if isinstance(event, Trade)]
    said: dict[tuple[str, int], tuple[Decimal, Decimal]] = {}
    for trade in trades:
        size = decimal(trade.size_lots, trade.instrument.size_decimals) * (-1 if trade.side.name == "SELL" else 1)
        said[trade.instrument.native, int(trade.trade_id)] = decimal(trade.price_ticks, trade.instrument.price_decimals), size
    ours = {key: value for key, value in model.trades.items() if key[0] in {native for native, _ in said}}
    assert said == ours
    assert len(trades) == len(said)
    assert any(isinstance(event, Heartbeat) for event in told)
