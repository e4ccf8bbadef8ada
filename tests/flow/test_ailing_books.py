"""What a fresh snapshot cannot heal: told once, tried again for ever, healed by whatever snapshot is whole; for any order of events.

The mutants below break the keeper on purpose; the same histories find each.
"""

import contextlib
import re
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.flow_parts import SECOND, Desk, Replica, River, assert_one_book, listed

from alphapulse_cli.errors import StorageError
from alphapulse_cli.flow import keeper as keeper_module
from alphapulse_cli.flow.keeper import SNAPSHOTS_DOUBTED, BookKeeper
from alphapulse_cli.flow.resync import CALM_NS, ResyncPacer
from alphapulse_cli.market.events import Snapshot, Update
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.market.requests import FetchSnapshot
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.wire.delta import BookReason, BookState

LIVE, SYNCING, HALTED, STALE = BookState.LIVE, BookState.SYNCING, BookState.HALTED, BookState.STALE
UNVERIFIED = BookReason.UNVERIFIED
DEEP = [(9_000 + step, 3, False) for step in range(12)] + [(11_000 + step, 3, True) for step in range(12)]
is_compiled = bool(keeper_module.SOURCE_HASH)


class Wrong(River):
    """Kraken, or another exchange, whose checksums of BTC-USD are wrong while `spoils` says so."""

    def __init__(self, directory, exchange="kraken", **options):
        super().__init__(directory, exchange, **options)
        self.spoils = True
        self.truth.change("BTC-USD", DEEP)
        self.connect()

    def hear(self, *frames):
        for frame in frames:
            super().hear(re.sub(rb'("checksum":|"cs",)-?[0-9]+', rb"\g<1>7", frame) if self.spoils else frame)

    def doubt(self):
        """Until it is UNVERIFIED: how many snapshots that took."""
        for _ in range(100):
            if self.keeper().reason is UNVERIFIED:
                return self.count(Counter.CHECKSUMS_BAD, "BTC-USD")
            self.tick(0.5)
            self.ask()
        raise AssertionError("never doubted")


