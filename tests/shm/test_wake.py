"""The wake page: sleeping readers, requests for checkpoints, and that nothing in it is trusted."""

import pytest
from support.shm_processes import child, payload, ring_spec

from alphapulse_cli import native
from alphapulse_cli.errors import NotASegment, StorageError
from alphapulse_cli.shm import clock, layout, wake
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.ring import RingReader, RingWriter
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.shm.wake import SLOT_COUNT, WAKE_BYTES, WakePage


@pytest.fixture
def page(directory):
    return WakePage.open(directory, "kraken", create=True)


@pytest.fixture
def segment(directory):
    made = Segment.create(directory, ring_spec())
    made.ready()
    return made


class TestThePage:
    def test_readers_do_not_make_it(self, directory):
        with pytest.raises(NotASegment, match="no wake page"):
            WakePage.open(directory, "kraken")

    def test_the_next_writer_finds_the_same_page(self, directory, page):
        page.request_checkpoint(5)
        assert WakePage.open(directory, "kraken", create=True).take_checkpoint_requests() == [5]

    def test_one_of_another_size_is_refused(self, directory, page):
        with (directory.path / "kraken.wake").open("ab") as file:
            file.write(b"x")
        with pytest.raises(NotASegment, match="4097 bytes"):
            WakePage.open(directory, "kraken")
        with pytest.raises(StorageError, match="4097 bytes") as raised:  # a writer cannot go without
            WakePage.open(directory, "kraken", create=True)
        assert raised.value.hint == f"rm {directory.path / 'kraken.wake'}"


class TestCheckpointRequests:
    def test_they_are_taken_once(self, page):
        assert page.take_checkpoint_requests() == []
        assert page.request_checkpoint(0)
        assert page.request_checkpoint(SLOT_COUNT - 1)
        assert page.take_checkpoint_requests() == [0, SLOT_COUNT - 1]
        assert page.take_checkpoint_requests() == []

    @pytest.mark.parametrize("slot", [layout.NO_SLOT, SLOT_COUNT, -1])
    def test_a_book_without_a_slot_has_none(self, page, slot):
        assert not page.request_checkpoint(slot)

    def test_a_page_full_of_rubbish_costs_one_bounded_pass(self, page):
        page.memory[:] = b"\xff" * WAKE_BYTES
        assert page.take_checkpoint_requests() == list(range(SLOT_COUNT))
        assert page.take_checkpoint_requests() == []


class TestWaiting:
    def test_what_is_there_already_is_not_waited_for(self, page, segment):
        RingWriter(segment).publish(payload(0), 1)
        assert page.wait(RingReader(segment, 0))

    def test_a_sleep_ends_by_itself(self, page, segment):
        """No writer is needed for it: a lost wake-up costs 5 ms."""
        started = clock.monotonic_ns()
        assert not page.wait(RingReader(segment, 0), 10_000_000_000)
        assert 1_000_000 < clock.monotonic_ns() - started < 2_000_000_000

    @pytest.mark.parametrize("limit_ns", [0, -1])
    def test_no_time_left_is_no_sleep(self, page, segment, monkeypatch, limit_ns):
        """A deadline that passed meanwhile is no error, with a futex or without."""
        assert not page.wait(RingReader(segment, 0), limit_ns)
        monkeypatch.setattr(wake, "_futex", lambda: None)
        assert not page.wait(RingReader(segment, 0), limit_ns)

    def test_the_end_of_a_ring_is_not_slept_on(self, page, segment):
        segment.seal(0)
        assert not page.wait(RingReader(segment, 0))

    def test_without_a_futex_it_naps(self, page, segment, monkeypatch):
        monkeypatch.setattr(wake, "_futex", lambda: None)
        started = clock.monotonic_ns()
        assert not page.wait(RingReader(segment, 0))
        assert clock.monotonic_ns() - started > 500_000
        wake.futex_wake(segment.memory)

    def test_the_request_is_set_before_published_is_read_again(self, page, segment):
        """Else a publish between the two would go unnoticed."""
        page.wait(RingReader(segment, 0), 1)
        assert native.words(page.memory)[page.request_word(SegmentKind.DELTAS)] == 1

    @pytest.mark.skipif(wake._futex() is None, reason="this system has no futex")
    def test_a_publish_wakes_a_sleeper_in_another_process(self, page, segment, directory, monkeypatch):
        """With sleeps of 3 s instead of 5 ms, only a wake-up ends one at once.

        One may be lost, since no fence stands between the writer's store and its look at the request word; then the sleep's own end is
        the remedy. Most are not.
        """
        monkeypatch.setattr(wake, "MAX_WAIT_NS", 3_000_000_000)
        reader = RingReader(segment, 0)
        woken = 0
        with child("support.shm_processes:publish_when_told", directory.path) as writer:
            writer.line()
            for sequence in range(20):
                reader.seek(sequence)
                native.words(page.memory)[0] = 0
                started = clock.monotonic_ns()
                writer.say()
                while not page.wait(reader, 3_000_000_000):
                    assert clock.monotonic_ns() - started < 60_000_000_000
                woken += clock.monotonic_ns() - started < 2_500_000_000
        assert woken >= 15

    def test_a_sleeper_sees_what_is_published_while_it_sleeps(self, page, segment, directory):
        with child("support.shm_processes:sleep_until_published", directory.path) as sleeper:
            sleeper.line()
            writer = RingWriter(segment, page)
            word = native.words(page.memory)
            started = clock.monotonic_ns()
            while word[0] == 0 and clock.monotonic_ns() - started < 10_000_000_000:
                clock.pause(100_000)
            writer.publish(payload(0), 1)
            assert sleeper.line()[0] == 1


