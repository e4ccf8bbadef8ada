"""`alphapulse record` as a process of its own: beside a collector, killed, refused, and over captures of real and simulated feeds."""

import io
import json
import signal

import pyarrow.parquet as pq
import pytest
from support.captures import tape_rows, write_rows
from support.e2e import wait_for
from support.rebuilt_books import rebuild, rows_of
from support.recorded import recorded_file
from support.shm_processes import child

from alphapulse_cli.apps.bench.frames import FEEDS
from alphapulse_cli.edges.columns import streams
from alphapulse_cli.edges.columns.places import files_of
from alphapulse_cli.edges.columns.schema import TABLES, VERSION
from alphapulse_cli.readers.moments import moment
from alphapulse_cli.shm.cursor import list_cursors
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.segment import Segment

SYMBOLS = ["BTC-USD", "ETH-USD"]
COLLECTOR = "support.reader_sets:write_until_told"
BYTES_A_CHANGE = 13.0  # of the recorded Coinbase, all bytes of the table
DEFAULTS_SHARE = 0.4  # of what pyarrow's defaults make of the same rows; measured 0.37


@pytest.fixture
def collector(shm_dir):
    """A collector in another process; each line it is given is a number of updates."""
    with child(COLLECTOR, shm_dir, 3, SYMBOLS) as process:
        process.line()
        yield process


def update(collector, count):
    """Epoch, version and hash of the first book after that many updates."""
    collector.say(str(count))
    return collector.line()


def begin(alphapulse, shm_dir, *words):
    """A recorder that reads both rings."""
    process = alphapulse.start("record", "data", *words)
    wait_for(lambda: len(cursors(shm_dir, process)) == 2 or process.poll() is not None, "the recorder's cursors")
    assert process.poll() is None, process.communicate()
    return process


def cursors(shm_dir, process):
    with open_directory(shm_dir) as directory:
        return [one for one in list_cursors(directory) if one.who.pid == process.pid and one.label == "record"]


def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out.decode(), err.decode()


def has_read_all(shm_dir, process):
    """Whether the recorder has read all that was published."""
    with open_directory(shm_dir) as directory:
        for one in cursors(shm_dir, process):
            with Segment.attach(directory, one.segment) as segment:
                if one.position != segment.published:
                    return False
    return True


def streamed(dataset):
    """Rows of deltas in the streams that are open."""
    found = [streams.read_stream(path).rows for path in (dataset / ".open").glob("*.deltas.arrows")]
    return sum(rows.num_rows for rows in found if rows is not None)


class TestBesideACollector:
    def test_the_files_give_its_books(self, alphapulse, shm_dir, tmp_path, collector):
        recorder = begin(alphapulse, shm_dir, "--json")
        for _ in range(20):
            epoch, version, book_hash = update(collector, 100)
        code, out, err = end(recorder)
        assert (code, err) == (0, "")
        *rows, last = map(json.loads, out.splitlines())
        assert {row["state"] for row in rows} <= {"writing"}
        assert (last["set"], last["missed"], last["rows_lost"], last["state"]) == ("kraken", 0, 0, "ended")
        data = tmp_path / "data"
        assert last["rows"] == {table: len(rows_of(data, table)) for table in TABLES}
        found = rebuild(data)
        assert (found.wrong, found.breaks, found.checks) == ([], 0, 40)
        assert found.books["BTC-USD", epoch].book_hash == book_hash
        assert max(row["version"] for row in rows_of(data, "deltas") if row["symbol"] == "BTC-USD") == version
        assert "ended" in {row["kind"] for row in rows_of(data, "status")}
        assert not list((data / ".open").glob("*.arrows"))

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 0), (signal.SIGQUIT, 130)])
    def test_each_signal_ends_it_with_complete_files(self, alphapulse, shm_dir, tmp_path, collector, number, code):
        recorder = begin(alphapulse, shm_dir)
        update(collector, 50)
        wait_for(lambda: has_read_all(shm_dir, recorder), "all read")
        assert end(recorder, number)[0] == code
        found = rebuild(tmp_path / "data")
        assert (found.wrong, found.checks) == ([], 2)
        assert "ended" in {row["kind"] for row in rows_of(tmp_path / "data", "status")}

    def test_killed_again_and_again_it_leaves_what_it_had_written_and_no_row_twice(self, alphapulse, shm_dir, tmp_path, collector):
        data = tmp_path / "data"
        written = 0
        for _ in range(3):
            recorder = begin(alphapulse, shm_dir)
            update(collector, 300)
            wait_for(lambda: streamed(data) > 0, "the first flush")
            update(collector, 300)
            recorder.kill()
            recorder.communicate()
            written += streamed(data)
            done = alphapulse("record", "data", "--recover")
            assert done.code == 0
            assert "recovered" in done.stdout
        rows = rows_of(data, "deltas")
        assert len(rows) == written
        assert len({(row["epoch"], row["sequence"]) for row in rows}) == len(rows)
        found = rebuild(data)
        assert found.wrong == []
        assert found.snapshots == 6
        assert "nothing was left" in alphapulse("record", "data", "--recover").stderr

    def test_the_next_recording_makes_files_of_what_a_killed_one_left(self, alphapulse, shm_dir, tmp_path, collector):
        recorder = begin(alphapulse, shm_dir)
        update(collector, 100)
        wait_for(lambda: streamed(tmp_path / "data") > 0, "the first flush")
        recorder.kill()
        recorder.communicate()
        count = streamed(tmp_path / "data")
        recorder = begin(alphapulse, shm_dir)
        assert len(rows_of(tmp_path / "data", "deltas")) == count
        code, _, err = end(recorder)
        assert code == 0
        assert "kraken: recovered" in err

    def test_it_ends_where_nothing_comes(self, alphapulse, shm_dir, collector):
        recorder = begin(alphapulse, shm_dir)
        assert end(recorder)[0] == 0

    def test_a_second_recorder_of_the_set_is_refused(self, alphapulse, shm_dir, tmp_path, collector):
        recorder = begin(alphapulse, shm_dir)
        done = alphapulse("record", "data")
        assert (done.code, done.stdout) == (7, "")
        assert "another process records kraken" in done.stderr
        other = alphapulse.start("record", "elsewhere")
        wait_for(lambda: len(cursors(shm_dir, other)) == 2, "the other's cursors")
        assert end(other)[0] == end(recorder)[0] == 0

    def test_a_signal_ends_it_while_it_waits_for_a_collector(self, alphapulse):
        recorder = alphapulse.start("record", "data", "--wait-for")
        assert b"waiting" in recorder.stderr.readline()
        assert end(recorder)[0] == 0

    def test_count_and_oldest(self, alphapulse, tmp_path, collector):
        update(collector, 100)
        done = alphapulse("record", "data", "--from", "oldest", "--count", "10")
        assert done.code == 0, done.stderr
        assert rows_of(tmp_path / "data", "deltas")


