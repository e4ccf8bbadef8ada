"""Hostile frames of an exchange, as Hypothesis strategies: its real frames with one part replaced, or some bytes."""

import json

from hypothesis import strategies as st

from alphapulse_cli.apps.conformance.frames import places

TEXTS = st.text(st.sampled_from('aZ0/-. "\\\x00\x1b\x7f\u00e9\u202e\U0001f600'), max_size=8)


def json_values(*words, keys=TEXTS, also=None):
    """JSON values of every type; `words` are the exchange's own, `also` a strategy of more leaves."""
    leaves = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=8) | st.sampled_from(words)
    return st.recursive(
        leaves if also is None else leaves | also,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
        max_leaves=6,
    )


@st.composite
def frames_with_one_part_replaced(draw, frames, values, before=None):
    """One of the frames with a value at any of its places; `before(draw, message)` may change the parsed frame first."""
    holder = {"": json.loads(draw(st.sampled_from(frames)))}
    message = holder
    if before is not None:
        before(draw, message[""])
    path = ["", *draw(st.sampled_from(list(places(message[""]))))]
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = draw(values)
    return json.dumps(message[""]).encode()


@st.composite
def frames_with_some_bytes_replaced(draw, frames):
    """One of the frames with one to four other bytes, sometimes cut short."""
    frame = bytearray(draw(st.sampled_from(frames)))
    for _ in range(draw(st.integers(1, 4))):
        frame[draw(st.integers(0, len(frame) - 1))] = draw(st.integers(0, 255))
    return bytes(frame)[: draw(st.integers(1, len(frame)))] if draw(st.booleans()) else bytes(frame)
