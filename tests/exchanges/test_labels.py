"""Labels of frames: of every exchange, of whatever bytes, and without a change of the decoder."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.captures import tape_rows

from alphapulse_cli import exchanges
from alphapulse_cli.apps.bench.frames import FEEDS
from alphapulse_cli.exchanges.labels import label_of
from alphapulse_cli.exchanges.protocol import FrameLabel

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8))
NAMES = st.sampled_from(
    [
        "data",
        "stream",
        "arg",
        "events",
        "symbol",
        "s",
        "u",
        "U",
        "seq",
        "result",
        "topic",
        "type",
        "checksum",
        "product_id",
        "trades",
    ]
)
MESSAGES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(NAMES, inner, max_size=4)), max_leaves=12
)


def decoder_of(feed):
    head, rows, _ = tape_rows(feed, 40)
    return exchanges.get(head.exchange).decoder(head.instruments, set(head.channels), head.depth, head.mode), head, rows


@pytest.fixture(scope="module", params=FEEDS, ids=lambda feed: feed.case)
def fed(request):
    return decoder_of(request.param)


def test_frames_are_labelled_with_what_is_in_them(fed):
    decoder, head, rows = fed
    natives = {one.native for one in head.instruments} | {one.alias_of for one in head.instruments}
    found = set()
    decoder.connected(1)
    for row in rows:
        if row.kind == b"recv":
            decoder.receive(row.payload, row.time_ns)
            label = label_of(decoder, row.payload)
            found |= set(label.natives)
            for value in label.numbers.values():  # Bitfinex writes an unsigned checksum as a signed number
                assert str(value).encode() in row.payload or str(value - 2**32).encode() in row.payload
    assert found & natives
    assert found <= natives


def test_a_label_changes_nothing(fed):
    _, head, rows = fed
    decoder, other = (
        exchanges.get(head.exchange).decoder(head.instruments, set(head.channels), head.depth, head.mode) for _ in range(2)
    )
    for each in (decoder, other):
        each.connected(1)
        each.pending_requests()
    for row in rows:
        if row.kind == b"recv":
            label_of(decoder, row.payload)
            assert repr(decoder.receive(row.payload, row.time_ns)) == repr(other.receive(row.payload, row.time_ns))


@given(message=MESSAGES)
def test_any_message_gives_a_label(fed, message):
    try:
        frame = orjson.dumps(message)
    except TypeError:  # an integer of more than 64 bits
        frame = str(message).encode()
    label = label_of(fed[0], frame)
    assert all(isinstance(native, str) and len(native) <= 200 for native in label.natives)
    assert all(type(value) is int for value in label.numbers.values())


@given(frame=st.binary(max_size=40))
def test_any_bytes_give_a_label(fed, frame):
    assert isinstance(label_of(fed[0], frame), FrameLabel)


def test_a_decoder_without_labels_gives_empty_ones():
    nothing: Any = object()
    assert label_of(nothing, b'{"symbol":"BTC/USD"}') == FrameLabel()
