"""Response models of the REST interface: what each answer holds, with units and meanings; the OpenAPI document is made of them.

Prices and sizes are exact decimal text, times nanoseconds since 1970 (`*_ns`) with RFC 3339 text beside them. What is not known is
null, never 0. Only what serves HTTP imports this module: it needs the extra `serve`.
"""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from alphapulse_cli.readers.feeds import MEANINGS

EXACT = "exact decimal text"
Decimal = Annotated[str, Field(pattern=r"^-?[0-9]+(\.[0-9]+)?$", description=EXACT)]
Level = tuple[Decimal, Decimal]


COMMON = {  # field -> meaning, where its model has no other
    "set": "name of the set: that of its exchange, or the NAME of `collect --as NAME`",
    "exchange": "name of the exchange",
    "symbol": "canonical symbol, BASE-QUOTE",
    "state": "state of the book: COLD, SYNCING, LIVE, STALE or HALTED",
    "reason": "reason of the state; NONE where there is none",
    "trading_status": "which orders the market takes; null if the collector does not say",
    "replay": "a replay writes it: it is of the past",
    "epoch": "of the writer: versions of two epochs cannot be compared",
    "version": "version of the book",
    "time": "receipt of the frame, RFC 3339",
    "timestamp_ns": "the same in ns since 1970",
    "connections_open": "connections that are open now",
    "last_frame_ns": "the same in ns since 1970",
    "resyncs": "resyncs of books, begun",
    "reconnects": "connections made in place of ones that ended",
    "price_decimals": "decimals of prices",
    "size_decimals": "decimals of sizes",
    "tick_size": "step of prices",
    "lot_size": "step of sizes",
    "bid": "best bid",
    "bid_size": "its size",
    "ask": "best ask; null for an empty side",
    "ask_size": "its size",
    "trade_id": "the exchange's id of the trade",
    "price": "price of the trade",
    "size": "size",
    "trades": "trades",
    "candles": "candles",
    "begin": "begin of the candle, RFC 3339",
    "begin_ns": "the same in ns since 1970",
    "open": "price of the first trade",
    "high": "highest price",
    "low": "lowest price",
    "close": "price of the last trade",
    "volume": "sum of sizes",
    "sell_volume": "of the trades whose taker sold",
    "width": "width of the candles",
    "bid_changes": "changed levels of the bids",
    "ask_changes": "changed levels of the asks",
    "books": "number of books",
    "total_deltas_processed": "groups published since the collectors started",
    "total_changes": "changes of levels in them",
    "avg_changes_per_update": "`total_changes` / `total_deltas_processed`",
    "baseline": "what the bytes of deltas are compared with",
    "measured_groups": "groups that were measured",
    "delta_bytes": "bytes of their records",
    "full_book_bytes": "bytes of the baseline",
    "compression_ratio": "`full_book_bytes` / `delta_bytes`",
    "bandwidth_saved_bytes": "`full_book_bytes` - `delta_bytes`",
    "by_book": "statistics of each book",
    "id": "its name, which stays the same",
    "born_ns": "its birth, ns since 1970",
    "changes": "times that it changed",
    "bps": "profit in basis points of the money that it takes",
    "peak_size": "size at its best",
    "peak_net": "profit after fees at its best",
    "peak_bps": "basis points at its best",
    "peak_ns": "time of its best, ns since 1970",
    "watchers": "running `arb watch` processes",
    "opportunities": "opportunities",
    "count": "number of measurements",
    "below_zero": "of those, the ones with the exchange's clock ahead",
    "p50": "median",
    "p99": "99 of 100 are not above it",
    "p99.9": "999 of 1,000 are not above it",
    "liveness": "live, building, silent, retired, replaced or gone",
    "sets": "sets of segments",
    "live": "of those, the live ones",
    "status": "ok",
    "ready": "whether a set is live",
    "started": "start of the server, RFC 3339",
    "started_ns": "the same in ns since 1970",
    "uptime_s": "seconds since then",
    "error": "the error",
}


def _tell(schema: dict[str, Any]) -> None:
    """Give each field of a schema a meaning."""
    for name, field in schema.get("properties", {}).items():
        if name in COMMON and field.get("description", EXACT) == EXACT:
            field["description"] = COMMON[name]


