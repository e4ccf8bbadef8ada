"""Endpoints about markets: sets, symbols, best prices, books, trades, candles, and deltas of the past."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Query, Request, Response
from fastapi import Path as InPath
from fastapi.responses import StreamingResponse

from alphapulse_cli.apps.serve import models
from alphapulse_cli.apps.serve.answers import LIVE, PAST, UNCHANGED, Stopped, answer, errors, matches, tagged
from alphapulse_cli.apps.serve.door import Message, Send
from alphapulse_cli.apps.serve.facts import Facts, is_replay, named, of
from alphapulse_cli.apps.serve.images import ImageNow, texts_of
from alphapulse_cli.apps.serve.past import History
from alphapulse_cli.errors import SegmentError
from alphapulse_cli.market.candles import WIDTHS, Candle
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.readers.moments import moment, parse

API = "/api/v1"
DEPTH, MOST_DEPTH = 50, 1_000_000
AT_ONCE_LEVELS = 500  # made into text before others in the loop have their turn
AT_ONCE_BOOKS = 16
TRADES, MOST_ASKED = 100, 1000
NDJSON = "application/x-ndjson"
STALLED_S = 30.0
A_TIME: dict[str, Any] = {"format": "date-time"}

Exchange = Annotated[
    str, InPath(min_length=1, max_length=64, description="exchange or set", openapi_examples={"kraken": {"value": "kraken"}})
]
Symbol = Annotated[str, InPath(min_length=1, max_length=64, openapi_examples={"BTC-USD": {"value": "BTC-USD"}})]
OfExchange = Annotated[str, Query(max_length=64, description="exchange or set; all by default")]
OfSymbol = Annotated[str, Query(max_length=64, description="symbol; all by default")]
OF_BOOK = {**UNCHANGED, **errors(400, 401, 404, 422, 503)}
OF_LIST = {**UNCHANGED, **errors(400, 401, 404, 422, 503)}


def add(app: FastAPI, facts: Facts) -> None:
    """Add the endpoints."""
    _add_lists(app, facts)
    _add_book(app, facts)
    _add_tape(app, facts)
    _add_past(app, facts)


def _add_lists(app: FastAPI, facts: Facts) -> None:
    images = facts.images

    @app.get(f"{API}/exchanges", tags=["markets"], response_model=list[models.SetRow], responses=OF_LIST)
    async def exchanges(request: Request) -> Response:
        """Sets of all exchanges that are collected or replayed here, with their counters."""
        return answer(request, [facts.set_row(name, exchange) for name, exchange in images.sets().items()])

    @app.get(f"{API}/symbols", tags=["markets"], response_model=list[models.SymbolRow], responses=OF_LIST)
    async def symbols(request: Request, exchange: OfExchange = "", symbol: OfSymbol = "") -> Response:
        """Books that are kept here, with the exchange's rules for orders."""
        rows = []
        for market in images.markets(exchange, symbol):
            found = None
            with contextlib.suppress(SegmentError):
                found = images.copy(market, 0)
            if found is None:
                continue
            rules = images.rules(market)
            rows.append(
                models.SymbolRow(
                    **named(found),
                    price_decimals=found.image.price_decimals if found.image.version else None,
                    size_decimals=found.image.size_decimals if found.image.version else None,
                    tick_size=None if rules is None else to_text(rules.tick_size_ticks, rules.price_decimals),
                    lot_size=None if rules is None else to_text(rules.lot_size_lots, rules.size_decimals),
                    min_size=None
                    if rules is None or not rules.min_size_lots
                    else to_text(rules.min_size_lots, rules.size_decimals),
                )
            )
            await asyncio.sleep(0)
        return answer(request, rows)

    @app.get(f"{API}/bbo", tags=["markets"], response_model=list[models.BboRow], responses=OF_LIST)
    async def bbo(request: Request, exchange: OfExchange = "", symbol: OfSymbol = "") -> Response:
        """Best prices of all books, or of one exchange or symbol."""
        rows = []
        for number, market in enumerate(images.markets(exchange, symbol)):
            with contextlib.suppress(SegmentError):
                found = images.copy(market, 1)
                if found is not None:
                    rows.append(_bbo(found))
            if number % AT_ONCE_BOOKS == AT_ONCE_BOOKS - 1:
                await asyncio.sleep(0)
        return answer(request, rows)


