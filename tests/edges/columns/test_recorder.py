"""Streams and files of a recording: nothing torn is read, nothing appears twice, and what could not be written is told."""

import errno
import itertools
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.rebuilt_books import rows_of

from alphapulse_cli.edges.capture.files import LeastFree
from alphapulse_cli.edges.capture.keeping import Keep, Rotation
from alphapulse_cli.edges.columns import recorder as recorders
from alphapulse_cli.edges.columns import streams
from alphapulse_cli.edges.columns.recorder import Recorder
from alphapulse_cli.edges.columns.rows import arrow_rows, decimals, stream_schema
from alphapulse_cli.edges.columns.schema import TABLES, arrow_schema
from alphapulse_cli.edges.columns.streams import Place, Stream
from alphapulse_cli.errors import StorageError, WriterAlive
from alphapulse_cli.shm import clock

NOON_NS = 1_795_780_800_000_000_000  # 2026-11-27T12:00:00Z
HOUR_NS = 3_600_000_000_000
SECOND_NS = 1_000_000_000
EMPTY = {"int": 0, "text": "", "bool": False}


def row(table, sequence, **values):
    """A row as the recorder takes it."""
    usual = {one.name: EMPTY[one.type] for one in TABLES[table] if one.type != "decimal" and not one.is_nullable}
    return usual | {"symbol": "BTC-USD", "epoch": 5, "sequence": sequence, "timestamp_ns": NOON_NS + sequence} | values


class Notes(list[tuple[str, str]]):
    """What a recorder reports."""

    def __call__(self, level, message):
        self.append((level, message))


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def make(tmp_path, notes):
    made = []

    def recorder(roll=Rotation(0.0, 0), **options):  # noqa: B008 - it is frozen
        made.append(Recorder(tmp_path / "data", "kraken", "kraken", notes, roll, **options))
        return made[-1]

    yield recorder
    for one in made:
        one._lock.close()


def sequences(dataset, table="trades"):
    return [one["sequence"] for one in rows_of(dataset, table)]


class TestParts:
    def test_rows_are_sorted_and_each_symbol_is_a_row_group(self, tmp_path, make):
        recorder = make()
        recorder.begin_part(5, NOON_NS)
        recorder.add_rows("trades", [row("trades", number, symbol=symbol) for number in (3, 1, 2) for symbol in ("T", "INF", "00")])
        recorder.close()
        (path,) = (tmp_path / "data").rglob("*.parquet")
        assert path.relative_to(tmp_path / "data") == Path(
            "trades/exchange=kraken/day=20261127", f"kraken-5-{NOON_NS + 1}-0.parquet"
        )
        file = pq.ParquetFile(path)
        assert [file.read_row_group(number).column("symbol").unique().to_pylist() for number in range(file.num_row_groups)] == [
            ["00"],
            ["INF"],
            ["T"],
        ]
        assert file.read().column("sequence").to_pylist() == [1, 2, 3] * 3
        assert file.schema_arrow.equals(arrow_schema("trades"))

    def test_a_part_ends_with_its_time_its_size_and_its_day(self, make):
        recorder = make(Rotation(600.0, 0))
        recorder.begin_part(5, NOON_NS)
        assert not recorder.is_due(NOON_NS + 600 * SECOND_NS - 1)
        assert recorder.is_due(NOON_NS + 600 * SECOND_NS)
        assert not recorder.is_due(NOON_NS - 1)  # a clock that was set back
        recorder = make_other(recorder, Rotation(0.0, 4096))
        recorder.begin_part(5, NOON_NS)
        assert not recorder.is_due(NOON_NS + 11 * HOUR_NS)
        assert recorder.is_due(NOON_NS + 12 * HOUR_NS)
        recorder.add_rows("trades", [row("trades", number, trade_id=os.urandom(16).hex()) for number in range(400)])
        recorder.flush(1)
        assert recorder.is_due(NOON_NS)
        recorder.close()

    def test_rows_of_two_days_in_one_part_are_two_files(self, tmp_path, make):
        recorder = make()
        recorder.begin_part(5, NOON_NS)
        recorder.add_rows("trades", [row("trades", 1, timestamp_ns=NOON_NS), row("trades", 2, timestamp_ns=NOON_NS + 12 * HOUR_NS)])
        recorder.close()
        found = sorted((tmp_path / "data").rglob("*.parquet"))
        assert [(path.parent.name, pq.read_metadata(path).num_rows) for path in found] == [("day=20261127", 1), ("day=20261128", 1)]

    def test_each_part_has_a_number_of_its_own_after_a_new_beginning_too(self, tmp_path, make):
        for sequence in range(3):
            recorder = make()
            recorder.begin_part(5, NOON_NS)
            recorder.add_rows("trades", [row("trades", sequence, timestamp_ns=NOON_NS)])
            recorder.close()
        assert sorted(sequences(tmp_path / "data")) == [0, 1, 2]


