"""Control of a simulated exchange by HTTP, for client programs in other processes: let it stand still, ask for its truth, cause faults.

    GET /freeze                        the market stands still; answered when every frame has been sent
    GET /thaw                          it goes on
    GET /truth?symbol=BTC-USDT         {"native", "sequence", "bids": [[price, size], …], "asks": […]}, best first, exact text
    GET /trades?symbol=BTC-USDT        [[id, "buy" or "sell" (the taker), price, size, time in ms], …], oldest first
    GET /candles?symbol=…&seconds=60   [[begin in ms, open, high, low, close, size, count], …] with a trade, oldest first
    GET /inject?kind=gap&symbol=…      that fault strikes the next update
    GET /calm                          no more faults
    GET /state                         {"connections": how many are open, "injections": {kind: count}}

It stands on `SimulatedExchange.freeze`, `thaw`, `truth`, `inject` and `end_mischief`, which programs in the same process use directly.
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

from websockets.asyncio.server import ServerConnection

from alphapulse_cli.edges.server.listener import Answer, Listener
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.market.trade_summary import Span
from alphapulse_cli.sim.exchange import SimulatedExchange

SENT_WITHIN_S = 10.0
NS_PER_MS = 1_000_000


class Control:
    """Control port of one simulated exchange, from `async with` to its end; `url` is its address."""

    def __init__(self, exchange: SimulatedExchange) -> None:
        self._exchange = exchange
        self._listener = Listener("control", "127.0.0.1", 0, self._refuse, self._get, lambda _: Answer(404))

    async def __aenter__(self) -> Self:
        self.url = f"http://127.0.0.1:{await self._listener.open()}"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._listener.close()

    async def _refuse(self, websocket: ServerConnection) -> None:
        await websocket.close()

    async def _get(self, path: str, query: Mapping[str, str]) -> Answer:
        try:
            return Answer(200, json.dumps(await self._answer(path.strip("/"), query)).encode())
        except KeyError as missing:
            return Answer(404, json.dumps({"error": f"no {missing}"}).encode())

    async def _answer(self, what: str, query: Mapping[str, str]) -> Any:
        exchange = self._exchange
        match what:
            case "freeze":
                exchange.freeze()
                await self._until_sent()
            case "thaw":
                exchange.thaw()
            case "calm":
                exchange.end_mischief()
            case "inject":
                exchange.inject(query["kind"], query.get("symbol", ""), float(query.get("seconds", 3)))
            case "truth":
                return self._truth(query["symbol"])
            case "trades":
                return self._trades(query["symbol"])
            case "candles":
                return self._candles(query["symbol"], int(query["seconds"]))
            case "state":
                return {"connections": len(exchange.connections), "injections": dict(exchange.injection_counts)}
            case _:
                raise KeyError(what)
        return "done"

    async def _until_sent(self) -> None:
        """Wait until every frame is sent, but for those that a fault holds back."""
        async with asyncio.timeout(SENT_WITHIN_S):
            while any(each.queued_bytes and not each.is_held_back for each in self._exchange.connections):  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    def _truth(self, symbol: str) -> dict[str, Any]:
        market, instrument = self._exchange.truth, self._exchange.truth.instruments[symbol]

        def rows(levels: Sequence[tuple[int, int]]) -> list[list[str]]:
            return [[to_text(ticks, instrument.price_decimals), to_text(lots, instrument.size_decimals)] for ticks, lots in levels]

        bids, asks = market.book(symbol)
        return {"native": instrument.native, "sequence": market.sequence(symbol), "bids": rows(bids), "asks": rows(asks)}

    def _trades(self, symbol: str) -> list[list[Any]]:
        return [
            [
                trade.trade_id,
                trade.side.name.lower(),
                to_text(trade.price_ticks, trade.instrument.price_decimals),
                to_text(trade.size_lots, trade.instrument.size_decimals),
                (trade.exchange_ns or 0) // NS_PER_MS,
            ]
            for trade in self._exchange.truth.recent_trades(symbol, 10**6)
        ]

    def _candles(self, symbol: str, seconds: int) -> list[list[Any]]:
        instrument = self._exchange.truth.instruments[symbol]
        found = []
        for candle in self._exchange.truth.candles(symbol, Span(seconds), 1000):
            prices = (candle.open_ticks, candle.high_ticks, candle.low_ticks, candle.close_ticks)
            texts = [to_text(ticks, instrument.price_decimals) for ticks in prices]
            size = to_text(candle.size_lots, instrument.size_decimals)
            found.append([candle.begin_ns // NS_PER_MS, *texts, size, candle.trade_count])
        return found