class TestWaitingForAny:
    @pytest.fixture
    def other(self, directory):
        """(page, reader) of another set, of which nothing is published."""
        made = Segment.create(directory, ring_spec(set_name="other"))
        made.ready()
        return WakePage.open(directory, "other", create=True), RingReader(made, 0)

    def test_what_is_there_already_is_not_waited_for(self, page, segment, other):
        RingWriter(segment).publish(payload(0), 1)
        assert wake.Sleepers([other, (page, RingReader(segment, 0))]).wait()

    def test_a_sleep_ends_by_itself_and_all_requests_are_set(self, page, segment, other):
        started = clock.monotonic_ns()
        assert not wake.Sleepers([(page, RingReader(segment, 0)), other]).wait(10_000_000_000)
        assert clock.monotonic_ns() - started < 2_000_000_000
        assert [native.words(one.memory)[one.request_word(SegmentKind.DELTAS)] for one in (page, other[0])] == [1, 1]

    @pytest.mark.parametrize("limit_ns", [0, -1])
    def test_no_time_left_is_no_sleep(self, page, segment, other, limit_ns):
        assert not wake.Sleepers([(page, RingReader(segment, 0)), other]).wait(limit_ns)

    def test_the_end_of_a_ring_is_not_slept_on(self, page, segment, other):
        segment.seal(0)
        assert not wake.Sleepers([other, (page, RingReader(segment, 0))]).wait(10_000_000_000)

    @pytest.mark.parametrize(("name", "value"), [("_futex", lambda: None), ("MOST_WAITED", 1), ("_FUTEX_WAITV", 100_000)])
    def test_where_the_system_cannot_it_naps(self, page, segment, other, monkeypatch, name, value):
        monkeypatch.setattr(wake, name, value)
        started = clock.monotonic_ns()
        assert not wake.Sleepers([(page, RingReader(segment, 0)), other]).wait()
        assert clock.monotonic_ns() - started > wake.SHORT_NAP_NS // 2

    def test_a_publish_to_one_wakes_a_sleeper_on_both(self, page, segment, other, directory, monkeypatch):
        """As for one ring: with sleeps of 3 s only a wake-up ends one at once. Without its word among those waited for, none does."""
        waiting = wake.Sleepers([other, (page, RingReader(segment, 0))])._waiting
        if waiting is None or not waiting.wait([0, 0], 1):
            pytest.skip("this system cannot wait for several words")
        monkeypatch.setattr(wake, "MAX_WAIT_NS", 3_000_000_000)
        reader = RingReader(segment, 0)
        woken = 0
        with child("support.shm_processes:publish_when_told", directory.path) as writer:
            writer.line()
            for sequence in range(20):
                reader.seek(sequence)
                native.words(page.memory)[0] = 0
                started = clock.monotonic_ns()
                writer.say()
                while not wake.Sleepers([other, (page, reader)]).wait(3_000_000_000):
                    assert clock.monotonic_ns() - started < 60_000_000_000
                woken += clock.monotonic_ns() - started < 2_500_000_000
        assert woken >= 15