def _add_book(app: FastAPI, facts: Facts) -> None:
    @app.get(
        API + "/book/{exchange}/{symbol}",
        tags=["markets"],
        response_model=models.BookAnswer,
        responses={**OF_BOOK, **errors(504)},
    )
    async def book(
        request: Request,
        exchange: Exchange,
        symbol: Symbol,
        depth: Annotated[int, Query(ge=1, le=MOST_DEPTH, description="levels of each side")] = DEPTH,
        at: Annotated[
            str,
            Query(
                description="RFC 3339 time of a book in the captures of `--history`; the book of now by default",
                json_schema_extra=A_TIME,
                openapi_examples={"now": {"value": ""}, "then": {"value": "2026-11-27T08:00:00.123Z"}},
            ),
        ] = "",
    ) -> Response:
        """Book of a market, best levels first: now, from the collector's image, or then, from a capture."""
        if at:
            row = await _history(facts).book(exchange, symbol, parse(at), depth)
            levels = {side: [tuple(level) for level in row.pop(side)] for side in ("bids", "asks")}
            then = models.BookAnswer.model_validate({**row, **levels, "replay": False, "epoch": None, "depth": depth})
            return answer(request, then, PAST)
        market = facts.images.find(exchange, symbol)
        found = await facts.copy(market, depth)
        tag = f"{found.tag}-{depth:x}"
        if matches(request, tag):
            return tagged(request, b"", tag, LIVE)
        image = found.image
        head = models.BookAnswer(
            **named(found),
            at=None,
            epoch=found.epoch,
            version=image.version,
            time=found.time,
            timestamp_ns=image.timestamp_ns or None,
            bid_levels=image.bid_count,
            ask_levels=image.ask_count,
            depth=depth,
            bids=[],
            asks=[],
        )
        bids, asks = await _levels(found, image.bids, depth), await _levels(found, image.asks, depth)
        end = b'"bids":[],"asks":[]}'
        body = head.model_dump_json().encode()
        assert body.endswith(end), "levels are the last fields"
        return tagged(request, b'%b"bids":[%b],"asks":[%b]}' % (body[: -len(end)], bids, asks), tag, LIVE)


def _add_tape(app: FastAPI, facts: Facts) -> None:
    images = facts.images

    @app.get(API + "/trades/{exchange}/{symbol}/recent", tags=["markets"], response_model=models.TradesAnswer, responses=OF_BOOK)
    async def trades(
        request: Request,
        exchange: Exchange,
        symbol: Symbol,
        limit: Annotated[int, Query(ge=1, le=MOST_ASKED, description="most trades")] = TRADES,
    ) -> Response:
        """Last trades of a market, the newest first, from the oldest on that the ring held when the server started."""
        market = images.find(exchange, symbol)
        found = facts.trades.last(market.set_name, market.symbol, limit)
        rows = [
            models.TradeRow(
                time=moment(one.timestamp_ns, digits=9),
                timestamp_ns=one.timestamp_ns,
                exchange_ns=one.exchange_ns or None,
                trade_id=one.trade_id,
                side=one.side,
                price=one.price,
                size=one.size,
                history=one.history,
            )
            for one in found
        ]
        return answer(
            request,
            models.TradesAnswer(
                **of(market), replay=is_replay(facts, market), missed=facts.trades.missed(market.set_name), trades=rows
            ),
        )

    @app.get(API + "/candles/{exchange}/{symbol}", tags=["markets"], response_model=models.CandlesAnswer, responses=OF_BOOK)
    async def candles(
        request: Request,
        exchange: Exchange,
        symbol: Symbol,
        width: Annotated[str, Query(description=f"one of {', '.join(WIDTHS)}", json_schema_extra={"enum": list(WIDTHS)})] = "1m",
        limit: Annotated[int, Query(ge=1, le=MOST_ASKED, description="most candles")] = TRADES,
    ) -> Response:
        """Closed candles of a market, the oldest first: from what the rings held when the width was first asked for ("1m": at the start)."""
        market = images.find(exchange, symbol)
        facts.candles.ask(width)
        await facts.read_candles(width)
        rows = [_candle(one) for one in facts.candles.last(market.set_name, market.symbol, width, limit)]
        return answer(request, models.CandlesAnswer(**of(market), replay=is_replay(facts, market), width=width, candles=rows))


