"""Columns of records in numbers that are exact and cannot wrap: prices, sizes, decimals and times.

    prices(records)            Decimals; "text" and "float" by choice          sizes(records)           the same of sizes
    price_decimals(records)    int64, so that arithmetic with them is signed   size_decimals(records)
    times(records)             datetime64[ns], UTC: when we received it        exchange_times(records)  the exchange's, NaT where it gave none
    feed_delays(records)       timedelta64[ns]: the first minus the second, negative where the exchange's clock is ahead
    changes(records)           the changes of delta records, one a row, in signed integers

`records` is the array that `DeltaReader.poll`, `TradeReader.poll` or `changes` returned, or any part of it. A column of trades or
changes has a value a record. For delta records `prices` and `sizes` have a value a *change* (the rows of `changes(records)`), the
other columns a value a record.

A record keeps decimals in one unsigned byte and times in unsigned 64 bits, as every language can read them. In numpy these wrap:
`10.0**-records["price_decimals"]` is 1.2e258 at 2 decimals, `10 ** records["price_decimals"]` is 0 at 8, and a time minus a later
one is 1.8e19. Therefore take the columns from here:

    trades, deltas = ap.TradeReader("kraken").poll(), ap.DeltaReader("kraken").poll()
    notional = ap.prices(trades) * ap.sizes(trades)                         # exact
    price = ap.prices(trades, "float")                                      # the nearest doubles
    price = trades["price_ticks"] / 10.0 ** ap.price_decimals(trades)       # the formula by hand: its decimals must be signed
    late = ap.feed_delays(trades)                                           # negative where the exchange's clock is ahead
    late = ap.times(trades) - ap.exchange_times(trades)
    rows = ap.changes(deltas)
    notional = ap.prices(rows) * ap.sizes(rows)                             # a value a change, as in ap.prices(deltas)
    asks = ap.prices(rows[rows["is_ask"]], "text")

A damaged record (more than 18 decimals) is a ValueError, an array that is none of these a TypeError.
"""

import sys
from decimal import Decimal
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

from alphapulse_cli.market.scan import MAX_DECIMALS
from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.wire import delta, trade

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

    Array = np.ndarray[Any, Any]

Form = Literal["decimal", "text", "float"]
FORMS = ("decimal", "text", "float")
TAKERS = ("buy", "sell", "unknown")
EXACT_FLOAT = 1 << 53  # every integer up to here is exact as a float
LAST = (1 << 63) - 1  # the greatest signed time or version

CHANGE_FIELDS = [
    ("timestamp_ns", "<i8"),
    ("symbol", "S16"),
    ("exchange", "S16"),
    ("version", "<i8"),  # signed: differences between versions of several symbols in one column may be negative
    ("is_ask", "?"),
    ("is_new", "?"),
    ("price_ticks", "<i8"),
    ("size_lots", "<i8"),  # 0 removes the level
    ("price_decimals", "<i8"),
    ("size_decimals", "<i8"),
    ("feed_delay_us", "<i8"),
]


@cache
def change_dtype() -> "np.dtype[np.void]":
    """The numpy dtype of a row of `changes`."""
    import numpy as np

    return np.dtype(CHANGE_FIELDS)


def changes(records: "Array") -> "Array":
    """Changes of delta records, one a row, in their order: an array of its own memory, `change_dtype()`, shape (n,).

    CHECKs, STATUSes and RESETs have no changes. TypeError for an array that is not of delta records.
    """
    import numpy as np

    if records.dtype != delta.dtype():
        raise TypeError(f"not records of a DeltaReader: dtype {records.dtype}")
    records = np.atleast_1d(records)
    counts = np.minimum(records["change_count"], delta.MAX_CHANGES).astype(np.int64)
    of = np.repeat(np.arange(len(records)), counts)
    place = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
    word = records["changes"]["size_side"][of, place]
    made = np.empty(len(of), dtype=change_dtype())
    for name in ("symbol", "exchange", "price_decimals", "size_decimals", "feed_delay_us"):
        made[name] = records[name][of]
    for name in ("timestamp_ns", "version"):
        made[name] = _signed(records[name])[of]
    made["price_ticks"] = records["changes"]["price_ticks"][of, place]
    made["size_lots"] = word & np.uint64(delta.SIZE_MASK)
    made["is_ask"] = word & np.uint64(delta.IS_ASK) != 0
    made["is_new"] = word & np.uint64(delta.LEVEL_IS_NEW) != 0
    return made


