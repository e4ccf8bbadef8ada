"""Replays: the same records at any speed and in any process; books equal to the market's; steering; what a capture lost."""

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial

import orjson
import pytest
from support.captures import tape_rows, write_rows

import alphapulse_cli as ap
from alphapulse_cli.apps.bench.frames import FEEDS, STARTED_NS, STEP_NS
from alphapulse_cli.apps.replay.plan import MAX, ReplayPlan, check_span, parse_speed, played, replay_directory
from alphapulse_cli.apps.replay.playback import Playback
from alphapulse_cli.apps.replay.player import TICK_NS
from alphapulse_cli.apps.replay.replay import Replay
from alphapulse_cli.apps.replay.room import Room
from alphapulse_cli.apps.replay.room import _Ring as Ring
from alphapulse_cli.apps.replay.steering import CONTROL_NAME, parse_timeline
from alphapulse_cli.apps.replay.timeline import Reel, file_blocks, recordings
from alphapulse_cli.edges import control
from alphapulse_cli.edges.capture.files import capture_files, index_path
from alphapulse_cli.edges.capture.head import parse_head
from alphapulse_cli.edges.capture.rows import MOST_TIME_NS, Kind, Row, parse_rows
from alphapulse_cli.errors import UsageError
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.readers import moments
from alphapulse_cli.shm import clock, layout
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.layout import State
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.delta import DELTA_BYTES, KIND_MASK, BookReason, BookState, RecordKind

COUNT = 300
BY_CASE = {feed.case: feed for feed in FEEDS}


@pytest.fixture(scope="module")
def captures(tmp_path_factory):
    """Folder with a capture of each feed, and the markets as they are at its end."""
    folder, markets = tmp_path_factory.mktemp("captures"), {}
    for feed in FEEDS:
        name = feed.case.replace(", Exchange feed", "-ex")
        head, rows, markets[name] = tape_rows(feed, COUNT)
        write_rows(folder, replace(head, set_name=name), rows)
    return folder, markets


def replayed(paths, shm_dir, *, speed=MAX, hold=False, **plan):
    """Run a replay to its end; the Replay."""
    made = ReplayPlan(capture_files(paths), speed, shm_dir=str(shm_dir), **plan)
    with open_directory(made.shm_dir, create=True) as directory:
        replay = Replay(made, recordings(made.places), directory, lambda *_: None, hold=hold)
        asyncio.run(replay.run())
    return replay


def area(shm_dir, set_name, kind="orderbook_deltas"):
    """Published records of a ring, as bytes."""
    with open_directory(str(shm_dir)) as directory, Segment.attach(directory, f"{set_name}_{kind}") as segment:
        assert segment.published <= segment.spec.capacity
        size = segment.published * segment.spec.record_bytes
        return bytes(segment.memory[layout.HEADER_BYTES : layout.HEADER_BYTES + size])


def book(shm_dir, set_name, symbol):
    """Levels of a book's image, best first."""
    with ap.Book(set_name, symbol, shm_dir=str(shm_dir)) as image:
        copy = image.read()
    return [tuple(level) for level in copy.bids.tolist()], [tuple(level) for level in copy.asks.tolist()]


@pytest.mark.parametrize("case", BY_CASE)
def test_a_replayed_book_equals_the_market(captures, tmp_path, case):
    folder, markets = captures
    name, symbol = case.replace(", Exchange feed", "-ex"), BY_CASE[case].symbol
    replayed(folder.glob(f"{name}-2*.cap.zst"), tmp_path / "shm")
    head_depth = recordings(capture_files(folder.glob(f"{name}-2*.cap.zst")))[0].heads[0].depth
    assert book(tmp_path / "shm", name, symbol) == tuple(list(side) for side in markets[name].book(symbol, head_depth or None))


