"""Catalogs for nautilus_trader, by the rules of its loader (N1 to N5 in the module), and mutants."""

import pyarrow.parquet as pq
import pytest
from support.exports import SECOND, Feed, books_of, capture

from alphapulse_cli.apps.export import nautilus
from alphapulse_cli.apps.export.export import export_to
from alphapulse_cli.apps.export.from_captures import CaptureEvents
from alphapulse_cli.apps.export.nautilus import ADD, CLEAR, DELETE, F_LAST, F_SNAPSHOT, UPDATE, Nautilus
from alphapulse_cli.apps.export.output import Output
from alphapulse_cli.apps.verify.verify import chosen
from alphapulse_cli.errors import UsageError

# Of a file that nautilus_trader 1.231 wrote, 128-bit build.
DELTAS = {
    "action": "uint8",
    "side": "uint8",
    "price": "fixed_size_binary[16]",
    "size": "fixed_size_binary[16]",
    "order_id": "uint64",
    "flags": "uint8",
    "sequence": "uint64",
    "ts_event": "uint64",
    "ts_init": "uint64",
}
TRADES = {
    "price": "fixed_size_binary[16]",
    "size": "fixed_size_binary[16]",
    "aggressor_side": "uint8",
    "trade_id": "string",
    "ts_event": "uint64",
    "ts_init": "uint64",
}
PRICE_65000_1 = b"\x00\x80\xae\xa8\xa5q\x93<#\x00\x00\x00\x00\x00\x00\x00"  # Price 65000.1 in that file
SIZE_0_29 = b"\x00@\xd9\xdd\x88M\n\x00\x00\x00\x00\x00\x00\x00\x00\x00"  # Quantity 0.29


@pytest.fixture
def written(tmp_path):
    """Write events with the writer; the tables by kind (deltas, trades), in order of their files' names."""

    def write(*events):
        with Output(tmp_path / "out", force=True) as output:
            writer = Nautilus(output)
            for event in events:
                writer.take(event)
            facts = writer.finish()
            output.finish({"files": output.names})
        return tables(tmp_path / "out"), next(iter(facts.values()))

    return write


def tables(folder):
    found = {}
    for kind in ("order_book_deltas", "trade_tick"):
        found[kind] = [pq.read_table(path) for path in sorted((folder / "data" / kind).glob("*/*.parquet"))]
    return found


