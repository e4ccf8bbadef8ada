"""Scores of a set: what its books and connections went through, cumulative since the file began, in a file that outlives its writers.

    <set>.scores        this moment's scores: a header, then a row for the set, each symbol and each connection; mapped, counted in place
    <set>.scores-past   checkpoints of the rows: at the writer's start, each five minutes of the last hour, each hour of the last day

A window is the difference between now and a checkpoint. A new writer copies the rows of the last one and counts on, so that a file
costs the same however often its collector is killed. Both files are for the holder of the set's lease to write; they are replaced as a
whole, by a rename. `<set>.scores` is made of parts of ROW_BYTES:

      part 0   the header, words of 64 bits as `HEAD` numbers them; boot id at 256, exchange at 272 (16 octets each)
      part n   word 0 kind, 1-4 name, 5 born_ns, 6 seen_ns, 7 connection, 8-63 the scores as `Score` numbers them;
               at 512 the feed delays (`shm/histogram.py`), at HEALINGS_AT the healings, by `bucket_of` their milliseconds

All times are CLOCK_MONOTONIC, for which another boot is a beginning: a file of another boot is not gone on with. Words only grow, each is
whole, two of them may be of different moments.
"""

import contextlib
import math
import os
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum, unique
from itertools import count
from typing import Any, NamedTuple

from alphapulse_cli.errors import AlphapulseError, NotASegment, StorageError
from alphapulse_cli.shm.directory import SET_PATTERN, Directory, check_set_name, storage_error
from alphapulse_cli.shm.figure import Figure
from alphapulse_cli.shm.histogram import BELOW_ZERO, HEAD_WORDS, HISTOGRAM_BYTES, Histogram, bucket_end, bucket_of
from alphapulse_cli.shm.identity import boot_id, my_identity
from alphapulse_cli.shm.layout import SET_NAME_BYTES
from alphapulse_cli.shm.mapping import Mapping, Words

MAGIC = int.from_bytes(b"APSCORES", "little")
MAJOR, MINOR = 1, 0  # another major is another layout; a larger minor has scores that this version does not know
ROW_BYTES = 16_384
ROW_WORDS = ROW_BYTES // 8
NAME_OCTETS, SCORES_AT, DELAYS_AT = 32, 8, 512
HEALINGS_AT = DELAYS_AT + HISTOGRAM_BYTES
HEALING_BUCKETS = (ROW_BYTES - HEALINGS_AT) // 8
ROWS_A_CHUNK = 4  # the file grows by 64 KiB, which every page size divides
MOST_ROWS = 4096  # beyond that a symbol or a connection is not scored
SECOND_NS = 1_000_000_000
EVERY_NS, FINE_FOR_NS = 300 * SECOND_NS, 3600 * SECOND_NS + 300 * SECOND_NS
COARSE_NS, KEPT_NS = 3600 * SECOND_NS, 25 * 3600 * SECOND_NS
MOST_CHECKPOINTS = 13 + 26 + 1  # of five minutes, of hours, of the writer's start
BOOT_AT, EXCHANGE_AT = 256, 272
PAST_MAGIC = b"APSCPAST"
_PAST_HEAD = struct.Struct("<8sII16s")  # magic, major, minor, boot id
_CHECKPOINT = struct.Struct("<QQIII")  # taken_ns, held_from_ns, rows, bytes, CRC-32 of them
_MADE = count()
ZEROS = bytes(256)


