"""`capture cut`, `merge` and `diff`: captures made of captures replay to the same books; what differs is counted."""

import asyncio
import json
from dataclasses import replace

import pytest
from support.captures import tape_rows, write_rows
from support.small_captures import BTC, ETH, HEAD, MS, T0, done, frame, opened, read, shut, write

import alphapulse_cli as ap
from alphapulse_cli.apps.bench.frames import FEEDS, STARTED_NS, STEP_NS
from alphapulse_cli.apps.capture import cut, diff, merge
from alphapulse_cli.apps.capture.places import Span
from alphapulse_cli.apps.replay.plan import MAX, ReplayPlan
from alphapulse_cli.apps.replay.replay import Replay
from alphapulse_cli.apps.replay.timeline import recordings
from alphapulse_cli.edges.capture import files
from alphapulse_cli.edges.capture.files import LeastFree, capture_files
from alphapulse_cli.edges.capture.keeping import Rotation
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.rows import Row
from alphapulse_cli.errors import StorageError, UsageError
from alphapulse_cli.shm.directory import open_directory

KRAKEN = next(feed for feed in FEEDS if feed.case == "kraken")


def quiet(_path, _what):
    """Take a report of damage."""


def noted():
    said = []
    return said, lambda path, what: said.append(what)


def book(folder, shm_dir, name="kraken", symbol="BTC-USD", **plan):
    """Levels of a book after a replay of the folder."""
    made = ReplayPlan(capture_files([folder]), MAX, shm_dir=str(shm_dir), **plan)
    with open_directory(made.shm_dir, create=True) as directory:
        asyncio.run(Replay(made, recordings(made.places), directory, lambda *_: None).run())
    with ap.Book(name, symbol, shm_dir=str(shm_dir)) as image:
        copy = image.read()
    return copy.bids.tolist(), copy.asks.tolist()


def members(row):
    return json.loads(row.payload)


