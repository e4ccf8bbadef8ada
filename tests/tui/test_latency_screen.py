"""The latency screen: its rows, its order, its details, its keys, and what it says where there is nothing."""

import asyncio
from dataclasses import replace

import pytest
from support.tui_pictures import HandFeed, book, picture

from alphapulse_cli.shm.histogram import HISTOGRAM_BYTES, Histogram
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.tui.alarms import LATENCY
from alphapulse_cli.tui.app import AlphapulseApp
from alphapulse_cli.tui.feed.picture import Stage
from alphapulse_cli.tui.preferences import Preferences
from alphapulse_cli.tui.screens import latency
from alphapulse_cli.tui.widgets.figures import duration

SIZES = [(80, 24), (120, 40), (300, 100)]
NAMES = ("exchange to received", "received to published", "received to seen here")


def stage(name, base_ns, below_zero=0):
    histogram = Histogram(bytearray(HISTOGRAM_BYTES))
    for step in range(1, 1001):
        histogram.record(base_ns * step // 100)
    for _ in range(below_zero):
        histogram.record(-1)
    return Stage(name, name == NAMES[0], histogram.read(), [(base_ns * 5, base_ns * 9)] * 30)


def stages(base_ns, below_zero=0):
    return tuple(stage(name, base_ns * 10**at, below_zero if at == 0 else 0) for at, name in enumerate(NAMES))


def measured(**liveness):
    """Three sets, kraken the slowest, coinbase with samples below zero."""
    shown = picture(book(), book("coinbase"), book("binance-us"))
    bases = {"kraken": 9_000, "coinbase": 1_000, "binance-us": 3_000}
    sets = [
        replace(
            one,
            stages=stages(bases[one.status.name], 7 if one.status.name == "coinbase" else 0),
            status=replace(one.status, liveness=liveness.get(one.status.name, Liveness.LIVE)),
        )
        for one in shown.sets
    ]
    return replace(shown, sets=tuple(sets))


def at_once(work, *, shown=None, size=SIZES[1], state=None):
    async def run():
        feed = HandFeed()
        app = AlphapulseApp(feed.make, state or Preferences(None), screen="latency")
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            if shown is not None:
                feed.show(shown)
                await pilot.pause()
            await work(app.screen, pilot, feed)

    asyncio.run(run())


def table(screen):
    return [screen.table.render_line(y).text for y in range(screen.table.size.height)]


def plots(screen):
    return "\n".join("".join(text for text, _ in line) for line in screen.query_one("#plots").lines())


def gauges(screen):
    return "\n".join("".join(text for text, _ in line) for line in screen.query_one("#gauges").lines())


def order(screen):
    return [row.key for row in screen.table.rows]


class TestTheTable:
    @pytest.mark.parametrize("size", SIZES)
    def test_every_stage_has_its_percentiles_at_every_size(self, size):
        async def work(screen, pilot, feed):
            held = measured().sets[0].stages[0].distribution
            line = table(screen)[1]
            assert line.startswith("binance-us  exchange → received ≈")
            for fraction in (0.5, 0.9, 0.99, 0.999):
                assert f" {duration(held.quantile(fraction))} " in line
            assert duration(held.largest) in line
            assert ("1,000" in line) is (size[0] > 80)
            assert ("relative: two clocks" in line) is (size[0] == 300)

        at_once(work, shown=measured(), size=size)

    def test_only_the_step_between_two_clocks_is_marked(self):
        async def work(screen, pilot, feed):
            assert ["≈" in line for line in table(screen)[1:10]] == [True, False, False] * 3

        at_once(work, shown=measured())

    def test_a_set_that_is_not_live_is_marked_and_says_what_it_is(self):
        async def work(screen, pilot, feed):
            assert table(screen)[1].startswith("✕ binance…")
            assert "silent" in table(screen)[1]
            await pilot.press("end")
            assert "retired: what is shown of it are the last figures" in gauges(screen)

        at_once(work, shown=measured(**{"binance-us": Liveness.SILENT, "kraken": Liveness.RETIRED}), size=SIZES[2])

    def test_a_set_of_which_nothing_was_measured_is_a_sentence(self):
        shown = measured(coinbase=None)
        first, second, third = shown.sets
        shown = replace(shown, sets=(replace(first, stages=()), replace(second, stages=()), third))

        async def work(screen, pilot, feed):
            assert order(screen)[-2:] == [("binance-us", ""), ("coinbase", "")]
            assert "nothing is measured yet" in table(screen)[4]
            assert "gone: nothing was measured" in table(screen)[5]

        at_once(work, shown=shown)

    def test_a_stage_without_samples_has_dashes(self):
        shown = measured()
        empty = Stage(NAMES[1], False, Histogram(bytearray(HISTOGRAM_BYTES)).read())
        shown = replace(shown, sets=(replace(shown.sets[0], stages=(empty,)),))

        async def work(screen, pilot, feed):
            assert table(screen)[1].split()[4:9] == ["-"] * 5
            assert "no samples yet" in plots(screen)

        at_once(work, shown=shown)

    def test_nothing_at_all_is_a_sentence_with_the_next_thing_to_do(self):
        async def work(screen, pilot, feed):
            assert "Nothing is collected in /x yet" in " ".join(table(screen))
            feed.show(picture())
            await pilot.pause()
            assert "alphapulse demo" in " ".join(table(screen))

        at_once(work, shown=picture(advice="Nothing is collected in /x yet"))

    def test_figures_are_worked_out_once_a_second_only(self, monkeypatch):
        worked = []
        monkeypatch.setattr(latency, "figures_of", lambda one, real=latency.figures_of: worked.append(one) or real(one))
        shown = measured()

        async def work(screen, pilot, feed):
            for lag in range(5):
                feed.show(replace(shown, sets=tuple(replace(one, lag=lag) for one in shown.sets)))
                await pilot.pause()
            assert len(worked) == 9

        at_once(work, shown=shown)


class TestTheOrder:
    def test_o_goes_from_column_to_column_and_is_remembered(self, tmp_path):
        path = tmp_path / "tui.json"

        async def work(screen, pilot, feed):
            assert order(screen)[:2] == [("binance-us", NAMES[0]), ("binance-us", NAMES[1])]
            await pilot.press("o")
            assert [name for _, name in order(screen)] == [name for name in NAMES for _ in range(3)]
            await pilot.press("o")
            assert order(screen)[0] == ("kraken", NAMES[2])
            assert order(screen)[-1] == ("coinbase", NAMES[0])
            assert "p50▼" in table(screen)[0]

        async def again(screen, pilot, feed):
            assert order(screen)[0] == ("kraken", NAMES[2])
            for _ in latency.LatencyScreen.SORTS[2:]:
                await pilot.press("o")
            assert order(screen)[0] == ("binance-us", NAMES[0])

        at_once(work, shown=measured(), state=Preferences(path))
        at_once(again, shown=measured(), state=Preferences(path))

    def test_a_click_on_a_title_sorts_and_another_turns_it_round(self):
        async def work(screen, pilot, feed):
            at = table(screen)[0].index("p99")
            await pilot.click("#table", offset=(at, 0))
            assert order(screen)[0] == ("kraken", NAMES[2])
            await pilot.click("#table", offset=(at, 0))
            assert order(screen)[0] == ("coinbase", NAMES[0])
            await pilot.click("#table", offset=(1, 0))
            assert order(screen)[0] == ("binance-us", NAMES[0])

        at_once(work, shown=measured())

    def test_the_filter_leaves_the_rows_with_its_words(self):
        async def work(screen, pilot, feed):
            await pilot.press("slash", *"kraken seen")
            await pilot.press("enter")
            assert order(screen) == [("kraken", NAMES[2])]
            screen.filter = "nothing like it"
            await pilot.pause()
            assert "esc ends the filter" in " ".join(table(screen))
            assert not screen.query_one("#details").display

        at_once(work, shown=measured())


class TestTheDetails:
    @pytest.mark.parametrize("size", SIZES)
    def test_they_are_of_the_row_under_the_cursor(self, size):
        async def work(screen, pilot, feed):
            assert "▸binance-us exchange → received ≈ relative: two clocks" in plots(screen)
            await pilot.press("j", "down", "down")
            assert "▸coinbase exchange → received ≈ relative: two clocks, 7 below zero" in plots(screen)
            await pilot.press("k")
            assert "▸binance-us received → seen here" in plots(screen)
            for mark in ("▲p50", "p99", "p99 │", "30 s ago"):
                assert mark in plots(screen)

        at_once(work, shown=measured(), size=size)

    def test_every_key_of_the_table_moves_them(self):
        async def work(screen, pilot, feed):
            for key, name in (("end", "kraken"), ("home", "binance-us"), ("pagedown", "kraken"), ("pageup", "binance-us")):
                await pilot.press(key)
                assert f"▸{name}" in plots(screen)
            await pilot.click("#table", offset=(3, 5))
            assert "▸coinbase received → published" in plots(screen)

        at_once(work, shown=measured())

    def test_a_large_terminal_shows_all_stages(self):
        async def work(screen, pilot, feed):
            assert plots(screen).count("samples in two minutes") == 9
            assert gauges(screen).count("keeps up") == 3

        at_once(work, shown=measured(), size=SIZES[2])

    def test_enter_makes_them_large_and_small_again(self):
        async def work(screen, pilot, feed):
            small = screen.query_one("#plots").size.height
            await pilot.press("enter")
            await pilot.pause()
            assert not screen.table.display
            assert screen.query_one("#plots").size.height > small
            await pilot.press("j")
            assert "▸binance-us received → published" in plots(screen)
            assert plots(screen).count("samples in") == 1
            await pilot.press("enter")
            await pilot.pause()
            assert screen.table.display
            assert screen.query_one("#plots").size.height == small

        at_once(work, shown=measured(), size=SIZES[0])

    def test_a_low_terminal_has_the_table_alone_until_enter(self):
        async def work(screen, pilot, feed):
            assert not screen.query_one("#details").display
            await pilot.press("enter")
            await pilot.pause()
            assert screen.query_one("#details").display
            await pilot.press("enter")
            await pilot.resize_terminal(80, 24)
            await pilot.pause()
            assert screen.query_one("#details").display

        at_once(work, shown=measured(), size=(80, 12))

    def test_the_gauge_tells_this_readers_lag(self):
        shown = measured()
        lagging = replace(shown.sets[0], lag=1_000, missed=12, laps=1)

        async def work(screen, pilot, feed):
            assert "about to be lapped, 1,000 of 1,024 records behind (97.7%), ! 12 missed in 1 laps" in gauges(screen)

        at_once(work, shown=replace(shown, sets=(lagging, *shown.sets[1:])))


def test_what_is_copied_is_the_whole_table():
    async def work(screen, pilot, feed):
        lines = screen.copy_text().splitlines()
        assert len(lines) == 10
        assert lines[0].split("\t")[:3] == ["set", "stage", "p50"]
        assert lines[1].startswith("binance-us\texchange → received ≈\t")

    async def nothing(screen, pilot, feed):
        assert screen.copy_text() == ""

    at_once(work, shown=measured(), size=SIZES[0])
    at_once(nothing)


class TestColumnsAndAlarms:
    def test_columns_are_chosen_ordered_and_there_in_the_next_run(self, tmp_path):
        async def choose(screen, pilot, feed):
            await pilot.press("c")
            line = pilot.app.screen.query_one("Input")
            line.value = "stage p99 nonsense"
            await pilot.press("enter")
            await pilot.pause()
            assert pilot.app.screen is not screen, "asked again: there is no such column"
            line.value = "stage p99 set"
            await pilot.press("enter")
            await pilot.pause()
            assert table(screen)[0].split() == ["stage", "p99", "set\u25b2"]

        path = tmp_path / "tui.json"
        at_once(choose, shown=measured(), state=Preferences(path))

        async def again(screen, pilot, feed):
            assert table(screen)[0].split() == ["stage", "p99", "set\u25b2"]
            await pilot.press("o")  # goes through those that are there
            assert screen.sorting[0] == "stage"

        at_once(again, shown=measured(), state=Preferences(path))

    def test_an_alarm_is_passed_by_the_step_it_was_set_on_and_by_no_other(self):
        async def work(screen, pilot, feed):
            bells = []
            pilot.app.bell = lambda: bells.append(1)
            key = ("kraken", NAMES[0])
            pilot.app.alarms.put(LATENCY, key, "p99 > 0.05")
            feed.show(measured())
            await pilot.pause()
            assert bells == [1]
            assert pilot.app.alarms.passed == {(LATENCY, key)}
            (marked,) = [line for line in table(screen) if "!" in line]
            assert marked.split()[0] == "!kraken"
            pilot.app.alarms.put(LATENCY, key, "p99 > 5000")
            feed.show(measured())
            await pilot.pause()
            assert not [line for line in table(screen) if "!" in line]

        at_once(work, shown=measured())

    def test_a_asks_for_the_step_under_the_cursor(self):
        async def work(screen, pilot, feed):
            await pilot.press("a", *"p99 > 1", "enter")
            await pilot.pause()
            assert pilot.app.alarms.text_of(LATENCY, screen.table.chosen) == "p99 > 1"

        at_once(work, shown=measured())
