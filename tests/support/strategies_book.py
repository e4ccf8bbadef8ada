"""Hypothesis strategies for books, the ten-line model that they are compared with, and a writer that makes their delta stream."""

import struct
from dataclasses import dataclass, field

from hypothesis import strategies as st

from alphapulse_cli.book.book import Book
from alphapulse_cli.market.levels import Levels
from alphapulse_cli.wire.batch import Batch
from alphapulse_cli.wire.delta import BookState, ChecksumState, RecordKind

SYMBOL, EXCHANGE = "BTC-USD", "kraken"
PRICE_DECIMALS, SIZE_DECIMALS = 2, 8
MASK64 = (1 << 64) - 1

# Most prices are few and close, so that levels meet again; some are the stub orders of real full-depth books.
prices = st.integers(90, 130) | st.sampled_from([0, 1, 10**13, 10**13 + 1, (1 << 63) - 1])
sizes = st.integers(0, 4) | st.sampled_from([0, 10**8, (1 << 62) - 1])
level = st.tuples(prices, sizes, st.booleans())
level_lists = st.lists(level, max_size=40)
depths = st.none() | st.integers(1, 6)


@dataclass(frozen=True)
class Message:
    """What an exchange says of a book: all of it or changes, then perhaps a cut to depth."""

    is_snapshot: bool
    levels: list[tuple[int, int, bool]]
    depth: int | None


messages = st.builds(Message, st.booleans(), level_lists, depths)
histories = st.lists(messages, min_size=1, max_size=12)


def to_levels(rows, price_decimals=PRICE_DECIMALS, size_decimals=SIZE_DECIMALS):
    """The rows (ticks, lots, is_ask) as Levels."""
    levels = Levels(price_decimals, size_decimals)
    for ticks, lots, is_ask in rows:
        levels.add(ticks, lots, is_ask)
    return levels


class Model:
    """The whole understanding of a book, slowly: {(is_ask, ticks): lots}."""

    def __init__(self):
        self.lots = {}

    def take(self, message):
        if message.is_snapshot:
            self.lots.clear()
        for ticks, lots, is_ask in message.levels:
            self.lots[is_ask, ticks] = lots
            if not lots:
                del self.lots[is_ask, ticks]
        if message.depth is not None:
            kept = [(False, ticks) for ticks, _ in self.bids()[: message.depth]] + [
                (True, t) for t, _ in self.asks()[: message.depth]
            ]
            self.lots = {key: self.lots[key] for key in kept}

    def bids(self):
        return sorted(((ticks, lots) for (is_ask, ticks), lots in self.lots.items() if not is_ask), reverse=True)

    def asks(self):
        return sorted((ticks, lots) for (is_ask, ticks), lots in self.lots.items() if is_ask)

    def hash(self):
        return book_hash((ticks, lots, is_ask) for (is_ask, ticks), lots in self.lots.items())


def mix(value):
    """splitmix64, written a second time."""
    value = value + 0x9E3779B97F4A7C15 & MASK64
    value = (value ^ value >> 30) * 0xBF58476D1CE4E5B9 & MASK64
    value = (value ^ value >> 27) * 0x94D049BB133111EB & MASK64
    return value ^ value >> 31


def book_hash(rows):
    """The book hash of (ticks, lots, is_ask) rows, as design.md says it."""
    return sum(mix(mix(2 * ticks + is_ask & MASK64) + lots & MASK64) for ticks, lots, is_ask in rows) & MASK64


def side_bytes(best_first):
    """A side as the image keeps it: worst first."""
    return b"".join(struct.pack("<qq", *one) for one in reversed(best_first))


def assert_same(book, model):
    """The book is the model's, level for level and in its hash."""
    assert book.bids() == model.bids()
    assert book.asks() == model.asks()
    assert book.book_hash == model.hash()


@dataclass
class Picture:
    """The book at one version, and where in the stream that version's group ends."""

    version: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]
    book_hash: int
    position: int

    def load_into(self, replica):
        return replica.load(
            self.version,
            PRICE_DECIMALS,
            SIZE_DECIMALS,
            BookState.LIVE,
            side_bytes(self.bids),
            side_bytes(self.asks),
            self.book_hash,
        )


@dataclass
class Writer:
    """Keeps a book and its stream of records, with a CHECK and another book's record after each group, and a picture of each version."""

    book: Book = field(default_factory=lambda: Book(PRICE_DECIMALS, SIZE_DECIMALS))
    batch: Batch = field(default_factory=lambda: Batch(SYMBOL, EXCHANGE, PRICE_DECIMALS, SIZE_DECIMALS))
    other: Batch = field(default_factory=lambda: Batch("ETH-USD", EXCHANGE, PRICE_DECIMALS, SIZE_DECIMALS))

    def __post_init__(self):
        self.model = Model()
        self.stream = bytearray()
        self.version = 0
        self.pictures = [self.picture()]

    def picture(self):
        return Picture(self.version, self.model.bids(), self.model.asks(), self.model.hash(), len(self.stream) // 256)

    def publish(self, batch, count):
        self.stream += bytes(memoryview(batch.records)[: 256 * count])

    def take(self, message):
        """The message's group, if it changes anything: one version."""
        self.batch.clear()
        levels = to_levels(message.levels)
        if message.is_snapshot:
            self.book.replace(levels, self.batch)
        else:
            self.book.apply(levels, self.batch)
        if message.depth is not None:
            self.book.cut(message.depth, self.batch)
        self.model.take(message)
        if not self.batch.change_count:
            return
        self.version += 1
        self.publish(
            self.batch,
            self.batch.finish(RecordKind.DELTA, 1000 + self.version, self.version, self.version - 1, self.version, False),
        )
        self.pictures.append(self.picture())
        self.other.clear()
        self.other.append(1, 1)
        self.publish(self.other, self.other.finish(RecordKind.DELTA, 1, 1, 0, 0, False))
        self.check()

    def check(self, state=BookState.LIVE):
        model = self.model
        count = self.batch.check(
            1, self.version, self.book.book_hash, len(model.bids()), len(model.asks()), ChecksumState.NONE, state
        )
        self.publish(self.batch, count)
