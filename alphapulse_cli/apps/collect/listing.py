"""Instruments of an exchange: the first request, repeated while it is unreachable, and later for symbols not listed yet."""

import asyncio
import random
from collections.abc import Sequence
from itertools import count

from alphapulse_cli.apps.collect.volumes import Volumes
from alphapulse_cli.edges.exchange import retry_after
from alphapulse_cli.edges.exchange.fetch import Fetcher, fetch_metadata
from alphapulse_cli.edges.exchange.session import Backoff
from alphapulse_cli.errors import ExchangeError, Refused
from alphapulse_cli.exchanges import Exchange
from alphapulse_cli.exchanges.protocol import Mode
from alphapulse_cli.flow.ingest import Notice
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.shm import clock

A_FEW_TRIES = 3
SPREAD = 0.1  # random part of the time between two looks, so that collectors started together do not ask together for ever


async def list_instruments(
    exchange: Exchange, mode: Mode, fetcher: Fetcher, notice: Notice, tries: int | None = A_FEW_TRIES
) -> Sequence[Instrument]:
    """Fetch the exchange's instruments; with `tries` None repeated without end, until maintenance is over or the network is up.

    Refused at once if a retry cannot help, ExchangeError after the last try. Each reason is reported once, not at each try.
    """
    backoff, reported = Backoff(), ""
    asked_s = fetcher.limit.pause_left_s(clock.monotonic_ns())
    if asked_s > 0:
        notice("warning", f"rate-limited by the exchange: fetching its list of instruments at {retry_after.end_of(asked_s)}")
    for attempt in count(1):
        try:
            return await _asked(exchange, mode, fetcher)
        except Refused:
            raise
        except ExchangeError as error:
            if attempt == tries:
                raise
            if str(error) != reported:
                reported = str(error)
                notice("warning", f"waiting for the list of instruments: {error}")
            await asyncio.sleep(max(backoff.after_failure_s(), error.retry_after_s or 0.0))
    raise AssertionError("unreachable")


async def later_list(exchange: Exchange, mode: Mode, fetcher: Fetcher, every_s: float) -> Sequence[Instrument]:
    """Fetch the instruments again after about `every_s` seconds, and again after each failure."""
    while True:
        await asyncio.sleep(every_s * random.uniform(1 - SPREAD, 1 + SPREAD))  # noqa: S311 - no secret
        try:
            return await _asked(exchange, mode, fetcher)
        except ExchangeError:  # the sessions report an unreachable exchange; this can wait
            continue


async def list_volumes(exchange: Exchange, fetcher: Fetcher, notice: Notice) -> Volumes:
    """Fetch the volumes of the exchange's markets, repeated until it answers. Refused at once if a retry cannot help."""
    assert exchange.parse_volumes is not None
    backoff = Backoff()
    while True:
        try:
            return exchange.parse_volumes(await fetcher.get(exchange.facts.volumes_path, exchange.facts.volumes_weight))
        except Refused:
            raise
        except ExchangeError as error:
            notice("warning", f"waiting for the volumes of its markets: {error}")
            await asyncio.sleep(max(backoff.after_failure_s(), error.retry_after_s or 0.0))


async def _asked(exchange: Exchange, mode: Mode, fetcher: Fetcher) -> Sequence[Instrument]:
    facts = exchange.facts
    body = await fetch_metadata(fetcher, facts.metadata_paths(mode.name), facts.instruments_weight)
    return exchange.parse_instruments(body, mode.name)
