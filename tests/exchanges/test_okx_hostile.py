"""Whatever bytes come, OKX's decoder gives events or DecodeError; what it refuses has changed nothing."""

import copy
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exchange_truth import PlainTruth
from support.hostile import frames_with_one_part_replaced, frames_with_some_bytes_replaced, json_values
from support.okx import BTC, fetched, picture, snapshot, splicing, update

from alphapulse_cli.apps.conformance.frames import places
from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.okx import Decoder, Encoder, RestEncoder, parse_instruments

NOW = 1_700_000_000_000_000_000


def real_frames(mode):
    """One frame of every kind that the server sends."""
    truth = PlainTruth([BTC])
    truth.change("BTC-USDT", [(1000 + i, 7, True) for i in range(3)] + [(999 - i, 7, False) for i in range(3)])
    encoder, decoder = Encoder(truth, mode), Decoder([BTC], {"book", "trades"}, 0, mode)
    decoder.connected(NOW)
    frames = [frame for request in decoder.pending_requests() for frame in encoder.receive(request.frame, NOW)]
    truth.change("BTC-USDT", [(1000, 0, True)])
    frames += encoder.update("BTC-USDT", [(1000, 0, True)], NOW)
    frames += encoder.trades("BTC-USDT", [truth.trade("BTC-USDT", 1000, 5)], NOW)
    frames += encoder.heartbeat(NOW + 61_000_000_000)
    frames += encoder.receive(b'{"op":"subscribe","args":[{"channel":"books","instId":"FOO-BAR"}]}', NOW)
    frames += encoder.refuse_for_now(b'{"op":"subscribe","args":[]}', NOW)
    return [*frames, b'{"event":"notice","code":"64008","msg":"soon","connId":"x"}']


FRAMES = {mode: real_frames(mode) for mode in ("books", "books5")}
KEYS = st.sampled_from(["arg", "data", "seqId", "code", "x\x1b"])
VALUES = json_values("BTC-USDT", "1e400", "buy", "books", "snapshot", "0", "-1", keys=KEYS)
modes = st.sampled_from(sorted(FRAMES))


@st.composite
def hostile(draw):
    """(mode, a real frame with one part replaced, or some bytes, or nothing real at all)."""
    mode = draw(modes)
    frames = FRAMES[mode]
    real = frames_with_one_part_replaced(frames, VALUES) | frames_with_some_bytes_replaced(frames)
    return mode, draw(real | st.binary(max_size=120))


def fed(mode):
    """A decoder in the middle of its life."""
    decoder = Decoder([BTC], {"book", "trades"}, 0, mode)
    decoder.connected(NOW)
    decoder.pending_requests()
    for frame in FRAMES[mode]:
        decoder.receive(frame, NOW)
    decoder.pending_requests()
    return decoder


def memory(decoder):
    """All that a decoder remembers."""
    apart = ("_shape", "_other_shape", "_books", "_trades", "_subscriptions", "_last_resort")
    kept = {name: value for name, value in vars(decoder).items() if name not in apart}
    books = {
        native: {slot: getattr(book, slot) for slot in book.__slots__ if slot not in ("_fetch", "_ask_anew")}
        for native, book in decoder._books.items()
    }
    subscriptions = (decoder._subscriptions._owed._debts, decoder._subscriptions._waiting, decoder._subscriptions._sent)
    seen = {native: (ids.oldest, ids.newest, ids.holes) for native, ids in decoder._trades.items()}
    return copy.deepcopy((kept, books, subscriptions, seen))


@given(hostile())
def test_any_bytes_give_events_or_decode_error(given_frame):
    mode, frame = given_frame
    decoder = fed(mode)
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


@given(hostile())
def test_what_was_fed_does_no_harm_to_what_follows(given_frame):
    """After any frame a snapshot or picture still gives a book."""
    mode, frame = given_frame
    decoder = fed(mode)
    with suppress(DecodeError):
        decoder.receive(frame, NOW)
    for _ in range(2):  # a picture that goes back is doubted once
        events = decoder.receive(picture(1 << 60) if mode == "books5" else snapshot(7, ["1 1"]), NOW)
    assert len(events) <= 1
    decoder.resync(BTC)
    assert len(decoder.receive(picture(3) if mode == "books5" else snapshot(7, ["1 1"]), NOW)) == 1


@given(st.data())
def test_a_damaged_snapshot_of_rest_is_refused_and_asked_for_again(data):
    decoder = splicing()
    answer = {"": json.loads(fetched(105))}
    holder, path = answer, ("", *data.draw(st.sampled_from(list(places(answer[""])))))
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = data.draw(VALUES)
    with suppress(DecodeError):
        decoder.receive_snapshot(BTC, json.dumps(answer[""]).encode(), NOW)
    decoder.pending_requests()
    decoder.receive(update(105, 106), NOW)
    assert len(decoder.receive(snapshot(7, ["1 1"]), NOW)) == 1


@pytest.mark.parametrize("depth", [500, 900, 1020, 5000, 100_000])
def test_deep_nesting_is_refused_or_understood(depth):
    nested = "[" * depth + "]" * depth
    for frame in (nested, f'{{"arg":{{"channel":{nested},"instId":{nested}}},"data":{nested}}}', f'{{"event":{nested}}}'):
        with suppress(DecodeError):
            fed("books").receive(frame.encode(), NOW)


@given(st.data())
def test_a_damaged_answer_gives_instruments_or_decode_error(data):
    answer = json.loads(RestEncoder(PlainTruth([BTC])).respond("/api/v5/public/instruments", {"instType": "SPOT"}, NOW)[1])
    [row] = answer["data"]
    row[data.draw(st.sampled_from(sorted(row)))] = data.draw(VALUES)
    try:
        found = parse_instruments(json.dumps(answer).encode())
    except DecodeError:
        return
    assert all(len(each.symbol) <= 16 for each in found)


@given(st.binary(max_size=120) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_instruments_or_decode_error(body):
    with suppress(DecodeError):
        parse_instruments(body)


def test_an_error_of_okx_is_not_an_empty_list():
    with pytest.raises(DecodeError, match="50011"):
        parse_instruments(b'{"code":"50011","msg":"Too Many Requests","data":[]}')
