"""Scorecards made by hand."""

from typing import Any

from alphapulse_cli.readers.feeds import FeedCard

SECOND = 1_000_000_000
TO_NS = 1_767_323_045 * SECOND  # 2026-01-02T03:04:05Z
HOUR_NS = 3600 * SECOND


def card(kind: str = "exchange", symbol: str = "", connection: int | None = None, set: str = "kraken", **more: Any) -> FeedCard:  # noqa: A002 the card's own name
    """A card of a feed that lost its book twice in an hour and connected again once."""
    is_symbol = kind == "symbol"
    known: dict[str, Any] = {
        "exchange": set,
        "window": "hour",
        "from_ns": TO_NS - HOUR_NS,
        "to_ns": TO_NS,
        "live": True,
        "books": 1,
        "books_live": 1,
        "state": "LIVE" if is_symbol else None,
        "trading_status": "TRADING",
        "ran_ns": HOUR_NS,
        "observed_ns": HOUR_NS,
        "valid_ns": HOUR_NS - SECOND,
        "breaks": 2,
        "gaps": 2,
        "resyncs": 2,
        "healings": 2,
        "healing_ms": {"p50": 31, "p99": 480},
        "checksums_ok": 100,
        "checksums_bad": 0,
        "feed_delay_us": {"count": 5, "below_zero": 0, "p50": 800, "p99": 12_000, "p99.9": 400_000},
        "messages": 84_600,
        "messages_per_s": 23.5,
        "bytes": None if is_symbol else 68_400_000,
        "bytes_per_s": None if is_symbol else 19_000.0,
        "reconnects": None if is_symbol else 1,
        "open_ns": None if is_symbol else HOUR_NS - SECOND // 2,
        "connected_ns": None if is_symbol else HOUR_NS,
        "halts": 0,
        "restricted_ns": 0,
    }
    return FeedCard(set=set, kind=kind, symbol=symbol, connection=connection, **(known | more))


def perfect(**more: Any) -> FeedCard:
    """A card of a feed with which nothing was ever wrong, of an exchange without checksums."""
    nothing: dict[str, Any] = dict.fromkeys(("breaks", "gaps", "resyncs", "healings", "checksums_ok", "reconnects"), 0)
    healing: dict[str, Any] = {"p50": None, "p99": None}
    return card(valid_ns=HOUR_NS, open_ns=HOUR_NS, healing_ms=healing, **nothing, **more)


def a_market() -> tuple[FeedCard, ...]:
    """Cards of three exchanges: one perfect, one that was halted, one on two connections, whose collector has ended."""
    no_delay = {"count": 4, "below_zero": 4, "p50": None, "p99": None, "p99.9": None}
    return (
        perfect(set="binance-us", books=2, books_live=2),
        perfect(kind="connection", set="binance-us", connection=1, books=2, books_live=2),
        card(
            "symbol",
            "BTC-USD",
            1,
            "binance-us",
            gaps=0,
            breaks=0,
            valid_ns=HOUR_NS,
            healings=0,
            healing_ms={"p50": None, "p99": None},
        ),
        card(set="coinbase", halts=1, trading_status="CANCEL_ONLY", checksums_ok=0, restricted_ns=SECOND),
        card("symbol", "BTC-USD", 1, "coinbase", halts=1, trading_status="CANCEL_ONLY", checksums_ok=0, feed_delay_us=no_delay),
        card(books=2, books_live=0, live=False, ran_ns=HOUR_NS // 2, valid_ns=HOUR_NS // 2, checksums_bad=3),
        card("connection", connection=1, live=False),
        card(
            "connection", connection=2, live=False, observed_ns=0, valid_ns=0, messages_per_s=None, bytes_per_s=None, connected_ns=0
        ),
        card("symbol", "BTC-USD", 1, live=False, gaps=1234),
        card("symbol", "ETH-USD", 2, live=False, state="SYNCING"),
    )
