"""`alphapulse sql`: a result in each format, exact; hostile text is harmless; wrong queries end with 2 and a hint; each way to end."""

import csv
import io
import json
import signal
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.datasets import NOON_NS, row, trade, write

from alphapulse_cli.apps.sql.session import Session
from alphapulse_cli.cli import sql, stderr
from alphapulse_cli.errors import StorageError

HOSTILE = "\x1b]0;owned\x07\x1b[2J\r\n\u202eDSU"
TRADES = [trade(16 * number, 6500010 + number, 2**60 + number, timestamp_ns=NOON_NS + number) for number in (1, 2, 3)]
UNITS = sum(one["price_ticks"] * one["size_lots"] for one in TRADES)
QUERY = "SELECT symbol, sequence, price, rfc3339(timestamp_ns) AS time, sum(price_ticks::HUGEINT * size_lots) OVER () AS units FROM trades ORDER BY sequence"


@pytest.fixture
def dataset(tmp_path):
    folder = tmp_path / "data"
    write(folder, "trades", TRADES)
    write(folder, "status", [row("status", symbol=HOSTILE, kind="status", reason=HOSTILE)])
    return str(folder)


class TestFormats:
    def test_json_has_decimals_as_text_and_integers_whole(self, quick, dataset):
        done = quick("sql", QUERY, dataset)
        assert (done.code, done.stderr) == (0, "")
        assert [json.loads(line) for line in done.stdout.splitlines()] == [
            {
                "symbol": "BTC-USD",
                "sequence": one["sequence"],
                "price": f"{one['price'].normalize():f}",
                "time": f"2026-11-27T12:00:00.00000000{number}Z",
                "units": UNITS,
            }
            for number, one in enumerate(TRADES, start=1)
        ]
        assert UNITS > 2**63

    def test_json_has_no_zeros_at_the_end_of_decimals_alone(self, quick, dataset):
        query = (
            "SELECT 120.500::DECIMAL(9,3) AS a, 100::DECIMAL(9,3) AS b, 100 AS c, '1.50' AS d, [2.50, 3.00]::DECIMAL(9,2)[] AS e"
        )
        assert quick("sql", query, dataset).stdout == '{"a":"120.5","b":"100","c":100,"d":"1.50","e":["2.5","3"]}\n'

    def test_csv(self, quick, dataset):
        done = quick("sql", QUERY, dataset, "--format", "csv")
        rows = list(csv.DictReader(io.StringIO(done.stdout)))
        assert [Decimal(one["price"]) for one in rows] == [one["price"] for one in TRADES]
        assert {one["units"] for one in rows} == {str(UNITS)}
        assert quick("sql", "SELECT 1 AS a, 2 AS b WHERE false", dataset, "--format", "csv").stdout == "a,b\n"

    def test_a_table_is_for_reading(self, quick, dataset):
        done = quick("sql", QUERY, dataset, "--format", "table")
        lines = done.stdout.splitlines()
        assert lines[0].split() == ["symbol", "sequence", "price", "time", "units"]
        assert lines[1].split() == ["BTC-USD", "16", "65000.11", "2026-11-27T12:00:00.000000001Z", str(UNITS)]

    def test_a_table_ends_and_says_so(self, quick, dataset):
        done = quick("sql", "FROM range(100000)", dataset, "--format", "table")
        assert len(done.stdout.splitlines()) == sql.MOST_ROWS + 1
        assert "the first 1000 rows are shown" in done.stderr
        assert quick("sql", "FROM range(1000)", dataset, "--format", "table").stderr == ""

    def test_parquet_goes_into_a_pipe(self, alphapulse, dataset):
        import subprocess

        done = subprocess.run(
            [*alphapulse.command, "sql", QUERY, dataset, "--format", "parquet"],
            env=alphapulse.environment(),
            capture_output=True,
            check=True,
        )
        read = pq.read_table(io.BytesIO(done.stdout))
        assert [int(one) for one in read["units"].to_pylist()] == [UNITS] * 3
        assert read["price"].to_pylist() == [one["price"] for one in TRADES]
        assert str(read.schema.field("price").type) == "decimal128(38, 18)"

    def test_but_not_to_a_terminal(self, quick, dataset, monkeypatch):
        monkeypatch.setattr(stderr, "is_terminal", lambda _: True)
        done = quick("sql", QUERY, dataset, "--format", "parquet")
        assert (done.code, done.stdout) == (2, "")
        assert "> result.parquet" in done.stderr

    def test_the_folder_is_the_one_where_one_is(self, quick, dataset, monkeypatch):
        monkeypatch.chdir(dataset)
        assert quick("sql", "SELECT count(*) AS n FROM trades").stdout == '{"n":3}\n'

    def test_a_query_from_standard_input(self, alphapulse, dataset):
        assert alphapulse("sql", "-", dataset, stdin=b"SELECT count(*) AS n -- all of them\nFROM trades;\n").stdout == '{"n":3}\n'

    def test_candles(self, quick, dataset):
        [bar] = map(json.loads, quick("sql", "FROM candles('1m')", dataset).stdout.splitlines())
        assert (bar["open"], bar["close"], bar["count"]) == ("65000.11", "65000.13", 3)
        assert bar["notional_units"] == UNITS