@unique
class Score(Figure):
    """Scores by their place in a row."""

    OBSERVED_NS = "ns", "for which a collector kept the book, whatever its state"
    VALID_NS = "ns", "of those in which the book was LIVE to its readers"
    BREAKS = "breaks", "from LIVE into any other state, the retirement of the book aside"
    GAPS = "gaps", "in the exchange's sequence: messages missed upstream"
    RESYNCS = "resyncs", "of the book with the exchange, begun"
    CHECKSUMS_OK = "checks", "of our book against the exchange's checksum that passed"
    CHECKSUMS_BAD = "checks", "of our book against the exchange's checksum that failed"
    MESSAGES = "messages", "received: frames of a set or a connection, book updates and trades of a symbol"
    BYTES = "bytes", "of those frames; not known of a symbol, since a frame may carry several"
    RECONNECTS = "connections", "made in place of one that ended"
    OPEN_NS = "ns", "for which the connection was open"
    HALTS = "halts", "of the market: changes of its trading status from TRADING to another one"
    RESTRICTED_NS = "ns", "for which the trading status was not TRADING"


@unique
class RowKind(IntEnum):
    """Kind of a row: set, connection or symbol."""

    SET = 1
    SYMBOL = 2
    CONNECTION = 3


@unique
class HEAD(IntEnum):
    """Words of the header."""

    MAGIC = 0  # written last
    MAJOR = 1
    MINOR = 2
    ROW_BYTES = 3
    ROWS = 4  # complete rows
    BEGAN_NS = 5  # begin of the first writer whose counts are in the rows
    STARTED_NS = 6  # begin of this writer
    UPDATED_NS = 7  # last time that the rows were brought up to date
    EPOCH = 8
    PID = 9
    CLOSED = 10  # 1 once the writer has stopped in good order


def scores_name(set_name: str) -> str:
    """File name of a set's present scores."""
    return f"{check_set_name(set_name)}.scores"


def scored_sets(directory: Directory) -> list[str]:
    """Names of the sets that have a file of scores, sorted."""
    heads = (name.removesuffix(".scores") for name in directory.names() if name.endswith(".scores"))
    return [name for name in heads if SET_PATTERN.fullmatch(name) and len(name) <= SET_NAME_BYTES]


def past_name(set_name: str) -> str:
    """File name of a set's checkpoints."""
    return f"{check_set_name(set_name)}.scores-past"


class ScoreRow:
    """Row that its writer counts in. `feed_delay` records nanoseconds."""

    def __init__(self, part: Any) -> None:
        self._words = Words(part)
        self.feed_delay = Histogram(part[DELAYS_AT:HEALINGS_AT])

    def get(self, score: int) -> int:
        """Present value of a score."""
        return self._words.load_relaxed(SCORES_AT + score)

    def set(self, score: int, value: int) -> None:
        """Store a score, which must not have shrunk."""
        self._words.store_relaxed(SCORES_AT + score, value)

    def add(self, score: int, more: int = 1) -> None:
        """Add to a score."""
        self.set(score, self.get(score) + more)

    def seen(self, monotonic_ns: int) -> None:
        """Note that the row was in use."""
        self._words.store_relaxed(6, monotonic_ns)

    def on_connection(self, number: int) -> None:
        """Note the connection that carries the symbol."""
        self._words.store_relaxed(7, number)

    def healed(self, healing_ns: int) -> None:
        """Count a healing by its duration."""
        at = HEALINGS_AT // 8 + min(bucket_of(max(healing_ns, 0) // 1_000_000), HEALING_BUCKETS - 1)
        self._words.store_relaxed(at, self._words.load_relaxed(at) + 1)


