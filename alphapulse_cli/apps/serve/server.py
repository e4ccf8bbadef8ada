"""Endpoints about the server itself: health, readiness."""

import contextlib
import os
from pathlib import Path

from fastapi import FastAPI, Request, Response

from alphapulse_cli import __version__, build
from alphapulse_cli.apps.serve import models
from alphapulse_cli.apps.serve.answers import VOLATILE, answer, errors
from alphapulse_cli.apps.serve.facts import Facts
from alphapulse_cli.apps.serve.markets import API
from alphapulse_cli.readers.moments import moment
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.wire.delta import BookState

PROTOCOL = 1


def add(app: FastAPI, facts: Facts) -> None:
    """Add the endpoints."""
    images, state = facts.images, facts.state

    @app.get(f"{API}/system/health", tags=["server"], response_model=models.SystemHealth, responses=errors(401, 503))
    async def health(request: Request) -> Response:
        """State of the server, of all sets, and of each book that is not LIVE."""
        from alphapulse_cli.edges.opportunities.watch_counters import read_tallies

        sets = [facts.health_of(name, exchange) for name, exchange in images.sets().items()]
        live, books = sum(one.live for one in sets), sum(one.books for one in sets)
        model = models.SystemHealth(
            status="down" if not live else "ok" if live == books else "degraded",
            version=__version__,
            core=build.core_mode(),
            protocol=PROTOCOL,
            started=moment(state.started_ns),
            started_ns=state.started_ns,
            uptime_s=(clock.realtime_ns() - state.started_ns) / 1e9,
            sets=sets,
            clients=state.clients.connected,
            missed=facts.meter.missed,
            memory_bytes=_memory(),
            watchers=len(read_tallies(state.directory)),
        )
        return answer(request, model, VOLATILE)

    @app.get("/health", tags=["server"], response_model=models.Alive)
    async def alive(request: Request) -> Response:
        """Whether the server runs and its loop turns; needs no token."""
        return answer(request, models.Alive(status="ok"), VOLATILE)

    @app.get(
        "/ready", tags=["server"], response_model=models.Ready, responses={503: {"model": models.Ready, "description": "not ready"}}
    )
    async def ready(request: Request) -> Response:
        """Whether there are data to serve: a set is live, a book of it too, and the server does not stop; needs no token."""
        now_ns = clock.monotonic_ns()
        sets = images.sets()
        live = sum(images.liveness(name, now_ns) is Liveness.LIVE for name in sets)
        why = "the server stops" if state.is_stopping else "nothing is collected" if not sets else "" if live else "no set is live"
        followers = state.source.followers.values()
        if not why and not any(one.state(symbol, now_ns)[0] is BookState.LIVE for one in followers for symbol in one.books):
            why = "no book is live yet"
        made = answer(request, models.Ready(ready=not why, sets=len(sets), live=live, why=why), VOLATILE)
        made.status_code = 503 if why else 200
        return made


def _memory() -> int | None:
    """Resident memory of this process in bytes; None where the system does not tell."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return None
