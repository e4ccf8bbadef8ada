"""Tables in narrow terminals: no name and no figure is broken; what has no room is left out by rank, and stderr names it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.reader_sets import Writer, kept_alive, ladder
from support.terminals import Terminal

from alphapulse_cli.cli.fitting import BETWEEN, Measure, fit, measure

MEASURES = st.lists(
    st.builds(
        lambda least, more, rank: Measure(least, least + more, rank), st.integers(1, 30), st.integers(0, 40), st.integers(0, 3)
    ),
    min_size=1,
    max_size=8,
)


class TestMeasure:
    def test_a_figure_stays_whole_and_prose_breaks_between_words(self):
        assert measure("size", ["4.0 MiB", "68 KiB"], whole=True) == Measure(7, 7)
        assert measure("book", ["SYNCING bad checksum"], whole=False) == Measure(8, 20)

    def test_a_title_wraps_between_its_words(self):
        assert measure("checksums ok", ["122"], whole=True) == Measure(9, 12)

    def test_a_very_long_word_may_be_broken(self):
        assert measure("address", ["w" * 60], whole=False) == Measure(24, 60)

    def test_no_rows(self):
        assert measure("set", [], whole=False) == Measure(3, 3)


class TestFit:
    def test_with_room_nothing_is_narrowed(self):
        assert fit([Measure(3, 9), Measure(2, 4, rank=1)], 15) == [9, 4]

    def test_the_widest_gives_first(self):
        assert fit([Measure(3, 9), Measure(2, 4)], 12) == [6, 4]

    def test_the_highest_rank_goes_first_and_no_more_than_needed(self):
        columns = [Measure(5, 5), Measure(5, 5, rank=1), Measure(5, 5, rank=2)]
        assert fit(columns, 12) == [5, 5, 0]
        assert fit(columns, 11) == [5, 0, 0]

    def test_unranked_columns_without_room_are_not_decided_here(self):
        assert fit([Measure(5, 5), Measure(5, 5)], 11) is None

    @given(MEASURES, st.integers(1, 200))
    def test_what_is_shown_has_room_and_is_whole(self, measures, room):
        widths = fit(measures, room)
        if widths is None:
            needed = [one.least for one in measures if not one.rank]
            assert sum(needed) + BETWEEN * (len(needed) - 1) > room
            return
        shown = [width for width in widths if width]
        assert not shown or sum(shown) + BETWEEN * (len(shown) - 1) <= room
        assert all(width == 0 or one.least <= width <= one.natural for width, one in zip(widths, measures, strict=True))
        assert all(width or one.rank for width, one in zip(widths, measures, strict=True))


class TestOnATerminal:
    @pytest.fixture
    def shown(self, quick, directory, writer):
        """What a command shows in a terminal of so many columns, beside two sets."""

        def run(columns, *command):
            terminal = Terminal([*quick.command, *command], columns, 40, env=quick.environment(), cwd=quick.directory)
            try:
                terminal.wait()
                return terminal.screen.text
            finally:
                terminal.close()

        with Writer(directory, set_name="binance-us", exchange="binance-us") as second:
            second.snapshot(ladder(40))
            with kept_alive(second), kept_alive(writer):
                yield run

    def test_segments_at_80_columns_breaks_no_name_and_says_what_it_left_out(self, shown):
        text = shown(80, "segments")
        assert "no room in 80 columns for: size" in text
        assert "--format json has all" in text
        for name in ("binance-us", "BTC-USD", "ETH-USD", "counters", "deltas"):
            assert f"{name} " in text, text

    def test_segments_with_room_has_every_column(self, shown):
        text = shown(140, "segments")
        assert "no room" not in text
        assert "records/s" in text
        assert "KiB" in text

    def test_what_doctor_says_to_do_is_on_one_line_beneath_the_table(self, shown, directory):
        """In the column where it has room."""
        with Writer(directory, set_name="over") as retired:
            retired.snapshot(ladder(4))
        narrow, wide = shown(80, "doctor").splitlines(), shown(400, "doctor").splitlines()
        assert "set over: alphapulse segments --sweep removes it" in [line.strip() for line in narrow]
        assert narrow[0].split() == ["is", "check", "found"]
        assert wide[0].split() == ["is", "check", "found", "fix"]
        assert any("set over" in line and line.rstrip().endswith("  alphapulse segments --sweep removes it") for line in wide)
        assert "no room" not in "".join(narrow)

    @pytest.mark.parametrize("columns", [40, 60, 80])
    def test_ways_to_trade_in_a_narrow_terminal_have_no_broken_word(self, shown, columns):
        """A table where its names and verdicts have room, else a sentence each."""
        text = shown(columns, "arb", "scan", "--all")
        assert all(len(line) <= columns for line in text.splitlines())
        for whole in ("BTC-USD", "binance-us", "kraken", "no profit" if columns < 60 else "profit"):
            assert re.search(rf"(^|[ >]){whole}([ :;]|$)", text, re.MULTILINE), text
        said = re.search(r"BTC-USD (binance-us|kraken) > (binance-us|kraken): no profit; best prices -", " ".join(text.split()))
        assert (said is not None) == (columns < 60)

    def test_a_proof_at_80_columns(self, shown):
        text = shown(80, "reconstruct", "--verify", "--duration", "0.1")
        assert "binance-us" in text
        assert "checksums ok" in text.split("no room in 80 columns for:")[1]
        assert "unproved" in text or "proved" in text
