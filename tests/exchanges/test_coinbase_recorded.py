"""Coinbase's Exchange feed as it was recorded on 2021-04-17: 9,719 updates of ten books, against a model of a few lines.

Of one book where the whole is absent.
"""

from dataclasses import dataclass
from decimal import Decimal

import orjson
import pytest
from support.coinbase_frames import levels
from support.recorded import recorded_answers, recorded_frames

from alphapulse_cli.exchanges.coinbase import Decoder, parse_instruments
from alphapulse_cli.market.events import BookEvent, Snapshot, Trade, Update
from alphapulse_cli.market.instrument import Instrument


@dataclass(frozen=True)
class Recording:
    """The files of one recording, and how many events of each kind are in it."""

    products: str
    frames: str
    snapshots: int
    updates: int
    trades: int
    stub_ticks: dict[str, int]  # of the furthest ask
    others: frozenset[str]  # kinds of event beside books and trades


SLICE = Recording("coinbase-products.txt", "coinbase-exchange.txt", 1, 94, 2, {}, frozenset())
WHOLE = Recording(
    "COINBASE.0",
    "COINBASE.ws.28.0",
    10,
    9719,
    107,
    {"BAND-BTC": 8_690_000_000, "CRV-EUR": 8_888_880_040_000, "SKL-USD": 9_999_990_000},
    frozenset({"Subscribed", "Unrecognised"}),
)


@pytest.fixture(scope="module", params=[SLICE, WHOLE], ids=["slice", "whole"])
def recording(request):
    return request.param


def model(recording):
    """Each product's book, as exact decimals: what the frames say, and nothing else."""
    books = {}
    for _, frame in recorded_frames(recording.frames):
        message = orjson.loads(frame)
        if message["type"] == "snapshot":
            sides = {"buy": message["bids"], "sell": message["asks"]}
            books[message["product_id"]] = {
                (side, Decimal(price)): Decimal(size) for side, rows in sides.items() for price, size in rows
            }
        elif message["type"] == "l2update":
            for side, price, size in message["changes"]:
                books[message["product_id"]][side, Decimal(price)] = Decimal(size)
    return {product: {place: size for place, size in book.items() if size} for product, book in books.items()}


@pytest.fixture(scope="module")
def instruments(recording):
    """Of the recorded products, from the metadata of that day."""
    products = model(recording).keys()
    ((_, body),) = [answer for answer in recorded_answers(recording.products) if answer[0].endswith("/products")]
    return [instrument for instrument in parse_instruments(body, "exchange") if instrument.native in products]


@pytest.fixture(scope="module")
def events(recording, instruments):
    decoder = Decoder(instruments, {"book", "trades"}, mode="exchange")
    decoder.connected(0)
    return [event for receive_ns, frame in recorded_frames(recording.frames) for event in decoder.receive(frame, receive_ns)]


def books_of(events):
    """{product: {(side, price): size}} after all book events, in exact decimals."""
    books: dict[str, dict[tuple[str, int], int]] = {}
    for event in (event for event in events if isinstance(event, BookEvent)):
        held = books.setdefault(event.instrument.native, {})
        if isinstance(event, Snapshot):
            held.clear()
        for ticks, lots, is_ask in levels(event):
            held["sell" if is_ask else "buy", ticks] = lots
    scales = {event.instrument.native: event.instrument for event in events if isinstance(event, BookEvent)}
    return {
        product: {
            (side, Decimal(ticks).scaleb(-scales[product].price_decimals)): Decimal(lots).scaleb(-scales[product].size_decimals)
            for (side, ticks), lots in held.items()
            if lots
        }
        for product, held in books.items()
    }


def test_every_message_is_decoded(recording, events):
    kinds = {kind: sum(type(event) is kind for event in events) for kind in (Snapshot, Update, Trade)}
    assert kinds == {Snapshot: recording.snapshots, Update: recording.updates, Trade: recording.trades}
    assert {type(event).__name__ for event in events} == {"Snapshot", "Update", "Trade"} | recording.others


def test_the_final_books_are_the_models_level_for_level(recording, events):
    assert books_of(events) == model(recording)
    assert len(model(recording)) == recording.snapshots


def test_stub_orders_far_away_are_kept(recording, events):
    assert not any(event.levels.kept_out for event in events if isinstance(event, BookEvent))
    for product, ticks in recording.stub_ticks.items():
        snapshot = next(event for event in events if isinstance(event, Snapshot) and event.instrument.native == product)
        assert max(level[0] for level in levels(snapshot)) == ticks


def test_a_grid_too_coarse_is_made_finer_on_the_way(recording, instruments):
    """Started on whole numbers, every product ends with the same book on the grid that its frames needed."""
    coarse = [Instrument("coinbase", each.symbol, each.native, 0, 0) for each in instruments]
    decoder = Decoder(coarse, {"book"}, mode="exchange")
    decoder.connected(0)
    held: list[BookEvent] = []
    asked = 0
    for receive_ns, frame in recorded_frames(recording.frames):
        found = list(decoder.receive(frame, receive_ns))
        while found and type(found[0]).__name__ == "OffGrid":
            asked += 1
            need = found[0]
            finer = need.instrument.on_grid(need.price_decimals, need.size_decimals)
            assert finer is not None
            held = [
                _on_grid(event, finer) if isinstance(event, BookEvent) and event.instrument.native == finer.native else event
                for event in held
            ]
            decoder.use_instrument(finer)
            found = list(decoder.receive(frame, receive_ns))
        held += [event for event in found if isinstance(event, BookEvent)]
    assert asked >= recording.snapshots
    assert books_of(held) == model(recording)


def _on_grid(event, finer):
    """What `flow` does to a book when its grid becomes finer, done to an event."""
    prices = 10 ** (finer.price_decimals - event.instrument.price_decimals)
    sizes = 10 ** (finer.size_decimals - event.instrument.size_decimals)
    levels_of_finer = type(event.levels)(finer.price_decimals, finer.size_decimals)
    for ticks, lots, is_ask in levels(event):
        levels_of_finer.add(ticks * prices, lots * sizes, is_ask)
    return type(event)(finer, levels_of_finer, event.exchange_ns)
