"""Alarms on rows: what can be typed, what passes them, when they are told, and what the user's command gets."""

import json
import sys
from dataclasses import replace
from fractions import Fraction

import pytest
from support.tui_pictures import book, picture, running_app

from alphapulse_cli.edges.hook import MOST_RUNNING, Hook
from alphapulse_cli.tui.alarms import (
    ARBITRAGE,
    BOOK,
    EXAMPLES,
    KEY_LENGTHS,
    LATENCY,
    MOST_ALARMS,
    QUIET_NS,
    UNITS,
    Alarm,
    Alarms,
    about,
    parse,
)
from alphapulse_cli.tui.preferences import Preferences
from alphapulse_cli.wire.delta import BookState

SECOND = 1_000_000_000
KEY = ("kraken", "BTC-USD")


def at(seconds, *books):
    return replace(picture(*books), taken_ns=int(seconds * SECOND))


def alarms(text, state=None):
    made = Alarms(state or Preferences(None))
    made.put(BOOK, KEY, text)
    return made


class TestText:
    @pytest.mark.parametrize(
        ("text", "alarm"),
        [
            ("spread > 5", Alarm("spread", ">", Fraction(5))),
            (" BID<64,000.10 ", Alarm("bid", "<", Fraction("64000.10"))),
            ("not  live", Alarm("not live", ">", Fraction(2))),
        ],
    )
    def test_is_a_name_a_sign_and_a_number(self, text, alarm):
        assert parse(BOOK, text) == alarm

    @pytest.mark.parametrize(
        "text", ["", "bid", "bid > ", "bid = 5", "bid > 1e9", "bid > x", "bad > 5", "net > 5", "bid > \u0661", "bid > 5; rm"]
    )
    def test_anything_else_says_what_it_could_be(self, text):
        with pytest.raises(ValueError, match="one of bid, ask, spread"):
            parse(BOOK, text)

    def test_an_arbitrage_row_has_values_of_its_own(self):
        assert parse(ARBITRAGE, "net > -1.5") == Alarm("net", ">", Fraction(-3, 2))
        with pytest.raises(ValueError, match="one of net, raw, profit"):
            parse(ARBITRAGE, "not live")

    def test_every_scope_has_names_an_example_that_is_one_and_a_length(self):
        assert UNITS.keys() == KEY_LENGTHS.keys() == EXAMPLES.keys()
        for scope, examples in EXAMPLES.items():
            for example in examples.split(", "):
                assert parse(scope, example).what in UNITS[scope]
                assert example in about(scope)
        assert parse(LATENCY, "p99.9 > 1").what == "p99.9"
        with pytest.raises(ValueError, match="one of p50"):
            parse(LATENCY, "not live")


class TestChecks:
    def test_it_is_told_once_when_it_is_passed_and_again_after_it_was_not(self):
        made = alarms("bid > 100.00")
        assert made.check(at(1, book(bid="100.00"))) == []
        assert made.check(at(2, book(bid="100.005"))) == ["kraken BTC-USD: bid > 100.00 (it is 100.005)"]
        assert made.is_passed(BOOK, KEY)
        assert made.check(at(3, book(bid="101.00"))) == []
        assert made.check(at(4, book(bid="99.00"))) == []
        assert not made.is_passed(BOOK, KEY)
        assert len(made.check(at(30, book(bid="101.00")))) == 1

    def test_a_price_at_the_limit_rings_no_storm(self):
        made = alarms("bid > 100.00")
        told = [made.check(at(t / 10, book(bid="100.01" if t % 2 else "99.99"))) for t in range(200)]
        assert sum(map(len, told)) == 20 * SECOND // QUIET_NS

    def test_only_its_own_row_passes_it(self):
        made = alarms("bid > 1")
        assert made.check(at(1, book("coinbase"), book("kraken", "ETH-USD"))) == []

    def test_a_book_that_is_not_live_has_no_prices(self):
        assert alarms("bid > 1").check(at(1, book(state=BookState.STALE))) == []

    @pytest.mark.parametrize("gone", [(), (book(state=BookState.STALE),)], ids=["no such book", "stale"])
    def test_not_live_is_told_after_two_seconds_of_it_also_of_a_book_that_is_gone(self, gone):
        made = alarms("not live")
        told = [made.check(at(t, *books)) for t, books in ((1, [book()]), (2, gone), (3.9, gone), (4.1, gone), (5, gone))]
        assert told == [[], [], [], ["kraken BTC-USD: not live"], []]
        assert made.check(at(6, book())) == []
        assert not made.is_passed(BOOK, KEY)


