"""Books rebuilt in this process from image and deltas: shown once, watched, or proved.

    image ─► replica ◄─ deltas       every second a CHECK of the writer's: same hash, same counts        (checks ok, bad)
       └──────── level for level at the same version, at the end ────────┘                               (image compared)
                                     and the last verdict of the exchange's own checksum                  (checksums ok, bad)

A book is *proved* if at least one CHECK agreed, its replica equals its image, and no evidence is against it. It has *failed* if a
CHECK, the image, the chain of versions or the exchange's checksum disagreed, which never happens in normal operation, lost records
included.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from typing import Any

from alphapulse_cli.book.book import Book
from alphapulse_cli.book.reconstruct import ColdReason, Reconstructor
from alphapulse_cli.book.views import spread_bps
from alphapulse_cli.errors import NoSegment, SegmentError, StorageError
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.flow.groups import Start
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.readers.moments import age_ms, moment
from alphapulse_cli.readers.selection import Wanted, no_such_book, settled
from alphapulse_cli.readers.sets import Observe, SetReaders
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import CountersReader
from alphapulse_cli.shm.directory import Directory, segment_name
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.shm.segment import Segment
from alphapulse_cli.wire.delta import BookReason, BookState, ChecksumState

SETTLE_S = 2.0  # for replicas to be whole: a checkpoint, a resync
WAIT_S = 0.05
COMPARE_TRIES = 200
WRONG = (ColdReason.CHAIN_BROKEN, ColdReason.GROUP_WITHOUT_FIRST, ColdReason.CHECK_FAILED)


@dataclass(frozen=True, slots=True)
class View:
    """State of a book now. Levels are (price, size, cumulative size) in exact decimal text, best first."""

    set_name: str
    exchange: str
    symbol: str
    state: BookState
    reason: BookReason
    trading_status: TradingStatus | None  # which orders the market takes; None if its writer does not say
    version: int
    timestamp_ns: int
    age_ms: float | None  # time since the last message that changed or confirmed it
    bid_levels: int
    ask_levels: int
    spread: str  # "" for a one-sided book
    spread_bps: float | None
    bids: list[tuple[str, str, str]]
    asks: list[tuple[str, str, str]]
    replay: bool = False  # a replay writes the set

    @property
    def id(self) -> str:
        """Name of the book, as in logs: set:symbol."""
        return f"{self.set_name}:{self.symbol}"

    def row(self) -> dict[str, Any]:
        """Row by the keys of its JSON object; levels are [price, size]."""
        return {
            "set": self.set_name,
            "exchange": self.exchange,
            "symbol": self.symbol,
            "state": self.state.name,
            "reason": self.reason.name,
            "trading_status": None if self.trading_status is None else self.trading_status.name,
            "version": self.version,
            "time": moment(self.timestamp_ns, digits=9) if self.timestamp_ns else None,
            "timestamp_ns": self.timestamp_ns,
            "bid_levels": self.bid_levels,
            "ask_levels": self.ask_levels,
            "spread": self.spread,
            "bids": [level[:2] for level in self.bids],
            "asks": [level[:2] for level in self.asks],
            **({"replay": True} if self.replay else {}),
        }


class Books:
    """Replicas of all wanted books of all wanted sets. NoSegment if there is no such set, or no book of a wanted symbol."""

    def __init__(
        self, directory: Directory, wanted: Wanted, how: str = "wake", label: str = "reconstruct", observe: Observe | None = None
    ) -> None:
        self._wanted = wanted = settled(directory, wanted)

        def attach(name: str, exchange: str, _: Start) -> SetFollower:
            return SetFollower(directory, name, wanted.symbols_of(name, exchange), label=label)

        self._sets = SetReaders(directory, wanted, attach, how=how, observe=observe)
        there = {symbol for follower in self.followers for symbol in follower.books}
        missing = [symbol for _, symbol in wanted.symbols if symbol not in there]
        if missing or not there:
            raise no_such_book(directory, [one.set_name for one in self.followers], missing or ["any symbol"])

    @property
    def followers(self) -> list[SetFollower]:
        """The followers, one for each set, in the order in which they were found."""
        return list(self._sets.readers.values())

    def poll(self) -> int:
        """Attach to new sets and apply new records; returns the number of records."""
        now = clock.monotonic_ns()
        self._sets.look(now)
        return sum(follower.poll(now).record_count for follower in self.followers)

    def wait(self, timeout_s: float) -> bool:
        """Wait until there may be more records; False after `timeout_s` seconds."""
        return self._sets.wait(timeout_s)

    def settle(self, limit_s: float = SETTLE_S) -> None:
        """Poll until no replica is behind or cold, at most `limit_s` seconds."""
        end = clock.monotonic_ns() + int(limit_s * 1e9)
        while self.poll() or any(book.is_cold for one in self.followers for book in one.books.values()):
            left_ns = end - clock.monotonic_ns()
            if left_ns <= 0:
                return
            self.wait(min(left_ns / 1e9, WAIT_S))

    def all(self) -> Iterator[tuple[SetFollower, str, Reconstructor]]:
        """Iterate over all books: (follower of the set, symbol, replica)."""
        for follower in self.followers:
            for symbol in sorted(follower.books):
                yield follower, symbol, follower.books[symbol]

    def views(self, depth: int | None) -> list[View]:
        """Views of all books now, with the best `depth` levels of each side (all for None)."""
        now = clock.monotonic_ns()
        return [view_of(follower, symbol, replica, depth, now) for follower, symbol, replica in self.all()]

    def changes(self, depth: int | None, count: int | None = None, duration_s: float | None = None) -> Iterator[View | None]:
        """Iterate over views: each book at first, and again when its version or state changes; None means "no more for now"."""
        seen: dict[str, tuple[object, ...]] = {}
        left = count

        def read(now: int) -> list[View]:
            for follower in self.followers:
                follower.poll(now)
            fresh: list[View] = []
            for follower, symbol, replica in self.all():
                state = (follower.groups.segment.epoch, replica.version, replica.trading_status, *follower.state(symbol, now))
                if seen.get(f"{follower.set_name}:{symbol}") != state:
                    seen[f"{follower.set_name}:{symbol}"] = state
                    fresh.append(view_of(follower, symbol, replica, depth, now))
            return fresh

        for view in self._sets.items(read, duration_s, WAIT_S):
            yield view
            if view is not None and left is not None:
                left -= 1
                if left == 0:
                    return

    def leave_out(self, follower: SetFollower) -> None:
        """Stop reading a set, for good."""
        self._sets.drop(follower.set_name, for_good=True)

    def close(self) -> None:
        """Remove the cursors."""
        self._sets.close()


def view_of(follower: SetFollower, symbol: str, replica: Reconstructor, depth: int | None, now: int) -> View:
    """View of a replica."""
    state, reason = follower.state(symbol, now)
    book = replica.book
    bid, ask, bps = book.best_bid(), book.best_ask(), spread_bps(book)
    return View(
        follower.set_name,
        follower.exchange,
        symbol,
        state,
        reason,
        follower.trading_status(symbol),
        replica.version,
        replica.timestamp_ns,
        age_ms(replica.timestamp_ns, follower.groups.now_ns()),
        book.bid_count,
        book.ask_count,
        to_text(ask[0] - bid[0], book.price_decimals) if bid and ask else "",
        None if bps is None else float(bps),
        level_rows(book, book.bids(depth)),
        level_rows(book, book.asks(depth)),
        follower.groups.is_replay,
    )


def level_rows(book: Book, levels: list[tuple[int, int]]) -> list[tuple[str, str, str]]:
    """Rows of (price, size, cumulative size) in exact decimal text."""
    total, made = 0, []
    for ticks, lots in levels:
        total += lots
        made.append((to_text(ticks, book.price_decimals), to_text(lots, book.size_decimals), to_text(total, book.size_decimals)))
    return made


class ProofVerdict(Enum):
    """Verdict of a book's proof."""

    PROVED = "proved"
    UNPROVED = "unproved"
    FAILED = "FAILED"


