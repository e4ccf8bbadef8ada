"""Endpoint for Prometheus: on the REST side, where it needs the token if there is one, and alone on an address of its own."""

from fastapi import FastAPI, Response

from alphapulse_cli.apps.serve.answers import errors
from alphapulse_cli.apps.serve.door import Application, Message, Receive, Scope, Send
from alphapulse_cli.apps.serve.exposition import CONTENT_TYPE
from alphapulse_cli.apps.serve.facts import Facts
from alphapulse_cli.apps.serve.own_metrics import ServerMetrics
from alphapulse_cli.apps.serve.state import Scraped

PATH = "/metrics"


def begin(facts: Facts) -> None:
    """Begin the metrics of the server."""

    def measured(key: tuple[str, str]) -> tuple[int, int]:
        found = facts.meter.of(key)
        return found.delta_bytes, found.full_bytes

    facts.state.metrics = ServerMetrics(facts.state, measured)


def add(app: FastAPI, facts: Facts) -> None:
    """Add the endpoint."""

    @app.get(
        PATH,
        tags=["server"],
        response_class=Response,
        responses={
            200: {"description": "Prometheus' text format 0.0.4", "content": {"text/plain": {"schema": {"type": "string"}}}},
            **errors(401),
        },
    )
    async def metrics() -> Response:
        """Metrics for Prometheus: docs/reference/metrics.md says what each one means."""
        kept = facts.state.metrics
        assert kept is not None, "they begin with the server"
        return Response(await kept.text(), media_type=CONTENT_TYPE, headers={"Cache-Control": "no-store"})


def alone(kept: Scraped) -> Application:
    """ASGI application of the metrics alone, without a token: for an address that only Prometheus reaches."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await _live(receive, send)
        elif scope["type"] == "http":
            found = scope["path"] == PATH and scope["method"] in ("GET", "HEAD")
            body = (await kept.text()).encode() if found else f"metrics are at {PATH}\n".encode()
            kind = CONTENT_TYPE if found else "text/plain; charset=utf-8"
            headers = [
                (b"content-type", kind.encode()),
                (b"content-length", str(len(body)).encode()),
                (b"cache-control", b"no-store"),
            ]
            await send({"type": "http.response.start", "status": 200 if found else 404, "headers": headers})
            await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
        else:
            await send({"type": "websocket.close", "code": 1008})

    return answer


async def _live(receive: Receive, send: Send) -> None:
    while True:
        message: Message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
