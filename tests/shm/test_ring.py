"""The ring's rules, one sentence each, in one process. With several processes: tests/stress/test_ring_stress.py."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.shm_processes import payload, ring_spec

from alphapulse_cli import native
from alphapulse_cli.errors import SegmentGone
from alphapulse_cli.shm import layout
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.ring import RingReader, RingWriter
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.shm.wake import WakePage


@pytest.fixture
def segment(directory):
    made = Segment.create(directory, ring_spec(capacity=8))
    made.ready()
    return made


def publish(writer, *counts):
    for count in counts:
        first = writer.published
        assert writer.publish(b"".join(payload(first + i) for i in range(count)), count) == first


def records(polled):
    view, first, missed = polled
    octets = bytes(view)
    assert octets == b"".join(payload(first + i) for i in range(len(octets) // 64)), "a record that is not what was published"
    return first, len(octets) // 64, missed


HOSTILE = st.integers(0, (1 << 64) - 1) | st.sampled_from([0, 1, 7, 8, 9, 1 << 63, (1 << 64) - 2, (1 << 64) - 1])


class TestPublish:
    def test_groups_are_claimed_and_published_whole(self, segment):
        writer = RingWriter(segment)
        publish(writer, 3, 5)
        assert (segment.claimed, segment.published, writer.published) == (8, 8, 8)

    def test_a_group_that_wraps_comes_out_as_it_went_in(self, segment):
        writer, reader = RingWriter(segment), RingReader(segment)
        publish(writer, 6)
        reader.poll(100)
        publish(writer, 5)
        assert records(reader.poll(100)) == (6, 5, 0)

    @pytest.mark.parametrize("count", [0, -1, 9])
    def test_nothing_and_more_than_the_capacity_are_refused(self, segment, count):
        with pytest.raises(ValueError, match=r"cannot publish .* records at once"):
            RingWriter(segment).publish(bytes(64 * 9), count)
        assert (segment.claimed, segment.published) == (0, 0)

    def test_a_buffer_that_is_too_small_is_refused_before_anything_is_claimed(self, segment):
        with pytest.raises(ValueError, match="too small"):
            RingWriter(segment).publish(bytes(127), 2)
        assert (segment.claimed, segment.published) == (0, 0)

    def test_any_buffer_will_do_and_more_than_needed_is_left_out(self, segment):
        import array

        writer, reader = RingWriter(segment), RingReader(segment)
        writer.publish(bytearray(payload(0) + b"more"), 1)
        writer.publish(memoryview(payload(1)), 1)
        writer.publish(array.array("Q", payload(2)), 1)
        assert records(reader.poll(9)) == (0, 3, 0)


class TestPoll:
    def test_nothing_new_is_empty(self, segment):
        reader = RingReader(segment)
        assert records(reader.poll(10)) == (0, 0, 0)
        assert reader.lag == 0

    def test_a_limit_cuts_and_the_rest_comes_next(self, segment):
        publish(RingWriter(segment), 5)
        reader = RingReader(segment, 0)
        assert [records(reader.poll(2)) for _ in range(4)] == [(0, 2, 0), (2, 2, 0), (4, 1, 0), (5, 0, 0)]

    @pytest.mark.parametrize("limit", [0, -1])
    def test_a_limit_below_one_is_refused(self, segment, limit):
        with pytest.raises(ValueError, match="limit"):
            RingReader(segment).poll(limit)

    def test_now_oldest_and_a_sequence_are_where_one_can_start(self, segment):
        publish(RingWriter(segment), 8, 3)
        assert [RingReader(segment, start).position for start in ("now", "oldest", 7)] == [11, 3, 7]

    @pytest.mark.parametrize("start", [-1, 1 << 64])
    def test_what_is_no_sequence_is_refused(self, segment, start):
        with pytest.raises(ValueError, match="a sequence must be"):
            RingReader(segment, start)
        with pytest.raises(ValueError, match="a sequence must be"):
            RingReader(segment).seek(start)

    def test_a_lapped_reader_is_told_how_many_it_missed(self, segment):
        reader, writer = RingReader(segment, 0), RingWriter(segment)
        publish(writer, 8, 8, 3)
        assert records(reader.poll(100)) == (11, 8, 11)
        assert reader.missed == 11

    def test_what_was_claimed_while_it_was_copied_is_missed_not_returned(self, segment):
        """The writer has claimed three more and not yet published them: the three oldest slots may be half written."""
        writer = RingWriter(segment)
        publish(writer, 8)
        native.words(segment.memory)[layout.CLAIMED] = 11
        reader = RingReader(segment, 0)
        assert records(reader.poll(100)) == (3, 5, 3)
        assert reader.position == 8

    def test_all_overwritten_while_copied_is_an_empty_view_with_a_count(self, segment):
        publish(RingWriter(segment), 8)
        native.words(segment.memory)[layout.CLAIMED] = 1000
        reader = RingReader(segment, 0)
        assert records(reader.poll(100)) == (8, 0, 8)

    @settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(words=st.lists(st.tuples(st.sampled_from([layout.CLAIMED, layout.PUBLISHED, layout.SEALED]), HOSTILE), max_size=6))
    def test_a_damaged_header_gives_records_of_the_ring_and_counts_of_64_bits(self, segment, words):
        """Never more than asked for or than there are, whatever the words say; the same in both modes."""
        reader, header = RingReader(segment, 0), native.words(segment.memory)
        for word, value in words:
            header[word] = value
            reader.seek(0)
            try:
                view, first, missed = reader.poll(5)
            except SegmentGone:  # fewer claimed than published: that is no ring
                continue
            assert len(view) in range(0, 6 * segment.spec.record_bytes, segment.spec.record_bytes)
            assert all(0 <= number < 1 << 64 for number in (first, missed, reader.missed, reader.position, reader.lag))

    def test_a_record_is_valid_until_the_next_poll_only_but_never_freed_under_a_view(self, segment):
        writer, reader = RingWriter(segment), RingReader(segment, 0)
        publish(writer, 1)
        kept, _, _ = reader.poll(100)
        publish(writer, 7)
        reader.poll(100)
        assert len(bytes(kept)) == 64

    def test_seek_goes_back_or_on(self, segment):
        publish(RingWriter(segment), 4)
        reader = RingReader(segment)
        reader.seek(1)
        assert (reader.lag, records(reader.poll(9))) == (3, (1, 3, 0))


class TestTheEnd:
    def test_a_sealed_ring_is_drained_to_the_seal_and_no_further(self, segment):
        writer, reader = RingWriter(segment), RingReader(segment, 0)
        publish(writer, 4)
        segment.seal(4)
        publish(writer, 2)
        assert not reader.ended
        assert records(reader.poll(100)) == (0, 4, 0)
        assert records(reader.poll(100)) == (4, 0, 0)
        assert (reader.ended, reader.published()) == (True, 4)

    def test_a_seal_that_is_seen_before_the_last_records_does_not_end_early(self, segment):
        publish(RingWriter(segment), 3)
        reader = RingReader(segment, 0)
        segment.seal(5)
        reader.poll(100)
        assert not reader.ended

    def test_a_living_ring_never_ends(self, segment):
        assert not RingReader(segment, 0).ended


class TestWaking:
    def test_a_publish_that_finds_a_request_clears_it(self, segment, directory):
        page = WakePage.open(directory, "kraken", create=True)
        writer = RingWriter(segment, page)
        word = native.words(page.memory)
        word[page.request_word(SegmentKind.DELTAS)] = 77
        word[page.request_word(SegmentKind.TRADES)] = 77
        publish(writer, 1)
        assert (word[page.request_word(SegmentKind.DELTAS)], word[page.request_word(SegmentKind.TRADES)]) == (0, 77)


@settings(max_examples=150, deadline=None)
@given(
    capacity=st.sampled_from([1, 2, 4, 16]),
    steps=st.lists(
        st.one_of(st.tuples(st.just("publish"), st.integers(1, 16)), st.tuples(st.just("poll"), st.integers(1, 40))), max_size=60
    ),
)
def test_got_and_missed_are_what_was_published(tmp_path_factory, capacity, steps):
    """However publishes and polls alternate: in order, none twice, none lost without a word, none but what was published."""
    with open_directory(tmp_path_factory.mktemp("ring") / "s", create=True) as directory:
        segment = Segment.create(directory, ring_spec(capacity=capacity))
        writer, reader = RingWriter(segment), RingReader(segment, 0)
        got = missed = 0
        for step, count in steps:
            if step == "publish":
                publish(writer, min(count, capacity))
                continue
            before = reader.position
            first, returned, lost = records(reader.poll(count))
            assert first == before + lost
            got, missed = got + returned, missed + lost
        while reader.lag:
            _, returned, lost = records(reader.poll(3))
            got, missed = got + returned, missed + lost
        assert got + missed == writer.published
        assert reader.missed == missed
        segment.close()
