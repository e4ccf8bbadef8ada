"""Whatever bytes come, Bybit's decoder gives events or DecodeError; what it refuses has changed nothing."""

import copy
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exchange_truth import PlainTruth
from support.hostile import frames_with_one_part_replaced, frames_with_some_bytes_replaced, json_values

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.bybit import Decoder, Encoder, RestEncoder, parse_instruments
from alphapulse_cli.market.events import Snapshot
from alphapulse_cli.market.instrument import Instrument

BTC = Instrument("bybit", "BTC-USDT", "BTCUSDT", 1, 6)
NOW = 1_700_000_000_000_000_000


def real_frames():
    """One frame of every kind that the server sends."""
    truth = PlainTruth([BTC])
    truth.change("BTC-USDT", [(1000 + i, 7, True) for i in range(3)] + [(999 - i, 7, False) for i in range(3)])
    encoder, decoder = Encoder(truth), Decoder([BTC], {"book", "trades"})
    frames: list[bytes] = []
    decoder.connected(NOW)
    for request in decoder.pending_requests():
        frames += encoder.receive(request.frame, NOW)
    truth.change("BTC-USDT", [(1000, 0, True)])
    frames += encoder.update("BTC-USDT", [(1000, 0, True)], NOW)
    frames += encoder.trades("BTC-USDT", [truth.trade("BTC-USDT", 1000, 5)], NOW)
    frames += encoder.receive(b'{"op":"ping","req_id":"p1"}', NOW)
    frames += encoder.receive(b'{"op":"subscribe","req_id":"s1","args":["orderbook.50.FOOUSDT"]}', NOW)
    return [*frames, *encoder.receive(b"hello", NOW)]


FRAMES = real_frames()
VALUES = json_values("BTCUSDT", "orderbook.50.BTCUSDT", "publicTrade.BTCUSDT", "delta", "s1", "1e400", "Buy")
PART_REPLACED = frames_with_one_part_replaced(FRAMES, VALUES)
BYTES_REPLACED = frames_with_some_bytes_replaced(FRAMES)


def fed():
    """A decoder in the middle of its life."""
    decoder = Decoder([BTC], {"book", "trades"})
    decoder.connected(NOW)
    decoder.pending_requests()
    for frame in FRAMES:
        decoder.receive(frame, NOW)
    decoder.pending_requests()
    return decoder


def memory(decoder):
    """All that a decoder remembers."""
    apart = ("shape", "_topics", "_numbers", "_last_resort")
    kept = {name: value for name, value in vars(decoder).items() if name not in apart}
    topics = {name: value for name, value in vars(decoder._topics).items() if name not in ("_owed", "_frame_of")}
    numbers = {native: (each.last, each.final) for native, each in decoder._numbers.items()}
    return copy.deepcopy((kept, topics, decoder._topics._owed._debts, decoder.shape.instruments, numbers))


@given(st.binary(max_size=120) | BYTES_REPLACED | PART_REPLACED)
def test_any_bytes_give_events_or_decode_error(frame):
    decoder = fed()
    before, refused, events = memory(decoder), None, ()
    try:
        events = decoder.receive(frame, NOW)
    except DecodeError as error:
        refused = error
    if refused is not None:
        assert memory(decoder) == before
        assert len(refused.frame) <= 200
    for told in (*events, refused):
        repr(told).encode()


@given(PART_REPLACED)
def test_what_was_fed_does_no_harm_to_what_follows(frame):
    """After any frame a snapshot still gives a book."""
    decoder = fed()
    with suppress(DecodeError):
        decoder.receive(frame, NOW)
    snapshot = next(each for each in FRAMES if b'"type":"snapshot","data":{' in each)
    assert [type(event) for event in decoder.receive(snapshot, NOW)] == [Snapshot]


