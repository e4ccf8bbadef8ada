"""When a book may ask to be healed."""

from alphapulse_cli.flow.resync import CALM_NS, LONGEST_PAUSE_NS, ResyncPacer

SECOND = 1_000_000_000
NOW = 1_790_000_000 * SECOND


def asks(pacer, start, seconds, *, heals=False):
    """When it asks, in seconds since `start`, if it wants to all the time."""
    asked = []
    for tenth in range(seconds * 10):
        pacer.want()
        if pacer.due(start + tenth * SECOND // 10):
            asked.append(tenth / 10)
            if heals:
                pacer.healed()
    return asked


class TestResyncPacer:
    def test_nothing_is_due_that_nobody_wants(self):
        assert not ResyncPacer().due(NOW)

    def test_the_first_time_is_at_once(self):
        assert asks(ResyncPacer(), NOW, 1)[0] == 0

    def test_then_ever_more_rarely(self):
        assert asks(ResyncPacer(), NOW, 250) == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]

    def test_healing_does_not_shorten_the_pause(self):
        """A book that breaks at once after each snapshot must not ask without end."""
        assert asks(ResyncPacer(), NOW, 32, heals=True) == [0, 1, 3, 7, 15, 31]

    def test_healed_it_wants_nothing(self):
        pacer = ResyncPacer()
        pacer.want()
        pacer.healed()
        assert not pacer.due(NOW)

    def test_calm_makes_the_next_one_immediate_and_the_pauses_small(self):
        pacer = ResyncPacer()
        last = asks(pacer, NOW, 64)[-1]
        later = NOW + int(last * SECOND) + LONGEST_PAUSE_NS + CALM_NS + 1
        assert asks(pacer, later, 4) == [0, 1, 3]

    def test_its_own_longest_pause_is_no_calm(self):
        pacer = ResyncPacer()
        asks(pacer, NOW, 1000)
        assert pacer.pause_ns == LONGEST_PAUSE_NS
