"""REST side of `serve`: the application, its endpoints, and what proxies are told about each answer.

    request ─► Door ─► endpoint ─► images, counters, recent trades, captures ─► response model ─► JSON

Answers of now may be kept by a proxy if it asks again each time (`no-cache` and an ETag); those of the server itself may not be kept.
An answer that can be asked for again has no age in it: it would differ each time.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi_offline import FastAPIOffline
from starlette.exceptions import HTTPException

from alphapulse_cli import __version__
from alphapulse_cli.apps.serve import markets, over_http, scraping, server, statistics
from alphapulse_cli.apps.serve.answers import problem, status_of
from alphapulse_cli.apps.serve.door import OPEN_PATHS, STATIC, Application, Door
from alphapulse_cli.apps.serve.facts import Facts
from alphapulse_cli.errors import AlphapulseError

if TYPE_CHECKING:
    from alphapulse_cli.apps.serve.state import ServeState

API = markets.API
ABOUT = f"""Exact order books, trades and statistics of this host's collectors.

* Prices and sizes are exact decimal text. Times are nanoseconds since 1970 (`*_ns`) and RFC 3339 text. What is not known is null.
* Only a book whose `state` is `LIVE` may be believed; `replay` marks what is played from a recording.
* `exchange` is the name of an exchange or of a set (`collect --as NAME`). Symbols are as `BTC-USD`.
* Answers of now carry an `ETag`: ask again with `If-None-Match`, and get 304 if nothing has changed.
* An error is `{{"error": {{"code", "message", "hint"}}}}`. A token, if the server has one, goes into `Authorization: Bearer TOKEN`.
* Fields are added, never changed, within version 1 (`protocol` of `{API}/system/health`): ignore those that you do not know.
"""


def make_app(state: "ServeState") -> Application:
    """ASGI application of the REST side. UsageError for a history that is no folder of captures."""
    facts = Facts(state)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tending = asyncio.create_task(facts.tend())
        try:
            yield
        finally:
            tending.cancel()
            await asyncio.wait([tending])

    app = bare_app(lifespan)
    add_endpoints(app, facts)
    scraping.begin(facts)
    origins = list(state.plan.origins)
    door = Door(app, state.plan.token, origins)
    if not origins:
        return door
    made: Application = CORSMiddleware(
        door,
        allow_origins=origins,
        allow_methods=["GET", "HEAD"],
        allow_headers=["Authorization", "If-None-Match"],
        expose_headers=["ETag"],
        max_age=600,
    )
    return made


def openapi_document() -> dict[str, Any]:
    """OpenAPI document of all endpoints, without a server."""
    app = bare_app()
    nothing: Any = SimpleNamespace(images=None, state=None)  # endpoints look at it when they are called
    add_endpoints(app, nothing)
    document: dict[str, Any] = app.openapi()
    return document


def add_endpoints(app: FastAPI, facts: Facts) -> None:
    """Add all endpoints."""
    for part in (markets, statistics, server, scraping, over_http):
        part.add(app, facts)
    _tell_of_token(app)


PROBLEMS = {  # status of an address or method that is not served -> code, message, hint
    404: ("not_found", "nothing is at this address", "/docs lists all addresses"),
    405: ("wrong_method", "only GET and HEAD are answered here", "/docs lists all addresses"),
}


def bare_app(lifespan: Any = None) -> FastAPI:
    """Application without endpoints: its texts, its explorer, and how it answers errors."""
    app = FastAPIOffline(
        docs_url="/docs",
        redoc_url=None,
        title="alphapulse",
        version=__version__,
        description=ABOUT,
        static_url=STATIC,
        lifespan=lifespan,
        swagger_ui_parameters={"validatorUrl": None},
    )

    @app.exception_handler(AlphapulseError)
    async def refused(_: Request, error: AlphapulseError) -> Response:
        status, code = status_of(error)
        headers = {"retry-after": "2"} if status == 503 else None
        return problem(status, code, str(error).replace(str(Path.home()), "~"), error.hint, headers)

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]
        where = str(first["loc"][-1])
        return problem(422, "invalid", f"{where[:64]}: {str(first['msg'])[:200]}", "/docs shows what each value may be")

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> Response:  # noqa: ARG001 - the server logs it
        return problem(500, "internal", "the server failed at this request", "its log has the reason")

    @app.exception_handler(HTTPException)
    async def unknown(_: Request, error: HTTPException) -> Response:
        code, message, hint = PROBLEMS.get(error.status_code, ("http", str(error.detail), ""))
        return problem(error.status_code, code, message, hint, dict(error.headers or {}))

    return app


def _tell_of_token(app: FastAPI) -> None:
    """Let the OpenAPI document tell which addresses need the token, if the server has one."""
    as_made = app.openapi

    def openapi() -> dict[str, Any]:
        document: dict[str, Any] = as_made()  # it is made once
        schemes = document.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes["token"] = {"type": "http", "scheme": "bearer", "description": "only if the server was given a token"}
        for path, operations in document["paths"].items():
            for operation in operations.values():
                operation["security"] = [{}] if path in OPEN_PATHS else [{}, {"token": []}]
        return document

    setattr(app, "openapi", openapi)  # noqa: B010 - FastAPI's own way to extend it; mypy refuses an assignment
