"""What a decoder asked for and is owed: `exchanges/subscriptions.py`."""

import orjson
import pytest

from alphapulse_cli.exchanges.subscriptions import MESSAGE_BYTES, Owed, batches, is_final

SECOND = 1_000_000_000


def frame_of(names):
    return orjson.dumps({"symbols": names})


def asked_at(owed, until_s, on_ask=lambda key, second: None):
    """The seconds at which `due` names anything."""
    found = []
    for second in range(until_s):
        for key in owed.due(second * SECOND)[0]:
            found.append(second)
            on_ask(key, second)
    return found


class TestBatches:
    @pytest.mark.parametrize("length", [3, 30, 300])
    def test_none_is_longer_than_the_bound_and_all_names_are_there_in_order(self, length):
        names = [f"{number:0{length}d}" for number in range(100)]
        cut = list(batches(names, 40, frame_of))
        assert [name for part, _ in cut for name in part] == names
        assert all(len(frame) <= MESSAGE_BYTES and len(part) <= 40 for part, frame in cut)
        assert all(frame == frame_of(part) for part, frame in cut)
        fullest = min(40, (MESSAGE_BYTES - 20) // (length + 3))
        assert len(cut) <= -(-100 // max(fullest - 1, 1))  # and they are few

    def test_a_name_that_is_too_long_alone_has_its_own(self):
        assert [part for part, _ in batches(["a", "b" * 5000, "c"], 9, frame_of)] == [["a"], ["b" * 5000], ["c"]]


class TestOwed:
    def test_silence_is_asked_again_for_ever_with_growing_pauses(self):
        owed = Owed[str]()
        owed.ask("BTC", 0)
        assert asked_at(owed, 300) == [10, 30, 70, 130, 190, 250]

    def test_an_unanswered_request_is_reported_once(self):
        owed = Owed[str]()
        owed.ask("BTC", 0)
        assert owed.due(10 * SECOND) == (["BTC"], ["BTC"])
        assert owed.due(30 * SECOND) == (["BTC"], [])

    def test_a_refusal_for_now_is_asked_again_soon_then_more_rarely(self):
        owed = Owed[str]()
        owed.refuse("BTC", 0, final=False)
        assert asked_at(owed, 300, lambda key, second: owed.refuse(key, second * SECOND, final=False)) == [
            1, 2, 3, 5, 9, 17, 33, 65, 125, 185, 245
        ]  # fmt: skip

    def test_a_final_refusal_is_requested_again_each_ten_minutes(self):
        owed = Owed[str]()
        owed.refuse("BTC", 0, final=True)
        assert asked_at(owed, 1300, lambda key, second: owed.refuse(key, second * SECOND, final=True)) == [600, 1200]

    def test_what_is_settled_is_asked_no_more(self):
        owed = Owed[str]()
        owed.ask("BTC", 0)
        owed.settle("BTC")
        assert asked_at(owed, 100) == []
        assert not owed.waits("BTC")

    def test_a_new_reason_begins_with_small_pauses(self):
        owed = Owed[str]()
        owed.ask("BTC", 0)
        owed.due(10 * SECOND)
        owed.due(30 * SECOND)
        owed.ask("BTC", 31 * SECOND)
        assert asked_at(owed, 42) == [41]

    def test_hurry_only_ever_shortens(self):
        owed = Owed[str]()
        owed.ask("BTC", 0)
        owed.hurry("BTC", 2 * SECOND)
        owed.hurry("BTC", 5 * SECOND)
        owed.hurry("ETH", 5 * SECOND)
        assert asked_at(owed, 5) == [2]


@pytest.mark.parametrize(
    ("message", "final"),
    [
        ("Currency pair not supported FOO/BAR", True),
        ("Subscription depth not supported", True),
        ("level2, level3, and full channels now require authentication.", True),
        ("FOO-BAR is not a valid product", True),
        ("Invalid symbol.", True),
        ("Exceeded msg rate", False),
        ("rate limit exceeded, try again later", False),
        ("EService:Unavailable", False),
        ("failure to subscribe", False),
        ("Internal server error", False),
        ("", False),
    ],
)
def test_which_refusals_are_for_good(message, final):
    assert is_final(message) is final
