"""Parts of a dataset: what is found, what is not seen, and what is refused with its name."""

import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.datasets import DAY_NS, NOON_NS, trade, write

from alphapulse_cli.edges.columns import extras, reading, schema
from alphapulse_cli.edges.columns.reading import parts
from alphapulse_cli.edges.columns.writing import UNFINISHED
from alphapulse_cli.errors import NoSegment, StorageError, UsageError


def rewrite(path, metadata=None, columns=None):
    """Replace a file by one with other metadata or columns."""
    table = pq.read_table(path, partitioning=None)
    kept = pq.read_metadata(path).metadata
    table = table if columns is None else columns(table)
    pq.write_table(table.replace_schema_metadata({**kept, **(metadata or {})}), path)


class TestWhatIsFound:
    def test_by_exchange_day_and_set(self, tmp_path):
        write(tmp_path, "trades", [trade(16, 1, 1), trade(32, 1, 1, timestamp_ns=NOON_NS + DAY_NS)])
        write(tmp_path, "trades", [trade(16, 1, 1)], set_name="kraken-2")
        write(tmp_path, "trades", [trade(16, 1, 1)], exchange="okx")
        found = [(part.exchange, part.day, part.set_name, len(part.files)) for part in parts(tmp_path, "trades")]
        assert found == [
            ("kraken", 20261127, "kraken", 1),
            ("kraken", 20261127, "kraken-2", 1),
            ("kraken", 20261128, "kraken", 1),
            ("okx", 20261127, "okx", 1),
        ]
        assert parts(tmp_path, "deltas") == []

    @pytest.mark.parametrize(
        ("exchanges", "sets"), [(["kraken"], ["kraken", "kraken-2"]), (["kraken-2"], ["kraken-2"]), (["okx", "none"], ["okx"])]
    )
    def test_an_exchange_or_a_set_is_named(self, tmp_path, exchanges, sets):
        for exchange, name in (("kraken", "kraken"), ("kraken", "kraken-2"), ("okx", "okx")):
            write(tmp_path, "trades", [trade(16, 1, 1)], exchange, name)
        assert [part.set_name for part in parts(tmp_path, "trades", exchanges)] == sets

    def test_an_unfinished_file_is_not_seen(self, tmp_path):
        [path] = write(tmp_path, "trades", [trade(16, 1, 1)])
        path.rename(path.with_name(path.name + UNFINISHED))
        assert parts(tmp_path, "trades") == []

    def test_a_file_that_went_since_it_was_listed_is_not_there(self, tmp_path, monkeypatch):
        [path] = write(tmp_path, "trades", [trade(16, 1, 1)])
        monkeypatch.setattr(reading, "files_of", lambda *_: [path.with_name("kraken-1-1-1.parquet"), path])
        [part] = parts(tmp_path, "trades")
        assert part.files == (path,)

    def test_files_of_other_columns_are_another_part(self, tmp_path):
        write(tmp_path, "trades", [trade(16, 1, 1)])
        [other] = write(tmp_path, "trades", [trade(32, 1, 1)], part=1)
        rewrite(other, columns=lambda table: table.drop_columns(["history"]).append_column("mood", pa.array(["good"])))
        first, second = parts(tmp_path, "trades")
        assert set(first.names) ^ set(second.names) == {"history", "mood"}


class TestWhatIsRefused:
    def test_a_greater_version(self, tmp_path):
        [path] = write(tmp_path, "trades", [trade(16, 1, 1)])
        rewrite(path, {b"alphapulse.dataset": str(schema.VERSION + 1).encode()})
        with pytest.raises(UsageError, match=rf"{path.name}: version 2 of a dataset, known is 1") as refused:
            parts(tmp_path, "trades")
        assert "newer alphapulse" in refused.value.hint

    def test_an_older_version_is_read(self, tmp_path):
        [path] = write(tmp_path, "trades", [trade(16, 1, 1)])
        rewrite(path, {b"alphapulse.dataset": b"0"})
        assert len(parts(tmp_path, "trades")) == 1

    @pytest.mark.parametrize("version", [b"", b"-1", b"1.0", "²".encode()])
    def test_a_file_that_is_not_ours(self, tmp_path, version):
        [path] = write(tmp_path, "trades", [trade(16, 1, 1)])
        rewrite(path, {b"alphapulse.dataset": version})
        with pytest.raises(UsageError, match="names no version"):
            parts(tmp_path, "trades")

    def test_a_file_of_another_table(self, tmp_path):
        [path] = write(tmp_path, "trades", [trade(16, 1, 1)])
        rewrite(path, {b"alphapulse.table": b"bbo"})
        with pytest.raises(UsageError, match="a file of the table 'bbo' among those of 'trades'"):
            parts(tmp_path, "trades")

    @pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1"])
    def test_a_damaged_file(self, tmp_path, content):
        [path] = write(tmp_path, "trades", [trade(16, 1, 1)])
        path.write_bytes(content)
        with pytest.raises(StorageError, match=path.name) as refused:
            parts(tmp_path, "trades")
        assert "\n" not in str(refused.value)

    def test_a_folder_that_is_none(self, tmp_path):
        with pytest.raises(NoSegment, match="not a dataset") as refused:
            parts(tmp_path, "trades")
        assert "deltas, trades" in refused.value.hint
        with pytest.raises(NoSegment, match="no such folder"):
            parts(tmp_path / "none", "trades")
        (tmp_path / "file").touch()
        with pytest.raises(NoSegment, match="not a folder"):
            parts(tmp_path / "file", "trades")

    def test_one_that_may_be_either_or_neither(self, tmp_path):
        (tmp_path / "kraken.cap.zst").touch()
        reading.require_captures([tmp_path, tmp_path / "none", tmp_path / "kraken.cap.zst"])
        (tmp_path / "inside").mkdir()
        assert not reading.is_dataset(tmp_path / "inside")
        with pytest.raises(UsageError, match="no capture and no dataset") as refused:
            reading.require_captures([tmp_path, tmp_path / "inside"])
        assert "named deltas, trades" in refused.value.hint
        (tmp_path / "inside" / "status").mkdir()
        assert reading.is_dataset(tmp_path / "inside")

    def test_a_capture_is_named_as_such(self, tmp_path):
        (tmp_path / "kraken.cap.zst").touch()
        with pytest.raises(NoSegment) as refused:
            parts(tmp_path, "trades")
        assert "it is a capture" in refused.value.hint

    def test_a_folder_in_a_dataset_leads_to_it(self, tmp_path):
        write(tmp_path, "trades", [trade(16, 1, 1)])
        with pytest.raises(NoSegment) as refused:
            parts(tmp_path / "trades" / "exchange=kraken", "trades")
        assert refused.value.hint.endswith(str(tmp_path))

    def test_a_recorder_has_just_begun(self, tmp_path):
        (tmp_path / reading.OPEN).mkdir()
        assert parts(tmp_path, "trades") == []


class TestExtras:
    def test_what_is_there(self):
        assert extras.require("pyarrow.parquet", "record", "record") is pq

    def test_what_is_not(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(UsageError, match="record needs pyarrow") as refused:
            extras.require("pyarrow", "record", "record")
        assert refused.value.hint == "pip install 'alphapulse[record]'"

    def test_a_fault_within_it_is_its_own(self, monkeypatch, tmp_path):
        (tmp_path / "halfthere.py").write_text("import nonesuch_at_all\n")
        monkeypatch.syspath_prepend(tmp_path)
        with pytest.raises(ImportError, match="nonesuch_at_all"):
            extras.require("halfthere", "record", "record")
