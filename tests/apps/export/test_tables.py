"""Tables as CSV, Parquet and Arrow: the columns and numbers of a dataset, exact, in order of time."""

import csv
from decimal import Decimal

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq
import pytest
from support.exports import Feed, books_of, capture

from alphapulse_cli.apps.export import tables
from alphapulse_cli.apps.export.export import export_to
from alphapulse_cli.apps.export.from_captures import CaptureEvents
from alphapulse_cli.apps.export.output import Output
from alphapulse_cli.apps.export.tables import Tables, decimals, file_schema
from alphapulse_cli.apps.verify.verify import chosen
from alphapulse_cli.edges.columns.schema import TABLES, arrow_schema

NS = 1_795_897_499_699_989_330


@pytest.fixture
def written(tmp_path):
    """Write events; the rows of a table by its name."""

    def write(suffix, *events):
        with Output(tmp_path / "out", force=True) as output:
            writer = Tables(output, suffix)
            for event in events:
                writer.take(event)
            writer.finish()
            output.finish({"files": output.names})
        return {table: read(tmp_path / "out" / f"{table}.{suffix}") for table in tables.EXPORTED}

    return write


def read(path):
    if path.suffix == ".csv":
        with path.open(newline="") as lines:
            return list(csv.DictReader(lines))
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pylist()
    with pa.OSFile(str(path)) as file:
        return pa.ipc.open_file(file).read_all().to_pylist()


def some():
    feed = Feed(2, 3)
    yield feed.snapshot(NS, [(6_500_010, 290)], [(6_500_020, 1)])
    yield feed.group(NS + 1, (6_500_010, 0, False), (6_500_009, 7, False), delay_us=12)
    yield feed.trade(NS + 2, 6_500_010, 5, exchange_ns=NS - 5, side=1, name="t1")
    yield feed.gap(NS + 3)


class TestNumbersAreExact:
    def test_csv_has_all_decimals(self, written):
        found = written("csv", *some())
        assert [(row["price"], row["size"], row["side"]) for row in found["deltas"]] == [
            ("65000.10", "0.000", "bid"),
            ("65000.09", "0.007", "bid"),
        ]
        assert found["deltas"][0] == {
            "time": "2026-11-28T20:24:59.699989331Z",
            "exchange": "kraken",
            "set": "kraken",
            "symbol": "BTC-USD",
            "epoch": "1",
            "sequence": "32",
            "timestamp_ns": str(NS + 1),
            "feed_delay_us": "12",
            "version": "2",
            "is_last": "false",
            "resynced": "false",
            "side": "bid",
            "is_new": "false",
            "price_ticks": "6500010",
            "size_lots": "0",
            "price_decimals": "2",
            "size_decimals": "3",
            "price": "65000.10",
            "size": "0.000",
        }
        assert [row["level"] for row in found["snapshots"]] == ["0", "0"]

    @pytest.mark.parametrize("suffix", ["parquet", "arrow"])
    def test_parquet_and_arrow_have_decimals(self, written, suffix):
        found = written(suffix, *some())
        (trade,) = found["trades"]
        assert (trade["price"], trade["size"]) == (Decimal("65000.10"), Decimal("0.005"))
        assert (trade["timestamp_ns"], trade["exchange_ns"], trade["side"], trade["trade_id"]) == (NS + 2, NS - 5, "sell", "t1")
        assert [row["is_last"] for row in found["deltas"]] == [False, True]
        assert [row["sequence"] for row in found["deltas"]] == [32, 33]
        assert {name for row in found["snapshots"] for name in row} == set(file_schema("snapshots").names)

    def test_decimals_of_any_grid(self):
        found = decimals([1, -5, 2**62, 10**18, 7], [18, 0, 18, 0, 8]).to_pylist()
        assert found == [Decimal("1e-18"), Decimal(-5), Decimal(2**62).scaleb(-18), Decimal(10**18), Decimal("7e-8")]


@pytest.mark.parametrize("table", tables.EXPORTED)
def test_the_columns_are_those_of_a_dataset(written, tmp_path, table):
    written("parquet", *some())
    schema = pq.read_schema(tmp_path / "out" / f"{table}.parquet")
    assert schema.names == ["time", "exchange", "set", *(one.name for one in TABLES[table])]
    assert all(schema.field(field.name).type == field.type for field in arrow_schema(table))
    assert pq.read_metadata(tmp_path / "out" / f"{table}.parquet").metadata[b"alphapulse.table"] == table.encode()


class TestOfACapture:
    @pytest.fixture(scope="class")
    @classmethod
    def place(cls, tmp_path_factory):
        return capture(tmp_path_factory.mktemp("export") / "captures")

    def rows(self, place, folder, suffix):
        export_to([place], suffix, folder, (), (), force=True)
        return {table: read(folder / f"{table}.{suffix}") for table in tables.EXPORTED}

    def test_all_formats_hold_the_same(self, place, tmp_path):
        found = {suffix: self.rows(place, tmp_path / suffix, suffix) for suffix in ("csv", "parquet", "arrow")}
        assert found["parquet"] == found["arrow"]
        for table in tables.EXPORTED:
            exact = [{name: str(value) for name, value in row.items()} for row in found["parquet"][table]]
            for text, one in zip(found["csv"][table], exact, strict=True):
                assert int(text["price_ticks"]) == Decimal(text["price"]).scaleb(int(text["price_decimals"]))
                assert Decimal(text["price"]) == Decimal(one["price"])
                assert (text["time"], text["sequence"], text["version" if table != "trades" else "trade_id"]) == (
                    one["time"],
                    one["sequence"],
                    one["version" if table != "trades" else "trade_id"],
                )

    def test_the_deltas_give_our_books(self, place, tmp_path):
        rows = self.rows(place, tmp_path / "out", "parquet")
        with CaptureEvents(chosen([place])) as events:
            wanted = books_of(events)
        assert replayed(rows) == wanted
        assert len(wanted) > 100
        assert sum(row["resynced"] for row in rows["deltas"]) > 0

    def test_mutant_a_change_is_left_out(self, place, tmp_path):
        rows = self.rows(place, tmp_path / "out", "parquet")
        with CaptureEvents(chosen([place])) as events:
            wanted = books_of(events)
        del rows["deltas"][40]
        assert replayed(rows) != wanted

    def test_rows_are_bounded_and_the_same(self, place, tmp_path, monkeypatch):
        whole = self.rows(place, tmp_path / "whole", "parquet")
        monkeypatch.setattr(tables, "ROWS", 30)
        assert self.rows(place, tmp_path / "parts", "parquet") == whole
        assert pq.ParquetFile(tmp_path / "parts" / "deltas.parquet").num_row_groups > 3


def replayed(rows):
    """Books by time of a snapshot and the changes behind it."""
    sides: dict[str, dict[int, int]] = {"bid": {}, "ask": {}}
    found = {}
    merged = sorted([*rows["snapshots"], *rows["deltas"]], key=lambda row: row["version"])
    for row in merged:
        side = sides[row["side"]]
        if row["size_lots"]:
            side[row["price_ticks"]] = row["size_lots"]
        else:
            side.pop(row["price_ticks"], None)
        if row.get("is_last", True):
            found[row["timestamp_ns"]] = (sorted(sides["bid"].items(), reverse=True), sorted(sides["ask"].items()))
    return found
