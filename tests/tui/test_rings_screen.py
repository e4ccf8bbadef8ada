"""The rings screen: segments and their readers, what is wrong with them, the counters of the set, and the keys."""

from dataclasses import replace
from typing import Any

import pytest
from support.tui_pictures import book, picture, running_app

from alphapulse_cli.apps.segments import ReaderRow, SegmentRow
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.tui.alarms import RING, Alarms
from alphapulse_cli.tui.preferences import Preferences
from alphapulse_cli.tui.screens.rings import RingsScreen
from alphapulse_cli.tui.widgets.counters import COUNTERS, TROUBLE, counter_lines, detail_lines, meaning

SIZES = [(80, 24), (120, 40), (300, 100)]


def segment(set_name, kind, symbol="", **more):
    name = f"{set_name}_book_{symbol}" if symbol else f"{set_name}_{kind}"
    known: dict[str, Any] = {
        "state": "live",
        "pid": 4242,
        "epoch": 1_795_408_839,
        "bytes": 4_198_400,
        "capacity": 16_384,
        "heartbeat_age_s": 0.1,
    }
    return SegmentRow(name, set_name, kind, symbol, **(known | more))


def reader(label="tail", lag=12, missed=0, alive=True, pid=77):
    return ReaderRow(pid, label, "kraken_deltas", lag, missed, alive)


SEGMENTS = (
    segment("coinbase", "book", "BTC-USD", book_state="STALE", levels=45_810, state="silent", heartbeat_age_s=65.0),
    segment("coinbase", "deltas", published=12_345_678, records_per_s=1_234.0, state="silent", pid=5),
    segment("kraken", "book", "BTC-USD", book_state="LIVE", levels=20),
    segment("kraken", "counters"),
    segment("kraken", "deltas", published=4_365, records_per_s=63.0, readers=[reader(), reader("arb", 9_000, 31, alive=False)]),
    SegmentRow("kraken_trades", "kraken", "trades", problem="not a segment: bad magic"),
)


def shown(*segments, **totals):
    made = picture(book(), book("coinbase"), segments=segments or SEGMENTS)
    counted = {counter.label: 0 for counter in Counter} | {"frames": 5_449} | totals
    return replace(made, sets=tuple(replace(one, status=replace(one.status, totals=counted)) for one in made.sets))


def rings(given=None, size=SIZES[1], **arguments):
    """The app with the rings screen in front."""
    return running_app(size, given=given, screen="rings", **arguments)


def table(tui):
    return [tui.screen.table.render_line(y).text for y in range(tui.screen.table.size.height)]


def line_of(tui, *words):
    (line,) = [line for line in table(tui) if all(word in line for word in words)]
    return line


def details(tui):
    return said(tui.screen.query_one("#counters").lines())


def said(lines):
    return "\n".join("".join(text for text, _ in line) for line in lines)


def order(tui):
    return [key[0] for key in (row.key for row in tui.screen.table.rows) if not key[1]]


class TestTheTable:
    @pytest.mark.parametrize("size", SIZES)
    async def test_a_segment_says_what_it_is_at_every_size(self, size):
        async with rings(given=shown(), size=size) as tui:
            assert line_of(tui, "kraken", "deltas", "live").split()[:8] == [
                "kraken",
                "deltas",
                "live",
                "4,365",
                "records",
                "63",
                "/s",
                "4.00",
            ]
            assert "45,810 levels        STALE" in line_of(tui, "coinbase", "BTC-USD", "silent")
            assert "12.3 M records" in line_of(tui, "coinbase", "deltas")
            for title, from_width in (("beat", 120), ("pid", 120), ("room for", 120), ("began", 120), ("file", 300)):
                assert (title in table(tui)[0]) is (size[0] >= from_width)

    @pytest.mark.parametrize("size", SIZES)
    async def test_readers_are_beneath_their_ring_with_their_lag(self, size):
        async with rings(given=shown(), size=size) as tui:
            lines = table(tui)
            at = next(y for y, line in enumerate(lines) if line.startswith("kraken") and "deltas" in line)
            assert lines[at + 1].split() == ["└", "tail", "reads", "12", "behind,", "0", "missed,", "pid", "77"]
            assert lines[at + 2].split() == ["└", "arb", "dead", "9,000", "behind,", "!", "31", "missed,", "pid", "77"]

    @pytest.mark.parametrize("size", SIZES)
    async def test_a_damaged_file_says_why_in_its_row(self, size):
        async with rings(given=shown(), size=size) as tui:
            assert "damaged   not a segment: bad magic" in line_of(tui, "kraken", "trades")

    async def test_what_others_wrote_is_escaped(self):
        hostile = segment("kraken", "deltas", readers=[reader("\x1b[2Jx")])

        async with rings(given=shown(hostile)) as tui:
            assert "\\x1b[2Jx" in line_of(tui, "reads")
            assert "\\x1b[2Jx" in "".join(
                text for y in range(6) for text in [tui.screen.query_one("#counters").render_line(y).text]
            )
            assert "\x1b" not in tui.screen.copy_text()

    async def test_a_reader_of_a_ring_that_was_replaced_says_so(self):
        async with rings(given=shown(segment("kraken", "deltas", readers=[reader(lag=None)]))) as tui:
            assert "reads a ring that was replaced, 0 missed" in line_of(tui, "└ tail")
            assert "reads a ring that was replaced" in details(tui)

    async def test_without_segments_it_says_what_to_do(self):
        async with rings(given=picture(advice="Nothing is collected")) as tui:
            assert "Nothing is collected" in " ".join(table(tui))
            assert not tui.screen.query_one("#details").display
            await tui.give(picture())
            assert "alphapulse demo" in " ".join(table(tui))
            await tui.give(picture(book()))
            assert "Looking at the segments" in " ".join(table(tui))


