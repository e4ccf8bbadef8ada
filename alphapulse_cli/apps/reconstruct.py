"""Books rebuilt in this process from images and deltas: shown, watched, or proved.

    SetFollower of each set ─► Reconstructor of each book ─► BookView for a person      CHECKs, image, exchange's checksum ─► Proof

A *proof* is three independent things: the replica passed the writer's CHECKs (hash and level counts, at least one), it equals the
writer's image level for level at one version, and the exchange's own checksum, where there is one, did not last say "bad".
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from alphapulse_cli.book.reconstruct import Reconstructor
from alphapulse_cli.book.views import spread_bps
from alphapulse_cli.errors import NoSegment, SegmentError, StorageError
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import CountersReader
from alphapulse_cli.shm.directory import Directory, parse_segment_name, segment_name
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.layout import ImageCopy, Kind
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.wire.delta import BookReason, BookState, ChecksumState

JOIN_TRIES = 200
IMAGE_TRIES = 2000
POLL_PAUSE_S = 0.001
COPY_TRIES = 16

Pause = Callable[[float], None]


@dataclass(slots=True)
class BookView:
    """One book at one version. Levels are exact (price, size) text, best first; counts are those of the whole book."""

    set_name: str
    exchange: str
    symbol: str
    state: BookState
    reason: BookReason
    version: int
    timestamp_ns: int
    price_decimals: int
    size_decimals: int
    bid_levels: int
    ask_levels: int
    spread_bps: float | None
    missed: int
    bids: list[tuple[str, str]] = field(default_factory=list)
    asks: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Proof:
    """What could be shown of one book. `verdict` is proved, unproved (nothing wrong, but not all was seen) or FAILED."""

    set_name: str
    exchange: str
    symbol: str
    state: BookState
    version: int
    levels: int
    checks_ok: int
    checks_bad: int
    image_equal: bool | None  # None: never seen at the replica's own version
    exchange_checksum: ChecksumState
    gaps: int
    missed: int

    @property
    def verdict(self) -> str:
        """In one word."""
        if self.checks_bad or self.image_equal is False or self.exchange_checksum is ChecksumState.BAD:
            return "FAILED"
        return "proved" if self.checks_ok and self.image_equal else "unproved"


class Books:
    """The books of these sets (or all there are), of these symbols (or all). NoSegment if there is none of them."""

    def __init__(self, directory: Directory, names: Collection[str] = (), symbols: Collection[str] = ()) -> None:
        self._directory = directory
        wanted = symbols_of_sets(symbols)
        self.followers: list[SetFollower] = []
        for name in set_names(directory, names):
            chosen = wanted(name)
            if chosen is None or chosen:
                self.followers.append(SetFollower(directory, name, chosen))
        if not any(follower.books for follower in self.followers):
            asked = " ".join([*names, *symbols])
            raise NoSegment(
                f"no book of {asked}" if asked else "no book is collected here", "see what is there: alphapulse segments"
            )

    def poll(self) -> int:
        """Read what is new; how many records."""
        return sum(follower.poll().record_count for follower in self.followers)

    def join(self, pause: Pause) -> None:
        """Wait, a moment at most, until every book has its first image."""
        for _ in range(JOIN_TRIES):
            self.poll()
            if not any(replica.is_cold for _, replica in self.replicas()):
                return
            pause(POLL_PAUSE_S)

    def replicas(self) -> Iterator[tuple[SetFollower, Reconstructor]]:
        """Each book with the follower that keeps it, by symbol, then set."""
        pairs = [(follower, replica) for follower in self.followers for replica in follower.books.values()]
        return iter(sorted(pairs, key=lambda pair: (pair[1].symbol, pair[0].set_name)))

    def views(self, depth: int | None) -> list[BookView]:
        """All books as they are now, the best `depth` levels a side (None: all)."""
        now = clock.monotonic_ns()
        return [view_of(follower, replica, depth, now) for follower, replica in self.replicas()]

    def proofs(self, pause: Pause) -> list[Proof]:
        """Compare each replica with its writer's image, and say what all was seen since the beginning."""
        return [self._proof(follower, symbol, pause) for follower in self.followers for symbol in sorted(follower.books)]

    def _proof(self, follower: SetFollower, symbol: str, pause: Pause) -> Proof:
        equal = self._image_equal(follower, symbol, pause)
        replica = follower.books[symbol]
        state, _ = follower.state(symbol, clock.monotonic_ns())
        gaps = 0
        with suppress(SegmentError, StorageError):
            counters = CountersReader(Segment.attach(self._directory, segment_name(Kind.COUNTERS, follower.set_name)))
            gaps = counters.blocks().get(symbol, {}).get("gaps", 0)
        return Proof(
            follower.set_name,
            follower.exchange,
            symbol,
            state,
            replica.version,
            replica.book.bid_count + replica.book.ask_count,
            replica.checks_ok,
            replica.checks_bad,
            equal,
            ChecksumState(replica.exchange_checksum),
            gaps,
            follower.groups.missed,
        )

    def _image_equal(self, follower: SetFollower, symbol: str, pause: Pause) -> bool | None:
        """Whether image and replica are the same at one version; None if they never met at one."""
        try:
            image_reader = ImageReader(Segment.attach(self._directory, segment_name(Kind.BOOK, follower.set_name, symbol)))
        except (SegmentError, StorageError):
            return None
        for _ in range(IMAGE_TRIES):
            if not follower.poll().record_count:
                image = image_reader.copy(COPY_TRIES)
                replica = follower.books.get(symbol)
                if image is not None and replica is not None and not replica.is_cold and image.version == replica.version:
                    return same_levels(replica, image)
                pause(POLL_PAUSE_S)
        return None


