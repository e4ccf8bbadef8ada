"""Client and server without sockets, under a schedule that does its worst: frames lost or doubled, snapshots early, late or failed.

Whenever the client claims that its book is live, that book equals the truth at the update id it stands at, as far as the truth can
be known: the levels of the snapshot and all that changed since. Then the schedule turns kind, and the book must become live and equal.
"""

import random
from collections import deque

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.binance import BTC, SECOND, DictBook, sent
from support.campaigns import size
from support.exchange_truth import PlainTruth

from alphapulse_cli.exchanges.binance import Decoder, Encoder, RestEncoder, splice
from alphapulse_cli.exchanges.protocol import BOOK
from alphapulse_cli.exchanges.sequence import GAP, NEXT, follows, splices
from alphapulse_cli.market.events import Snapshot
from alphapulse_cli.market.requests import FetchSnapshot

SYMBOL, SNAPSHOT_DEPTH = "BTC-USDT", 100
NATIVE_QUERY = {"symbol": "BTCUSDT", "limit": str(SNAPSHOT_DEPTH)}


class Pair:
    """One symbol's truth, exchange and client, and the two wires between them: frames in order, snapshots when the schedule says."""

    def __init__(self, depth):
        self.truth = PlainTruth([BTC])
        self.truth.change(
            SYMBOL, [(1000 - step, 1, False) for step in range(depth)] + [(1001 + step, 1, True) for step in range(depth)]
        )
        self.history = {self.truth.sequence(SYMBOL): self._sides()}
        self.changed_at = []  # (id, ticks, is_ask)
        self.encoder, self.rest = Encoder(self.truth), RestEncoder(self.truth)
        self.decoder, self.client = Decoder([BTC], {BOOK}, SNAPSHOT_DEPTH), DictBook()
        self.frames: deque[bytes] = deque()
        self.bodies: deque[bytes] = deque()
        self.asked = 0
        self.seen = self.snapshot_id = self.last_id = self.now = 0
        self.cached = b""
        self.snapshot_known: tuple[set[int], set[int]] = (set(), set())
        self.connect()

    def _sides(self):
        bids, asks = self.truth.book(SYMBOL)
        return dict(bids), dict(asks)

    def connect(self):
        self.frames.clear()
        self.bodies.clear()
        self.asked = self.seen = 0
        self.client.live = False
        self.decoder.connected(self.now)
        for request in sent(self.decoder):
            self.frames.extend(self.encoder.receive(orjson.dumps(request), self.now))

    def change(self, changes):
        self.truth.change(SYMBOL, changes)
        last = self.truth.sequence(SYMBOL)
        self.history[last] = self._sides()
        self.changed_at += [(last, ticks, is_ask) for ticks, _, is_ask in changes]
        self.frames.extend(self.encoder.update(SYMBOL, changes, self.now))

    def deliver(self, fate):
        if not self.frames or (frame := self.frames.popleft()) is None or fate == "lose":
            return
        for _ in range(2 if fate == "double" else 1):
            self.take(self.decoder.receive(frame, self.now))
            self.seen = max(self.seen, orjson.loads(frame).get("data", {}).get("u", 0))
        self._after()

    def server_reads(self, fate="fresh"):
        """The exchange makes the snapshot, or takes an old one from a cache; it travels from now on."""
        if self.asked:
            self.asked -= 1
            if fate != "cached" or not self.cached:
                self.cached = self.rest.respond("/api/v3/depth", NATIVE_QUERY, self.now)[1]
            self.bodies.append(self.cached)

    def answer(self, fate):
        if not self.bodies:
            return
        body = self.bodies.popleft()
        if fate == "lose":
            self.decoder.fetch_failed(BTC, self.now)
        else:
            self.last_id = orjson.loads(body)["lastUpdateId"]
            self.take(self.decoder.receive_snapshot(BTC, body, self.now))
        self._after()

    def take(self, events):
        """What the client does with them; a Snapshot is that of the body that came last, at once or after it was held."""
        self.client.apply(events)
        if any(isinstance(event, Snapshot) for event in events):
            self.snapshot_id = self.last_id
            self.seen = max(self.seen, self.snapshot_id)
            self.snapshot_known = self._reach(self.history[self.snapshot_id])

    @staticmethod
    def _reach(sides):
        """What a snapshot of that moment shows or rules out: everything, or all down to its last level."""
        bids, asks = sorted(sides[0], reverse=True), sorted(sides[1])
        worst_bid = bids[SNAPSHOT_DEPTH - 1] if len(bids) > SNAPSHOT_DEPTH else 0
        worst_ask = asks[SNAPSHOT_DEPTH - 1] if len(asks) > SNAPSHOT_DEPTH else 10**9
        return worst_bid, worst_ask

    def tick(self):
        self.now += SECOND
        self.take(self.decoder.tick(self.now))
        self._after()

    def _after(self):
        self.asked += sum(isinstance(request, FetchSnapshot) for request in self.decoder.pending_requests())
        assert self.asked + len(self.bodies) <= 1, "one snapshot is in flight at a time"
        if self.client.live:
            assert self.client.sides == self._knowable(), f"a live book is wrong at {self.seen}"

    def _knowable(self):
        """The truth at the id the client stands at, without the levels nobody told it of."""
        touched = {(ticks, is_ask) for last, ticks, is_ask in self.changed_at if self.snapshot_id < last <= self.seen}
        worst_bid, worst_ask = self.snapshot_known
        bids, asks = self.history[self.seen]
        return (
            {ticks: lots for ticks, lots in bids.items() if ticks >= worst_bid or (ticks, False) in touched},
            {ticks: lots for ticks, lots in asks.items() if ticks <= worst_ask or (ticks, True) in touched},
        )

    def do(self, action, argument):
        match action:
            case "change":
                self.change(argument)
            case "deliver":
                self.deliver(argument)
            case "answer":
                self.answer(argument)
            case "server reads":
                self.server_reads(argument)
            case "tick":
                self.tick()
            case "resync":
                self.client.live = False
                self.decoder.resync(BTC)
                self._after()
            case "connect":
                self.connect()

    def end_kindly(self):
        """Everything arrives from here on: the book must become live and right."""
        self.change([(1000, 77, False)])
        for _ in range(100):
            while self.frames:
                self.deliver("deliver")
            self.server_reads()
            self.answer("deliver")
            self.tick()
            if self.client.live and not self.frames:
                break
        self.change([(1000, 78, False), (1002, 5, True)])
        self.deliver("deliver")
        assert self.client.live
        assert self.seen == self.truth.sequence(SYMBOL)


