"""Kraken's REST side: `AssetPairs`, the only answer that alphapulse asks for."""

from collections.abc import Mapping

import orjson

from alphapulse_cli.exchanges.kraken.entries import Json
from alphapulse_cli.exchanges.kraken.facts import FACTS
from alphapulse_cli.exchanges.kraken.render import asset_pair, rest_name
from alphapulse_cli.exchanges.protocol import Truth


class RestEncoder:
    """Kraken's REST side; `exchanges.protocol.RestEncoder`."""

    def __init__(self, truth: Truth, mode: str = "") -> None:  # noqa: ARG002  # one mode only
        self._truth = truth
        names = {symbol: rest_name(each.native) for symbol, each in truth.instruments.items()}
        self._pairs = {name.replace("/", ""): (name, symbol) for symbol, name in names.items()}

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:  # noqa: ARG002
        """`AssetPairs`, of all pairs or of those that `pair` names."""
        if path != FACTS.instruments_path:
            return 404, orjson.dumps({"error": ["EGeneral:Unknown method"]})
        wanted = query["pair"].split(",") if "pair" in query else list(self._pairs)
        if any(name not in self._pairs for name in wanted):
            return 200, orjson.dumps({"error": ["EQuery:Unknown asset pair"]})
        return 200, orjson.dumps({"error": [], "result": {name: self._pair(name) for name in wanted}})

    def _pair(self, altname: str) -> Json:
        name, symbol = self._pairs[altname]
        return asset_pair(name, self._truth.instruments[symbol])
