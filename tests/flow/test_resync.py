"""When a book may ask to be healed."""

from itertools import pairwise

import pytest

from alphapulse_cli.flow.resync import CALM_NS, RETRY_PAUSES_S, ResyncPacer
from alphapulse_cli.wire.delta import BookReason

SECOND = 1_000_000_000
NOW = 50 * SECOND


def asks(pacer, seconds, *, good_s=None, start=NOW):
    """When it asks, in seconds since `start`, of a book that is wrong; it heals at once and breaks `good_s` later, or never heals (None)."""
    asked, breaks = [], 0
    for tenth in range(int(seconds * 10)):
        now = start + tenth * SECOND // 10
        if pacer.good_since_ns is not None and now >= breaks:
            pacer.broke(now)
        if pacer.good_since_ns is None:
            pacer.want()
        if pacer.due(now):
            asked.append(tenth / 10)
            if good_s is not None:
                pacer.healed(now)
                breaks = now + int(good_s * SECOND)
    return asked


class TestAFault:
    def test_nothing_is_due_that_nobody_wants(self):
        assert not ResyncPacer().due(NOW)

    def test_the_first_time_is_at_once(self):
        assert asks(ResyncPacer(), 1)[0] == 0

    def test_that_asking_does_not_heal_is_asked_for_ever_more_rarely(self):
        assert asks(ResyncPacer(), 250) == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]

    @pytest.mark.parametrize("good_s", [0.1, 1, 1.9])
    def test_of_a_book_that_breaks_at_once_after_each_snapshot_too(self, good_s):
        times = asks(ResyncPacer(), 400, good_s=good_s)
        gaps = [round(later - earlier) for earlier, later in pairwise(times)]
        assert gaps == sorted(gaps)
        assert gaps[-1] == 60

    @pytest.mark.parametrize("good_s", [2, 5, 60])
    def test_of_a_book_that_was_good_for_two_seconds_is_healed_at_once_each_time(self, good_s):
        assert asks(ResyncPacer(), 300, good_s=good_s) == [good_s * turn for turn in range(300 // good_s)]

    def test_is_forgotten_by_a_good_book_also_after_many(self):
        pacer = ResyncPacer()
        last = asks(pacer, 64)[-1]
        pacer.healed(NOW + 64 * SECOND)
        assert last == 63
        pacer.broke(NOW + 64 * SECOND + CALM_NS)
        assert asks(pacer, 4, start=NOW + 64 * SECOND + CALM_NS) == [0, 1, 3]

    def test_pictures_that_keep_coming_do_not_make_a_good_book_young(self):
        pacer = ResyncPacer()
        for tenth in range(30):
            pacer.healed(NOW + tenth * SECOND // 10)
        assert pacer.is_calm(NOW + 3 * SECOND)

    def test_healed_it_wants_nothing(self):
        pacer = ResyncPacer()
        pacer.want()
        pacer.healed(NOW)
        assert not pacer.due(NOW)

    def test_a_lost_connection_asks_for_nothing_but_keeps_what_is_to_be_tried_again(self):
        pacer = ResyncPacer()
        pacer.want()
        pacer.disconnected()
        assert not pacer.due(NOW)
        pacer.retry(BookReason.OFF_GRID, NOW)
        pacer.disconnected()
        assert pacer.due(NOW + 60 * SECOND)


class TestWhatAFreshSnapshotCannotHeal:
    def tries(self, pacer, seconds, start=NOW):
        return [second for second in range(seconds) if pacer.due(start + second * SECOND)]

    @pytest.mark.parametrize(
        ("reason", "expected"),
        [
            (BookReason.OFF_GRID, [60, 180, 480, 1080, 1680, 2280]),
            (BookReason.NO_ROOM, [5, 65, 185, 485, 1085, 1685, 2285]),
            (BookReason.UNVERIFIED, [600, 1200, 1800, 2400]),
        ],
    )
    def test_is_tried_again_for_ever(self, reason, expected):
        pacer = ResyncPacer()
        pacer.retry(reason, NOW)
        assert self.tries(pacer, 2450) == expected
        assert set(RETRY_PAUSES_S) == {BookReason.OFF_GRID, BookReason.NO_ROOM, BookReason.UNVERIFIED}

    def test_a_try_that_shows_the_same_again_changes_no_pause(self):
        pacer, tried = ResyncPacer(), []
        pacer.retry(BookReason.OFF_GRID, NOW)
        for second in range(1100):
            if pacer.due(NOW + second * SECOND):
                tried.append(second)
            pacer.retry(BookReason.OFF_GRID, NOW + second * SECOND)
        assert tried == [60, 180, 480, 1080]

    def test_says_how_long_it_waits(self):
        pacer = ResyncPacer()
        assert pacer.retry_pause_s == 0
        pacer.retry(BookReason.OFF_GRID, NOW)
        assert pacer.retry_pause_s == 60
        assert self.tries(pacer, 61) == [60]
        assert pacer.retry_pause_s == 120

    def test_healed_it_is_over_and_begins_small_again_only_after_calm(self):
        pacer = ResyncPacer()
        pacer.retry(BookReason.OFF_GRID, NOW)
        self.tries(pacer, 61)
        pacer.healed(NOW + 61 * SECOND)
        assert self.tries(pacer, 1000, NOW + 61 * SECOND) == []
        pacer.broke(NOW + 62 * SECOND)
        pacer.retry(BookReason.OFF_GRID, NOW + 62 * SECOND)
        assert pacer.retry_pause_s == 300, "it broke at once: the ladder goes on"
        pacer.healed(NOW + 70 * SECOND)
        pacer.broke(NOW + 70 * SECOND + CALM_NS)
        pacer.retry(BookReason.OFF_GRID, NOW + 72 * SECOND)
        assert pacer.retry_pause_s == 60
