"""Bybit's book of XRPUSDT (linear) as it was recorded on 2024-12-01: 49 deltas in five seconds, against a model of a few lines.

Two of them where the whole is absent. The topic's depth, 500 then, is written as 1000, which there is today.
"""

from dataclasses import dataclass
from decimal import Decimal

import orjson
import pytest
from support.recorded import recorded_file, recorded_frames

from alphapulse_cli.exchanges.bybit import Decoder
from alphapulse_cli.market.events import BookEvent, GapFound, Snapshot, Update
from alphapulse_cli.market.instrument import Instrument

XRP = Instrument("bybit", "XRP-USDT", "XRPUSDT", 4, 0)
WINDOW = 500


@dataclass(frozen=True)
class Recording:
    name: str
    updates: int


@pytest.fixture(
    scope="module", params=[Recording("bybit-book.txt", 2), Recording("BYBIT.v5.orderbook.500.XRPUSDT", 49)], ids=["slice", "whole"]
)
def recording(request):
    return request.param


@pytest.fixture(scope="module")
def frames(recording):
    """As they were received, but for the depth."""
    with recorded_file(recording.name).open("rb") as lines:
        bare = [line.rstrip(b"\r\n") for line in lines if line.startswith(b"{")]
    raw = bare or [frame for _, frame in recorded_frames(recording.name)]
    return [frame.replace(b'"orderbook.500.', b'"orderbook.1000.', 1) for frame in raw]


def started():
    decoder = Decoder([XRP], {"book"}, 1000)
    decoder.connected(0)
    return decoder


def decoded(frames, decoder):
    return [event for frame in frames for event in decoder.receive(frame, 0)]


def books(frames):
    """The model's book after each frame: exact decimals, what the frames say and nothing else."""
    book: dict[tuple[str, Decimal], Decimal] = {}
    for frame in frames:
        message = orjson.loads(frame)
        if message["type"] == "snapshot":
            book = {}
        book |= {(side, Decimal(price)): Decimal(size) for side in "ba" for price, size in message["data"][side]}
        book = {place: size for place, size in book.items() if size}
        yield book


def book_of(events):
    """The book after all of these events, in exact decimals."""
    held: dict[tuple[str, Decimal], Decimal] = {}
    for event in events:
        assert isinstance(event, BookEvent)
        if isinstance(event, Snapshot):
            held.clear()
        for ticks, lots, is_ask in event.levels:
            held["ba"[is_ask], Decimal(ticks).scaleb(-4)] = Decimal(lots)
    return {place: size for place, size in held.items() if size}


def test_every_message_is_decoded(recording, frames):
    assert [type(event) for event in decoded(frames, started())] == [Snapshot, *[Update] * recording.updates]


def test_the_book_is_the_models_level_for_level_after_each_message(frames):
    events = decoded(frames, started())
    assert all(book_of(events[: place + 1]) == book for place, book in enumerate(books(frames)))


def test_no_side_is_ever_deeper_than_the_window_and_all_removals_are_of_known_levels(frames):
    """So nothing has to be cut, and a level that leaves the window is told."""
    before: dict[tuple[str, Decimal], Decimal] = {}
    for frame, book in zip(frames, books(frames), strict=True):
        assert max(sum(side == each for side, _ in book) for each in "ba") <= WINDOW
        gone = {(side, Decimal(price)) for side in "ba" for price, size in orjson.loads(frame)["data"][side] if size == "0"}
        assert gone <= before.keys()
        before = book


def test_each_lost_message_is_a_gap(frames):
    """But the last one."""
    for lost in range(1, len(frames) - 1):
        events = decoded([*frames[:lost], frames[lost + 1]], started())
        assert [type(event) for event in events] == [Snapshot, *[Update] * (lost - 1), GapFound]


def test_the_time_is_that_of_the_message(frames):
    first = decoded(frames, started())[0]
    assert first.exchange_ns == 1733011200691_000_000
