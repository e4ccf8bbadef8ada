"""The families of sequence rule, as tables and one property."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphapulse_cli.exchanges.sequence import GAP, NEXT, OLD, follows, missed, splices


@pytest.mark.parametrize(("last", "number", "count"), [(7, 8, 0), (7, 9, 1), (7, 20, 12), (7, 7, -1), (7, 3, -5)])
def test_contiguous_numbers_tell_how_many_are_missing(last, number, count):
    assert missed(last, number) == count


@pytest.mark.parametrize(
    ("first", "final", "behind_a_range", "behind_a_snapshot"),
    [
        (8, 8, NEXT, NEXT),
        (8, 12, NEXT, NEXT),
        (9, 12, GAP, GAP),
        (7, 7, OLD, OLD),
        (1, 7, OLD, OLD),
        (5, 8, GAP, NEXT),  # straddles: harmless once, behind a snapshot; otherwise no unbroken stream has it
        (1, 20, GAP, NEXT),
    ],
)
def test_a_range_behind_seven(first, final, behind_a_range, behind_a_snapshot):
    assert follows(7, first, final) is behind_a_range
    assert splices(7, first, final) is behind_a_snapshot


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 10))
def test_nothing_is_applied_that_would_leave_a_hole(last, first, length):
    """NEXT and OLD together cover every number up to the range's end; GAP is told whenever one number is in neither."""
    final = first + length
    for rule in (follows, splices):
        verdict = rule(last, first, final)
        if verdict is NEXT:
            assert first <= last + 1 <= final
        if first > last + 1:
            assert verdict is GAP
        if final <= last:
            assert verdict is OLD
