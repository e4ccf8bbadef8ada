"""The rings screen: segments and their readers, what is wrong with them, the counters of the set, and the keys."""

import asyncio
from dataclasses import replace

import pytest
from support.tui_pictures import HandFeed, book, picture

from alphapulse_cli.apps.segments import ReaderRow, SegmentRow
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.tui.alarms import RING, Alarms
from alphapulse_cli.tui.app import AlphapulseApp
from alphapulse_cli.tui.preferences import Preferences
from alphapulse_cli.tui.screens.rings import RingsScreen
from alphapulse_cli.tui.widgets.counters import COUNTERS, TROUBLE, counter_lines, detail_lines, meaning

SIZES = [(80, 24), (120, 40), (300, 100)]


def segment(set_name, kind, symbol="", **more):
    name = f"{set_name}_book_{symbol}" if symbol else f"{set_name}_{kind}"
    known = {"state": "live", "pid": 4242, "epoch": 1_795_408_839, "bytes": 4_198_400, "capacity": 16_384, "heartbeat_age_s": 0.1}
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


def at_once(work, *, given=None, size=SIZES[1], state=None):
    async def run():
        feed = HandFeed()
        app = AlphapulseApp(feed.make, state or Preferences(None), screen="rings")
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            if given is not None:
                feed.show(given)
                await pilot.pause()
            await work(app.screen, pilot, feed)

    asyncio.run(run())


def table(screen):
    return [screen.table.render_line(y).text for y in range(screen.table.size.height)]


def line_of(screen, *words):
    (line,) = [line for line in table(screen) if all(word in line for word in words)]
    return line


def details(screen):
    return said(screen.query_one("#counters").lines())


def said(lines):
    return "\n".join("".join(text for text, _ in line) for line in lines)


def order(screen):
    return [key[0] for key in (row.key for row in screen.table.rows) if not key[1]]


class TestTheTable:
    @pytest.mark.parametrize("size", SIZES)
    def test_a_segment_says_what_it_is_at_every_size(self, size):
        async def work(screen, pilot, feed):
            assert line_of(screen, "kraken", "deltas", "live").split()[:8] == [
                "kraken",
                "deltas",
                "live",
                "4,365",
                "records",
                "63",
                "/s",
                "4.00",
            ]
            assert "45,810 levels        STALE" in line_of(screen, "coinbase", "BTC-USD", "silent")
            assert "12.3 M records" in line_of(screen, "coinbase", "deltas")
            for title, from_width in (("beat", 120), ("pid", 120), ("room for", 120), ("began", 120), ("file", 300)):
                assert (title in table(screen)[0]) is (size[0] >= from_width)

        at_once(work, given=shown(), size=size)

    @pytest.mark.parametrize("size", SIZES)
    def test_readers_are_beneath_their_ring_with_their_lag(self, size):
        async def work(screen, pilot, feed):
            lines = table(screen)
            at = next(y for y, line in enumerate(lines) if line.startswith("kraken") and "deltas" in line)
            assert lines[at + 1].split() == ["└", "tail", "reads", "12", "behind,", "0", "missed,", "pid", "77"]
            assert lines[at + 2].split() == ["└", "arb", "dead", "9,000", "behind,", "!", "31", "missed,", "pid", "77"]

        at_once(work, given=shown(), size=size)

    @pytest.mark.parametrize("size", SIZES)
    def test_a_damaged_file_says_why_in_its_row(self, size):
        async def work(screen, pilot, feed):
            assert "damaged   not a segment: bad magic" in line_of(screen, "kraken", "trades")

        at_once(work, given=shown(), size=size)

    def test_what_others_wrote_is_escaped(self):
        hostile = segment("kraken", "deltas", readers=[reader("\x1b[2Jx")])

        async def work(screen, pilot, feed):
            assert "\\x1b[2Jx" in line_of(screen, "reads")
            assert "\\x1b[2Jx" in "".join(text for y in range(6) for text in [screen.query_one("#counters").render_line(y).text])
            assert "\x1b" not in screen.copy_text()

        at_once(work, given=shown(hostile))

    def test_a_reader_of_a_ring_that_was_replaced_says_so(self):
        async def work(screen, pilot, feed):
            assert "reads a ring that was replaced, 0 missed" in line_of(screen, "└ tail")
            assert "reads a ring that was replaced" in details(screen)

        at_once(work, given=shown(segment("kraken", "deltas", readers=[reader(lag=None)])))

    def test_without_segments_it_says_what_to_do(self):
        async def work(screen, pilot, feed):
            assert "Nothing is collected" in " ".join(table(screen))
            assert not screen.query_one("#details").display
            feed.show(picture())
            await pilot.pause()
            assert "alphapulse demo" in " ".join(table(screen))
            feed.show(picture(book()))
            await pilot.pause()
            assert "Looking at the segments" in " ".join(table(screen))

        at_once(work, given=picture(advice="Nothing is collected"))