class Answer(BaseModel):
    """Base of all answers: no field but those that are declared, and no number read from text."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, json_schema_extra=_tell)


class Problem(Answer):
    """Error of a request."""

    code: str = Field(description="for programs: one word", examples=["not_found"])
    message: str = Field(description="for people: what is wrong", examples=["no book of BTC-EUR"])
    hint: str = Field(description="what to try next; empty if there is nothing to say", examples=["did you mean BTC-USD?"])


class ErrorAnswer(Answer):
    """Answer to a request that could not be met."""

    error: Problem


class SetRow(Answer):
    """Set of segments: what one collector, or one replay, writes."""

    set: str = Field(
        description="name of the set; that of its exchange unless the collector was given another", examples=["kraken"]
    )
    exchange: str = Field(examples=["kraken"])
    liveness: str = Field(description="live, building, silent, retired, replaced or gone", examples=["live"])
    replay: bool = Field(description="a replay writes it: all of it is of the past")
    epoch: int | None = Field(description="of the writer; each start has a larger one")
    symbols: list[str] = Field(description="of the books", examples=[["BTC-USD", "ETH-USD"]])
    connections: int | None = Field(description="to the exchange that the collector keeps")
    connections_open: int | None
    last_frame: str | None = Field(description="time of the last frame received from the exchange")
    last_frame_ns: int | None
    frames: int | None = Field(description="received since the collector started")
    groups: int | None = Field(description="published for books: one version each")
    trades: int | None = Field(description="published")
    gaps: int | None = Field(description="in the exchange's sequences")
    resyncs: int | None
    reconnects: int | None


class SymbolRow(Answer):
    """Book of a set, and the exchange's rules for orders."""

    set: str = Field(examples=["kraken"])
    exchange: str = Field(examples=["kraken"])
    symbol: str = Field(examples=["BTC-USD"])
    state: str = Field(description="COLD, SYNCING, LIVE, STALE or HALTED: only a LIVE book may be believed", examples=["LIVE"])
    reason: str = Field(description="of the state", examples=["NONE"])
    trading_status: str | None = Field(description="which orders the market takes; null if the collector does not say")
    replay: bool
    price_decimals: int | None = Field(examples=[2])
    size_decimals: int | None = Field(examples=[8])
    tick_size: Decimal | None = Field(examples=["0.01"])
    lot_size: Decimal | None = Field(examples=["0.00000001"])
    min_size: Decimal | None = Field(description="null also if there is no minimum", examples=["0.0001"])


class BboRow(Answer):
    """Best prices of a book, from the collector's own image."""

    set: str = Field(examples=["kraken"])
    exchange: str = Field(examples=["kraken"])
    symbol: str = Field(examples=["BTC-USD"])
    state: str = Field(examples=["LIVE"])
    reason: str = Field(examples=["NONE"])
    trading_status: str | None = Field(examples=["TRADING"])
    replay: bool
    epoch: int
    version: int = Field(description="of the book")
    time: str | None = Field(description="receipt of the last frame that changed or confirmed the book")
    timestamp_ns: int | None
    bid: Decimal | None = Field(description="null for an empty side", examples=["60000.1"])
    bid_size: Decimal | None = Field(examples=["0.5"])
    ask: Decimal | None = Field(examples=["60000.2"])
    ask_size: Decimal | None = Field(examples=["1.25"])


class BookAnswer(Answer):
    """Book at one version: the best levels, best first."""

    set: str = Field(examples=["kraken"])
    exchange: str = Field(examples=["kraken"])
    symbol: str = Field(examples=["BTC-USD"])
    state: str = Field(description="COLD, SYNCING, LIVE, STALE or HALTED: only a LIVE book may be believed", examples=["LIVE"])
    reason: str = Field(examples=["NONE"])
    trading_status: str | None = Field(examples=["TRADING"])
    replay: bool = Field(description="a replay writes it: the book is of the past")
    at: str | None = Field(description="the time that was asked for; null for the book of now")
    epoch: int | None = Field(description="of the writer: versions of two epochs cannot be compared; null in a recording")
    version: int
    time: str | None = Field(description="receipt of the last frame that changed or confirmed the book")
    timestamp_ns: int | None
    bid_levels: int = Field(description="of the whole book")
    ask_levels: int = Field(description="of the whole book")
    depth: int = Field(description="most levels of a side in this answer")
    bids: list[Level] = Field(description="[price, size], the highest price first", examples=[[["60000.1", "0.5"]]])
    asks: list[Level] = Field(description="[price, size], the lowest price first", examples=[[["60000.2", "1.25"]]])


class TradeRow(Answer):
    """Trade as the exchange told it."""

    time: str = Field(description="of its receipt")
    timestamp_ns: int
    exchange_ns: int | None = Field(description="the exchange's own time; null where it gave none")
    trade_id: str
    side: str = Field(description="the taker's: buy, sell or unknown", examples=["buy"])
    price: Decimal = Field(examples=["60000.1"])
    size: Decimal = Field(examples=["0.01"])
    history: bool = Field(description="of a subscription's history: it was traded before the subscription")


