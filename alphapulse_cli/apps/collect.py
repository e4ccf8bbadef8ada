"""Collect one exchange into its set of segments, until told to stop.

    instruments (REST) ─► the symbols asked for ─► Outlet (lease, segments) ─► Ingest ◄─ Session ◄─ the exchange

Everything runs in one event loop and one thread. The heartbeat is beaten by that same loop: if it hangs, readers see a dead writer.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from urllib.parse import urlsplit

from alphapulse_cli import exchanges
from alphapulse_cli.apps.plan import CollectPlan, addresses, choose, mode_of
from alphapulse_cli.edges import retry_after
from alphapulse_cli.edges.fetch import Fetcher
from alphapulse_cli.edges.ledger import Ledger
from alphapulse_cli.edges.loopback import is_loopback
from alphapulse_cli.edges.rate_limit import Limits
from alphapulse_cli.edges.session import Backoff, Session
from alphapulse_cli.edges.transport import open_link
from alphapulse_cli.errors import DecodeError, ExchangeError, Refused, StorageError
from alphapulse_cli.exchanges import Exchange
from alphapulse_cli.exchanges.protocol import Mode
from alphapulse_cli.flow.ingest import Ingest, Notice
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory

BEAT_S = 0.1
METADATA_TRIES = 3


async def collect(plan: CollectPlan, notice: Notice, on_ready: Callable[[Outlet, Ingest], None] | None = None) -> None:
    """Collect until cancelled, or for `plan.duration_s`. What cannot be healed by trying again leaves as its exception."""
    exchange = exchanges.get(plan.exchange)
    mode, depth = mode_of(exchange.facts, plan.mode, plan.depth)
    url, rest_url = addresses(mode, plan.url, plan.rest_url)
    with (
        open_directory(plan.shm_dir, create=True) as directory,
        Ledger(directory, plan.exchange, partial(notice, "warning"), port=_port_here(url)) as ledger,
    ):
        limits = Limits.of(exchange.facts, ledger)
        fetcher = Fetcher(rest_url, limits.weight)
        listed = await list_instruments(exchange, mode, fetcher, notice)
        instruments = choose(plan.exchange, plan.symbols, listed)
        decoder = exchange.decoder(instruments, set(plan.channels), depth, mode.name)
        symbols = [instrument.symbol for instrument in instruments]
        with Outlet(directory, plan.name, plan.exchange, symbols, plan.ring_capacity, clock.monotonic_ns()) as outlet:
            try:
                ingest = Ingest(exchange, decoder, instruments, plan.channels, outlet, notice, mode.name)
            except StorageError:
                outlet.discard()
                raise
            opener = partial(open_link, transport=plan.transport)
            session = Session(
                exchange.facts, url, fetcher, ingest, notice, _after_frame(outlet), opener, limits=limits, mode=mode.name
            )
            if on_ready is not None:
                on_ready(outlet, ingest)
            await _keep_up(session, ingest, outlet, plan.duration_s)


async def _keep_up(session: Session, ingest: Ingest, outlet: Outlet, duration_s: float | None) -> None:
    """Run the session until cancelled, or for so long; then the books are retired."""
    async with _heart(outlet):
        try:
            async with asyncio.timeout(duration_s) as limit:
                await session.run()
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            ingest.retire(clock.realtime_ns())


def _port_here(url: str) -> int | None:
    """The port of an exchange on this machine, whose limits are its own; None for one in the world."""
    return urlsplit(url).port or 0 if is_loopback(url) else None


async def list_instruments(exchange: Exchange, mode: Mode, fetcher: Fetcher, notice: Notice) -> Sequence[Instrument]:
    """The exchange's instruments; a few tries. ExchangeError if they cannot be had or understood."""
    backoff = Backoff()
    asked_s = fetcher.limit.pause_left_s(clock.monotonic_ns())
    if asked_s > 0:
        notice("warning", f"the exchange asked to be left alone: asking for its metadata at {retry_after.end_of(asked_s)}")
    path = mode.instruments_path or exchange.facts.instruments_path
    for attempt in range(1, METADATA_TRIES + 1):
        try:
            body = await fetcher.get(path, exchange.facts.instruments_weight)
            return exchange.parse_instruments(body, mode.name)
        except (DecodeError, Refused):
            raise
        except ExchangeError as error:
            if attempt == METADATA_TRIES:
                raise
            notice("warning", f"no instrument metadata yet: {error}")
            await asyncio.sleep(backoff.after_failure_s())
    raise AssertionError("unreachable")


def _after_frame(outlet: Outlet) -> Callable[[int], None]:
    """What is done once a frame's records are published: its latency is counted, asked-for checkpoints are made."""
    record, serve_checkpoints, realtime_ns = outlet.counters.publish_latency.record, outlet.serve_checkpoints, clock.realtime_ns

    def after_frame(receive_ns: int) -> None:
        now_ns = realtime_ns()
        if receive_ns:
            record(now_ns - receive_ns)
        serve_checkpoints(now_ns)

    return after_frame


@contextlib.asynccontextmanager
async def _heart(outlet: Outlet) -> AsyncIterator[None]:
    """Beats while the body runs. StorageError, the body broken off, where a segment's file was cut short."""
    body, failures = asyncio.current_task(), list[StorageError]()
    assert body is not None

    async def beat() -> None:
        try:
            while True:
                outlet.beat(clock.monotonic_ns())
                await asyncio.sleep(BEAT_S)
        except StorageError as error:
            failures.append(error)
            body.cancel()

    task = asyncio.create_task(beat())
    try:
        yield
    except asyncio.CancelledError:
        if not failures:
            raise
        body.uncancel()
        raise failures[0] from None
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
