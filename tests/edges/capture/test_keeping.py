"""When a capture's file ends, what is deleted and how much room is left: only what was asked for, and never a file that is written."""

import os
from pathlib import Path

import pytest

from alphapulse_cli.edges.capture import files, keeping, rolling
from alphapulse_cli.edges.capture.files import LeastFree
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.edges.capture.keeping import Keep, Rotation
from alphapulse_cli.edges.capture.rolling import RollingFiles, RowBlock
from alphapulse_cli.edges.capture.rows import row_bytes
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import CaptureState

HOUR_NS = 3600 * 10**9
T0 = 1_764_324_000_000_000_000 // HOUR_NS * HOUR_NS
HEAD = Head("kraken", "v2", 10, ("book",), "kraken", "ws://127.0.0.1:1/v2", 1_000)


class TestTexts:
    @pytest.mark.parametrize(
        ("text", "seconds", "most_bytes"),
        [
            ("1h", 3600, 0),
            ("256MiB", 0, 256 << 20),
            ("15m, 1.5GB", 900, 1_500_000_000),
            ("64KiB,1h30m", 5400, 65536),
            ("10", 10, 0),
        ],
    )
    def test_of_a_rotation(self, text, seconds, most_bytes):
        assert keeping.rotation(text) == Rotation(seconds, most_bytes)

    def test_of_what_is_kept_and_left_free(self):
        assert keeping.keep("") == Keep()
        assert keeping.keep("7d,50GiB") == Keep(7 * 86_400, 50 << 30)
        assert keeping.least_free("0") == LeastFree(0.0, 0)
        assert keeping.least_free("5%,1GiB") == LeastFree(0.05, 1 << 30) == LeastFree()
        assert keeping.least_free("10%") == LeastFree(0.1, 0)

    @pytest.mark.parametrize(
        "text", ["", "1h,", "1h,2h", "1GiB,2GiB", "1h,1GiB,1h", "0s", "0B", "1e3s", "-1h", "1 h", "٣h", "99999999TiB"]
    )
    def test_what_is_no_rotation(self, text):
        with pytest.raises(ValueError, match="expected"):
            keeping.rotation(text)


def made(folder, set_name, hours, size=100, *, ended_ns=None):
    """A file that began then, of `size` bytes with its index."""
    path = folder / files.file_name(set_name, T0 + hours * HOUR_NS)
    path.write_bytes(b"x" * (size - 10))
    files.index_path(path).write_bytes(b"i" * 10)
    ended_ns = T0 + (hours + 1) * HOUR_NS if ended_ns is None else ended_ns
    os.utime(path, ns=(ended_ns, ended_ns))
    return path


class TestSweep:
    def test_by_age_whole_files_of_the_set_with_their_indexes(self, tmp_path):
        paths = [made(tmp_path, "kraken", hours) for hours in range(5)]
        other = made(tmp_path, "okx", 0)
        foreign = tmp_path / "kraken-notes.txt"
        foreign.write_text("mine")
        gone = Keep(2 * 3600).sweep(tmp_path, "kraken", T0 + 5 * HOUR_NS)
        assert gone == paths[:2], "ended more than two hours ago"
        assert set(tmp_path.iterdir()) == {
            *(each for path in (*paths[2:], other) for each in (path, files.index_path(path))),
            foreign,
        }

    def test_an_age_counts_from_the_end_of_a_file_however_it_was_copied(self, tmp_path):
        """Copied later, it ended all the same when the next one began; the last one when it was written."""
        paths = [made(tmp_path, "kraken", hours, ended_ns=T0 + 100 * HOUR_NS) for hours in range(3)]
        assert Keep(3600).sweep(tmp_path, "kraken", T0 + 100 * HOUR_NS) == paths[:2]

    def test_by_size_the_oldest_first(self, tmp_path):
        paths = [made(tmp_path, "kraken", hours, size=100) for hours in range(5)]
        assert Keep(0, 300).sweep(tmp_path, "kraken", T0) == paths[:2]
        assert Keep(0, 300).sweep(tmp_path, "kraken", T0) == []

    def test_never_a_file_that_is_written(self, tmp_path):
        paths = [made(tmp_path, "kraken", hours) for hours in range(3)]
        with paths[0].open("rb") as written:
            files.mark_as_written(written.fileno())
            assert Keep(1, 1).sweep(tmp_path, "kraken", T0 + 99 * HOUR_NS) == paths[1:]
        assert Keep(1, 1).sweep(tmp_path, "kraken", T0 + 99 * HOUR_NS) == paths[:1]

    def test_without_bounds_nothing_is_ever_deleted(self, tmp_path):
        made(tmp_path, "kraken", 0)
        assert Keep().sweep(tmp_path, "kraken", T0 + 10**6 * HOUR_NS) == []