@dataclass(slots=True)
class Proof:
    """Proof of one book: a row of `--verify`."""

    set_name: str
    exchange: str
    symbol: str
    state: BookState
    version: int
    levels: int
    checks_ok: int
    checks_bad: int
    image: str  # "equal", "different", "damaged", or "not compared"
    checksums_ok: int  # good checksums of the exchange during the proof
    checksums_bad: int
    gaps: int  # gaps in the exchange's feed during the proof
    laps: int  # records of the set that were overwritten before they were read
    verdict: ProofVerdict = ProofVerdict.UNPROVED
    why: str = ""
    replay: bool = False  # a replay writes the set

    def row(self) -> dict[str, Any]:
        """Row by the keys of its JSON object."""
        names = ("set_name", "exchange", "symbol", "version", "levels", "checks_ok", "checks_bad", "image")
        numbers = ("checksums_ok", "checksums_bad", "gaps", "laps", "why")
        row = {name.replace("set_name", "set"): getattr(self, name) for name in (*names, *numbers)}
        return {**row, "state": self.state.name, "verdict": self.verdict.value, **({"replay": True} if self.replay else {})}


def verify(
    directory: Directory, wanted: Wanted, duration_s: float, left_out: Callable[[str], None], how: str = "wake"
) -> list[Proof]:
    """Prove every wanted book for `duration_s` seconds. NoSegment if no wanted set has a live collector.

    `left_out` is called with the name of each set without one.
    """
    books = Books(directory, wanted, how, "reconstruct --verify")
    try:
        now = clock.monotonic_ns()
        for follower in [one for one in books.followers if not one.groups.is_live(now)]:
            books.leave_out(follower)
            left_out(follower.set_name)
        if not books.followers:
            raise NoSegment(f"no collector is running in {directory.path}: nothing can be proved", "alphapulse segments")
        before = {one.set_name: counted(directory, one.set_name) for one in books.followers}
        end = now + int(duration_s * 1e9)
        while clock.monotonic_ns() < end:
            books.poll()
            books.wait(min(WAIT_S, max(end - clock.monotonic_ns(), 0) / 1e9))
        return [prove(directory, follower, symbol, before.get(follower.set_name, {})) for follower, symbol, _ in list(books.all())]
    finally:
        books.close()


