"""Python API of captures: the book at any instant, and a replay that iterates like `ap.follow`.

book = ap.at("captures", "kraken", "BTC-USD", "2026-11-27T08:00:00.123456Z")    # a BookCopy
for update in ap.replay("captures", symbols=["BTC-USD"]):                        # FollowUpdates, as fast as they are read
    print(update.timestamp_ns, update.book.best_bid())
"""

import contextlib
import logging
import tempfile
from collections.abc import Collection, Iterator, Sequence
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

from alphapulse_cli.apps.replay.playback import Playback
from alphapulse_cli.apps.replay.player import Player
from alphapulse_cli.apps.replay.timeline import Recording, recordings, symbols_in
from alphapulse_cli.apps.travel import book_at
from alphapulse_cli.edges.capture.files import capture_files
from alphapulse_cli.edges.capture.head import Head
from alphapulse_cli.errors import NoSegment, UsageError
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.readers.api import BookCopy, Following, FollowUpdate
from alphapulse_cli.readers.moments import Time, moment, nanoseconds
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory, usual_path

BEAT_NS = 50_000_000
Places = str | PathLike[str] | Sequence[str | PathLike[str]]


def at(places: Places, exchange: str, symbol: str, time: Time) -> BookCopy:
    """Book of a capture (files or folders) at an instant: RFC 3339 text with an offset, ns since 1970, or an aware datetime.

    It has all levels, and the state that the collector gave it then. UsageError for a time without an offset or outside the capture;
    NoSegment if there was no such book then.
    """
    time_ns = nanoseconds(time)
    found = [one for one in recordings(capture_files(_paths(places))) if exchange in (one.exchange, one.set_name)]
    if not found:
        raise NoSegment(f"no capture of {exchange[:40]} there", "alphapulse capture info FILE shows what a capture holds")
    _require_within(found, time_ns)
    for then in book_at(found, [symbol], time_ns, _warn):
        keeper, book = then.keeper, then.keeper.book
        bids, asks = then.sides()
        return BookCopy(
            keeper.instrument.exchange,
            symbol,
            keeper.version,
            then.timestamp_ns,
            book.price_decimals,
            book.size_decimals,
            keeper.state,
            keeper.reason,
            keeper.trading_status,
            bids,
            asks,
        )
    raise NoSegment(f"no book of {symbol[:40]} at {moment(time_ns)} in the capture")


def replay(
    places: Places, *, symbols: Collection[str] | None = None, start: Time | None = None, end: Time | None = None
) -> "Replaying":
    """Replay captures (files or folders) in this process: an iterator of FollowUpdates, exchanges merged by receive time.

    It has every change of state and version from `start` on, before `end`. UsageError, NoSegment as `at`.
    """
    if isinstance(symbols, str):
        raise UsageError(f"symbols are a list, not a text: {symbols[:40]!r}", f"symbols=[{symbols[:40]!r}]")
    return Replaying(
        recordings(capture_files(_paths(places))),
        symbols,
        None if start is None else nanoseconds(start),
        None if end is None else nanoseconds(end),
    )


class Replaying:
    """Iterator over the updates of a replay; it can be iterated over once, and is closed when that ends.

    Where it may not be iterated over at all, use it in a `with`, or `close` it.
    """

    def __init__(self, found: Sequence[Recording], symbols: Collection[str] | None, from_ns: int | None, to_ns: int | None) -> None:
        self._opened = contextlib.ExitStack()
        if not found:
            raise UsageError("no capture is named", 'name files or folders, as in replay("captures")')
        known = symbols_in(found, symbols or ())
        missing = sorted(set(symbols or ()) - set(known))
        if missing:
            raise NoSegment(f"no book of {', '.join(missing)[:100]} in the capture", f"it has {', '.join(known)[:200]}")
        for time_ns in (from_ns, to_ns):
            if time_ns is not None:
                _require_within(found, time_ns)
        if from_ns is not None and to_ns is not None and from_ns >= to_ns:
            raise UsageError(f"end, {moment(to_ns)}, is not after start, {moment(from_ns)}", "what is at end is left out")
        if symbols:
            found = [one for one in found if not set(symbols).isdisjoint(symbols_in([one], symbols))]
        self._is_closed = self._is_over = False
        self._from_ns, self._to_ns, self._symbols = from_ns, to_ns, symbols
        self._beaten_ns = 0
        self._published = 0
        self._following: Following | None = None
        path = self._opened.enter_context(tempfile.TemporaryDirectory(prefix="alphapulse-past-", dir=usual_path().parent))
        self._shm_dir = str(Path(path) / "segments")
        self._directory = self._opened.enter_context(open_directory(self._shm_dir, create=True))
        self._playback = Playback(found, (from_ns, to_ns), _warn, self._player, keeps_ended=True)
        self._opened.callback(self._end)

    def __iter__(self) -> Iterator[FollowUpdate]:
        if self._is_over:
            return
        try:
            yield from self._updates()
            self._is_over = True
        finally:  # also where its loop was left: a script without a `with` leaves no segments behind
            self.close()

    def _updates(self) -> Iterator[FollowUpdate]:
        playback = self._playback
        while self._require_open() and playback.next_ns is not None:
            if self._from_ns is not None and playback.next_ns < self._from_ns:
                playback.play(self._from_ns - 1)
                continue
            playback.play_one()
            published = sum(player.outlet.deltas.published for player in playback.players)
            if published != self._published:
                self._published = published
                self._beat()
                for update in self._follow().poll():
                    if not self._symbols or update.symbol in self._symbols:
                        yield update
                        self._require_open()

    def _require_open(self) -> bool:
        """Return True while it is open. UsageError."""
        if self._is_closed:
            raise UsageError("this replay is closed", "begin another: replay(…)")
        return True

    def _follow(self) -> Following:
        """Follow all sets that have begun. They have no books but those that are played: each may lack some of the symbols."""
        names = [player.head.set_name for player in self._playback.players]
        if self._following is None or len(self._following.followers) < len(names):
            if self._following is not None:
                self._following.close()
            self._following = Following(names, None, self._shm_dir)
        return self._following

    def _player(self, head: Head) -> Player:
        def outlet(symbols: Sequence[str]) -> Outlet:
            return Outlet(self._directory, head.set_name, head.exchange, symbols, 0, clock.monotonic_ns(), replay=True)

        return Player(head, outlet, lambda *_: None, self._symbols or ())

    def _beat(self) -> None:
        now_ns = clock.monotonic_ns()
        if now_ns - self._beaten_ns >= BEAT_NS:
            self._beaten_ns = now_ns
            for player in self._playback.players:
                player.outlet.beat(now_ns, player.now_ns)

    def _end(self) -> None:
        if self._following is not None:
            self._following.close()
        self._playback.close()

    def close(self) -> None:
        """End the replay, and remove its segments."""
        self._is_closed = True
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _paths(places: Places) -> list[Path]:
    return [Path(places)] if isinstance(places, str | PathLike) else [Path(place) for place in places]


def _require_within(found: Sequence[Recording], time_ns: int) -> None:
    first, last = min(one.first_ns for one in found), max(one.last_ns for one in found)
    if not first <= time_ns <= last:
        raise UsageError(f"{moment(time_ns)} is not in the capture", f"it is from {moment(first)} to {moment(last)}")


def _warn(path: Path, what: str) -> None:
    logging.getLogger("alphapulse").warning("%s: %s", path, what)
