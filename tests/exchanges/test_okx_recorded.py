"""OKX as recorded on 2022-05-13: three books with a checksum on each of 290 messages, and no sequence numbers yet; a slice of one book.

The checksums are over the text that was sent; ours over the text that follows from the integers.
"""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal

import orjson
import pytest
from support.exchange_truth import instrument
from support.okx import DictBook
from support.recorded import recorded_answers, recorded_frames

from alphapulse_cli.exchanges.okx import Decoder, parse_instruments
from alphapulse_cli.exchanges.protocol import BOOK, TRADES
from alphapulse_cli.market.events import Snapshot, Subscribed, Trade, Unrecognised, Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.ticks import to_text

# Two of them are derivatives, which the metadata of spot markets do not list: their grids are given here.
UNI, DATED, BTC = (
    instrument("okx", "UNI-USD", "UNI-USD-SWAP", 3, 0),
    instrument("okx", "BTC-USD", "BTC-USD-220527", 1, 0),
    instrument("okx", "BTC-USDT", "BTC-USDT", 1, 8),
)


@dataclass(frozen=True)
class Recording:
    """A file, the books in it, and how many messages of books and trades it holds."""

    frames: str
    instruments: tuple[Instrument, ...]
    books: int
    trades: int


SLICE = Recording("okx-books.txt", (UNI, BTC), 41, 13)
WHOLE = Recording("OKX.ws.1.0", (UNI, DATED, BTC), 290, 74)


@pytest.fixture(scope="module", params=[SLICE, WHOLE], ids=["slice", "whole"])
def recording(request):
    return request.param


def decimal_books(recording):
    """The independent model: levels as Decimals in dicts, in the few lines that OKX's documentation describes."""
    books: dict[str, tuple[dict[Decimal, Decimal], dict[Decimal, Decimal]]] = {}
    for _, frame in recorded_frames(recording.frames):
        message = orjson.loads(frame)
        if message["arg"]["channel"] != "books" or "data" not in message:
            continue
        [row] = message["data"]
        if message["action"] == "snapshot":
            books[message["arg"]["instId"]] = ({}, {})
        for side, name in zip(books[message["arg"]["instId"]], ("bids", "asks"), strict=True):
            side.update((Decimal(each[0]), Decimal(each[1])) for each in row[name])
    return {native: tuple({p: q for p, q in side.items() if q} for side in sides) for native, sides in books.items()}


def played(recording):
    """(the decoder, its books, its events) after the whole recording."""
    decoder = Decoder(recording.instruments, {BOOK, TRADES})
    decoder.connected(0)
    books = {each.native: DictBook() for each in recording.instruments}
    events = []
    for receive_ns, frame in recorded_frames(recording.frames):
        for event in decoder.receive(frame, receive_ns):
            events.append(event)
            if isinstance(event, Snapshot | Update):
                books[event.instrument.native].apply([event])
                yield decoder, books, event, events
    yield decoder, books, None, events


def test_each_checksum_is_that_of_the_book_after_its_message(recording):
    right = sum(
        decoder.book_checksum(event.instrument, books[event.instrument.native]) == event.checksum
        for decoder, books, event, _ in played(recording)
        if event is not None
    )
    assert right == recording.books


@pytest.mark.parametrize("spoil", [lambda lots: lots + 1, lambda _: 0], ids=["another size", "a level less"])
def test_no_other_book_has_that_checksum(recording, spoil):
    """The best bid is spoiled after each message; else that all agree proves nothing."""
    wrong = 0
    for decoder, books, event, _ in played(recording):
        if event is not None:
            held = books[event.instrument.native]
            best = max(held.sides[0])
            spoiled = DictBook()
            spoiled.sides = ({**held.sides[0], best: spoil(held.sides[0][best])}, held.sides[1])
            if not spoiled.sides[0][best]:
                del spoiled.sides[0][best]
            wrong += decoder.book_checksum(event.instrument, spoiled) != event.checksum
    assert wrong == recording.books


def test_the_final_books_are_those_of_the_model(recording):
    decoder, books, _, events = list(played(recording))[-1]
    model = decimal_books(recording)
    for each in recording.instruments:
        if each.native in model:
            sides = tuple(
                {
                    Decimal(to_text(ticks, each.price_decimals)): Decimal(to_text(lots, each.size_decimals))
                    for ticks, lots in side.items()
                }
                for side in books[each.native].sides
            )
            assert sides == model[each.native]
            assert max(sides[0]) < min(sides[1])
    counted = Counter(type(event) for event in events)
    assert set(counted) <= {Snapshot, Update, Trade, Subscribed, Unrecognised}, "no gap, nothing missed"
    assert counted[Snapshot] + counted[Update] == recording.books
    assert counted[Trade] >= recording.trades
    assert [request for request in decoder.pending_requests() if b'"unsubscribe"' in getattr(request, "frame", b"")] == []


@pytest.mark.parametrize(("name", "least"), [("okx-instruments.txt", 3), ("OKX.0", 500)])
def test_the_metadata_of_the_same_day(name, least):
    body = next(body for url, body in recorded_answers(name) if url.endswith("instType=SPOT"))
    found = {each.native: each for each in parse_instruments(body)}
    assert len(found) >= least
    btc, shib = found["BTC-USDT"], found["SHIB-USDT"]
    assert (btc.symbol, btc.price_decimals, btc.size_decimals, btc.min_size_lots) == ("BTC-USDT", 1, 8, 1000)
    assert (shib.price_decimals, shib.size_decimals, shib.tick_size_ticks, shib.min_size_lots) == (8, 0, 1, 50_000)


def test_the_metadata_of_other_kinds_hold_no_spot_market():
    for url, body in recorded_answers("OKX.0"):
        if "instType=SPOT" not in url and url.startswith("https"):
            assert parse_instruments(body) == []
