"""Facts that the endpoints of the REST side share: of sets, books and deltas, from counters, images and the source."""

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any

from alphapulse_cli.apps.serve import models
from alphapulse_cli.apps.serve.images import ImageNow, Images, Market
from alphapulse_cli.apps.serve.past import History
from alphapulse_cli.apps.serve.recent import BASELINE, DeltaMeter, RecentCandles, RecentTrades
from alphapulse_cli.errors import AlphapulseError, SegmentError
from alphapulse_cli.readers.moments import moment
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.wire.delta import BookState

if TYPE_CHECKING:
    from alphapulse_cli.apps.serve.state import ServeState

LOGGER = logging.getLogger("alphapulse.serve")
TEND_S = 0.25
COPY_TRIES, COPY_PAUSE_S = 40, 0.005


class Busy(AlphapulseError):
    """A book that could not be copied: it changes too fast, and its writer made no checkpoint in time."""


class Facts:
    """Facts that the endpoints share. `state` is the server's."""

    def __init__(self, state: "ServeState") -> None:
        self.state = state
        source, directory, wanted = state.source, state.directory, state.wanted
        self.images = Images(directory, wanted)
        self.trades = RecentTrades()
        self.meter = DeltaMeter(lambda key: source.book(key) if source.is_whole(key) else None)
        self.candles = RecentCandles(directory, wanted)
        self.history = History(state.plan.history) if state.plan.history else None
        source.listeners += [self.trades, self.meter]

    async def tend(self) -> None:
        """Keep the candles up to date, for ever."""
        try:
            while True:
                try:
                    self.candles.ask("1m")
                    self.candles.tend()
                    for width in self.candles.widths:
                        await self.read_candles(width)
                except Exception:  # nobody awaits this task: without it there would be no candles any more, and no word
                    LOGGER.exception("candles could not be made")
                await asyncio.sleep(TEND_S)
        finally:
            self.candles.close()
            with contextlib.suppress(ValueError):
                self.state.source.listeners.remove(self.trades)
                self.state.source.listeners.remove(self.meter)

    async def read_candles(self, width: str) -> None:
        """Read all that is new for the candles of a width; the loop goes on between its parts."""
        more = self.candles.read(width)
        while more:
            await asyncio.sleep(0)
            more = self.candles.read(width)

    async def copy(self, market: Market, depth: int) -> ImageNow:
        """Copy of a book; of one that changes faster than it can be copied, a checkpoint made for this. NoSegment, Busy."""
        images = self.images
        found = images.copy(market, depth)
        if found is not None:
            return found
        before = images.checkpoint_seq(market)
        for _ in range(COPY_TRIES):
            found = images.checkpoint(market, before) or images.copy(market, depth)
            if found is not None:
                return found
            await asyncio.sleep(COPY_PAUSE_S)
        raise Busy(f"the book of {market.symbol} changes too fast to be copied", "ask for fewer levels")

    def set_row(self, name: str, exchange: str) -> models.SetRow:
        """Row of a set, from its counters."""
        now_ns = clock.monotonic_ns()
        found = self.images.counters(name)
        counts: dict[str, int] = {}
        if found is not None:
            with contextlib.suppress(SegmentError):
                counts = found.total()
        last_ns = counts.get("last_frame_ns") or None
        return models.SetRow(
            set=name,
            exchange=exchange,
            liveness=(Liveness.GONE if found is None else found.segment.liveness(now_ns)).value,
            replay=found is not None and found.segment.is_replay,
            epoch=None if found is None else found.segment.epoch,
            symbols=self.images.symbols(name),
            last_frame=None if last_ns is None else moment(last_ns, digits=9),
            last_frame_ns=last_ns,
            **{
                label: counts.get(label)
                for label in ("connections", "connections_open", "frames", "groups", "trades", "gaps", "resyncs", "reconnects")
            },
        )

    def stats(self, market: Market) -> models.DeltaStats:
        """Statistics of a book's deltas."""
        key = market.set_name, market.symbol
        counters, groups, changes, is_replay = self.images.counters(market.set_name), None, None, False
        if counters is not None:
            is_replay = counters.segment.is_replay
            with contextlib.suppress(SegmentError):
                groups, changes = counters.of_symbol(market.symbol, (Counter.GROUPS, Counter.CHANGES)) or (None, None)
        one = self.meter.of(key)
        is_measured = one.groups > 0
        last = one.last
        return models.DeltaStats(
            set=market.set_name,
            exchange=market.exchange,
            symbol=market.symbol,
            replay=is_replay,
            total_deltas_processed=groups,
            total_changes=changes,
            avg_changes_per_update=changes / groups if groups and changes is not None else None,
            baseline=BASELINE,
            measured_since_ns=self.meter.began_ns,
            measured_groups=one.groups,
            delta_bytes=one.delta_bytes if is_measured else None,
            full_book_bytes=one.full_bytes if is_measured else None,
            compression_ratio=one.full_bytes / one.delta_bytes if is_measured else None,
            bandwidth_saved_bytes=one.full_bytes - one.delta_bytes if is_measured else None,
            last_update_latency_us=None if one.latency_ns is None else one.latency_ns / 1000,
            last=None
            if last is None
            else models.LastGroup(
                version=last.version,
                time=moment(last.timestamp_ns, digits=9),
                timestamp_ns=last.timestamp_ns,
                bid_changes=one.bid_changes,
                ask_changes=one.ask_changes,
                full_levels=one.full_levels,
            ),
        )

    def health_of(self, name: str, exchange: str) -> models.SetHealth:
        """Health of a set, from its images."""
        liveness = self.images.liveness(name, clock.monotonic_ns())
        not_live, books = [], self.images.symbols(name)
        for symbol in books:
            state, reason = "COLD", "NONE"
            with contextlib.suppress(SegmentError):
                found = self.images.copy(Market(name, exchange, symbol), 0)
                if found is not None:
                    state, reason = found.state.name, found.reason.name
            if state != BookState.LIVE.name:
                not_live.append(f"{symbol} {state} {reason}")
        counters = self.images.counters(name)
        return models.SetHealth(
            set=name,
            exchange=exchange,
            liveness=(liveness or Liveness.GONE).value,
            replay=counters is not None and counters.segment.is_replay,
            books=len(books),
            live=len(books) - len(not_live),
            not_live=not_live,
        )


def of(market: Market) -> dict[str, str]:
    """Fields that name a book."""
    return {"set": market.set_name, "exchange": market.exchange, "symbol": market.symbol}


def named(found: ImageNow) -> dict[str, Any]:
    """Fields that name a book and say whether it may be believed."""
    return {
        **of(found.market),
        "state": found.state.name,
        "reason": found.reason.name,
        "trading_status": found.trading_status,
        "replay": found.replay,
    }


def is_replay(facts: Facts, market: Market) -> bool:
    """Whether a replay writes the set of a book."""
    found = facts.images.counters(market.set_name)
    return found is not None and found.segment.is_replay
