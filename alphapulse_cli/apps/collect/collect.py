"""Collector of one exchange into its set of segments, until it is stopped.

    lease ─► instruments (REST) ─► the symbols asked for ─► Outlet (segments) ─► Ingest ◄─ Session ◄─ the exchange
                                        ▲                                             │
                                        └──── a symbol that was skipped is listed ────┘

The collector runs in one event loop and one thread. The heartbeat comes from that same loop: if it hangs, readers see a dead
writer.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from alphapulse_cli import exchanges
from alphapulse_cli.apps.collect.listing import list_instruments, until_listed
from alphapulse_cli.apps.collect.plan import CollectPlan, addresses, choose, mode_of
from alphapulse_cli.apps.collect.publishing import after_frame, published
from alphapulse_cli.edges.exchange.fetch import Fetcher
from alphapulse_cli.edges.exchange.ledger import Ledger
from alphapulse_cli.edges.exchange.loopback import is_loopback
from alphapulse_cli.edges.exchange.rate_limit import Limits
from alphapulse_cli.edges.exchange.session import Session
from alphapulse_cli.edges.exchange.transport import open_link
from alphapulse_cli.errors import ExchangeError, StorageError
from alphapulse_cli.flow.ingest import Ingest, Notice
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.directory import Directory, open_directory
from alphapulse_cli.shm.lease import Lease

OnReady = Callable[[Outlet, Ingest], None]


async def collect(
    plan: CollectPlan, notice: Notice, on_ready: OnReady | None = None, on_first_frame: Callable[[], None] | None = None
) -> None:
    """Collect until cancelled, or for `plan.duration_s` seconds, which includes the waiting for an unreachable exchange.

    WriterAlive, before any request, if the set has a writer. ExchangeError if the duration ends without a frame. A failure that a
    retry cannot mend is raised (Refused, UsageError, StorageError).
    """
    collection = Collection(plan, notice, on_ready, on_first_frame)
    try:
        async with asyncio.timeout(plan.duration_s) as limit:
            await collection.run()
    except TimeoutError:
        if not limit.expired():
            raise
        if not collection.has_frames:
            raise ExchangeError(f"nothing was collected before the duration was over{collection.last_told}") from None


@dataclass(slots=True)
class Collection:
    """Collection of one exchange, with a generation of segments for each list of its symbols that are listed."""

    plan: CollectPlan
    notice: Notice
    on_ready: OnReady | None = None
    on_first_frame: Callable[[], None] | None = None
    has_frames: bool = field(default=False, init=False)
    last_told: str = field(default="", init=False)  # ": " and the text of the last warning

    async def run(self) -> None:
        """Collect until cancelled, one generation after another; exceptions as from `collect`."""
        plan, exchange = self.plan, exchanges.get(self.plan.exchange)
        mode, _ = mode_of(exchange.facts, plan.mode, plan.depth)
        url, rest_url = addresses(mode, plan.url, plan.rest_url)
        with (
            open_directory(plan.shm_dir, create=True) as directory,
            Lease.acquire(directory, plan.name) as lease,
            Ledger(directory, plan.exchange, partial(self._notice, "warning"), port=_port_here(url)) as ledger,
        ):
            limits = Limits.of(exchange.facts, ledger)
            fetcher = Fetcher(rest_url, limits.weight)
            while True:
                await self._generation(directory, lease, url, fetcher, limits)
                lease.renew(directory)

    def _notice(self, level: str, message: str) -> None:
        if level == "warning":
            self.last_told = f": {message}"
        self.notice(level, message)

    async def _generation(self, directory: Directory, lease: Lease, url: str, fetcher: Fetcher, limits: Limits) -> None:
        """Collect the listed symbols until a symbol that was skipped is listed."""
        plan, exchange = self.plan, exchanges.get(self.plan.exchange)
        mode, depth = mode_of(exchange.facts, plan.mode, plan.depth)
        listed = await list_instruments(exchange, mode, fetcher, self._notice, tries=None)
        instruments, skipped = choose(plan.exchange, plan.symbols, listed, skip_unlisted=plan.skip_unlisted)
        if skipped:
            names, every = ", ".join(skipped), f"{plan.listing_every_s:.0f} s"
            self._notice(
                "warning", f"not listed: {names}; the other symbols are collected, and the list is read again every {every}"
            )
        decoder = exchange.decoder(instruments, set(plan.channels), depth, mode.name)
        symbols = [instrument.symbol for instrument in instruments]
        with Outlet(directory, plan.name, plan.exchange, symbols, plan.ring_capacity, clock.monotonic_ns(), lease) as outlet:
            try:
                warns = plan.checksum_warns
                ingest = Ingest(
                    exchange, decoder, instruments, plan.channels, outlet, self._notice, mode.name, checksum_warns=warns
                )
            except StorageError:
                outlet.discard()
                raise
            opener = partial(open_link, transport=plan.transport)
            session = Session(
                exchange.facts, url, fetcher, ingest, self._notice, after_frame(outlet), opener, limits=limits, mode=mode.name
            )
            if self.on_ready is not None:
                self.on_ready(outlet, ingest)
            async with published(outlet, partial(self._look, ingest)):
                try:
                    found = await _first(session.run(), until_listed(exchange, mode, fetcher, skipped, plan.listing_every_s))
                finally:
                    self._look(ingest)
                    ingest.retire(clock.realtime_ns())
            self._notice("said", f"listed now: {', '.join(found)}; collecting starts again with it")

    def _look(self, ingest: Ingest) -> None:
        """Note the first frame, and call `on_first_frame` once."""
        if not self.has_frames and ingest.counters.get(Counter.FRAMES):
            self.has_frames = True
            if self.on_first_frame is not None:
                self.on_first_frame()


async def _first(session: Coroutine[Any, Any, None], listing: Coroutine[Any, Any, list[str]]) -> list[str]:
    """Run the session until the listing returns, and return its result; an exception of either is raised."""
    running, looking = asyncio.create_task(session), asyncio.create_task(listing)
    try:
        await asyncio.wait({running, looking}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            running.result()
        return looking.result()
    finally:
        for task in (running, looking):
            task.cancel()
        await asyncio.gather(running, looking, return_exceptions=True)


def _port_here(url: str) -> int | None:
    """Port of an exchange on this machine, which has limits of its own; None for a remote exchange."""
    return urlsplit(url).port or 0 if is_loopback(url) else None
