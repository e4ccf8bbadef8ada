"""Books and counters of all served sets, read from shared memory when they are asked for. Nothing is kept but the mappings.

    segments ─► Images.sets() ─► find(exchange, symbol) ─► top(…) of a book's image, counters(…) of a set's block

A mapping whose writer is no longer alive is looked up again under its name at each use, so that a successor is found at once.
"""

from contextlib import suppress
from dataclasses import dataclass

from alphapulse_cli.errors import NoSegment, SegmentError, SegmentGone, StorageError, UsageError
from alphapulse_cli.flow.follow import states_of
from alphapulse_cli.market.instrument import near_symbols, understood_id
from alphapulse_cli.market.scan import MAX_DECIMALS
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.market.trading_status import trading_status
from alphapulse_cli.readers.moments import moment
from alphapulse_cli.readers.selection import START_ONE, Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import CountersReader
from alphapulse_cli.shm.directory import Directory, parse_segment_name, segment_name
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.shm.layout import ImageCopy, Rules, SegmentKind
from alphapulse_cli.shm.segment import Liveness, Segment
from alphapulse_cli.shm.wake import WakePage
from alphapulse_cli.wire.delta import BookReason, BookState

LOOK_EVERY_NS = 250_000_000  # between listings of the directory
SHOWN_NAMES = 20


@dataclass(frozen=True, slots=True)
class Market:
    """Book of a set. `exchange` is the set's."""

    set_name: str
    exchange: str
    symbol: str


@dataclass(frozen=True, slots=True)
class ImageNow:
    """Copy of an image, and what its segment says of its writer."""

    market: Market
    image: ImageCopy
    epoch: int
    state: BookState
    reason: BookReason
    replay: bool

    @property
    def trading_status(self) -> str | None:
        """Name of the trading status; None if the writer does not say."""
        status = trading_status(self.image.trading_status)
        return None if status is None else status.name

    @property
    def time(self) -> str | None:
        """Receipt of the last frame in the book; None before the first."""
        return moment(self.image.timestamp_ns, digits=9) if self.image.timestamp_ns else None

    @property
    def tag(self) -> str:
        """Text that differs whenever anything but the book's depth in an answer does."""
        words = self.image
        return (
            f"{self.epoch:x}-{words.version:x}-{words.timestamp_ns:x}-{self.state:d}.{self.reason:d}.{words.trading_status}"
            f"-{words.bid_count:x}.{words.ask_count:x}"
        )

    def best(self) -> tuple[str | None, str | None, str | None, str | None]:
        """Best bid, its size, best ask, its size: exact decimal text, None for an empty side."""
        bid, ask = texts_of(self.image.bids[-16:], self.image), texts_of(self.image.asks[-16:], self.image)
        return (*(bid[0] if bid else (None, None)), *(ask[0] if ask else (None, None)))


def texts_of(levels: bytes, image: ImageCopy) -> list[tuple[str, str]]:
    """Levels as exact decimal text, best first; in an image the best lies last."""
    words = memoryview(levels).cast("q")
    prices, sizes = image.price_decimals, image.size_decimals
    return [(to_text(words[at], prices), to_text(words[at + 1], sizes)) for at in range(len(words) - 2, -1, -2)]


