"""Binance.US as recorded on 2021-10-12: four symbols, 336 diffs, snapshots of the same minute; of two symbols where the whole is absent."""

from collections import Counter
from dataclasses import dataclass
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import orjson
import pytest
from support.binance import DictBook
from support.recorded import recorded_answers, recorded_frames

from alphapulse_cli.exchanges.binance import Decoder, parse_instruments
from alphapulse_cli.exchanges.protocol import BOOK, TRADES
from alphapulse_cli.market.events import Snapshot, Unrecognised, Update
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.requests import FetchSnapshot
from alphapulse_cli.market.ticks import to_text


@dataclass(frozen=True)
class Recording:
    """The files of one recording, the symbols in it, and how many diffs it holds."""

    metadata: str
    snapshots: str
    frames: str
    natives: tuple[str, ...]
    diffs: int


SLICE = Recording("binance-us-symbols.txt", "binance-us-snapshot.txt", "binance-us-diffs.txt", ("CRVUSDT", "ZRXUSDT"), 70)
WHOLE = Recording("BINANCE_US.0", "BINANCE_US.http.0.0", "BINANCE_US.ws.1.0", ("COMPUSDT", "CRVUSDT", "OMGBUSD", "ZRXUSDT"), 336)


@pytest.fixture(scope="module", params=[SLICE, WHOLE], ids=["slice", "whole"])
def recording(request):
    return request.param


@pytest.fixture(scope="module")
def instruments(recording):
    [(_, body)] = recorded_answers(recording.metadata)
    return {each.native: each for each in parse_instruments(body)}


@pytest.fixture(scope="module")
def snapshots(recording):
    return {parse_qs(urlsplit(url).query)["symbol"][0]: body for url, body in recorded_answers(recording.snapshots)}


def decimal_books(recording, snapshots):
    """The independent model: snapshots and newer events as Decimals in dicts, in the few lines that the exchange's docs describe."""
    books, last = {}, {}
    for native, body in snapshots.items():
        whole = orjson.loads(body)
        books[native] = tuple({Decimal(price): Decimal(size) for price, size in whole[side]} for side in ("bids", "asks"))
        last[native] = whole["lastUpdateId"]
    for _, frame in recorded_frames(recording.frames):
        event = orjson.loads(frame)["data"]
        if event.get("e") == "depthUpdate" and event["u"] > last[event["s"]]:
            for side, rows in zip(books[event["s"]], (event["b"], event["a"]), strict=True):
                side.update((Decimal(price), Decimal(size)) for price, size in rows)
    return {native: tuple({p: q for p, q in side.items() if q} for side in sides) for native, sides in books.items()}


@pytest.mark.parametrize("answered_after", [0, 3, 10, 25])
def test_the_splice_holds_whenever_the_snapshot_comes(recording, instruments, snapshots, answered_after):
    """Each symbol's snapshot is handed in once so many more of its events are buffered."""
    decoder = Decoder([instruments[native] for native in recording.natives], {BOOK, TRADES})
    decoder.connected(0)
    books = {native: DictBook() for native in recording.natives}
    events: Counter[str | type] = Counter()
    waiting: dict[Instrument, int] = {}
    for receive_ns, frame in recorded_frames(recording.frames):
        data = orjson.loads(frame)["data"]
        found = list(decoder.receive(frame, receive_ns))
        waiting |= {
            request.instrument: answered_after for request in decoder.pending_requests() if isinstance(request, FetchSnapshot)
        }
        for instrument in [each for each in waiting if each.native == data["s"] and data.get("e") == "depthUpdate"]:
            waiting[instrument] -= 1
            if waiting[instrument] < 0:
                del waiting[instrument]
                found += decoder.receive_snapshot(instrument, snapshots[instrument.native], receive_ns)
        events.update([*(["depthUpdate"] if data.get("e") == "depthUpdate" else []), *(type(event) for event in found)])
        for event in found:
            if isinstance(event, Snapshot | Update):
                books[event.instrument.native].apply([event])
    assert events["depthUpdate"] == recording.diffs
    assert set(events) == {"depthUpdate", Snapshot, Update, Unrecognised}  # and no GapFound
    assert events[Snapshot] == len(recording.natives)
    model = decimal_books(recording, snapshots)
    for native, book in books.items():
        instrument = instruments[native]
        sides = tuple(
            {
                Decimal(to_text(ticks, instrument.price_decimals)): Decimal(to_text(lots, instrument.size_decimals))
                for ticks, lots in side.items()
            }
            for side in book.sides
        )
        assert sides == model[native]
        assert max(sides[0]) < min(sides[1])