class TestAChecksumThatIsAlwaysWrong:
    def test_is_not_live_after_five_snapshots_and_tried_again_each_ten_minutes(self, directory):
        wrong = Wrong(directory)
        assert wrong.doubt() == SNAPSHOTS_DOUBTED == 5
        assert (wrong.keeper().state, wrong.keeper().reason) == (SYNCING, UNVERIFIED)
        assert wrong.states()[-1] == (SYNCING, UNVERIFIED)
        assert wrong.count(Counter.UNVERIFIED, "BTC-USD") == 1
        (line,) = [line for line in wrong.warnings if "UNVERIFIED" in line]
        assert line.startswith("kraken:BTC-USD: UNVERIFIED and not LIVE")
        assert "--checksum warn" in line
        asked = len(wrong.requests)
        for _ in range(1900):
            wrong.tick()
            wrong.ask()  # the snapshot comes at once, wrong again
            assert wrong.keeper().state is SYNCING
        tries = [each for each in wrong.requests[asked:] if b'"unsubscribe"' in getattr(each, "frame", b"")]
        assert len(tries) == 3
        assert len([line for line in wrong.warnings if "UNVERIFIED" in line]) == 1

    def test_of_a_right_snapshot_heals_it(self, directory):
        wrong = Wrong(directory)
        wrong.doubt()
        wrong.spoils = False
        wrong.tick(600)
        wrong.ask()
        assert (wrong.keeper().state, wrong.keeper().reason) == (LIVE, BookReason.NONE)
        wrong.assert_true(depth=10)
        wrong.tick(3)
        assert wrong.notices[-1] == ("info", "kraken:BTC-USD: LIVE again")
        wrong.spoils = True
        wrong.change([(9_030, 1, False)])
        assert wrong.keeper().reason is BookReason.BAD_CHECKSUM, "the count began anew"

    def test_under_warn_is_live_and_says_so(self, directory):
        wrong = Wrong(directory, checksum_warns={"BTC-USD"})
        replica = Replica(wrong.outlet, "BTC-USD")
        wrong.doubt()
        assert (wrong.keeper().state, wrong.keeper().reason) == (LIVE, UNVERIFIED)
        asked = len(wrong.requests)
        for step in range(30):
            wrong.change([(9_030, 1 + step, False)])
            wrong.tick()
        assert len(wrong.requests) == asked
        wrong.assert_true(depth=10)
        assert_one_book(wrong.keeper(), replica)
        assert (replica.image().reason, replica.book.reason) == (UNVERIFIED, UNVERIFIED)
        assert len([line for line in wrong.warnings if "UNVERIFIED" in line]) == 1

    def test_under_warn_survives_silence_and_a_lost_connection(self, directory):
        wrong = Wrong(directory, checksum_warns={"BTC-USD"})
        wrong.doubt()
        wrong.ingest.silent(wrong.now)
        assert wrong.keeper().state is STALE
        wrong.ingest.heard(wrong.now)
        assert (wrong.keeper().state, wrong.keeper().reason) == (LIVE, UNVERIFIED)
        wrong.disconnect()
        assert wrong.keeper().state is SYNCING
        wrong.connect()
        assert (wrong.keeper().state, wrong.keeper().reason) == (LIVE, UNVERIFIED)

    def test_under_warn_is_stale_where_nobody_vouches_for_it(self, directory):
        """LIVE or UNVERIFIED, a book whose stream has died is checked with the exchange like any other."""
        wrong = Wrong(directory, checksum_warns={"BTC-USD"})
        wrong.doubt()
        wrong.change([(9_030, 1, False)])
        said = set()
        for _ in range(800):
            wrong.tick(0.1)
            wrong.take_requests()  # which nobody answers
            said.add((wrong.keeper().state, wrong.keeper().reason))
        assert said == {(LIVE, UNVERIFIED), (STALE, BookReason.MUTE)}
        assert wrong.keeper().state is STALE
        wrong.change([(9_030, 2, False)])
        wrong.tick(0.1)
        assert (wrong.keeper().state, wrong.keeper().reason) == (LIVE, UNVERIFIED)

    def test_under_warn_is_verified_by_the_first_right_one(self, directory):
        wrong = Wrong(directory, checksum_warns={"BTC-USD"})
        wrong.doubt()
        wrong.spoils = False
        wrong.change([(9_030, 1, False)])
        assert (wrong.keeper().state, wrong.keeper().reason) == (LIVE, BookReason.NONE)
        assert wrong.states()[-1] == (LIVE, BookReason.NONE)
        wrong.tick(1200)
        assert not any(b'"unsubscribe"' in getattr(each, "frame", b"") for each in wrong.take_requests()), "nothing is tried again"

    def test_now_and_then_is_no_doubt(self, directory):
        """Four in a row and a right one, again and again."""
        wrong = Wrong(directory)
        wrong.spoils = False
        for _ in range(4):
            wrong.settle()
            wrong.spoils = True
            wrong.change([(9_030, 1 + wrong.now % 7, False)])
            wrong.tick(0.2)
            wrong.ask()
            wrong.spoils = False
        wrong.settle()
        assert wrong.count(Counter.UNVERIFIED, "BTC-USD") == 0


class WrongLater(Wrong):
    """Bitfinex, whose checksums come in frames of their own, after the snapshot: those of BTC-USD are wrong while `spoils` says so."""

    def __init__(self, directory, **options):
        super().__init__(directory, "bitfinex", **options)

    def move(self, steps=20):
        """So many updates that a checksum comes."""
        for step in range(steps):
            self.change([(9_030, 1 + step + self.now % 1000, False)])


