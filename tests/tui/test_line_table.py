"""The table drawn line by line: which columns fit, what is cut, and columns that grow and never jump back."""

import contextlib

import pytest
from textual.app import App

from alphapulse_cli.tui.sentence import sentence_lines
from alphapulse_cli.tui.themes import THEMES
from alphapulse_cli.tui.widgets.line_table import BLOCKS, TREND, Column, LineTable, Row, fitted, fitting

COLUMNS = (Column("a", "aa", 5), Column("b", "bb", 5, rank=1), Column("c", "cc", 5, rank=2), Column("d", "dd", 5, rank=2))


class Bare(App[None]):
    CSS_PATH = None

    def __init__(self, table):
        super().__init__()
        self.table = table

    def get_theme_variable_defaults(self):
        return dict(THEMES[0].variables)

    def compose(self):
        yield self.table


@contextlib.asynccontextmanager
async def table_of(columns, size=(40, 10)):
    """A table with these columns that fills a terminal of this size."""
    table = LineTable(columns)
    async with Bare(table).run_test(size=size):
        yield table


def text(table, y):
    return table.render_line(y).text


class TestColumns:
    @pytest.mark.parametrize(("width", "names"), [(26, "abcd"), (25, "ab"), (12, "ab"), (11, "a"), (1, "a")])
    def test_a_whole_rank_goes_at_a_time_and_the_last_stays(self, width, names):
        assert "".join(column.name for column in fitting(COLUMNS, width)) == names

    async def test_where_nothing_else_goes_words_shrink_then_the_last_columns_go_and_no_figure_is_cut(self):
        columns = (
            Column("symbol", "symbol", 9, right=False, least=7),
            Column("state", "state", 9, right=False, least=1),
            Column("bid", "bid", 10, limit=16),
            Column("ask", "ask", 10, limit=16),
        )
        row = Row(1, {"symbol": ("BTC-USD", ""), "state": ("● LIVE", "live"), "bid": ("63000.01", ""), "ask": ("1,063,000.02", "")})

        async def shown(width):
            async with table_of(columns, size=(width, 5)) as table:
                table.show_rows([row], "")
                return text(table, 1).rstrip()

        assert await shown(60) == "BTC-USD    ● LIVE       63000.01  1,063,000.02"
        assert await shown(31) == "BTC-USD ● 63000.01 1,063,000.02"
        assert await shown(30) == "BTC-USD   ● LIVE      63000.01"
        assert await shown(18) == "BTC-USD ● 63000.01"
        assert await shown(17) == "BTC-USD   ● LIVE"
        assert await shown(5) == "BTC-…"
        for width in range(1, 50, 5):
            figures = [word for word in (await shown(width)).split() if word[0].isdigit()]
            assert set(figures) <= {"63000.01", "1,063,000.02"}, width

    def test_what_is_cut_says_so(self):
        assert fitted("123456", 4, right=True) == "123…"
        assert fitted("12", 4, right=True) == "  12"
        assert fitted("12", 4, right=False) == "12  "
        assert fitted("12", 0, right=True) == ""
        assert fitted("● LIVE", 1, right=False) == "●"

    async def test_they_grow_to_their_limit_and_do_not_jump_back(self):
        async with table_of((Column("a", "x", 3, limit=7),)) as table:
            for value, width in (("1", 3), ("12345", 5), ("1", 5), ("123456789", 7)):
                table.show_rows([Row(1, {"a": (value, "")})], "")
                assert text(table, 0).index("x") == width - 1
            assert text(table, 1).startswith("123456…")


class TestRows:
    async def test_the_top_follows_the_cursor(self):
        async with table_of((Column("a", "a", 3),)) as table:
            table.show_rows([Row(number, {"a": (str(number), "")}) for number in range(50)], "")
            table.move(30)
            shown = [text(table, y).strip() for y in range(1, 10)]
            assert shown == [str(number) for number in range(22, 31)]
            table.move(-100)
            assert text(table, 1).strip() == "0"

    async def test_none_are_a_sentence_in_lines_that_fit(self):
        async with table_of((Column("a", "a", 3),), size=(20, 10)) as table:
            table.show_rows([], "nothing is here and that has a reason")
            assert [text(table, y).strip() for y in range(2, 5)] == ["nothing is here and", "that has a reason", ""]
            assert table.chosen is None
            table.move(1)
            table.choose()

    async def test_a_trend_is_coloured_by_the_ways_behind_its_kind(self):
        async with table_of((Column("a", "a", 3, right=False),)) as table:
            table.show_rows([Row(1, {"a": ("▁▂█", f"{TREND}+-=")})], "")
            cells = [(cell, segment.style.color) for segment in table.render_line(1) for cell in segment.text]
            drawn = [(cell, colour) for cell, colour in cells if cell in BLOCKS]
            colours = [table.get_component_rich_style(f"table--{kind}").color for kind in ("bid", "ask", "quiet")]
            assert drawn == list(zip("▁▂█", colours, strict=True))


class TestSentences:
    def test_commands_stand_whole_on_lines_of_their_own(self):
        text = "Nothing is here yet. Start a collector: alphapulse collect --exchange kraken; or without a network: alphapulse demo"
        assert sentence_lines(text, 30) == [
            ("Nothing is here yet. Start a", False),
            ("collector:", False),
            ("  alphapulse collect \\", True),
            ("    --exchange kraken", True),
            ("or without a network:", False),
            ("  alphapulse demo", True),
        ]

    def test_what_ends_a_sentence_is_no_part_of_a_command(self):
        lines = sentence_lines("Try: alphapulse collect --exchange coinbase. Then wait", 40)
        assert lines == [("Try:", False), ("  alphapulse collect --exchange coinbase", True), ("Then wait", False)]

    def test_what_is_to_be_named_belongs_to_the_command(self):
        assert sentence_lines("It is over. Play it again: alphapulse replay FILE", 30) == [
            ("It is over. Play it again:", False),
            ("  alphapulse replay FILE", True),
        ]
        assert sentence_lines("See alphapulse segments. THEN wait", 30)[-1] == ("THEN wait", False)

    def test_a_sentence_without_one_is_wrapped(self):
        assert sentence_lines("one two three", 8) == [("one two", False), ("three", False)]
        assert sentence_lines("", 8) == []
