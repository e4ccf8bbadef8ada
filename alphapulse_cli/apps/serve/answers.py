"""Answers of the REST side: JSON of a response model, the headers that tell a proxy how long to keep it, and errors.

model ─► JSON ─► ETag ─► 200, or 304 where the client has it already
error ─► status ─► {"error": {"code", "message", "hint"}}
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import orjson
from fastapi import Request, Response

from alphapulse_cli.apps.serve import models
from alphapulse_cli.apps.serve.past import TookTooLong
from alphapulse_cli.errors import AlphapulseError, NoSegment, UsageError

LIVE, VOLATILE, PAST = "no-cache", "no-store", "max-age=60"
JSON = "application/json"


class Stopped(AlphapulseError):
    """Something that the server was not started with."""


def answer(request: Request, model: models.Answer | Sequence[models.Answer], cache: str = LIVE) -> Response:
    """JSON of an answer, or 304 where the client has it already."""
    if isinstance(model, models.Answer):
        body = model.model_dump_json(by_alias=True).encode()
    else:
        body = b"[" + b",".join(one.model_dump_json(by_alias=True).encode() for one in model) + b"]"
    if cache == VOLATILE:
        return Response(body, media_type=JSON, headers={"cache-control": VOLATILE})
    return tagged(request, body, blake2b(body, digest_size=12).hexdigest(), cache)


def tagged(request: Request, body: bytes, tag: str, cache: str) -> Response:
    """Answer with that tag, or 304 where the client has it already."""
    headers = {"etag": f'"{tag}"', "cache-control": cache}
    if matches(request, tag):
        return Response(status_code=304, headers=headers)
    return Response(body, media_type=JSON, headers=headers)


def matches(request: Request, tag: str) -> bool:
    """Whether the client has the answer of that tag: by RFC 9110, weak tags count as well."""
    known = request.headers.get("if-none-match")
    if known is None:
        return False
    return known.strip() == "*" or f'"{tag}"' in (one.strip().removeprefix("W/") for one in known.split(","))


def problem(status: int, code: str, message: str, hint: str = "", headers: dict[str, str] | None = None) -> Response:
    """Answer to a request that cannot be met."""
    body = orjson.dumps({"error": {"code": code, "message": message, "hint": hint}})
    return Response(body, status, {"cache-control": VOLATILE, **(headers or {})}, JSON)


def status_of(error: AlphapulseError) -> tuple[int, str]:
    """HTTP status and code of an error."""
    match error:
        case UsageError():
            return 400, "bad_request"
        case NoSegment():
            return 404, "not_found"
        case Stopped():
            return 404, "not_configured"
        case TookTooLong():
            return 504, "timeout"
        case _:
            return 503, "unavailable"


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Answers that are errors, for the OpenAPI document."""
    meanings = {
        400: "a value that cannot be right",
        401: "a token is needed",
        404: "there is no such thing here",
        422: "a value of the wrong type, or out of its range",
        503: "it cannot be answered now: try again",
        504: "it took too long",
    }
    return {status: {"model": models.ErrorAnswer, "description": meanings[status]} for status in statuses}


UNCHANGED: dict[int | str, dict[str, Any]] = {304: {"description": "the client has this answer already (`If-None-Match`)"}}
