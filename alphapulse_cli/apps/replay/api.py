"""Python API of captures: the book at any instant, and a replay that iterates like `ap.follow`.

book = ap.at("captures", "kraken", "BTC-USD", "2026-11-27T08:00:00.123456Z")    # a BookCopy
for update in ap.replay("captures", symbols=["BTC-USD"]):                        # FollowUpdates, as fast as they are read
    print(update.timestamp_ns, update.book.best_bid())
"""

import contextlib
import logging
import tempfile
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Self

from alphapulse_cli.apps.replay.player import Player
from alphapulse_cli.apps.replay.timeline import OVER, Recording, merged, recordings
from alphapulse_cli.apps.travel import book_at
from alphapulse_cli.edges.capture.files import capture_files
from alphapulse_cli.edges.capture.head import Head, parse_head
from alphapulse_cli.edges.capture.rows import Kind
from alphapulse_cli.errors import NoSegment, UsageError
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.readers.api import BookCopy, Following, FollowUpdate
from alphapulse_cli.readers.moments import HINT, moment, parse
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory, usual_path

BEAT_NS = 50_000_000
Places = str | PathLike[str] | Sequence[str | PathLike[str]]
Time = str | int | datetime


def at(places: Places, exchange: str, symbol: str, time: Time) -> BookCopy:
    """Book of a capture (files or folders) at an instant: RFC 3339 text with an offset, ns since 1970, or an aware datetime.

    It has all levels, and the state that the collector gave it then. UsageError for a time without an offset or outside the capture;
    NoSegment if there was no such book then.
    """
    import numpy as np

    time_ns = _nanoseconds(time)
    found = [one for one in recordings(capture_files(_paths(places))) if exchange in (one.exchange, one.set_name)]
    if not found:
        raise NoSegment(f"no capture of {exchange[:40]} there", "alphapulse capture info FILE shows what a capture holds")
    _require_within(found, time_ns)
    for then in book_at(found, [symbol], time_ns, _warn):
        keeper, book = then.keeper, then.keeper.book
        bids, asks = (np.array(side, dtype="<i8").reshape(-1, 2) for side in (book.bids(), book.asks()))
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
    return Replaying(
        recordings(capture_files(_paths(places))),
        symbols,
        None if start is None else _nanoseconds(start),
        None if end is None else _nanoseconds(end),
    )


class Replaying:
    """Iterator over the updates of a replay; it can be iterated over once. Use it in a `with`, or `close` it."""

    def __init__(self, found: Sequence[Recording], symbols: Collection[str] | None, from_ns: int | None, to_ns: int | None) -> None:
        self._opened = contextlib.ExitStack()
        known = sorted({one.symbol for recording in found for head in recording.heads for one in head.instruments})
        missing = sorted(set(symbols or ()) - set(known))
        if missing:
            raise NoSegment(f"no book of {', '.join(missing)[:100]} in the capture", f"it has {', '.join(known)[:200]}")
        for time_ns in (from_ns, to_ns):
            if time_ns is not None:
                _require_within(found, time_ns)
        self._from_ns, self._to_ns, self._symbols = from_ns, to_ns, symbols
        self._beaten_ns = 0
        self._players: list[Player | None] = [None] * len(found)
        self._recordings = found
        path = self._opened.enter_context(tempfile.TemporaryDirectory(prefix="alphapulse-past-", dir=usual_path().parent))
        self._shm_dir = str(Path(path) / "segments")
        self._directory = self._opened.enter_context(open_directory(self._shm_dir, create=True))
        self._opened.callback(self._close_players)

    def __iter__(self) -> Iterator[FollowUpdate]:
        rows = [one.rows(self._from_ns, self._to_ns, _warn) for one in self._recordings]
        following: Following | None = None
        seen = 0
        for number, row in merged(rows):
            if row.kind == Kind.HEAD:
                self._begin(number, parse_head(row.payload))
            player = self._players[number]
            if player is None:
                continue
            if row.kind == OVER:
                player.finish()
            else:
                player.play(row)
            if self._from_ns is not None and row.time_ns < self._from_ns:
                continue
            published = sum(one.outlet.deltas.published for one in self._players if one is not None)
            if published != seen:
                seen = published
                self._beat()
                if following is None or len(following.followers) < sum(one is not None for one in self._players):
                    following = self._follow(following)
                yield from following.poll()

    def _follow(self, following: Following | None) -> Following:
        """Follow the sets that have begun."""
        if following is not None:
            following.close()
        names = [self._recordings[number].set_name for number, player in enumerate(self._players) if player is not None]
        made = Following(names, self._symbols, self._shm_dir)
        self._opened.callback(made.close)
        return made

    def _begin(self, number: int, head: Head) -> None:
        before = self._players[number]
        if before is not None:
            if before.head.run_ns == head.run_ns:
                return
            before.close()

        def outlet(symbols: Sequence[str]) -> Outlet:
            return Outlet(self._directory, head.set_name, head.exchange, symbols, 0, clock.monotonic_ns(), replay=True)

        self._players[number] = Player(head, outlet, lambda *_: None, self._symbols or ())

    def _beat(self) -> None:
        now_ns = clock.monotonic_ns()
        if now_ns - self._beaten_ns >= BEAT_NS:
            self._beaten_ns = now_ns
            for player in self._players:
                if player is not None:
                    player.outlet.beat(now_ns, player.now_ns)

    def _close_players(self) -> None:
        for player in self._players:
            if player is not None:
                player.close()
        self._players = [None] * len(self._players)

    def close(self) -> None:
        """End the replay, and remove its segments."""
        self._opened.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()


def _paths(places: Places) -> list[Path]:
    return [Path(places)] if isinstance(places, str | PathLike) else [Path(place) for place in places]


def _nanoseconds(time: Time) -> int:
    """Nanoseconds since 1970. UsageError for a text or a datetime without an offset."""
    if isinstance(time, str):
        return parse(time)
    if isinstance(time, datetime):
        if time.tzinfo is None:
            raise UsageError(f"a time without an offset: {time.isoformat()}", HINT)
        return parse(time.isoformat())
    return time


def _require_within(found: Sequence[Recording], time_ns: int) -> None:
    first, last = min(one.first_ns for one in found), max(one.last_ns for one in found)
    if not first <= time_ns <= last:
        raise UsageError(f"{moment(time_ns)} is not in the capture", f"it is from {moment(first)} to {moment(last)}")


def _warn(path: Path, what: str) -> None:
    logging.getLogger("alphapulse").warning("%s: %s", path, what)
