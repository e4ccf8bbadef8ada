"""What holds for every exchange alike, whatever stands at whichever place of a frame that it sends.

Nesting as deep as the parser takes, text as long as a frame, an integer of 64 bits: the answer is events or DecodeError, never
another exception, and short, since events are shown to people.
"""

from urllib.parse import parse_qsl

import orjson
import pytest
from support.exchange_truth import PlainTruth, instrument
from support.flow_parts import native_of

from alphapulse_cli.apps.conformance.frames import places, replaced
from alphapulse_cli.errors import DecodeError
from alphapulse_cli.exchanges import BUILT_IN, get
from alphapulse_cli.exchanges.protocol import BOOK, TRADES
from alphapulse_cli.market.requests import FetchSnapshot, Send

NOW = 1_700_000_000_000_000_000
DEEP = b"[" * 1000 + b"]" * 1000  # orjson takes 1,024; repr() of it does not fit the interpreter's stack
LONG = b'"' + b"x" * 100_000 + b'"'
HUGE = b"18446744073709551615"
WAYS = [(name, mode.name) for name in BUILT_IN for mode in get(name).facts.modes]
LONGEST_EVENT = 2_000  # characters, instruments and all
HARD_TO_SHOW = [
    b'{"type":"error","message":%s,"reason":%s}',
    b'{"Error":%s,"x":%s}',
    b'{"error":{"code":%s,"msg":%s},"id":1}',
    b'{"code":%s,"msg":%s,"id":1}',
    b'{"stream":%s,"e":%s}',
    b'{"channel":%s,"sequence_num":0,"events":%s}',
    b'{"type":%s,"product_id":%s}',
    b'{"event":"error","msg":%s,"code":10300,"channel":%s}',
    b'{"event":%s,"code":20060,"msg":%s}',
    b"[4204928,%s,%s]",
    b'{"type":"subscriptions","channels":[{"name":%s,"product_ids":[%s]}]}',
]


def market(name):
    """The truth about one instrument of that exchange: some levels, and a trade."""
    truth = PlainTruth([instrument(name, "BTC-USD", native_of(name, "BTC-USD"), 2, 8)])
    truth.change("BTC-USD", [(1000 + i, 7, True) for i in range(3)] + [(999 - i, 7, False) for i in range(3)])
    return truth


def fed(exchange, mode, truth):
    """A decoder with a book, and all frames that made it, one of each kind that this exchange sends."""
    encoder, decoder = exchange.encoder(truth, mode), exchange.decoder(truth.instruments.values(), {BOOK, TRADES}, 0, mode)
    decoder.connected(NOW)
    frames = [*encoder.connected(NOW)]
    for request in decoder.pending_requests():
        frames += encoder.receive(request.frame, NOW) if isinstance(request, Send) else []
    frames += encoder.trades("BTC-USD", [truth.trade("BTC-USD", 1000, 5)], NOW)
    truth.change("BTC-USD", [(1000, 0, True)])
    frames += [*encoder.update("BTC-USD", [(1000, 0, True)], NOW), *encoder.heartbeat(NOW), *encoder.receive(b"{}", NOW)]
    for frame in frames:
        decoder.receive(frame, NOW)
    return decoder, frames


def variants(frames, raw):
    for frame in frames:
        for path in places(orjson.loads(frame)):
            yield replaced(frame, path, raw)


def events_of(decode):
    """The events, or none for a DecodeError; either is short enough to be shown."""
    try:
        events = decode()
    except DecodeError as error:
        assert len(str(error)) < LONGEST_EVENT
        return []
    assert all(len(repr(event)) < LONGEST_EVENT for event in events)
    return events


@pytest.mark.parametrize("raw", [DEEP, LONG, HUGE], ids=["deep", "long", "huge"])
@pytest.mark.parametrize(("name", "mode"), WAYS)
class TestEveryPlace:
    def test_each_value_of_a_frame_replaced_gives_events_or_decode_error(self, name, mode, raw):
        decoder, frames = fed(get(name), mode, market(name))
        hard = [frame % (raw, raw) for frame in HARD_TO_SHOW]
        for frame in [*variants(frames, raw), *hard]:
            for event in events_of(lambda frame=frame: decoder.receive(frame, NOW)):
                assert getattr(event, "count", 0) < 1 << 63, "more than a counter holds"

    def test_each_value_of_metadata_replaced_gives_instruments_or_decode_error(self, name, mode, raw):
        exchange, truth = get(name), market(name)
        path, _, query = (exchange.facts.mode(mode).instruments_path or exchange.facts.instruments_path).partition("?")
        status, body = exchange.rest_encoder(truth, mode).respond(path, dict(parse_qsl(query)), NOW)
        assert status == 200
        for answer in variants([body], raw):
            events_of(lambda answer=answer: exchange.parse_instruments(answer, mode))

    def test_each_value_of_a_snapshot_replaced_gives_events_or_decode_error(self, name, mode, raw):
        exchange, truth = get(name), market(name)
        decoder, _ = fed(exchange, mode, truth)
        fetches = [request for request in decoder.pending_requests() if isinstance(request, FetchSnapshot)]
        for request in fetches:
            path, _, query = request.path.partition("?")
            status, body = exchange.rest_encoder(truth, mode).respond(path, dict(parse_qsl(query)), NOW)
            assert status == 200
            for answer in variants([body], raw):
                events_of(lambda answer=answer, request=request: decoder.receive_snapshot(request.instrument, answer, NOW))
