"""The latency histogram: exact counts, quantiles within 3.2 %."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphapulse_cli.shm import histogram
from alphapulse_cli.shm.histogram import BUCKET_COUNT, HISTOGRAM_BYTES, LARGEST, Histogram, bucket_end, bucket_of


def recorded(*values):
    made = Histogram(bytearray(HISTOGRAM_BYTES))
    for value in values:
        made.record(value)
    return made.read()


class TestBuckets:
    def test_they_follow_one_another_without_gap_or_overlap(self):
        assert [bucket_of(bucket_end(b)) for b in range(BUCKET_COUNT)] == list(range(BUCKET_COUNT))
        assert [bucket_of(bucket_end(b) + 1) for b in range(BUCKET_COUNT - 1)] == list(range(1, BUCKET_COUNT))
        assert bucket_end(BUCKET_COUNT - 1) == LARGEST

    @given(st.integers(0, LARGEST))
    def test_a_bucket_is_never_more_than_a_32nd_too_high(self, value):
        assert value <= bucket_end(bucket_of(value)) <= value + value // 32


class TestRecording:
    def test_nothing_recorded_has_no_quantiles(self):
        assert recorded().summary() == {
            "count": 0,
            "p50": None,
            "p90": None,
            "p99": None,
            "p99.9": None,
            "max": None,
            "below_zero": 0,
        }

    def test_small_values_are_exact(self):
        assert recorded(*range(1, 11)).summary() | {"p99": 10} == recorded(*range(1, 11)).summary()
        assert recorded(*range(1, 11)).quantile(0.5) == 5

    def test_negative_values_are_counted_apart(self):
        assert recorded(-1, -(1 << 62), 5).summary()["below_zero"] == 2

    def test_giants_go_into_the_last_bucket(self):
        assert recorded((1 << 63) - 1).quantile(0.5) == LARGEST

    def test_a_buffer_too_small_is_refused(self):
        with pytest.raises(ValueError, match="too small"):
            Histogram(bytearray(HISTOGRAM_BYTES - 8))

    @given(st.lists(st.integers(0, 1 << 36), min_size=1, max_size=200), st.sampled_from(histogram.QUANTILES))
    def test_quantiles_are_those_of_the_values(self, values, fraction):
        exact = sorted(values)[max(1, math.ceil(fraction * len(values))) - 1]
        found = recorded(*values).quantile(fraction)
        assert exact <= found <= max(exact + exact // 32, exact)

    @given(st.lists(st.integers(0, 1 << 36), max_size=50), st.lists(st.integers(0, 1 << 36), max_size=50))
    def test_merged_is_as_if_recorded_together(self, some, others):
        both = recorded(*some).merged(recorded(*others))
        assert both.summary() == recorded(*some, *others).summary()
        assert both.total == sum(some) + sum(others)

    def test_since_tells_what_came_after(self):
        made = Histogram(bytearray(HISTOGRAM_BYTES))
        made.record(10)
        before = made.read()
        made.record(50)
        assert made.read().since(before).quantile(0.5) == 50
        assert made.read().since(before).count == 1
