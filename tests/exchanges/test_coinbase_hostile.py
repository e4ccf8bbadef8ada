"""Coinbase decoders on bytes that no exchange would send: events or DecodeError, and no state that a refused frame could spoil."""

import orjson
from hypothesis import assume, given
from hypothesis import strategies as st
from support.coinbase_frames import (
    book,
    confirmation,
    frame,
    heartbeat,
    picture,
    row,
    snapshot,
    started,
    trade,
    trades,
    update,
    x_heartbeat,
    x_match,
    x_snapshot,
    x_update,
)

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.coinbase import parse_instruments
from alphapulse_cli.market.events import OffGrid, Update

ADVANCED = [
    snapshot(2),
    update(2),
    frame(2, "l2_data", book("update", "BTC-USD", row("bid", "1", "1")), book("update", "ETH-USD", row("offer", "2", "0"))),
    trades(2, trade(3), trade(2)),
    trades(2, trade(1), kind="snapshot"),
    heartbeat(2),
    confirmation(2, level2=["BTC-USD"], heartbeats=["heartbeats"]),
    b'{"type":"error","message":"failure to subscribe"}',
]
EXCHANGE = [
    x_snapshot(),
    x_update(),
    x_match(3),
    x_match(3, "last_match"),
    x_heartbeat(3),
    b'{"type":"subscriptions","channels":[{"name":"matches","product_ids":["BTC-USD"],"account_ids":null}]}',
    b'{"type":"error","message":"Failed to subscribe","reason":"no"}',
]
texts = st.text(max_size=8) | st.sampled_from(
    ["1e30", "1e-30", "1e99", "NaN", "-1", "0.1", "9" * 40, "9" * 41, "snapshot", "update"]
)
scalars = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False) | texts
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3), max_leaves=5)


def places(value, path=()):
    """Every place in a parsed frame."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


@st.composite
def mutated(draw, frames):
    """A real frame with one value replaced, or left out; or with some bytes changed."""
    original = draw(st.sampled_from(frames))
    if draw(st.booleans()):
        at, junk = draw(st.integers(0, len(original))), draw(st.binary(max_size=4))
        return original[:at] + junk + original[at + draw(st.integers(0, 6)) :]
    message = orjson.loads(original)
    path = draw(st.sampled_from(list(places(message))))
    if not path:
        return orjson.dumps(draw(values))
    holder = message
    for key in path[:-1]:
        holder = holder[key]
    if draw(st.booleans()) and isinstance(holder, dict):
        del holder[path[-1]]
    else:
        holder[path[-1]] = draw(values)
    return orjson.dumps(message)


def live(mode):
    decoder = started(mode=mode)
    for number, product in enumerate(("BTC-USD", "ETH-USD")):
        decoder.receive(snapshot(number, product) if mode == "advanced" else x_snapshot(product), 0)
    return decoder


def events_or_refusal(decoder, data):
    try:
        return list(decoder.receive(data, 0))
    except DecodeError:
        return None


@given(st.binary(max_size=200) | values.map(orjson.dumps))
def test_any_bytes_are_events_or_a_decode_error(data):
    for mode in ("advanced", "exchange"):
        events_or_refusal(live(mode), data)
        events_or_refusal(started(mode=mode), data)


@given(mutated(ADVANCED))
def test_a_refused_or_strange_advanced_frame_leaves_the_stream_whole(data):
    """C3, C4, C12: if its number was the expected one, the next frame is no gap; whatever it was, nobody else's book moves."""
    decoder = live("advanced")
    events = events_or_refusal(decoder, data)
    try:
        message = orjson.loads(data)
    except ValueError:
        return
    assume(isinstance(message, dict) and type(message.get("sequence_num")) is int and message["sequence_num"] == 2)
    assume(events is None or not any(isinstance(event, OffGrid) for event in events))
    (event,) = decoder.receive(update(3, "ETH-USD"), 0)
    assert isinstance(event, Update)


@given(mutated(EXCHANGE))
def test_a_refused_exchange_frame_changes_nothing(data):
    decoder, untouched = live("exchange"), live("exchange")
    if events_or_refusal(decoder, data) is not None:
        return
    for good in EXCHANGE:
        assert picture(decoder.receive(good, 0)) == picture(untouched.receive(good, 0))


@given(mutated(ADVANCED + EXCHANGE))
def test_no_frame_kills_either_decoder(data):
    for mode in ("advanced", "exchange"):
        decoder = live(mode)
        events_or_refusal(decoder, data)
        decoder.tick(10**12)
        decoder.tick(2 * 10**12)
        decoder.pending_requests()


PRODUCTS = [
    b'{"products":[{"product_id":"BTC-USD","price_increment":"0.01","base_increment":"0.00000001","status":"online"}]}',
    b'[{"id":"BTC-USD","quote_increment":"0.01","base_increment":"0.00000001","base_min_size":"0.001","status":"online"}]',
]


@given(mutated(PRODUCTS) | st.binary(max_size=100))
def test_any_products_answer_is_instruments_or_a_decode_error(data):
    for mode in ("advanced", "exchange"):
        try:
            parse_instruments(data, mode)
        except DecodeError:
            continue