class TestAChecksumThatComesLater:
    def test_and_is_always_wrong_is_not_live_after_five_and_tried_again_each_ten_minutes(self, directory):
        wrong = WrongLater(directory)
        assert wrong.doubt() == SNAPSHOTS_DOUBTED
        assert (wrong.keeper().state, wrong.keeper().reason) == (SYNCING, UNVERIFIED)
        asked = len(wrong.requests)
        for _ in range(1900):
            wrong.tick()
            wrong.ask()
            assert (wrong.keeper().state, wrong.keeper().reason) == (SYNCING, UNVERIFIED)
        tries = [each for each in wrong.requests[asked:] if b'"subscribe","channel":"book"' in getattr(each, "frame", b"")]
        assert len(tries) == 3
        assert len([line for line in wrong.warnings if "UNVERIFIED" in line]) == 1
        assert wrong.count(Counter.UNVERIFIED, "BTC-USD") == 1

    def test_heals_with_a_right_one(self, directory):
        wrong = WrongLater(directory)
        wrong.doubt()
        wrong.spoils = False
        wrong.tick(600)
        wrong.ask()
        assert (wrong.keeper().state, wrong.keeper().reason) == (LIVE, BookReason.NONE)
        wrong.assert_true(depth=100)

    def test_under_warn_is_live_says_so_and_is_verified_by_a_right_one(self, directory):
        wrong = WrongLater(directory, checksum_warns={"BTC-USD"})
        wrong.doubt()
        wrong.move()
        assert (wrong.keeper().state, wrong.keeper().reason) == (LIVE, UNVERIFIED)
        wrong.spoils = False
        wrong.move()
        assert (wrong.keeper().state, wrong.keeper().reason) == (LIVE, BookReason.NONE)
        wrong.assert_true(depth=100)

    def test_and_is_wrong_now_and_then_is_no_doubt(self, directory):
        """The checksum that follows each snapshot is right, a later one is not."""
        wrong = WrongLater(directory)
        wrong.spoils = False
        for _ in range(SNAPSHOTS_DOUBTED + 1):
            for _ in range(70):
                wrong.tick()
                wrong.ask()
            assert (wrong.keeper().state, wrong.keeper().reason) == (LIVE, BookReason.NONE)
            wrong.spoils = True
            wrong.move()
            assert (wrong.keeper().state, wrong.keeper().reason) == (SYNCING, BookReason.BAD_CHECKSUM)
            wrong.spoils = False
        assert wrong.count(Counter.UNVERIFIED, "BTC-USD") == 0


class TestNoRoom:
    def test_heals_when_room_comes_back_and_is_told_once(self, directory, monkeypatch):
        desk = River(directory, "binance-us")
        desk.truth.change("BTC-USD", [(9_000, 1, False), (11_000, 1, True)])
        desk.connect().settle()
        monkeypatch.setattr(desk.outlet, "grow_image", no_room)
        desk.change([(11_100 + step, 1, True) for step in range(1_100)])
        assert (desk.keeper().state, desk.keeper().reason) == (HALTED, BookReason.NO_ROOM)
        tried = []
        for second in range(1, 700):
            desk.tick()
            if any(isinstance(each, FetchSnapshot) for each in desk.take_requests()):
                tried.append(second)
                body = desk.rest.respond("/api/v3/depth", {"symbol": "BTCUSD", "limit": "5000"}, desk.now)[1]
                desk.ingest.receive_snapshot(desk.keeper().instrument, body, desk.now)
        assert tried == [5, 65, 185, 485]
        (line,) = [line for line in desk.warnings if "HALTED" in line]
        assert "Free some room" in line
        monkeypatch.undo()
        desk.tick(600)
        desk.ask()
        desk.settle([(9_001, 7, False), (10_999, 7, True)])
        desk.assert_true()


def no_room(*_):
    raise StorageError("no room")


# Any order of events

ABSURD = (2**63, 5, True)
steps = st.one_of(
    st.tuples(st.just("update"), st.integers(90, 110), st.sampled_from(["right", "wrong", "absurd"])),
    st.tuples(st.just("snapshot"), st.integers(90, 110), st.sampled_from(["right", "right", "wrong", "absurd", "large"])),
    st.tuples(st.sampled_from(["gap", "disconnect", "silence", "heard", "full", "room"]), st.just(0), st.just("")),
    st.tuples(st.just("time"), st.sampled_from([0, 1, 5, 60, 700]), st.just("")),
)


