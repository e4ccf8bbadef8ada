"""Whatever bytes come, Bitfinex's decoder gives events or DecodeError; what it refuses has changed nothing but the count (F6)."""

import copy
import json
from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.bitfinex_frames import BTC, ETH, NOW
from support.exchange_truth import PlainTruth
from support.hostile import frames_with_one_part_replaced, frames_with_some_bytes_replaced, json_values

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.bitfinex import Decoder, Encoder, RestEncoder, parse_instruments
from alphapulse_cli.exchanges.protocol import joined

CHANGES = [(1000, 0, True), (1003, 7, True)]


def real_frames():
    """A decoder in the middle of its life, and one frame of every kind that the server sends."""
    truth = PlainTruth([BTC, ETH])
    for symbol in truth.instruments:
        truth.change(symbol, [(1000 + i, 7, True) for i in range(3)] + [(999 - i, 7, False) for i in range(3)])
    encoder, decoder = Encoder(truth), Decoder([BTC, ETH], {"book", "trades"})
    frames = list(encoder.connected(NOW))
    decoder.connected(NOW)
    for request in decoder.pending_requests():
        frames += encoder.receive(request.frame, NOW)
    truth.change("BTC-USD", CHANGES)
    frames += encoder.update("BTC-USD", CHANGES, NOW)
    frames += encoder.trades("BTC-USD", [truth.trade("BTC-USD", 1000, 5, exchange_ns=NOW)], NOW)
    frames += encoder.heartbeat(NOW + 16 * 10**9)
    frames += encoder.receive(b'{"event":"ping","cid":4}', NOW)
    frames += encoder.receive(b'{"event":"subscribe","channel":"book","symbol":"tFOOBAR"}', NOW)
    return [*frames, b'{"event":"info","code":20060,"msg":"maintenance"}']


FRAMES = real_frames()
LAST = max(json.loads(frame)[-2] for frame in FRAMES if frame.startswith(b"["))
VALUES = json_values("tBTCUSD", "1e400", "hb", "cs", "te", "tu", "book", also=st.integers(LAST - 2, LAST + 3))


def in_its_turn(draw, message):
    """Number the frame as the next one, or leave it as it is."""
    if isinstance(message, list) and draw(st.booleans()):
        message[-2] = LAST + 1


PART_REPLACED = frames_with_one_part_replaced(FRAMES, VALUES, in_its_turn)
BYTES_REPLACED = frames_with_some_bytes_replaced(FRAMES)


def fed():
    decoder = Decoder([BTC, ETH], {"book", "trades"})
    decoder.connected(NOW)
    decoder.pending_requests()
    for frame in FRAMES:
        decoder.receive(frame, NOW)
    assert decoder._expected == LAST + 1
    return decoder


def memory(decoder):
    """All that a decoder remembers, but for the count."""
    apart = ("_on_event", "shape", "_subscriptions", "_trades", "_conf", "_last_resort", "_awaited")
    kept = {name: value for name, value in vars(decoder).items() if name not in apart}
    known = {name: value for name, value in vars(decoder._subscriptions).items() if name not in ("_owed", "_frame_of")}
    seen = {native: vars(each) for native, each in decoder._trades.items()}
    owed = decoder._subscriptions._owed._debts, decoder._conf._debts, decoder._last_resort._replaced_ns
    return copy.deepcopy((kept, known, seen, owed, decoder.shape.instruments))


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
        assert decoder._expected in (LAST + 1, LAST + 2)
        assert len(refused.frame) <= 200
    for told in (*events, refused):
        repr(told).encode()


@given(PART_REPLACED)
def test_what_was_fed_does_no_harm_to_what_follows(frame):
    """After any frame a new connection still gives books."""
    decoder = fed()
    with suppress(DecodeError):
        decoder.receive(frame, NOW)
    decoder.connected(NOW)
    events = [event for each in FRAMES for event in decoder.receive(each, NOW)]
    assert sum(type(event).__name__ == "Snapshot" for event in events) == 2


@pytest.mark.parametrize("depth", [500, 900, 1020, 5000, 100_000])
def test_deep_nesting_is_refused_or_understood(depth):
    """Also on the way over the raw tokens, where another parser with another limit reads the frame."""
    nested = "[" * depth + "]" * depth
    needs_raw = f"[4204928,[12345678901234567.5,1,1],{LAST + 1},{nested}]"
    for frame in (nested, needs_raw):
        with suppress(DecodeError):
            fed().receive(frame.encode(), NOW)


@given(st.binary(max_size=120) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_instruments_or_decode_error(body):
    with suppress(DecodeError):
        parse_instruments(body)


@given(st.binary(max_size=120) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_trades_or_decode_error(body):
    with suppress(DecodeError):
        fed().receive_trades(BTC, body, NOW)


@given(st.data())
def test_a_damaged_answer_gives_instruments_or_decode_error(data):
    truth = PlainTruth([BTC])
    truth.change("BTC-USD", [(63309, 1, False), (63310, 1, True)])
    answer = json.loads(RestEncoder(truth).respond("/v2/tickers", {}, NOW)[1])
    answer[0][data.draw(st.integers(0, 10))] = data.draw(VALUES)
    try:
        found = parse_instruments(json.dumps(answer).encode())
    except DecodeError:
        return
    assert all(len(each.symbol) <= 16 for each in found)
    assert all(0 < each.tick_size_ticks < 1 << 63 and 0 <= each.price_decimals <= 8 for each in found)


@given(st.data())
def test_damaged_order_sizes_give_instruments_or_decode_error(data):
    """A pair whose row cannot be read keeps the rules that are known of it."""
    truth = PlainTruth([replace(BTC, min_size_lots=6000), replace(BTC, symbol="ETH-USD", native="tETHUSD", min_size_lots=7)])
    rest = RestEncoder(truth)
    bodies = [rest.respond(path, {}, NOW)[1] for path in ("/v2/tickers", "/v2/conf/pub:info:pair")]
    sizes = json.loads(bodies[1])
    sizes[0][0][1][3] = data.draw(VALUES | st.text("0123456789.-+eE_ ", max_size=50))
    ours = {"tBTCUSD": replace(BTC, min_size_lots=1234)}
    try:
        found = {each.native: each for each in parse_instruments(joined([bodies[0], json.dumps(sizes).encode()]), ours=ours)}
    except DecodeError:
        return
    assert found["tETHUSD"].min_size_lots == 7
    assert found["tBTCUSD"].min_size_lots >= 0