def test_the_records_are_the_same_at_any_speed_and_in_any_process(captures, tmp_path):
    """All seven feeds at once: at the fastest, paced, stepped through, and in another process."""
    folder, _ = captures
    names = [one.set_name for one in recordings(capture_files([folder]))]
    replayed([folder], tmp_path / "max")
    replayed([folder], tmp_path / "paced", speed=60.0)
    command = [
        sys.executable,
        "-m",
        "alphapulse_cli",
        "replay",
        str(folder),
        "--speed",
        "max",
        "--shm-dir",
        str(tmp_path / "other"),
    ]
    subprocess.run(command, check=True, capture_output=True, timeout=100, env={**os.environ, "PYTHONHASHSEED": "7"})
    for name in names:
        once = area(tmp_path / "max", name)
        assert len(once) > COUNT * DELTA_BYTES
        assert area(tmp_path / "paced", name) == once
        assert area(tmp_path / "other", name) == once
        assert area(tmp_path / "paced", name, "trades") == area(tmp_path / "max", name, "trades")


def test_records_carry_the_recordings_time_and_every_kind(captures, tmp_path):
    import numpy as np

    folder, _ = captures
    replayed(folder.glob("kraken-2*"), tmp_path / "shm")
    records = np.frombuffer(area(tmp_path / "shm", "kraken"), dtype=delta.dtype())
    assert records["timestamp_ns"].min() > STARTED_NS
    assert records["timestamp_ns"].max() <= STARTED_NS + (COUNT + 200) * STEP_NS
    kinds = {RecordKind(flags & KIND_MASK).name for flags in records["flags"].tolist()}
    assert {"DELTA", "CHECK", "STATUS"} <= kinds


def test_silence_in_a_recording_is_judged_by_its_own_clock(tmp_path):
    """A capture that was imported has no judgements of its session: the feed's promise is applied to the recorded times."""
    head, rows, _ = tape_rows(BY_CASE["kraken"], 60)
    late = [*rows[:-10], *(row._replace(time_ns=row.time_ns + 4_000_000_000) for row in rows[-10:])]
    states = {}
    for name, source in (("live", "live"), ("imported", "cryptofeed")):
        write_rows(tmp_path / name, replace(head, source=source), late)
        replayed([tmp_path / name], tmp_path / f"{name}-shm")
        states[name] = [state for state, _ in statuses(tmp_path / f"{name}-shm", "kraken")]
    assert "STALE" not in states["live"][:-1]
    assert states["imported"][-3:] == ["STALE", "LIVE", "STALE"]  # silent; heard again; retired


def statuses(shm_dir, name):
    import numpy as np

    records = np.frombuffer(area(shm_dir, name), dtype=delta.dtype())
    found = records[records["flags"] & KIND_MASK == RecordKind.STATUS]
    return [(BookState(record.tobytes()[64]).name, BookReason(record.tobytes()[65]).name) for record in found]


def test_a_clock_that_was_set_by_decades_costs_no_decades_of_ticks(tmp_path):
    """A machine without a battery begins in 1970: the recording's clock ticks for an hour without a row at most."""
    head, rows, market = tape_rows(BY_CASE["kraken"], 40)
    rows = [row._replace(time_ns=10**9 * (1 + place)) if place < 5 else row for place, row in enumerate(rows)]
    write_rows(tmp_path / "capture", replace(head, run_ns=1), rows)
    replayed([tmp_path / "capture"], tmp_path / "shm")
    assert book(tmp_path / "shm", "kraken", "BTC-USD") == tuple(list(side) for side in market.book("BTC-USD", 10))


def test_a_lost_connection_and_a_new_one_are_played(tmp_path):
    head, rows, market = tape_rows(BY_CASE["kraken"], 40)
    middle, step = len(rows), rows[-1].time_ns - rows[0].time_ns
    again = [row._replace(time_ns=row.time_ns + step + STEP_NS) for row in rows]
    shut = Row(bytes(Kind.SHUT), rows[-1].time_ns + 1, 1, b'{"reason":"closed by the exchange, code 1006"}')
    write_rows(tmp_path / "capture", head, [*rows, shut, *again])
    replayed([tmp_path / "capture"], tmp_path / "shm")
    assert ("SYNCING", "DISCONNECTED") in statuses(tmp_path / "shm", "kraken")
    assert book(tmp_path / "shm", "kraken", "BTC-USD") == tuple(list(side) for side in market.book("BTC-USD", 10))
    assert middle


