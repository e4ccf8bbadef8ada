"""What the end-to-end tests share: waiting with a limit, looking into a set of segments from outside, and a reader in a process of its own.

with child("support.e2e:follow_set", shm_dir, "kraken") as reader:   # of support.shm_processes
    reader.line()                     # "attached"
    …                                 # whatever happens to the set meanwhile, it follows
    reader.say()
    told = reader.line()              # what it counted and the books it holds, once nothing is left to read
"""

import json
import select
import sys
import time
from contextlib import suppress
from decimal import Decimal

from alphapulse_cli.errors import AlphapulseError, NoSegment
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.readers.api import Book
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import CountersReader
from alphapulse_cli.shm.directory import open_directory, segment_name
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.wire import delta
from support.shm_processes import tell

LIMIT_S = 60.0


def wait_for(condition, what, limit_s=LIMIT_S):
    """What `condition` returns once it is true; the test fails if it is not within the limit. Errors of alphapulse's mean: not yet."""
    until = time.monotonic() + limit_s
    while True:
        with suppress(AlphapulseError):
            found = condition()
            if found:
                return found
        assert time.monotonic() < until, f"not within {limit_s:.0f} s: {what}"
        time.sleep(0.02)


def verified(alphapulse):
    """`reconstruct --verify` as it ended; for longer where the machine was so busy that a book had no CHECK in the first seconds."""
    for duration in ("3", "30"):
        done = alphapulse("reconstruct", "--verify", "--duration", duration, "--json", timeout=100)
        if '"unproved"' not in done.stdout:
            break
    return done


def counters(shm_dir, set_name):
    """{symbol, "" for the exchange: {label: value}} of a set."""
    with open_directory(shm_dir) as directory, Segment.attach(directory, segment_name(SegmentKind.COUNTERS, set_name)) as segment:
        return CountersReader(segment).blocks()


def totals(shm_dir, set_name):
    """{label: sum over the exchange and its symbols}."""
    blocks = counters(shm_dir, set_name)
    return {label: sum(block[label] for block in blocks.values()) for label in blocks[""]}


def wait_for_frames(shm_dir, set_name, frame_count):
    """The set's collector has taken in this many frames, with all that became of them.

    A frame is counted before its books change, and one answer may bring many changes: so the collector is seen at its next heartbeat too.
    """
    wait_for(lambda: counters(shm_dir, set_name)[""]["frames"] == frame_count, "all frames collected")
    with open_directory(shm_dir) as directory, Segment.attach(directory, segment_name(SegmentKind.COUNTERS, set_name)) as segment:
        counted_at = segment.heartbeat_ns
        wait_for(lambda: segment.heartbeat_ns != counted_at, "the collector's next heartbeat")


def exact(rows):
    """{(side, price): size} as decimals, of rows (side, price, size) in text."""
    return {(side, Decimal(price)): Decimal(size) for side, price, size in rows}


class Witness:
    """Counts what a follower is given, and checks each symbol's chain of versions by itself."""

    def __init__(self):
        self.record_count = self.breaks = 0
        self.kinds = {kind.name: 0 for kind in delta.RecordKind}
        self._versions = {}
        self._at = delta.offsets()

    def look(self, polled):
        self.record_count += polled.record_count
        for start in range(0, polled.record_count * delta.DELTA_BYTES, delta.DELTA_BYTES):
            head = bytes(polled.records[start : start + self._at["changes"]])
            if head[self._at["flags"]] & delta.FIRST:
                self._look_at_group(head)

    def _look_at_group(self, head):
        symbol = head[self._at["symbol"] : self._at["exchange"]]
        version, previous = (
            int.from_bytes(head[place : place + 8], sys.byteorder) for place in (self._at["version"], self._at["prev_version"])
        )
        self.kinds[delta.RecordKind(head[self._at["flags"]] & delta.KIND_MASK).name] += 1
        self.breaks += self._versions.get(symbol, previous) != previous
        self._versions[symbol] = version