class History:
    """A keeper under any order of events, and the exchange's book beside it: a dict, and whether it has a level that no grid holds."""

    def __init__(self, directory, *, warns):
        self.desk = Desk(directory, [listed("kraken")])
        outlet = self.desk.outlet
        self.real_grow = outlet.grow_image
        self.now = 0
        self.keeper = BookKeeper(self.desk.instruments[0], outlet, lambda *_: 7, checksum_warns=warns)
        self.warns = warns
        self.levels, self.is_absurd, self.is_known, self.is_full = {}, False, False, False
        self.was_ailing, self.told = None, []
        self.good_since, self.since = None, 0  # since when it is good; how much was told before it was calm last

    def grow(self, *arguments):
        if self.is_full:
            raise StorageError("no room")
        return self.real_grow(*arguments)

    def do(self, step):
        kind, ticks, how = step
        keeper = self.keeper
        if kind in ("update", "snapshot"):
            self.message(kind, ticks, how)
        elif kind == "gap":
            self.is_known = False
            keeper.set_state(SYNCING, BookReason.SEQUENCE_GAP, self.now)
        elif kind == "disconnect":
            self.is_known = False
            keeper.pacer.disconnected()
            keeper.set_state(SYNCING, BookReason.DISCONNECTED, self.now)
        elif kind == "silence" and keeper.state is LIVE:
            keeper.set_state(STALE, BookReason.SILENT, self.now)
        elif kind == "heard" and keeper.state is STALE:
            keeper.set_state(LIVE, keeper.live_reason, self.now)
        elif kind in ("full", "room"):
            self.is_full = kind == "full"
        elif kind == "time":
            self.now += ticks * SECOND
            if keeper.tick(self.now, self.now):
                self.told.append("again")
            if self.good_since is not None and self.now - self.good_since >= CALM_NS and keeper.reason is not UNVERIFIED:
                self.since = len(self.told)
        self.check()

    def message(self, kind, ticks, how):
        changes = [(ticks, 1 + self.now % 5, False)]
        if kind == "snapshot":
            self.levels, self.is_absurd, self.is_known = {}, False, True
            if how == "large":
                changes += [(200 + step, 1, True) for step in range(1_100)]
        if how == "absurd":
            changes.append(ABSURD)
            self.is_absurd = True
        self.levels |= {(t, is_ask): lots for t, lots, is_ask in changes if t != ABSURD[0]}
        instrument = self.keeper.instrument
        made = Levels.from_levels(instrument.price_decimals, instrument.size_decimals, changes)
        event = (Snapshot if kind == "snapshot" else Update)(instrument, made, checksum=8 if how == "wrong" else 7)
        self.is_wrong = how == "wrong"
        if not self.keeper.apply(event, self.now):
            ailment = self.keeper.ailment()
            if ailment is not None:
                self.told.append(ailment[:2])

    def check(self):
        keeper = self.keeper
        if keeper.state is LIVE:
            assert self.is_known
            assert not self.is_absurd, "LIVE without a level that the exchange told"
            assert {
                (t, side): lots for side, rows in ((False, keeper.book.bids()), (True, keeper.book.asks())) for t, lots in rows
            } == self.levels
            assert keeper.reason is UNVERIFIED or not getattr(self, "is_wrong", False)
            assert keeper.reason is not UNVERIFIED or self.warns
        ailing = (keeper.state, keeper.reason) if keeper.state is HALTED or keeper.reason is UNVERIFIED else None
        if ailing is not None and ailing != self.was_ailing:
            assert ailing in self.told[self.since :], "an ailment that nobody was told"
        self.was_ailing = ailing
        is_good = keeper.state in (LIVE, STALE)
        self.good_since = (self.now if self.good_since is None else self.good_since) if is_good else None
        rounds: list[list[Any]] = [[]]
        for each in self.told:
            if each == "again":
                rounds.append([])
            else:
                rounds[-1].append(each)
        assert all(len(round_) == len(set(round_)) for round_ in rounds), "told twice"

    def end(self):
        """Every cause goes: whatever ails is tried again, and the snapshot that then comes heals."""
        self.is_full = False
        if self.keeper.state in (SYNCING, HALTED) and self.keeper.reason in (BookReason.OFF_GRID, BookReason.NO_ROOM, UNVERIFIED):
            asks = self.keeper.pacer
            if self.keeper.state is HALTED or self.keeper.reason is UNVERIFIED:
                assert any(asks.due(self.now + second * SECOND) for second in range(0, 1300, 5)), "nobody tries again"
        self.do(("snapshot", 100, "right"))
        assert (self.keeper.state, self.keeper.reason) == (LIVE, BookReason.NONE)
        assert self.keeper.pacer.retry_at_ns is None
        assert_one_book(self.keeper, Replica(self.desk.outlet, "BTC-USD"))