class TestRefused:
    def test_nothing_is_collected(self, alphapulse, tmp_path):
        done = alphapulse("record", "data")
        assert done.code == 3
        assert not (tmp_path / "data").exists()

    @pytest.mark.parametrize(
        "words",
        [
            ["--to", "2026-11-27T08:00:00Z"],
            ["--from", "2026-11-27T08:00:00Z"],
            ["--from", "-10m"],
            ["--from", "now", "captures"],
            ["--count", "3", "captures"],
            ["--wait-for", "captures"],
            ["--recover", "captures"],
        ],
    )
    def test_words_that_do_not_go_together(self, alphapulse, words):
        done = alphapulse("record", "data", *words)
        assert done.code == 2
        assert "hint: " in done.stderr

    def test_a_time_without_captures_leads_to_now_and_oldest(self, alphapulse):
        assert "--from now or --from oldest" in alphapulse("record", "data", "--from", "-10m").stderr

    def test_captures_in_the_place_of_the_dataset(self, alphapulse, tmp_path):
        (tmp_path / "captures").mkdir()
        (tmp_path / "captures" / "kraken-20261128T080000.000Z.cap.zst").touch()
        done = alphapulse("record", "captures")
        assert done.code == 2
        assert "hint: alphapulse record NEW-DIR captures" in done.stderr

    def test_a_folder_that_is_no_dataset_is_not_recovered(self, alphapulse, tmp_path):
        (tmp_path / "notes").mkdir()
        assert alphapulse("record", "notes", "--recover").code == 3
        assert list((tmp_path / "notes").iterdir()) == []


@pytest.fixture(scope="module")
def captures(tmp_path_factory):
    """Captures of two simulated feeds, with few levels."""
    folder = tmp_path_factory.mktemp("captures")
    for feed in FEEDS:
        if feed.case in ("kraken", "okx"):
            head, rows, _ = tape_rows(feed, 2000)
            write_rows(folder, head, rows)
    return folder