def test_what_a_capture_lost_is_a_gap_until_the_next_snapshot(tmp_path):
    """Kraken's checksum would show a lost frame anyway; the Exchange feed has no sequence: only the `lost` row tells."""
    head, rows, _ = tape_rows(BY_CASE["coinbase, Exchange feed"], 60)
    lost = Row(bytes(Kind.LOST), rows[-20].time_ns, 0, orjson.dumps({"rows": 3, "bytes": 9, "reason": "the disk is too slow"}))
    write_rows(tmp_path / "capture", head, [*rows[:-20], lost, *rows[-17:]])
    replayed([tmp_path / "capture"], tmp_path / "shm")
    assert ("SYNCING", "SEQUENCE_GAP") in statuses(tmp_path / "shm", "coinbase")
    assert [state for state, _ in statuses(tmp_path / "shm", "coinbase")][-2:] == ["SYNCING", "STALE"]


class Reports(list[str]):
    """What was said of damaged files."""

    def __call__(self, path, what):
        self.append(f"{path}: {what}")


def test_damage_in_the_middle_is_a_gap_in_its_place(tmp_path):
    head, rows, _ = tape_rows(BY_CASE["coinbase, Exchange feed"], 60)
    write_rows(tmp_path / "capture", head, rows, block_rows=10)
    [path] = capture_files([tmp_path / "capture"])
    [one] = recordings([path])
    whole = [row for block in file_blocks(path, None, lambda *_: None) for row in parse_rows(block)]
    from alphapulse_cli.edges.capture.reader import CaptureFile

    with CaptureFile(path) as file:
        hit = file.entries()[-3]
    data = bytearray(path.read_bytes())
    data[hit.offset + 40] ^= 1
    path.write_bytes(bytes(data))
    for keeps_index in (True, False):
        if not keeps_index:
            index_path(path).unlink()
        reports = Reports()
        found = [row for block in file_blocks(path, None, reports) for row in parse_rows(block)]
        assert len(reports) == 1
        assert [row.kind for row in found].count(bytes(Kind.LOST)) == 1
        assert len(found) == len(whole) - hit.row_count + 1
    replayed([path], tmp_path / "shm")
    assert ("SYNCING", "SEQUENCE_GAP") in statuses(tmp_path / "shm", "coinbase")
    assert one.set_name == "coinbase"


def test_only_the_symbols_asked_for_are_played(tmp_path):
    head, rows, _ = tape_rows(BY_CASE["kraken"], 40)
    other = replace(head.instruments[0], symbol="ETH-USD", native="ETH/USD")
    rows[0] = rows[0]._replace(payload=orjson.dumps({"url": "", "symbols": ["BTC/USD", "ETH/USD"]}))
    write_rows(tmp_path / "capture", replace(head, instruments=(*head.instruments, other)), rows)
    replayed([tmp_path / "capture"], tmp_path / "shm", symbols=["kraken:ETH-USD"])
    assert (
        len(area(tmp_path / "shm", "kraken")) == len(statuses(tmp_path / "shm", "kraken")) * DELTA_BYTES
    )  # "retired", and no more
    replayed([tmp_path / "capture"], tmp_path / "shm", symbols=["BTC-USD"])
    assert len(area(tmp_path / "shm", "kraken")) > 40 * DELTA_BYTES