def follow_set(shm_dir, set_name, proofs=0):
    """The reader process: attach now, say "proved" after so many CHECKs, follow until told to end, read what is left, tell."""
    with open_directory(shm_dir) as directory:
        follower, witness, told_to_end = SetFollower(directory, set_name), Witness(), False
        tell("attached")
        while True:
            polled = follower.poll(clock.monotonic_ns())
            witness.look(polled)
            if proofs and follower.checks_ok >= proofs:
                tell("proved")
                proofs = 0
            if polled.record_count or polled.missed:
                continue
            if told_to_end and follower.groups.position == follower.groups.segment.published:
                break
            told_to_end = told_to_end or bool(select.select([sys.stdin], [], [], 0)[0])
            time.sleep(0.001)
        tell(
            {
                "got": witness.record_count,
                "missed": follower.groups.missed,
                "published": follower.groups.position,
                "breaks": witness.breaks,
                "kinds": witness.kinds,
                "joins": follower.joins,
                "checks_ok": follower.checks_ok,
                "checks_bad": follower.checks_bad,
                "books": {symbol: rows_of(replica.book) for symbol, replica in follower.books.items()},
            }
        )


def rows_of(book):
    """(side, price, size) in exact text, best first."""
    return [
        (side, to_text(ticks, book.price_decimals), to_text(lots, book.size_decimals))
        for side, levels in (("bid", book.bids()), ("ask", book.asks()))
        for ticks, lots in levels
    ]


class Simulators:
    """`alphapulse sim` of these exchanges as a process; `url(name)`, `rest_url(name)` are where they serve, `environment` sends collectors there."""

    def __init__(self, alphapulse, *names, symbols="BTC-USD,ETH-USD", rate=50, mischief=""):
        line = [*names, "--symbols", symbols, "--rate", str(rate), "--json", *(["--mischief", mischief] if mischief else [])]
        self.process = alphapulse.start("sim", *line)
        rows = [json.loads(self.process.stdout.readline()) for _ in names]
        self._rows = {row["exchange"]: row for row in rows}

    def url(self, name):
        return self._rows[name]["websocket_url"]

    @property
    def environment(self):
        prefix = {name: f"ALPHAPULSE_{name.upper().replace('-', '_')}" for name in self._rows}
        urls = {f"{prefix[name]}_URL": row["websocket_url"] for name, row in self._rows.items()}
        return urls | {f"{prefix[name]}_REST_URL": row["rest_url"] for name, row in self._rows.items()}


def book_states(shm_dir, set_name, symbols):
    """{symbol: state's name} as any reader would call it now."""
    return {symbol: state_of(Book(set_name, symbol, shm_dir=str(shm_dir))) for symbol in symbols}


def state_of(book):
    """Of a book. One whose writer was stopped in the middle of an edit cannot be read: it is as little LIVE as a STALE one."""
    try:
        return book.read(1).state.name
    except NoSegment as unreadable:
        if "half edited" not in str(unreadable):
            raise
        return "STALE"


def wait_until_live(shm_dir, set_name, symbols, after_version=0, written_by=None):
    """All books LIVE and further than that version; written by that process where it is given.

    A killed collector's image looks LIVE until its heartbeat is late, and until its successor has made an image of its own it is what is found
    there: after a kill the successor must be named, or the wait is over before its first snapshot.
    """

    def live():
        books = [Book(set_name, symbol, shm_dir=str(shm_dir)).read(1) for symbol in symbols]
        writers = {book_writer(shm_dir, set_name, symbol) for symbol in symbols} if written_by else {None}
        return writers == {written_by} and all(book.state.name == "LIVE" and book.version > after_version for book in books)

    wait_for(live, f"LIVE books of {set_name}")


def book_writer(shm_dir, set_name, symbol):
    """The process that wrote the book image which has the name now."""
    with (
        open_directory(shm_dir) as directory,
        Segment.attach(directory, segment_name(SegmentKind.BOOK, set_name, symbol)) as segment,
    ):
        return segment.writer.pid


def writer_pid(shm_dir, set_name):
    """Of the collector that writes the set."""
    with open_directory(shm_dir) as directory, Segment.attach(directory, segment_name(SegmentKind.DELTAS, set_name)) as segment:
        return segment.writer.pid
