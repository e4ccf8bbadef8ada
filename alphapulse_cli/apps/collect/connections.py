"""Connections of one set: its symbols divided among them, each with its own decoder, books and session.

    symbols ─┬─► decoder ─► Ingest ◄─ Session ◄─ the exchange
             └─► decoder ─► Ingest ◄─ Session ◄─ the exchange
                               └─────────────────────────────► one Outlet: rings, counters, images

A symbol is on exactly one connection, so that its sequence, its healing and its silence are judged there alone: the loss of a
connection changes the books of its own symbols only. Limits that the exchange counts by address are shared.
"""

import asyncio
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Self

from alphapulse_cli.apps.collect.plan import CollectPlan
from alphapulse_cli.apps.collect.publishing import after_frame
from alphapulse_cli.edges.capture.last_frames import Held
from alphapulse_cli.edges.capture.recorder import Recorder
from alphapulse_cli.edges.exchange.fetch import Fetcher
from alphapulse_cli.edges.exchange.rate_limit import Limits
from alphapulse_cli.edges.exchange.session import Session
from alphapulse_cli.edges.exchange.siblings import Siblings
from alphapulse_cli.edges.exchange.transport import open_link
from alphapulse_cli.exchanges import Exchange
from alphapulse_cli.exchanges.protocol import Mode, Resumable
from alphapulse_cli.flow.checkpoint import checkpoint, levels_bytes, take
from alphapulse_cli.flow.ingest import Ingest, Notice
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import Counter

SAME_WITHIN_S = 1.0
FIGURES = re.compile(r"[0-9.]+")
RENEWED_WITHIN_S = 1800.0  # connections that were opened together are renewed over this time, one after another