class TradesAnswer(Answer):
    """Last trades of a market, the newest first."""

    set: str = Field(examples=["kraken"])
    exchange: str = Field(examples=["kraken"])
    symbol: str = Field(examples=["BTC-USD"])
    replay: bool
    missed: int = Field(description="records of the set that were overwritten before this server read them")
    trades: list[TradeRow]


class CandleRow(Answer):
    """Candle that is closed. Prices are null without trades: the last price is not repeated."""

    begin: str
    begin_ns: int
    end_ns: int = Field(description="exclusive")
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    close: Decimal | None
    volume: Decimal
    vwap: Decimal | None = Field(description="mean price by volume")
    buy_volume: Decimal = Field(description="of the trades whose taker bought")
    sell_volume: Decimal
    notional: Decimal = Field(description="sum of price times size")
    count: int = Field(description="number of trades")
    history: int = Field(description="of them, trades of a subscription's history")
    late: int = Field(description="trades of earlier candles that came too late for them")
    left_out: int = Field(description="trades of a subscription's history that are in no candle")
    gap: bool = Field(description="a part of it was not watched")
    why: str = Field(description="reason of the gap; empty without one")
    missed: int = Field(description="records, or trades by the exchange's count, that were missed")


class CandlesAnswer(Answer):
    """Candles of a market, the oldest first."""

    set: str = Field(examples=["kraken"])
    exchange: str = Field(examples=["kraken"])
    symbol: str = Field(examples=["BTC-USD"])
    replay: bool
    width: str = Field(examples=["1m"])
    candles: list[CandleRow]


class LastGroup(Answer):
    """Changes of a book's last group: of one message of the exchange."""

    version: int
    time: str
    timestamp_ns: int
    bid_changes: int = Field(examples=[4])
    ask_changes: int = Field(examples=[6])
    full_levels: int = Field(description="levels that the book had after it", examples=[45827])


class DeltaStats(Answer):
    """Deltas of a book against whole books.

    Counts are the collector's, since it started. Bytes were measured by this server, over `measured_groups`, and are null before the
    first one.
    """

    set: str = Field(examples=["kraken"])
    exchange: str = Field(examples=["kraken"])
    symbol: str = Field(examples=["BTC-USD"])
    replay: bool
    total_deltas_processed: int | None = Field(
        description="groups published for the book since the collector started, one version each"
    )
    total_changes: int | None = Field(description="changes of levels in them")
    avg_changes_per_update: float | None = Field(description="`total_changes` / `total_deltas_processed`", examples=[9.7])
    baseline: str = Field(description="what the bytes of deltas are compared with")
    measured_since_ns: int = Field(description="begin of the measurement, ns since 1970")
    measured_groups: int = Field(description="groups that were measured")
    delta_bytes: int | None = Field(description="of their records, 256 bytes each")
    full_book_bytes: int | None = Field(description="of the baseline")
    compression_ratio: float | None = Field(description="`full_book_bytes` / `delta_bytes`", examples=[2819.0])
    bandwidth_saved_bytes: int | None = Field(
        description="`full_book_bytes` - `delta_bytes`; negative for a small book with large changes"
    )
    last_update_latency_us: float | None = Field(
        description="of the last group: from the receipt of the exchange's frame to the reading in this server; null in a replay"
    )
    last: LastGroup | None = Field(description="the last group that was measured")


class DeltaSummary(Answer):
    """Sums of the delta statistics of all books, and the statistics of each."""

    books: int
    total_deltas_processed: int | None
    total_changes: int | None
    avg_changes_per_update: float | None
    baseline: str
    measured_groups: int
    delta_bytes: int | None
    full_book_bytes: int | None
    compression_ratio: float | None
    bandwidth_saved_bytes: int | None
    missed: int = Field(description="records that were overwritten before this server read them")
    by_book: list[DeltaStats]


