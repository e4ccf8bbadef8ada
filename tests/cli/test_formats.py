"""--format, --fields, --local and times as input: the same on every reader, and what stands in the pipe."""

import contextlib
import csv
import io
import json
import shutil
import subprocess

import pytest
from support.reader_sets import Writer, kept_alive, ladder
from support.terminals import Terminal

from alphapulse_cli.exchanges.timestamps import rfc3339_text

NOW_NS = 1_700_000_000_123_456_789
READERS = {
    "tail deltas": ["tail", "deltas", "--from", "oldest", "--count", "3"],
    "tail trades": ["tail", "trades", "--from", "oldest", "--count", "1"],
    "reconstruct": ["reconstruct"],
    "reconstruct --verify": ["reconstruct", "--verify", "--duration", "100ms"],
    "reconstruct --watch": ["reconstruct", "--watch", "--count", "2"],
    "segments": ["segments"],
    "arb scan": ["arb", "scan", "--all"],
    "arb counters": ["arb", "counters"],
    "exchanges": ["exchanges"],
    "doctor": ["doctor"],
    "config show": ["config", "show"],
}


@pytest.fixture
def alphapulse(quick):
    return quick


@pytest.fixture
def writer(writer):
    writer.now_ns = NOW_NS
    writer.trades(("a1", 1_000_000, 5, 0), exchange_ns=NOW_NS + 1_000_000)
    writer.update([(42, 7, False)])
    return writer


def table_of(text):
    return list(csv.DictReader(io.StringIO(text), strict=True))


class TestEveryReader:
    @pytest.mark.parametrize("name", READERS)
    def test_has_the_three_formats_in_a_pipe(self, alphapulse, writer, directory, name):
        """A table is no JSON and has no escapes; JSON is an object a line; CSV has one header and the same count of cells in each line."""
        with Writer(directory, set_name="second", exchange="coinbase") as second:
            second.snapshot(ladder(40))
            told = {form: alphapulse(*READERS[name], "--format", form) for form in ("table", "json", "csv")}
            default = alphapulse(*READERS[name])
        codes = {done.code for done in told.values()}
        assert codes in ({0}, {1})
        assert "\x1b" not in told["table"].stdout
        objects = [json.loads(line) for line in told["json"].stdout.splitlines()]
        rows = table_of(told["csv"].stdout)
        assert bool(objects) == bool(rows) == (name != "arb counters")
        assert all(None not in row and None not in row.values() for row in rows)
        assert default.stdout[:1] == told["json"].stdout[:1]
        if objects:
            assert not told["table"].stdout.startswith("{")

    @pytest.mark.parametrize("name", READERS)
    def test_each_reader_refuses_other_formats_by_name(self, alphapulse, writer, name):
        done = alphapulse(*READERS[name], "--format", "xml")
        assert (done.code, done.stdout) == (2, "")
        assert "unknown format: 'xml'\nhint: formats are: table, json, csv" in done.stderr
        assert alphapulse(*READERS[name], "--format", "csv", "--json").code == 2

    def test_a_table_goes_through_a_pipe(self, alphapulse, writer):
        line = f"{' '.join(alphapulse.command)} reconstruct --format table --depth 2 | cat"
        done = subprocess.run(
            ["bash", "-c", line], capture_output=True, text=True, env=alphapulse.environment(), timeout=30, check=True
        )
        assert done.stdout.startswith("kraken:BTC-USD  "), done.stderr
        assert "v2  spread 0.01" in done.stdout.splitlines()[0]

    def test_a_table_of_arb_watch_goes_through_a_pipe(self, alphapulse, writer, directory):
        """Line by line what is open, and what was held back at the end; no escapes, and the screen is nobody's."""
        with Writer(directory, set_name="second", exchange="coinbase") as second:
            second.snapshot(ladder(40))
            line = f"{' '.join(alphapulse.command)} arb watch --format table --no-keep --duration 400ms | cat"
            done = subprocess.run(
                ["bash", "-c", line], capture_output=True, text=True, env=alphapulse.environment(), timeout=30, check=True
            )
        assert "symbol" in done.stdout, done.stderr
        assert "\x1b" not in done.stdout
        assert "0 opportunities opened" in done.stderr

    @pytest.mark.parametrize("name", ["reconstruct", "arb watch"])
    def test_a_table_goes_into_less_on_a_terminal(self, alphapulse, writer, directory, name):
        """What is seen there is the table; q ends the pager and with it the command, quietly."""
        if shutil.which("less") is None:
            pytest.skip("no less here")
        words = {"reconstruct": "reconstruct --depth 2", "arb watch": "arb watch --no-keep --duration 3s"}[name]
        with Writer(directory, set_name="second", exchange="coinbase") as second:
            second.snapshot(ladder(40))
            line = f'{" ".join(alphapulse.command)} {words} --format table | less; echo "codes ${{PIPESTATUS[*]}}"'
            environment = alphapulse.environment(TERM="xterm", LESS="", PAGER="")
            with (
                kept_alive(second),
                kept_alive(writer),
                contextlib.closing(
                    Terminal(["bash", "-c", line], columns=120, env=environment, cwd=alphapulse.directory)
                ) as terminal,
            ):
                terminal.until(lambda text: "symbol" in text or "kraken:BTC-USD" in text, "a table")
                terminal.press("q")
                terminal.until(lambda text: "codes 0 0" in text, "exit codes")

    def test_csv_quotes_what_needs_it_and_keeps_lists_as_json(self, alphapulse, writer):
        rows = table_of(alphapulse("exchanges", "--format", "csv").stdout)
        assert all(row["exchange"] for row in rows)
        rows = table_of(alphapulse("segments", "--format", "csv").stdout)
        assert {row["set_name"] for row in rows} == {"kraken"}
        assert all(json.loads(row["readers"]) == [] for row in rows)


