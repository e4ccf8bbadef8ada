"""Gaps on a replay's timeline: those that the capture tells of are known before they are played, the others once they were."""

import asyncio
from dataclasses import replace
from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.captures import tape_rows
from support.small_captures import HEAD, MS, T0, done, frame, opened, said, shut, write

from alphapulse_cli.apps.bench.frames import FEEDS
from alphapulse_cli.apps.replay import survey
from alphapulse_cli.apps.replay.marks import PARTS, Marks
from alphapulse_cli.apps.replay.plan import MAX, ReplayPlan
from alphapulse_cli.apps.replay.replay import Replay
from alphapulse_cli.apps.replay.steering import Timeline, parse_timeline
from alphapulse_cli.apps.replay.timeline import recordings
from alphapulse_cli.edges.capture.rows import Row
from alphapulse_cli.errors import UsageError
from alphapulse_cli.shm.directory import open_directory

KRAKEN = next(feed for feed in FEEDS if feed.case == "kraken")


def mark(at_ms, verdict, connection=1):
    return Row(b"mark", T0 + at_ms * MS, connection, said(verdict=verdict))


def lost(from_ms, to_ms):
    span = {"from_ns": T0 + from_ms * MS, "to_ns": T0 + to_ms * MS}
    return Row(b"lost", T0 + to_ms * MS, 0, said(rows=3, bytes=300, reason="disk full", **span))