def play(schedule, *, warns):
    with (
        tempfile.TemporaryDirectory() as folder,
        open_directory(Path(folder) / "s", create=True) as directory,
        pytest.MonkeyPatch.context() as patch,
    ):
        history = History(directory, warns=warns)
        patch.setattr(history.desk.outlet, "grow_image", history.grow)
        try:
            for step in schedule:
                history.do(step)
            history.end()
        finally:
            history.desk.outlet.close()


@given(st.lists(steps, max_size=25), st.booleans())
@settings(max_examples=60, deadline=None)
def test_any_history(schedule, warns):
    play(schedule, warns=warns)


# Seven histories that walk through every ailment: what the mutants are shown.
RIGHT, WRONG = ("snapshot", 100, "right"), ("snapshot", 100, "wrong")
WALKS = [
    [RIGHT, ("update", 101, "absurd"), ("snapshot", 100, "absurd"), ("snapshot", 100, "absurd"), ("time", 60, "")],
    [("snapshot", 100, "absurd"), RIGHT, ("time", 5, ""), ("snapshot", 99, "absurd"), ("snapshot", 99, "absurd")],
    [RIGHT, ("full", 0, ""), ("snapshot", 99, "large"), ("time", 700, ""), ("snapshot", 99, "large"), ("room", 0, "")],
    [WRONG] * 6 + [("time", 700, ""), WRONG, ("update", 101, "wrong"), RIGHT, ("time", 5, ""), *[WRONG] * 6],
    [RIGHT, ("update", 101, "wrong"), ("silence", 0, ""), ("heard", 0, ""), RIGHT, ("silence", 0, ""), ("heard", 0, "")],
]


@pytest.mark.parametrize("walk", WALKS)
@pytest.mark.parametrize("warns", [False, True])
def test_the_walks(walk, warns):
    play(walk, warns=warns)


@pytest.mark.skipif(is_compiled, reason="the compiled keeper cannot be broken from outside; the interpreted run does")
class TestTheHistoriesCatchWhatIsBroken:
    def is_caught(self):
        for walk in WALKS:
            for warns in (False, True):
                with contextlib.suppress(AssertionError):
                    play(walk, warns=warns)
                    continue
                return True
        return False

    def test_nothing_is_broken_yet(self):
        assert not self.is_caught()

    def test_a_level_that_is_left_out_and_not_told(self, monkeypatch):
        monkeypatch.setattr(BookKeeper, "_leave_out", lambda self, event, receive_ns: self._become(LIVE, BookReason.NONE))
        assert self.is_caught()

    def test_a_halt_that_lasts(self, monkeypatch):
        real = BookKeeper.apply
        monkeypatch.setattr(BookKeeper, "apply", lambda self, event, ns: self.state is HALTED or real(self, event, ns))
        assert self.is_caught()

    def test_a_halt_that_nobody_tries_again(self, monkeypatch):
        monkeypatch.setattr(ResyncPacer, "retry", lambda self, reason, now_ns: None)
        assert self.is_caught()

    def test_an_ailment_that_is_told_at_each_snapshot(self, monkeypatch):
        def always(self):
            return (self.state, self.reason, "") if self.state is HALTED else None

        monkeypatch.setattr(BookKeeper, "ailment", always)
        assert self.is_caught()

    def test_one_that_is_never_told(self, monkeypatch):
        monkeypatch.setattr(BookKeeper, "ailment", lambda self: None)
        assert self.is_caught()

    def test_a_second_one_that_is_taken_for_the_first(self, monkeypatch):
        monkeypatch.setattr(BookKeeper, "tick", lambda self, now_ns, monotonic_ns: False)
        assert self.is_caught()

    def test_a_doubted_book_that_is_live_unasked(self, monkeypatch):
        def doubt(self, is_snapshot):
            self._become(LIVE, UNVERIFIED)

        monkeypatch.setattr(BookKeeper, "_doubt", doubt)
        assert self.is_caught()

    def test_a_right_snapshot_that_leaves_the_next_try_standing(self, monkeypatch):
        monkeypatch.setattr(ResyncPacer, "healed", lambda self, now_ns: None)
        assert self.is_caught()
