"""The latency screen: its rows, its order, its details, its keys, and what it says where there is nothing."""

from dataclasses import replace

import pytest
from support.tui_pictures import book, picture, running_app

from alphapulse_cli.shm.histogram import HISTOGRAM_BYTES, Histogram
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.tui.alarms import LATENCY
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


def latencies(given=None, size=SIZES[1], **arguments):
    """The app with the latency screen in front."""
    return running_app(size, given=given, screen="latency", **arguments)


def table(tui):
    return [tui.screen.table.render_line(y).text for y in range(tui.screen.table.size.height)]


def plots(tui):
    return "\n".join("".join(text for text, _ in line) for line in tui.screen.query_one("#plots").lines())


def gauges(tui):
    return "\n".join("".join(text for text, _ in line) for line in tui.screen.query_one("#gauges").lines())


def order(tui):
    return [row.key for row in tui.screen.table.rows]


class TestTheTable:
    @pytest.mark.parametrize("size", SIZES)
    async def test_every_stage_has_its_percentiles_at_every_size(self, size):
        async with latencies(given=measured(), size=size) as tui:
            held = measured().sets[0].stages[0].distribution
            line = table(tui)[1]
            assert line.startswith("binance-us  exchange → received ≈")
            for fraction in (0.5, 0.9, 0.99, 0.999):
                assert f" {duration(held.quantile(fraction))} " in line
            assert duration(held.largest) in line
            assert ("1,000" in line) is (size[0] > 80)
            assert ("relative: two clocks" in line) is (size[0] == 300)

    async def test_only_the_step_between_two_clocks_is_marked(self):
        async with latencies(given=measured()) as tui:
            assert ["≈" in line for line in table(tui)[1:10]] == [True, False, False] * 3

    async def test_a_set_that_is_not_live_is_marked_and_says_what_it_is(self):
        async with latencies(given=measured(**{"binance-us": Liveness.SILENT, "kraken": Liveness.RETIRED}), size=SIZES[2]) as tui:
            assert table(tui)[1].startswith("✕ binance…")
            assert "silent" in table(tui)[1]
            await tui.press("end")
            assert "retired: what is shown of it are the last figures" in gauges(tui)

    async def test_a_set_of_which_nothing_was_measured_is_a_sentence(self):
        shown = measured(coinbase=None)
        first, second, third = shown.sets
        shown = replace(shown, sets=(replace(first, stages=()), replace(second, stages=()), third))

        async with latencies(given=shown) as tui:
            assert order(tui)[-2:] == [("binance-us", ""), ("coinbase", "")]
            assert "nothing is measured yet" in table(tui)[4]
            assert "gone: nothing was measured" in table(tui)[5]

    async def test_a_stage_without_samples_has_dashes(self):
        shown = measured()
        empty = Stage(NAMES[1], False, Histogram(bytearray(HISTOGRAM_BYTES)).read())
        shown = replace(shown, sets=(replace(shown.sets[0], stages=(empty,)),))

        async with latencies(given=shown) as tui:
            assert table(tui)[1].split()[4:9] == ["-"] * 5
            assert "no samples yet" in plots(tui)

    async def test_nothing_at_all_is_a_sentence_with_the_next_thing_to_do(self):
        async with latencies(given=picture(advice="Nothing is collected in /x yet")) as tui:
            assert "Nothing is collected in /x yet" in " ".join(table(tui))
            await tui.give(picture())
            assert "alphapulse demo" in " ".join(table(tui))

    async def test_figures_are_worked_out_once_a_second_only(self, monkeypatch):
        worked = []
        figures_of = latency.figures_of

        def noted(one):
            worked.append(one)
            return figures_of(one)

        monkeypatch.setattr(latency, "figures_of", noted)
        shown = measured()

        async with latencies(given=shown) as tui:
            for lag in range(5):
                await tui.give(replace(shown, sets=tuple(replace(one, lag=lag) for one in shown.sets)))
            assert len(worked) == 9


class TestTheOrder:
    async def test_o_goes_from_column_to_column_and_is_remembered(self, tmp_path):
        path = tmp_path / "tui.json"

        async with latencies(given=measured(), state=Preferences(path)) as tui:
            assert order(tui)[:2] == [("binance-us", NAMES[0]), ("binance-us", NAMES[1])]
            await tui.press("o")
            assert [name for _, name in order(tui)] == [name for name in NAMES for _ in range(3)]
            await tui.press("o")
            assert order(tui)[0] == ("kraken", NAMES[2])
            assert order(tui)[-1] == ("coinbase", NAMES[0])
            assert "p50▼" in table(tui)[0]
        async with latencies(given=measured(), state=Preferences(path)) as tui:
            assert order(tui)[0] == ("kraken", NAMES[2])
            await tui.press(*("o" for _ in latency.LatencyScreen.SORTS[2:]))
            assert order(tui)[0] == ("binance-us", NAMES[0])

    async def test_a_click_on_a_title_sorts_and_another_turns_it_round(self):
        async with latencies(given=measured()) as tui:
            at = table(tui)[0].index("p99")
            await tui.pilot.click("#table", offset=(at, 0))
            assert order(tui)[0] == ("kraken", NAMES[2])
            await tui.pilot.click("#table", offset=(at, 0))
            assert order(tui)[0] == ("coinbase", NAMES[0])
            await tui.pilot.click("#table", offset=(1, 0))
            assert order(tui)[0] == ("binance-us", NAMES[0])

    async def test_the_filter_leaves_the_rows_with_its_words(self):
        async with latencies(given=measured()) as tui:
            await tui.press("slash", *"kraken seen")
            await tui.press("enter")
            assert order(tui) == [("kraken", NAMES[2])]
            tui.screen.filter = "nothing like it"
            await tui.settle()
            assert "esc ends the filter" in " ".join(table(tui))
            assert not tui.screen.query_one("#details").display