class TestTheOrder:
    def test_rings_first_then_counters_then_books_of_each_set(self):
        async def work(screen, pilot, feed):
            assert order(screen) == [
                "coinbase_deltas",
                "coinbase_book_BTC-USD",
                "kraken_deltas",
                "kraken_trades",
                "kraken_counters",
                "kraken_book_BTC-USD",
            ]

        at_once(work, given=shown())

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
    def test_o_sorts_by_each_column_and_damaged_files_have_no_figures(self, name, first, last):
        async def work(screen, pilot, feed):
            while screen.sorting[0] != name:
                await pilot.press("o")
            assert (order(screen)[0], order(screen)[-1]) == (first, last)

        at_once(work, given=shown())

    def test_a_click_on_a_title_sorts_and_another_turns_it_round(self):
        async def work(screen, pilot, feed):
            for turned in (True, False):
                await pilot.click("#table", offset=(1, 0))
                assert order(screen)[0].startswith("kraken" if turned else "coinbase")

        at_once(work, given=shown())

    def test_where_a_column_has_no_room_o_skips_it(self):
        async def work(screen, pilot, feed):
            seen = set()
            for _ in RingsScreen.SORTS:
                await pilot.press("o")
                seen.add(screen.sorting[0])
            assert seen == {"set", "part", "state", "contents", "now", "size"}

        at_once(work, given=shown(), size=SIZES[0])

    def test_the_filter_leaves_segments_and_readers_with_its_words(self):
        async def work(screen, pilot, feed):
            await pilot.press("slash", *"arb")
            await pilot.press("enter")
            assert [row.key[1] for row in screen.table.rows] == [(), (1, 77, "arb")]
            screen.filter = "nothing like it"
            await pilot.pause()
            assert "esc ends the filter" in " ".join(table(screen))

        at_once(work, given=shown())


class TestTheDetails:
    @pytest.mark.parametrize("size", SIZES)
    def test_they_are_of_the_segment_under_the_cursor_and_of_its_set(self, size):
        async def work(screen, pilot, feed):
            assert "coinbase_deltas silent, heartbeat 0.1 s ago, writer 5" in details(screen)
            assert "coinbase 12 deltas/s" in details(screen)
            await pilot.press("j", "j")
            assert "kraken_deltas live" in details(screen)
            assert "tail (77): keeps up, 12 of 16,384 behind, 0 missed" in details(screen)
            assert "arb (77, dead): falls behind, 9,000 of 16,384 behind, ! 31 missed" in details(screen)
            assert "frames             5,449" in details(screen)

        at_once(work, given=shown(), size=size)

    def test_every_key_of_the_table_moves_them(self):
        async def work(screen, pilot, feed):
            for key, name in (
                ("end", "kraken_book"),
                ("home", "coinbase_deltas"),
                ("pagedown", "kraken_book"),
                ("pageup", "coinbase"),
            ):
                await pilot.press(key)
                assert f" {name}" in details(screen).splitlines()[0]
            await pilot.press("down", "down", "up", "k")
            assert " coinbase_deltas" in details(screen).splitlines()[0]

        at_once(work, given=shown())

    def test_a_damaged_file_and_a_set_without_counters_say_so(self):
        lone = replace(shown(), sets=())

        async def work(screen, pilot, feed):
            await pilot.press(*"jjjjj")
            assert "kraken_trades damaged: not a segment: bad magic" in details(screen)
            assert "no counters can be read" in details(screen)

        at_once(work, given=lone)

    def test_enter_makes_them_large_with_what_each_counter_means(self):
        async def work(screen, pilot, feed):
            assert "more: enter" in details(screen)
            await pilot.press("enter")
            await pilot.pause()
            assert not screen.table.display
            await pilot.resize_terminal(80, 40)
            await pilot.pause()
            assert "frames             5,449  received from the exchange" in details(screen)
            await pilot.press("enter")
            await pilot.pause()
            assert screen.table.display

        at_once(work, given=shown(), size=SIZES[0])

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


def test_what_is_copied_is_the_whole_table():
    async def work(screen, pilot, feed):
        lines = screen.copy_text().splitlines()
        assert len(lines) == 1 + 6 + 2
        assert "kraken\ttrades\tdamaged\tnot a segment: bad magic" in lines

    at_once(work, given=shown(), size=SIZES[0])


class TestColumnsAndAlarms:
    def test_columns_are_chosen_and_ordered(self):
        async def work(screen, pilot, feed):
            await pilot.press("c")
            pilot.app.screen.query_one("Input").value = "part now state"
            await pilot.press("enter")
            await pilot.pause()
            assert table(screen)[0].split() == ["segment", "now", "state"]

        at_once(work, given=shown())

    @pytest.mark.parametrize(
        ("text", "passed"),
        [("lag > 8999", True), ("lag > 9000", False), ("missed > 30", True), ("rate < 64", True), ("beat > 2", False)],
    )
    def test_a_ring_has_its_readers_worst_and_its_own_rate(self, text, passed):
        async def work(screen, pilot, feed):
            pilot.app.alarms.put(RING, ("kraken_deltas",), text)
            feed.show(shown())
            await pilot.pause()
            marked = [line for line in table(screen) if "!deltas" in line]
            assert bool(marked) == passed == pilot.app.alarms.is_passed(RING, ("kraken_deltas",))
            assert len(marked) <= 1, "its own row, not its readers'"

        at_once(work)

    def test_a_segment_that_is_silent_or_gone_is_not_live(self):
        made = Alarms(Preferences(None))
        names = ("coinbase_deltas", "kraken_deltas", "gone_deltas")
        for name in names:
            made.put(RING, (name,), "not live")
        at = replace(shown(), taken_ns=10**9)
        assert made.check(at) == []
        told = made.check(replace(at, taken_ns=10**9 * 4))
        assert told == ["coinbase_deltas: not live", "gone_deltas: not live"]

    def test_a_on_a_readers_row_asks_for_its_ring(self):
        async def work(screen, pilot, feed):
            while screen.table.chosen is None or not screen.table.chosen[1]:
                await pilot.press("down")
            await pilot.press("a", *"lag > 5", "enter")
            await pilot.pause()
            assert pilot.app.alarms.text_of(RING, ("kraken_deltas",)) == "lag > 5"

        at_once(work, given=shown())