def prices(records: "Array", form: Form = "decimal") -> "Array":
    """Prices, shape (n,): exact Decimals or decimal text (dtype object), or the nearest floats.

    Delta records give a price a change: the rows of `changes(records)`. ValueError for an unknown form or a damaged record,
    TypeError for an array that was not returned by a reader.
    """
    return _numbers(records, "price_ticks", "price_decimals", form)


def sizes(records: "Array", form: Form = "decimal") -> "Array":
    """Sizes, in the shape and the forms of `prices`; in a change 0 removes the level."""
    return _numbers(records, "size_lots", "size_decimals", form)


def price_decimals(records: "Array") -> "Array":
    """Number of decimals of each record's ticks, int64, shape (n,). ValueError for a damaged record."""
    return _decimals(_known(records)["price_decimals"])


def size_decimals(records: "Array") -> "Array":
    """Number of decimals of each record's lots, int64, shape (n,). ValueError for a damaged record."""
    return _decimals(_known(records)["size_decimals"])


def times(records: "Array") -> "Array":
    """Receive time of each record's frame, by our clock: datetime64[ns] in UTC, shape (n,)."""
    return _signed(_known(records)["timestamp_ns"]).astype("datetime64[ns]")


def exchange_times(records: "Array") -> "Array":
    """Exchange's own time of each record, datetime64[ns] in UTC, shape (n,); NaT where it gave none.

    For deltas it is exact to the microsecond and at most 35 minutes from ours: a delta record keeps the feed delay only.
    """
    import numpy as np

    known = _known(records)
    if known.dtype != trade.dtype():
        return times(known) - feed_delays(known)
    stored = _signed(known["exchange_ns"])
    return np.where(stored == 0, np.datetime64("NaT", "ns"), stored.astype("datetime64[ns]"))


def feed_delays(records: "Array") -> "Array":
    """Receive time minus exchange time, timedelta64[ns], shape (n,); negative if its clock is ahead, NaT where it gave no time."""
    import numpy as np

    known = _known(records)
    if known.dtype == trade.dtype():
        return times(known) - exchange_times(known)
    stored = known["feed_delay_us"].astype(np.int64)
    return np.where(stored == delta.NO_FEED_DELAY, np.timedelta64("NaT", "ns"), (stored * 1000).astype("timedelta64[ns]"))


def level_numbers(units: "Array", decimals: int, form: Form = "decimal") -> "Array":
    """Numbers of ticks or lots (int64, any shape (n,)) that have `decimals` decimals each: the columns of a `BookCopy`."""
    import numpy as np

    return _written(units, np.full(units.shape, decimals, dtype=np.int64), form)


def _known(records: "Array") -> "Array":
    """The records as an array of one dimension. TypeError for an array that was not returned by a reader."""
    import numpy as np

    if getattr(records, "dtype", None) not in (delta.dtype(), trade.dtype(), change_dtype()):
        raise TypeError(f"not records of a reader, nor changes of them: {getattr(records, 'dtype', type(records).__name__)}")
    return np.atleast_1d(records)


def _numbers(records: "Array", units: str, decimals: str, form: Form) -> "Array":
    known = _known(records)
    rows = changes(known) if known.dtype == delta.dtype() else known
    return _written(rows[units], _decimals(rows[decimals]), form)