@pytest.mark.parametrize("depth", [500, 900, 1020, 5000, 100_000])
def test_deep_nesting_is_refused_or_understood(depth):
    nested = "[" * depth + "]" * depth
    inside = FRAMES[1].replace(b'"seq"', b'"x":' + nested.encode() + b',"seq"')
    assert inside != FRAMES[1]
    for frame in (nested.encode(), inside):
        with suppress(DecodeError):
            fed().receive(frame, NOW)


@given(st.binary(max_size=120) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_instruments_or_decode_error(body):
    with suppress(DecodeError):
        parse_instruments(body)


def answer_of(*rows):
    """An `instruments-info` answer with these rows."""
    return json.dumps({"retCode": 0, "retMsg": "OK", "result": {"category": "spot", "list": rows}, "time": 1}).encode()


def row(**changes):
    """The record of BTCUSDT as the documentation shows it."""
    sizes = {"basePrecision": "0.000001", "quotePrecision": "0.00000001", "minOrderQty": "0.000048", "maxOrderQty": "71.73956243"}
    names = {"symbol": "BTCUSDT", "baseCoin": "BTC", "quoteCoin": "USDT", "innovation": "0", "status": "Trading"}
    return names | {"lotSizeFilter": sizes, "priceFilter": {"tickSize": "0.01"}} | changes


@given(st.data())
def test_a_damaged_answer_gives_instruments_or_decode_error(data):
    _, body = RestEncoder(PlainTruth([BTC])).respond("/v5/market/instruments-info", {"category": "spot"}, NOW)
    answer = json.loads(body)
    record = answer["result"]["list"][0]
    record[data.draw(st.sampled_from(sorted(record)))] = data.draw(VALUES)
    try:
        found = parse_instruments(json.dumps(answer).encode())
    except DecodeError:
        return
    assert all(len(each.symbol) <= 16 for each in found)


class TestInstruments:
    def test_one_as_it_is_documented(self):
        [found] = parse_instruments(answer_of(row()))
        assert found == Instrument("bybit", "BTC-USDT", "BTCUSDT", 2, 6, tick_size_ticks=1, lot_size_lots=1, min_size_lots=48)
        assert (found.status_word, found.trading) == ("Trading", True)

    def test_an_error_of_bybit_is_not_an_empty_list(self):
        with pytest.raises(DecodeError, match="params error"):
            parse_instruments(b'{"retCode":10001,"retMsg":"params error: Category is invalid","result":{}}')

    def test_a_page_of_a_content_network_is_not_an_empty_list(self):
        with pytest.raises(DecodeError):
            parse_instruments(b"<HTML><TITLE>ERROR: The request could not be satisfied</TITLE></HTML>")

    @pytest.mark.parametrize(
        "changes",
        [
            {"baseCoin": "ABCDEFGHIJKLM"},
            {"baseCoin": "\u0007"},
            {"baseCoin": ""},
            {"symbol": "X" * 33},
            {"priceFilter": {"tickSize": "1e-19"}},
        ],
    )
    def test_what_our_records_cannot_hold_is_left_out(self, changes):
        assert parse_instruments(answer_of(row(**changes))) == []

    @pytest.mark.parametrize("odd", [7, {}, row(status=None), row(priceFilter={"tickSize": "one"}), row(lotSizeFilter={})])
    def test_a_row_that_is_not_understood_does_not_take_the_others_along(self, odd):
        assert [each.symbol for each in parse_instruments(answer_of(odd, row()))] == ["BTC-USDT"]
        with pytest.raises(DecodeError):
            parse_instruments(answer_of(odd))

    def test_one_of_ours_that_is_not_understood_is_listed_as_it_was(self):
        decoder = Decoder([BTC], {"book"})
        assert decoder.receive_instruments(answer_of(row(status=7))) == [BTC]

    def test_no_smallest_order_is_none(self):
        """The field is deprecated."""
        [found] = parse_instruments(answer_of(row(lotSizeFilter={"basePrecision": "0.01"})))
        assert (found.size_decimals, found.min_size_lots) == (2, 0)
