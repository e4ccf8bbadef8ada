"""The state machine of `exchanges/subscriptions.py`: each promise of its docstring, then any order of what may happen, and mutants."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphapulse_cli.exchanges.subscriptions import (
    ANSWER_WITHIN_NS,
    FINAL_PAUSE_NS,
    GOOD,
    SUBSCRIBE,
    UNSUBSCRIBE,
    Patience,
    Standing,
    Subscriptions,
)

SECOND = 1_000_000_000
KEYS, MOST = ("A", "B", "C", "D", "E"), 2


def frame_of(number, verb, keys):
    return orjson.dumps([number, verb, keys])


def sent(subscriptions):
    """Requests that leave now: (number, verb, keys)."""
    return [tuple(orjson.loads(frame)) for frame in subscriptions.frames()]


@pytest.fixture
def asked():
    """Subscriptions whose first requests have left."""
    made = Subscriptions(KEYS, MOST, frame_of)
    made.start(0)
    assert [(verb, keys) for _, verb, keys in sent(made)] == [(SUBSCRIBE, ["A", "B"]), (SUBSCRIBE, ["C", "D"]), (SUBSCRIBE, ["E"])]
    return made


class TestRequests:
    def test_each_deadline_counts_from_the_time_at_which_its_message_can_leave(self):
        subscriptions = Subscriptions(KEYS, MOST, frame_of, spacing_ns=SECOND)
        assert subscriptions.start(0) == 3 * SECOND
        assert [subscriptions.tick(second * SECOND)[0] for second in (9, 10, 11, 12)] == [[], ["A", "B"], ["C", "D"], ["E"]]

    def test_what_was_live_is_ended_first_and_what_never_was_is_not(self, asked):
        asked.arrived("A")
        asked.ask_anew("A", 0)
        asked.refused("B", 0, final=False)
        asked.tick(SECOND)
        assert [(verb, keys) for _, verb, keys in sent(asked)] == [(UNSUBSCRIBE, ["A"]), (SUBSCRIBE, ["A"]), (SUBSCRIBE, ["B"])]

    def test_an_answer_is_found_by_its_request_until_it_is_over(self, asked):
        assert asked.request_of("2") == (SUBSCRIBE, ["C", "D"])
        assert asked.request_of("2", is_over=True) == (SUBSCRIBE, ["C", "D"])
        assert [asked.request_of(strange) for strange in ("2", "99", 1, None, ["1"])] == [None] * 5

    def test_alone_until_it_arrives(self, asked):
        asked.ask_again(["A", "B"], 0, alone=True)
        assert [keys for _, _, keys in sent(asked)] == [["A"], ["B"]]
        asked.arrived("A")
        asked.ask_again(["A", "B", "C"], 0)
        assert [keys for _, _, keys in sent(asked)] == [["A", "C"], ["B"]]


class TestStandings:
    def test_a_live_one_that_is_refused_goes_on_and_is_not_ended(self, asked):
        asked.arrived("A")
        asked.refused("A", 0, final=False)
        asked.tick(SECOND)
        assert asked.is_good("A")
        assert [(verb, keys) for _, verb, keys in sent(asked)] == [(SUBSCRIBE, ["A"])]

    def test_only_a_live_one_is_confirmed_and_still_counts(self, asked):
        asked.arrived("A")
        assert (asked.confirm("A", 0), asked.confirm("A", 0), asked.confirm("B", 0), asked.confirm("Z", 0)) == (True, *[False] * 3)
        assert asked.is_good("A")
        assert [(verb, keys) for _, verb, keys in sent(asked)] == [(UNSUBSCRIBE, ["A"]), (SUBSCRIBE, ["A"])]

    def test_already_subscribed_is_an_ack_of_what_is_live_only(self, asked):
        asked.arrived("A")
        asked.already_there("A", 0)
        asked.already_there("B", 0)
        assert (asked.standings["A"], asked.standings["B"]) == (Standing.LIVE, Standing.HEALING)
        assert [(verb, keys) for _, verb, keys in sent(asked)] == [(UNSUBSCRIBE, ["B"]), (SUBSCRIBE, ["B"])]

    def test_refused_for_good_heals_by_its_data(self, asked):
        asked.arrived("A")
        asked.refused("A", 0, final=True)
        assert not asked.is_good("A")
        asked.arrived("A")
        assert asked.is_good("A")


def test_a_second_refusal_for_our_rate_within_two_seconds_slows_down():
    patience = Patience()
    assert [patience.is_over(second * SECOND) for second in (10, 11, 14, 15)] == [False, True, False, True]


# Any order

STEPS = st.tuples(
    st.sampled_from(
        ["data", "already", "refuse", "refuse for good", "refuse the request", "refuse all", "wrong", "confirm", "send"]
    ),
    st.sampled_from(KEYS),
) | st.tuples(st.sampled_from(["time", "connect"]), st.integers(1, 90))
HISTORIES = st.lists(STEPS, max_size=60)


class Exchange:
    """The other side of one connection, and what has been promised to it: it asserts after each step."""

    def __init__(self, machine):
        self.machine = machine(KEYS, MOST, frame_of)
        self.now_ns = 0
        self.in_flight = {}  # key -> time of its request, until there is an answer, data, or a reason for another
        self.machine.start(0)

    def take(self):
        """Let what is queued leave."""
        requests = sent(self.machine)
        assert all(0 < len(keys) <= MOST for _, _, keys in requests)
        ended = {}
        for place, (number, verb, keys) in enumerate(requests):
            if verb == UNSUBSCRIBE:
                assert requests[place + 1][1:] == (SUBSCRIBE, keys), "what is ended is begun next"
                ended.update(dict.fromkeys(keys))
                continue
            for key in keys:
                since = self.in_flight.get(key)
                assert since is None or self.now_ns - since >= ANSWER_WITHIN_NS, f"{key} has two requests in flight"
                assert key in ended or self.machine.standings[key] is not Standing.HEALING or self.was_refused(key)
                assert key not in ended or self.machine.standings[key] is not Standing.LIVE, f"{key} is LIVE, and was ended"
                self.in_flight[key] = self.now_ns
            assert self.machine.request_of(str(number)) == (SUBSCRIBE, keys)
        return requests

    def was_refused(self, key):
        return self.machine._owed.was_refused(key) or key in self.asked_for_another

    asked_for_another: frozenset[str] = frozenset()

    def over(self, key):
        self.in_flight.pop(key, None)
        self.asked_for_another -= {key}

    def step(self, what, of):
        """One thing happens; a collector sends what is queued before it hears an answer."""
        machine, before = self.machine, dict(self.machine.standings)
        if what.startswith(("refuse", "already")):
            self.take()
        match what:
            case "data":
                machine.arrived(of)
                self.over(of)
                assert machine.standings[of] is Standing.LIVE
            case "already":
                machine.already_there(of, self.now_ns)
                self.over(of)
            case "refuse" | "refuse for good":
                machine.refused(of, self.now_ns, final=what == "refuse for good")
                self.over(of)
            case "refuse the request":
                keys = [key for key in dict.fromkeys((of, KEYS[0])) if key in self.in_flight]
                machine.ask_again(keys, self.now_ns, alone=True)
                for key in keys:
                    self.over(key)
                self.asked_for_another |= set(keys)
            case "refuse all":
                for key in KEYS:
                    if machine.waits(key):
                        self.over(key)
                machine.all_refused(self.now_ns)
            case "wrong":
                if machine.is_good(of):
                    machine.ask_anew(of, self.now_ns)
                    self.over(of)
            case "confirm":
                if machine.confirm(of, self.now_ns):
                    self.over(of)
            case "send":
                self.take()
            case "time":
                self.now_ns += of * SECOND
                self.tick()
            case "connect":
                self.in_flight.clear()
                self.asked_for_another = frozenset()
                machine.start(self.now_ns)
                assert set(machine.standings.values()) == {Standing.ASKED}
        if what not in ("time", "connect", "refuse the request", "refuse all"):
            others = {key for key in KEYS if machine.standings[key] is not before[key]} - {of}
            assert not others, f"{what} of {of} changed {others}"
        for key, standing in machine.standings.items():
            assert standing is Standing.LIVE or machine.waits(key), f"{key} is {standing.value}, and forgotten"

    def tick(self):
        again, unreported = self.machine.tick(self.now_ns)
        assert set(unreported) <= set(again)

    def end_well(self):
        """From now on every request is answered with data: in ten minutes all must be LIVE, and nothing more is requested."""
        for _ in range(FINAL_PAUSE_NS // SECOND // 10 + 2):
            for _, verb, keys in self.take():
                for key in keys if verb == SUBSCRIBE else ():
                    self.step("data", key)
            self.now_ns += 10 * SECOND
            self.tick()
        assert set(self.machine.standings.values()) == {Standing.LIVE}
        assert sent(self.machine) == []
        assert all(self.machine.is_good(key) for key in KEYS)


def play(machine, history):
    exchange = Exchange(machine)
    for what, of in history:
        exchange.step(what, of)
    exchange.end_well()


@given(HISTORIES)
def test_in_any_order_nothing_is_forgotten_doubled_or_ended_without_need(history):
    play(Subscriptions, history)


class Forgets(Subscriptions[str]):
    """Owes nothing any more for what was refused with another."""

    def ask_again(self, keys, now_ns, *, alone=False):
        super().ask_again(keys, now_ns, alone=alone)
        for key in keys:
            self._owed.settle(key)
            self._waiting.pop(key)


class GivesUpTheRefused(Subscriptions[str]):
    """Takes a refusal for good for the last word."""

    def refused(self, key, now_ns, *, final):
        super().refused(key, now_ns, final=final)
        if final:
            self._owed.settle(key)


class Doubles(Subscriptions[str]):
    """Requests everything that waits whenever something is due."""

    def tick(self, now_ns):
        due = super().tick(now_ns)
        if due[0]:
            self._waiting.update(dict.fromkeys(self._owed.everything(), True))
        return due


class EndsTheLive(Subscriptions[str]):
    """Ends a LIVE subscription for a refusal that concerned another request."""

    def tick(self, now_ns):
        due = super().tick(now_ns)
        self._waiting.update(dict.fromkeys(due[0], True))
        return due


class RefusesAllForOne(Subscriptions[str]):
    """One bad key costs the others."""

    def refused(self, key, now_ns, *, final):
        for each in self.standings:
            super().refused(each, now_ns, final=final)


class KeepsTheQueue(Subscriptions[str]):
    """Still requests what has arrived meanwhile."""

    def arrived(self, key):
        queued = dict(self._waiting)
        super().arrived(key)
        self._waiting = queued


class BeginsWithoutAnEnd(Subscriptions[str]):
    """Heals without ending what is wrong."""

    def ask_anew(self, key, now_ns, standing=Standing.HEALING):
        super().ask_anew(key, now_ns, standing)
        self._waiting[key] = False


class RemembersTheConnection(Subscriptions[str]):
    """Starts with the states of the last connection."""

    def start(self, now_ns):
        before = dict(self.standings)
        at = super().start(now_ns)
        self.standings.update({key: standing for key, standing in before.items() if standing in GOOD})
        return at


A_IS_LIVE = [("send", "A"), ("data", "A")]
MUTANTS = {  # each with a history that shows it
    Forgets: [("refuse the request", "A")],
    GivesUpTheRefused: [("refuse for good", "A")],
    Doubles: [*A_IS_LIVE, ("time", 5), ("wrong", "A"), ("send", "A"), ("time", 6)],
    EndsTheLive: [*A_IS_LIVE, ("refuse", "A"), ("time", 1)],
    RefusesAllForOne: [("refuse for good", "A")],
    KeepsTheQueue: [*A_IS_LIVE, ("wrong", "A"), ("data", "A")],
    BeginsWithoutAnEnd: [*A_IS_LIVE, ("wrong", "A")],
    RemembersTheConnection: [*A_IS_LIVE, ("connect", 1)],
}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_a_mutant_is_found(mutant):
    play(Subscriptions, MUTANTS[mutant])
    with pytest.raises(AssertionError):
        play(mutant, MUTANTS[mutant])
