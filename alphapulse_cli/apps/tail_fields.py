"""Flat rows of chosen fields of `tail`'s items, for --fields and for CSV.

    DeltaGroup ─► a row a change where a field of a change is chosen, else a row a group       TradeItem ─► a row

CHECK, STATUS and RESET groups have a row of their own: a CHECK if `kind` is chosen, the others if `kind`, `state`, `reason` or a
quote is. `bid`, `ask` and their sizes are the book's best levels after the group; None if the book is not LIVE.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from alphapulse_cli.errors import UsageError
from alphapulse_cli.readers.items import DeltaGroup, TradeItem
from alphapulse_cli.wire.delta import RecordKind

Row = dict[str, Any]
Moment = Callable[[int], str]

GROUP_FIELDS = (
    "time",
    "timestamp_ns",
    "set",
    "exchange",
    "symbol",
    "kind",
    "version",
    "prev_version",
    "feed_delay_us",
    "resynced",
    "replay",
)
STATE_FIELDS = ("state", "reason")
CHANGE_FIELDS = ("side", "price", "size", "what")
QUOTE_FIELDS = ("bid", "bid_size", "ask", "ask_size")
DELTA_FIELDS = (*GROUP_FIELDS, *STATE_FIELDS, *CHANGE_FIELDS, *QUOTE_FIELDS)
TRADE_FIELDS = (
    "time",
    "timestamp_ns",
    "set",
    "exchange",
    "symbol",
    "side",
    "price",
    "size",
    "trade_id",
    "exchange_time",
    "exchange_ns",
    "feed_delay_us",
    "history",
    "replay",
)
DELTAS_CSV = ("time", "set", "exchange", "symbol", "kind", "version", *CHANGE_FIELDS, *STATE_FIELDS)
TRADES_CSV = ("time", "set", "exchange", "symbol", "side", "price", "size", "trade_id", "exchange_time", "history")


def chosen(text: str, what: str) -> tuple[str, ...]:
    """Parse a list of fields, as in "time,symbol,bid,ask"; `what` is "deltas" or "trades".

    UsageError, naming all, for an unknown one.
    """
    known = DELTA_FIELDS if what == "deltas" else TRADE_FIELDS
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",")))
    unknown = [name for name in names if name not in known]
    if unknown:
        of_deltas = what == "trades" and unknown and unknown[0] in DELTA_FIELDS
        there = "a field of deltas, not of trades" if of_deltas else f"not a field of {what}"
        raise UsageError(f"{there}: {', '.join(unknown)[:40] or 'nothing'}", f"fields are: {', '.join(known)}")
    return names


def needs_quotes(fields: Sequence[str]) -> bool:
    """Whether these fields need books, for their quotes."""
    return any(name in QUOTE_FIELDS for name in fields)


def rows_of(item: DeltaGroup | TradeItem, fields: Sequence[str], moment: Moment) -> Iterator[Row]:
    """Rows of one group or trade with these fields, in this order; `moment` formats a time."""
    if isinstance(item, TradeItem):
        yield _picked(_of_trade(item, moment), fields)
        return
    row = _of_group(item, moment)
    if item.kind is not RecordKind.DELTA:
        if "kind" in fields or (
            item.kind is not RecordKind.CHECK and any(name in fields for name in (*STATE_FIELDS, *QUOTE_FIELDS))
        ):
            yield _picked(row, fields)
    elif any(name in fields for name in CHANGE_FIELDS):
        for side, price, size, is_new in item.changes:
            yield _picked({**row, "side": side, "price": price, "size": size, "what": change_word(size, is_new)}, fields)
    else:
        yield _picked(row, fields)


def change_word(size: str, is_new: bool) -> str:
    """Word for a change of a level: removed, new or changed."""
    return "removed" if not size.strip("0.") else "new" if is_new else "changed"


def _picked(row: Row, fields: Sequence[str]) -> Row:
    return {name: row.get(name) for name in fields}


def _of_group(group: DeltaGroup, moment: Moment) -> Row:
    return {
        **group.row(),
        "time": moment(group.timestamp_ns),
        **dict(zip(QUOTE_FIELDS, group.quote, strict=True)),
        "replay": group.replay,
    }


def _of_trade(trade: TradeItem, moment: Moment) -> Row:
    exchange_ns = trade.exchange_ns
    return {
        **trade.row(),
        "replay": trade.replay,
        "time": moment(trade.timestamp_ns),
        "exchange_time": None if exchange_ns is None else moment(exchange_ns),
        "feed_delay_us": None if exchange_ns is None else (trade.timestamp_ns - exchange_ns) // 1000,
    }