def test_rows_are_merged_by_time_and_keep_the_order_of_their_set(captures, tmp_path):
    """A clock that is set back does not change the order in which one collector took its rows in."""
    played = []

    class Noting:
        def __init__(self, head):
            self.head, self.now_ns = head, 0

        def play_frames(self, reel, until_ns):
            return 0

        def play(self, row):
            self.now_ns = max(self.now_ns, row.time_ns)
            played.append((self.head.set_name, row.time_ns))

        def close(self):
            pass

    head, _, _ = tape_rows(BY_CASE["kraken"], 1)
    start = head.run_ns
    for name, times in (("a", (10, 30, 20, 40)), ("b", (15, 25, 40, 45))):
        rows = [Row(b"recv", start + time_ns, 1, b"x") for time_ns in times]
        write_rows(tmp_path / "captures", replace(head, set_name=name), rows)
    found = recordings(capture_files([tmp_path / "captures"]))
    playback = Playback(found, (None, None), lambda *_: None, Noting)  # type: ignore[arg-type]
    while playback.play(MOST_TIME_NS):
        pass
    assert [(name, time_ns - start) for name, time_ns in played] == [
        ("a", 10), ("b", 15), ("b", 25), ("a", 30), ("a", 20), ("a", 40), ("b", 40), ("b", 45),
    ]  # fmt: skip


def test_a_later_start_shows_the_book_of_that_time(captures, tmp_path):
    folder, _ = captures
    paths = list(folder.glob("kraken-2*.cap.zst"))
    replayed(paths, tmp_path / "whole")
    middle_ns = STARTED_NS + 200 * STEP_NS
    replayed(paths, tmp_path / "later", from_ns=middle_ns)
    assert area(tmp_path / "later", "kraken") == area(tmp_path / "whole", "kraken")
    replayed(paths, tmp_path / "early", to_ns=middle_ns)
    early = area(tmp_path / "early", "kraken")
    assert early[: -2 * DELTA_BYTES] == area(tmp_path / "whole", "kraken")[: len(early) - 2 * DELTA_BYTES]


def test_a_set_of_which_nothing_lies_before_the_end_does_not_hold_the_clock_back(tmp_path):
    """A recording's clock that began in 1970 would have decades to wait."""
    head, rows, _ = tape_rows(BY_CASE["kraken"], 20)
    later = [row._replace(time_ns=row.time_ns + 60 * 10**9) for row in rows]
    write_rows(tmp_path / "captures", replace(head, set_name="first"), rows)
    write_rows(tmp_path / "captures", replace(head, set_name="later", run_ns=head.run_ns + 60 * 10**9), later)
    found = recordings(capture_files([tmp_path / "captures"]))
    reels = [Reel(one.set_name, one.blocks(None, rows[-1].time_ns + 1, lambda *_: None), lambda _: None) for one in found]
    assert [(one.set_name, reel.time_ns) for one, reel in zip(found, reels, strict=True)] == [
        ("first", rows[0].time_ns),
        ("later", None),
    ]


@pytest.mark.parametrize("time_ns", [2**63 - 1, 2**63, 10**19 - 1])
def test_a_row_beyond_the_calendar_is_played_at_a_time_that_64_bits_hold(tmp_path, time_ns):
    """The compiled core has no larger times; the interpreted one shows here what it would be given."""
    head, rows, _ = tape_rows(BY_CASE["kraken"], 20)
    write_rows(tmp_path / "captures", head, [*rows, rows[-1]._replace(time_ns=time_ns)])
    replay = replayed([tmp_path / "captures"], tmp_path / "shm")
    assert replay.progress.is_over
    assert replay.progress.frames == sum(row.kind == Kind.RECEIVED for row in rows) + (rows[-1].kind == Kind.RECEIVED)
    assert rows[-1].time_ns < replay.progress.now_ns < 2**63 - TICK_NS


async def until(condition):
    """Wait until the condition holds; the test's own limit ends it."""
    while not condition():  # noqa: ASYNC110 - a replay has no event for each frame
        await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def steering(folder, tmp_path, **plan):
    """A replay of the folder's kraken in this loop: (the Replay, `await ask(action, *words)`, its task), until the block ends."""
    made = ReplayPlan(capture_files(folder.glob("kraken-2*.cap.zst")), shm_dir=str(tmp_path / "shm"), **plan)
    with open_directory(made.shm_dir, create=True) as directory:

        async def ask(action, *words):
            return await asyncio.to_thread(control.ask, directory, CONTROL_NAME, action, words)

        ready = asyncio.Event()
        replay = Replay(made, recordings(made.places), directory, lambda *_: None, ready.set, hold=True)
        playing = asyncio.create_task(replay.run())
        try:
            await asyncio.wait({playing, asyncio.create_task(ready.wait())}, return_when=asyncio.FIRST_COMPLETED)
            yield replay, ask, playing
        finally:
            playing.cancel()
            await asyncio.gather(playing, return_exceptions=True)