def _add_past(app: FastAPI, facts: Facts) -> None:
    lines = {"content": {NDJSON: {"schema": {"type": "string"}}}, "description": "a line about the answer, then a line a group"}

    @app.get(
        f"{API}/deltas",
        tags=["markets"],
        response_class=StreamingResponse,
        responses={200: lines, **errors(400, 401, 404, 422, 503, 504)},
    )
    async def deltas(
        exchange: Annotated[str, Query(min_length=1, max_length=64, description="exchange or set")],
        symbol: Annotated[str, Query(min_length=1, max_length=64)],
        from_: Annotated[str, Query(alias="from", description="RFC 3339 time of the first group", json_schema_extra=A_TIME)],
        to: Annotated[str, Query(description="RFC 3339 time: what is at it is left out", json_schema_extra=A_TIME)],
    ) -> Response:
        """Groups of a book in the captures of `--history`, as NDJSON: they continue the book of `/book/…?at=` that time."""
        parts = _history(facts).deltas(exchange, symbol, parse(from_), parse(to))
        try:
            first = await anext(parts)
        except BaseException:
            await parts.aclose()
            raise

        async def all_parts() -> AsyncGenerator[bytes, None]:
            try:
                yield first
                async for part in parts:
                    yield part
            finally:
                await parts.aclose()

        return Lines(all_parts())


class Lines(StreamingResponse):
    """Answer in parts, which ends where the client does not read for STALLED_S: it would hold one of the places for the past."""

    def __init__(self, parts: AsyncGenerator[bytes, None]) -> None:
        super().__init__(parts, media_type=NDJSON, headers={"cache-control": PAST})
        self._parts = parts

    async def stream_response(self, send: Send) -> None:
        """Send the parts. After a stall the connection is closed without an end of the answer: the client sees that it is cut."""

        async def within(message: Message) -> None:
            async with asyncio.timeout(STALLED_S):
                await send(message)

        try:
            with contextlib.suppress(TimeoutError):
                await super().stream_response(within)
        finally:
            await self._parts.aclose()  # ends the child, whatever happened


def _history(facts: Facts) -> History:
    if facts.history is None:
        raise Stopped("this server has no captures", "alphapulse serve --history DIR")
    return facts.history


def _bbo(found: ImageNow) -> models.BboRow:
    bid, bid_size, ask, ask_size = found.best()
    return models.BboRow(
        **named(found),
        epoch=found.epoch,
        version=found.image.version,
        time=found.time,
        timestamp_ns=found.image.timestamp_ns or None,
        bid=bid,
        bid_size=bid_size,
        ask=ask,
        ask_size=ask_size,
    )


async def _levels(found: ImageNow, side: bytes, depth: int) -> bytes:
    """JSON of a side's levels, best first, made in parts between which the loop goes on."""
    end, parts = len(side), []
    first = max(end - 16 * depth, 0)  # a checkpoint has all levels
    while end > first:
        begin = max(end - 16 * AT_ONCE_LEVELS, first)
        parts.append(orjson.dumps(texts_of(side[begin:end], found.image))[1:-1])
        end = begin
        if end > first:
            await asyncio.sleep(0)
    return b",".join(parts)


def _candle(one: Candle) -> models.CandleRow:
    row = one.row()
    names = [name for name in models.CandleRow.model_fields if name in row]
    return models.CandleRow(begin=moment(one.begin_ns, digits=9), **{name: row[name] for name in names})
