"""Books of the past: a capture is played up to an instant, and the book is read as the collector had it then.

    capture ─► Player (the code that collects) ─► book at that instant: levels, version, state, the exchange's last checksum

Playing begins with the collector's run in which the instant lies, in a directory of its own that nobody else sees and that is removed
at the end.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from alphapulse_cli.apps.reconstruct import View, level_rows
from alphapulse_cli.apps.replay.playback import Playback
from alphapulse_cli.apps.replay.player import Player
from alphapulse_cli.apps.replay.timeline import Recording, symbols_in
from alphapulse_cli.book.book import Book
from alphapulse_cli.book.views import imbalance, mid_doubled, spread_bps
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.errors import NoSegment, UsageError
from alphapulse_cli.flow.keeper import BookKeeper
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.readers.moments import moment
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import Directory, open_directory, usual_path
from alphapulse_cli.shm.image import ImageReader
from alphapulse_cli.wire.delta import ChecksumState

if TYPE_CHECKING:
    from numpy.typing import NDArray

RING_RECORDS = 1024  # nobody reads it
FIELDS = ("bid", "ask", "mid", "spread", "spread_bps", "bid_size", "ask_size", "imbalance")
USUAL_FIELDS = ("bid", "ask", "mid", "spread", "imbalance")
IMBALANCE_LEVELS = 10
MOST_SAMPLES = 10_000_000

Damaged = Callable[[Path, str], None]


@dataclass(frozen=True, slots=True)
class BookThen:
    """Book at an instant: its keeper, which the next step changes, and what vouches for it."""

    set_name: str
    keeper: BookKeeper
    time_ns: int
    timestamp_ns: int  # of the last frame that the book has taken in
    validated_by: str  # what its exchange gives to prove a book: `Mode.validates`
    sequence: int | None  # exchange's number of the last message in it; None where its messages have none

    @property
    def id(self) -> str:
        """Name of the book: set:symbol."""
        return f"{self.set_name}:{self.keeper.instrument.symbol}"

    def view(self, depth: int | None) -> View:
        """View of the book, as `reconstruct` shows live ones; its age is that at the instant."""
        keeper = self.keeper
        book, instrument = keeper.book, keeper.instrument
        bid, ask, bps = book.best_bid(), book.best_ask(), spread_bps(book)
        return View(
            self.set_name,
            instrument.exchange,
            instrument.symbol,
            keeper.state,
            keeper.reason,
            keeper.trading_status,
            keeper.version,
            self.timestamp_ns,
            (self.time_ns - self.timestamp_ns) / 1e6 if self.timestamp_ns else None,
            book.bid_count,
            book.ask_count,
            to_text(ask[0] - bid[0], book.price_decimals) if bid and ask else "",
            None if bps is None else float(bps),
            level_rows(book, book.bids(depth)),
            level_rows(book, book.asks(depth)),
        )

    def sides(self) -> "tuple[NDArray[Any], NDArray[Any]]":
        """Copy all bids and asks: arrays of i64, shape (levels, 2): ticks and lots, best first."""
        import numpy as np

        image = ImageReader(self.keeper.image.segment).copy()
        assert image is not None, "nothing changes a book between two steps"
        bids, asks = (np.frombuffer(side, dtype="<i8").reshape(-1, 2)[::-1] for side in (image.bids, image.asks))
        return bids, asks

    def row(self, depth: int | None) -> dict[str, Any]:
        """Row of the view, with the instant and what proves the book."""
        return {
            "at": moment(self.time_ns, digits=9),
            **self.view(depth).row(),
            "sequence": self.sequence,
            "checksum": self.checksum,
            "proved_at": self.proved_at,
            "validated_by": self.validated_by,
        }

    @property
    def checksum(self) -> str:
        """Result of the exchange's last checksum of this book: OK, BAD, or NONE where it has sent none."""
        return ChecksumState(self.keeper.checksum).name

    @property
    def proved_at(self) -> str | None:
        """Time of the last message before the instant that proved the book: its checksum matched, or a REST answer had its levels."""
        proved_ns = self.keeper.proved_ns
        return moment(proved_ns, digits=9) if proved_ns else None

    def sample(self, fields: Sequence[str]) -> dict[str, Any]:
        """Row of a series: the book's state, and exact decimal texts, None where the book is empty."""
        keeper = self.keeper
        row: dict[str, Any] = {"time": moment(self.time_ns, digits=9), "set": self.set_name, "symbol": keeper.instrument.symbol}
        return row | {"state": keeper.state.name} | {name: _field(name, keeper.book) for name in fields}