class Images:
    """Reader of the images and counters of the wanted sets."""

    def __init__(self, directory: Directory, wanted: Wanted) -> None:
        self._directory, self._wanted = directory, wanted
        self._books: dict[tuple[str, str], ImageReader] = {}
        self._counters: dict[str, CountersReader] = {}
        self._listed_after_ns = 0
        self._sets: dict[str, str] = {}
        self._symbols: dict[str, list[str]] = {}

    def sets(self) -> dict[str, str]:
        """Exchange by name of the wanted sets that are there, sorted by name."""
        self._list()
        return self._sets

    def symbols(self, set_name: str) -> list[str]:
        """Wanted symbols of a set's books, sorted."""
        self._list()
        return self._symbols.get(set_name, [])

    def markets(self, exchange: str = "", symbol: str = "") -> list[Market]:
        """Books, of an exchange or set, and of a symbol, where they are given.

        NoSegment, with near names, where one is given and there is none.
        """
        found = self._matching(exchange, symbol)
        if (exchange or symbol) and not found:
            raise self._nothing(exchange, symbol)
        return found

    def _matching(self, exchange: str, symbol: str) -> list[Market]:
        """Books of that exchange or set and symbol, as it is written or as people spell it. NoSegment for what is no symbol."""
        try:
            canonical = understood_id(symbol)[1] if symbol else ""
        except UsageError as error:
            raise NoSegment(str(error), error.hint) from None
        return [
            Market(name, of, one)
            for name, of in self.sets().items()
            if exchange in ("", name, of)
            for one in self._symbols[name]
            if not symbol or one in (symbol, canonical)
        ]

    def find(self, exchange: str, symbol: str) -> Market:
        """Book of an exchange or set; of several sets with such a book the one of that name, else the first that is live.

        NoSegment, with near names, if there is none.
        """
        for name, of in self.sets().items():  # as it is written, first: that costs no parsing
            if exchange == name and symbol in self._symbols[name]:
                return Market(name, of, symbol)
        found = self.markets(exchange, symbol)
        now_ns = clock.monotonic_ns()
        return min(found, key=lambda one: (one.set_name != exchange, self.liveness(one.set_name, now_ns) is not Liveness.LIVE))

    def _nothing(self, exchange: str, symbol: str) -> NoSegment:
        sets = self.sets()
        if not sets:
            return NoSegment("nothing is collected", START_ONE)
        names = sorted({*sets, *sets.values()})
        if exchange and exchange not in names:
            return NoSegment(f"no exchange and no set {exchange[:40]!r}", f"there are: {', '.join(names)}")
        known = sorted({one.symbol for one in self._matching(exchange, "")})
        near = near_symbols(symbol[:40], known)
        hint = f"did you mean {' or '.join(near)}?" if near else f"there are: {', '.join(known[:SHOWN_NAMES]) or 'none'}"
        of = f"book of {symbol[:40]!r}" if symbol else "book"
        return NoSegment(f"no {of} at {exchange}" if exchange else f"no {of}", hint)

    def counters(self, set_name: str) -> CountersReader | None:
        """Counters of a set; None if there are none."""
        held = self._counters.get(set_name)
        if held is not None and held.segment.is_live(clock.monotonic_ns()):
            return held
        with suppress(SegmentError, StorageError):
            made = CountersReader(Segment.attach(self._directory, segment_name(SegmentKind.COUNTERS, set_name)))
            if held is None or made.segment.epoch != held.segment.epoch:
                self._counters[set_name] = made
            return self._counters[set_name]
        self._counters.pop(set_name, None)
        return None

    def liveness(self, set_name: str, monotonic_ns: int) -> Liveness | None:
        """Liveness of a set's writer, by its counters; None if there are none."""
        found = self.counters(set_name)
        return None if found is None else found.segment.liveness(monotonic_ns)

    def copy(self, market: Market, levels: int) -> ImageNow | None:
        """Copy of a book's best levels; None if it changed during each try. NoSegment if the book went away, or was never whole."""
        key = market.set_name, market.symbol
        for _ in range(2):  # again where the file was cut short just now
            reader = self._reader(market)
            try:
                image = reader.top(levels)
            except SegmentGone:
                del self._books[key]
                continue
            if image is None and reader.writer_died_editing(clock.monotonic_ns()):
                raise NoSegment(
                    f"the book of {market.symbol} is incomplete: its collector was killed during an update", "start it again"
                )
            if image is not None and max(image.price_decimals, image.size_decimals) > MAX_DECIMALS:
                raise NoSegment(f"the image of {market.symbol} is damaged", "alphapulse doctor")  # shared memory may hold any bytes
            return None if image is None else self._now(market, reader.segment, image)
        raise NoSegment(f"the book of {market.symbol} went away", START_ONE)

    def rules(self, market: Market) -> Rules | None:
        """Rules of the exchange for orders; None where they are not known."""
        with suppress(SegmentError, StorageError):
            rules = self._reader(market).rules()
            return None if rules is None or max(rules.price_decimals, rules.size_decimals) > MAX_DECIMALS else rules
        return None

    def checkpoint(self, market: Market, newer_than: int) -> ImageNow | None:
        """Checkpoint of a book with a sequence above `newer_than`; None, after one was requested, while there is none."""
        reader = self._reader(market)
        with suppress(SegmentError, StorageError):
            image = reader.copy_checkpoint()
            if image is not None and image.seq > newer_than:
                return self._now(market, reader.segment, image)
            WakePage.open(self._directory, market.set_name).request_checkpoint(reader.segment.spec.request_slot)
        return None

    def checkpoint_seq(self, market: Market) -> int:
        """Sequence of the last checkpoint; 0 without one."""
        with suppress(SegmentError, StorageError):
            image = self._reader(market).copy_checkpoint()
            return 0 if image is None else image.seq
        return 0

    def _now(self, market: Market, segment: Segment, image: ImageCopy) -> ImageNow:
        state, reason = states_of(image.state, image.reason)
        liveness = segment.liveness(clock.monotonic_ns())
        if liveness is not Liveness.LIVE:
            state, reason = BookState.STALE, BookReason.SILENT if liveness is Liveness.SILENT else BookReason.RETIRED
        return ImageNow(market, image, segment.epoch, state, reason, segment.is_replay)

    def _reader(self, market: Market) -> ImageReader:
        """Reader of a book's image, attached again where its writer is not alive. NoSegment."""
        key = market.set_name, market.symbol
        held = self._books.get(key)
        if held is not None and held.segment.is_live(clock.monotonic_ns()):
            return held
        try:
            segment = Segment.attach(self._directory, segment_name(SegmentKind.BOOK, *key))
        except SegmentError:
            self._books.pop(key, None)
            raise NoSegment(f"the book of {market.symbol} went away", START_ONE) from None
        made = self._books[key] = ImageReader(segment)
        return made

    def _is_removed(self, market: Market, now_ns: int) -> bool:
        """Whether the running collector has removed this book (`collect rm`, a delisted symbol)."""
        if self.liveness(market.set_name, now_ns) is not Liveness.LIVE:
            return False
        with suppress(SegmentError, StorageError):
            return self._reader(market).segment.liveness(now_ns) is Liveness.RETIRED
        return True

    def _list(self) -> None:
        """List the sets and their books, at most four times a second."""
        now_ns = clock.monotonic_ns()
        if now_ns < self._listed_after_ns:
            return
        self._listed_after_ns = now_ns + LOOK_EVERY_NS
        parsed = [one for one in map(parse_segment_name, self._directory.names()) if one is not None]
        sets: dict[str, str] = {}
        for kind, name, _ in parsed:
            if kind is SegmentKind.COUNTERS:
                found = self.counters(name)
                if found is not None and self._wanted.takes_set(name, found.segment.spec.exchange):
                    sets[name] = found.segment.spec.exchange
        self._sets = dict(sorted(sets.items()))
        self._symbols = {name: [] for name in self._sets}
        for kind, name, symbol in sorted(parsed, key=lambda one: one[2]):
            if kind is SegmentKind.BOOK and name in self._sets:
                only = self._wanted.symbols_of(name, self._sets[name])
                if (only is None or symbol in only) and not self._is_removed(Market(name, self._sets[name], symbol), now_ns):
                    self._symbols[name].append(symbol)
        for key in [key for key in self._books if key[1] not in self._symbols.get(key[0], ())]:
            del self._books[key]