class TestFields:
    def test_time_symbol_bid_ask(self, alphapulse, writer):
        line = ["tail", "deltas", "--symbol", "BTC-USD", "--from", "oldest", "--count", "3", "--fields", "time,symbol,bid,ask"]
        rows = [json.loads(text) for text in alphapulse(*line).stdout.splitlines()]
        assert rows[-1] == {"time": "2023-11-14T22:13:20.123456789Z", "symbol": "BTC-USD", "bid": "10000.00", "ask": "10000.01"}
        (head, *_, last) = alphapulse(*line, "--format", "csv").stdout.splitlines()
        assert (head, last) == ("time,symbol,bid,ask", "2023-11-14T22:13:20.123456789Z,BTC-USD,10000.00,10000.01")
        (head, *_, last) = alphapulse(*line, "--format", "table").stdout.splitlines()
        assert head.split() == ["time", "symbol", "bid", "ask"]
        assert last.split() == ["2023-11-14T22:13:20.123456Z", "BTC-USD", "10000.00", "10000.01"]

    def test_a_field_of_a_change_makes_a_row_a_change(self, alphapulse, writer):
        writer.update([(43, 7, False), (42, 0, False)])
        line = ["tail", "deltas", "--symbol", "BTC-USD", "--from", "oldest", "--count", "4", "--fields", "version,side,price,what"]
        rows = [tuple(json.loads(text).values()) for text in alphapulse(*line).stdout.splitlines()]
        assert rows == [(2, "bid", "0.42", "new"), (3, "bid", "0.43", "new"), (3, "bid", "0.42", "removed")]

    def test_fields_of_trades(self, alphapulse, writer):
        line = ["tail", "trades", "--from", "oldest", "--count", "1", "--fields", "exchange_time,side,price,feed_delay_us"]
        (row,) = [json.loads(text) for text in alphapulse(*line).stdout.splitlines()]
        assert row == {
            "exchange_time": rfc3339_text(NOW_NS + 1_000_000),
            "side": "buy",
            "price": "10000.00",
            "feed_delay_us": -1000,
        }

    @pytest.mark.parametrize(
        ("what", "fields", "message"),
        [
            ("deltas", "time,prize", "not a field of deltas: prize"),
            ("deltas", "time,,set", "not a field of deltas: nothing"),
            ("trades", "bid", "a field of deltas, not of trades: bid"),
        ],
    )
    def test_what_is_no_field_is_refused_and_all_are_named(self, alphapulse, writer, what, fields, message):
        done = alphapulse("tail", what, "--fields", fields)
        assert (done.code, done.stdout) == (2, "")
        assert f"{message}\nhint: fields are: time, timestamp_ns," in done.stderr


class TestTimes:
    def test_a_line_says_which_clock(self, alphapulse, writer):
        line = ["tail", "trades", "--from", "oldest", "--count", "1", "--format", "table"]
        assert alphapulse(*line).stdout.startswith("22:13:20.123456Z  kraken:BTC-USD")

    def test_local_has_its_offset_and_is_for_tables(self, alphapulse, writer):
        line = [*alphapulse.command, "tail", "trades", "--from", "oldest", "--count", "1", "--local", "--format"]
        environment = alphapulse.environment(TZ="Asia/Kolkata")
        done = subprocess.run([*line, "table"], capture_output=True, text=True, env=environment, timeout=30, check=True)
        assert done.stdout.startswith("03:43:20.123456+05:30  kraken:BTC-USD")
        for form in ("json", "csv"):
            done = alphapulse("tail", "trades", "--local", "--format", form)
            assert (done.code, "--local is for tables" in done.stderr) == (2, True)

    @pytest.mark.parametrize("form", ["json", "csv"])
    def test_what_a_program_reads_is_utc_wherever_we_are(self, alphapulse, writer, form):
        line = [*alphapulse.command, "tail", "trades", "--from", "oldest", "--count", "1", "--format", form]
        environment = alphapulse.environment(TZ="Asia/Kolkata")
        done = subprocess.run(line, capture_output=True, text=True, env=environment, timeout=30, check=True)
        assert "2023-11-14T22:13:20.123456789Z" in done.stdout

    def test_a_time_to_begin_at(self, alphapulse, writer):
        writer.now_ns = NOW_NS + 1_000
        writer.trades(("a2", 1_000_000, 5, 0))
        for since in (rfc3339_text(NOW_NS + 1), "2023-11-15T03:43:20.123456790+05:30"):
            (row,) = alphapulse("tail", "trades", "--from", since, "--count", "1").stdout.splitlines()
            assert json.loads(row)["trade_id"] == "a2"

    @pytest.mark.parametrize("text", ["2023-11-14T22:13:20", "2023-11-14 22:13", "2023-11-14"])
    def test_a_time_without_an_offset_is_refused_with_a_hint(self, alphapulse, writer, text):
        done = alphapulse("tail", "deltas", "--from", text)
        assert done.code == 2
        assert f"a time without an offset: '{text}'\nhint: write it in UTC, as in 2026-11-27T10:55:37Z" in done.stderr

    @pytest.mark.parametrize("text", ["2023-13-14T22:13:20Z", "20231114Z", "2023"])
    def test_what_is_no_time_is_refused(self, alphapulse, writer, text):
        assert "not a time" in alphapulse("tail", "deltas", "--from", text).stderr