def set_names(directory: Directory, names: Collection[str]) -> list[str]:
    """The sets that have a delta ring and are asked for, by their own name or their exchange's; all of them for ()."""
    found = []
    for file in directory.names():
        parsed = parse_segment_name(file)
        if parsed is None or parsed[0] is not Kind.DELTAS:
            continue
        name = parsed[1]
        if not names or name in names:
            found.append(name)
            continue
        with suppress(SegmentError, StorageError):
            if Segment.attach(directory, file).spec.exchange in names:
                found.append(name)
    return sorted(found)


def symbols_of_sets(symbols: Collection[str]) -> Callable[[str], set[str] | None]:
    """Set name -> its symbols among "BTC-USD" (of every set) and "kraken:BTC-USD" (of that one); None for all, if none is named."""

    def of(name: str) -> set[str] | None:
        if not symbols:
            return None
        split = (symbol.rpartition(":") for symbol in symbols)
        return {symbol for set_name, _, symbol in split if not set_name or set_name == name}

    return of


def view_of(follower: SetFollower, replica: Reconstructor, depth: int | None, monotonic_ns: int) -> BookView:
    """The replica as text."""
    book = replica.book
    state, reason = follower.state(replica.symbol, monotonic_ns)
    prices, sizes = book.price_decimals, book.size_decimals
    spread = spread_bps(book)
    return BookView(
        follower.set_name,
        follower.exchange,
        replica.symbol,
        state,
        reason,
        replica.version,
        replica.timestamp_ns,
        prices,
        sizes,
        book.bid_count,
        book.ask_count,
        None if spread is None else float(spread),
        follower.groups.missed,
        [(to_text(ticks, prices), to_text(lots, sizes)) for ticks, lots in book.bids(depth)],
        [(to_text(ticks, prices), to_text(lots, sizes)) for ticks, lots in book.asks(depth)],
    )


def same_levels(replica: Reconstructor, image: ImageCopy) -> bool:
    """Level for level, grid and hash too."""
    book = replica.book
    return (
        (book.price_decimals, book.size_decimals) == (image.price_decimals, image.size_decimals)
        and book.book_hash == image.book_hash
        and book.bids() == _best_first(image.bids)
        and book.asks() == _best_first(image.asks)
    )


def _best_first(side: bytes) -> list[tuple[int, int]]:
    words: Sequence[int] = memoryview(side).cast("q")
    return [(words[at], words[at + 1]) for at in range(len(words) - 2, -1, -2)]
