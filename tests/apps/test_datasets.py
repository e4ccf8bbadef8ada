"""`ap.load`: the rows that were written, exact in each library, in a fixed order; wrong arguments with a hint."""

import sys
from datetime import UTC, datetime
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.datasets import DAY_NS, NOON_NS, row, trade, write

import alphapulse_cli as ap
from alphapulse_cli.edges.columns.schema import TABLES
from alphapulse_cli.errors import NoSegment, StorageError, UsageError

MIDNIGHT_NS = NOON_NS + DAY_NS // 2
BIG = 2**62 - 1  # exact as no double


@pytest.fixture
def dataset(tmp_path):
    """Trades of two exchanges over midnight, in a folder whose name a reader may take for a pattern or a column."""
    folder = tmp_path / "base=TRUE [1]*" / "exchange=moon"
    for exchange in ("kraken", "okx"):
        rows = [
            trade(
                16 * number, 6500010 + number, BIG - number, timestamp_ns=MIDNIGHT_NS + offset_ns, symbol=symbol, size_decimals=18
            )
            for number, (offset_ns, symbol) in enumerate(
                [(-3, "BTC-USD"), (-1, "INF"), (-1, "T"), (0, "00"), (400, "BTC-USD")], start=1
            )
        ]
        write(folder, "trades", rows, exchange)
    return folder


def rows_of(loaded):
    return loaded.to_arrow().to_pylist()


def each_way(loaded):
    """The same rows by each library, as Python values."""
    numbers = loaded.to_numpy()
    by_numpy = [
        dict(zip(numbers, values, strict=True)) for values in zip(*(column.tolist() for column in numbers.values()), strict=True)
    ]
    frame = loaded.to_pandas().astype(object)
    return {
        "arrow": rows_of(loaded),
        "polars": loaded.to_polars().to_dicts(),
        "lazy polars": loaded.to_polars(lazy=True).collect().to_dicts(),
        "pandas": frame.where(frame.notna(), None).to_dict("records"),
        "numpy": by_numpy,
    }


