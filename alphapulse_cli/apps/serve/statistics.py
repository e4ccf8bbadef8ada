"""Endpoints about statistics: deltas against whole books, arbitrage, feeds."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

from fastapi import FastAPI, Query, Request, Response

from alphapulse_cli.apps.serve import models
from alphapulse_cli.apps.serve.answers import UNCHANGED, VOLATILE, answer, errors
from alphapulse_cli.apps.serve.facts import Facts
from alphapulse_cli.apps.serve.markets import API, AT_ONCE_BOOKS, MOST_ASKED, Exchange, OfExchange, OfSymbol, Symbol
from alphapulse_cli.apps.serve.recent import BASELINE
from alphapulse_cli.edges import background
from alphapulse_cli.readers.feeds import WINDOWS_NS, cards

if TYPE_CHECKING:
    from alphapulse_cli.apps.serve.state import ServeState

OPPORTUNITIES = 100
HOUR = "hour"
WINDOWS: dict[str, Any] = {"enum": list(WINDOWS_NS)}


def add(app: FastAPI, facts: Facts) -> None:
    """Add the endpoints."""
    images = facts.images

    @app.get(f"{API}/delta-stats/summary", tags=["statistics"], response_model=models.DeltaSummary, responses=errors(401, 503))
    async def summary(request: Request) -> Response:
        """Sums of the delta statistics of all books."""
        found = []
        for number, market in enumerate(images.markets()):
            found.append(facts.stats(market))
            if number % AT_ONCE_BOOKS == AT_ONCE_BOOKS - 1:
                await asyncio.sleep(0)
        groups, changes = _sum(found, "total_deltas_processed"), _sum(found, "total_changes")
        measured = sum(one.measured_groups for one in found)
        mine, full = _sum(found, "delta_bytes"), _sum(found, "full_book_bytes")
        model = models.DeltaSummary(
            books=len(found),
            total_deltas_processed=groups,
            total_changes=changes,
            avg_changes_per_update=changes / groups if groups and changes is not None else None,
            baseline=BASELINE,
            measured_groups=measured,
            delta_bytes=mine,
            full_book_bytes=full,
            compression_ratio=full / mine if mine and full is not None else None,
            bandwidth_saved_bytes=full - mine if full is not None and mine is not None else None,
            missed=facts.meter.missed,
            by_book=found,
        )
        return answer(request, model, VOLATILE)

    @app.get(
        API + "/delta-stats/{exchange}/{symbol}",
        tags=["statistics"],
        response_model=models.DeltaStats,
        responses=errors(400, 401, 404, 422, 503),
    )
    async def delta_stats(request: Request, exchange: Exchange, symbol: Symbol) -> Response:
        """Deltas of a book against whole books: how much smaller they are, and the last group."""
        return answer(request, facts.stats(images.find(exchange, symbol)), VOLATILE)

    @app.get(
        f"{API}/arbitrage/opportunities",
        tags=["statistics"],
        response_model=models.OpportunitiesAnswer,
        responses={**UNCHANGED, **errors(401, 422, 503)},
    )
    async def opportunities(
        request: Request,
        limit: Annotated[int, Query(ge=1, le=MOST_ASKED, description="most opportunities")] = OPPORTUNITIES,
    ) -> Response:
        """Arbitrage opportunities that `alphapulse arb watch` saw here; `watching` says whether one runs."""
        return answer(request, await background.call(lambda: _opportunities(facts.state, limit)))

    @app.get(f"{API}/feeds", tags=["statistics"], response_model=list[models.FeedRow], responses=errors(401, 404, 422, 503))
    async def feeds(
        request: Request,
        exchange: OfExchange = "",
        symbol: OfSymbol = "",
        window: Annotated[
            str, Query(description="start: since the collector's start; hour, day: the last ones", json_schema_extra=WINDOWS)
        ] = HOUR,
    ) -> Response:
        """Scorecards of all feeds, or of one exchange or symbol: how good each was, by set, connection and symbol."""
        wanted = {(one.set_name, one.symbol) for one in images.markets(exchange, symbol)} if exchange or symbol else set()
        sets = {name for name, _ in wanted} if wanted else set(images.sets())
        state = facts.state
        found = await background.call(lambda: cards(state.directory, state.wanted, window))
        rows = [
            models.FeedRow.model_validate(one.to_dict())
            for one in found
            if one.set in sets and (not symbol or (one.set, one.symbol) in wanted)
        ]
        return answer(request, rows, VOLATILE)


def _sum(found: Sequence[models.DeltaStats], name: str) -> int | None:
    """Sum of what is known; None where nothing is."""
    known = [value for value in (getattr(one, name) for one in found) if value is not None]
    return sum(known) if known else None


def _opportunities(state: "ServeState", limit: int) -> models.OpportunitiesAnswer:
    """Opportunities of the directory, from the store that `arb watch` writes. StorageError where it cannot be read."""
    from alphapulse_cli.edges.opportunities.store import OpportunityStore, default_path
    from alphapulse_cli.edges.opportunities.watch_counters import read_tallies

    watchers = len(read_tallies(state.directory))
    path = state.store or default_path()
    rows = []
    if path is not None and path.exists():
        with OpportunityStore(path, create=False) as store:
            found = store.rows(str(state.directory.path), limit=limit, is_explained=False)
        names = [name for name in models.OpportunityRow.model_fields if name != "is_open"]
        rows = [
            models.OpportunityRow(**{name: getattr(one, name) for name in names}, is_open=one.closed_ns is None and watchers > 0)
            for one in found
        ]
    return models.OpportunitiesAnswer(watching=watchers > 0, watchers=watchers, opportunities=rows)
