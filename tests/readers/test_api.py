"""The public readers: arrays of records, copies of books, updates of replicas, data frames."""

import builtins
import subprocess
import sys
import threading
import time

import pytest
from support.reader_sets import Overtaken, Writer, ladder

import alphapulse_cli as ap
from alphapulse_cli import errors
from alphapulse_cli.errors import NoSegment, UsageError
from alphapulse_cli.flow.groups import GroupReader
from alphapulse_cli.readers.api import Following
from alphapulse_cli.readers.waiting import WAYS, Waiting
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.cursor import list_cursors
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.wire import delta, trade
from alphapulse_cli.wire.delta import BookReason, BookState


@pytest.fixture
def where(tmp_path):
    return str(tmp_path / "segments")


@pytest.fixture
def writer(where):
    with open_directory(where, create=True) as directory, Writer(directory) as made:
        made.snapshot(ladder(100))
        yield made


class TestThePackage:
    def test_the_public_names_are_there_and_importing_it_imports_nothing_heavy(self):
        line = (
            "import sys, alphapulse_cli as ap; assert 'numpy' not in sys.modules and 'asyncio' not in sys.modules;"
            "print(sorted(set(ap.__all__) - set(dir(ap))), ap.DeltaReader.__name__, ap.Reconstructor.__name__, ap.follow.__name__)"
        )
        done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[] DeltaReader Reconstructor follow"

    def test_every_public_name_and_every_error_is_importable_from_it(self):
        assert all(getattr(ap, name) is not None for name in ap.__all__)
        raised = {
            name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.AlphapulseError)
        }
        assert raised == {
            name for name in ap.__all__ if isinstance(getattr(ap, name), type) and issubclass(getattr(ap, name), Exception)
        }
        with pytest.raises(ap.NoSegment):
            raise errors.NoSegment("none")

    def test_another_name_is_no_attribute(self):
        with pytest.raises(AttributeError, match="nonsense"):
            ap.nonsense  # noqa: B018


class TestRecordReaders:
    def test_deltas_are_a_structured_array_of_whole_groups(self, writer, where):
        with ap.DeltaReader("kraken", shm_dir=where) as reader:
            assert len(reader.poll()) == 0
            writer.update(ladder(30, 5))
            assert reader.lag == 3
            records = reader.poll()
            assert (records.dtype, records.shape) == (delta.dtype(), (3,))
            assert records["symbol"].tolist() == [b"BTC-USD"] * 3
            assert records["change_count"].tolist() == [12, 12, 6]
            assert (reader.lag, reader.missed, reader.liveness) == (0, 0, Liveness.LIVE)

    def test_trades_are_one_too(self, writer, where):
        with ap.TradeReader("kraken", start="oldest", shm_dir=where) as reader:
            writer.trades(("a1", 1_000_000, 5, 0), ("a2", 1_000_001, 6, 1))
            records = reader.poll()
            assert (records.dtype, records["trade_id"].tolist()) == (trade.dtype(), [b"a1", b"a2"])

    def test_records_that_are_lent_are_copied_once(self, writer, where):
        """The array lies in the reader's own memory, which the next poll reuses. What is not lent: test_columns.py."""
        with ap.DeltaReader("kraken", shm_dir=where) as reader:
            writer.update([(999_999, 5, False)])
            first = reader.poll(copy=False)
            version = int(first["version"][0])
            writer.update([(999_999, 6, False)])
            second = reader.poll(copy=False)
            assert int(second["version"][0]) == version + 1
            assert int(first["version"][0]) == version + 1

    def test_a_reader_is_seen_by_others(self, writer, where):
        with ap.DeltaReader("kraken", shm_dir=where, label="my notebook"):
            assert [one.label for one in list_cursors(writer.directory)] == ["my notebook"]
        assert list_cursors(writer.directory) == []

    def test_a_lap_is_told(self, where):
        with open_directory(where, create=True) as directory, Writer(directory, capacity=64) as writer:
            writer.snapshot(ladder(10))
            with ap.DeltaReader("kraken", shm_dir=where) as reader:
                for number in range(200):
                    writer.update([(999_000, number + 1, False)])
                got = len(reader.poll())
                assert (got + reader.missed, reader.last_missed) == (200, 200 - got)

    def test_without_a_set_there_is_a_hint(self, where):
        with pytest.raises(NoSegment) as raised:
            ap.DeltaReader("kraken", shm_dir=where)
        assert raised.value.hint

    @pytest.mark.parametrize("how", WAYS)
    def test_waiting_ends_when_something_comes(self, writer, where, how):
        with ap.DeltaReader("kraken", shm_dir=where) as reader:
            assert not reader.wait(0.01, how)
            later = threading.Timer(0.05, lambda: writer.update([(999_999, 5, False)]))
            later.start()
            assert reader.wait(10.0, how)
            later.join()
            assert len(reader.poll()) == 1

    def test_an_unknown_way_of_waiting_is_refused(self, writer, where):
        with ap.DeltaReader("kraken", shm_dir=where) as reader, pytest.raises(UsageError, match="nap"):
            reader.wait(1, "nap")

    def test_iterating_waits_and_survives_a_restart(self, where):
        with open_directory(where, create=True) as directory:
            with Writer(directory) as first:
                first.snapshot(ladder(10))
                reader = ap.DeltaReader("kraken", start="oldest", shm_dir=where)
                records = iter(reader)
                assert next(records)["version"].tolist() == [1, 1]
            with Writer(directory) as second:
                second.snapshot(ladder(10))
                assert next(records)["version"].tolist() == [1, 1]
            reader.close()


