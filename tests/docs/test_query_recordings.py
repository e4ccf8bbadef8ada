"""The page on queries, done: its blocks give what Python's integers give; and each trap of its table, with the real engine."""

import re
import shlex
import subprocess
from datetime import UTC, datetime
from decimal import Decimal, localcontext
from fractions import Fraction
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset
import pytest
from support.datasets import DAY_NS, NOON_NS, row, trade, write

import alphapulse_cli as ap

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "query-recordings.md").read_text()
MIDNIGHT_NS = NOON_NS + DAY_NS // 2
LOTS = 2**61  # a product with it is far beyond 64 bits


def blocks(head, language="python"):
    """Blocks of a section of the page."""
    [section] = [part for part in re.split(r"^## ", PAGE, flags=re.MULTILINE) if part.startswith(head)]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)


def made_trades():
    """Trades around midnight: several at one instant, names that look like other things, and a symbol whose grid became finer."""
    rows = []
    for number, (symbol, offset_ns) in enumerate(
        [
            ("BTC-USD", -4_000),
            ("BTC-USD", -400),
            ("INF", -400),
            ("T", -1),
            ("00", 0),
            ("BTC-USD", 0),
            ("BTC-USD", 0),
            ("T", 70_000_000_000),
        ],
        start=1,
    ):
        rows.append(
            trade(
                16 * number, 6500010 + number, LOTS + number, symbol=symbol, timestamp_ns=MIDNIGHT_NS + offset_ns, size_decimals=18
            )
        )
    rows.append(
        trade(16 * 20, 65000123, 3, symbol="T", timestamp_ns=MIDNIGHT_NS + 80_000_000_000, price_decimals=3, size_decimals=9)
    )
    return rows


