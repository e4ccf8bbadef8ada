"""Arbitrary bytes and mutated frames: events or DecodeError, never another exception, and a refused frame leaves no trace."""

import contextlib

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.binance import BTC, ETH, diff, kinds, live, snapshot, started, trade
from support.exchange_truth import PlainTruth

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.binance import Encoder, RestEncoder, parse_instruments
from alphapulse_cli.market.events import Update

FRAMES = [
    diff(11, 12, [["1.00", "2"]], [["3.10", "0.00000000"]]),
    trade(3, "1.23", "4"),
    b'{"result":null,"id":1}',
    b'{"error":{"code":2,"msg":"no"},"id":1}',
    b'{"stream":"btcusdt@depth20@100ms","data":{"lastUpdateId":160,"bids":[["0.24","10"]],"asks":[]}}',
    snapshot(12, [["1.00", "2"]]),
    (
        b'{"symbols":[{"symbol":"BTCUSDT","status":"TRADING","baseAsset":"BTC","quoteAsset":"USDT","filters":'
        b'[{"filterType":"PRICE_FILTER","tickSize":"0.01"},{"filterType":"LOT_SIZE","minQty":"0.1","stepSize":"0.1"}]}]}'
    ),
]
json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.just("1.5"),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(list("esUubatpqTmE")) | st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


@st.composite
def mutated(draw):
    """A real frame with some bytes replaced, cut or repeated; or with one of its values replaced by another."""
    frame = draw(st.sampled_from(FRAMES))
    if draw(st.booleans()):
        start, length = draw(st.integers(0, len(frame))), draw(st.integers(0, 6))
        return frame[:start] + draw(st.binary(max_size=4) | st.just(frame[start : start + 9])) + frame[start + length :]
    message = orjson.loads(frame)
    place = message["data"] if "data" in message and draw(st.booleans()) else message
    place[draw(st.sampled_from(sorted(place)))] = draw(json_values)
    return orjson.dumps(message)


any_bytes = st.binary(max_size=60) | mutated() | json_values.map(orjson.dumps)


@pytest.mark.parametrize("mode", ["diff", "depth20"])
@given(st.lists(any_bytes, max_size=6))
def test_any_bytes_give_events_or_decode_error(mode, frames):
    decoder = started(BTC, ETH, mode=mode)
    for frame in frames:
        for take in (
            lambda frame: decoder.receive(frame, 0),
            lambda frame: decoder.receive_snapshot(BTC, frame, 0),
            decoder.receive_instruments,
        ):
            with contextlib.suppress(DecodeError):
                take(frame)


@given(any_bytes)
def test_a_refused_frame_changes_nothing(frame):
    decoder = live(10)
    decoder.pending_requests()
    try:
        decoder.receive(frame, 0)
    except DecodeError:
        assert decoder.pending_requests() == ()
        assert kinds(decoder.receive(diff(11, 11), 0)) == [Update]


@given(any_bytes)
def test_the_exchanges_side_answers_anything(frame):
    encoder = Encoder(PlainTruth([BTC]))
    assert len(encoder.receive(frame, 0)) >= 1


@given(
    st.text(max_size=20),
    st.dictionaries(st.sampled_from(["symbol", "symbols", "limit"]), st.text(max_size=12) | st.just("BTCUSDT")),
)
def test_so_does_its_rest_side(path, query):
    for known in (path, "/api/v3/depth", "/api/v3/exchangeInfo"):
        status, body = RestEncoder(PlainTruth([BTC])).respond(known, query, 0)
        assert status in {200, 400, 404}
        assert isinstance(orjson.loads(body), dict)


@given(any_bytes)
def test_metadata_is_understood_or_refused(body):
    with contextlib.suppress(DecodeError):
        parse_instruments(body)
