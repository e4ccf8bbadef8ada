"""Followers: the reading side of shared memory. Whole groups out of a ring, and exact books out of groups and images.

    ring ─► GroupReader ─► whole groups ─► a Reconstructor per book ─► the writer's book, in this process
    image ─────────────────────────────────────┘ (to join, and after a lap)

The loop of a reader:

    follower = SetFollower(directory, "kraken")
    while True:
        polled = follower.poll(clock.monotonic_ns())  # nothing new: polled.record_count == 0, wait in the way you like
        for symbol, book in follower.books.items():  # each a Reconstructor: .book, .version, .is_cold
            …

*Joining*: the reader's place in the ring is never ahead of an image copied later, so groups up to the image's version are skipped
and the next one continues it. Where each copy is overtaken, the reader asks the writer for a checkpoint; until that exists, the
book's records are kept, so that the groups that continue the checkpoint are still at hand when it comes. *Laps*: records were
overwritten before they were read. A book is not LIVE again before its image was found at the same version and state, or was loaded.
*Restart*: when the ring has ended and a successor has its name, that one is read from its first record.
"""

from collections import Counter, defaultdict
from collections.abc import Collection

from alphapulse_cli.book.reconstruct import ColdReason, Reconstructor
from alphapulse_cli.flow.groups import POLL_RECORDS, GroupReader, Polled, Start
from alphapulse_cli.flow.images import BookImages, Image, SharedImages
from alphapulse_cli.market.trading_status import TradingStatus, trading_status
from alphapulse_cli.shm.directory import Directory
from alphapulse_cli.shm.layout import ALIVE, ImageCopy, SegmentKind
from alphapulse_cli.shm.ring import RingReader
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.delta import BookReason, BookState