def replayed(rows, decimals):
    """Books by ts_init of deltas, as an L2 book takes them: with the rules that a backtest relies on."""
    price_unit, size_unit = (10 ** (16 - places) for places in decimals)
    sides: tuple[dict[int, int], dict[int, int]] = ({}, {})
    found, is_inside = {}, False
    for row in rows:
        if row["action"] == CLEAR:
            sides = ({}, {})
        else:
            side = sides[row["side"] - 1]
            price, size = (int.from_bytes(row[name], "little", signed=True) for name in ("price", "size"))
            assert (price % price_unit, size % size_unit) == (0, 0)
            if row["action"] == DELETE:
                assert size == 0
                del side[price // price_unit]
            else:
                assert size > 0
                assert (price // price_unit in side) == (row["action"] == UPDATE)
                side[price // price_unit] = size // size_unit
        is_inside = not row["flags"] & F_LAST
        if not is_inside:
            found[row["ts_init"]] = (sorted(sides[0].items(), reverse=True), sorted(sides[1].items()))
    assert not is_inside
    return found


def test_the_columns_are_those_of_nautilus(written):
    feed = Feed(1, 8)
    found, facts = written(
        feed.snapshot(SECOND, [(650_001, 29_000_000)], []), feed.trade(SECOND, 650_001, 29_000_000, side=1, name="x")
    )
    for kind, wanted in (("order_book_deltas", DELTAS), ("trade_tick", TRADES)):
        schema = found[kind][0].schema
        assert {field.name: str(field.type) for field in schema} == wanted
        assert not any(field.nullable for field in schema)
        assert schema.metadata == {b"instrument_id": b"BTC-USD.KRAKEN", b"price_precision": b"1", b"size_precision": b"8"}
    (trade,) = found["trade_tick"][0].to_pylist()
    assert trade == {
        "price": PRICE_65000_1,
        "size": SIZE_0_29,
        "aggressor_side": 2,
        "trade_id": "x",
        "ts_event": SECOND,
        "ts_init": SECOND,
    }
    assert facts["instrument_id"] == "BTC-USD.KRAKEN"


def test_files_are_named_by_their_times(written, tmp_path):
    feed = Feed()
    written(feed.snapshot(1_795_897_499_699_989_330, [(1, 1)], []), feed.group(1_795_897_520_335_266_159, (2, 1, False)))
    names = [path.name for path in (tmp_path / "out" / "data" / "order_book_deltas" / "BTC-USD.KRAKEN").iterdir()]
    assert names == ["2026-11-28T20-24-59-699989330Z_2026-11-28T20-25-20-335266159Z.parquet"]


class TestN1Flags:
    def test_last_and_snapshot(self, written):
        feed = Feed()
        first = feed.snapshot(1, [(10, 1), (9, 1)], [(12, 2)])
        found, _ = written(first, feed.group(2, (10, 5, False), (9, 0, False), (8, 1, False)))
        rows = found["order_book_deltas"][0].to_pylist()
        assert [row["action"] for row in rows] == [CLEAR, ADD, ADD, ADD, UPDATE, DELETE, ADD]
        assert [row["flags"] for row in rows] == [F_SNAPSHOT] * 3 + [F_SNAPSHOT | F_LAST, 0, 0, F_LAST]
        assert [row["sequence"] for row in rows] == [1] * 4 + [2] * 3

    def test_an_empty_book_is_a_clear_alone(self, written):
        found, _ = written(Feed().snapshot(1, [], []))
        assert [(row["action"], row["flags"]) for row in found["order_book_deltas"][0].to_pylist()] == [
            (CLEAR, F_SNAPSHOT | F_LAST)
        ]


class TestN3FixedPoint:
    @pytest.mark.parametrize(("prices", "sizes"), [(17, 3), (2, 17)])
    def test_more_than_16_decimals_are_refused_with_a_hint(self, written, prices, sizes):
        with pytest.raises(UsageError, match="17 decimals; nautilus_trader has 16") as caught:
            written(Feed(prices, sizes).snapshot(1, [(10, 1)], []))
        assert "parquet" in caught.value.hint

    def test_a_size_beyond_its_quantity_is_refused(self, written):
        with pytest.raises(UsageError, match="too great"):
            written(Feed(2, 0).snapshot(1, [(10, 34_028_236_692_094)], []))
        written(Feed(2, 0).snapshot(1, [(10, 34_028_236_692_093)], []))

    def test_trades_that_it_refuses_are_counted(self, written):
        feed = Feed()
        _, facts = written(
            feed.snapshot(1, [(1, 1)], []), feed.trade(2, lots=0), feed.trade(3, history=True), feed.trade(4, name="")
        )
        assert facts["cleaned"] == {"trades_of_size_0_left_out": 1, "history_trades_left_out": 1, "without_exchange_time": 1}


class TestN4AFinerGrid:
    def test_another_file_begins_that_does_not_overlap(self, written):
        first = Feed(2, 3).snapshot(5, [(10, 1)], [])
        found, facts = written(first, Feed(4, 3).snapshot(5, [(1005, 1)], []))
        assert [table.schema.metadata[b"price_precision"] for table in found["order_book_deltas"]] == [b"2", b"4"]
        assert [table.column("ts_init").to_pylist() for table in found["order_book_deltas"]] == [[5, 5], [6, 6]]
        assert len(facts["files"]) == 2


class TestN5Times:
    def test_ts_init_does_not_go_back(self, written):
        feed = Feed()
        found, facts = written(feed.snapshot(10, [(10, 1)], []), feed.group(9, (9, 1, False), delay_us=None))
        assert found["order_book_deltas"][0].column("ts_init").to_pylist() == [10, 10, 10]
        assert facts["cleaned"] == {"receive_times_that_went_back": 1, "without_exchange_time": 1}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return capture(tmp_path_factory.mktemp("export") / "captures")


@pytest.fixture(scope="module")
def wanted(place):
    with CaptureEvents(chosen([place])) as events:
        return books_of(events)


class TestOfACapture:
    def rows(self, place, folder):
        made = export_to([place], "nautilus", folder, (), (), force=True)
        (table,) = tables(folder)["order_book_deltas"]
        return table.to_pylist(), made.summary["markets"][0]

    def test_books_and_trades_are_ours(self, place, wanted, tmp_path):
        rows, market = self.rows(place, tmp_path / "out")
        assert len(wanted) > 100
        assert replayed(rows, (market["price_decimals"], market["size_decimals"])) == wanted
        assert sum(row["action"] == CLEAR for row in rows) == market["counts"]["snapshots"] == 2
        (trades,) = tables(tmp_path / "out")["trade_tick"]
        assert len(trades) == market["counts"]["trades"] > 3

    @pytest.mark.parametrize(
        ("name", "value"), [("DELETE", UPDATE), ("F_LAST", 0), ("CLEAR", UPDATE), ("PRECISION", 15), ("UPDATE", ADD)]
    )
    def test_mutants_are_found(self, place, wanted, tmp_path, monkeypatch, name, value):
        monkeypatch.setattr(nautilus, name, value)
        rows, market = self.rows(place, tmp_path / "out")
        try:
            found = replayed(rows, (market["price_decimals"], market["size_decimals"]))
        except (AssertionError, KeyError, IndexError):
            found = None
        assert found != wanted

    def test_row_groups_are_bounded(self, place, tmp_path, monkeypatch):
        monkeypatch.setattr(nautilus, "ROWS", 50)
        self.rows(place, tmp_path / "out")
        (path,) = (tmp_path / "out" / "data" / "order_book_deltas").glob("*/*.parquet")
        assert pq.ParquetFile(path).num_row_groups > 3