class TestMemory:
    def test_they_are_there_in_the_next_run_and_taken_back_for_good(self, tmp_path):
        path = tmp_path / "tui.json"
        alarms("spread > 5", Preferences(path))
        assert Alarms(Preferences(path)).text_of(BOOK, KEY) == "spread > 5"
        Alarms(Preferences(path)).put(BOOK, KEY, "")
        assert Alarms(Preferences(path)).text_of(BOOK, KEY) == ""
        assert json.loads(path.read_text()) == {}

    def test_what_is_not_understood_is_none(self, tmp_path):
        path = tmp_path / "tui.json"
        path.write_text(
            json.dumps({"alarm|book|a|B-C": "moon > 5", "alarm|book|a": "bid > 5", "alarm|x|a|b": "bid > 5", "alarm": "x"})
        )
        assert Alarms(Preferences(path)).check(at(1, book("a", "B-C"))) == []

    def test_they_are_bounded(self):
        made = Alarms(Preferences(None))
        for number in range(MOST_ALARMS):
            made.put(BOOK, ("s", str(number)), "bid > 1")
        with pytest.raises(ValueError, match="which is the most"):
            made.put(BOOK, ("s", "more"), "bid > 1")
        made.put(BOOK, ("s", "1"), "bid > 2")


WRITES = "import sys, json; open(sys.argv[1], 'w').write(json.dumps(sys.argv[2:]))"


class TestHook:
    @pytest.mark.parametrize("text", ["$(touch x) `id` ; rm *", "\x1b]0;x\x07 \u202e", "--option", "a\0b\nc"])
    def test_it_gets_one_argument_more_printable_and_never_an_option(self, tmp_path, text):
        told = tmp_path / "told"
        hook = Hook([sys.executable, "-c", WRITES, str(told), "--mine"])
        assert hook.run(text) == ""
        assert hook.running[0].wait(30) == 0
        mine, said = json.loads(told.read_text())
        assert mine == "--mine"
        assert said.startswith("alphapulse: ")
        assert said.isprintable()
        assert said.count("$(touch x)") == text.count("$(touch x)")  # nothing was expanded

    def test_what_cannot_be_run_is_said(self, tmp_path):
        assert "cannot be run: No such file" in Hook([str(tmp_path / "none")]).run("x")
        assert Hook([]).run("x") == ""

    def test_commands_that_do_not_end_are_bounded(self):
        hook = Hook([sys.executable, "-c", "import time; time.sleep(60)"])
        try:
            assert [hook.run("x") for _ in range(MOST_RUNNING)] == [""] * MOST_RUNNING
            assert "have not ended" in hook.run("x")
        finally:
            for one in hook.running:
                one.kill()
                one.wait()


class TestScreen:
    async def test_a_is_asked_checked_shown_and_rings(self, tmp_path, monkeypatch):
        told = tmp_path / "told"

        async with running_app(size=(120, 40), on_alarm=[sys.executable, "-c", WRITES, str(told)]) as tui:
            bells = []
            monkeypatch.setattr(tui.app, "bell", lambda: bells.append(1))
            await tui.give(picture(book("kraken", bid="100.00", ask="100.01")))
            await tui.press("a", *"bid > x", "enter")
            assert "not an alarm: 'bid > x'" in "\n".join(tui.lines())
            await tui.press("backspace", *"100", "enter")
            assert "alarm: bid > 100" in "\n".join(tui.lines())
            assert not bells
            await tui.give(picture(book("kraken", bid="100.50", ask="100.51")))
            await tui.settle()
            assert bells == [1]
            text = "\n".join(tui.lines())
            assert "!BTC-USD" in text
            assert [one.message for one in tui.app._notifications] == ["kraken BTC-USD: bid > 100 (it is 100.5)"]
            assert tui.app.hook.running[0].wait(30) == 0
            assert json.loads(told.read_text()) == ["alphapulse: kraken BTC-USD: bid > 100 (it is 100.5)"]

    async def test_it_rings_on_any_screen_and_while_paused(self, monkeypatch):
        async with running_app() as tui:
            bells = []
            monkeypatch.setattr(tui.app, "bell", lambda: bells.append(1))
            await tui.give(picture(book("kraken", bid="100.00")))
            tui.app.alarms.put(BOOK, KEY, "bid > 100")
            await tui.press("4", "p")
            await tui.give(picture(book("kraken", bid="100.50")))
            assert bells == [1]