changes = st.lists(st.tuples(st.integers(860, 1140), st.integers(0, 3), st.booleans()), min_size=1, max_size=4)
actions = st.one_of(
    st.tuples(st.just("change"), changes),
    st.tuples(st.just("deliver"), st.sampled_from(["deliver", "deliver", "deliver", "lose", "double"])),
    st.tuples(st.just("answer"), st.sampled_from(["deliver", "deliver", "lose"])),
    st.tuples(st.just("server reads"), st.sampled_from(["fresh", "fresh", "cached"])),
    st.tuples(st.sampled_from(["tick", "resync", "connect"]), st.none()),
)


@settings(deadline=None, max_examples=size(75, 150))
@given(st.lists(actions, max_size=60), st.sampled_from([0, 3, 130]))
def test_a_live_book_is_always_the_truth(schedule, depth):
    pair = Pair(depth)
    for action, argument in schedule:
        pair.do(action, argument)
    pair.end_kindly()


def random_schedule(seed, length=80):
    """The same schedules without hypothesis, with frames mostly arriving: what the mutants are caught by."""
    chance = random.Random(seed)
    for _ in range(length):
        action = chance.choice(["change", "change", "deliver", "deliver", "answer", "server reads", "tick", "resync"])
        if action == "change":
            yield (
                action,
                [(chance.randint(990, 1010), chance.randint(0, 3), chance.random() < 0.5) for _ in range(chance.randint(1, 3))],
            )
        else:
            yield action, chance.choice(["deliver"] * 8 + ["lose", "double", "cached"])


def goes_wrong(seed):
    """Whether this schedule ends in an AssertionError."""
    pair = Pair(5)
    try:
        for action, argument in random_schedule(seed):
            pair.do(action, argument)
        pair.end_kindly()
    except AssertionError:
        return True
    return False


def is_caught():
    """Whether any of 1,000 schedules notices what is broken."""
    return any(goes_wrong(seed) for seed in range(1000))


class TestTheSchedulesCatchWhatIsBroken:
    def test_the_real_decoder_passes(self):
        assert not any(goes_wrong(seed) for seed in range(100))

    def test_gaps_taken_for_updates(self, monkeypatch):
        monkeypatch.setattr(splice, "follows", lambda *ids: NEXT if follows(*ids) is GAP else follows(*ids))
        assert is_caught()

    def test_a_first_event_that_may_begin_anywhere(self, monkeypatch):
        monkeypatch.setattr(splice, "splices", lambda *ids: NEXT if splices(*ids) is GAP else splices(*ids))
        assert is_caught()

    def test_snapshots_older_than_the_stream(self, monkeypatch):
        real = splice.Splice.meeting
        met = splice.Meeting.MET
        monkeypatch.setattr(
            splice.Splice, "meeting", lambda self, id_: met if real(self, id_) is splice.Meeting.STALE else real(self, id_)
        )
        assert is_caught()

    def test_snapshots_that_the_stream_has_not_met(self, monkeypatch):
        """With the stream's next event lost unseen, such a book would be right all the same: the rule is for other numberings."""
        real = splice.Splice.meeting
        met = splice.Meeting.MET
        monkeypatch.setattr(
            splice.Splice, "meeting", lambda self, id_: met if real(self, id_) is splice.Meeting.AHEAD else real(self, id_)
        )
        assert not any(goes_wrong(seed) for seed in range(100))

    def test_events_behind_the_snapshot_that_are_dropped(self, monkeypatch):
        """Older ones would do no harm: sizes are absolute, and the run goes on beyond the snapshot."""
        real = splice.Splice.after
        monkeypatch.setattr(splice.Splice, "after", lambda self, id_: real(self, id_ + 1))
        assert is_caught()

    def test_a_resync_that_forgets_where_the_stream_stands(self, monkeypatch):
        def discard(self):
            self.live = False

        monkeypatch.setattr(splice.Splice, "discard", discard)
        assert is_caught()

    @pytest.mark.parametrize("bound", [1, 3])
    def test_a_small_buffer_is_no_mutant(self, monkeypatch, bound):
        monkeypatch.setattr(splice, "MAX_EVENTS", bound)
        assert not any(goes_wrong(seed) for seed in range(100))
