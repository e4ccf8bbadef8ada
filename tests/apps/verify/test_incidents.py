"""Incidents of a recording: what was lost, when, what was expected in its place, when it healed, and an id that only content decides."""

from dataclasses import replace

import pytest
from support.captures import tape_rows, write_rows
from support.small_captures import done, opened, shut, write

from alphapulse_cli.apps.bench.frames import FEEDS
from alphapulse_cli.apps.replay.timeline import recordings
from alphapulse_cli.apps.verify.incidents import ID_CHARACTERS, KINDS, incident_id, incidents_of
from alphapulse_cli.edges.capture.files import capture_files
from alphapulse_cli.market.events import GapReason

COUNT = 120
BY_CASE = {feed.case: feed for feed in FEEDS}


def no_damage(path, what):
    raise AssertionError(f"{path}: {what}")


def found(folder, only=()):
    [recording] = recordings(capture_files([folder]))
    return incidents_of(recording, no_damage, only)


def without(rows, turn):
    """Rows without the received frame of that number from the end; its time."""
    place = [number for number, row in enumerate(rows) if row.kind == b"recv"][-turn]
    return [*rows[:place], *rows[place + 1 :]], rows[place].time_ns


@pytest.mark.parametrize("case", sorted(BY_CASE))
def test_a_whole_recording_has_none(case, tmp_path):
    head, rows, _ = tape_rows(BY_CASE[case], COUNT)
    write_rows(tmp_path, head, rows)
    assert found(tmp_path) == []


class TestALostFrame:
    def test_is_a_break_of_the_sequence_with_the_numbers(self, tmp_path):
        head, rows, _ = tape_rows(BY_CASE["binance-us"], COUNT)
        rows, lost_ns = without(rows, 20)
        write_rows(tmp_path, head, rows)
        one = found(tmp_path)[0]
        assert (one.exchange, one.set_name, one.symbol, one.kind, one.connection) == (
            "binance-us", head.set_name, head.instruments[0].symbol, "sequence", 1,
        )  # fmt: skip
        first, _, final = one.found.partition("..")
        assert one.since_ns < lost_ns < one.time_ns
        assert int(one.expected) < int(first) <= int(final)
        assert (one.healed_ns, one.counted) == (None, ("gaps", "resyncs"))

    def test_is_a_wrong_checksum_with_both(self, tmp_path):
        head, rows, _ = tape_rows(BY_CASE["kraken"], COUNT)
        rows, lost_ns = without(rows, 20)
        write_rows(tmp_path, head, rows)
        kinds = [one.kind for one in found(tmp_path)]
        one = found(tmp_path)[0]
        assert kinds[0] == "checksum"
        assert one.since_ns < lost_ns < one.time_ns
        assert int(one.expected) != int(one.found)
        assert one.counted == ("checksums_bad", "resyncs")
        assert one.version > 0


class TestAConnection:
    def rows(self, case="kraken"):
        head, rows, _ = tape_rows(BY_CASE[case], COUNT)
        return head, rows

    def test_lost_and_made_again_it_is_healed_by_the_snapshot(self, tmp_path):
        head, rows = self.rows()
        begin = next(number for number, row in enumerate(rows) if row.kind == b"open")
        end_ns = rows[-1].time_ns
        later = [row._replace(time_ns=end_ns + 2_000_000_000 + row.time_ns - rows[begin].time_ns) for row in rows[begin:]]
        cut = shut(0)._replace(time_ns=end_ns + 1_000_000)
        write_rows(tmp_path, head, [*rows, cut, *later])
        [one] = found(tmp_path)
        assert (one.kind, one.time_ns, one.counted) == ("disconnected", cut.time_ns, ("resyncs",))
        assert one.since_ns == end_ns, "the last frame"
        assert later[0].time_ns <= one.healed_ns < later[0].time_ns + 1_000_000_000

    def test_that_ends_with_the_recording_is_none(self, tmp_path):
        head, rows = self.rows()
        write_rows(tmp_path, head, [*rows, shut(0)._replace(time_ns=rows[-1].time_ns + 1)])
        assert found(tmp_path) == []

    def test_that_was_away_before_the_end_is_one(self, tmp_path):
        head, rows = self.rows()
        cut = shut(0)._replace(time_ns=rows[-1].time_ns + 1)
        write_rows(tmp_path, head, [*rows, cut, done(0)._replace(time_ns=cut.time_ns + 2_000_000_000)])
        [one] = found(tmp_path)
        assert (one.kind, one.healed_ns) == ("disconnected", None)


class TestTwoRuns:
    def test_nothing_is_known_of_the_time_between_them(self, tmp_path):
        head, rows, _ = tape_rows(BY_CASE["kraken"], COUNT)
        write_rows(tmp_path, head, rows)
        later_ns = rows[-1].time_ns + 60_000_000_000
        begun_ns = later_ns + head.run_ns - rows[0].time_ns
        moved = [row._replace(time_ns=row.time_ns - rows[0].time_ns + later_ns) for row in rows]
        write_rows(tmp_path, replace(head, run_ns=begun_ns), moved)
        [one] = found(tmp_path)
        assert (one.kind, one.time_ns, one.counted) == ("restart", rows[-1].time_ns, ())
        assert one.healed_ns >= moved[0].time_ns


class TestIds:
    def test_are_eight_characters_of_what_the_recording_says(self):
        given = ("kraken", "kraken", "BTC-USD", "checksum", 1_764_324_000_123_456_789, 1)
        assert incident_id(*given) == "4e5hstr4", "by sha256sum and base32"
        assert all(character in "abcdefghijklmnopqrstuvwxyz234567" for character in incident_id(*given))
        assert len(incident_id(*given)) == ID_CHARACTERS
        others = [
            incident_id("okx", *given[1:]),
            incident_id(given[0], "other", *given[2:]),
            incident_id("kraken", "kraken", "BTC-USDT", "checksum", 1_764_324_000_123_456_789, 1),
            incident_id(*given[:3], "sequence", *given[4:]),
            incident_id(*given[:4], given[4] + 1, 1),
            incident_id(*given[:5], 2),
            incident_id(*given, 1),
        ]
        assert len({incident_id(*given), *others}) == 8

    def test_two_of_one_moment_have_their_own(self, tmp_path):
        """Two connections of one symbol's name, and rows lost twice at one time."""
        rows = [opened(0), *[shut(5)._replace(kind=b"lost", payload=b'{"reason":"a full disk"}', connection=0)] * 2]
        write(tmp_path, rows)
        ids = [one.id for one in found(tmp_path)]
        assert len(set(ids)) == len(ids) == 2

    def test_every_reason_of_a_gap_is_a_kind(self):
        assert {reason.name.lower() for reason in GapReason} < set(KINDS)


def test_lost_rows_are_a_gap_that_no_collector_counted(tmp_path):
    head, rows, _ = tape_rows(BY_CASE["okx"], COUNT)
    lost = rows[-20]._replace(kind=b"lost", payload=b'{"rows":1,"reason":"the disk was full"}', connection=0)
    write_rows(tmp_path, head, [*rows[:-20], lost, *rows[-19:]])
    first = found(tmp_path)[0]
    assert (first.kind, first.detail, first.time_ns) == ("not_captured", "the disk was full", lost.time_ns)
    assert "gaps" not in first.counted