def found(folder, to_ns=None):
    """What the survey of a folder's capture finds, in ms since T0."""
    [recording] = recordings(sorted(folder.glob("*.cap.zst")))
    spans = [span for _, found in survey.gaps(recording, to_ns) for span in found]
    return [tuple((time_ns - T0) // MS for time_ns in span) for span in spans]


class TestSurvey:
    @pytest.mark.parametrize(
        ("rows", "gaps"),
        [
            ([frame(10, "{}"), frame(20, "{}")], []),
            ([shut(100), opened(400), frame(500, "{}")], [(100, 400)]),
            ([shut(100), shut(200), opened(400)], [(100, 400)]),
            ([shut(100, 2), opened(400, 1)], []),
            ([mark(100, "doubt"), mark(200, "heard")], []),
            ([mark(100, "silent"), mark(200, "mute"), mark(300, "heard")], [(100, 300)]),
            ([lost(100, 250)], [(100, 250)]),
            ([shut(5_000), done(5_001)], []),
            ([shut(5_000), done(9_000)], [(5_000, 9_000)]),
            ([frame(100, "x\nshut nothing")], []),
            ([Row(b"shut", T0, 1, b"no json"), opened(30)], [(0, 30)]),
        ],
        ids=lambda value: None if value and isinstance(value[0], Row) else str(value),
    )
    def test_what_the_capture_tells_of(self, tmp_path, rows, gaps):
        write(tmp_path, [opened(0), *rows])
        assert found(tmp_path) == gaps

    def test_between_two_runs_nobody_listened(self, tmp_path):
        write(tmp_path, [opened(0), frame(100, "{}"), done(200)])
        write(tmp_path, [opened(900), frame(950, "{}")], replace(HEAD, run_ns=T0 + 900 * MS))
        assert found(tmp_path) == [(200, 900)]

    def test_bytes_that_cannot_be_read_last_until_the_next_block(self, tmp_path):
        [path] = write(tmp_path, [opened(0), *(frame(at, "{}") for at in range(100, 1600, 100))], block_rows=2)
        octets = bytearray(path.read_bytes())
        at = len(octets) * 3 // 4
        octets[at : at + 8] = bytes(8)
        path.write_bytes(octets)
        [(begin, end)] = found(tmp_path)
        assert 100 <= begin < end <= 1600

    def test_what_is_not_played_is_not_told(self, tmp_path):
        write(tmp_path, [opened(0), shut(100), opened(400), shut(600), opened(800)])
        assert found(tmp_path, T0 + 500 * MS) == [(100, 400)]


class TestMarks:
    @given(st.lists(st.tuples(st.integers(-50, 10**7), st.integers(0, 10**6)), max_size=30), st.integers(0, 9 * 10**6))
    def test_every_marked_time_is_in_a_range_and_no_range_is_far_from_one(self, spans, length):
        marks = Marks(0, length)
        for begin, size in spans:
            marks.add(begin, begin + size)
        ranges = list(marks.ranges())
        inside = [(max(begin, 0), min(begin + size, length)) for begin, size in spans if begin <= length and begin + size >= 0]
        assert all(any(first <= begin and end <= last for first, last in ranges) for begin, end in inside)
        assert all(any(begin <= last and end >= first for begin, end in inside) for first, last in ranges)
        assert all(one[1] + 1 < other[0] for one, other in pairwise(ranges))
        assert len(ranges) <= PARTS

    def test_the_revision_tells_whether_there_is_news(self):
        marks = Marks(T0, T0 + PARTS * MS)
        marks.add(T0 + 5 * MS)
        before = marks.revision
        marks.add(T0 + 5 * MS)
        assert marks.revision == before == 1
        marks.add(T0 - 1)
        marks.add(T0 + 10 * PARTS * MS)
        assert marks.revision == before


def played(folder, shm_dir, **plan):
    """A replay of a folder that is over, and its survey too."""
    made = ReplayPlan(sorted(folder.glob("*.cap.zst")), MAX, shm_dir=str(shm_dir), **plan)

    async def run(replay):
        playing = asyncio.create_task(replay.run())
        async with asyncio.timeout(60):
            while not (replay.progress.is_over and replay.surveyed == 1.0):  # noqa: ASYNC110 - neither has an event
                await asyncio.sleep(0.005)
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)

    with open_directory(made.shm_dir, create=True) as directory:
        replay = Replay(made, recordings(made.places), directory, lambda *_: None, hold=True)
        asyncio.run(run(replay))
    return replay


class TestOfAReplay:
    def test_a_lost_connection_is_on_the_timeline_before_it_is_played(self, tmp_path):
        write(tmp_path / "captures", [opened(0), shut(100), opened(400), frame(9_000, "{}")])
        made = ReplayPlan(sorted((tmp_path / "captures").glob("*.cap.zst")), shm_dir=str(tmp_path / "shm"), paused=True)

        async def run(replay):
            playing = asyncio.create_task(replay.run())
            async with asyncio.timeout(60):
                while replay.surveyed < 1.0:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            now = replay.progress.now_ns
            words = replay._timeline("")
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)
            return now, words

        with open_directory(made.shm_dir, create=True) as directory:
            now_ns, words = asyncio.run(run(Replay(made, recordings(made.places), directory, lambda *_: None, hold=True)))
        assert now_ns <= T0 + 1 * MS
        shown = parse_timeline(words)
        [(begin_ns, end_ns)] = shown.gaps or ()
        assert shown.surveyed == 100
        assert T0 + 90 * MS < begin_ns <= T0 + 100 * MS
        assert T0 + 400 * MS <= end_ns < T0 + 410 * MS

    @pytest.mark.parametrize("is_watched", [True, False], ids=["marked", "mutant"])
    def test_a_wrong_checksum_is_marked_when_it_is_played(self, tmp_path, monkeypatch, is_watched):
        """The capture does not tell of it: only the book does."""
        if not is_watched:  # broken mutant: a replay that looks at what the capture tells alone
            monkeypatch.setattr(Replay, "_mark_faults", lambda _: None)
        head, rows, _ = tape_rows(KRAKEN, 120)
        at = next(i for i, row in enumerate(rows) if i > 80 and b'"type":"update"' in row.payload and b'"checksum"' in row.payload)
        message = orjson.loads(rows[at].payload)
        message["data"][0]["checksum"] ^= 1
        rows[at] = rows[at]._replace(payload=orjson.dumps(message))
        write(tmp_path / "captures", rows, head, block_rows=50)
        replay = played(tmp_path / "captures", tmp_path / "shm")
        spans = list(replay.gaps.ranges())
        assert bool(spans) is is_watched
        assert all(first <= rows[at].time_ns + 500 * MS and rows[at].time_ns <= last + 500 * MS for first, last in spans)

    def test_a_whole_capture_has_no_mark(self, tmp_path):
        head, rows, _ = tape_rows(KRAKEN, 120)
        write(tmp_path / "captures", rows, head, block_rows=50)
        assert list(played(tmp_path / "captures", tmp_path / "shm").gaps.ranges()) == []


class TestWords:
    @pytest.mark.parametrize("gaps", [[], [(T0, T0 + 1), (T0 + 5, T0 + 999)], None])
    def test_an_answer_is_understood_as_it_was_meant(self, gaps):
        told = Timeline("seeking", T0 + 7, "0.5x", T0, T0 + 10**12, 34, 5, is_paused=gaps is None, gaps=gaps)
        assert parse_timeline(told.words()) == told

    @pytest.mark.parametrize(
        "words", [[], ["paused", "x", "1x", "y", "z", "1", "1", "1"], ["paused", "2025-11-28T10:00:00Z", "1x"]]
    )
    def test_another_answer_is_refused(self, words):
        with pytest.raises(UsageError, match="not understood"):
            parse_timeline(words)