class TestRows:
    @pytest.mark.parametrize("table", TABLES)
    def test_all_columns_come_back_as_they_were_written(self, tmp_path, table):
        number = {"price_decimals": 18, "size_decimals": 0} if "price_decimals" in {one.name for one in TABLES[table]} else {}
        written = [row(table, symbol="BTC-USD", epoch=1, sequence=16 * at, **number) for at in (1, 2, 3)]
        for at, one in enumerate(written):
            for column in TABLES[table]:
                if (
                    column.type == "int"
                    and column.name not in {"epoch", "sequence", "timestamp_ns", *number}
                    and (at != 1 or not column.is_nullable)
                ):
                    one[column.name] = BIG - at
                if column.type == "decimal" and (at != 1 or not column.is_nullable):
                    one[column.name] = Decimal(BIG - at).scaleb(-18)
                if column.type == "text" and column.name != "symbol" and (at != 1 or not column.is_nullable):
                    one[column.name] = ("INF", "00", "T")[at]
        write(tmp_path, table, written)
        path = {"exchange": "kraken", "day": 20261127, "set_name": "kraken"}
        for how, found in each_way(ap.load(tmp_path, table)).items():
            assert found == [path | one for one in written], how

    def test_the_types_are_fixed_with_and_without_rows(self, dataset, tmp_path):
        write(tmp_path / "other", "bbo", [row("bbo")])
        full, empty = (ap.load(folder, "trades").to_arrow().schema for folder in (dataset, tmp_path / "other"))
        assert full == empty
        frames = [ap.load(folder, "trades").to_pandas().dtypes.to_dict() for folder in (dataset, tmp_path / "other")]
        assert frames[0] == frames[1]
        assert (frames[0]["sequence"], frames[0]["exchange_ns"]) == (np.dtype("int64"), pd.Int64Dtype())
        lazy = [ap.load(folder, "trades").to_polars(lazy=True).collect().schema for folder in (dataset, tmp_path / "other")]
        assert lazy[0] == lazy[1]
        assert [lazy[0][name] for name in ("exchange", "day", "price")] == [pl.String(), pl.Int64(), pl.Decimal(38, 18)]
        arrays = ap.load(tmp_path / "other", "trades").to_numpy()
        assert arrays["sequence"].dtype == np.dtype("int64")
        assert isinstance(arrays["exchange_ns"], np.ma.MaskedArray)

    def test_the_names_stay_names(self, dataset):
        loaded = ap.load(dataset, "trades", exchanges=["okx"], columns=["symbol", "day", "exchange"])
        for how, found in each_way(loaded).items():
            assert [tuple(one.values()) for one in found] == [
                ("BTC-USD", 20261127, "okx"),
                ("INF", 20261127, "okx"),
                ("T", 20261127, "okx"),
                ("00", 20261128, "okx"),
                ("BTC-USD", 20261128, "okx"),
            ], how

    def test_the_order_is_by_time_then_set_then_publication(self, tmp_path):
        at_once = [
            trade(sequence, 1, 1, timestamp_ns=NOON_NS, symbol=symbol) for sequence, symbol in ((48, "A"), (16, "C"), (32, "B"))
        ]
        write(tmp_path, "trades", [*at_once, trade(64, 1, 1, timestamp_ns=NOON_NS - 1, symbol="D")], "okx")
        write(
            tmp_path, "trades", [trade(32, 1, 1, timestamp_ns=NOON_NS), trade(16, 1, 1, timestamp_ns=NOON_NS, epoch=1_795_000_001)]
        )
        loaded = ap.load(tmp_path, "trades", columns=["exchange", "sequence"])
        for how, found in each_way(loaded).items():
            order = [tuple(one.values()) for one in found]
            assert order == [("okx", 64), ("kraken", 32), ("kraken", 16), ("okx", 16), ("okx", 32), ("okx", 48)], how

    def test_levels_of_a_snapshot_keep_their_order(self, tmp_path):
        levels = [row("snapshots", side=side, level=level, sequence=5) for side in ("ask", "bid") for level in range(12)]
        write(tmp_path, "snapshots", levels[::-1])
        for how, found in each_way(ap.load(tmp_path, "snapshots", columns=["side", "level"])).items():
            assert [(one["side"], one["level"]) for one in found] == [(one["side"], one["level"]) for one in levels], how


class TestChoice:
    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ({"exchanges": ["okx"]}, 5),
            ({"exchanges": ["okx", "kraken"]}, 10),
            ({"symbols": ["INF", "00"]}, 4),
            ({"symbols": ["okx:INF", "kraken:T", "kraken:00"]}, 3),
            ({"symbols": []}, 0),
            ({"start": MIDNIGHT_NS - 1}, 8),
            ({"start": MIDNIGHT_NS}, 4),
            ({"end": MIDNIGHT_NS}, 6),
            ({"start": MIDNIGHT_NS - 1, "end": MIDNIGHT_NS + 1}, 6),
            ({"start": "2026-11-28T00:00:00.0000004Z"}, 2),
            ({"start": "2026-11-28T01:00:00.0000004+01:00"}, 2),
            ({"start": datetime(2026, 11, 28, tzinfo=UTC)}, 4),
            ({"start": pd.Timestamp(MIDNIGHT_NS + 1, tz="UTC")}, 2),
            ({"start": np.int64(MIDNIGHT_NS + 401)}, 0),
        ],
    )
    def test_rows(self, dataset, wanted, expected):
        for how, found in each_way(ap.load(dataset, "trades", columns=["sequence"], **wanted)).items():
            assert len(found) == expected, how

    def test_files_of_other_days_are_not_read(self, dataset):
        [path] = ap.load(dataset, "trades", exchanges=["okx"], end=MIDNIGHT_NS).files
        assert path.parent.name == "day=20261127"
        assert len(ap.load(dataset, "trades", exchanges=["okx"], end=MIDNIGHT_NS + 1).files) == 2

    def test_columns_come_in_the_order_named(self, dataset):
        loaded = ap.load(dataset, "trades", columns=["price", "day", "symbol"])
        assert loaded.to_arrow().column_names == ["price", "day", "symbol"]
        assert list(loaded.to_pandas()) == list(loaded.to_numpy()) == loaded.to_polars().columns == ["price", "day", "symbol"]

    def test_nothing_is_read_before_it_is_asked_for(self, dataset):
        loaded = ap.load(dataset, "trades")
        assert "4 files" in repr(loaded)
        loaded.files[0].unlink()
        for read in (loaded.to_arrow, loaded.to_polars, loaded.to_pandas, loaded.to_numpy):
            with pytest.raises(StorageError, match="cannot be read") as refused:
                read()
            assert "load it again" in refused.value.hint