class TestHostileText:
    @pytest.mark.parametrize("form", ["table", "json", "csv"])
    def test_of_the_data(self, quick, dataset, form):
        done = quick("sql", "SELECT symbol, reason FROM status", dataset, "--format", form)
        assert done.code == 0
        assert all(line.isprintable() for line in done.stdout.splitlines())
        if form == "json":
            assert json.loads(done.stdout) == {"symbol": HOSTILE, "reason": HOSTILE}

    @pytest.mark.parametrize("form", ["table", "json", "csv"])
    def test_of_a_name_in_the_query(self, quick, dataset, form):
        done = quick("sql", f'SELECT 1 AS "{HOSTILE}"', dataset, "--format", form)
        assert done.code == 0
        assert all(line.isprintable() for line in done.stdout.splitlines())

    def test_of_an_error(self, quick, dataset):
        done = quick("sql", f'SELECT "{HOSTILE}" FROM trades', dataset)
        assert done.code == 2
        assert len(done.stderr.splitlines()) == 2
        assert all(line.isprintable() for line in done.stderr.splitlines())


class TestMistakes:
    @pytest.mark.parametrize(
        ("query", "hint"),
        [
            ("SELECT prize FROM trades", "did you mean price"),
            ("SELECT 1; SELECT 2", "one SELECT"),
            ("COPY trades TO 'x.csv'", "one SELECT"),
            ("CREATE TABLE x AS SELECT 1", "one SELECT"),
            ("PRAGMA memory_limit = '1GB'", "one SELECT"),
            ("SELECT sum(price * size) FROM trades", "price_ticks::HUGEINT"),
            ("FROM '/etc/passwd'", "views are deltas"),
            ("FROM read_csv('/etc/passwd')", "reads the views of this dataset alone"),
            ("", "name one"),
        ],
    )
    def test_a_query(self, quick, dataset, query, hint):
        done = quick("sql", query, dataset)
        assert (done.code, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ")
        assert hint in done.stderr
        assert len(done.stderr.splitlines()) == 2

    def test_the_folder_first(self, quick, dataset):
        done = quick("sql", dataset, "SELECT 1")
        assert done.code == 2
        assert "the query comes first" in done.stderr

    def test_no_dataset(self, quick, tmp_path):
        done = quick("sql", "SELECT 1", str(tmp_path))
        assert done.code == 3
        assert "not a dataset" in done.stderr

    def test_a_damaged_file(self, quick, dataset):
        from pathlib import Path

        next(Path(dataset).rglob("*.parquet")).write_bytes(b"PAR1")
        done = quick("sql", "SELECT 1", dataset)
        assert done.code == 1
        assert "move the file away" in done.stderr

    def test_a_file_that_keep_removed_meanwhile(self, dataset):
        from pathlib import Path

        with Session(Path(dataset)) as session:
            next(Path(dataset).rglob("trades/**/*.parquet")).unlink()
            with pytest.raises(StorageError, match="no such file any more") as refused:
                list(session.ask("SELECT sum(price_ticks) FROM trades").batches())
        assert refused.value.hint == "if --keep removed it meanwhile, ask again"


class TestEndings:
    FAILS_LATE = (
        "SELECT 1 // (3000000 - a.range) + CASE a.range WHEN 3000000 THEN error('late') ELSE 0 END AS n FROM range(4000000) a"
    )
    ENDLESS = "SELECT a.range AS n FROM range(100000000000) a"

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0), (signal.SIGHUP, 0)])
    def test_a_signal_in_the_middle(self, alphapulse, dataset, number, code):
        running = alphapulse.start("sql", self.ENDLESS, dataset)
        assert running.stdout.readline() == b'{"n":0}\n'
        running.send_signal(number)
        _, said = running.communicate(timeout=60)
        cut = b"" if code else b"warning: the result is cut: a signal ended the command\n"
        assert (running.returncode, said) == (code, cut)

    @pytest.mark.parametrize("query", ["SELECT a.range AS n FROM range(100000000000) a", FAILS_LATE])
    def test_parquet_that_is_cut_cannot_be_read(self, alphapulse, dataset, tmp_path, query):
        """By a signal, or by an error behind many rows: the rows so far would look like a whole result."""
        path = tmp_path / "result.parquet"
        with path.open("wb") as out:
            running = alphapulse.start("sql", query, dataset, "--format", "parquet")
            begun = running.stdout.read(1 << 16)
            out.write(begun)
            running.send_signal(signal.SIGTERM) if query == self.ENDLESS else None
            rest, said = running.communicate(timeout=60)
            out.write(rest)
        assert path.read_bytes()[:4] == b"PAR1"
        assert said.startswith(b"warning: the result is cut" if query == self.ENDLESS else b"error: ")
        with pytest.raises(pa.ArrowInvalid):
            pq.read_table(path)

    @pytest.mark.parametrize("form", ["json", "csv", "parquet"])
    def test_a_reader_that_has_seen_enough(self, alphapulse, dataset, form):
        running = alphapulse.start("sql", self.ENDLESS, dataset, "--format", form)
        assert running.stdout.read(4)
        running.stdout.close()
        assert running.wait(60) == 0
        assert running.stderr.read() == b""
