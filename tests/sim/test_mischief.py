"""Mischief: how it is written, when it strikes, what it does to frames."""

import pytest

from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.sim.mischief import (
    DEFAULT_PROBABILITY,
    DEFAULT_STALL_S,
    GARBAGE_FRAME,
    KINDS,
    MAX_ARMED,
    UNKNOWN_FRAME,
    Mischief,
    Scenario,
    parse_mischief,
)

BTC = Instrument("kraken", "BTC-USD", "BTC/USD", 1, 8)
CHANGES = [(632994, 5, False), (632995, 0, True)]


def mangle(kind, frames, changes=CHANGES, mischief=None):
    return (mischief or Mischief([], 1)).mangle(kind, frames, "BTC-USD", changes, BTC)


class TestHowItIsWritten:
    """kind[:probability[:seconds]], by commas."""

    def test_a_list_of_kinds_with_their_probabilities(self):
        """Defaults where nothing is said, blanks where people put them."""
        assert parse_mischief("gap, checksum:0.5,stall:0.001:2.5") == [
            Scenario("gap", DEFAULT_PROBABILITY),
            Scenario("checksum", 0.5),
            Scenario("stall", 0.001, 2.5),
        ]
        assert parse_mischief("mute:ETH-USD,gap:BTC-USD:0.5") == [
            Scenario("mute", symbol="ETH-USD"),
            Scenario("gap", 0.5, symbol="BTC-USD"),
        ]
        assert parse_mischief("") == []
        with pytest.raises(UsageError, match="unknown mischief: ''"):
            parse_mischief("gap,")

    @pytest.mark.parametrize("kind", KINDS)
    def test_every_kind_can_be_written(self, kind):
        """One word each."""
        assert parse_mischief(kind) == [Scenario(kind, DEFAULT_PROBABILITY, DEFAULT_STALL_S)]

    @pytest.mark.parametrize(("text", "hint"), [("chekcsum", "checksum"), ("gapp", "gap"), ("xyzzy", "disconnect")])
    def test_an_unknown_kind_is_refused_with_the_nearest(self, text, hint):
        """Or with all of them where none is near."""
        with pytest.raises(UsageError, match="unknown mischief") as refused:
            parse_mischief(text)
        assert hint in refused.value.hint

    @pytest.mark.parametrize(
        "text", ["gap:2", "gap:-0.1", "gap:x", "gap:", "gap:nan", "gap:0.1:3", "stall:0.1:-1", "stall:0.1:1:1"]
    )
    def test_an_impossible_number_is_refused(self, text):
        """Nothing is guessed."""
        with pytest.raises(UsageError):
            parse_mischief(text)


class TestWhenItStrikes:
    """Armed mischief at once, the rest by seeded dice."""

    def test_dice_are_seeded(self):
        """The same seed draws the same; about as often as it says."""
        draws = []
        for seed in (1, 1, 2):
            mischief = Mischief([Scenario("gap", 0.25)], seed)
            draws.append([mischief.draw("BTC-USD") is not None for _ in range(2000)])
        assert draws[0] == draws[1] != draws[2]
        assert 400 < sum(draws[0]) < 600

    def test_what_is_armed_waits_for_its_symbol_and_is_spent_once(self):
        """Whatever the dice say."""
        mischief = Mischief([], 1)
        mischief.arm("gap", "ETH-USD")
        assert mischief.draw("BTC-USD") is None
        drawn = mischief.draw("ETH-USD")
        assert drawn == Scenario("gap", 1.0, symbol="ETH-USD")
        mischief.spend(drawn)
        assert mischief.draw("ETH-USD") is None

    def test_no_more_is_armed_than_the_bound(self):
        """Nothing grows for ever."""
        mischief = Mischief([], 1)
        for _ in range(MAX_ARMED):
            mischief.arm("gap")
        with pytest.raises(UsageError, match=str(MAX_ARMED)):
            mischief.arm("gap")

    def test_arming_an_unknown_kind_is_refused(self):
        """As writing one is."""
        with pytest.raises(UsageError):
            Mischief([], 1).arm("gop")


class TestWhatItDoesToFrames:
    """Frame by frame."""

    def test_each_kind_about_whole_frames(self):
        """Gap, duplicate, garbage and unknown; others leave frames alone."""
        assert mangle("gap", [b"a", b"b"]) == [b"a"]
        assert mangle("duplicate", [b"a", b"b"]) == [b"a", b"b", b"b"]
        assert mangle("garbage", [b"a"]) == [GARBAGE_FRAME, b"a"]
        assert mangle("unknown", [b"a"]) == [UNKNOWN_FRAME, b"a"]
        for kind in ("", "checksum", "flood", "stall", "disconnect"):
            assert mangle(kind, [b"a"]) == [b"a"]

    def test_reorder_sends_a_frame_after_the_next_of_its_symbol(self):
        """Held back, not lost; another symbol's update does not free it."""
        mischief = Mischief([], 1)
        assert mangle("reorder", [b"1"], mischief=mischief) == []
        assert mischief.mangle("", [b"x"], "ETH-USD", [], BTC) == [b"x"]
        assert mangle("", [b"2"], mischief=mischief) == [b"2", b"1"]
        assert mangle("", [b"3"], mischief=mischief) == [b"3"]

    @pytest.mark.parametrize(
        ("frame", "expected"),
        [
            (b'{"price":63299.4,"qty":0.00000005}', b'{"price":63299.401,"qty":0.00000005}'),
            (b'{"price_level":"63299.4","new_quantity":"0"}', b'{"price_level":"63299.401","new_quantity":"0"}'),
            (b'{"b":[["63299.50000000","0.1"]]}', b'{"b":[["63299.501","0.1"]]}'),
            (b'{"ts":"2026-08-12T19:27:47Z","s":"BTC63299.4"}', b'{"ts":"2026-08-12T19:27:47Z","s":"BTC63299.4"}'),
        ],
    )
    def test_offgrid_makes_one_changed_price_finer(self, frame, expected):
        """By a hundredth of a tick, in whichever way the protocol writes numbers; nothing else is touched."""
        assert mangle("offgrid", [frame]) == [expected]

    def test_the_frames_it_adds_are_what_they_claim(self):
        """One is no JSON, the other is."""
        import orjson

        assert orjson.loads(UNKNOWN_FRAME)["type"] == "mystery"
        with pytest.raises(orjson.JSONDecodeError):
            orjson.loads(GARBAGE_FRAME)