class TestCaptures:
    def test_nothing_of_them_is_missed(self, alphapulse, tmp_path, captures):
        done = alphapulse("record", "data", str(captures), "--roll", "30s", timeout=120)
        assert done.code == 0, done.stderr
        totals = [json.loads(line) for line in done.stdout.splitlines()][-2:]
        assert [one["missed"] + one["rows_lost"] for one in totals] == [0, 0]
        for name in (one["set"] for one in totals):
            found = rebuild(tmp_path / "data", set_name=name)
            assert (found.wrong, found.breaks) == ([], 0)
            assert found.checks > 10
            for table in ("deltas", "trades"):
                rows = rows_of(tmp_path / "data", table, set_name=name)
                assert len({(row["epoch"], row["sequence"]) for row in rows}) == len(rows)
                assert rows or table == "trades"  # not every tape has trades

    def test_the_same_rows_each_time_but_never_twice_in_one_place(self, alphapulse, tmp_path, captures):
        words = (str(captures), "--exchange", "kraken", "--symbol", "BTC-USD")
        for name in ("one", "two"):
            assert alphapulse("record", name, *words, timeout=120).code == 0
        for table in TABLES:
            first, second = ([path.read_bytes() for path in files_of(tmp_path / name, table)] for name in ("one", "two"))
            assert first == second
        again = alphapulse("record", "one", *words)
        assert again.code == 2
        assert "has this run of kraken already" in again.stderr

    def test_a_part_of_them(self, alphapulse, tmp_path, captures):
        assert alphapulse("record", "whole", str(captures), "--exchange", "kraken", timeout=120).code == 0
        times = sorted({row["timestamp_ns"] for row in rows_of(tmp_path / "whole", "deltas")})
        begin_ns, end_ns = times[len(times) // 3], times[2 * len(times) // 3]
        span = [moment(begin_ns, digits=9), moment(end_ns, digits=9)]
        done = alphapulse("record", "part", str(captures), "--exchange", "kraken", "--from", span[0], "--to", span[1], timeout=120)
        assert done.code == 0, done.stderr
        whole = [row for row in rows_of(tmp_path / "whole", "deltas") if begin_ns <= row["timestamp_ns"] < end_ns]
        part = rows_of(tmp_path / "part", "deltas")
        assert sorted(map(key_of, part)) == sorted(map(key_of, whole))
        found = rebuild(tmp_path / "part")
        assert (found.wrong, found.breaks) == ([], 0)
        assert found.checks > 3

    def test_bytes_beside_what_the_defaults_make(self, alphapulse, tmp_path, captures):
        assert alphapulse("record", "data", str(captures), timeout=120).code == 0
        held, usual, rows = sizes(tmp_path / "data", "deltas")
        assert held / usual <= DEFAULTS_SHARE
        assert held / rows <= BYTES_A_CHANGE


def key_of(row):
    return tuple(row[name] for name in ("symbol", "epoch", "sequence", "timestamp_ns", "price_ticks", "size_lots", "side"))


def sizes(dataset, table):
    """Bytes of a table's files, what pyarrow's defaults make of the same row groups, and the number of rows."""
    held = usual = count = 0
    for path in files_of(dataset, table):
        file = pq.ParquetFile(path)
        held += path.stat().st_size
        out = io.BytesIO()
        with pq.ParquetWriter(out, file.schema_arrow) as writer:
            for number in range(file.num_row_groups):
                writer.write_table(file.read_row_group(number))
        usual += len(out.getvalue())
        count += file.metadata.num_rows
    return held, usual, count


class TestAReplay:
    def test_at_full_speed_it_waits_for_the_recorder(self, alphapulse, shm_dir, tmp_path, captures):
        there = ("--shm-dir", str(shm_dir / "past"))
        recorder = alphapulse.start("record", "live", "--exchange", "kraken", "--wait-for", "--from", "oldest", *there)
        assert b"waiting" in recorder.stderr.readline()
        [place] = map(str, captures.glob("kraken*.zst"))
        played = alphapulse("replay", "play", place, "--speed", "max", *there, timeout=120)
        assert played.code == 0, played.stderr
        wait_for(lambda: len(cursors(shm_dir / "past", recorder)) == 2, "the recorder's cursors")
        code, _, err = end(recorder)
        assert code == 0, err
        assert alphapulse("record", "past", str(captures), "--exchange", "kraken", timeout=120).code == 0
        live, past = (rows_of(tmp_path / name, "deltas") for name in ("live", "past"))
        assert [key_of(row | {"epoch": 0}) for row in live] == [key_of(row | {"epoch": 0}) for row in past]
        found = rebuild(tmp_path / "live")
        assert (found.wrong, found.breaks) == ([], 0)


class TestRecordedCoinbase:
    def test_bytes_a_change(self, alphapulse, tmp_path):
        places = [str(recorded_file(name)) for name in ("COINBASE.ws.28.0", "COINBASE.0")]
        assert alphapulse("capture", "import", "cryptofeed", *places, "cap", timeout=120).code == 0
        assert alphapulse("record", "data", "cap", timeout=120).code == 0
        held, usual, rows = sizes(tmp_path / "data", "deltas")
        assert rows == 9719
        assert held / rows <= BYTES_A_CHANGE
        assert held / usual <= DEFAULTS_SHARE
        found = rebuild(tmp_path / "data")
        assert (found.wrong, found.breaks, found.checks) == ([], 0, 310)

    def test_of_the_slice(self, alphapulse, tmp_path):
        places = [str(recorded_file(name)) for name in ("coinbase-exchange.txt", "coinbase-products.txt")]
        assert alphapulse("capture", "import", "cryptofeed", *places, "cap").code == 0
        assert alphapulse("record", "data", "cap").code == 0
        held, usual, rows = sizes(tmp_path / "data", "deltas")
        assert rows > 20
        assert held < usual
        assert (rebuild(tmp_path / "data").wrong, VERSION) == ([], 1)
