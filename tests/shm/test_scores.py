"""Scores file: rows that outlive their writer, checkpoints that stay few, and files that cannot be gone on with."""

import os
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphapulse_cli.errors import StorageError
from alphapulse_cli.shm import scores
from alphapulse_cli.shm.histogram import Histogram
from alphapulse_cli.shm.scores import (
    EVERY_NS,
    HEALING_BUCKETS,
    HEALINGS_AT,
    KEPT_NS,
    MOST_CHECKPOINTS,
    ROW_BYTES,
    SECOND_NS,
    Checkpoint,
    Counts,
    RowCopy,
    RowKind,
    Score,
    ScoresWriter,
    past_name,
    read_past,
    read_scores,
    scores_name,
    thinned,
)

HOUR_NS = 3600 * SECOND_NS
START_NS = 40 * HOUR_NS


def writer(directory, at_ns=START_NS, epoch=1, exchange="kraken"):
    return ScoresWriter(directory, "kraken", exchange, epoch, at_ns)


def dies(directory, old, new):
    raise KeyboardInterrupt


def rows(directory):
    return {(row.kind, row.name): row for row in read_scores(directory, "kraken").rows}


class TestRows:
    def test_what_is_counted_is_read(self, directory):
        made = writer(directory)
        row = made.row(RowKind.SYMBOL, "BTC-USD", START_NS + 5)
        row.add(Score.GAPS, 3)
        row.set(Score.VALID_NS, 2**53 + 1)
        row.on_connection(7)
        row.seen(START_NS + 9)
        row.feed_delay.record(1_000_000)
        row.healed(25_400_000)
        made.updated(START_NS + 9)

        found = read_scores(directory, "kraken")
        assert (found.exchange, found.epoch, found.pid, found.is_closed) == ("kraken", 1, os.getpid(), False)
        assert (found.began_ns, found.started_ns, found.updated_ns) == (START_NS, START_NS, START_NS + 9)
        read = rows(directory)[RowKind.SYMBOL, "BTC-USD"]
        assert (read.born_ns, read.seen_ns, read.connection) == (START_NS + 5, START_NS + 9, 7)
        assert (read.get(Score.GAPS), read.get(Score.VALID_NS), read.get(Score.BREAKS)) == (3, 2**53 + 1, 0)
        assert (read.feed_delay().count, read.healings().count, read.healings().quantile(0.5)) == (1, 1, 25)

    def test_a_row_is_made_once(self, directory):
        made = writer(directory)
        assert made.row(RowKind.SYMBOL, "BTC-USD", START_NS) is made.row(RowKind.SYMBOL, "BTC-USD", START_NS + 1)
        assert made.row(RowKind.CONNECTION, "1", START_NS) is not made.row(RowKind.SYMBOL, "1", START_NS)
        assert len(read_scores(directory, "kraken").rows) == 4  # with the set's own

    def test_the_file_grows_by_whole_chunks_and_keeps_earlier_rows(self, directory):
        made = writer(directory)
        first = made.row(RowKind.SYMBOL, "S0-USD", START_NS)
        for number in range(1, 40):
            made.row(RowKind.SYMBOL, f"S{number}-USD", START_NS).add(Score.GAPS, number)
        first.add(Score.GAPS, 1000)
        read = rows(directory)
        assert [read[RowKind.SYMBOL, f"S{number}-USD"].get(Score.GAPS) for number in range(40)] == [1000, *range(1, 40)]
        size = (directory.path / scores_name("kraken")).stat().st_size
        assert size % (4 * ROW_BYTES) == 0
        assert size <= 44 * ROW_BYTES

    def test_it_has_a_bound(self, directory, monkeypatch):
        monkeypatch.setattr(scores, "MOST_ROWS", 3)
        made = writer(directory)
        made.row(RowKind.SYMBOL, "A-USD", START_NS)
        made.row(RowKind.SYMBOL, "B-USD", START_NS)
        with pytest.raises(StorageError, match="full"):
            made.row(RowKind.SYMBOL, "C-USD", START_NS)
        made.row(RowKind.SYMBOL, "A-USD", START_NS)

    def test_a_healing_beyond_the_last_bucket_counts_in_it(self, directory):
        made = writer(directory)
        made.set_row.healed(1 << 62)
        made.set_row.healed(-5)
        made.updated(START_NS)
        assert rows(directory)[RowKind.SET, ""].healings().buckets == {0: 1, HEALING_BUCKETS - 1: 1}

    def test_the_parts_of_a_row_do_not_overlap(self):
        assert scores.SCORES_AT + len(Score) <= scores.DELAYS_AT // 8
        assert HEALINGS_AT + 8 * HEALING_BUCKETS == ROW_BYTES

    def test_a_full_disk_is_a_storage_error_and_leaves_no_file(self, directory, monkeypatch):
        def full(fd, start, more):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(scores, "_extend", full)
        with pytest.raises(StorageError, match="No space left"):
            writer(directory)
        assert directory.names() == []


