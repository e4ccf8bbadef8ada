"""Whatever an exchange or a file wrote reaches a terminal or a pipe as harmless text."""

import io
import json
import logging
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphapulse_cli.cli import log, render, stderr
from alphapulse_cli.edges.safe_text import safe

HOSTILE = "BTC\x1b]0;owned\x07\x1b[2J\r\n\u202eDSU\x9b31m\ud800[red]x[/red]\x00"


class TestSafe:
    @given(st.text())
    def test_any_text_becomes_one_printable_line(self, text):
        assert safe(text).isprintable()

    @given(st.binary())
    def test_any_bytes_become_one_printable_line(self, raw):
        assert safe(raw).isprintable()

    def test_it_says_what_was_there(self):
        assert safe("a\x1b[2J\u202eb\n") == r"a\x1b[2J\u202eb\n"
        assert safe(b"ok \xff\n") == r"ok \xff\n"

    def test_printable_text_is_untouched(self):
        assert safe("BTC-USD 中 é") == "BTC-USD 中 é"


class TestJson:
    @given(st.dictionaries(st.text(), st.one_of(st.text(), st.integers(), st.none(), st.booleans())))
    def test_a_line_is_printable_and_means_what_it_said(self, row):
        line = render.json_line(row)
        assert line.endswith(b"\n")
        assert line[:-1].decode().isprintable()
        assert json.loads(line) == row

    def test_decimals_are_strings_in_full(self):
        assert render.json_line({"price": Decimal("1E-7"), "size": Decimal("1E+3")}) == b'{"price":"0.0000001","size":"1000"}\n'

    def test_what_json_lacks_is_our_mistake(self):
        with pytest.raises(TypeError):
            render.json_line({"x": object()})


class TestTables:
    def test_a_hostile_cell_is_shown_and_not_obeyed(self, monkeypatch):
        out = io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        render.emit_table([{"symbol": HOSTILE}], [render.Column("symbol")])
        printed = out.getvalue()
        assert all(line.isprintable() for line in printed.splitlines())
        assert "[red]x[/red]" in printed, "rich's markup is text"
        assert r"\x1b]0;owned\x07" in printed

    def test_cells_are_for_people(self):
        assert [render.words(value) for value in (None, "", True, False, ["a", "b"], [], 0)] == [
            "-",
            "-",
            "yes",
            "no",
            "a, b",
            "-",
            "0",
        ]


class TestStderr:
    def test_an_error_is_one_line_and_its_hint_another(self, capsys):
        stderr.error(f"no such symbol: {HOSTILE}", "write\nBTC-USD")
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 2
        assert all(line.isprintable() for line in lines)

    def test_a_log_record_is_one_line_with_its_reason(self):
        reason = ValueError(HOSTILE)
        record = logging.LogRecord(
            "edges.exchange.session", logging.WARNING, "f", 1, "refused %s", (HOSTILE,), (ValueError, reason, None)
        )
        line = log.OneLine().format(record)
        assert line.isprintable()
        assert "warning edges.exchange.session: refused" in line
        assert "ValueError" in line


class Terminal(io.StringIO):
    def isatty(self):
        return True


class TestColour:
    """NO_COLOR, FORCE_COLOR, TERM=dumb, `color`: what decides is said once."""

    @pytest.mark.parametrize(
        ("stream", "environment", "configured", "expected"),
        [
            (Terminal(), {}, "auto", True),
            (io.StringIO(), {}, "auto", False),
            (Terminal(), {"NO_COLOR": "1"}, "auto", False),
            (Terminal(), {"NO_COLOR": ""}, "auto", True),
            (io.StringIO(), {"FORCE_COLOR": "1"}, "auto", True),
            (Terminal(), {"NO_COLOR": "1", "FORCE_COLOR": "1"}, "auto", False),
            (Terminal(), {"TERM": "dumb"}, "auto", False),
            (Terminal(), {"NO_COLOR": "1"}, "always", True),
            (Terminal(), {}, "never", False),
            (None, {}, "auto", False),
        ],
    )
    def test_the_policy_of_colours(self, monkeypatch, stream, environment, configured, expected):
        for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr(stderr, "_colour", configured)
        assert stderr.wants_colour(stream) is expected