class TestCut:
    def test_it_replays_to_the_book_that_the_whole_has_at_its_end(self, tmp_path):
        head, rows, _ = tape_rows(KRAKEN, 200)
        write_rows(tmp_path / "whole", head, rows, rotation=Rotation(1, 0))
        assert len(list((tmp_path / "whole").glob("*.cap.zst"))) > 3
        end_ns = STARTED_NS + 150 * STEP_NS
        span = Span(STARTED_NS + 120 * STEP_NS, end_ns)
        made = cut.cut(capture_files([tmp_path / "whole"]), tmp_path / "part", span, quiet, pytest.fail)
        assert made.before
        expected = book(tmp_path / "whole", tmp_path / "shm-whole", to_ns=end_ns)
        assert book(tmp_path / "part", tmp_path / "shm-part") == expected
        kept = [row for row in read(tmp_path / "part") if row.kind == b"recv"]
        assert kept == [row for row in rows if row.kind == b"recv" and row.time_ns < end_ns]

    def test_without_the_beginning_the_book_would_be_missing(self, tmp_path):
        """Broken mutant: a cut that begins at --from has no snapshot, and its book is not that of the whole."""
        head, rows, _ = tape_rows(KRAKEN, 200)
        from_ns, to_ns = STARTED_NS + 120 * STEP_NS, STARTED_NS + 150 * STEP_NS
        opening = [rows[0]._replace(time_ns=from_ns)]
        write_rows(tmp_path / "mutant", head, opening + [row for row in rows if from_ns <= row.time_ns < to_ns])
        write_rows(tmp_path / "whole", head, rows)
        expected = book(tmp_path / "whole", tmp_path / "shm-whole", to_ns=to_ns)
        assert book(tmp_path / "mutant", tmp_path / "shm-mutant") != expected

    def test_it_begins_with_the_last_checkpoints_where_there_are_any(self, tmp_path):
        held = Row(b"held", T0 + 4 * MS, 1, b'{"books":[]}\n')
        head_row = Row(b"head", T0 + 4 * MS, 0, HEAD.to_payload())
        before = [opened(0), *(frame(n, f"{n}") for n in range(1, 4))]
        rows = [*before, head_row, held, *(frame(n, f"{n}") for n in range(5, 9)), done(9)]
        write(tmp_path / "whole", rows, block_rows=4)
        for path in (tmp_path / "whole").glob("*.idx"):
            path.unlink()  # written without the flag of checkpoints; a scan finds them
        made = cut.cut(capture_files([tmp_path / "whole"]), tmp_path / "part", Span(T0 + 6 * MS, T0 + 8 * MS), quiet, pytest.fail)
        kinds = [(row.kind, row.payload) for row in read(tmp_path / "part")]
        assert [kind for kind, _ in kinds] == [b"head", b"head", b"held", b"recv", b"recv", b"recv", b"done"]
        assert [payload for kind, payload in kinds if kind == b"recv"] == [b"5", b"6", b"7"]
        assert (made.rows, made.before) == (4, 2)
        [path] = capture_files([tmp_path / "part"])
        with CaptureFile(path) as file:
            assert [entry.flags for entry in file.entries()][:2] == [0, 1]

    def test_files_after_the_first_say_what_was_open(self, tmp_path):
        hour = 3_600_000
        write(tmp_path / "whole", [opened(0), frame(1, "a"), frame(hour, "b"), frame(2 * hour, "c")], block_rows=1)
        cut.cut(capture_files([tmp_path / "whole"]), tmp_path / "part", Span(), quiet, pytest.fail)
        assert len(capture_files([tmp_path / "part"])) == 1, "a block is not divided"
        assert [row.kind for row in read(tmp_path / "part")] == [b"head", b"open", b"recv", b"recv", b"recv", b"done"]

    def test_what_cannot_be_read_is_a_loss_in_it(self, tmp_path):
        [path] = write(tmp_path / "whole", [opened(0), *(frame(n, f"{n}") for n in range(1, 9))])
        with CaptureFile(path) as file:
            entry = file.entries()[2]
        data = path.read_bytes()
        path.write_bytes(data[: entry.offset] + bytes(entry.compressed_bytes) + data[entry.end :])
        files.index_path(path).unlink()
        said, on_damage = noted()
        cut.cut([path], tmp_path / "part", Span(), on_damage, pytest.fail)
        assert said
        kinds = [row.kind for row in read(tmp_path / "part")]
        assert kinds == [b"head", b"open", b"recv", b"recv", b"lost", b"recv", b"recv", b"recv", b"done"]

    def test_nothing_in_that_time_is_refused_and_nothing_is_left(self, tmp_path):
        write(tmp_path / "whole", [opened(0), frame(1, "a")])
        with pytest.raises(UsageError, match="nothing was captured") as caught:
            cut.cut(capture_files([tmp_path / "whole"]), tmp_path / "part", Span(T0 + 10**12), quiet, pytest.fail)
        assert "kraken is from 2025-11-28T10:00:00" in caught.value.hint
        assert [one.name for one in tmp_path.iterdir()] == ["whole"]