class OpportunityRow(Answer):
    """Arbitrage opportunity that an `arb watch` saw. Money and sizes are exact decimal text, after fees."""

    id: str
    kind: str = Field(description="pair or triangle")
    symbol: str
    buy: str = Field(description="set to buy from")
    sell: str = Field(description="set to sell to")
    currency: str = Field(description="of the profit")
    born_ns: int
    last_ns: int = Field(description="of the last reported change")
    closed_ns: int | None = Field(description="null if its end was not seen")
    why: str = Field(description="reason of closing; empty before")
    is_open: bool = Field(description="its end was not seen, and an `arb watch` runs that would have seen it")
    is_from_start: bool = Field(description="it was there when the watch began: its birth was not seen")
    changes: int
    size: Decimal
    net: Decimal = Field(description="profit after fees")
    bps: Decimal
    peak_size: Decimal
    peak_net: Decimal
    peak_bps: Decimal
    peak_ns: int


class OpportunitiesAnswer(Answer):
    """Opportunities of this directory's sets, the newest first, from what `alphapulse arb watch` keeps."""

    watching: bool = Field(description="an `arb watch` runs on this directory now; without one nothing new can be seen")
    watchers: int
    opportunities: list[OpportunityRow]


def _meaning(name: str, **more: Any) -> Any:
    """Field of a scorecard, with its meaning."""
    return Field(description=MEANINGS[name], **more)


class Healings(Answer):
    """Durations of healings in ms."""

    p50: int | None
    p99: int | None


class Delays(Answer):
    """Feed delays in us."""

    count: int | None
    below_zero: int | None
    p50: int | None
    p99: int | None
    p99_9: int | None = Field(alias="p99.9")


class FeedRow(Answer):
    """Scorecard of an exchange's set, of one of its connections, or of one symbol, over one window."""

    version: int = _meaning("version")
    set: str = _meaning("set")
    exchange: str = _meaning("exchange")
    kind: str = _meaning("kind")
    symbol: str = _meaning("symbol")
    connection: int | None = _meaning("connection")
    window: str = _meaning("window")
    from_ns: int = _meaning("from_ns")
    to_ns: int = _meaning("to_ns")
    live: bool = _meaning("live")
    books: int = _meaning("books")
    books_live: int = _meaning("books_live")
    state: str | None = _meaning("state")
    trading_status: str | None = _meaning("trading_status")
    ran_ns: int = _meaning("ran_ns")
    observed_ns: int = _meaning("observed_ns")
    valid_ns: int = _meaning("valid_ns")
    breaks: int = _meaning("breaks")
    gaps: int = _meaning("gaps")
    resyncs: int = _meaning("resyncs")
    healings: int = _meaning("healings")
    healing_ms: Healings = _meaning("healing_ms")
    checksums_ok: int = _meaning("checksums_ok")
    checksums_bad: int = _meaning("checksums_bad")
    feed_delay_us: Delays = _meaning("feed_delay_us")
    messages: int = _meaning("messages")
    messages_per_s: float | None = _meaning("messages_per_s")
    bytes: int | None = _meaning("bytes")
    bytes_per_s: float | None = _meaning("bytes_per_s")
    reconnects: int | None = _meaning("reconnects")
    open_ns: int | None = _meaning("open_ns")
    connected_ns: int | None = _meaning("connected_ns")
    halts: int = _meaning("halts")
    restricted_ns: int = _meaning("restricted_ns")
    from_: str = _meaning("from", alias="from")
    to: str = _meaning("to")
    valid_percent: float | None = _meaning("valid_percent")
    open_percent: float | None = _meaning("open_percent")
    checksums_percent: float | None = _meaning("checksums_percent")


class SetHealth(Answer):
    """Health of one set."""

    set: str
    exchange: str
    liveness: str
    replay: bool
    books: int
    live: int = Field(description="books that are LIVE")
    not_live: list[str] = Field(description="the others: symbol, state and reason", examples=[["ETH-USD SYNCING GAP"]])


class SystemHealth(Answer):
    """State of the server and of all sets that it serves."""

    status: str = Field(description="ok: all books are LIVE; degraded: some are not; down: none is", examples=["ok"])
    version: str = Field(description="of alphapulse")
    core: str = Field(description="compiled or interpreted")
    protocol: int = Field(description="of the messages and answers")
    started: str
    started_ns: int
    uptime_s: float
    sets: list[SetHealth]
    clients: int | None = Field(description="WebSocket clients now")
    missed: int | None = Field(description="records that were overwritten before this server read them")
    memory_bytes: int | None = Field(description="resident memory of the process")
    watchers: int = Field(description="`arb watch` processes on this directory")


class Alive(Answer):
    """Answer of a server that runs."""

    status: str = Field(examples=["ok"])


class Ready(Answer):
    """Whether the server has data to serve: at least one set is live, and one of its books."""

    ready: bool
    sets: int
    live: int
    why: str = Field(description="reason of not being ready; empty if it is")


Row = dict[str, Any]