KEY = slice(delta.offsets()["symbol"], delta.offsets()["version"])  # symbol and exchange: the key of a record's book
KEY_WORDS = range(KEY.start // 8, KEY.stop // 8)
RECORD_WORDS = delta.DELTA_BYTES // 8
VERSION_AT = delta.offsets()["version"]
COPY_TRIES = 3
KEPT_BYTES = (
    32_768 * delta.DELTA_BYTES
)  # most bytes of records kept for one book's checkpoint; beyond that all are dropped, and another checkpoint is requested
DISCOVER_EVERY_NS = 1_000_000_000
KEPT_KEYS = 8192  # most cached keys; beyond that the cache is emptied


class SetFollower:
    """All books of one set, or those of `symbols`, kept exact in this process. NoSegment if the set does not exist.

    `images` is the source of book images, shared memory by default. `joins` counts images loaded, `breaks` by symbol the reasons
    for which its replica went cold, `damaged` the images that hold no valid book.
    """

    def __init__(
        self,
        directory: Directory,
        set_name: str,
        symbols: Collection[str] | None = None,
        start: Start = "now",
        label: str = "",
        images: BookImages | None = None,
    ) -> None:
        self.set_name = set_name
        self.books: dict[str, Reconstructor] = {}
        self.groups = GroupReader(directory, set_name, SegmentKind.DELTAS, start, label, acknowledges=True)
        self.joins = 0
        self.breaks: defaultdict[str, Counter[ColdReason]] = defaultdict(Counter)
        self.damaged: Counter[str] = Counter()
        self._former_checks: defaultdict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
        self._images = images or SharedImages(directory, set_name)
        self._symbols = None if symbols is None else frozenset(symbols)
        self._by_key: dict[bytes, Reconstructor | None] = {}
        self._passed: dict[str, int] = {}  # symbol -> version of the last group seen while its book was cold
        self._waiting: dict[str, bytearray] = {}  # symbol -> records since its checkpoint was requested
        self._unproved: set[str] = set()  # symbols whose records may be among the missed ones
        self._discover_after_ns = 0
        self._missed_before = 0  # sequence after the last missed record
        self._refused: dict[str, int] = {}  # symbol -> seq of an invalid image, which is not read again
        self.discover()
        self.join()

    @property
    def ring(self) -> RingReader:
        """Ring that is read now: another one after a restart."""
        return self.groups.reader

    @property
    def exchange(self) -> str:
        """Exchange of the set."""
        return self.groups.segment.spec.exchange

    def poll(self, monotonic_ns: int, limit: int = POLL_RECORDS) -> Polled:
        """Read and apply new records, and join cold books. A Reconstructor never shows half a group."""
        polled = self.fetch(monotonic_ns, limit)
        if polled.record_count:
            self._apply(polled.records, polled.record_count)
        self.join()
        self.groups.acknowledge()
        return polled

    def fetch(self, monotonic_ns: int, limit: int = POLL_RECORDS) -> Polled:
        """Read without applying: the first third of a `poll`.

        It is for callers that look at the books after each group (`flow.merged`), and then call `join` and `groups.acknowledge`.
        """
        polled = self.groups.poll(monotonic_ns, limit)
        if monotonic_ns >= self._discover_after_ns:
            self._discover_after_ns = monotonic_ns + DISCOVER_EVERY_NS
            self.discover()
        if polled.restarted:
            self._start_over()
        if polled.missed:
            self._missed_before = polled.first
            self.discover()
            self._unproved.update(self.books)
            self._waiting.clear()
            for book in self.books.values():
                book.missed()
        return polled

    def take(self, polled: Polled, start: int, count: int) -> Reconstructor | None:
        """Apply one whole group of the fetched records; its book, None if it is not followed.

        Call it once for each group, in order.
        The group is `count` records from record `start` on.
        """
        at = start * delta.DELTA_BYTES
        key = bytes(polled.records[at + KEY.start : at + KEY.stop])
        self._apply_run(key, polled.records, start, count)
        return self._by_key[key]

    def _start_over(self) -> None:
        """Start again after a restart of the writer: its books begin at version 1, from new images."""
        for symbol in self.books:
            self._former_checks[symbol] = self.checks(symbol)
        self.books.clear()
        self._by_key.clear()
        self._passed.clear()
        self._waiting.clear()
        self._unproved.clear()
        self._refused.clear()
        self._missed_before = 0
        self.discover()

    def checks(self, symbol: str) -> tuple[int, int]:
        """Numbers of CHECKs that the book's replica passed and failed, over all restarts."""
        ok, bad = self._former_checks[symbol]
        book = self.books.get(symbol)
        return (ok, bad) if book is None else (ok + book.checks_ok, bad + book.checks_bad)

    @property
    def checks_ok(self) -> int:
        """Number of CHECKs passed by replicas, over all books and restarts."""
        return sum(self.checks(symbol)[0] for symbol in {*self.books, *self._former_checks})

    @property
    def checks_bad(self) -> int:
        """Number of CHECKs failed by replicas, over all books and restarts; each was joined again from its image."""
        return sum(self.checks(symbol)[1] for symbol in {*self.books, *self._former_checks})

    def _apply(self, records: memoryview, count: int) -> None:
        """Apply the records book by book; the order between two books is not kept."""
        names = records.cast("Q")
        places: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)
        for index, name in enumerate(zip(*(names[word::RECORD_WORDS].tolist() for word in KEY_WORDS), strict=True)):
            places[name].append(index)
        for found in places.values():
            at = found[0] * delta.DELTA_BYTES
            key = bytes(records[at + KEY.start : at + KEY.stop])
            if len(found) == count:
                self._apply_run(key, records, 0, count)
            elif found[-1] - found[0] + 1 == len(found):
                self._apply_run(key, records, found[0], len(found))
            else:
                size = delta.DELTA_BYTES
                self._apply_run(key, bytearray().join([records[size * i : size * i + size] for i in found]), 0, len(found))

    def _apply_run(self, key: bytes, records: memoryview | bytearray, start: int, count: int) -> None:
        if key not in self._by_key:
            if len(self._by_key) >= KEPT_KEYS:
                self._by_key.clear()
            self._by_key[key] = self._book_of(key)
        book = self._by_key[key]
        if book is None:
            return
        waiting = self._waiting.get(book.symbol)
        if waiting is None:
            self._take(book, records, start, count)
        else:
            waiting += records[start * delta.DELTA_BYTES : (start + count) * delta.DELTA_BYTES]
            if len(waiting) > KEPT_BYTES:
                self._pass_by(book.symbol, waiting, len(waiting) // delta.DELTA_BYTES)
                waiting.clear()

    def _take(self, book: Reconstructor, records: memoryview | bytearray, start: int, count: int) -> None:
        was_cold = book.is_cold
        book.apply(records, start, count)
        if book.is_cold:
            if not was_cold:
                self.breaks[book.symbol][book.why] += 1
            self._pass_by(book.symbol, records, start + count)

    def _pass_by(self, symbol: str, records: memoryview | bytearray, end: int) -> None:
        """Note groups that a book will never get: only an image that contains them can join it."""
        at = (end - 1) * delta.DELTA_BYTES + VERSION_AT
        self._passed[symbol] = int.from_bytes(records[at : at + 8], "little")

    def _book_of(self, key: bytes) -> Reconstructor | None:
        """Book of a key; None if it is not followed.

        A key without an image gives None too: every writer of alphapulse makes the image before the records.
        """
        symbol = key[:16].rstrip(b"\0").decode("latin-1")
        if symbol not in self.books:
            self.discover()
        return self.books.get(symbol)

    def discover(self) -> None:
        """Take in new books by their images.

        `fetch` does so once a second: a book without a change yet has no record in the ring.
        """
        for symbol in self._images.symbols():
            if symbol not in self.books and (self._symbols is None or symbol in self._symbols):
                self.books[symbol] = Reconstructor(self.exchange, symbol)

    def join(self, until_ns: int | None = None) -> None:
        """Join books that are cold, or unproved since a lap: the last third of a `poll`. No image of a later time than `until_ns`."""
        for symbol, book in self.books.items():
            if book.is_cold or symbol in self._unproved:
                self._join(symbol, book, until_ns)

    def _join(self, symbol: str, book: Reconstructor, until_ns: int | None) -> None:
        """Load the image, unless the replica is at its version.

        Without an image of this epoch, or a whole copy of it, do nothing.
        """
        reader = self._images.image(symbol, self.groups.segment.epoch)
        if reader is None:
            return
        if not book.is_cold:
            words = reader.peek()
            ours = (book.version, book.book_state, book.reason, book.trading_status)
            if words is not None and (words.version, words.state, words.reason, words.trading_status) == ours:
                self._resume(symbol, book)
                return
        image = reader.copy(COPY_TRIES) or self._checkpoint(symbol, reader)
        if image is None or self._refused.get(symbol) == image.seq or (until_ns is not None and image.timestamp_ns > until_ns):
            return
        try:
            loaded = book.load(
                image.version,
                image.price_decimals,
                image.size_decimals,
                image.state,
                image.bids,
                image.asks,
                book_hash=image.book_hash,
                reason=image.reason,
                timestamp_ns=image.timestamp_ns,
                trading_status=image.trading_status,
            )
        except ValueError:  # invalid sides
            loaded = False
        if loaded:
            self.joins += 1
            self._resume(symbol, book)
        else:
            self.damaged[symbol] += 1
            self._refused[symbol] = image.seq

    def _resume(self, symbol: str, book: Reconstructor) -> None:
        """Note that the book equals its image, and apply the records kept since."""
        self._unproved.discard(symbol)
        waiting = self._waiting.pop(symbol, None)
        if waiting:
            self._take(book, waiting, 0, len(waiting) // delta.DELTA_BYTES)

    def _checkpoint(self, symbol: str, reader: Image) -> ImageCopy | None:
        """Checkpoint of a book that changes faster than it can be copied; None, after requesting one, where no usable one exists.

        A checkpoint older than a group that was passed by, or than missed records, is of no use: no group to come would continue
        it.
        """
        image = reader.copy_checkpoint()
        if (
            image is not None
            and image.version >= max(self._passed.get(symbol, 0), self.books[symbol].version)
            and image.ring_position >= self._missed_before
        ):
            return image
        if self._images.request(symbol):
            self._waiting.setdefault(symbol, bytearray())
        return None

    def state(self, symbol: str, monotonic_ns: int) -> tuple[BookState, BookReason]:
        """State and reason of a book for display: LIVE only if its writer is alive and says so, and the replica is whole."""
        book = self.books[symbol]
        if not self.groups.is_live(monotonic_ns):
            return BookState.STALE, BookReason.RETIRED if self.groups.segment.sealed != ALIVE else BookReason.SILENT
        if book.is_cold or symbol in self._unproved:
            return BookState.SYNCING, BookReason.STARTING
        return states_of(book.book_state, book.reason)

    def trading_status(self, symbol: str) -> TradingStatus | None:
        """Trading status of that market, the writer's last; None if the writer does not report it."""
        return trading_status(self.books[symbol].trading_status)

    def is_whole(self, symbol: str) -> bool:
        """Whether the replica equals the writer's book at its version: neither cold nor unproved since a lap."""
        return not self.books[symbol].is_cold and symbol not in self._unproved

    def close(self) -> None:
        """Remove the cursor file."""
        self.groups.close()


def states_of(state: int, reason: int) -> tuple[BookState, BookReason]:
    """State and reason of the numbers in a record or an image; unknown numbers count as COLD, NONE."""
    known = state in BookState._value2member_map_ and reason in BookReason._value2member_map_
    return (BookState(state), BookReason(reason)) if known else (BookState.COLD, BookReason.NONE)