def _written(units: "Array", decimals: "Array", form: Form) -> "Array":
    import numpy as np

    if form == "float":
        return _floats(units, decimals)
    if form not in FORMS:
        raise ValueError(f"unknown form: {form!r}; forms are {', '.join(FORMS)}")
    made = np.empty(units.shape, dtype=object)
    texts = (to_text(number, places) for number, places in zip(units.tolist(), decimals.tolist(), strict=True))
    made[:] = [Decimal(text) for text in texts] if form == "decimal" else list(texts)
    return made


def _floats(units: "Array", decimals: "Array") -> "Array":
    """Nearest doubles: the quotient of two exact doubles is the nearest one; beyond 2**53 Python's integer division gives it."""
    import numpy as np

    powers = np.array([float(10**places) for places in range(MAX_DECIMALS + 1)])
    made: Array = units / powers[decimals]
    for index in np.flatnonzero((units > EXACT_FLOAT) | (units < -EXACT_FLOAT)).tolist():
        made[index] = int(units[index]) / 10 ** int(decimals[index])
    return made


def _decimals(stored: "Array") -> "Array":
    import numpy as np

    signed = stored.astype(np.int64)
    if len(signed) and not 0 <= signed.min() <= signed.max() <= MAX_DECIMALS:
        raise ValueError(f"a damaged record: {signed.max()} decimals; the limit is {MAX_DECIMALS}")
    return signed


def _signed(stored: "Array") -> "Array":
    """Times or versions as int64; one beyond int64, from a damaged record, becomes the greatest int64."""
    import numpy as np

    return np.minimum(stored, np.uint64(LAST)).astype(np.int64) if stored.dtype.kind == "u" else stored


def to_pandas(records: "Array") -> "pd.DataFrame":
    """DataFrame of these records, in its own memory: a row for each change of delta records, or for each trade.

    Deltas: timestamp (UTC), exchange, symbol, version, side ("bid", "ask"), price, size, price_ticks, size_lots, is_new; size 0
    removes the level. Trades: timestamp, exchange, symbol, trade_id, side (the taker's: "buy", "sell", "unknown"), price, size,
    price_ticks, size_lots, exchange_timestamp. `price` and `size` are exact decimal text. ImportError without pandas, TypeError for
    another array.
    """
    if records.dtype not in (delta.dtype(), trade.dtype()):
        raise TypeError(f"not records of a DeltaReader or a TradeReader: dtype {records.dtype}")
    try:
        import pandas as pd
    except ImportError:
        raise ImportError("to_pandas needs pandas: pip install alphapulse[pandas]") from None
    columns = _delta_columns(records) if records.dtype == delta.dtype() else _trade_columns(records)
    for name in ("timestamp", "exchange_timestamp"):
        if name in columns:
            columns[name] = pd.to_datetime(columns[name], unit="ns", utc=True)
    return pd.DataFrame(columns)


def _delta_columns(records: "Array") -> dict[str, Any]:
    import numpy as np

    rows = changes(records)
    return {
        "timestamp": times(rows),
        "exchange": _texts(rows["exchange"]),
        "symbol": _texts(rows["symbol"]),
        "version": rows["version"].copy(),
        "side": np.where(rows["is_ask"], "ask", "bid"),
        "price": prices(rows, "text"),
        "size": sizes(rows, "text"),
        "price_ticks": rows["price_ticks"].copy(),
        "size_lots": rows["size_lots"].copy(),
        "is_new": rows["is_new"].copy(),
    }


def _trade_columns(records: "Array") -> dict[str, Any]:
    return {
        "timestamp": times(records),
        "exchange": _texts(records["exchange"]),
        "symbol": _texts(records["symbol"]),
        "trade_id": _texts(records["trade_id"]),
        "side": [TAKERS[min(side, 2)] for side in records["side"].tolist()],
        "price": prices(records, "text"),
        "size": sizes(records, "text"),
        "price_ticks": records["price_ticks"].copy(),
        "size_lots": records["size_lots"].copy(),
        "exchange_timestamp": exchange_times(records),
    }


def _texts(names: "Array") -> list[str]:
    return [sys.intern(name.decode("ascii", "backslashreplace")) for name in names.tolist()]