def _fails(*_, **__):
    raise UsageError("as if the file had gone between two looks")


class TestSteering:
    """A replay that runs in this loop, asked over its socket as the commands ask it."""

    @pytest.fixture
    def steered(self, captures, tmp_path):
        folder, _ = captures
        return partial(steering, folder, tmp_path)

    async def test_pause_step_speed_and_the_end(self, steered):
        async with steered(paused=True) as (replay, ask, _):
            state, moment, speed = await ask("status")
            assert (state, speed) == ("paused", "1x")
            before = replay.progress.frames
            state, *_ = await ask("step", "5")
            await until(lambda: replay.progress.frames >= before + 5)
            assert (state, replay.progress.frames) == ("paused", before + 5)
            assert (await ask("speed", "max"))[2] == "max"
            await ask("resume")
            await until(lambda: replay.progress.is_over)
            assert (await ask("status"))[0] == "over"
            assert moment.endswith("Z")

    async def test_a_step_of_time_plays_that_time_and_no_more(self, steered):
        async with steered(paused=True) as (replay, ask, _):
            before_ns, before = replay.progress.now_ns, replay.progress.frames
            for count, text in enumerate(("250ms", "0.25s"), 1):
                assert (await ask("step", text))[0] == "paused"
                to_ns = before_ns + count * 250_000_000
                await until(lambda to_ns=to_ns: replay.progress.now_ns >= to_ns)
                assert (replay.progress.now_ns, replay.pace.is_paused) == (to_ns, True)
            assert before < replay.progress.frames
            shown = parse_timeline(await ask("timeline"))
            assert (shown.state, shown.now_ns, shown.gaps) == ("paused", to_ns, [])
            assert (shown.first_ns, shown.last_ns) == (replay.progress.first_ns, replay.progress.last_ns)
            assert parse_timeline(await ask("timeline", str(shown.revision))).gaps is None

    async def test_it_is_seeking_until_the_books_of_that_time_are_there(self, steered, tmp_path):
        def epoch():
            with open_directory(str(tmp_path / "shm")) as directory, Segment.attach(directory, "kraken_orderbook_deltas") as ring:
                return ring.epoch, ring.state

        async with steered(paused=True) as (replay, ask, _):
            before = epoch()
            to_ns = STARTED_NS + 200 * STEP_NS
            replay._seek(to_ns)  # no turn of the loop: what lies before has not been played
            assert (replay.state, replay._timeline("")[:2]) == ("seeking", ["seeking", moments.moment(to_ns, digits=9)])
            assert (before[1], epoch()) == (State.READY, (before[0], State.RETIRED))  # the new ring is not to be seen yet
            await until(lambda: replay.is_shown)
            assert epoch() == (before[0] + 1, State.READY)
            assert (await ask("status"))[0] == "paused"

    async def test_seek_forth_and_back_shows_the_book_of_that_time(self, steered, tmp_path):
        async with steered(paused=True) as (replay, ask, _):
            books: dict[int, object] = {}
            for place in (100, 250, 100, 250):
                to_ns = STARTED_NS + place * STEP_NS
                await ask("seek", moments.moment(to_ns, digits=9))
                await until(lambda to_ns=to_ns: replay.is_shown and replay.progress.now_ns >= to_ns)
                shown = await asyncio.to_thread(book, tmp_path / "shm", "kraken", "BTC-USD")
                assert books.setdefault(place, shown) == shown
            assert books[100] != books[250]

    @pytest.mark.parametrize("has_room", [True, False], ids=["waits", "mutant"])
    async def test_at_full_speed_no_reader_is_lapped(self, steered, tmp_path, monkeypatch, has_room):
        """A reader that takes 20 records at a time misses none, though the recording has more than the ring holds."""
        if not has_room:  # broken mutant: a replay that does not look at its readers
            monkeypatch.setattr(Room, "missing", lambda *_: None)

        async with steered(paused=True, ring_capacity=256) as (replay, ask, _):
            with ap.DeltaReader("kraken", shm_dir=str(tmp_path / "shm")) as reader:
                await ask("speed", "max")
                await ask("resume")
                read = len(reader.poll(20))
                while not replay.progress.is_over or reader.lag:
                    await asyncio.sleep(0.002)
                    read += len(reader.poll(20))
                assert (reader.missed == 0) is has_room
                assert read > 300 or not has_room

    @pytest.mark.parametrize("is_waited_for", [True, False], ids=["waits", "mutant"])
    async def test_at_full_speed_a_reader_joins_each_book_at_its_first_version(self, steered, tmp_path, monkeypatch, is_waited_for):
        """The image of a book stands still until its readers have it, however late they come to the RESET."""
        if not is_waited_for:
            monkeypatch.setattr(Ring, "unjoined", lambda *_: None)

        async with steered(paused=True) as (replay, ask, _):
            with open_directory(str(tmp_path / "shm")) as directory:
                follower = SetFollower(directory, "kraken", ["BTC-USD"], label="late")
                await ask("speed", "max")
                await ask("resume")
                await until(lambda: replay.held_by or replay.progress.frames > 100)
                follower.poll(clock.monotonic_ns())
                assert (follower.books["BTC-USD"].version == 1) is is_waited_for
                follower.close()

    @pytest.mark.parametrize("is_waited_for", [True, False], ids=["waits", "mutant"])
    async def test_at_full_speed_a_run_ends_once_all_of_it_is_read(self, steered, tmp_path, monkeypatch, is_waited_for):
        if not is_waited_for:
            monkeypatch.setattr(Replay, "_may_end", lambda *_: True)

        async with steered(paused=True) as (replay, ask, _):
            with open_directory(str(tmp_path / "shm")) as directory:
                follower = SetFollower(directory, "kraken", label="late")

                def reads_on():
                    if not replay._ending:
                        follower.poll(clock.monotonic_ns())
                    return replay.progress.is_over or (replay._ending and replay.held_by)

                await ask("speed", "max")
                await ask("resume")
                await until(reads_on)
                assert (follower.ring.segment.state is State.READY) is is_waited_for
                follower.poll(clock.monotonic_ns())
                await until(lambda: replay.progress.is_over)
                assert follower.ring.segment.state is State.RETIRED
                follower.close()

    async def test_a_reader_that_never_comes_to_a_book_does_not_hold_it_for_ever(self, steered, tmp_path, monkeypatch):
        monkeypatch.setattr("alphapulse_cli.apps.replay.room.JOIN_NS", 20_000_000)

        async with steered(paused=True) as (replay, ask, _):
            with open_directory(str(tmp_path / "shm")) as directory:
                follower = SetFollower(directory, "kraken", label="never")
                await ask("speed", "max")
                await ask("resume")
                await until(lambda: replay.progress.is_over)
                assert not replay.held_by
                follower.close()

    @pytest.mark.parametrize("is_stopped", [True, False], ids=["stopped", "unread"])
    async def test_a_reader_that_stands_is_named_and_holds_it_no_longer_than_it_stands(
        self, steered, tmp_path, monkeypatch, is_stopped
    ):
        """A process that is stopped, and one whose output nobody reads; both say so to `replay status`."""
        monkeypatch.setattr("alphapulse_cli.apps.replay.replay.READER_STANDS_NS", 100_000_000)
        words = ["tail", "deltas", "--from", "oldest", "--json", "--wait-for", "--shm-dir", str(tmp_path / "shm")]
        told: list[str] = []
        outer, inner = os.pipe()
        fcntl.fcntl(inner, fcntl.F_SETPIPE_SZ, 4096)  # so that a few lines fill it
        os.set_blocking(outer, False)
        tail = subprocess.Popen([sys.executable, "-P", "-m", "alphapulse_cli", *words], stdout=inner)  # noqa: ASYNC220 - no replay yet
        name = f"tail deltas (process {tail.pid})"

        def read():
            """Take what is in the pipe; whether there was anything."""
            with contextlib.suppress(BlockingIOError):
                return bool(os.read(outer, 1 << 16))
            return False

        try:
            async with steered(paused=True, ring_capacity=256) as (replay, ask, _):
                replay.notice = lambda level, text: told.append(text) if level == "warning" else None
                await ask("speed", "max")
                await ask("step", "20")
                await until(read)  # it is attached
                if is_stopped:
                    tail.send_signal(signal.SIGSTOP)
                await ask("resume")
                await until(lambda: told)
                state, _, speed, held = await ask("status")
                assert (state, speed) == ("playing", "max")
                why = (
                    f"is stopped: kill -CONT {tail.pid} lets it go on" if is_stopped else "does not read on: does a pager hold it?"
                )
                assert held == f"waiting for {name}, which {why}"
                assert told == [f"{held}; at 1x no reader is waited for: alphapulse replay speed 1x"]
                tail.send_signal(signal.SIGCONT)
                await until(lambda: (read(), replay.progress.is_over)[1])
                goes_on = f"the replay goes on: {name} is no longer waited for"  # it may stand again for a moment
                assert told[1] == told[-1] == goes_on
                assert len(await ask("status")) == 3
        finally:
            tail.kill()
            tail.wait()
            os.close(outer)
            os.close(inner)

    @pytest.mark.parametrize(
        ("action", "words", "message"),
        [
            ("seek", ["2026-09-21T14:13:21"], "without an offset"),
            ("seek", ["2020-01-01T00:00:00Z"], "not in the recording"),
            ("speed", ["fast"], "not a speed"),
            ("speed", [], "takes other words"),
            ("step", ["0"], "not a number of frames"),
            ("step", ["00000000000000000001999999"], "not a number of frames"),
            ("step", ["0" * 19 + "1" + "9" * 5000], "not a number of frames"),
            ("step", ["soon"], "nor a time"),
            ("timeline", ["1", "2"], "takes other words"),
            ("jump", ["1"], "has no action"),
        ],
    )
    async def test_wrong_words_change_nothing(self, steered, action, words, message):
        async with steered(paused=True) as (_, ask, _):
            before = await ask("status")
            with pytest.raises(UsageError, match=message):
                await ask(action, *words)
            assert await ask("status") == before

    async def test_no_seek_goes_beyond_what_is_to_be_played(self, steered):
        async with steered(paused=True, to_ns=STARTED_NS + 100 * STEP_NS) as (_, ask, _):
            last_ns = STARTED_NS + 100 * STEP_NS
            assert parse_timeline(await ask("timeline")).last_ns == last_ns
            await ask("seek", moments.moment(last_ns, digits=9))
            with pytest.raises(UsageError, match="is not in the recording"):
                await ask("seek", moments.moment(last_ns + 1, digits=9))

    async def test_a_seek_in_files_that_are_gone_is_refused_and_the_books_stay(self, captures, tmp_path):
        folder = tmp_path / "captures"
        folder.mkdir()
        for path in captures[0].glob("kraken-2*"):
            shutil.copy(path, folder)

        async with steering(folder, tmp_path, paused=True) as (replay, ask, _):
            folder.rename(tmp_path / "away")
            with pytest.raises(UsageError, match="cannot read"):
                await ask("seek", moments.moment(STARTED_NS + 200 * STEP_NS, digits=9))
            await ask("step", "5")
            await until(lambda: replay.progress.frames >= 5)
            (tmp_path / "away").rename(folder)
            await ask("seek", moments.moment(STARTED_NS + 200 * STEP_NS, digits=9))
            await until(lambda: replay.is_shown)
            assert (await ask("status"))[0] == "paused"

    async def test_a_seek_that_fails_behind_its_check_ends_the_replay_with_its_reason(self, captures, tmp_path, monkeypatch):
        async with steering(captures[0], tmp_path, paused=True) as (_, ask, playing):
            monkeypatch.setattr(Playback, "__init__", _fails)
            with pytest.raises(UsageError, match="as if the file had gone"):
                await ask("seek", moments.moment(STARTED_NS + 200 * STEP_NS, digits=9))
            with pytest.raises(UsageError, match="as if the file had gone"):
                await playing

    async def test_a_second_replay_in_the_same_directory_is_refused(self, steered, captures, tmp_path):
        async with steered(paused=True) as _:
            code = "import sys; from alphapulse_cli.__main__ import main; sys.exit(main())"
            command = [sys.executable, "-c", code, "replay", str(captures[0]), "--shm-dir", str(tmp_path / "shm")]
            second = await asyncio.to_thread(subprocess.run, command, capture_output=True, timeout=60)
            assert second.returncode == 7
            assert b"a replay runs in" in second.stderr