class TestOtherVersions:
    def rewrite(self, path, change, metadata=None):
        kept = pq.read_metadata(path).metadata
        table = change(pq.read_table(path, partitioning=None))
        pq.write_table(table.replace_schema_metadata({**kept, **(metadata or {})}), path)

    def test_a_column_that_is_not_known_is_left_alone_and_one_that_is_missing_is_null(self, dataset):
        path = ap.load(dataset, "trades", exchanges=["okx"]).files[0]
        self.rewrite(
            path, lambda table: table.drop_columns(["exchange_ns", "trade_id"]).append_column("mood", pa.array([1.5] * len(table)))
        )
        for how, found in each_way(ap.load(dataset, "trades", exchanges=["okx"])).items():
            assert "mood" not in found[0], how
            assert [one["trade_id"] for one in found] == [None] * 3 + ["64", "80"], how
            assert [one["sequence"] for one in found] == [16, 32, 48, 64, 80], how

    def test_a_number_that_is_missing_makes_no_doubles(self, dataset):
        for path in ap.load(dataset, "trades", exchanges=["okx"]).files:
            self.rewrite(path, lambda table: table.drop_columns(["size_lots"]))
        assert ap.load(dataset, "trades", symbols=["00"], columns=["size_lots"]).to_numpy()["size_lots"].tolist() == [BIG - 4, None]
        assert ap.load(dataset, "trades", symbols=["00"]).to_pandas()["size_lots"].tolist() == [BIG - 4, pd.NA]

    def test_a_greater_version_is_refused(self, dataset):
        self.rewrite(ap.load(dataset, "trades").files[-1], lambda table: table, {b"alphapulse.dataset": b"2"})
        with pytest.raises(UsageError, match="version 2 of a dataset, known is 1") as refused:
            ap.load(dataset, "trades")
        assert "newer alphapulse" in refused.value.hint
        assert len(rows_of(ap.load(dataset, "trades", exchanges=["kraken"]))) == 5, "the others are read"


