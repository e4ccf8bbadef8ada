"""A reader that does nothing but poll is on the newest writer's ring soon after there is one, however the ones before it ended."""

import tempfile
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.campaigns import size
from support.reader_sets import Writer

from alphapulse_cli.flow.groups import LOOK_EVERY_NS, GroupReader
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.layout import HEARTBEAT_LIMIT_NS, SegmentKind

SECOND_NS = 1_000_000_000
ENDS = ("retires", "is killed", "is killed, its files removed")
LIVES = st.lists(
    st.tuples(st.sampled_from(ENDS), st.integers(0, 80), st.sampled_from([0.0, 0.15, 1.0, 2.5]), st.booleans()),
    min_size=1,
    max_size=5,
)


def remove_segments(directory):
    for name in directory.names():
        if "_" in name:
            directory.unlink(name)


class Scene:
    """Writers one after another, and a reader; time passes when told."""

    def __init__(self, directory):
        self.directory, self.now_ns, self.writer = directory, clock.monotonic_ns(), None
        self.start()
        self.reader = GroupReader(directory, "kraken", SegmentKind.DELTAS, "oldest")
        self.got = self.missed = 0

    def start(self):
        self.writer = Writer(self.directory, capacity=64)
        self.writer.outlet.beat(self.now_ns)

    def end(self, how):
        outlet = self.writer.outlet
        if how == "retires":
            self.writer.close()
            return
        if "removed" in how:
            remove_segments(self.directory)
        outlet._lease.release()

    def write(self, groups):
        for number in range(groups):
            self.writer.update([(999_000 + number % 3, 1 + number, False)])

    def poll(self, seconds=0.0):
        self.now_ns += int(seconds * SECOND_NS)
        polled = self.reader.poll(self.now_ns)
        if polled.restarted:
            self.got = self.missed = 0
        self.got += polled.record_count
        self.missed += polled.missed


def follows(lives):
    """Live these lives, (how it ends, groups written, pause until the next, polled meanwhile) each; whether the reader has followed."""
    with tempfile.TemporaryDirectory() as place, open_directory(place, create=True) as directory:
        scene = Scene(directory)
        for how, groups, pause_s, polls in lives:
            scene.writer.snapshot([(999_000, 1, False)])
            scene.write(groups)
            if polls:
                scene.poll()
            scene.end(how)
            scene.poll(pause_s)
            scene.start()
            if polls:
                scene.poll()
        scene.writer.snapshot([(999_000, 1, False)])
        scene.now_ns += HEARTBEAT_LIMIT_NS  # then whoever is silent has been so for long enough
        for _ in range(len(lives) + 1):
            scene.now_ns += LOOK_EVERY_NS
            scene.writer.outlet.beat(scene.now_ns)
            scene.poll()
        scene.poll()
        ring = scene.writer.outlet.deltas
        followed = (scene.reader.segment.epoch, scene.got + scene.missed) == (scene.writer.outlet.epoch, ring.published)
        scene.writer.close()
        return followed


@settings(max_examples=size(30, 60), deadline=None)
@given(LIVES)
def test_it_never_stays_on_a_dead_ring(lives):
    assert follows(lives)


@pytest.mark.parametrize(
    ("method", "broken", "how"),
    [
        ("_may_be_replaced", lambda self, _: self.reader.ended, "is killed, its files removed"),
        ("_may_be_replaced", lambda self, now_ns: not self.reader.ended and not self.segment.is_live(now_ns), "retires"),
        ("_successor", lambda _: False, "is killed"),
    ],
    ids=["looks only where it was told", "looks only where nothing was told", "never looks"],
)
def test_one_that_does_is_found(method, broken, how):
    lives = [(how, 3, 0.15, True)]
    assert follows(lives)
    with patch.object(GroupReader, method, broken):
        assert not follows(lives)


@pytest.mark.parametrize("is_replay_first", [False, True])
def test_no_replay_takes_a_collectors_place_nor_a_collector_a_replays(is_replay_first, directory):
    """Not even where the old files are gone without a seal, and its writer dead."""
    first = Writer(directory, capacity=64, replay=is_replay_first)
    reader = GroupReader(directory, "kraken", SegmentKind.DELTAS, "oldest")
    kept = reader.segment
    first.close()
    remove_segments(directory)
    second = Writer(directory, capacity=64, replay=not is_replay_first)
    second.update([(999_000, 1, False)])
    for seconds in (0, 1, 3):
        polled = reader.poll(clock.monotonic_ns() + seconds * SECOND_NS)
        assert not polled.restarted
        assert reader.segment is kept
        assert reader.is_replay is is_replay_first
    second.close()
    remove_segments(directory)
    with Writer(directory, capacity=64, replay=is_replay_first):
        assert reader.poll(clock.monotonic_ns() + 4 * SECOND_NS).restarted
