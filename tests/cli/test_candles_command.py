"""`alphapulse candles`: what it prints of captures and of what runs, in each format, and how it ends."""

import csv
import io
import json
import signal

import pytest
from support import datasets
from support.reader_sets import Writer, kept_alive, ladder
from support.traded import write_traded

from alphapulse_cli.market.ticks import to_text


@pytest.fixture
def capture(tmp_path):
    folder = tmp_path / "captures"
    folder.mkdir()
    write_traded(folder, updates=80)
    return str(folder)


def objects(done):
    assert (done.code, done.stderr) == (0, "")
    return [json.loads(line) for line in done.stdout.splitlines()]


class TestOfFiles:
    def test_json(self, quick, capture):
        first, second, third = objects(quick("candles", capture, "--width", "10s"))
        assert list(first)[:6] == ["set", "exchange", "symbol", "width", "begin", "end"]
        assert (first["begin"], first["end"]) == ("2026-09-21T14:13:20Z", "2026-09-21T14:13:30Z")
        assert (first["width"], first["gap"], first["why"], second["gap"]) == ("10s", True, "starting", False)
        assert isinstance(first["volume_lots"], str)
        notional, volume = int(second["notional_units"]), int(second["volume_lots"])
        assert second["notional"] == to_text(notional, 9)
        assert second["vwap"] == to_text((notional * 20_000 // volume + 1) // 2, 5)
        assert "ended" in third["why"]

    def test_csv_has_the_same(self, quick, capture):
        rows = objects(quick("candles", capture, "--width", "10s"))
        table = list(csv.DictReader(io.StringIO(quick("candles", capture, "--width", "10s", "--format", "csv").stdout)))
        assert [row["vwap"] for row in table] == [row["vwap"] for row in rows]
        assert list(table[0]) == [*rows[0], "replay"]

    def test_a_table_is_aligned_and_says_what_is_wrong(self, quick, capture):
        lines = quick("candles", capture, "--width", "10s", "--format", "table").stdout.splitlines()
        assert lines[0].split() == ["begin", "set", "symbol", "open", "high", "low", "close", "volume", "vwap", "count", "gap"]
        assert lines[1].endswith("  starting")
        assert len({line.index("BTC-USD") for line in lines[1:]}) == 1

    def test_no_trades_are_a_dash(self, quick, tmp_path):
        datasets.write(tmp_path / "made", "trades", [datasets.trade(0, 100, 1), datasets.trade(61, 100, 1)])
        lines = quick("candles", str(tmp_path / "made"), "--width", "10s", "--format", "table").stdout.splitlines()
        assert lines[2].split()[3:] == ["-", "-", "-", "-", "0.00000000", "-", "0"]

    def test_a_span_and_a_number(self, quick, capture):
        line = ["candles", capture, "--width", "1s", "--from", "2026-09-21T14:13:25.5Z"]
        assert [row["begin"][17:19] for row in objects(quick(*line, "--to", "2026-09-21T14:13:28Z"))] == ["25", "26", "27"]
        assert [row["begin"][17:19] for row in objects(quick(*line, "--count", "2"))] == ["25", "26"]

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--duration", "1s"], "--duration is for what runs"),
            (["--wait-for"], "--wait-for is for what runs"),
            (["--shm-dir", "x"], "--shm-dir is for what runs"),
            (["--from", "oldest"], "not a time of a capture"),
            (["--from", "2027-01-01T00:00:00Z"], "nothing of that time is in the capture"),
            (["--width", "1M"], "unknown width: '1M'"),
            (["--local", "--json"], "--local is for tables"),
        ],
    )
    def test_what_cannot_be(self, quick, capture, more, message):
        done = quick("candles", capture, *more)
        assert (done.code, done.stdout) == (2, "")
        assert message in done.stderr
        assert "\nhint: " in done.stderr

    def test_a_symbol_that_is_not_there(self, quick, capture):
        assert quick("candles", capture, "--symbol", "ETH-USD").code == 3

    def test_skipped_candles_are_told(self, quick, tmp_path, monkeypatch):
        monkeypatch.setattr("alphapulse_cli.market.candles.MOST_EMPTY", 10)
        datasets.write(tmp_path / "made", "trades", [datasets.trade(0, 100, 1), datasets.trade(3600, 100, 1)])
        done = quick("candles", str(tmp_path / "made"))
        assert len(done.stdout.splitlines()) == 12
        assert "49 candles without trades were left out" in done.stderr

    def test_without_pyarrow_a_dataset_says_what_to_install(self, quick, tmp_path, monkeypatch):
        datasets.write(tmp_path / "made", "trades", [datasets.trade(0, 100, 1)])
        monkeypatch.setitem(__import__("sys").modules, "pyarrow.parquet", None)
        done = quick("candles", str(tmp_path / "made"))
        assert done.code == 2
        assert "a dataset needs pyarrow" in done.stderr
        assert "pip install 'alphapulse[record]'" in done.stderr


class TestOfWhatRuns:
    def test_from_the_oldest_record_on(self, quick, writer):
        writer.trades(("a", 1_000_000, 5, 0), ("b", 1_000_001, 6, 1))
        line = ["candles", "--width", "1s", "--from", "oldest", "--late", "0", "--symbol", "BTC-USD", "--count", "1"]
        (row,) = objects(quick(*line))
        assert (row["open"], row["close"], row["count"], row["buy_volume"]) == ("10000.00", "10000.01", 2, "0.00000005")

    def test_a_replay_says_so(self, quick, directory):
        with Writer(directory, replay=True) as past:
            past.snapshot(ladder(4))
            past.now_ns += 3_600_000_000_000
            past.beat()
            done = quick("candles", "--width", "1h", "--from", "-2h", "--count", "1", "--late", "0")
            assert done.code == 0
            assert json.loads(done.stdout)["replay"] is True
            assert "REPLAY" in done.stderr

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            (["--to", "2026-11-27T00:00:00Z"], "--to is for captures and datasets"),
            (["--from", "yesterday"], "unknown --from"),
            (["--from", "-x"], "not a duration"),
        ],
    )
    def test_what_cannot_be(self, quick, writer, more, message):
        done = quick("candles", *more)
        assert (done.code, done.stdout) == (2, "")
        assert message in done.stderr

    def test_nothing_there(self, quick):
        done = quick("candles")
        assert done.code == 3
        assert "hint: " in done.stderr

    def test_it_prints_each_at_once_and_ends_with_a_signal(self, alphapulse, writer):
        """Each line comes through a pipe while it runs, and Ctrl-C ends it."""
        names = iter(range(10**6))
        with kept_alive(writer, lambda: writer.trades((str(next(names)), 100, 1, 0))):
            process = alphapulse.start("candles", "--width", "1s", "--late", "0", "--symbol", "BTC-USD")
            rows = [json.loads(process.stdout.readline()) for _ in range(2)]
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130
        assert rows[1]["begin_ns"] == rows[0]["end_ns"]