class TestTheOrder:
    async def test_rings_first_then_counters_then_books_of_each_set(self):
        async with rings(given=shown()) as tui:
            assert order(tui) == [
                "coinbase_deltas",
                "coinbase_book_BTC-USD",
                "kraken_deltas",
                "kraken_trades",
                "kraken_counters",
                "kraken_book_BTC-USD",
            ]

    @pytest.mark.parametrize(
        ("name", "first", "last"),
        [
            ("part", "coinbase_book_BTC-USD", "kraken_trades"),
            ("state", "kraken_trades", "coinbase_book_BTC-USD"),
            ("contents", "coinbase_deltas", "kraken_trades"),
            ("now", "coinbase_deltas", "kraken_trades"),
            ("size", "coinbase_deltas", "kraken_trades"),
            ("beat", "coinbase_book_BTC-USD", "kraken_trades"),
            ("pid", "coinbase_deltas", "kraken_trades"),
        ],
    )
    async def test_o_sorts_by_each_column_and_damaged_files_have_no_figures(self, name, first, last):
        async with rings(given=shown()) as tui:
            while tui.screen.sorting[0] != name:
                await tui.press("o")
            assert (order(tui)[0], order(tui)[-1]) == (first, last)

    async def test_a_click_on_a_title_sorts_and_another_turns_it_round(self):
        async with rings(given=shown()) as tui:
            for turned in (True, False):
                await tui.pilot.click("#table", offset=(1, 0))
                assert order(tui)[0].startswith("kraken" if turned else "coinbase")

    async def test_where_a_column_has_no_room_o_skips_it(self):
        async with rings(given=shown(), size=SIZES[0]) as tui:
            seen = set()
            for _ in RingsScreen.SORTS:
                await tui.press("o")
                seen.add(tui.screen.sorting[0])
            assert seen == {"set", "part", "state", "contents", "now", "size"}

    async def test_the_filter_leaves_segments_and_readers_with_its_words(self):
        async with rings(given=shown()) as tui:
            await tui.press("slash", *"arb")
            await tui.press("enter")
            assert [row.key[1] for row in tui.screen.table.rows] == [(), (1, 77, "arb")]
            tui.screen.filter = "nothing like it"
            await tui.settle()
            assert "esc ends the filter" in " ".join(table(tui))


