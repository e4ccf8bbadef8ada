"""Coinbase's Exchange feed as it was recorded on 2021-04-17: 9,719 updates of ten books, against a model of a few lines."""

from decimal import Decimal

import orjson
import pytest
from support.coinbase_frames import levels
from support.recorded import recorded_answers, recorded_frames

from alphapulse_cli.exchanges.coinbase import Decoder, parse_instruments
from alphapulse_cli.market.events import BookEvent, Snapshot, Trade, Update
from alphapulse_cli.market.instrument import Instrument

FRAMES, PRODUCTS = "COINBASE.ws.28.0", "COINBASE.0"
STUB_TICKS = {"BAND-BTC": 8_690_000_000, "CRV-EUR": 8_888_880_040_000, "SKL-USD": 9_999_990_000}  # their furthest asks


def model():
    """Each product's book, as exact decimals: what the frames say, and nothing else."""
    books = {}
    for _, frame in recorded_frames(FRAMES):
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
def instruments():
    """Of the ten recorded products, from the metadata of that day."""
    products = model().keys()
    ((_, body),) = [answer for answer in recorded_answers(PRODUCTS) if answer[0].endswith("/products")]
    return [instrument for instrument in parse_instruments(body, "exchange") if instrument.native in products]


@pytest.fixture(scope="module")
def events(instruments):
    decoder = Decoder(instruments, {"book", "trades"}, mode="exchange")
    decoder.connected(0)
    return [event for receive_ns, frame in recorded_frames(FRAMES) for event in decoder.receive(frame, receive_ns)]


def books_of(events):
    """{product: {(side, price): size}} after all book events, in exact decimals."""
    books = {}
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


def test_every_message_is_decoded(events):
    kinds = {kind: sum(type(event) is kind for event in events) for kind in (Snapshot, Update, Trade)}
    assert kinds == {Snapshot: 10, Update: 9719, Trade: 107}
    assert {type(event).__name__ for event in events} == {"Snapshot", "Update", "Trade", "Subscribed", "Unrecognised"}


def test_the_final_books_are_the_models_level_for_level(events):
    assert books_of(events) == model()
    assert len(model()) == 10


def test_stub_orders_far_away_are_kept(events):
    assert not any(event.levels.kept_out for event in events if isinstance(event, BookEvent))
    for product, ticks in STUB_TICKS.items():
        snapshot = next(event for event in events if isinstance(event, Snapshot) and event.instrument.native == product)
        assert max(level[0] for level in levels(snapshot)) == ticks


def test_a_grid_too_coarse_is_made_finer_on_the_way(instruments):
    """Started on whole numbers, every product ends with the same book on the grid that its frames needed."""
    coarse = [Instrument("coinbase", each.symbol, each.native, 0, 0) for each in instruments]
    decoder = Decoder(coarse, {"book"}, mode="exchange")
    decoder.connected(0)
    held, asked = [], 0
    for receive_ns, frame in recorded_frames(FRAMES):
        found = list(decoder.receive(frame, receive_ns))
        while found and type(found[0]).__name__ == "OffGrid":
            asked += 1
            need = found[0]
            finer = need.instrument.on_grid(need.price_decimals, need.size_decimals)
            held = [
                _on_grid(event, finer) if isinstance(event, BookEvent) and event.instrument.native == finer.native else event
                for event in held
            ]
            decoder.use_instrument(finer)
            found = list(decoder.receive(frame, receive_ns))
        held += [event for event in found if isinstance(event, BookEvent)]
    assert asked >= 10
    assert books_of(held) == model()


def _on_grid(event, finer):
    """What `flow` does to a book when its grid becomes finer, done to an event."""
    prices = 10 ** (finer.price_decimals - event.instrument.price_decimals)
    sizes = 10 ** (finer.size_decimals - event.instrument.size_decimals)
    levels_of_finer = type(event.levels)(finer.price_decimals, finer.size_decimals)
    for ticks, lots, is_ask in levels(event):
        levels_of_finer.add(ticks * prices, lots * sizes, is_ask)
    return type(event)(finer, levels_of_finer, event.exchange_ns)
