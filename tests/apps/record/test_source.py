"""The source of a recording: each row is its record's own, and the files alone give the books that the writer had."""

import random
from decimal import Decimal
from itertools import pairwise

import pytest
from support.campaigns import size
from support.reader_sets import PAST_NS, Writer, ladder, random_rows
from support.rebuilt_books import rebuild, rows_of

from alphapulse_cli.apps.record.source import SetSource
from alphapulse_cli.edges.capture.keeping import Rotation
from alphapulse_cli.edges.columns import recorder as recorders
from alphapulse_cli.edges.columns import streams
from alphapulse_cli.edges.columns.recorder import Recorder
from alphapulse_cli.edges.columns.schema import TABLES
from alphapulse_cli.edges.columns.streams import Stream
from alphapulse_cli.flow.groups import GroupReader
from alphapulse_cli.market.events import Side
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.wire import delta, trade
from alphapulse_cli.wire.delta import BookReason, BookState

DAY_NS = 86_400_000_000_000
SYMBOLS = ("BTC-USD", "ETH-USD")
NEVER = Rotation(0.0, 0)


@pytest.fixture
def dataset(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def writer(directory):
    with Writer(directory, SYMBOLS) as made:
        for symbol in SYMBOLS:
            made.snapshot(ladder(40), symbol)
        yield made


class Recording:
    """A recorder and its source; `poll` reads all that is there."""

    def __init__(self, directory, dataset, symbols=None, start="now", roll=NEVER, set_name="kraken"):
        self.notes: list[tuple[str, str]] = []
        self.recorder = Recorder(dataset, "kraken", set_name, lambda *note: self.notes.append(note), roll)
        self.source = SetSource(directory, self.recorder, symbols, start)

    def poll(self):
        while self.source.poll(clock.monotonic_ns()):
            pass
        self.recorder.flush(clock.monotonic_ns())

    def __enter__(self):
        self.poll()
        return self

    def __exit__(self, *_):
        self.poll()
        self.source.close()


def published(directory, kind):
    """Records of a ring from its oldest on, and the sequence of the first: read by another reader."""
    reader = GroupReader(directory, "kraken", kind, "oldest")
    polled = reader.poll(clock.monotonic_ns(), 1 << 20)
    size = delta.DELTA_BYTES if kind is SegmentKind.DELTAS else trade.TRADE_BYTES
    found = [bytes(polled.records[at : at + size]) for at in range(0, size * polled.record_count, size)]
    reader.close()
    return polled.first, found


class TestDeltas:
    def test_each_change_is_a_row_with_the_numbers_of_its_record(self, directory, dataset, writer):
        dice = random.Random(5)
        with Recording(directory, dataset, start="oldest"):
            for number in range(300):
                writer.now_ns += 1_000_003
                writer.update(random_rows(dice, dice.choice([1, 3, 30])), SYMBOLS[number % 2])
            writer.update([((1 << 63) - 1, (1 << 62) - 1, True), (1, 7, False)])
        rows = sorted(rows_of(dataset, "deltas"), key=lambda row: row["sequence"])
        expected = []
        first, records = published(directory, SegmentKind.DELTAS)
        at = delta.offsets()
        for number, record in enumerate(records, first):
            places = range(record[at["change_count"]])
            for place in places:
                begin = at["changes"] + place * delta.CHANGE_BYTES
                ticks = int.from_bytes(record[begin : begin + 8], "little", signed=True)
                word = int.from_bytes(record[begin + 8 : begin + 16], "little")
                expected.append(
                    {
                        "symbol": record[8:24].rstrip(b"\0").decode(),
                        "epoch": writer.outlet.epoch,
                        "sequence": 16 * number + place,
                        "timestamp_ns": int.from_bytes(record[:8], "little"),
                        "feed_delay_us": None,
                        "version": int.from_bytes(record[at["version"] : at["version"] + 8], "little"),
                        "is_last": bool(record[at["flags"]] & delta.LAST) and place == places[-1],
                        "resynced": bool(record[at["flags"]] & delta.RESYNCED),
                        "side": "ask" if word >> 63 else "bid",
                        "is_new": bool(word >> 62 & 1),
                        "price_ticks": ticks,
                        "size_lots": word & delta.SIZE_MASK,
                        "price_decimals": record[at["price_decimals"]],
                        "size_decimals": record[at["size_decimals"]],
                        "price": Decimal(ticks).scaleb(-record[at["price_decimals"]]),
                    }
                )
        assert len(expected) > 1000
        assert rows == expected

    def test_only_the_wanted_symbols(self, directory, dataset, writer):
        with Recording(directory, dataset, ["ETH-USD"]):
            for symbol in SYMBOLS:
                writer.update([(7, 3, False)], symbol)
                writer.trades(("1", 100, 1, Side.BUY), symbol=symbol)
        for table in ("deltas", "trades", "bbo", "snapshots"):
            assert {row["symbol"] for row in rows_of(dataset, table)} == {"ETH-USD"} or table == "bbo"
        assert {row["symbol"] for row in rows_of(dataset, "status")} == {"", "ETH-USD"}


class TestTrades:
    def test_each_trade_is_a_row(self, directory, dataset, writer):
        with Recording(directory, dataset):
            writer.trades(("a", 100_001, 5, Side.BUY), ("b", 100_000, 7, Side.SELL), exchange_ns=123)
            writer.trades(("c", 99_999, 1 << 60, Side.UNKNOWN), symbol="ETH-USD")
        first, _ = published(directory, SegmentKind.TRADES)
        rows = sorted(rows_of(dataset, "trades"), key=lambda row: row["sequence"])
        shown = [(row["trade_id"], row["side"], row["price"], row["size"], row["exchange_ns"], row["sequence"]) for row in rows]
        assert shown == [
            ("a", "buy", Decimal("1000.01"), Decimal("5e-8"), 123, 16 * first),
            ("b", "sell", Decimal("1000.00"), Decimal("7e-8"), 123, 16 * first + 16),
            ("c", "unknown", Decimal("999.99"), Decimal(1 << 60).scaleb(-8), None, 16 * first + 32),
        ]


class TestBestPrices:
    def test_a_row_only_where_they_change(self, directory, dataset, writer):
        with Recording(directory, dataset):
            writer.update([(900_000, 1, False)])  # deep: the best stay
            writer.update([(1_000_000, 9, False)])
            writer.update([(900_000, 2, False)])
            writer.update([(1_000_000, 0, False)])
        rows = [row for row in rows_of(dataset, "bbo") if row["symbol"] == "BTC-USD"]
        assert [(row["bid_ticks"], row["bid_lots"]) for row in rows] == [(1_000_000, 1), (1_000_000, 9), (999_999, 2)]
        assert rows[1]["bid_price"] == Decimal("10000.00")
        assert {row["state"] for row in rows} == {"LIVE"}
        of_deltas = {row["version"]: row["sequence"] for row in rows_of(dataset, "deltas")}
        assert [row["sequence"] for row in rows] == [of_deltas[row["version"]] for row in rows]

    def test_a_side_that_is_empty_is_null(self, directory, dataset, writer):
        with Recording(directory, dataset):
            writer.snapshot([(5, 1, False)])
            writer.update([(5, 2, False)])
        last = rows_of(dataset, "bbo")[-1]
        assert (last["bid_lots"], last["ask_ticks"], last["ask_lots"], last["ask_price"]) == (2, None, None, None)


class TestStatus:
    def test_begun_and_ended_and_what_came_between(self, directory, dataset, writer):
        with Recording(directory, dataset):
            writer.update([(7, 3, False)])
            writer.check()
            writer.keepers["BTC-USD"].set_state(BookState.STALE, BookReason.SILENT, writer.now_ns)
        rows = sorted(rows_of(dataset, "status"), key=lambda row: (row["sequence"], row["kind"]))
        kinds = [row["kind"] for row in rows]
        assert kinds[0] == "begun"
        assert kinds[-1] == "ended"
        assert sorted(kinds[1:-1]) == ["check", "snapshot", "snapshot", "status"]
        check = next(row for row in rows if row["kind"] == "check")
        book = writer.book()
        assert check["book_hash"] == f"{book.book_hash:016x}"
        assert (check["bid_levels"], check["ask_levels"]) == (book.bid_count, book.ask_count)
        state = next(row for row in rows if row["kind"] == "status")
        assert (state["state"], state["reason"]) == ("STALE", "SILENT")

    def test_what_was_missed_is_in_the_data_and_the_books_come_again(self, directory, dataset):
        with Writer(directory, SYMBOLS, capacity=64) as writer:
            for symbol in SYMBOLS:
                writer.snapshot(ladder(40), symbol)
            with Recording(directory, dataset) as recording:
                dice = random.Random(1)
                before = writer.outlet.deltas.published
                for _ in range(200):
                    writer.update(random_rows(dice))
                missed = writer.outlet.deltas.published - before - 64
                recording.poll()
                for symbol in SYMBOLS:
                    writer.update(random_rows(dice), symbol)
                    writer.check(symbol)
        rows = [row for row in rows_of(dataset, "status") if row["kind"] == "missed"]
        assert [(row["missed"], row["ring"], row["symbol"]) for row in rows] == [(missed, "deltas", "")]
        assert recording.recorder.totals.missed == missed
        found = rebuild(dataset)
        assert (found.wrong, found.checks, found.snapshots) == ([], 2, 4)

    def test_a_restarted_collector_begins_another_part(self, directory, dataset):
        with Writer(directory, SYMBOLS) as first:
            first.snapshot(ladder(40))
            recording = Recording(directory, dataset)
            recording.poll()
            first.update([(7, 3, False)])
            recording.poll()
        with Writer(directory, SYMBOLS) as second:
            second.snapshot(ladder(20, 3))
            recording.poll()
            second.update([(8, 3, False)])
            second.check()
            with recording:
                pass
        assert {row["epoch"] for row in rows_of(dataset, "deltas")} == {first.outlet.epoch, second.outlet.epoch}
        assert "restarted" in {row["kind"] for row in rows_of(dataset, "status") if row["epoch"] == second.outlet.epoch}
        found = rebuild(dataset)
        assert (found.wrong, found.checks, found.breaks) == ([], 1, 0)
        assert found.books["BTC-USD", second.outlet.epoch].bids() == second.book().bids()

    def test_a_restart_that_was_found_late_is_at_the_time_of_the_new_records(self, directory, dataset):
        """The reader was stopped meanwhile: what the new collector told before it was found comes after the row in time, too."""
        with Writer(directory, SYMBOLS) as first:
            first.snapshot(ladder(40))
            recording = Recording(directory, dataset)
            recording.poll()
            end_ns = first.now_ns
        with Writer(directory, SYMBOLS) as second:
            second.now_ns = end_ns + 1_000_000_000
            second.snapshot(ladder(20, 3))
            second.now_ns += 3_600_000_000_000
            with recording:
                pass
        rows = [row for row in rows_of(dataset, "status") if row["epoch"] == second.outlet.epoch]
        (restarted,) = [row for row in rows if row["kind"] == "restarted" and row["ring"] == "deltas"]
        (told,) = [row for row in rows if row["kind"] == "status" and row["state"] == "LIVE"]
        assert restarted["timestamp_ns"] == told["timestamp_ns"] == end_ns + 1_000_000_000
        assert restarted["sequence"] < told["sequence"]


def record_a_lot(directory, dataset, seed, *, rolls):
    """A recording of random updates, snapshots, CHECKs and parts; the writer's books at its end."""
    dice = random.Random(seed)
    with Writer(directory, SYMBOLS, replay=True) as writer:
        for symbol in SYMBOLS:
            writer.snapshot(ladder(60), symbol)
        writer.beat()
        checks = 0
        with Recording(directory, dataset, roll=Rotation(10.0, 0) if rolls else NEVER) as recording:
            for number in range(600):
                writer.now_ns += 100_000_000
                symbol = dice.choice(SYMBOLS)
                if dice.random() < 0.02:
                    writer.snapshot(ladder(dice.choice([20, 60]), number + 1), symbol)
                writer.update(random_rows(dice, dice.choice([1, 3, 40])), symbol)
                if dice.random() < 0.1:
                    writer.check(symbol)
                    checks += 1
                if dice.random() < 0.3:
                    writer.beat()
                    recording.poll()
        return {symbol: writer.book(symbol) for symbol in SYMBOLS}, checks


class TestTheBooksFromTheFilesAlone:
    @pytest.mark.campaign
    @pytest.mark.parametrize("seed", range(size(2, 20)))
    def test_they_are_the_writers_at_every_check(self, directory, dataset, seed):
        books, checks = record_a_lot(directory, dataset, seed, rolls=True)
        found = rebuild(dataset)
        assert (found.wrong, found.breaks, found.checks) == ([], 0, checks), f"seed {seed}"
        ends = {symbol: book for (symbol, _), book in found.books.items()}
        for symbol, book in books.items():
            assert (ends[symbol].bids(), ends[symbol].asks()) == (book.bids(), book.asks())

    def test_each_part_by_itself(self, directory, dataset):
        _, checks = record_a_lot(directory, dataset, 7, rolls=True)
        parts = {int(path.stem.rpartition("-")[2]) for path in (dataset / "deltas").rglob("*.parquet")}
        assert len(parts) >= 5
        found = [rebuild(dataset, part) for part in sorted(parts)]
        assert sum(one.checks for one in found) == checks
        for one in found:
            assert (one.wrong, one.breaks) == ([], 0)
            assert len(one.books) == len(SYMBOLS)

    @pytest.mark.parametrize(
        "mutant",
        [
            lambda table, rows: [
                row for row in rows if table != "deltas" or row["sequence"] % 64 != 16
            ],  # changes that are not there
            lambda table, rows: [row | {"side": "bid"} if table == "deltas" else row for row in rows],
            lambda table, rows: [row | {"size_lots": row["size_lots"] + 1} if table == "snapshots" else row for row in rows],
            lambda table, rows: [row | {"sequence": row["sequence"] + 160} if table == "snapshots" else row for row in rows],
            lambda table, rows: [row | {"version": row["version"] - 1} if table == "status" else row for row in rows],
        ],
        ids=["changes missing", "sides", "sizes of snapshots", "places of snapshots", "versions of checks"],
    )
    def test_files_that_are_wrong_do_not_give_them(self, directory, dataset, mutant):
        record_a_lot(directory, dataset, 3, rolls=True)
        found = rebuild(dataset, edit=mutant)
        assert found.wrong or found.breaks


class Killed(BaseException):
    """The end of a recorder between two writes."""


def killed_within_a_flush(directory, dataset, monkeypatch, tables):
    """Record, end within the second flush behind so many tables, as if killed, and make files of what is left."""
    writes: list[str] = []
    whole = Stream.write

    def write(stream, batch):
        if len(writes) == tables:
            raise Killed
        writes.append(stream.table)
        whole(stream, batch)

    dice = random.Random(2)
    with Writer(directory, SYMBOLS, capacity=64) as writer, monkeypatch.context() as patch:
        for symbol in SYMBOLS:
            writer.snapshot(ladder(40), symbol)
        recording = Recording(directory, dataset)
        recording.poll()
        for _ in range(200):  # it is lapped: what was missed is told, and both books come again
            writer.update(random_rows(dice))
        for symbol in SYMBOLS:
            writer.check(symbol)
        patch.setattr(Stream, "write", write)
        with pytest.raises(Killed):
            recording.poll()
    recording.source._follower.close()
    recording.source._trades.close()
    recording.recorder._lock.close()
    streams.recover(dataset, "kraken")
    return writes


class TestKilledBetweenTwoTables:
    """A flush writes one table after another: what is left of it must not be taken for more than it is."""

    @pytest.mark.parametrize("tables", range(4))
    def test_no_book_is_built_of_a_part_of_it(self, directory, dataset, monkeypatch, tables):
        assert len(killed_within_a_flush(directory, dataset, monkeypatch, tables)) == tables
        assert rebuild(dataset).wrong == []

    @pytest.mark.parametrize("tables", range(4))
    def test_no_change_lies_behind_a_hole_that_is_not_told(self, directory, dataset, monkeypatch, tables):
        killed_within_a_flush(directory, dataset, monkeypatch, tables)
        numbers = sorted(row["sequence"] // 16 for row in rows_of(dataset, "deltas"))
        is_told = any(row["kind"] == "missed" for row in rows_of(dataset, "status"))
        assert is_told or all(later - one <= 1 for one, later in pairwise(numbers))

    def test_in_the_order_of_the_schema_both_go_wrong(self, directory, tmp_path, monkeypatch):
        monkeypatch.setattr(recorders, "FLUSH_ORDER", tuple(TABLES))
        kept = []
        for tables in range(4):
            dataset = tmp_path / str(tables)
            killed_within_a_flush(directory, dataset, monkeypatch, tables)
            kept.append((rebuild(dataset).wrong != [], any(row["kind"] == "missed" for row in rows_of(dataset, "status"))))
        assert any(is_wrong for is_wrong, _ in kept)
        assert not kept[1][1], "changes behind the hole, and nothing that tells of it"


class TestDays:
    def test_rows_lie_in_the_day_in_which_they_were_received(self, directory, dataset):
        with Writer(directory, SYMBOLS, replay=True) as writer:
            midnight = (PAST_NS // DAY_NS + 1) * DAY_NS
            writer.now_ns = midnight - 3
            for symbol in SYMBOLS:
                writer.snapshot(ladder(40), symbol)
            writer.beat()
            with Recording(directory, dataset):
                for step in range(6):
                    writer.now_ns = midnight - 3 + step
                    writer.update([(900_000 - step, 1, False)])
                    writer.check()
                writer.beat()
        days = {}
        for path in sorted((dataset / "deltas").rglob("*.parquet")):
            days[path.parent.name] = path.name
        assert list(days) == ["day=20250219", "day=20250220"]
        by_part = {part: rebuild(dataset, part) for part in (0, 1)}
        assert [(one.checks, one.wrong, one.breaks) for one in by_part.values()] == [(3, [], 0), (3, [], 0)]
        for table in ("deltas", "bbo", "status", "snapshots"):
            for path in (dataset / table).rglob("*.parquet"):
                assert path.parent.name == ("day=20250220" if path.stem.endswith("-1") else "day=20250219"), path

    @pytest.mark.parametrize("step_ns", [-2 * 3_600_000_000_000, -30 * DAY_NS])
    def test_a_clock_that_is_set_back_begins_a_part_and_those_behind_it_have_their_time(self, directory, dataset, step_ns):
        with Writer(directory, SYMBOLS, replay=True) as writer:
            for symbol in SYMBOLS:
                writer.snapshot(ladder(40), symbol)
            writer.beat()
            with Recording(directory, dataset, roll=Rotation(10.0, 0)) as recording:
                for step in range(60):
                    writer.now_ns += 1_000_000_000 if step != 25 else step_ns
                    writer.update([(900_000 - step, 1, False)])
                    writer.check()
                    writer.beat()
                    recording.poll()
        found = rebuild(dataset)
        assert (found.checks, found.wrong, found.breaks) == (60, [], 0)
        spans = {}
        for path in sorted((dataset / "deltas").rglob("*.parquet")):
            part = int(path.stem.rpartition("-")[2])
            times = [one["timestamp_ns"] for table in ("deltas", "snapshots") for one in rows_of(dataset, table, part)]
            spans[part] = max(times) - min(times)
            assert rebuild(dataset, part).wrong == []
        assert len(spans) >= 7
        assert max(spans.values()) < 10_000_000_000

    def test_records_that_lag_behind_the_clock_begin_no_part(self, directory, dataset):
        """Of a collector that is busy, or was stopped: it was idle at a border, and what then comes was received before."""
        with Writer(directory, SYMBOLS, replay=True) as writer:
            writer.snapshot(ladder(40))
            writer.beat()
            with Recording(directory, dataset, roll=Rotation(10.0, 0)) as recording:
                before_ns = writer.now_ns
                for step in range(8):
                    writer.now_ns = before_ns + 11_000_000_000 + step
                    writer.beat()
                    recording.poll()
                    writer.now_ns = before_ns + step
                    writer.update([(900_000 - step, 1, False)])
                    recording.poll()
        assert len({path.stem.rpartition("-")[2] for path in (dataset / "status").rglob("*.parquet")}) == 2