def make_other(recorder, roll):
    recorder.close()
    return Recorder(recorder._dataset, "kraken", "kraken", Notes(), roll)


def killed(dataset, batches=3, table="trades"):
    """A stream as a killed recorder leaves it; its path."""
    streams.open_folder(dataset)
    stream = Stream(Place(dataset, "kraken", "kraken", 5, 0), table)
    for number in range(batches):
        rows = [row(table, 10 * number + place) for place in range(10)]
        names = stream_schema(table).names
        stream.write(arrow_rows(table, {name: [one.get(name) for one in rows] for name in names}))
    stream.close()
    return stream.path


class TestRecovery:
    def test_complete_batches_become_files_wherever_the_stream_is_torn(self, tmp_path):
        path = killed(tmp_path / "whole")
        data = path.read_bytes()
        counts = []
        for length in [*range(0, len(data), 7), len(data)]:
            torn = tmp_path / path.name
            torn.write_bytes(data[:length])
            rows = streams.read_stream(torn).rows
            counts.append(0 if rows is None else rows.num_rows)
            if rows is not None:
                assert rows.column("sequence").to_pylist() == list(range(counts[-1]))
        assert sorted(set(counts)) == [0, 10, 20, 30]
        assert counts == sorted(counts)

    def test_a_damaged_stream_is_read_to_the_damage_and_kept_and_that_is_told(self, tmp_path):
        data = killed(tmp_path / "whole").read_bytes()
        folder = tmp_path / "data" / ".open"
        folder.mkdir(parents=True)
        path = folder / "kraken-5-0.trades.arrows"
        told = 0
        for at in range(0, len(data), 151):
            path.write_bytes(data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :])
            done = streams.recover(tmp_path / "data", "kraken")
            kept = list(folder.glob("*.damaged"))
            assert not path.exists()
            assert bool(kept) == bool(done.unread_bytes)
            assert done.rows == 30 or done.unread_bytes
            told += len(kept)
            for one in (*kept, *(tmp_path / "data").glob("trades/*/*/*")):
                one.unlink()
        assert told > 5

    @staticmethod
    def read_with_flips(path, every):
        """What is read of a stream with one bit flipped, for bits at a distance of `every`; its own path is left as it is."""
        data, other = path.read_bytes(), path.with_name("kraken-6-0.trades.arrows")
        for bit in range(0, 8 * len(data), every):
            other.write_bytes(data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :])
            try:
                yield streams.read_stream(other)
            except StorageError as refused:
                assert "version" in str(refused)

    def test_no_flipped_bit_changes_a_row_or_takes_one_away_unsaid(self, tmp_path):
        path = killed(tmp_path)
        written = streams.read_stream(path).rows.to_pylist()
        assert len(written) == 30
        told = 0
        for read in self.read_with_flips(path, 331):
            rows = [] if read.rows is None else read.rows.to_pylist()
            assert rows == written[: len(rows)]
            assert not rows or (read.exchange, read.set_name) == ("kraken", "kraken")
            assert len(rows) == 30 or read.unread_bytes
            told += read.unread_bytes > 0
        assert told > 50

    def test_without_the_checksums_flipped_bits_change_rows(self, tmp_path, monkeypatch):
        """The mutant of the test above."""
        path = killed(tmp_path)
        written = streams.read_stream(path).rows.to_pylist()
        monkeypatch.setattr(streams, "STREAM_VERSION", b"another")
        monkeypatch.setattr(streams, "CHECKSUM", b"none")
        assert any(one.rows is not None and one.rows.to_pylist() not in (written, []) for one in self.read_with_flips(path, 67))

    def test_texts_nulls_and_batches_out_of_larger_ones_come_back(self, tmp_path):
        streams.open_folder(tmp_path)
        stream = Stream(Place(tmp_path, "kraken", "kraken", 5, 0), "status")
        rows = [
            row("status", at, reason=(None, "", "é", "GAP")[at % 4], missed=(None, at)[at % 2], symbol="ab"[: at % 3])
            for at in range(100)
        ]
        names = stream_schema("status").names
        whole = arrow_rows("status", {name: [one.get(name) for one in rows] for name in names})
        for first, length in ((0, 7), (7, 1), (8, 60), (68, 32)):
            stream.write(whole.slice(first, length))
        stream.close()
        read = streams.read_stream(stream.path)
        assert (read.unread_bytes, read.rows.to_pylist()) == (0, whole.to_pylist())

    @staticmethod
    def by_hand(dataset, names, metadata=None):
        """A stream with one batch and such metadata; its path."""
        path = streams.open_folder(dataset) / "kraken-5-0.trades.arrows"
        schema = stream_schema("trades")
        batch = arrow_rows("trades", {name: [one.get(name) for one in [row("trades", 1)]] for name in schema.names})
        with pa.ipc.new_stream(path, schema.with_metadata(names)) as writer:
            writer.write_batch(batch, custom_metadata=metadata)
        return path

    def test_streams_of_before_the_checksums_are_read(self, tmp_path):
        self.by_hand(tmp_path, {b"exchange": b"kraken", b"set": b"kraken"})
        assert streams.recover(tmp_path, "kraken").rows == 1
        assert sequences(tmp_path) == [1]

    @pytest.mark.parametrize("metadata", [None, {b"crc32": b"00000000"}], ids=["none", "another"])
    def test_a_checksum_that_should_be_there(self, tmp_path, metadata):
        path = self.by_hand(tmp_path, {b"exchange": b"kraken", b"set": b"kraken", b"version": b"2"}, metadata)
        done = streams.recover(tmp_path, "kraken")
        assert (done.rows, done.unread_bytes > 0, path.exists()) == (0, True, False)

    def test_a_stream_of_a_greater_version_is_left_where_it_is(self, tmp_path, make):
        path = self.by_hand(tmp_path / "data", {b"exchange": b"kraken", b"set": b"kraken", b"version": b"3"})
        for _ in range(2):  # the set is not held behind it
            with pytest.raises(StorageError, match="version 3 of a stream, known is 2") as refused:
                make()
            assert "newer alphapulse" in refused.value.hint
        assert path.exists()

    def test_a_damaged_stream_does_not_take_the_place_of_another(self, tmp_path):
        kept = []
        for number in range(3):
            path = killed(tmp_path)
            kept.append(bytes([number]) * 40 + path.read_bytes()[40:])
            path.write_bytes(kept[-1])
            assert streams.recover(tmp_path, "kraken").unread_bytes == len(kept[-1])
        assert sorted(one.read_bytes() for one in (tmp_path / ".open").glob("*.damaged")) == sorted(kept)

    def test_zeros_behind_a_streams_batches_are_told(self, tmp_path):
        path = killed(tmp_path)
        path.write_bytes(path.read_bytes() + bytes(4096))  # as a disk may leave them when the power fails
        done = streams.recover(tmp_path, "kraken")
        assert (done.rows, done.unread_bytes > 0) == (30, True)

    def test_the_next_recorder_turns_what_is_left_into_files_first(self, tmp_path, make):
        killed(tmp_path / "data")
        recorder = make()
        assert (recorder.recovered.files, recorder.recovered.rows) == (1, 30)
        assert sequences(tmp_path / "data") == list(range(30))
        assert not list((tmp_path / "data" / ".open").glob("*.arrows"))
        recorder.close()

    @pytest.mark.parametrize("step", ["rename", "unlink"])
    def test_a_row_appears_once_though_it_was_killed_between_rename_and_removal(self, tmp_path, make, monkeypatch, step):
        path = killed(tmp_path / "data")
        original = getattr(Path, step)

        def fails(self, *arguments, **options):
            if self.suffix in (".arrows", ".unfinished"):
                raise KeyboardInterrupt
            return original(self, *arguments, **options)

        with monkeypatch.context() as patch:
            patch.setattr(Path, step, fails)
            with pytest.raises(KeyboardInterrupt):
                streams.finish(tmp_path / "data", path)
        assert len(sequences(tmp_path / "data")) == (30 if step == "unlink" else 0)
        make().close()
        assert sequences(tmp_path / "data") == list(range(30))
        assert not list((tmp_path / "data").rglob("*.unfinished"))

    def test_rows_that_it_has_already_are_not_added_again(self, tmp_path, make):
        def run(tables, first, end):
            recorder = make()
            recorder.begin_part(5, NOON_NS)
            recorder.add_rows("status", [row("status", first, symbol="", kind="begun")])
            for table in tables:
                recorder.add_rows(table, [row(table, number) for number in range(first, end)])
            recorder.close()

        run(("deltas", "trades", "bbo", "status"), 0, 6)
        run(("trades",), 6, 8)
        run(("deltas", "trades", "bbo", "status"), 3, 10)
        for table in ("deltas", "trades", "bbo"):
            assert sorted(sequences(tmp_path / "data", table)) == list(range(10))
        assert sorted(sequences(tmp_path / "data", "status")) == sorted([*range(10), 0, 3, 6])

    def test_an_empty_stream_goes_without_a_file(self, tmp_path, make):
        path = killed(tmp_path / "data", 0)
        make().close()
        assert not path.exists()
        assert sequences(tmp_path / "data") == []

    def test_two_recorders_of_one_set_the_second_is_refused(self, make):
        first = make()
        with pytest.raises(WriterAlive, match="another process records kraken"):
            make()
        first.close()
        make().close()