def counted(directory: Directory, set_name: str) -> dict[str, dict[str, int]]:
    """Counters of a set by symbol now; none where they cannot be read."""
    with suppress(SegmentError, StorageError):
        return CountersReader(Segment.attach(directory, segment_name(SegmentKind.COUNTERS, set_name))).blocks()
    return {}


def prove(directory: Directory, follower: SetFollower, symbol: str, before: dict[str, dict[str, int]]) -> Proof:
    """Prove one book of a follower that has polled for a while; `before` are the set's counters at the beginning."""
    image = _compare(directory, follower, symbol)
    replica, state = follower.books[symbol], follower.state(symbol, clock.monotonic_ns())[0]
    now, old = counted(directory, follower.set_name).get(symbol, {}), before.get(symbol, {})

    def since(name: str) -> int:
        after = now.get(name, 0)
        return after - old.get(name, 0) if after >= old.get(name, 0) else after  # a new collector counts from 0

    ok, bad = follower.checks(symbol)
    proof = Proof(
        follower.set_name,
        follower.exchange,
        symbol,
        state,
        replica.version,
        replica.book.bid_count + replica.book.ask_count,
        ok,
        bad,
        image,
        since("checksums_ok"),
        since("checksums_bad"),
        since("gaps"),
        follower.groups.missed,
        replay=follower.groups.is_replay,
    )
    proof.verdict, proof.why = _judged(proof, follower, replica)
    return proof


def _judged(proof: Proof, follower: SetFollower, replica: Reconstructor) -> tuple[ProofVerdict, str]:
    broken = [why.name.lower().replace("_", " ") for why in WRONG if follower.breaks[proof.symbol][why]]
    if broken:
        return ProofVerdict.FAILED, ", ".join(broken)
    if proof.checks_bad:
        return ProofVerdict.FAILED, "check failed"
    if proof.image in ("different", "damaged"):
        return ProofVerdict.FAILED, f"image {proof.image}"
    if replica.exchange_checksum == ChecksumState.BAD and proof.state is BookState.LIVE:
        return ProofVerdict.FAILED, "LIVE, though the exchange's checksum disagrees"
    if proof.image == "not compared":
        return ProofVerdict.UNPROVED, "image could not be compared"
    if not proof.checks_ok:
        reason = "no CHECK came" if proof.state is BookState.LIVE else f"{proof.state.name}: no CHECK came"
        return ProofVerdict.UNPROVED, reason
    return ProofVerdict.PROVED, ""


def _compare(directory: Directory, follower: SetFollower, symbol: str) -> str:
    """Compare image and replica, level for level at one version: copy the image first, then step the replica to its version."""
    for _ in range(COMPARE_TRIES):
        if follower.damaged[symbol]:
            return "damaged"
        try:
            reader = ImageReader(Segment.attach(directory, segment_name(SegmentKind.BOOK, follower.set_name, symbol)))
        except (SegmentError, StorageError):
            return "not compared"
        image = reader.copy()
        while follower.poll(clock.monotonic_ns(), 1).record_count or follower.groups.reader.lag:
            replica = follower.books.get(symbol)
            if image is not None and replica is not None and replica.version >= image.version:
                break
        replica = follower.books.get(symbol)
        if image is None or replica is None or replica.is_cold or replica.version != image.version:
            clock.pause(1_000_000)
            continue
        if reader.segment.epoch != follower.groups.segment.epoch:
            continue
        mine = Book(image.price_decimals, image.size_decimals)
        try:
            mine.load_sides(image.bids, image.asks)
        except ValueError:
            return "damaged"
        same = (mine.bids(), mine.asks()) == (replica.book.bids(), replica.book.asks())
        return "equal" if same and image.book_hash == mine.book_hash else "different"
    return "not compared"
