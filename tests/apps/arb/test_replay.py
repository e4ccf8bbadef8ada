"""One capture gives the same events every time: through segments however the reads are cut, offline, and in another process."""

import json
import subprocess
import sys
from itertools import pairwise

import pytest

from alphapulse_cli.apps.arb.rows import event_row
from alphapulse_cli.apps.arb.watch import Watch
from alphapulse_cli.apps.bench.frames import FEEDS, STARTED_NS, STEP_NS, BenchFeed, Tape, tape
from alphapulse_cli.exchanges.protocol import BOOK
from alphapulse_cli.flow.arbitrage.candidate import ArbitragePolicy
from alphapulse_cli.flow.arbitrage.detector import ArbitrageDetector
from alphapulse_cli.flow.arbitrage.exact import parse_fee
from alphapulse_cli.flow.arbitrage.terms import Rules
from alphapulse_cli.flow.ingest import Ingest
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.wire.delta import BookState

NAMES = ("binance-us", "coinbase", "kraken")
FREE = dict.fromkeys(NAMES, "0")
UPDATES = 150
POLICY = ArbitragePolicy(max_skew_us=2**31, max_age_ns=2 * STEP_NS)  # the tapes' exchanges and we have different clocks
START_NS = STARTED_NS + 10**12


def tapes() -> dict[str, Tape]:
    """What each exchange sent."""
    feeds: dict[str, BenchFeed] = {feed.exchange: feed for feed in reversed(FEEDS)}
    return {name: tape(feeds[name], UPDATES) for name in NAMES}


def capture():
    """(receive_ns, exchange, frame) of all of them, merged by receive time; no two at one moment."""
    made = []
    for place, (name, one) in enumerate(tapes().items()):
        made += [
            (START_NS + turn * STEP_NS + place * 7_000_001 + turn % 5 * 3_000_000, name, frame)
            for turn, frame in enumerate(one.updates)
        ]
    return sorted(made)


class Stage:
    """The capture's springs: an ingest an exchange, each with its own segments."""

    def __init__(self, directory):
        self.outlets = {name: Outlet(directory, name, name, ["BTC-USD"], 16_384, clock.monotonic_ns()) for name in NAMES}
        self.ingests = {}
        for name, one in tapes().items():
            ingest = Ingest(one.exchange, one.receiver(), one.instruments, {BOOK}, self.outlets[name], lambda *_: None)
            ingest.connected(START_NS - STEP_NS)
            for heard in one.opening:
                if heard.is_snapshot:
                    ingest.receive_snapshot(one.instruments[0], heard.body, START_NS - STEP_NS)
                else:
                    ingest.receive(heard.body, START_NS - STEP_NS)
                ingest.pending_requests()
            self.ingests[name] = ingest

    def play(self, receive_ns, name, frame):
        self.ingests[name].receive(frame, receive_ns)

    def keeper(self, name):
        (found,) = self.ingests[name].keepers.values()
        return found

    def beat(self):
        for outlet in self.outlets.values():
            outlet.beat(clock.monotonic_ns())

    def close(self):
        for outlet in self.outlets.values():
            outlet.close()


@pytest.fixture
def stage(shm_dir):
    with open_directory(shm_dir, create=True) as directory:
        made = Stage(directory)
        yield directory, made
        made.close()


def through_segments(directory, stage, polled_after):
    """The events of a watch that polls after so many messages of the capture."""
    with Watch(directory, Wanted(), POLICY, FREE, "sleep", now_ns=lambda: 0) as watching:
        stage.beat()
        events = watching.settle()
        for turn, message in enumerate(capture(), 1):
            stage.play(*message)
            if turn % polled_after == 0:
                stage.beat()
                events += watching.poll()
        events += watching.poll() + watching.detector.finish(0)
        return [event_row(event) for event in events]


def offline(stage):
    """The same without segments: a detector is told of each book after each message."""
    detector = ArbitrageDetector(POLICY)
    markets = {}
    for name in NAMES:
        instrument = stage.keeper(name).instrument
        rules = Rules(instrument.lot_size_lots, instrument.min_size_lots, instrument.size_decimals)
        markets[name] = detector.add(name, name, "BTC-USD", parse_fee("0"), rules)
    events = []
    for name in NAMES:
        events += detector.update(markets[name], stage.keeper(name).book, START_NS - STEP_NS, stage.keeper(name).version)
    for receive_ns, name, frame in capture():
        keeper = stage.keeper(name)
        before = keeper.version
        stage.play(receive_ns, name, frame)
        if keeper.version != before:
            assert keeper.state is BookState.LIVE
            events += detector.update(markets[name], keeper.book, receive_ns, keeper.version)
    return [event_row(event) for event in events + detector.finish(0)]


@pytest.fixture(scope="module")
def repeated(tmp_path_factory):
    """The events of a watch in this process, which all others must repeat."""
    return in_this_process(str(tmp_path_factory.mktemp("watch") / "segments"))


@pytest.mark.parametrize("polled_after", [1, 7, 100, 10_000])
def test_however_the_reads_are_cut(stage, repeated, polled_after):
    directory, springs = stage
    events = through_segments(directory, springs, polled_after)
    assert events == repeated
    kinds = {event["event"] for event in events}
    assert kinds == {"opened", "changed", "closed"}
    assert all(one["at_ns"] <= other["at_ns"] for one, other in pairwise(events))


def test_and_offline(stage, repeated):
    _, springs = stage
    assert offline(springs) == repeated


def test_and_in_another_process_with_other_hashes(repeated, tmp_path):
    """Nothing depends on the order of a set, or on where anything lies in memory."""
    for seed in ("1", "2"):
        code = "import sys, json; from apps.arb.test_replay import in_this_process; json.dump(in_this_process(sys.argv[1]), sys.stdout)"
        done = subprocess.run(
            [sys.executable, "-P", "-c", code, str(tmp_path / seed)],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            check=True,
            timeout=120,
        )
        assert json.loads(done.stdout) == repeated


def in_this_process(place):
    with open_directory(place, create=True) as directory:
        stage = Stage(directory)
        found = through_segments(directory, stage, 13)
        stage.close()
        return found


def test_a_capture_in_another_order_would_not_be_the_same(stage, repeated):
    """Else the tests above could not fail: two messages of two exchanges change places."""
    _, springs = stage
    messages = capture()
    turned = [message for pair in zip(messages[1::2], messages[::2], strict=True) for message in pair]
    detector = ArbitrageDetector(POLICY)
    markets = {name: detector.add(name, name, "BTC-USD", parse_fee("0")) for name in NAMES}
    events = []
    for receive_ns, name, frame in turned:
        springs.play(receive_ns, name, frame)
        events += detector.update(markets[name], springs.keeper(name).book, receive_ns, springs.keeper(name).version)
    assert [event_row(event) for event in events] != repeated
