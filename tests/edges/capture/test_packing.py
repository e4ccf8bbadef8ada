"""Packer of rows: the bytes are those of `rows.row_bytes`, whatever the payloads, and nothing of an earlier block is left in a later one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphapulse_cli.edges.capture.packing import RowPacker
from alphapulse_cli.edges.capture.rows import MOST_CONNECTION, MOST_PAYLOAD_BYTES, MOST_TIME_NS, Kind, row_bytes
from alphapulse_cli.errors import UsageError

ROOM = 256
TIMES, CONNECTIONS = st.integers(0, MOST_TIME_NS), st.integers(0, MOST_CONNECTION)
ROWS = st.tuples(
    st.sampled_from(list(Kind)), TIMES, CONNECTIONS, st.one_of(st.binary(max_size=40), st.binary(min_size=ROOM, max_size=3 * ROOM))
)


@given(st.lists(st.lists(ROWS, min_size=1, max_size=8), max_size=5))
def test_blocks_are_their_rows_one_after_another(blocks):
    packer = RowPacker(ROOM)
    for rows in blocks:
        sizes = [packer.put(*row) for row in rows]
        whole, times = b"".join(row_bytes(*row) for row in rows), [time_ns for _, time_ns, _, _ in rows]
        assert (packer.row_count, packer.row_bytes, sizes[-1]) == (len(rows), len(whole), len(whole))
        assert (packer.first_ns, packer.last_ns) == (min(times), max(times))
        assert packer.take() == whole
        assert (packer.row_count, packer.row_bytes) == (0, 0)


@pytest.mark.parametrize("number", [0, 7, 10**18 - 1, MOST_TIME_NS])
def test_numbers_have_all_their_digits(number):
    packer = RowPacker(ROOM)
    packer.put(b"recv", number, 12, b"x")
    assert packer.take() == b"recv %019d 0012 00000001 x\n" % number


def test_a_payload_that_no_row_holds_is_refused_and_changes_nothing():
    packer = RowPacker(ROOM)
    packer.put(b"recv", 1, 1, b"kept")
    with pytest.raises(UsageError, match="do not fit a row"):
        packer.put(b"recv", 2, 1, bytes(MOST_PAYLOAD_BYTES + 1))
    assert packer.take() == row_bytes(b"recv", 1, 1, b"kept")