class TestWaitingForSeveral:
    @pytest.mark.parametrize("how", WAYS)
    def test_any_of_them_ends_it(self, where, how):
        with (
            open_directory(where, create=True) as directory,
            Writer(directory) as one,
            Writer(directory, set_name="other") as other,
        ):
            readers = {name: GroupReader(directory, name, SegmentKind.DELTAS).reader for name in ("kraken", "other")}
            waiting = Waiting(how, directory)
            assert not waiting.wait(readers, 0.01)
            later = threading.Timer(0.03, lambda: other.snapshot(ladder(4)))
            later.start()
            assert waiting.wait(readers, 10.0)
            later.join()
            one.close()

    @pytest.mark.parametrize("how", WAYS)
    def test_ended_rings_are_no_busy_loop_and_no_long_wait(self, where, how):
        with open_directory(where, create=True) as directory:
            with Writer(directory):
                pass
            readers = {"kraken": GroupReader(directory, "kraken", SegmentKind.DELTAS).reader}
            waiting = Waiting(how, directory)
            begun = time.monotonic()
            assert not waiting.wait(readers, 10.0)
            assert 0.015 < time.monotonic() - begun < 5


class TestBook:
    def test_a_copy_is_whole_and_best_first(self, writer, where):
        with ap.Book("kraken", "BTC-USD", shm_dir=where) as book:
            copy = book.read()
            assert (copy.exchange, copy.symbol, copy.version, copy.state) == ("kraken", "BTC-USD", 1, BookState.LIVE)
            assert copy.bids.tolist() == [list(level) for level in writer.book().bids()]
            assert copy.asks.tolist() == [list(level) for level in writer.book().asks()]
            assert copy.rows(1) == [("bid", "10000.00", "0.00000001"), ("ask", "10000.01", "0.00000001")]
            assert book.read(3).asks.shape == (3, 2)
            assert book.read(0).bids.shape == (0, 2)

    def test_it_follows_a_book_that_outgrows_its_file_and_a_new_writer(self, where):
        with open_directory(where, create=True) as directory:
            with Writer(directory) as first:
                first.snapshot(ladder(100))
                book = ap.Book("kraken", "BTC-USD", shm_dir=where)
                first.update(ladder(5000, 3))
                assert len(book.read().bids) == 2500
            assert (book.read().state, book.read().reason) == (BookState.STALE, BookReason.RETIRED)
            with Writer(directory) as second:
                second.snapshot(ladder(10))
                assert (len(book.read().bids), book.read().state) == (5, BookState.LIVE)
            book.close()

    def test_a_dead_writers_book_is_never_live(self, writer, where, monkeypatch):
        with ap.Book("kraken", "BTC-USD", shm_dir=where) as book:
            now = clock.monotonic_ns()
            monkeypatch.setattr(clock, "monotonic_ns", lambda: now + 3_000_000_000)
            assert (book.read().state, book.read().reason) == (BookState.STALE, BookReason.SILENT)

    def test_one_that_died_editing_is_told_from_a_busy_one(self, writer, where, monkeypatch):
        writer.keepers["BTC-USD"].image.begin()
        now = clock.monotonic_ns()
        monkeypatch.setattr(clock, "monotonic_ns", lambda: now + 3_000_000_000)
        with ap.Book("kraken", "BTC-USD", shm_dir=where) as book, pytest.raises(NoSegment, match="killed during an update"):
            book.read()

    def test_one_too_busy_to_copy_gives_a_checkpoint(self, writer, where, monkeypatch):
        monkeypatch.setattr("alphapulse_cli.readers.api.ImageReader", Overtaken)
        monkeypatch.setattr(clock, "pause", lambda _: writer.outlet.serve_checkpoints(clock.realtime_ns()))
        with ap.Book("kraken", "BTC-USD", shm_dir=where) as book:
            assert len(book.read().bids) == 50