class TestMistakes:
    @pytest.mark.parametrize(
        ("wanted", "message", "hint"),
        [
            ({"table": "trade"}, "no such table: 'trade'", "did you mean trades?"),
            ({"table": "x"}, "no such table: 'x'", "known: deltas, trades"),
            ({"columns": ["prize"]}, "no such column of trades: 'prize'", "did you mean price"),
            ({"columns": "price"}, "columns are a list, not a text", "columns=['price']"),
            ({"columns": []}, "no column is named", "columns of trades: exchange"),
            ({"columns": ["price", "price"]}, "named once each", "columns of trades: exchange"),
            ({"exchanges": "okx"}, "exchanges are a list, not a text", "exchanges=['okx']"),
            ({"symbols": "INF"}, "symbols are a list, not a text", "symbols=['INF']"),
            ({"start": "2026-11-28T00:00:00"}, "a time without an offset", "write it in UTC"),
            ({"start": datetime(2026, 11, 28)}, "a time without an offset", "write it in UTC"),  # noqa: DTZ001 - that is the mistake
            ({"end": "soon"}, "not a time", "write it in UTC"),
            ({"end": 1.5e18}, "not a time", "whole ns"),
            ({"start": 5, "end": 5}, "is not after start", "what is at end is left out"),
        ],
    )
    def test_they_are_told_with_a_hint(self, dataset, wanted, message, hint):
        with pytest.raises(UsageError) as refused:
            ap.load(dataset, **{"table": "trades"} | wanted)
        assert message in str(refused.value)
        assert hint in refused.value.hint

    @pytest.mark.parametrize("exchanges", [["bitfinex"], ["okx", "bitfinex"]])
    def test_an_exchange_that_is_not_there(self, dataset, exchanges):
        with pytest.raises(NoSegment, match="no rows of bitfinex in") as refused:
            ap.load(dataset, "trades", exchanges=exchanges)
        assert refused.value.hint == "it has kraken, okx"

    @pytest.mark.parametrize(
        ("symbols", "missing", "hint"),
        [
            (["BTC-UDS"], "BTC-UDS", "did you mean BTC-USD?"),
            (["INF", "ETH-USD", "x"], "ETH-USD, x", "it has 00, BTC-USD, INF, T"),
            (["kraken:INF", "moon:INF"], "moon:INF", "did you mean kraken:INF or okx:INF?"),
            (["inf"], "inf", "did you mean INF?"),
        ],
    )
    @pytest.mark.parametrize("end", [None, MIDNIGHT_NS, NOON_NS - DAY_NS])
    def test_a_symbol_that_is_not_there(self, dataset, symbols, missing, hint, end):
        with pytest.raises(NoSegment) as refused:
            ap.load(dataset, "trades", symbols=symbols, end=end)
        assert (str(refused.value), refused.value.hint) == (f"no rows of {missing} in the dataset", hint)

    def test_a_symbol_of_another_table_or_day_has_no_rows(self, dataset):
        write(dataset, "deltas", [row("deltas", symbol="SOL-USD", epoch=1)])
        assert rows_of(ap.load(dataset, "trades", symbols=["SOL-USD"])) == []
        assert rows_of(ap.load(dataset, "trades", symbols=["00"], end=MIDNIGHT_NS)) == []
        assert rows_of(ap.load(dataset, "bbo", exchanges=["okx"], symbols=["INF"])) == []

    @pytest.mark.parametrize("text", ["btc-usd", "BTC/USD", "okx:btcusd"])
    def test_a_symbol_in_another_notation(self, dataset, text):
        loaded = ap.load(dataset, "trades", exchanges=["okx"], symbols=[text, "T"])
        assert [one["symbol"] for one in rows_of(loaded)] == ["BTC-USD", "T", "BTC-USD"]

    def test_the_former_name_of_exchanges_works_with_a_warning(self, dataset):
        for given in ("okx", ["okx"]):
            with pytest.warns(DeprecationWarning, match=r"exchanges=\[") as warned:
                loaded = ap.load(dataset, "trades", exchange=given)
            assert warned[0].filename == __file__
            assert rows_of(loaded) == rows_of(ap.load(dataset, "trades", exchanges=["okx"]))
        with pytest.raises(UsageError, match="former name"):
            ap.load(dataset, exchange="okx", exchanges=["okx"])

    def test_one_that_has_nothing_on_those_days_is_empty(self, dataset):
        assert rows_of(ap.load(dataset, "trades", exchanges=["okx"], end=NOON_NS - DAY_NS)) == []

    def test_a_folder_that_is_no_dataset(self, tmp_path):
        with pytest.raises(NoSegment, match="not a dataset"):
            ap.load(tmp_path)

    @pytest.mark.parametrize(("module", "ask"), [("pyarrow", "load"), ("polars", "to_polars"), ("pandas", "to_pandas")])
    def test_a_library_that_is_absent(self, dataset, monkeypatch, module, ask):
        loaded = ap.load(dataset, "trades")
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(UsageError, match=f"needs {module}") as refused:
            ap.load(dataset) if ask == "load" else getattr(loaded, ask)()
        assert refused.value.hint.startswith("pip install")
