"""Coinbase REST side for simulators, in the interface of its mode: see advanced_rest.py and exchange_rest.py.

REST books have no sequence number of the feeds, so the collector never requests one.
"""

from collections.abc import Mapping, Sequence

import orjson

from alphapulse_cli.exchanges.coinbase.advanced_rest import AdvancedRest
from alphapulse_cli.exchanges.coinbase.exchange_rest import ExchangeRest
from alphapulse_cli.exchanges.coinbase.facts import ADVANCED, FACTS
from alphapulse_cli.exchanges.protocol import Truth


class RestEncoder:
    """REST side of a simulated Coinbase, in the interface of its mode. KeyError for an unknown mode."""

    def __init__(self, truth: Truth, mode: str = "") -> None:
        self._rest = (AdvancedRest if FACTS.mode(mode).name == ADVANCED else ExchangeRest)(truth)

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        """Answer a GET with (HTTP status, body)."""
        status, body = self._rest.respond(path, query, now_ns)
        return status, orjson.dumps(body)

    def headers(self, path: str, query: Mapping[str, str], now_ns: int) -> Sequence[tuple[str, str]]:
        """Headers of the answer: cursors of a page of trades of the Exchange."""
        return self._rest.headers(path, query, now_ns) if isinstance(self._rest, ExchangeRest) else ()
