"""Kraken's REST side for simulators: `AssetPairs` and `Trades`, the only paths that alphapulse requests."""

from collections.abc import Mapping

import orjson

from alphapulse_cli.exchanges.kraken.entries import Json
from alphapulse_cli.exchanges.kraken.facts import FACTS
from alphapulse_cli.exchanges.kraken.pairs import TRADES_PATH, rest_name
from alphapulse_cli.exchanges.kraken.render import asset_pair, trades_answer
from alphapulse_cli.exchanges.protocol import Truth

MOST_TRADES = 1000


class RestEncoder:
    """REST side of a simulated Kraken; `exchanges.protocol.RestEncoder`."""

    def __init__(self, truth: Truth, mode: str = "") -> None:  # noqa: ARG002  # one mode only
        self._truth = truth
        names = {symbol: rest_name(each.native) for symbol, each in truth.instruments.items()}
        self._pairs = {name.replace("/", ""): (name, symbol) for symbol, name in names.items()}

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:  # noqa: ARG002
        """Answer `AssetPairs`, of all pairs or of those that `pair` names, or `Trades` of one pair."""
        if path == TRADES_PATH:
            return 200, self._trades(query)
        if path != FACTS.instruments_path:
            return 404, orjson.dumps({"error": ["EGeneral:Unknown method"]})
        wanted = query["pair"].split(",") if "pair" in query else list(self._pairs)
        if any(name not in self._pairs for name in wanted):
            return 200, orjson.dumps({"error": ["EQuery:Unknown asset pair"]})
        return 200, orjson.dumps({"error": [], "result": {name: self._pair(name) for name in wanted}})

    def _pair(self, altname: str) -> Json:
        name, symbol = self._pairs[altname]
        return asset_pair(name, self._truth.instruments[symbol])

    def _trades(self, query: Mapping[str, str]) -> bytes:
        found = self._pairs.get(query.get("pair", ""))
        since, count = query.get("since", "0"), query.get("count", str(MOST_TRADES))
        if found is None or not (since.isdecimal() and count.isdecimal()):
            return orjson.dumps({"error": ["EQuery:Unknown asset pair" if found is None else "EGeneral:Invalid arguments"]})
        name, symbol = found
        most, since_ns = min(int(count), MOST_TRADES), int(since)
        trades = [each for each in self._truth.recent_trades(symbol, MOST_TRADES) if (each.exchange_ns or 0) > since_ns]
        return trades_answer(name, trades[:most] if since_ns else trades[-most:])