class TestFollow:
    def test_an_update_a_change_with_the_newest_book(self, writer, where):
        with ap.follow("kraken", shm_dir=where) as following:
            updates = iter(following)
            assert next(updates).state is BookState.LIVE
            writer.update([(999_999, 7, False)])
            writer.update([(1_000_000, 0, False)])
            update = next(updates)
            assert (update.symbol, update.version, update.book.best_bid(), update.missed) == ("BTC-USD", 3, (999_999, 7), 0)
            assert following.poll() == []

    def test_the_end_of_a_collector_is_an_update(self, writer, where):
        with ap.follow("kraken", shm_dir=where) as following:
            following.poll()
            writer.close()
            (update,) = following.poll()
            assert (update.state, update.reason) == (BookState.STALE, BookReason.RETIRED)

    async def test_async(self, writer, where):
        seen = []
        with ap.follow("kraken", symbols=["BTC-USD"], shm_dir=where) as following:
            async for update in following:
                seen.append(update.version)
                if len(seen) == 2:
                    break
                writer.update([(999_999, 7, False)])
        assert seen == [1, 2]

    def test_nothing_to_follow_is_refused(self, where):
        with pytest.raises(UsageError):
            Following([], None, where)
        with pytest.raises(NoSegment):
            ap.follow("kraken", shm_dir=where)


class TestToPandas:
    def test_a_row_a_change(self, writer, where):
        pytest.importorskip("pandas")
        with ap.DeltaReader("kraken", shm_dir=where) as reader:
            writer.update([*ladder(13, 50), (42, 7, False)])
            writer.update([(42, 0, False)])
            writer.check()
            frame = ap.to_pandas(reader.poll())
        assert len(frame) == 15
        assert frame.iloc[13].to_dict() | {"timestamp": None} == {
            "timestamp": None,
            "exchange": "kraken",
            "symbol": "BTC-USD",
            "version": 2,
            "side": "bid",
            "price": "0.42",
            "size": "0.00000007",
            "price_ticks": 42,
            "size_lots": 7,
            "is_new": True,
        }
        assert frame.iloc[14][["version", "size", "is_new"]].tolist() == [3, "0.00000000", False]
        assert frame.timestamp[0].value == writer.now_ns
        assert all(kind.kind != "u" for kind in frame.dtypes), "differences of unsigned columns wrap"
        assert frame.side.tolist()[7:13] == ["ask"] * 6

    def test_a_row_a_trade(self, writer, where):
        pandas = pytest.importorskip("pandas")
        with ap.TradeReader("kraken", shm_dir=where) as reader:
            writer.trades(("a1", 1_000_000, 5, 0))
            writer.trades(("a2", 1_000_001, 6, 2), exchange_ns=1_700_000_000_000_000_001)
            frame = ap.to_pandas(reader.poll())
        assert frame.price.tolist() == ["10000.00", "10000.01"]
        assert frame.side.tolist() == ["buy", "unknown"]
        assert pandas.isna(frame.exchange_timestamp[0])
        assert frame.exchange_timestamp[1].value == 1_700_000_000_000_000_001

    def test_nothing_is_an_empty_frame(self, writer, where):
        pytest.importorskip("pandas")
        with ap.DeltaReader("kraken", shm_dir=where) as reader:
            assert len(ap.to_pandas(reader.poll())) == 0

    def test_without_pandas_it_says_what_to_install(self, writer, where, monkeypatch):
        real = builtins.__import__

        def without(name, *rest):
            if name == "pandas":
                raise ImportError(name)
            return real(name, *rest)

        with ap.DeltaReader("kraken", shm_dir=where) as reader:
            monkeypatch.setattr(builtins, "__import__", without)
            with pytest.raises(ImportError, match=r"pip install alphapulse\[pandas\]"):
                ap.to_pandas(reader.poll())

    def test_another_array_is_refused(self):
        import numpy as np

        with pytest.raises(TypeError):
            ap.to_pandas(np.zeros(3))
