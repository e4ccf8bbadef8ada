"""Collector of one exchange into its set of segments, until it is stopped.

    lease ─► instruments (REST) ─► the symbols asked for ─► Outlet (segments) ◄─ Connections ◄─ the exchange
                                                                                     ▲
          later lists, patterns, `collect add` and `collect rm` ─► Members ──────────┘

The collector runs in one event loop and one thread. The heartbeat comes from that same loop: if it hangs, readers see a dead
writer.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from alphapulse_cli import exchanges
from alphapulse_cli.apps.collect import capturing
from alphapulse_cli.apps.collect.connections import Connections, Feed
from alphapulse_cli.apps.collect.listing import list_instruments, list_volumes
from alphapulse_cli.apps.collect.members import Members, some
from alphapulse_cli.apps.collect.plan import CollectPlan, addresses, choose, mode_of
from alphapulse_cli.apps.collect.publishing import published
from alphapulse_cli.apps.collect.scoring import scored
from alphapulse_cli.edges import control
from alphapulse_cli.edges.capture.recorder import Recorder
from alphapulse_cli.edges.exchange.fetch import Fetcher
from alphapulse_cli.edges.exchange.ledger import Ledger
from alphapulse_cli.edges.exchange.loopback import is_loopback
from alphapulse_cli.edges.exchange.rate_limit import Limits
from alphapulse_cli.errors import ExchangeError, StorageError
from alphapulse_cli.flow.ingest import Notice
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.choice import top_count, understood_choice
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.lease import Lease


async def collect(
    plan: CollectPlan,
    notice: Notice,
    on_ready: Callable[[Outlet], None] | None = None,
    on_first_frame: Callable[[], None] | None = None,
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
            raise ExchangeError(f"nothing was collected before the duration was over{collection.last_warning}") from None


@dataclass(slots=True)
class Collection:
    """Collection of one exchange, from its lease to its last record."""

    plan: CollectPlan
    notice: Notice
    on_ready: Callable[[Outlet], None] | None = None
    on_first_frame: Callable[[], None] | None = None
    has_frames: bool = field(default=False, init=False)
    last_warning: str = field(default="", init=False)  # ": " and the text of the last warning

    async def run(self) -> None:
        """Collect until cancelled; exceptions as from `collect`."""
        plan, exchange = self.plan, exchanges.get(self.plan.exchange)
        mode, depth = mode_of(exchange.facts, plan.mode, plan.depth)
        url, rest_url = addresses(mode, plan.url, plan.rest_url)
        head = capturing.head_of(plan.exchange, mode.name, depth, tuple(plan.channels), plan.name, url)
        with (
            open_directory(plan.shm_dir, create=True) as shared,
            open_directory(plan.books_dir or plan.shm_dir) as directory,
            Lease.acquire(directory, plan.name) as lease,
            Ledger(shared, plan.exchange, partial(self._notice, "warning"), port=_port_here(url)) as ledger,
            capturing.recording(plan.capture, head, self._notice, plan.last_bounds) as recorder,
        ):
            limits = Limits.of(exchange.facts, ledger)
            fetcher = Fetcher(rest_url, limits.weight)
            if noted := plan.noted_options:
                lease.note(noted)
            if recorder is not None:
                fetcher.on_answer = recorder.listen_to_set(exchange.facts.volumes_path)
            feed = Feed(exchange, plan, mode, depth, url, fetcher, limits, recorder)
            listed = await list_instruments(exchange, mode, feed.fetcher, self._notice, tries=None)
            volumes = await list_volumes(exchange, feed.fetcher, self._notice) if any(map(top_count, plan.symbols)) else None
            instruments, skipped = choose(plan.exchange, plan.symbols, listed, skip_unlisted=plan.skip_unlisted, volumes=volumes)
            if skipped:
                names, every = ", ".join(skipped), f"{plan.listing_every_s:.0f} s"
                self._notice(
                    "warning", f"not listed: {names}; the other symbols are collected, and the list is read again every {every}"
                )
            symbols = [instrument.symbol for instrument in instruments]
            with Outlet(directory, plan.name, plan.exchange, symbols, plan.ring_capacity, clock.monotonic_ns(), lease) as outlet:
                await self._publish(feed, outlet, instruments, skipped)

    def _notice(self, level: str, message: str) -> None:
        if level == "warning":
            self.last_warning = f": {message}"
        self.notice(level, message)

    async def _publish(self, feed: Feed, outlet: Outlet, instruments: Sequence[Instrument], skipped: Sequence[str]) -> None:
        """Collect the instruments, and later members of the set, into the outlet until cancelled."""
        async with scored(outlet, self._notice) as beat_scores, Connections(feed, outlet, self._notice) as connections:
            try:
                connections.add(instruments)
            except StorageError:
                outlet.discard()
                raise
            if self.on_ready is not None:
                self.on_ready(outlet)
            look = partial(self._look, outlet, feed.recorder, beat_scores)
            async with published(outlet, look):
                try:
                    members = Members(feed, outlet, connections, self._notice, skipped)
                    await _first(connections.failure(), members.follow(), self._listen(feed, outlet, members))
                finally:
                    look()
                    await connections.close()
                    connections.retire()

    async def _listen(self, feed: Feed, outlet: Outlet, members: Members) -> None:
        """Serve `collect add|rm` and `capture last` until cancelled; without a control socket, say so and collect all the same."""
        writer = capturing.LastFramesWriter(feed.recorder, outlet.directory.path)
        answer = partial(self._answer, members, writer)
        try:
            with contextlib.closing(writer):
                async with control.ControlServer(outlet.directory, outlet.set_name, answer):
                    await asyncio.Event().wait()
        except StorageError as error:
            self._notice("warning", f"symbols cannot be added or removed, nor last frames be asked for: {error}")
            await asyncio.Event().wait()

    async def _answer(
        self, members: Members, writer: capturing.LastFramesWriter, action: str, texts: Sequence[str]
    ) -> Sequence[str]:
        """Carry out `collect add`, `collect rm` or `capture last`. UsageError for a text that is no symbol and no pattern."""
        if action == control.LAST:
            return await writer.write()
        if action == control.FEED:
            return members.feed_texts()
        choices = list(dict.fromkeys(map(understood_choice, texts)))
        changed = await members.add(choices) if action == control.ADD else members.remove(choices)
        if changed:
            self._notice("said", f"{'added' if action == control.ADD else 'removed'}: {some(changed)}")
        return changed

    def _look(self, outlet: Outlet, recorder: Recorder | None, beat_scores: Callable[[], None]) -> None:
        """Publish the capture's totals and the scores, and call `on_first_frame` once the first frame has arrived."""
        beat_scores()
        if recorder is not None:
            recorder.beat(clock.monotonic_ns())
            if recorder.totals is not None:
                capturing.publish(recorder.totals, outlet.counters.block())
        if not self.has_frames and outlet.counters.block().get(Counter.FRAMES):
            self.has_frames = True
            if self.on_first_frame is not None:
                self.on_first_frame()


async def _first(*work: Coroutine[Any, Any, None]) -> None:
    """Run these until the first of them ends; its exception is raised."""
    running = [asyncio.create_task(one) for one in work]
    try:
        done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


def _port_here(url: str) -> int | None:
    """Port of an exchange on this machine, which has limits of its own; None for a remote exchange."""
    return urlsplit(url).port or 0 if is_loopback(url) else None