class TestCounts:
    @given(st.lists(st.integers(0, 1 << 41), max_size=60), st.lists(st.integers(0, 1 << 41), max_size=60))
    def test_agree_with_a_histograms_own(self, earlier, later):
        octets = bytearray(ROW_BYTES)
        histogram = Histogram(memoryview(octets)[scores.DELAYS_AT : HEALINGS_AT])
        for value in earlier:
            histogram.record(value)
        before, theirs = RowCopy(bytes(octets)).feed_delay(), histogram.read()
        for value in later:
            histogram.record(value)
        now = RowCopy(bytes(octets)).feed_delay()
        window, wanted = now.since(before), histogram.read().since(theirs)
        assert (now.count, window.count) == (len(earlier) + len(later), len(later))
        assert window.buckets == {bucket: held for bucket, held in enumerate(wanted.counts) if held}
        assert Counts.of_all([before, window]).buckets == now.buckets
        for fraction in (0.01, 0.5, 0.99, 1.0):
            mine, their = window.quantile(fraction), wanted.quantile(fraction)
            assert (mine is None) == (their is None)
            assert mine is None or their is None or mine >= their >= mine * 31 // 32  # theirs is bound by the largest of all values


class TestDiscarding:
    def test_removes_what_only_this_writer_has_counted(self, directory):
        writer(directory).discard()
        assert directory.names() == []

    def test_keeps_what_others_counted(self, directory):
        writer(directory).row(RowKind.SYMBOL, "BTC-USD", START_NS).add(Score.GAPS, 3)
        writer(directory, START_NS + SECOND_NS, 2).discard()
        assert rows(directory)[RowKind.SYMBOL, "BTC-USD"].get(Score.GAPS) == 3


