"""Tables of a dataset: their columns, their encodings, and the version that every file carries.

| table | a row is |
|---|---|
| `deltas` | a change of one price level, as it was published |
| `trades` | a trade |
| `bbo` | the best bid and ask after a group that changed one of them, or the book's state |
| `status` | an event without levels: a state, a CHECK, a RESET, what was missed, a new writer, the recording's begin and end |
| `snapshots` | a level of a full book: where a recording or a file begins, and after each RESET |

Numbers are int64 throughout: an unsigned byte of decimals makes `10 ** decimals` 0 at 8, and unsigned times wrap (numpy, pandas).
Names are strings. `price` is the same number as `price_ticks`, ready to be read; a ready `size` stands in trades only: in the other
tables it would cost more than all other numbers of a change but its times. Sums of products are exact with ticks and lots. The exchange and the day are in the path and in the file's metadata, never in a column: a reader that finds
them in both places refuses to merge the two types (pyarrow).

`sequence` is the place in the order of publication within a set's epoch, of each ring by itself: the record's place in its ring times 16,
plus the change's place in the record. It rises strictly in deltas and trades; their sequences have nothing to do with each other. A
row of `bbo`, `snapshots` or `status` has that of the last change (or event) that it follows. A book is built again by its newest
snapshot and the changes of greater versions behind it.

A file's metadata has `alphapulse.dataset` (VERSION), `alphapulse.table`, `alphapulse.exchange`, `alphapulse.set`. Rule: a reader refuses
a greater version; columns that it does not know are left alone, so a new column needs no new version.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 1
SEQUENCES_PER_RECORD = 16  # a record has at most 12 changes
ZSTD_LEVEL = 15
DICTIONARY_BYTES = 16 << 20  # beyond that a column's values are written one by one
_RISING = frozenset({"sequence", "timestamp_ns", "version", "level"})
_ONE_VALUE = frozenset({"symbol", "epoch", "price_decimals", "size_decimals"})  # in a row group, as a rule
_UNIQUE_TEXTS = frozenset({"trade_id", "book_hash"})
DECIMAL_PRECISION, DECIMAL_SCALE = 38, 18  # 18 decimals are the most that a record can have


@dataclass(frozen=True, slots=True)
class Column:
    """Column of a table: its type is "int", "decimal", "text" or "bool"."""

    name: str
    type: str
    meaning: str
    is_nullable: bool = False


_PLACE = (
    Column("symbol", "text", "the symbol, f.e. BTC-USD"),
    Column("epoch", "int", "the writer's epoch: greater after each restart of its collector"),
    Column("sequence", "int", "place in the order of publication within the epoch"),
    Column("timestamp_ns", "int", "when we received the frame, ns since 1970 UTC"),
)
_DELAY = Column("feed_delay_us", "int", "receive time minus the exchange's, us; null where it gave none", is_nullable=True)
_VERSION = Column("version", "int", "the book's version after the group: one more for each group")
_DECIMALS = (
    Column("price_decimals", "int", "price = price_ticks / 10^price_decimals"),
    Column("size_decimals", "int", "size = size_lots / 10^size_decimals"),
)
_LEVEL = (
    Column("price_ticks", "int", "price in ticks"),
    Column("size_lots", "int", "size in lots; 0 removes the level"),
    *_DECIMALS,
    Column("price", "decimal", "the price, exact"),
)

TABLES: dict[str, tuple[Column, ...]] = {
    "deltas": (
        *_PLACE,
        _DELAY,
        _VERSION,
        Column("is_last", "bool", "the last change of its group: the book may be shown after it"),
        Column("resynced", "bool", "of the difference between the book before a gap and the one after it"),
        Column("side", "text", "bid or ask"),
        Column("is_new", "bool", "the level was not there before"),
        *_LEVEL,
    ),
    "trades": (
        *_PLACE,
        Column("exchange_ns", "int", "the exchange's own time, ns since 1970 UTC; null where it gave none", is_nullable=True),
        Column("trade_id", "text", "the exchange's id"),
        Column("side", "text", "the taker's: buy, sell or unknown"),
        Column("history", "bool", "from a subscription's snapshot: it happened before"),
        *_LEVEL,
        Column("size", "decimal", "the size, exact"),
    ),
    "bbo": (
        *_PLACE,
        _VERSION,
        Column("state", "text", "the book's state: LIVE, or COLD, SYNCING, STALE, HALTED"),
        *(
            Column(f"{side}_{what}", kind, f"best {side}; null where there is none", is_nullable=True)
            for side in ("bid", "ask")
            for what, kind in (("ticks", "int"), ("lots", "int"), ("price", "decimal"))
        ),
        *_DECIMALS,
    ),
    "status": (
        *_PLACE,
        _VERSION,
        Column(
            "kind",
            "text",
            "status, check, reset, snapshot, missed, restarted, begun or ended; without a symbol where it is of the whole set",
        ),
        Column("state", "text", "the book's state", is_nullable=True),
        Column("reason", "text", "its reason", is_nullable=True),
        Column("trading_status", "text", "orders that the market accepts, where the exchange says so", is_nullable=True),
        Column("book_hash", "text", "hash of all levels of a check or a snapshot, 16 hexadecimal digits", is_nullable=True),
        Column("bid_levels", "int", "number of bids of a check or a snapshot", is_nullable=True),
        Column("ask_levels", "int", "number of asks of a check or a snapshot", is_nullable=True),
        Column("checksum", "text", "the exchange's own checksum: NONE, OK or BAD", is_nullable=True),
        Column(
            "missed",
            "int",
            "records that were overwritten before they were read; with the reason NOT_WRITTEN, rows that the disk did not take",
            is_nullable=True,
        ),
        Column("ring", "text", "ring of the event: deltas or trades"),
    ),
    "snapshots": (
        *_PLACE,
        _VERSION,
        Column("side", "text", "bid or ask"),
        Column("level", "int", "0 is the best of its side"),
        *_LEVEL,
    ),
}


@cache
def arrow_schema(table: str) -> "pa.Schema":
    """Arrow schema of a table. MissingExtra is not raised here: import pyarrow first where it may be absent."""
    import pyarrow as pa

    types = {
        "int": pa.int64(),
        "decimal": pa.decimal128(DECIMAL_PRECISION, DECIMAL_SCALE),
        "text": pa.string(),
        "bool": pa.bool_(),
    }
    return pa.schema([pa.field(one.name, types[one.type], nullable=one.is_nullable) for one in TABLES[table]])


def parquet_options(table: str) -> dict[str, object]:
    """Options of `pyarrow.parquet.ParquetWriter` for a table: each column as it is smallest, zstd.

    Rising numbers by their differences, other numbers by BYTE_STREAM_SPLIT, texts, exact prices and what is mostly one number by a
    dictionary. Measured on 9,719 recorded changes of Coinbase in ten row groups: 12.92 bytes a change; the writer's defaults, 34.6.
    """
    columns = TABLES[table]
    encodings = {one.name: "BYTE_STREAM_SPLIT" for one in columns if one.type == "int"}
    encodings |= {one.name: "DELTA_BINARY_PACKED" for one in columns if one.name in _RISING}
    encodings |= {one.name: "DELTA_BYTE_ARRAY" for one in columns if one.name in _UNIQUE_TEXTS}
    by_dictionary = [
        one.name for one in columns if one.name in _ONE_VALUE or (one.type in {"text", "decimal"} and one.name not in _UNIQUE_TEXTS)
    ]
    compressed = [one.name for one in columns if one.name not in _ONE_VALUE]  # a frame around a few bytes is larger than they are
    return {
        "compression": dict.fromkeys(_ONE_VALUE, "none") | dict.fromkeys(compressed, "zstd"),
        "compression_level": dict.fromkeys(compressed, ZSTD_LEVEL),
        "use_dictionary": by_dictionary,
        "column_encoding": {name: how for name, how in encodings.items() if name not in by_dictionary},
        "dictionary_pagesize_limit": DICTIONARY_BYTES,
        "write_statistics": ["symbol"],
        "store_schema": False,
    }


def metadata(table: str, exchange: str, set_name: str) -> dict[bytes, bytes]:
    """Metadata of a file: what it is, in which version, and of which set."""
    found = {"dataset": str(VERSION), "table": table, "exchange": exchange, "set": set_name}
    return {f"alphapulse.{name}".encode(): value.encode() for name, value in found.items()}