def divide(instruments: Sequence[Instrument], most: int) -> list[list[Instrument]]:
    """Divide the instruments, in their order, among as few connections as carry `most` each, evenly; 0 = one carries all."""
    if not instruments:
        return []
    count = -(-len(instruments) // most) if most else 1
    size, larger = divmod(len(instruments), count)
    ends = [place * size + min(place, larger) for place in range(count + 1)]
    return [list(instruments[start:end]) for start, end in pairwise(ends)]


@dataclass(frozen=True, slots=True)
class Feed:
    """Feed of an exchange as a plan wants it: what every connection of the set has in common."""

    exchange: Exchange
    plan: CollectPlan
    mode: Mode
    depth: int
    url: str
    fetcher: Fetcher
    limits: Limits
    recorder: Recorder | None = None

    def ingest(self, instruments: Sequence[Instrument], outlet: Outlet, notice: Notice) -> Ingest:
        """Make the decoder and the books of these instruments. StorageError if there is no room for a book."""
        plan, decoder = self.plan, self.exchange.decoder(instruments, set(self.plan.channels), self.depth, self.mode.name)
        warns = {instrument.symbol for instrument in instruments if plan.warns(instrument.symbol)}
        return Ingest(self.exchange, decoder, instruments, plan.channels, outlet, notice, self.mode.name, checksum_warns=warns)

    def session(self, ingest: Ingest, notice: Notice, after: Callable[[int], None], siblings: Siblings, early_s: float) -> Session:
        """Make the session that feeds `ingest`."""
        facts, opener = self.exchange.facts, partial(open_link, transport=self.plan.transport)
        return Session(
            facts,
            self.url,
            self.fetcher,
            ingest,
            notice,
            after,
            opener,
            limits=self.limits.of_another(facts),
            mode=self.mode.name,
            siblings=siblings,
            early_s=early_s,
            recorder=self.recorder,
        )


class Connections:
    """Connections of one set, in a `async with`, at whose end all are closed. More can be added while they run."""

    def __init__(self, feed: Feed, outlet: Outlet, notice: Notice) -> None:
        self._feed, self._outlet, self._notice = feed, outlet, notice
        self._after_frame = after_frame(outlet)
        self._most = feed.exchange.facts.symbols_per_connection(feed.plan.channels)
        self._siblings = Siblings()
        self._made_count = 0
        self._sessions: dict[Ingest, asyncio.Task[None]] = {}  # of the connections that there are
        self._numbers: dict[Ingest, int] = {}  # of the same in the capture
        self._ending: set[asyncio.Task[None]] = set()  # of those given up
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._chorus = Chorus(notice)

    def add(self, instruments: Sequence[Instrument]) -> None:
        """Open as many connections as these instruments take. StorageError if there is no room: none is opened."""
        shares = divide(instruments, self._most)
        made = [self._feed.ingest(share, self._outlet, self._notice) for share in shares]
        recorder, is_first = self._feed.recorder, not self._made_count
        if recorder is not None and not is_first:
            recorder.changed(instruments, ())
        for place, (share, ingest) in enumerate(zip(shares, made, strict=True)):
            self._made_count += 1
            notice = self._notice_of(f"connection {self._made_count} ({_named(share)})")
            early_s = RENEWED_WITHIN_S * place / len(shares)
            if self._outlet.scores is not None:
                ingest.score = self._outlet.scores.connection(self._made_count, ingest)
            session = self._feed.session(ingest, notice, self._after_frame, self._siblings, early_s)
            task = asyncio.create_task(session.run())
            task.add_done_callback(self._ended)
            self._sessions[ingest], self._numbers[ingest] = task, session.number
        if recorder is not None and is_first:
            recorder.begin(self.instruments, self._feed.plan.warns, self._checkpoints, self._take)
        self._outlet.counters.block().set(Counter.CONNECTIONS, len(self._sessions))

    def remove(self, symbols: Collection[str]) -> None:
        """Retire these symbols; a connection that is left without one is closed.

        Other connections stay subscribed to them, and what still comes for them is left out.
        """
        recorder = self._feed.recorder
        if recorder is not None:
            recorder.changed((), symbols)
        for ingest, task in list(self._sessions.items()):
            ingest.drop(symbols, clock.realtime_ns())
            if not ingest.symbols:
                number = self._numbers.pop(ingest)
                if recorder is not None:
                    recorder.shut(number, "its symbols were removed", clock.realtime_ns())
                task.cancel()
                self._ending.add(task)
                del self._sessions[ingest]
                self._siblings.forget(ingest)
                if self._outlet.scores is not None:
                    self._outlet.scores.forget(ingest)
        self._outlet.remove(symbols)
        self._outlet.counters.block().set(Counter.CONNECTIONS, len(self._sessions))

    def instruments(self) -> list[Instrument]:
        """Instruments of the set, on their present grids."""
        return [one for ingest in self._sessions for one in ingest.decoder.instruments.values() if one.symbol in ingest.symbols]

    def _checkpoints(self) -> list[tuple[int, bytes]]:
        """Checkpoints of all connections, by their numbers in the capture; none if a decoder cannot resume from one."""
        now_ns = clock.monotonic_ns()
        made = [(number, checkpoint(ingest, now_ns)) for ingest, number in self._numbers.items()]
        found = [(number, payload) for number, payload in made if payload is not None]
        return found if len(found) == len(made) else []

    def _take(self, most_bytes: int, connected: Collection[int]) -> Held | None:
        """Take checkpoints of all connections for the last frames; None while a book is healing.

        None at all, (), if a decoder cannot resume from one, and where the books take more than `most_bytes`.
        """
        if not all(isinstance(ingest.decoder, Resumable) for ingest in self._numbers):
            return ()
        if sum(map(levels_bytes, self._numbers)) > most_bytes:
            return ()
        now_ns, found = clock.monotonic_ns(), []
        for ingest, number in self._numbers.items():
            taken = take(ingest, now_ns, is_open=number in connected)
            if taken is None:
                return None
            found.append((number, taken))
        return found

    async def failure(self) -> None:
        """Wait for the first error of a connection that a retry cannot fix, and raise it."""
        await asyncio.shield(self._failed)

    def retire(self) -> None:
        """Mark every book as RETIRED: the collector stops in good order."""
        for ingest in self._sessions:
            ingest.retire(clock.realtime_ns())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """End all connections."""
        self._chorus.close()
        tasks = [*self._sessions.values(), *self._ending]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._failed.done():
            self._failed.exception()  # it was raised, or another error was

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._ending.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None and not self._failed.done():
            self._failed.set_exception(error)

    def _notice_of(self, name: str) -> Notice:
        """Notices of a connection's session: with its name where there are several."""

        def notice(level: str, message: str) -> None:
            if len(self._sessions) > 1:
                self._chorus.add(name, level, message)
            else:
                self._notice(level, message)

        return notice


class Chorus:
    """Merger of notices: if several connections give the same one within a second, it is given once, with their number."""

    def __init__(self, notice: Notice) -> None:
        self._notice = notice
        # (level, message without figures) -> connections that said it after the first
        self._repeats: dict[tuple[str, str], int] = {}
        self._timers: list[asyncio.TimerHandle] = []

    def add(self, name: str, level: str, message: str) -> None:
        """Tell the first notice of its kind with the name of its connection; count those that follow within a second."""
        kind = level, FIGURES.sub("", message)
        if kind in self._repeats:
            self._repeats[kind] += 1
            return
        self._repeats[kind] = 0
        self._notice(level, f"{name}: {message}")
        self._timers = [timer for timer in self._timers if not timer.cancelled() and timer.when() > _loop_time()]
        self._timers.append(asyncio.get_running_loop().call_later(SAME_WITHIN_S, self._report_repeats, kind, message))

    def close(self) -> None:
        """Tell nothing more."""
        for timer in self._timers:
            timer.cancel()

    def _report_repeats(self, kind: tuple[str, str], message: str) -> None:
        others = self._repeats.pop(kind)
        if others:
            self._notice(kind[0], f"{others} more connection{'s' if others > 1 else ''}: {message}")


def _loop_time() -> float:
    return asyncio.get_running_loop().time()


def _named(instruments: Sequence[Instrument]) -> str:
    more = len(instruments) - 1
    return instruments[0].symbol + (f" and {more} more" if more else "")
