"""Channels `ticker` and `ohlc` of one simulated client: its subscriptions, and the frames sent after trades and book changes.

trades ─► ticker (event_trigger "trades", the default; "bbo" too), and the current candle of each interval
a best level changes ─► ticker (event_trigger "bbo")
"""

from collections.abc import Iterable, Sequence

from alphapulse_cli.exchanges.kraken.entries import Json
from alphapulse_cli.exchanges.kraken.render import candle_json, ticker_json
from alphapulse_cli.exchanges.protocol import Level, Truth
from alphapulse_cli.exchanges.timestamps import rfc3339_text
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.trade_summary import Span, TradeSummary

MINUTES = (1, 5, 15, 30, 60, 240, 1440, 10080, 21600)  # intervals of candles
TRIGGERS = ("trades", "bbo")
SNAPSHOT_CANDLES = 10
WARNING = "timestamp is deprecated, use interval_begin"  # warning in the ack of every ohlc subscription
Best = list[Sequence[Level]]


class Summaries:
    """Subscriptions of one client to `ticker` and `ohlc`."""

    def __init__(self, truth: Truth) -> None:
        self._truth = truth
        self._triggers: dict[str, list[str]] = {}
        self._best: dict[str, Best] = {}  # best levels as last sent
        self._intervals: dict[str, list[int]] = {}

    @property
    def any(self) -> bool:
        """Whether the client has any subscription."""
        return bool(self._triggers or self._intervals)

    def subscribe(self, params: Json, instrument: Instrument, now_ns: int) -> tuple[Json | str, bytes]:
        """Start a subscription; returns the ack's result or the reason of a refusal, and the snapshot (b"" for none)."""
        symbol, wanted = instrument.symbol, params.get("snapshot", True) is True
        result: Json = {"channel": params["channel"], "snapshot": wanted, "symbol": instrument.native}
        if params["channel"] == "ticker":
            trigger = params.get("event_trigger", TRIGGERS[0])
            if trigger not in TRIGGERS:
                return "Subscription event_trigger not supported", b""
            triggers = self._triggers.setdefault(symbol, [])
            if trigger in triggers:
                return "Already subscribed", b""
            triggers.append(trigger)
            frame = self._ticker("snapshot", symbol, now_ns)
            return result | {"event_trigger": trigger}, frame if wanted else b""
        minutes = params.get("interval", MINUTES[0])
        if type(minutes) is not int or minutes not in MINUTES:
            return "Subscription ohlc interval not supported", b""
        intervals = self._intervals.setdefault(symbol, [])
        if minutes in intervals:
            return "Already subscribed", b""
        intervals.append(minutes)
        past = self._truth.candles(symbol, Span(60 * minutes), SNAPSHOT_CANDLES) if wanted else ()
        frame = _candles("snapshot", instrument, past, minutes, now_ns) if past else b""
        return result | {"interval": minutes, "warnings": [WARNING]}, frame

    def unsubscribe(self, params: Json, instrument: Instrument) -> Json | None:
        """End a subscription; returns the ack's result, or None if there was no subscription."""
        symbol, channel = instrument.symbol, params["channel"]
        field, held = ("event_trigger", self._triggers) if channel == "ticker" else ("interval", self._intervals)
        subscribed = held.get(symbol, [])
        wanted = params.get(field, TRIGGERS[0] if channel == "ticker" else MINUTES[0])
        if wanted not in subscribed:
            return None
        subscribed.remove(wanted)
        if not subscribed:
            del held[symbol]
        return {"channel": channel, "symbol": instrument.native, field: wanted}

    def of_trades(self, symbol: str, now_ns: int) -> list[bytes]:
        """Frames sent after new trades of the symbol."""
        frames = [self._ticker("update", symbol, now_ns)] if "trades" in self._triggers.get(symbol, ()) else []
        instrument = self._truth.instruments[symbol]
        for minutes in self._intervals.get(symbol, ()):
            newest = self._truth.candles(symbol, Span(60 * minutes), 1)
            frames.append(_candles("update", instrument, newest, minutes, now_ns))
        return frames

    def of_book(self, symbol: str, now_ns: int) -> list[bytes]:
        """Frames sent after a change of the symbol's book."""
        if "bbo" not in self._triggers.get(symbol, ()) or self._best[symbol] == list(self._truth.book(symbol, 1)):
            return []
        return [self._ticker("update", symbol, now_ns)]

    def _ticker(self, kind: str, symbol: str, now_ns: int) -> bytes:
        instrument, (bids, asks) = self._truth.instruments[symbol], self._truth.book(symbol, 1)
        self._best[symbol] = [bids, asks]
        last = self._truth.recent_trades(symbol, 1)
        last_ticks = last[-1].price_ticks if last else 0
        entry = ticker_json(instrument, (bids, asks), last_ticks, self._truth.last_day(symbol, now_ns), now_ns)
        return f'{{"channel":"ticker","type":"{kind}","data":[{entry}]}}'.encode()


def _candles(kind: str, instrument: Instrument, candles: Iterable[TradeSummary], minutes: int, now_ns: int) -> bytes:
    entries = ",".join(candle_json(instrument, candle, minutes) for candle in candles)
    return f'{{"channel":"ohlc","type":"{kind}","timestamp":"{rfc3339_text(now_ns)}","data":[{entries}]}}'.encode()