@pytest.mark.parametrize(
    ("text", "speed"),
    [("1x", 1.0), ("10", 10.0), ("0.5x", 0.5), ("max", MAX), ("MAX", None), ("0", None), ("-1x", None), ("1e9", None), ("", None)],
)
def test_speeds(text, speed):
    if speed is None:
        with pytest.raises(UsageError):
            parse_speed(text)
    else:
        assert parse_speed(text) == speed


def test_a_replay_never_writes_among_live_books(tmp_path, monkeypatch):
    usual = tmp_path / "live"
    usual.mkdir()
    monkeypatch.setenv("ALPHAPULSE_SHM_DIR", str(usual))
    assert replay_directory(None, None).name == "live-replay"
    (tmp_path / "link").symlink_to(usual)
    for chosen in (str(usual), str(tmp_path / "link"), str(usual) + "/."):
        with pytest.raises(UsageError, match="live books"):
            replay_directory(chosen, None)


def test_two_captures_of_one_set_at_one_time_are_refused(tmp_path):
    head, rows, _ = tape_rows(BY_CASE["kraken"], 5)
    write_rows(tmp_path / "a", head, rows)
    write_rows(tmp_path / "b", replace(head, run_ns=head.run_ns + 1), rows)
    with pytest.raises(UsageError, match="at the same time"):
        recordings(capture_files([tmp_path / "a", tmp_path / "b"]))
    with pytest.raises(UsageError, match="same part"):
        recordings([*capture_files([tmp_path / "a"]), *capture_files([tmp_path / "a"])])


