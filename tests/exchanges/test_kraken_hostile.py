"""Whatever bytes come, Kraken's decoder gives events or DecodeError; what it refuses has changed nothing."""

import copy
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.exchange_truth import PlainTruth
from support.hostile import frames_with_one_part_replaced, frames_with_some_bytes_replaced, json_values
from support.recorded import recorded_answers

from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges.kraken import Decoder, Encoder, RestEncoder, parse_instruments
from alphapulse_cli.market.instrument import Instrument

BTC = Instrument("kraken", "BTC-USD", "BTC/USD", 1, 8)
NOW = 1_700_000_000_000_000_000


def real_frames():
    """One frame of every kind that the server sends."""
    truth = PlainTruth([BTC])
    truth.change("BTC-USD", [(1000 + i, 7, True) for i in range(3)] + [(999 - i, 7, False) for i in range(3)])
    encoder, decoder = Encoder(truth), Decoder([BTC], {"book", "trades"})
    frames = list(encoder.connected(NOW))
    decoder.connected(NOW)
    for request in decoder.pending_requests():
        frames += encoder.receive(request.frame, NOW)
    truth.change("BTC-USD", [(1000, 0, True)])
    frames += encoder.update("BTC-USD", [(1000, 0, True)], NOW)
    frames += encoder.trades("BTC-USD", [truth.trade("BTC-USD", 1000, 5)], NOW)
    frames += encoder.receive(b'{"method":"ping","req_id":4}', NOW)
    frames += encoder.receive(b'{"method":"subscribe","req_id":2,"params":{"channel":"book","symbol":["FOO/BAR"]}}', NOW)
    return [*frames, b'{"channel":"heartbeat"}', b'{"Error":"Exceeded msg rate"}']


FRAMES = real_frames()
VALUES = json_values("BTC/USD", "1e400", "buy")
PART_REPLACED = frames_with_one_part_replaced(FRAMES, VALUES)
BYTES_REPLACED = frames_with_some_bytes_replaced(FRAMES)


def fed():
    """A decoder in the middle of its life."""
    decoder = Decoder([BTC], {"book", "trades"})
    decoder.connected(NOW)
    decoder.pending_requests()
    for frame in FRAMES:
        decoder.receive(frame, NOW)
    return decoder


def memory(decoder):
    """All that a decoder remembers."""
    apart = ("_handlers", "shape", "_book", "_trades", "_trade_ids", "_metadata", "_last_resort")
    kept = {name: value for name, value in vars(decoder).items() if name not in apart}
    channels = [
        ({name: value for name, value in vars(channel).items() if name not in ("_owed", "_frame_of")}, channel._owed._debts)
        for channel in (decoder._book, decoder._trades)
    ]
    seen = {native: (ids.oldest, ids.newest, ids.holes) for native, ids in decoder._trade_ids.items()}
    return copy.deepcopy(
        (kept, decoder.shape.instruments, channels, decoder._metadata._debts, decoder._last_resort._replaced_ns, seen)
    )


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
    snapshot = next(each for each in FRAMES if b'"type":"snapshot","data":[' in each)
    assert len(decoder.receive(snapshot, NOW)) == 1


@pytest.mark.parametrize("depth", [500, 900, 1020, 5000, 100_000])
def test_deep_nesting_is_refused_or_understood(depth):
    """Also on the way over the raw tokens, where another parser with another limit reads the frame."""
    nested = "[" * depth + "]" * depth
    needs_raw = (
        '{"channel":"book","type":"update","data":[{"symbol":"BTC/USD","bids":[{"price":12345678901234567.5,"qty":1}],"asks":[],'
        f'"checksum":1,"x":{nested}}}]}}'
    )
    for frame in (nested, needs_raw):
        with suppress(DecodeError):
            fed().receive(frame.encode(), NOW)


@given(st.binary(max_size=120) | VALUES.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_give_instruments_or_decode_error(body):
    with suppress(DecodeError):
        parse_instruments(body)


@given(st.data())
def test_a_damaged_answer_gives_instruments_or_decode_error(data):
    answer = json.loads(RestEncoder(PlainTruth([BTC])).respond("/0/public/AssetPairs", {}, NOW)[1])
    pair = answer["result"]["XXBTZUSD"]
    pair[data.draw(st.sampled_from(sorted(pair)))] = data.draw(VALUES)
    try:
        found = parse_instruments(json.dumps(answer).encode())
    except DecodeError:
        return
    assert all(len(each.symbol) <= 16 for each in found)


class TestInstruments:
    def test_an_error_of_kraken_is_not_an_empty_list(self):
        with pytest.raises(DecodeError, match="EGeneral"):
            parse_instruments(b'{"error":["EGeneral:Temporary lockout"]}')

    @pytest.mark.parametrize("wsname", ["ABCDEFGHIJKLM/USD", "A B/USD", "A/B/C/\\u0007", "ABC", ""])
    def test_names_that_our_records_cannot_hold_are_left_out(self, wsname):
        pair = f'{{"wsname":"{wsname}","pair_decimals":1,"lot_decimals":8}}'
        assert parse_instruments(f'{{"error":[],"result":{{"X":{pair}}}}}'.encode()) == []

    def test_a_pair_that_is_not_understood_does_not_take_the_others_along(self):
        pair = '{"wsname":"XBT/USD","pair_decimals":1,"lot_decimals":8}'
        for odd in ("7", '{"wsname":"ETH/USD","pair_decimals":"one"}'):
            assert [each.symbol for each in parse_instruments(f'{{"error":[],"result":{{"A":{odd},"B":{pair}}}}}'.encode())] == [
                "BTC-USD"
            ]
            with pytest.raises(DecodeError):
                parse_instruments(f'{{"error":[],"result":{{"A":{odd}}}}}'.encode())

    def test_rest_names_become_the_names_of_the_websocket(self):
        body = b'{"error":[],"result":{"X":{"wsname":"XDG/XBT","pair_decimals":8,"lot_decimals":8,"tick_size":"0.00000010","ordermin":"50"}}}'
        [found] = parse_instruments(body)
        assert (found.native, found.symbol, found.tick_size_ticks, found.min_size_lots) == ("DOGE/BTC", "DOGE-BTC", 10, 50 * 10**8)

    @pytest.mark.parametrize(
        ("recording", "native", "price_decimals"), [("kraken-pairs.txt", "GRT/ETH", 7), ("KRAKEN.0", "BTC/USD", 1)]
    )
    def test_a_real_answer(self, recording, native, price_decimals):
        """The pairs of 2021-04-17 that have a WebSocket name: one, and all."""
        [(_, body)] = recorded_answers(recording)
        found = {each.native: each for each in parse_instruments(body)}
        assert (found[native].price_decimals, found[native].size_decimals) == (price_decimals, 8)
        assert len(found) == sum("wsname" in pair for pair in json.loads(body)["result"].values())
