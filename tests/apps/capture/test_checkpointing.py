"""Checkpoints of captures that are made of others: the same books with and without them, from fewer blocks, within their share."""

from dataclasses import replace

import orjson
import pytest
from support.captures import tape_rows, write_rows
from support.small_captures import HEAD, frame, opened, read, write

from alphapulse_cli.apps.bench.frames import FEEDS
from alphapulse_cli.apps.capture import checkpointing, cut, imports, merge
from alphapulse_cli.apps.capture.places import Span
from alphapulse_cli.apps.replay.player import Player
from alphapulse_cli.apps.replay.timeline import recordings
from alphapulse_cli.apps.travel import Travel
from alphapulse_cli.edges.capture import foreign, rewriting
from alphapulse_cli.edges.capture.checkpoints import MeasuredPace
from alphapulse_cli.edges.capture.files import capture_files
from alphapulse_cli.edges.capture.index import HOLDS_CHECKPOINTS
from alphapulse_cli.edges.capture.keeping import Rotation
from alphapulse_cli.edges.capture.reader import CaptureFile
from alphapulse_cli.edges.capture.rows import Kind, Row
from alphapulse_cli.errors import StorageError
from alphapulse_cli.flow import checkpoint

SECOND = 10**9
BY_CASE = {feed.case: feed for feed in FEEDS}


def quiet(_path, _what):
    """Take a report of damage."""


def story(case):
    """Head and rows of an import: a lost frame, a lost connection, a silence, and a second connection whose symbol is nearly quiet."""
    btc = BY_CASE[case]
    eth = btc._replace(symbol=btc.symbol.replace("BTC", "ETH"))
    head, first, _ = tape_rows(btc, 70)
    again = tape_rows(btc, 70, first[-1].time_ns + 3 * SECOND)[1]
    late, silence_s = again[-50].time_ns, 9 if case == "kraken" else 16  # Kraken promises a heartbeat
    again = [row if row.time_ns <= late else row._replace(time_ns=row.time_ns + silence_s * SECOND) for row in again]
    del first[-20]  # a lost frame
    first.append(Row(bytes(Kind.SHUT), first[-1].time_ns + SECOND, 1, b'{"reason":"lost"}'))
    other_head, other, _ = tape_rows(eth, 40)
    begun = other[-40].time_ns
    slow = [
        row if row.time_ns < begun else row._replace(time_ns=begun + place * 700_000_000)
        for place, row in enumerate(other, -len(other) + 40)
    ]
    slow = [row._replace(time_ns=row.time_ns + (12 * SECOND if place > len(other) - 12 else 0)) for place, row in enumerate(slow)]
    rows = [*first, *again, *(row._replace(connection=2) for row in slow)]
    rows.sort(key=lambda row: row.time_ns)
    return replace(head, instruments=(*head.instruments, *other_head.instruments), source="ndjson"), rows


def facts(book):
    """All that `reconstruct --at` says of a book."""
    keeper = book.keeper
    levels = tuple(keeper.book.bids()), tuple(keeper.book.asks())
    return (
        book.id,
        levels,
        keeper.version,
        book.timestamp_ns,
        book.checksum,
        book.proved_at,
        keeper.trading_status,
        keeper.state,
        keeper.reason,
    )


def at(folder, instants):
    """Facts of all books at each instant, every one read by itself."""
    [recording] = recordings(capture_files([folder]))
    found = []
    for time_ns in instants:
        with Travel(recording, (), time_ns, quiet) as travel:
            found.append([facts(book) for book in travel.to(time_ns)])
    return found


def from_the_beginning(folder, instants):
    """The same, read once from the first row on."""
    [recording] = recordings(capture_files([folder]))
    with Travel(recording, (), recording.first_ns, quiet) as travel:
        return [[facts(book) for book in travel.to(time_ns)] for time_ns in instants]


def held_in(folder):
    """Entries of blocks with checkpoints."""
    entries = []
    for path in capture_files([folder]):
        with CaptureFile(path) as file:
            entries += [entry for entry in file.entries() if entry.flags & HOLDS_CHECKPOINTS]
    return entries