def block(time_ns, payload=b"x"):
    return RowBlock(row_bytes(b"recv", time_ns, 1, payload), 1, time_ns, time_ns, HEAD)


class TestRollingFiles:
    @pytest.fixture
    def now(self, monkeypatch):
        """CLOCK_MONOTONIC in seconds, and the wall clock with it."""
        passed = [100.0]
        monkeypatch.setattr(clock, "monotonic_ns", lambda: int(passed[0] * 1e9))
        monkeypatch.setattr(clock, "realtime_ns", lambda: T0 + int(passed[0] * 1e9))
        return passed

    def rolling(self, folder, reports, **more):
        return RollingFiles(folder, lambda level, text: reports.append((level, text)), Rotation(3600), LeastFree(0.0, 0), **more)

    def test_it_sweeps_at_each_new_file_and_each_minute(self, tmp_path, now):
        reports: list[tuple[str, str]] = []
        files_made = self.rolling(tmp_path, reports, keep=Keep(0, 250))
        old = [made(tmp_path, "kraken", hours, size=120) for hours in (-9, -8, -7)]
        files_made.write(block(T0))
        assert [path.exists() for path in old] == [False, True, True], "as it begins"
        files_made.write(block(T0 + 1))
        assert not any(path.exists() for path in old), "the new file counts, too"
        assert "captures deleted, as asked by --keep" in reports[0][1]
        late = made(tmp_path, "kraken", -6, size=120)
        files_made.write(block(T0 + 2))
        assert late.exists()
        now[0] += rolling.SWEEP_S
        files_made.write(block(T0 + 3))
        assert not late.exists()
        assert files_made.path is not None
        assert files_made.path.exists()
        files_made.close()

    def test_a_file_that_was_deleted_under_it_is_left_for_another(self, tmp_path, now):
        reports: list[tuple[str, str]] = []
        files_made = self.rolling(tmp_path, reports)
        files_made.write(block(T0))
        for path in tmp_path.iterdir():
            path.unlink()
        files_made.write(block(T0 + 10**9))
        assert len(files.capture_files([tmp_path])) == 1
        files_made.close()

    def test_a_folder_that_is_gone_is_a_failing_disk_and_its_return_the_end_of_it(self, tmp_path, now):
        reports: list[tuple[str, str]] = []
        folder = tmp_path / "c"
        folder.mkdir()
        files_made = self.rolling(folder, reports)
        files_made.write(block(T0))
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
        for second in range(3):
            now[0] += 1.0
            files_made.write(block(T0 + second))
        assert (files_made.totals.state, files_made.totals.rows_lost) == (CaptureState.FAILING, 3)
        folder.mkdir()
        now[0] += rolling.TRY_AGAIN_S
        files_made.write(block(T0 + 9))
        assert (files_made.totals.state, files_made.totals.stopped) == (CaptureState.WRITING, "")
        files_made.close()
        assert [level for level, _ in reports] == ["warning", "warning"]
        assert len(files.capture_files([Path(folder)])) == 1

    def test_a_disk_below_the_bound_stops_it_and_says_so_in_the_state(self, tmp_path, now):
        reports: list[tuple[str, str]] = []
        files_made = self.rolling(tmp_path, reports)
        files_made.least_free = LeastFree(0.0, 1 << 62)
        files_made.write(block(T0))
        assert files_made.totals.state is CaptureState.NO_ROOM
        assert not list(tmp_path.iterdir()), "and nothing is written at all"
        assert "too little room on the disk" in reports[0][1]