class TestTheDetails:
    @pytest.mark.parametrize("size", SIZES)
    async def test_they_are_of_the_segment_under_the_cursor_and_of_its_set(self, size):
        async with rings(given=shown(), size=size) as tui:
            assert "coinbase_deltas silent, heartbeat 0.1 s ago, writer 5" in details(tui)
            assert "coinbase 12 deltas/s" in details(tui)
            await tui.press("j", "j")
            assert "kraken_deltas live" in details(tui)
            assert "tail (77): keeps up, 12 of 16,384 behind, 0 missed" in details(tui)
            assert "arb (77, dead): falls behind, 9,000 of 16,384 behind, ! 31 missed" in details(tui)
            assert "frames             5,449" in details(tui)

    async def test_every_key_of_the_table_moves_them(self):
        async with rings(given=shown()) as tui:
            for key, name in (
                ("end", "kraken_book"),
                ("home", "coinbase_deltas"),
                ("pagedown", "kraken_book"),
                ("pageup", "coinbase"),
            ):
                await tui.press(key)
                assert f" {name}" in details(tui).splitlines()[0]
            await tui.press("down", "down", "up", "k")
            assert " coinbase_deltas" in details(tui).splitlines()[0]

    async def test_a_damaged_file_and_a_set_without_counters_say_so(self):
        lone = replace(shown(), sets=())

        async with rings(given=lone) as tui:
            await tui.press(*"jjjjj")
            assert "kraken_trades damaged: not a segment: bad magic" in details(tui)
            assert "no counters can be read" in details(tui)

    async def test_enter_makes_them_large_with_what_each_counter_means(self):
        async with rings(given=shown(), size=SIZES[0]) as tui:
            assert "more: enter" in details(tui)
            await tui.press("enter")
            assert not tui.screen.table.display
            await tui.pilot.resize_terminal(80, 50)
            await tui.settle()
            assert "frames             5,449  received from the exchange" in details(tui)
            await tui.press("enter")
            assert tui.screen.table.display

    def test_what_went_wrong_comes_first_with_a_sign(self):
        lines = said(counter_lines({"frames": 5_449, "gaps": 3}, 100, 20)).split()
        assert lines[:5] == ["!", "gaps", "3", "frames", "5,449"]

    def test_a_feed_delay_below_zero_stays_one(self):
        assert "feed_delay_us    -794 µs" in said(counter_lines({"feed_delay_us": -794}, 100, 20))

    @pytest.mark.parametrize("width", [20, 58, 80, 130])
    @pytest.mark.parametrize("height", [0, 1, 5, 40])
    def test_every_counter_is_shown_or_counted_and_none_is_cut(self, width, height):
        text = said(counter_lines({one.label: 7 for one in COUNTERS}, width, height))
        there = sum(one.label in text.split() for one in COUNTERS)
        missing = len(COUNTERS) - there
        assert not height or not missing or f"{missing} more" in text

    @pytest.mark.parametrize("height", range(12))
    def test_they_never_take_more_than_their_room(self, height):
        status = shown().sets[0].status
        lines = detail_lines(SEGMENTS[4], status, 50, height)
        assert len(lines) <= height
        assert all(sum(len(text) for text, _ in line) == 50 for line in lines)

    def test_every_counter_has_its_meaning_once(self):
        assert meaning(Counter.FRAMES) == "received from the exchange"
        assert meaning(Counter.CROSSED).startswith("updates after which")
        assert set(COUNTERS) >= TROUBLE


async def test_what_is_copied_is_the_whole_table():
    async with rings(given=shown(), size=SIZES[0]) as tui:
        lines = tui.screen.copy_text().splitlines()
        assert len(lines) == 1 + 6 + 2
        assert "kraken\ttrades\tdamaged\tnot a segment: bad magic" in lines


class TestColumnsAndAlarms:
    async def test_columns_are_chosen_and_ordered(self):
        async with rings(given=shown()) as tui:
            await tui.press("c")
            tui.screen.query_one("Input").value = "part now state"
            await tui.press("enter")
            assert table(tui)[0].split() == ["segment", "now", "state"]

    @pytest.mark.parametrize(
        ("text", "passed"),
        [("lag > 8999", True), ("lag > 9000", False), ("missed > 30", True), ("rate < 64", True), ("beat > 2", False)],
    )
    async def test_a_ring_has_its_readers_worst_and_its_own_rate(self, text, passed):
        async with rings() as tui:
            tui.app.alarms.put(RING, ("kraken_deltas",), text)
            await tui.give(shown())
            marked = [line for line in table(tui) if "!deltas" in line]
            assert bool(marked) == passed == tui.app.alarms.is_passed(RING, ("kraken_deltas",))
            assert len(marked) <= 1, "its own row, not its readers'"

    def test_a_segment_that_is_silent_or_gone_is_not_live(self):
        made = Alarms(Preferences(None))
        names = ("coinbase_deltas", "kraken_deltas", "gone_deltas")
        for name in names:
            made.put(RING, (name,), "not live")
        at = replace(shown(), taken_ns=10**9)
        assert made.check(at) == []
        told = made.check(replace(at, taken_ns=10**9 * 4))
        assert told == ["coinbase_deltas: not live", "gone_deltas: not live"]

    async def test_a_on_a_readers_row_asks_for_its_ring(self):
        async with rings(given=shown()) as tui:
            while tui.screen.table.chosen is None or not tui.screen.table.chosen[1]:
                await tui.press("down")
            await tui.press("a", *"lag > 5", "enter")
            assert tui.app.alarms.text_of(RING, ("kraken_deltas",)) == "lag > 5"