@pytest.fixture
def often(monkeypatch):
    """Checkpoints about every second of the recording, whatever their share."""
    last = [0]

    def is_due(_self, time_ns):
        if time_ns - last[0] < 900_000_000:
            return False
        last[0] = time_ns
        return True

    monkeypatch.setattr(rewriting, "BLOCK_BYTES", 1)
    monkeypatch.setattr(MeasuredPace, "is_due", is_due)
    monkeypatch.setattr(MeasuredPace, "fits", lambda _self, _size: True)


def remade(tmp_path, head, rows):
    """Write the rows as a capture of several files, and a copy with checkpoints."""
    write_rows(tmp_path / "without", head, rows, rotation=Rotation(20, 0))
    merge.merge(capture_files([tmp_path / "without"]), tmp_path / "with", quiet, pytest.fail)
    assert not held_in(tmp_path / "without")


def instants_of(folder, rows, count):
    """Instants all over the recording, and as many at checkpoints, a nanosecond from them, and at the frames about them."""
    held, times = [entry.last_ns for entry in held_in(folder)], [row.time_ns for row in rows]
    chosen = [times[0] + place * (times[-1] - times[0]) // count for place in range(count + 1)]
    for place in range(count):
        at_ns = held[place * len(held) // count]
        before, after = max(one for one in times if one <= at_ns), min((one for one in times if one > at_ns), default=times[-1])
        chosen.append((at_ns, at_ns - 1, at_ns + 1, before, before - 1, after, after - 1)[place % 7])
    return sorted(chosen)


@pytest.mark.parametrize("case", ["kraken", "binance-us", "bitfinex"])
def test_every_instant_has_the_same_book_with_checkpoints(tmp_path, often, case):
    head, rows = story(case)
    remade(tmp_path, head, rows)
    instants = instants_of(tmp_path / "with", rows, 4 if case == "binance-us" else 24)  # whole books take longer
    expected = from_the_beginning(tmp_path / "without", instants)
    assert at(tmp_path / "with", instants) == expected
    states = {(fact[-2].name, fact[-1].name) for books in expected for fact in books}
    assert {("LIVE", "NONE"), ("SYNCING", "DISCONNECTED")} <= states
    assert any(state == "STALE" for state, _ in states)
    held = [entry.last_ns for entry in held_in(tmp_path / "with")]
    assert len(held) > 20


def one_lot_more(whole):
    return lambda self: [
        (number, payload[:-8] + (int.from_bytes(payload[-8:], "little") + 1).to_bytes(8, "little"))
        for number, payload in whole(self)
    ]


def forgetful(member):
    def spoilt(whole):
        def checkpoints(self):
            for number, payload in whole(self):
                line, _, columns = payload.partition(b"\n")
                members = orjson.loads(line)
                members.pop(member, None)
                for book in members["books"]:
                    book.pop(member, None)
                yield number, orjson.dumps(members) + b"\n" + columns

        return checkpoints

    return spoilt


@pytest.mark.parametrize(
    ("case", "spoilt"),
    [
        ("kraken", one_lot_more),
        ("bitfinex", forgetful("quiet")),
        ("kraken", forgetful("silence")),
    ],
)
def test_a_checkpoint_with_one_wrong_level_or_without_a_memory_is_noticed(tmp_path, often, monkeypatch, case, spoilt):
    """Broken mutants beside the property."""
    monkeypatch.setattr(Player, "checkpoints", spoilt(Player.checkpoints))
    head, rows = story(case)
    remade(tmp_path, head, rows)
    instants = instants_of(tmp_path / "with", rows, 24)
    assert at(tmp_path / "with", instants) != from_the_beginning(tmp_path / "without", instants)


def ndjson_of(path, rows):
    """Write the frames as lines with their times, for `capture import ndjson`."""
    received = [row for row in rows if row.kind == Kind.RECEIVED]
    path.write_bytes(b"".join(b'{"ts":%d,%b\n' % (row.time_ns, row.payload[1:]) for row in received))


def imported(tmp_path, name, count, **plan):
    """Import a simulated feed from lines of NDJSON into the folder of that name."""
    _, rows, _ = tape_rows(BY_CASE["kraken"], count)
    ndjson_of(tmp_path / "lines", rows)
    made = imports.ImportPlan(
        "ndjson", foreign.ndjson("ts", "ns"), [tmp_path / "lines"], tmp_path / name, exchange="kraken", **plan
    )
    return imports.run(made), rows


def test_an_import_has_checkpoints_within_their_share_and_less_is_read(tmp_path):
    done, rows = imported(tmp_path, "with", 900)
    imported(tmp_path, "without", 900, with_checkpoints=False)
    held = held_in(tmp_path / "with")
    assert not done.notices
    assert len(held) > 2
    assert not held_in(tmp_path / "without")
    [path] = capture_files([tmp_path / "with"])
    assert sum(entry.compressed_bytes for entry in held) <= 0.15 * path.stat().st_size
    assert [row for row in read(tmp_path / "with") if row.kind == b"recv"] == [
        row for row in read(tmp_path / "without") if row.kind == b"recv"
    ]
    time_ns = rows[-1].time_ns
    blocks = {
        name: len(list(recordings(capture_files([tmp_path / name]))[0].blocks(time_ns, time_ns + 1, quiet)))
        for name in ("with", "without")
    }
    assert blocks["with"] * 2 < blocks["without"]
    assert at(tmp_path / "with", [time_ns, time_ns - 10 * SECOND]) == at(tmp_path / "without", [time_ns, time_ns - 10 * SECOND])


def test_a_run_that_has_checkpoints_keeps_those(tmp_path, often, monkeypatch):
    head, rows = story("bybit")
    remade(tmp_path, head, rows)
    monkeypatch.setattr(MeasuredPace, "is_due", lambda *_: pytest.fail("it was played again"))
    cut.cut(capture_files([tmp_path / "with"]), tmp_path / "part", Span(rows[len(rows) // 2].time_ns), quiet, pytest.fail)
    payloads = [row.payload for row in read(tmp_path / "part") if row.kind == Kind.HELD]
    assert payloads
    assert set(payloads) <= {row.payload for row in read(tmp_path / "with") if row.kind == Kind.HELD}


def test_captures_at_the_same_time_are_joined_with_checkpoints_of_both(tmp_path, often):
    kraken = BY_CASE["kraken"]
    for name, feed in (("a", kraken), ("b", kraken._replace(symbol="ETH-USD"))):
        head, rows, _ = tape_rows(feed, 100)
        write_rows(tmp_path / name, replace(head, run_ns=head.run_ns + (name == "b")), rows)
    merge.merge(capture_files([tmp_path / "a", tmp_path / "b"]), tmp_path / "both", quiet, pytest.fail)
    instants = [entry.last_ns for entry in held_in(tmp_path / "both")][-4:]
    found = at(tmp_path / "both", instants)
    assert found == from_the_beginning(tmp_path / "both", instants)
    assert [len(books) for books in found] == [2] * 4


class TestWhatHasNone:
    def said(self, tmp_path, **plan):
        done, _ = imported(tmp_path, "made", 300, **plan)
        assert not held_in(tmp_path / "made")
        assert done.frames
        return done.notices

    def test_a_decoder_that_cannot_go_on(self, tmp_path, monkeypatch, often):
        class Never:
            """What no decoder is."""

        monkeypatch.setattr(checkpoint, "Resumable", Never)
        monkeypatch.setattr("alphapulse_cli.apps.replay.player.Resumable", Never)
        [said] = self.said(tmp_path)
        assert said.startswith("kraken: no checkpoints: its decoder cannot go on from one")

    def test_no_memory_for_the_books(self, tmp_path, monkeypatch):
        def full(*_, **__):
            raise StorageError("/dev/shm is full")

        monkeypatch.setattr(checkpointing, "Outlet", full)
        [said] = self.said(tmp_path)
        assert said == "kraken: no checkpoints: /dev/shm is full; `reconstruct --at` reads it from its beginning"

    def test_a_feed_that_is_unknown_here_or_has_no_metadata(self, tmp_path, often):
        said: list[str] = []
        rows = [opened(0, symbols=["DOGE/USD"]), *(frame(1000 * n, "{}") for n in range(1, 40))]
        write(tmp_path / "nothing", rows)
        write(tmp_path / "unknown", rows, replace(HEAD, exchange="plugged", set_name="plugged"))
        merge.merge(capture_files([tmp_path / "nothing", tmp_path / "unknown"]), tmp_path / "both", quiet, said.append)
        assert said[0].partition(";")[0] == "kraken: no checkpoints: the capture has no metadata of DOGE/USD"
        assert said[1].startswith("plugged: no checkpoints: unknown exchange: 'plugged'")
        assert len([row for row in read(tmp_path / "both") if row.kind == b"recv"]) == 78