class TestKeeping:
    def write(self, make, count, **options):
        for number in range(count):
            recorder = make(**options)
            recorder.begin_part(5 + number // 2, NOON_NS + number)
            for table in ("trades", "status"):
                recorder.add_rows(table, [row(table, number)])
            recorder.close()

    def test_whole_parts_go_the_oldest_first_and_the_newest_stays(self, tmp_path, make):
        self.write(make, 4)
        size = sum(path.stat().st_size for path in (tmp_path / "data").rglob("*.parquet"))
        make(keep=Keep(0.0, size // 2 + 10)).close()
        assert sequences(tmp_path / "data") == sequences(tmp_path / "data", "status") == [2, 3]
        make(keep=Keep(0.0, 1)).close()
        assert sequences(tmp_path / "data") == [3]

    def test_by_age(self, tmp_path, make):
        self.write(make, 3)
        for path in (tmp_path / "data").rglob("kraken-5-*-0.parquet"):
            os.utime(path, (1, 1))
        make(keep=Keep(3600.0, 0)).close()
        assert sorted(sequences(tmp_path / "data")) == [1, 2]

    def test_other_sets_stay(self, tmp_path, make):
        other = Recorder(tmp_path / "data", "kraken", "kraken-2", Notes(), Rotation(0.0, 0))
        for number in range(2):
            other.begin_part(5, NOON_NS)
            other.add_rows("trades", [row("trades", number)])
        other.close()
        self.write(make, 2, keep=Keep(0.0, 1))
        assert len(sequences(tmp_path / "data")) == 3


class TestADiskThatIsFull:
    def test_what_it_does_not_take_is_counted_and_said_and_writing_goes_on(self, tmp_path, make, notes, monkeypatch):
        recorder = make()
        recorder.begin_part(5, NOON_NS)
        numbers = itertools.count()

        def add(now_ns):
            recorder.add_rows("trades", [row("trades", next(numbers)) for _ in range(3)])
            return recorder.flush(now_ns)

        assert add(0) == 0
        write, is_full = os.write, True

        def full(descriptor, data):
            if is_full and Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".arrows":
                written = write(descriptor, data[:20])  # the disk takes a part
                assert written == 20
                raise OSError(errno.ENOSPC, "No space left on device")
            return write(descriptor, data)

        monkeypatch.setattr(os, "write", full)
        assert add(SECOND_NS) == 0
        assert recorder.totals.state == "no room"
        assert add(2 * SECOND_NS) == 0
        is_full = False
        lost = add(2 * SECOND_NS + recorders.TRY_AGAIN_NS)
        assert lost == recorder.totals.rows_lost == 9
        assert recorder.totals.state == "writing"
        assert add(10 * SECOND_NS) == 0
        recorder.close()
        assert sequences(tmp_path / "data") == [0, 1, 2, 12, 13, 14]
        assert [message.partition(":")[0] for level, message in notes if level == "warning"] == [
            "the recording is not written",
            "the recording is written again",
        ]

    def test_a_roll_in_a_pause_does_not_end_it_unsaid(self, make, monkeypatch):
        recorder = make()
        recorder.begin_part(5, NOON_NS)
        recorder.add_rows("trades", [row("trades", 1)])

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(recorders, "Stream", full)
            recorder.flush(-recorders.TRY_AGAIN_NS)
        assert recorder.totals.stopped
        recorder.add_rows("trades", [row("trades", 2)])
        recorder.begin_part(5, NOON_NS + 1)
        assert recorder.totals.rows_lost == 2
        assert recorder.tend(clock.monotonic_ns()) == 2
        assert not recorder.totals.stopped
        recorder.close()

    def test_room_is_left_to_others(self, tmp_path, make):
        recorder = make(least_free=LeastFree(0.0, 1 << 60))
        recorder.begin_part(5, NOON_NS)
        recorder.add_rows("trades", [row("trades", 1)])
        recorder.flush(5 * SECOND_NS)
        assert (recorder.totals.rows_lost, recorder.totals.rows["trades"]) == (1, 0)
        assert recorder.totals.stopped.startswith("too little room")
        recorder.close()
        assert sequences(tmp_path / "data") == []

    def test_a_file_that_cannot_be_written_leaves_its_stream(self, tmp_path, make, notes, monkeypatch):
        recorder = make()
        recorder.begin_part(5, NOON_NS)
        recorder.add_rows("trades", [row("trades", 1)])

        def full(*_):
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(streams, "write_file", full)
            with pytest.raises(StorageError, match="no space left") as refused:
                recorder.close()
        assert "record --recover" in refused.value.hint
        assert any("its stream is kept" in message for _, message in notes)
        make().close()
        assert sequences(tmp_path / "data") == [1]


class TestDecimals:
    def test_every_int64_at_every_place(self):
        units = [-(1 << 63), (1 << 63) - 1, -1, 0, 1, 10**18, -(10**18) - 1, None]
        rows = [(unit, place) for unit in units for place in range(19)]
        column = pa.chunked_array([pa.array([unit for unit, _ in rows], pa.int64())])
        made = decimals(column, pa.chunked_array([pa.array([place for _, place in rows], pa.int64())])).to_pylist()
        for (unit, place), value in zip(rows, made, strict=True):
            assert (value is None) == (unit is None)
            if unit is not None:
                sign, digits, exponent = value.as_tuple()
                whole = int("".join(map(str, digits))) * (-1 if sign else 1)
                assert whole * 10**place == unit * 10**-exponent