class RowCopy:
    """Copy of a row at one moment."""

    def __init__(self, octets: bytes) -> None:
        self.octets = octets
        self._numbers = memoryview(octets).cast("Q")
        self.kind = self._numbers[0]
        self.name = octets[8 : 8 + NAME_OCTETS].rstrip(b"\0").decode("ascii", "backslashreplace")
        self.born_ns, self.seen_ns, self.connection = self._numbers[5:8]

    @property
    def key(self) -> tuple[int, str, int]:
        """Kind, name and birth: two copies with the same key are of one row."""
        return self.kind, self.name, self.born_ns

    def get(self, score: int) -> int:
        """Value of a score."""
        return self._numbers[SCORES_AT + score]

    def feed_delay(self) -> "Counts":
        """Feed delays in ns."""
        return Counts(_not_zero(self.octets, DELAYS_AT + HEAD_WORDS * 8, HEALINGS_AT), self._numbers[DELAYS_AT // 8 + BELOW_ZERO])

    def healings(self) -> "Counts":
        """Healings in ms."""
        return Counts(_not_zero(self.octets, HEALINGS_AT, ROW_BYTES))


class Counts:
    """Histogram's counts by bucket, without those that are 0: of fifty symbols' histograms nearly all are. `below_zero` is in none."""

    def __init__(self, buckets: dict[int, int], below_zero: int = 0) -> None:
        self.buckets, self.below_zero = buckets, below_zero
        self.count = sum(buckets.values())

    def quantile(self, fraction: float) -> int | None:
        """Value that `fraction` of the counted values do not exceed, right within 3.2 %; None without any."""
        wanted, seen = max(1, math.ceil(fraction * self.count)), 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return bucket_end(bucket)
        return None

    def since(self, earlier: "Counts") -> "Counts":
        """Values counted after an earlier copy of the same histogram."""
        grown = {bucket: more for bucket, held in self.buckets.items() if (more := held - earlier.buckets.get(bucket, 0)) > 0}
        return Counts(grown, max(self.below_zero - earlier.below_zero, 0))

    @classmethod
    def of_all(cls, several: Iterable["Counts"]) -> "Counts":
        """Sum of several."""
        total: dict[int, int] = {}
        below_zero = 0
        for one in several:
            below_zero += one.below_zero
            for bucket, held in one.buckets.items():
                total[bucket] = total.get(bucket, 0) + held
        return cls(total, below_zero)


def _not_zero(octets: bytes, start: int, end: int) -> dict[int, int]:
    """Words between two bytes that are not 0, by their place. Stretches of zeros are passed over by one comparison each."""
    found: dict[int, int] = {}
    for at in range(start, end, len(ZEROS)):
        stretch = octets[at : min(at + len(ZEROS), end)]
        if stretch != ZEROS[: len(stretch)]:
            first = (at - start) // 8
            found |= {first + place: held for place, held in enumerate(memoryview(stretch).cast("Q")) if held}
    return found


@dataclass(frozen=True, slots=True)
class ScoresCopy:
    """Copy of a set's scores at one moment."""

    set_name: str
    exchange: str
    began_ns: int
    started_ns: int
    updated_ns: int
    epoch: int
    pid: int
    is_closed: bool
    rows: Sequence[RowCopy]


class Checkpoint(NamedTuple):
    """Rows as they were at `taken_ns`, and already from `held_from_ns` on (no writer ran between the two), compressed."""

    taken_ns: int
    held_from_ns: int
    row_count: int
    payload: bytes

    def rows(self) -> list[RowCopy]:
        """Copies of the rows; none where the bytes are not what they should be."""
        wanted = self.row_count * ROW_BYTES
        try:
            octets = zlib.decompressobj().decompress(self.payload, wanted + 1)
        except zlib.error:
            return []
        return [RowCopy(octets[at : at + ROW_BYTES]) for at in range(0, wanted, ROW_BYTES)] if len(octets) == wanted else []


class ScoresWriter:
    """Writer of a set's scores, for the holder of its lease. StorageError if there is no room.

    It goes on with the rows of the last writer of this boot. `set_row` is the row of the whole set.
    """

    def __init__(self, directory: Directory, set_name: str, exchange: str, epoch: int, monotonic_ns: int) -> None:
        self._directory, self._set_name = directory, set_name
        self._parts: list[Any] = []  # header, then rows and room for more
        self._chunks: list[Mapping] = []
        self._rows: dict[tuple[int, str], ScoreRow] = {}
        carried, self.began_ns = self._take_over(exchange, monotonic_ns)
        self.started_ns = self._checkpointed_ns = monotonic_ns
        temporary = _temporary()
        self._fd = self._create(temporary)
        try:
            self._grow(len(carried) + 1)
            self._head = Words(self._parts[0])
            for place, octets in enumerate(carried, 1):
                self._parts[place][:] = octets
                self._keep(octets[0], octets[8 : 8 + NAME_OCTETS].rstrip(b"\0").decode("ascii"), place)
            numbers = {
                HEAD.MAJOR: MAJOR,
                HEAD.MINOR: MINOR,
                HEAD.ROW_BYTES: ROW_BYTES,
                HEAD.ROWS: len(carried),
                HEAD.BEGAN_NS: self.began_ns,
                HEAD.STARTED_NS: monotonic_ns,
                HEAD.UPDATED_NS: monotonic_ns,
                HEAD.EPOCH: epoch,
                HEAD.PID: os.getpid(),
            }
            for word, number in numbers.items():
                self._head.store_relaxed(word, number)
            self._parts[0][BOOT_AT : BOOT_AT + 16] = boot_id()
            self._parts[0][EXCHANGE_AT : EXCHANGE_AT + 16] = exchange.encode("ascii").ljust(16, b"\0")
            self._head.store_release(HEAD.MAGIC, MAGIC)
            self.set_row = self.row(RowKind.SET, "", monotonic_ns)
            _rename(directory, temporary, scores_name(set_name))
        except BaseException:
            directory.unlink(temporary)
            self._shut()
            raise

    def _take_over(self, exchange: str, monotonic_ns: int) -> tuple[list[bytes], int]:
        """Rows of the last writer, and when they began, with a checkpoint of them; none if there is nothing to go on with."""
        found = None
        with contextlib.suppress(AlphapulseError, OSError):
            found = _load(self._directory, self._set_name)
        if found is None or found.exchange != exchange or found.updated_ns > monotonic_ns:
            self._directory.unlink(past_name(self._set_name))
            return [], monotonic_ns
        rows = [row for row in found.rows if row.seen_ns + KEPT_NS >= monotonic_ns or row.kind == RowKind.SET]
        octets = [row.octets for row in rows]
        self.keep(Checkpoint(monotonic_ns, min(found.updated_ns, monotonic_ns), len(rows), _packed(octets)), monotonic_ns)
        return octets, found.began_ns

    def _create(self, temporary: str) -> int:
        try:
            return self._directory.open_file(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL)
        except OSError as error:
            raise storage_error(error, f"create {scores_name(self._set_name)} in {self._directory.path}") from None

    def _grow(self, rows: int) -> None:
        """Make room for that many rows more. StorageError."""
        more = -(-(rows + (not self._parts)) // ROWS_A_CHUNK) * ROWS_A_CHUNK
        start = len(self._parts) * ROW_BYTES
        try:
            _extend(self._fd, start, more * ROW_BYTES)
            chunk = Mapping(self._fd, more * ROW_BYTES, writable=True, offset=start)
        except OSError as error:
            raise storage_error(error, f"grow {scores_name(self._set_name)} in {self._directory.path}") from None
        self._chunks.append(chunk)
        view = memoryview(chunk)
        self._parts += [view[at : at + ROW_BYTES] for at in range(0, more * ROW_BYTES, ROW_BYTES)]

    def _keep(self, kind: int, name: str, place: int) -> ScoreRow:
        made = self._rows[kind, name] = ScoreRow(self._parts[place])
        return made

    def row(self, kind: RowKind, name: str, monotonic_ns: int) -> ScoreRow:
        """Row of a symbol or connection, a new one where it has none. StorageError without room."""
        found = self._rows.get((kind, name))
        if found is not None:
            return found
        place = len(self._rows) + 1
        if place > MOST_ROWS:
            raise StorageError(f"{scores_name(self._set_name)} is full: it has room for {MOST_ROWS} rows")
        if place >= len(self._parts):
            self._grow(1)
        words, octets = Words(self._parts[place]), name.encode("ascii")
        assert len(octets) <= NAME_OCTETS
        self._parts[place][8 : 8 + len(octets)] = octets
        words.store_relaxed(0, kind)
        words.store_relaxed(5, monotonic_ns)
        words.store_relaxed(6, monotonic_ns)
        self._head.store_release(HEAD.ROWS, place)
        return self._keep(kind, name, place)

    def updated(self, monotonic_ns: int) -> None:
        """Note that the rows are up to date. StorageError where the file was cut short."""
        self._head.store_release(HEAD.UPDATED_NS, monotonic_ns)
        if any(chunk.is_cut() for chunk in self._chunks):
            raise StorageError(f"{scores_name(self._set_name)} was cut short")

    def is_due(self, monotonic_ns: int) -> bool:
        """Whether the time for the next checkpoint has come; then it counts as taken."""
        if monotonic_ns // EVERY_NS == self._checkpointed_ns // EVERY_NS:
            return False
        self._checkpointed_ns = monotonic_ns
        return True

    def checkpoint(self, monotonic_ns: int) -> None:
        """Add a checkpoint of this moment to the past. It takes milliseconds, mostly without the interpreter's lock: for a thread.

        StorageError.
        """
        rows = self._head.load_acquire(HEAD.ROWS)
        self.keep(Checkpoint(monotonic_ns, monotonic_ns, rows, _packed(self._parts[1 : rows + 1])), monotonic_ns)

    def keep(self, made: Checkpoint, monotonic_ns: int) -> None:
        """Write the past with a further checkpoint, without those that are no longer needed. StorageError."""
        started_ns = getattr(self, "started_ns", monotonic_ns)
        kept = thinned([*read_past(self._directory, self._set_name), made], started_ns, monotonic_ns)
        temporary = _temporary()
        try:
            fd = self._directory.open_file(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
            with os.fdopen(fd, "wb") as file:
                file.write(_PAST_HEAD.pack(PAST_MAGIC, MAJOR, MINOR, boot_id()))
                for one in kept:
                    head = one.taken_ns, one.held_from_ns, one.row_count, len(one.payload), zlib.crc32(one.payload)
                    file.write(_CHECKPOINT.pack(*head) + one.payload)
            self._directory.rename(temporary, past_name(self._set_name))
        except OSError as error:
            self._directory.unlink(temporary)
            raise storage_error(error, f"write {past_name(self._set_name)} in {self._directory.path}") from None

    def discard(self) -> None:
        """Remove the file, if nobody's scores are in it but this writer's: the set could not be created completely."""
        if self.began_ns == self.started_ns:
            self._directory.unlink(scores_name(self._set_name))
        self._shut()

    def close(self) -> None:
        """End in good order. The files stay, for readers and the next writer."""
        self._head.store_release(HEAD.CLOSED, 1)
        self._shut()

    def _shut(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def thinned(checkpoints: Iterable[Checkpoint], started_ns: int, now_ns: int) -> list[Checkpoint]:
    """Checkpoints that the windows need, oldest first: at most MOST_CHECKPOINTS, however many there were.

    They are that of `started_ns`, and of each five minutes of the last hour and each hour of the last day one: the first, or that which
    held longest where nobody wrote for a tenth of that time.
    """
    kept: dict[tuple[int, int], Checkpoint] = {}
    for one in checkpoints:
        age_ns = now_ns - one.taken_ns
        cells = [(0, 0)] if one.taken_ns == started_ns else []
        if age_ns <= FINE_FOR_NS:
            cells.append((EVERY_NS, one.taken_ns // EVERY_NS))
        if age_ns <= KEPT_NS:
            cells.append((COARSE_NS, one.taken_ns // COARSE_NS))
        for cell in cells:
            held = kept.get(cell)
            if held is None or one.taken_ns - one.held_from_ns > max(held.taken_ns - held.held_from_ns, cell[0] // 10):
                kept[cell] = one
    return sorted({one.taken_ns: one for one in kept.values()}.values())


def read_scores(directory: Directory, set_name: str) -> ScoresCopy | None:
    """Scores of a set now; None where it has none, of this boot and in a layout that this version reads."""
    try:
        return _load(directory, set_name)
    except (OSError, NotASegment):
        return None


def read_past(directory: Directory, set_name: str) -> list[Checkpoint]:
    """Checkpoints of a set, oldest first; those before a damaged place if there is one, none of another boot or layout."""
    try:
        with os.fdopen(directory.open_file(past_name(set_name)), "rb") as file:
            octets = file.read()
    except (OSError, NotASegment):
        return []
    return list(_checkpoints(octets))


def _checkpoints(octets: bytes) -> Iterator[Checkpoint]:
    if len(octets) < _PAST_HEAD.size:
        return
    magic, major, _, boot = _PAST_HEAD.unpack_from(octets)
    if (magic, major, boot) != (PAST_MAGIC, MAJOR, boot_id()):
        return
    at = _PAST_HEAD.size
    while at + _CHECKPOINT.size <= len(octets):
        taken_ns, held_from_ns, rows, size, check = _CHECKPOINT.unpack_from(octets, at)
        at += _CHECKPOINT.size
        payload = octets[at : at + size]
        if len(payload) < size or zlib.crc32(payload) != check or rows > MOST_ROWS:
            return
        yield Checkpoint(taken_ns, held_from_ns, rows, payload)
        at += size


def _load(directory: Directory, set_name: str) -> ScoresCopy | None:
    """Copy of the file. OSError, NotASegment. Its words are copied whole: the kernel and libc copy no smaller pieces of an aligned page."""
    with os.fdopen(directory.open_file(scores_name(set_name)), "rb", buffering=0) as file:
        head = file.read(ROW_BYTES)
        if len(head) < ROW_BYTES:
            return None
        words = memoryview(head).cast("Q")
        known = (words[HEAD.MAGIC], words[HEAD.MAJOR], words[HEAD.ROW_BYTES]) == (MAGIC, MAJOR, ROW_BYTES)
        if not known or head[BOOT_AT : BOOT_AT + 16] != boot_id() or words[HEAD.ROWS] > MOST_ROWS:
            return None
        octets = file.read(words[HEAD.ROWS] * ROW_BYTES)
    rows = [RowCopy(octets[at : at + ROW_BYTES]) for at in range(0, len(octets) - ROW_BYTES + 1, ROW_BYTES)]
    exchange = head[EXCHANGE_AT : EXCHANGE_AT + 16].rstrip(b"\0").decode("ascii", "backslashreplace")
    return ScoresCopy(
        set_name,
        exchange,
        words[HEAD.BEGAN_NS],
        words[HEAD.STARTED_NS],
        words[HEAD.UPDATED_NS],
        words[HEAD.EPOCH],
        words[HEAD.PID],
        words[HEAD.CLOSED] == 1,
        rows,
    )


def _extend(fd: int, start: int, more: int) -> None:
    """Allocate bytes behind the file's end. OSError. A file with promised room only kills its process at a touch on a full disk."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(fd, start, more)
    else:  # macOS
        os.pwrite(fd, bytes(more), start)


def _packed(rows: Iterable[Any]) -> bytes:
    packer = zlib.compressobj(1)
    return b"".join([*(packer.compress(row) for row in rows), packer.flush()])


def _temporary() -> str:
    """Name of a file that is not finished: `segments --sweep` removes it once this process is dead."""
    who = my_identity()
    return f".new-{who.pid}-{who.start_time}-{SECOND_NS + next(_MADE)}"  # a segment's own numbers begin at 0


def _rename(directory: Directory, old: str, new: str) -> None:
    try:
        directory.rename(old, new)
    except OSError as error:
        raise storage_error(error, f"name {new} in {directory.path}") from None