def test_a_full_disk_is_told_of_the_folder_that_was_named(tmp_path, monkeypatch):
    write(tmp_path / "old", [opened(0), frame(9, "{}"), done(10)])
    monkeypatch.setattr("alphapulse_cli.edges.capture.rewriting.LEAST_FREE", LeastFree(0.0, 1 << 62))
    with pytest.raises(StorageError) as caught:
        cut.cut(capture_files([tmp_path / "old"]), tmp_path / "new", Span(), quiet, lambda _: None, checkpoints=False)
    assert str(caught.value).startswith(f"{tmp_path / 'new'}: too little room")
    assert "another disk" in caught.value.hint
    assert [one.name for one in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("make", [cut.cut, merge.merge])
def test_a_row_open_that_cannot_be_right_is_copied_as_it_is(make, tmp_path):
    wrong = [Row(b"open", T0 + n * MS, 1, payload) for n, payload in enumerate((b"[]", b"5", b"not JSON", b""), 1)]
    write(tmp_path / "old", [opened(0), *wrong, frame(9, "{}"), done(10)])
    more = (Span(),) if make is cut.cut else ()
    make(capture_files([tmp_path / "old"]), tmp_path / "new", *more, quiet, lambda _: None, checkpoints=False)
    assert [row for row in read(tmp_path / "new") if row in wrong] == wrong


class TestMerge:
    def test_one_after_the_other_they_stay_as_they_are(self, tmp_path):
        write(tmp_path / "a", [opened(0), frame(1, "a"), done(2)])
        write(tmp_path / "b", [opened(100), frame(101, "b"), done(102)], replace(HEAD, run_ns=T0 + 100 * MS))
        merge.merge(capture_files([tmp_path / "a", tmp_path / "b"]), tmp_path / "both", quiet, pytest.fail)
        found = [(row.kind, row.connection, row.payload) for row in read(tmp_path / "both") if row.kind == b"recv"]
        assert found == [(b"recv", 1, b"a"), (b"recv", 1, b"b")]
        assert len({one.heads[0].run_ns for one in recordings(capture_files([tmp_path / "both"]))}) == 1
        assert len(capture_files([tmp_path / "both"])) == 2

    def test_sets_never_share_a_file(self, tmp_path):
        okx = replace(HEAD, exchange="okx", mode="books", depth=400, set_name="okx", instruments=(replace(BTC, exchange="okx"),))
        write(tmp_path / "a", [opened(0), frame(1, "a"), frame(3, "c")])
        write(tmp_path / "b", [opened(0), frame(2, "b")], okx)
        merge.merge(capture_files([tmp_path / "a", tmp_path / "b"]), tmp_path / "both", quiet, pytest.fail)
        found = {one.set_name: one for one in recordings(capture_files([tmp_path / "both"]))}
        assert {name: one.exchange for name, one in found.items()} == {"kraken": "kraken", "okx": "okx"}
        assert all(len(one.files) == 1 for one in found.values())

    def test_other_symbols_at_the_same_time_are_joined_by_time(self, tmp_path):
        write(tmp_path / "a", [opened(0), frame(1, "a1"), frame(4, "a4"), done(5)])
        other = replace(HEAD, run_ns=T0 + 1, instruments=(ETH,))
        write(tmp_path / "b", [opened(1, 1, ["ETH/USD"]), frame(2, "b2"), frame(6, "b6"), shut(7), done(8)], other)
        merge.merge(capture_files([tmp_path / "a", tmp_path / "b"]), tmp_path / "both", quiet, pytest.fail)
        rows = [(row.kind, row.connection) for row in read(tmp_path / "both")]
        assert rows == [
            (b"head", 0),
            (b"open", 1),
            (b"recv", 1),
            (b"open", 2),
            (b"recv", 2),
            (b"recv", 1),
            (b"shut", 1),
            (b"recv", 2),
            (b"shut", 2),
            (b"done", 0),
        ]
        [recording] = recordings(capture_files([tmp_path / "both"]))
        assert {one.native for one in recording.heads[0].instruments} == {"BTC/USD", "ETH/USD"}

    def test_two_of_the_same_symbols_at_the_same_time_are_refused(self, tmp_path):
        write(tmp_path / "a", [opened(0), frame(5, "a")])
        write(tmp_path / "b", [opened(1), frame(2, "b")], replace(HEAD, run_ns=T0 + 1))
        with pytest.raises(UsageError, match="BTC/USD at the same time") as caught:
            merge.merge(capture_files([tmp_path / "a", tmp_path / "b"]), tmp_path / "both", quiet, pytest.fail)
        assert "capture diff" in caught.value.hint
        with pytest.raises(UsageError, match="same part of one capture"):
            merge.merge([*capture_files([tmp_path / "a"]), *capture_files([tmp_path / "a"])], tmp_path / "both", quiet, pytest.fail)
        assert not (tmp_path / "both").exists()


class TestDiff:
    def pair(self, tmp_path, one, other, shift_ms=7):
        for name, payloads, late in (("a", one, 0), ("b", other, shift_ms)):
            write(tmp_path / name, [opened(late), *(frame(10 * n + late, text) for n, text in enumerate(payloads, 1))])
        return diff.diff(capture_files([tmp_path / "a"]), capture_files([tmp_path / "b"]), quiet)

    def test_equal_frames_at_other_times_are_equal(self, tmp_path):
        sides = self.pair(tmp_path, "abcab", "abcab", shift_ms=5_000)
        assert [(side.frames, side.missing) for side in sides] == [(5, 0), (5, 0)]

    def test_each_is_counted_as_often_as_it_is_missing(self, tmp_path):
        one, other = self.pair(tmp_path, ["a", "h", "h", "x", "h", "b"], ["a", "h", "b", "y"])
        assert (one.missing, other.missing) == (3, 1)
        assert one.missing_first_ns == T0 + 30 * MS
        assert one.missing_last_ns == T0 + 50 * MS
        assert other.missing_first_ns == other.missing_last_ns == T0 + 47 * MS
        assert (one.missing_outside, other.missing_outside) == (1, 0)

    def test_the_count_is_that_of_multisets(self, tmp_path):
        from collections import Counter

        first, second = "aabbbcdde" * 5, "abcccddf" * 6
        one, other = self.pair(tmp_path, first, second)
        assert one.missing == sum((Counter(first) - Counter(second)).values())
        assert other.missing == sum((Counter(second) - Counter(first)).values())

    def test_captures_of_different_feeds_end_in_an_error_not_in_all_memory(self, tmp_path, monkeypatch):
        monkeypatch.setattr(diff, "MOST_UNMATCHED", 3)
        with pytest.raises(UsageError, match="no captures of one feed"):
            self.pair(tmp_path, "abcdef", "ghijkl")


class TestCommands:
    def test_cut_merge_and_diff_say_what_they_made(self, alphapulse, tmp_path):
        write(tmp_path / "whole", [opened(0), *(frame(n, f"{n}") for n in range(1, 9)), done(9)])
        whole, part = str(tmp_path / "whole"), str(tmp_path / "part")
        result = alphapulse("capture", "cut", whole, part, "--to", "2025-11-28T10:00:00.005Z")
        assert (result.code, result.stdout) == (0, "")
        assert f"5 rows in {part}" in result.stderr
        assert alphapulse("capture", "check", part).code == 0
        result = alphapulse("capture", "diff", whole, part, "--json")
        assert result.code == 1
        one, other = [json.loads(line) for line in result.stdout.splitlines()]
        assert (one["frames"], one["only_here"], one["outside"]) == (8, 4, 4)
        assert (one["first"], one["last"]) == ("2025-11-28T10:00:00.005000000Z", "2025-11-28T10:00:00.008000000Z")
        assert (other["frames"], other["only_here"], other["first"]) == (4, 0, None)
        assert alphapulse("capture", "diff", whole, whole, "--format", "table").code == 0
        result = alphapulse("capture", "merge", whole, str(tmp_path / "copy"))
        assert (result.code, result.stderr) == (0, "kraken: 1 files\n")
        assert alphapulse("capture", "diff", whole, str(tmp_path / "copy")).code == 0
        result = alphapulse("capture", "cut", whole, part)
        assert result.code == 2
        assert "is there already" in result.stderr
        assert "name captures, then the folder" in alphapulse("capture", "merge", whole).stderr
        assert "without an offset" in alphapulse("capture", "cut", whole, part, "--from", "2025-11-28T10:00:00").stderr