class Travel:
    """Travel through one recording, forwards: instants must not decrease. Use it in a `with`.

    `only` are the symbols wanted; empty for all. UsageError where the recording has none of them.
    """

    def __init__(self, recording: Recording, only: Sequence[str], from_ns: int, damaged: Damaged) -> None:
        known = symbols_in([recording], only)
        wanted = [symbol for symbol in only if symbol in known]
        if only and not wanted:
            raise NoSegment(
                f"no book of {', '.join(only)} in the capture of {recording.set_name}", f"it has {', '.join(known)[:200]}"
            )
        self._recording, self._only, self._from_ns, self._damaged = recording, wanted, from_ns, damaged
        self._playback: Playback | None = None
        self._opened = contextlib.ExitStack()
        self._directory: Directory | None = None

    def __enter__(self) -> Self:
        parent = usual_path().parent
        path = self._opened.enter_context(tempfile.TemporaryDirectory(prefix="alphapulse-past-", dir=parent))
        self._directory = self._opened.enter_context(open_directory(Path(path) / "segments", create=True))
        self._playback = Playback([self._recording], (self._from_ns, None), self._damaged, self._player, keeps_ended=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._playback is not None:
            self._playback.close()
        self._opened.close()

    def to(self, time_ns: int) -> list[BookThen]:
        """Play up to the instant, rows of that very time included; the books there were."""
        assert self._playback is not None, "used in a `with`"
        while self._playback.play(time_ns):
            pass
        self._playback.advance(time_ns)
        return list(self._books(time_ns))

    def to_version(self, version: int) -> list[BookThen]:
        """Play until a book has that version; that book alone. UsageError if none comes to have it."""
        assert self._playback is not None, "used in a `with`"
        while self._playback.next_ns is not None:
            self._playback.play_one()
            reached = [book for book in self._books(self._playback.now_ns) if book.keeper.version == version]
            if reached:
                return reached
        raise UsageError(
            f"no book of this capture comes to the version {version}", "versions count from 1 at each start of a collector"
        )

    def to_sequence(self, number: int) -> list[BookThen]:
        """Play until books have taken in the exchange's message of that number, or the first behind it; these books alone.

        They are several where the exchange numbers all messages of a connection. UsageError if none comes to have it.
        """
        assert self._playback is not None, "used in a `with`"
        stood = {keeper.instrument.symbol: stands for player in self._playback.players for keeper, stands in player.numbers()}
        seen: list[int] = []  # the least and the greatest number
        while self._playback.next_ns is not None:
            self._playback.play_one()
            reached = set()
            for keeper, stands in [pair for player in self._playback.players for pair in player.numbers()]:
                before = stood.get(keeper.instrument.symbol)
                if stands == before:
                    continue
                stood[keeper.instrument.symbol] = stands
                if stands is not None:
                    seen = [min([stands, *seen]), max([stands, *seen])]
                    if stands == number or (before is not None and before < number < stands):
                        reached.add(keeper)
            if reached:
                return [book for book in self._books(self._playback.now_ns) if book.keeper in reached]
        if not seen:
            name = self._recording.exchange
            raise UsageError(f"{name} gives the messages of its books no numbers", "say --at TIME or --at-version N")
        raise UsageError(f"no book of this capture comes to the number {number}", f"they go from {seen[0]} to {seen[1]}")

    def _player(self, head: Head) -> Player:
        return Player(head, self._outlet, lambda *_: None, self._only)

    def _outlet(self, symbols: Sequence[str]) -> Outlet:
        assert self._directory is not None
        one = self._recording
        return Outlet(self._directory, one.set_name, one.exchange, symbols, RING_RECORDS, clock.monotonic_ns(), is_hidden=True)

    def _books(self, time_ns: int) -> Iterator[BookThen]:
        assert self._playback is not None
        for player in self._playback.players:
            numbers = dict(player.numbers())
            for keeper, timestamp_ns in player.books():
                number = numbers.get(keeper)
                yield BookThen(self._recording.set_name, keeper, time_ns, timestamp_ns, player.validated_by, number)


def book_at(recordings: Sequence[Recording], symbols: Sequence[str], time_ns: int, damaged: Damaged) -> Iterator[BookThen]:
    """Iterate over the books of all sets at an instant; each is valid until the next one is asked for."""
    for recording in recordings:
        if recording.first_ns <= time_ns:
            with Travel(recording, symbols, time_ns, damaged) as travel:
                yield from travel.to(time_ns)


def series(
    recording: Recording, symbols: Sequence[str], span_ns: tuple[int, int], every_ns: int, fields: Sequence[str], damaged: Damaged
) -> Iterator[dict[str, Any]]:
    """Iterate over samples of a set's books, every `every_ns` at whole multiples of it since 1970, in first ≤ time ≤ last of `span_ns`.

    UsageError for an unknown field, and for more than MOST_SAMPLES samples.
    """
    first_ns, last_ns = span_ns
    for name in fields:
        if name not in FIELDS:
            raise UsageError(f"unknown field: {name[:40]!r}", f"fields are: {', '.join(FIELDS)}")
    if every_ns < 1:
        raise UsageError("samples less than 1 ns apart", "choose a longer --every, as in 100ms")
    if (last_ns - first_ns) // every_ns > MOST_SAMPLES:
        raise UsageError(f"more than {MOST_SAMPLES:,} samples", "choose a longer --every, or a shorter span")
    begin_ns = -(-first_ns // every_ns) * every_ns
    with Travel(recording, symbols, first_ns, damaged) as travel:
        for time_ns in range(begin_ns, last_ns + 1, every_ns):
            for book in travel.to(time_ns):
                yield book.sample(fields)


def _field(name: str, book: Book) -> Any:
    bid, ask = book.best_bid(), book.best_ask()
    if name in ("bid", "bid_size"):
        return (
            None if bid is None else to_text(bid[0], book.price_decimals) if name == "bid" else to_text(bid[1], book.size_decimals)
        )
    if name in ("ask", "ask_size"):
        return (
            None if ask is None else to_text(ask[0], book.price_decimals) if name == "ask" else to_text(ask[1], book.size_decimals)
        )
    if bid is None or ask is None:
        return None
    match name:
        case "mid":
            doubled = mid_doubled(book)
            return None if doubled is None else to_text(5 * doubled, book.price_decimals + 1)
        case "spread":
            return to_text(ask[0] - bid[0], book.price_decimals)
        case "spread_bps":
            bps = spread_bps(book)
            return None if bps is None else round(float(bps), 4)
        case _:
            found = imbalance(book, IMBALANCE_LEVELS)
            return None if found is None else round(float(found), 6)