TRADES = {exchange: made_trades() for exchange in ("kraken", "TRUE")}
UNITS: dict[tuple[str, str, int], int] = {}
for exchange, of_exchange in TRADES.items():
    for one in of_exchange:
        key = exchange, one["symbol"], one["price_decimals"] + one["size_decimals"]
        UNITS[key] = UNITS.get(key, 0) + one["price_ticks"] * one["size_lots"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("queries")
    for exchange, rows in TRADES.items():
        write(folder / "data", "trades", rows, exchange)
        quotes = [
            row(
                "bbo",
                symbol="BTC-USD",
                sequence=at,
                timestamp_ns=MIDNIGHT_NS + offset_ns,
                state="LIVE",
                bid_ticks=at,
                bid_lots=1,
                ask_ticks=at + 1,
                ask_lots=1,
            )
            for at, offset_ns in ((1, -5_000), (2, -400), (3, -300), (4, -300), (5, 0))
        ]
        write(folder / "data", "bbo", quotes, exchange)
    for table in ("deltas", "status", "snapshots"):
        write(folder / "data", table, [row(table)])
    return folder


@pytest.fixture
def here(folder, monkeypatch):
    monkeypatch.chdir(folder)
    return folder


def run(head, count, names=None):
    """Names after a section's blocks have run."""
    found = blocks(head)
    assert len(found) == count, "a block of the page is forgotten here"
    names = {"ap": ap} if names is None else names
    for block in found:
        exec(block, names)
    return names


class TestThePage:
    def test_duckdb(self, here):
        names = run("DuckDB", 2)
        assert {(exchange, symbol, decimals): units for exchange, symbol, units, decimals in names["notional"]} == UNITS
        before = [(sequence, bid) for symbol, sequence, _, bid, _ in names["quoted"] if symbol == "BTC-USD"]
        expected = [(sequence, Decimal(bid)) for sequence, bid in ((16, 1), (32, 1), (96, 4), (112, 4)) for _ in TRADES]
        assert sorted(before) == expected

    def test_polars(self, here):
        names = run("polars", 1)
        assert {
            (one["exchange"], one["symbol"], one["price_decimals"] + one["size_decimals"]): one["units"]
            for one in names["notional"].to_dicts()
        } == UNITS
        bars = {(one["exchange"], one["symbol"], one["begin_ns"]): one for one in names["minutes"].to_dicts()}
        bar = bars["TRUE", "BTC-USD", MIDNIGHT_NS]
        assert (bar["open"], bar["close"]) == (Decimal("65000.16"), Decimal("65000.17"))
        assert ("kraken", "BTC-USD", MIDNIGHT_NS - 60_000_000_000) in bars

    def test_pandas(self, here):
        names = run("pandas", 1)
        found = {
            (exchange, symbol, prices + sizes): units for (exchange, symbol, prices, sizes), units in names["notional"].items()
        }
        assert found == UNITS
        assert names["frame"]["time"].map(lambda time: time.value).tolist() == names["frame"]["timestamp_ns"].tolist()

    def test_load(self, here):
        names = run("In Python", 1)
        assert len(names["frame"]) == len(names["arrays"]["sequence"]) == names["table"].num_rows == 4

    def test_sql(self, alphapulse, folder):
        [block] = blocks("Without a program", "sh")
        script = f'set -e\nalphapulse() {{ {shlex.join(alphapulse.command)} "$@"; }}\n{block}'
        done = subprocess.run(
            ["bash", "-c", script], cwd=folder, env=alphapulse.environment(), capture_output=True, text=True, check=False
        )
        assert (done.returncode, done.stderr) == (0, "")
        import json

        rows = [json.loads(line) for line in done.stdout.splitlines()]
        notional = {
            (one["exchange"], one["symbol"]): Fraction(one["notional"])
            for one in rows
            if "notional" in one and one["symbol"] != "T"
        }
        assert notional == {key[:2]: Fraction(units, 10 ** key[2]) for key, units in UNITS.items() if key[1] != "T"}
        assert next(one["time"] for one in rows if "time" in one) == "2026-11-27T23:59:59.999996000Z"
        assert len((folder / "candles.csv").read_text().splitlines()) == 1 + 2 * 6

    def test_what_is_not_run_here_is_said_to_be(self):
        python = re.findall(r"^```python$", PAGE, re.MULTILINE)
        assert len(python) == sum(len(blocks(head)) for head in ("In Python", "DuckDB", "polars", "pandas", "Spark"))


class TestTraps:
    """What the page's table says still happens, and what it offers instead does not."""

    def test_products_of_decimals_in_duckdb(self, here):
        trades = "read_parquet('data/trades/*/*/*.parquet')"
        with pytest.raises(duckdb.OutOfRangeException):
            duckdb.sql(f"SELECT sum(price * size) FROM {trades}").fetchall()
        assert isinstance(duckdb.sql(f"SELECT avg(price) FROM {trades}").fetchall()[0][0], float)

    def test_products_of_decimals_in_polars(self):
        frame = pl.DataFrame(
            {"price": [Decimal("0.000000000000000003")], "size": [Decimal("0.5")]},
            schema=dict.fromkeys(("price", "size"), pl.Decimal(38, 18)),
        )
        assert frame.select(pl.col("price") * pl.col("size")).item() != Decimal("0.0000000000000000015")

    def test_sums_in_64_bits_wrap(self, here):
        frame = ap.load("data", "trades").to_pandas()
        expected = sum(UNITS.values())
        assert int((frame["price_ticks"] * frame["size_lots"]).sum()) != expected
        assert (frame["price_ticks"].astype(object) * frame["size_lots"].astype(object)).sum() == expected
        lazy = ap.load("data", "trades").to_polars(lazy=True)
        assert lazy.select((pl.col("price_ticks") * pl.col("size_lots")).sum()).collect().item() != expected
        assert (
            lazy.select((pl.col("price_ticks").cast(pl.Int128) * pl.col("size_lots").cast(pl.Int128)).sum()).collect().item()
            == expected
        )
        arrays = ap.load("data", "trades").to_numpy()
        assert int((arrays["price_ticks"] * arrays["size_lots"]).sum()) != expected

    def test_decimals_in_pandas(self):
        price, size = Decimal("65000.123456789012345678"), Decimal("1.234567890123456789")
        frame = pd.DataFrame({"price": [price], "size": [size]})
        exact = Fraction(price) * Fraction(size)
        assert Fraction((frame["price"] * frame["size"]).sum()) != exact
        with localcontext(prec=100):
            assert Fraction((frame["price"] * frame["size"]).sum()) == exact

    def test_midnight_in_duckdb(self, here):
        rows = duckdb.sql(
            "SELECT timestamp_ns, make_timestamp_ns(timestamp_ns)::DATE::VARCHAR AS rounded, day FROM read_parquet('data/trades/*/*/*.parquet', hive_partitioning = true)"
        ).fetchall()
        before = [(rounded, day) for time_ns, rounded, day in rows if MIDNIGHT_NS - 500 < time_ns < MIDNIGHT_NS]
        assert ("2026-11-28", 20261127) in before, "DuckDB rounds, the column does not"
        assert {day for time_ns, _, day in rows if time_ns >= MIDNIGHT_NS} == {20261128}

    def test_after_the_last_time_i_saw(self, here):
        rows = ap.load("data", "trades", exchanges=["kraken"], symbols=["T"])
        last_ns = MIDNIGHT_NS - 1
        seen = datetime.fromtimestamp(last_ns // 1_000 / 1e6, UTC).replace(microsecond=last_ns // 1_000 % 1_000_000)
        con = duckdb.connect()
        con.register("trades", rows.to_arrow())
        again = con.execute(
            "SELECT count(*) FROM trades WHERE make_timestamp_ns(timestamp_ns) > $1", [seen.replace(tzinfo=None)]
        ).fetchall()
        exact = con.execute("SELECT count(*) FROM trades WHERE timestamp_ns > $1", [last_ns]).fetchall()
        assert (again, exact) == ([(3,)], [(2,)]), "the row that was seen comes again"
        assert len(ap.load("data", "trades", exchanges=["kraken"], symbols=["T"], start=last_ns + 1).to_pandas()) == 2

    def test_an_asof_join_with_equal_times(self):
        con = duckdb.connect()
        con.execute("CREATE TABLE quotes AS SELECT 5 AS time_ns, range AS sequence FROM range(3)")
        taken = []
        for rows in (1, 200):
            con.execute(f"CREATE OR REPLACE TABLE trades AS SELECT 6 AS time_ns FROM range({rows})")
            taken.append(
                con.sql("SELECT DISTINCT sequence FROM trades ASOF JOIN quotes ON trades.time_ns >= quotes.time_ns").fetchall()
            )
            chosen = con.sql("""
                WITH last AS (SELECT * FROM quotes QUALIFY row_number() OVER (PARTITION BY time_ns ORDER BY sequence DESC) = 1)
                SELECT DISTINCT sequence FROM trades ASOF JOIN last ON trades.time_ns >= last.time_ns""").fetchall()
            assert chosen == [(2,)]
        assert taken != [[(2,)], [(2,)]], "with one row, or with many, another than the last"

    def test_windows_by_time_include_later_rows_of_the_instant(self):
        rows = duckdb.sql("""
            SELECT sum(x) OVER (ORDER BY time_ns RANGE UNBOUNDED PRECEDING), sum(x) OVER (ORDER BY time_ns, sequence ROWS UNBOUNDED PRECEDING)
            FROM (VALUES (5, 1, 10), (5, 2, 20)) AS rows(time_ns, sequence, x) ORDER BY sequence""").fetchall()
        assert rows == [(30, 10), (30, 30)]

    def test_order_by_time_alone(self, here):
        shuffled = (
            ap.load("data", "trades", exchanges=["kraken"], symbols=["BTC-USD"]).to_polars().sort("sequence", descending=True)
        )
        by_time = shuffled.sort("timestamp_ns", maintain_order=True)["sequence"].to_list()
        assert by_time != shuffled.sort("timestamp_ns", "epoch", "sequence")["sequence"].to_list() == [16, 32, 96, 112]

    def test_names_become_other_things(self, here):
        guessed = pl.scan_parquet("data/trades", hive_partitioning=True).collect_schema()["exchange"]
        assert guessed == pl.String(), "kraken is text"
        only = pl.scan_parquet("data/trades/exchange=TRUE/**/*.parquet", hive_partitioning=True).collect_schema()["exchange"]
        assert only == pl.Boolean(), "alone it is not"
        typed = pl.scan_parquet(
            "data/trades/exchange=TRUE/**/*.parquet", hive_partitioning=True, hive_schema={"exchange": pl.String, "day": pl.Int64}
        )
        assert typed.filter(pl.col("exchange") == "TRUE").select(pl.len()).collect().item() == len(TRADES["TRUE"])
        symbols = ap.load("data", "trades", exchanges=["TRUE"]).to_pandas()["symbol"]
        assert set(symbols) == {"BTC-USD", "INF", "T", "00"}
        files = pa.dataset.dataset("data/trades", partitioning="hive")
        assert files.to_table(filter=pc.field("symbol") == "00").num_rows == 2

    def test_a_folder_above(self, tmp_path):
        write(tmp_path / "run=5" / "data", "trades", [trade(16, 1, 1)])
        guessed = duckdb.sql(
            f"SELECT * FROM read_parquet('{tmp_path}/run=5/data/trades/*/*/*.parquet', hive_partitioning = true)"
        ).columns
        assert "run" in guessed
        assert "run" not in ap.load(tmp_path / "run=5" / "data", "trades").to_pandas().columns

    def test_small_unsigned_integers(self):
        assert (10 ** np.array([8], dtype=np.uint8)).tolist() == [0]
        assert (np.array([1], dtype=np.uint64) - np.array([2], dtype=np.uint64)).tolist() == [2**64 - 1]

    def test_every_number_of_a_dataset_is_signed_and_wide(self, here):
        for table in ("deltas", "trades", "bbo", "status", "snapshots"):
            types = {field.type for field in ap.load("data", table).to_arrow().schema}
            assert types <= {pa.int64(), pa.string(), pa.bool_(), pa.decimal128(38, 18)}, table

    def test_types_by_samples(self, tmp_path):
        path = tmp_path / "prices.csv"
        path.write_text("price\n" + "2\n" * 30_000 + "2.5\n")
        assert duckdb.sql(f"SELECT max(price) FROM read_csv('{path}', sample_size = 20480)").fetchall() == [(3,)]
        assert duckdb.sql(f"SELECT max(price) FROM read_csv('{path}', columns = {{'price': 'DECIMAL(38,18)'}})").fetchall() == [
            (Decimal("2.5"),)
        ]

    def test_two_sets_of_one_exchange(self, tmp_path):
        for name in ("kraken", "kraken-2"):
            write(tmp_path, "trades", [trade(16, 1, 1)], "kraken", name)
        frame = ap.load(tmp_path, "trades").to_pandas()
        assert frame.duplicated(["exchange", "epoch", "sequence"]).sum() == 1
        assert frame.duplicated(["set_name", "epoch", "sequence"]).sum() == 0
