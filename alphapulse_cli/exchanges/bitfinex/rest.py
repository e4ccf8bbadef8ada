"""Bitfinex's REST side for simulators: `tickers` and the trades of a pair, the only paths that alphapulse requests."""

from collections.abc import Mapping, Sequence
from urllib.parse import parse_qsl

import orjson

from alphapulse_cli.exchanges.bitfinex.facts import MOST_TRADES, TICKERS_PATH, TRADES_PATH
from alphapulse_cli.exchanges.bitfinex.numbers import number_text
from alphapulse_cli.exchanges.protocol import Level, Truth
from alphapulse_cli.market.events import Side, Trade
from alphapulse_cli.market.instrument import Instrument

NS_PER_MS = 1_000_000
DEFAULT_TRADES = 125


def trade_row(trade: Trade, now_ns: int) -> str:
    """Row [id, time, amount, price] of a trade; one without an exchange time is dated `now_ns`."""
    instrument, sign = trade.instrument, "-" if trade.side is Side.SELL else ""
    moment = (now_ns if trade.exchange_ns is None else trade.exchange_ns) // NS_PER_MS
    amount = number_text(trade.size_lots, instrument.size_decimals)
    return f"[{int(trade.trade_id)},{moment},{sign}{amount},{number_text(trade.price_ticks, instrument.price_decimals)}]"


class RestEncoder:
    """REST side of a simulated Bitfinex; `exchanges.protocol.RestEncoder`."""

    def __init__(self, truth: Truth, mode: str = "") -> None:  # noqa: ARG002  # one mode only
        self._truth = truth
        self._by_path = {TRADES_PATH.format(native=each.native): symbol for symbol, each in truth.instruments.items()}

    def respond(self, path: str, query: Mapping[str, str], now_ns: int) -> tuple[int, bytes]:
        """Answer `tickers`, of all pairs or of those that `symbols` names, or the trades of one pair."""
        path, _, rest = path.partition("?")
        query = {**dict(parse_qsl(rest)), **query}
        if path in self._by_path:
            return 200, self._trades(self._by_path[path], query, now_ns)
        if path != TICKERS_PATH:
            return 404, b'["error",10020,"path: invalid"]'
        wanted = query.get("symbols", "ALL").split(",")
        found = [each for each in self._truth.instruments.values() if wanted == ["ALL"] or each.native in wanted]
        return 200, f"[{','.join(map(self._ticker, found))}]".encode("ascii")

    def _ticker(self, instrument: Instrument) -> str:
        """Row [symbol, bid, size, ask, size, change, relative change, last price, volume, high, low] of a pair.

        The volume is that of the trades which the simulator remembers.
        """
        bids, asks = self._truth.book(instrument.symbol, 1)
        trades = self._truth.recent_trades(instrument.symbol, 1)
        last = number_text(trades[-1].price_ticks, trades[-1].instrument.price_decimals) if trades else "null"
        sides = ",".join(_best(instrument, side) for side in (bids, asks))
        volume = number_text(
            sum(trade.size_lots for trade in self._truth.recent_trades(instrument.symbol, MOST_TRADES)), instrument.size_decimals
        )
        return f"[{orjson.dumps(instrument.native).decode()},{sides},0,0,{last},{volume},{last},{last}]"

    def _trades(self, symbol: str, query: Mapping[str, str], now_ns: int) -> bytes:
        """Trades since `start` (ms), oldest first for `sort` 1, else the newest first; at most `limit`."""
        start, limit = query.get("start", "0"), query.get("limit", str(DEFAULT_TRADES))
        if not (start.isdecimal() and limit.isdecimal()):
            return b'["error",10020,"limit: invalid"]'
        since_ns, most = int(start) * NS_PER_MS, min(int(limit), MOST_TRADES)
        found = [each for each in self._truth.recent_trades(symbol, MOST_TRADES) if (each.exchange_ns or 0) >= since_ns]
        chosen = found[:most] if query.get("sort") == "1" else found[::-1][:most]
        return f"[{','.join(trade_row(each, now_ns) for each in chosen)}]".encode("ascii")


def _best(instrument: Instrument, side: Sequence[Level]) -> str:
    if not side:
        return "null,0"
    ticks, lots = side[0]
    return f"{number_text(ticks, instrument.price_decimals)},{number_text(lots, instrument.size_decimals)}"