class TestTheNextWriter:
    def test_goes_on_with_the_rows_of_the_last(self, directory):
        made = writer(directory)
        made.row(RowKind.SYMBOL, "BTC-USD", START_NS).add(Score.GAPS, 3)
        made.row(RowKind.SYMBOL, "BTC-USD", START_NS).feed_delay.record(500)
        made.updated(START_NS + SECOND_NS)  # and is killed: no close

        after = writer(directory, START_NS + 60 * SECOND_NS, 2)
        row = after.row(RowKind.SYMBOL, "BTC-USD", START_NS + 61 * SECOND_NS)
        row.add(Score.GAPS)
        row.feed_delay.record(500)
        found = read_scores(directory, "kraken")
        assert (found.began_ns, found.started_ns, found.epoch) == (START_NS, START_NS + 60 * SECOND_NS, 2)
        read = rows(directory)[RowKind.SYMBOL, "BTC-USD"]
        assert (read.get(Score.GAPS), read.feed_delay().count, read.born_ns) == (4, 2, START_NS)

    def test_leaves_a_checkpoint_that_holds_since_the_last_ended(self, directory):
        made = writer(directory)
        made.row(RowKind.SYMBOL, "BTC-USD", START_NS).add(Score.GAPS, 3)
        made.updated(START_NS + SECOND_NS)
        writer(directory, START_NS + 60 * SECOND_NS, 2)
        (one,) = read_past(directory, "kraken")
        assert (one.taken_ns, one.held_from_ns) == (START_NS + 60 * SECOND_NS, START_NS + SECOND_NS)
        assert {row.name: row.get(Score.GAPS) for row in one.rows()} == {"": 0, "BTC-USD": 3}

    def test_a_row_not_seen_for_a_day_is_dropped_and_is_another_one_later(self, directory):
        made = writer(directory)
        made.row(RowKind.SYMBOL, "OLD-USD", START_NS).add(Score.GAPS, 9)
        new = made.row(RowKind.SYMBOL, "NEW-USD", START_NS)
        later_ns = START_NS + KEPT_NS + 1
        new.seen(later_ns)
        made.updated(later_ns)
        after = writer(directory, later_ns, 2)
        assert set(rows(directory)) == {(RowKind.SET, ""), (RowKind.SYMBOL, "NEW-USD")}
        after.row(RowKind.SYMBOL, "OLD-USD", later_ns)
        read = rows(directory)[RowKind.SYMBOL, "OLD-USD"]
        assert read.get(Score.GAPS) == 0
        assert read.key not in {row.key for one in read_past(directory, "kraken") for row in one.rows() if row.get(Score.GAPS)}

    def test_that_dies_between_its_two_files_changes_nothing(self, directory, monkeypatch):
        made = writer(directory)
        made.row(RowKind.SYMBOL, "BTC-USD", START_NS).add(Score.GAPS, 3)
        made.updated(START_NS + SECOND_NS)
        with monkeypatch.context() as patch:
            patch.setattr(scores, "_rename", dies)
            with pytest.raises(KeyboardInterrupt):
                writer(directory, START_NS + 10 * SECOND_NS, 2)
        writer(directory, START_NS + 20 * SECOND_NS, 3)
        assert rows(directory)[RowKind.SYMBOL, "BTC-USD"].get(Score.GAPS) == 3
        past = read_past(directory, "kraken")
        assert {row.get(Score.GAPS) for one in past for row in one.rows() if row.name} == {3}
        assert past[-1].taken_ns == START_NS + 20 * SECOND_NS
        assert {one.held_from_ns for one in past} == {START_NS + SECOND_NS}

    @pytest.mark.parametrize("spoil", ["magic", "major", "boot", "cut", "exchange", "clock"])
    def test_begins_anew_where_it_cannot_go_on(self, directory, spoil):
        made = writer(directory)
        made.row(RowKind.SYMBOL, "BTC-USD", START_NS).add(Score.GAPS, 3)
        made.updated(START_NS + SECOND_NS)
        made.checkpoint(START_NS + SECOND_NS)
        at_ns = START_NS + 2 * SECOND_NS
        path = directory.path / scores_name("kraken")
        octets = bytearray(path.read_bytes())
        octets[{"magic": 0, "major": 8, "boot": scores.BOOT_AT}.get(spoil, 4000)] ^= 1
        path.write_bytes(bytes(octets[: ROW_BYTES - 1]) if spoil == "cut" else bytes(octets))
        if spoil == "clock":
            at_ns = START_NS - 1
        writer(directory, at_ns, 2, exchange="coinbase" if spoil == "exchange" else "kraken")
        assert set(rows(directory)) == {(RowKind.SET, "")}
        assert read_scores(directory, "kraken").began_ns == at_ns
        assert read_past(directory, "kraken") == []

    def test_readers_have_nothing_of_a_file_that_they_do_not_understand(self, directory):
        writer(directory)
        path = directory.path / scores_name("kraken")
        octets = bytearray(path.read_bytes())
        octets[8] = scores.MAJOR + 1
        path.write_bytes(octets)
        assert read_scores(directory, "kraken") is None
        assert read_scores(directory, "nobody") is None

    def test_a_file_cut_short_is_noticed_by_its_writer(self, directory):
        made = writer(directory)
        made.updated(START_NS)
        os.truncate(directory.path / scores_name("kraken"), ROW_BYTES)
        with pytest.raises(StorageError, match="cut short"):
            made.updated(START_NS + 1)