def test_a_plan_must_lie_in_the_recording(captures, tmp_path):
    found = recordings(capture_files([captures[0]]))
    for plan in ({"from_ns": 1}, {"to_ns": 1}, {"from_ns": STARTED_NS + 5, "to_ns": STARTED_NS + 4}, {"symbols": ["DOGE-USD"]}):
        with pytest.raises(UsageError):
            check_span(ReplayPlan([tmp_path], **plan), found)
    assert 1_000_000_000 % TICK_NS == 0


@pytest.mark.parametrize(
    ("symbols", "names"),
    [
        ([], ["eth", "kraken", "okx"]),
        (["BTC-USD"], ["kraken", "okx"]),
        (["kraken:BTC-USD"], ["kraken"]),
        (["kraken:BTC-USD", "ETH-USD"], ["eth", "kraken"]),
        (["bybit:BTC-USD"], None),
        (["okx:ETH-USD"], None),
    ],
    ids=str,
)
def test_sets_without_the_symbols_are_not_played(tmp_path, symbols, names):
    for case, name in (("kraken", "kraken"), ("okx", "okx"), ("kraken", "eth")):
        head, rows, _ = tape_rows(BY_CASE[case], 5)
        payload = head.to_payload().replace(b"BTC-USD", b"ETH-USD" if name == "eth" else b"BTC-USD")
        write_rows(tmp_path, replace(parse_head(payload), set_name=name), rows)
    found, plan = recordings(capture_files([tmp_path])), ReplayPlan([tmp_path], symbols=symbols)
    if names is None:
        with pytest.raises(UsageError, match="is not in the recording") as caught:
            check_span(plan, found)
        assert caught.value.hint
    else:
        check_span(plan, found)
        assert [one.set_name for one in played(plan, found)] == names