class TestTheDetails:
    @pytest.mark.parametrize("size", SIZES)
    async def test_they_are_of_the_row_under_the_cursor(self, size):
        async with latencies(given=measured(), size=size) as tui:
            assert "▸binance-us exchange → received ≈ relative: two clocks" in plots(tui)
            await tui.press("j", "down", "down")
            assert "▸coinbase exchange → received ≈ relative: two clocks, 7 below zero" in plots(tui)
            await tui.press("k")
            assert "▸binance-us received → seen here" in plots(tui)
            for mark in ("▲p50", "p99", "p99 │", "30 s ago"):
                assert mark in plots(tui)

    async def test_every_key_of_the_table_moves_them(self):
        async with latencies(given=measured()) as tui:
            for key, name in (("end", "kraken"), ("home", "binance-us"), ("pagedown", "kraken"), ("pageup", "binance-us")):
                await tui.press(key)
                assert f"▸{name}" in plots(tui)
            await tui.pilot.click("#table", offset=(3, 5))
            assert "▸coinbase received → published" in plots(tui)

    async def test_a_large_terminal_shows_all_stages(self):
        async with latencies(given=measured(), size=SIZES[2]) as tui:
            assert plots(tui).count("samples in two minutes") == 9
            assert gauges(tui).count("keeps up") == 3

    async def test_enter_makes_them_large_and_small_again(self):
        async with latencies(given=measured(), size=SIZES[0]) as tui:
            small = tui.screen.query_one("#plots").size.height
            await tui.press("enter")
            assert not tui.screen.table.display
            assert tui.screen.query_one("#plots").size.height > small
            await tui.press("j")
            assert "▸binance-us received → published" in plots(tui)
            assert plots(tui).count("samples in") == 1
            await tui.press("enter")
            assert tui.screen.table.display
            assert tui.screen.query_one("#plots").size.height == small

    async def test_a_low_terminal_has_the_table_alone_until_enter(self):
        async with latencies(given=measured(), size=(80, 12)) as tui:
            assert not tui.screen.query_one("#details").display
            await tui.press("enter")
            assert tui.screen.query_one("#details").display
            await tui.press("enter")
            await tui.pilot.resize_terminal(80, 24)
            await tui.settle()
            assert tui.screen.query_one("#details").display

    async def test_the_gauge_tells_this_readers_lag(self):
        shown = measured()
        lagging = replace(shown.sets[0], lag=1_000, missed=12, laps=1)

        async with latencies(given=replace(shown, sets=(lagging, *shown.sets[1:]))) as tui:
            assert "about to be lapped, 1,000 of 1,024 records behind (97.7%), ! 12 missed in 1 laps" in gauges(tui)


async def test_what_is_copied_is_the_whole_table():
    async with latencies(given=measured(), size=SIZES[0]) as tui:
        lines = tui.screen.copy_text().splitlines()
        assert len(lines) == 10
        assert lines[0].split("\t")[:3] == ["set", "stage", "p50"]
        assert lines[1].startswith("binance-us\texchange → received ≈\t")
    async with latencies() as tui:
        assert tui.screen.copy_text() == ""


class TestColumnsAndAlarms:
    async def test_columns_are_chosen_ordered_and_there_in_the_next_run(self, tmp_path):
        path = tmp_path / "tui.json"
        async with latencies(given=measured(), state=Preferences(path)) as tui:
            screen = tui.screen
            await tui.press("c")
            line = tui.screen.query_one("Input")
            line.value = "stage p99 nonsense"
            await tui.press("enter")
            assert tui.screen is not screen, "asked again: there is no such column"
            line.value = "stage p99 set"
            await tui.press("enter")
            assert table(tui)[0].split() == ["stage", "p99", "set\u25b2"]
        async with latencies(given=measured(), state=Preferences(path)) as tui:
            assert table(tui)[0].split() == ["stage", "p99", "set\u25b2"]
            await tui.press("o")  # goes through those that are there
            assert tui.screen.sorting[0] == "stage"

    async def test_an_alarm_is_passed_by_the_step_it_was_set_on_and_by_no_other(self):
        async with latencies(given=measured()) as tui:
            bells = []
            tui.app.bell = lambda: bells.append(1)
            key = ("kraken", NAMES[0])
            tui.app.alarms.put(LATENCY, key, "p99 > 0.05")
            await tui.give(measured())
            assert bells == [1]
            assert tui.app.alarms.passed == {(LATENCY, key)}
            (marked,) = [line for line in table(tui) if "!" in line]
            assert marked.split()[0] == "!kraken"
            tui.app.alarms.put(LATENCY, key, "p99 > 5000")
            await tui.give(measured())
            assert not [line for line in table(tui) if "!" in line]

    async def test_a_asks_for_the_step_under_the_cursor(self):
        async with latencies(given=measured()) as tui:
            await tui.press("a", *"p99 > 1", "enter")
            assert tui.app.alarms.text_of(LATENCY, tui.screen.table.chosen) == "p99 > 1"