class TestCheckpoints:
    def test_are_due_once_in_five_minutes(self, directory):
        made = writer(directory)
        due = [second for second in range(1500) if made.is_due(START_NS + second * SECOND_NS)]
        assert due == [300, 600, 900, 1200]
        assert START_NS % EVERY_NS == 0

    @pytest.mark.parametrize("restart_every_s", [None, 7, 400])
    def test_stay_few_for_days_and_cover_both_windows(self, restart_every_s):
        """Two days of a collector: at each moment there is a checkpoint for each window, not much older than it."""
        cells = 1 if restart_every_s is None else 2
        kept: list[Checkpoint] = []
        started_ns = updated_ns = START_NS
        for second in range(60, 2 * 86_400, 60):
            now_ns = START_NS + second * SECOND_NS
            if restart_every_s is not None and second % (60 * restart_every_s) == 0:
                started_ns = now_ns
                kept = thinned([*kept, Checkpoint(now_ns, updated_ns, 0, b"")], started_ns, now_ns)
            if second % 300 == 0:
                kept = thinned([*kept, Checkpoint(now_ns, now_ns, 0, b"")], started_ns, now_ns)
            updated_ns = now_ns
            assert len(kept) <= MOST_CHECKPOINTS
            for wanted, slack in ((HOUR_NS, EVERY_NS), (24 * HOUR_NS, HOUR_NS)):
                if second * SECOND_NS > wanted + slack:
                    old = [one for one in kept if one.held_from_ns <= now_ns - wanted]
                    assert old
                    assert now_ns - wanted - old[-1].taken_ns <= cells * slack

    def test_a_crash_loop_costs_nothing(self):
        kept: list[Checkpoint] = []
        for turn in range(5000):
            now_ns = START_NS + turn * SECOND_NS
            kept = thinned([*kept, Checkpoint(now_ns, now_ns - SECOND_NS // 2, 0, b"")], now_ns, now_ns)
        assert len(kept) <= MOST_CHECKPOINTS
        assert kept[-1].taken_ns == now_ns

    def test_that_of_the_start_is_kept_for_as_long_as_the_writer_runs(self):
        kept, started_ns = [Checkpoint(START_NS, START_NS - 1, 0, b"")], START_NS
        for hour in range(100):
            now_ns = START_NS + hour * HOUR_NS + SECOND_NS
            kept = thinned([*kept, Checkpoint(now_ns, now_ns, 0, b"")], started_ns, now_ns)
        assert kept[0].taken_ns == started_ns
        assert len(kept) <= MOST_CHECKPOINTS

    def test_are_read_as_they_were_taken(self, directory):
        made = writer(directory)
        row = made.row(RowKind.SYMBOL, "BTC-USD", START_NS)
        for turn in (1, 2, 3):
            row.add(Score.GAPS)
            made.checkpoint(START_NS + turn * EVERY_NS)
        row.add(Score.GAPS)
        past = read_past(directory, "kraken")
        assert [one.rows()[1].get(Score.GAPS) for one in past] == [1, 2, 3]
        assert [one.taken_ns for one in past] == [START_NS + turn * EVERY_NS for turn in (1, 2, 3)]

    @pytest.mark.parametrize("left", [0, 10, 32, 50, 100])
    def test_a_damaged_file_gives_those_before_the_damage(self, directory, left):
        made = writer(directory)
        made.checkpoint(START_NS + EVERY_NS)
        path = directory.path / past_name("kraken")
        whole = path.read_bytes()
        path.write_bytes(whole[:left])
        assert read_past(directory, "kraken") == []
        path.write_bytes(whole + whole[32:-1] + b"\xff")
        assert [one.taken_ns for one in read_past(directory, "kraken")] == [START_NS + EVERY_NS]
        made.checkpoint(START_NS + 2 * EVERY_NS)
        assert len(read_past(directory, "kraken")) == 2

    def test_a_payload_of_another_size_gives_no_rows(self):
        bomb = zlib.compress(bytes(50 * ROW_BYTES))
        assert Checkpoint(1, 1, 1, bomb).rows() == []
        assert Checkpoint(1, 1, 51, bomb).rows() == []
        assert Checkpoint(1, 1, 1, b"no zlib").rows() == []
        assert len(Checkpoint(1, 1, 50, bomb).rows()) == 50

    def test_an_unfinished_file_is_swept_once_its_writer_is_dead(self):
        from alphapulse_cli.shm.listing import _TEMPORARY

        assert _TEMPORARY.fullmatch(scores._temporary())
        assert scores._temporary() != scores._temporary()
