"""Segment layout: one header page, then the data. Defines every offset of shared memory; other modules derive theirs from here.

        0 ┌─ identity: magic (written last: it means ready), layout, sizes, kind, epoch, names, writer ── never changes ───┐
      256 │ claimed        records that are written or being written                                                       │
      384 │ published      records that may be read                                                                        │
      512 │ state          BUILDING, READY, RETIRED, REPLACED                                                              │
      640 │ sealed         where the ring ends; 2^64-1 while it has no end                                                 │
      768 │ heartbeat_ns   CLOCK_MONOTONIC, stored at least every 250 ms                                                   │
      896 │ recording_ns   a replay's clock: the time of the recording that it has reached                                 │
          │                Each of these six words  is alone on a pair of cache lines (128 bytes), so that                 │
          │                readers that poll one of them do not slow the writer of another.                                │
     1024 │ image          BOOK: words of the live book, under the seqlock `seq`                                           │
     1120 │ rules          BOOK: the instrument's tick, lot and minimum size, under the live book's `seq`                  │
     1144 │ trading status BOOK: which orders the market accepts, under the live book's `seq`                              │
     1280 │ checkpoint     BOOK: the same words of the checkpoint, under its own `seq`; its status at 1400                 │
     4096 └─ data ─────────────────────────────────────────────────────────────────────────────────────────────────────────┘

    DELTAS, TRADES   capacity records of record_bytes; record n lies in slot n mod capacity
    BOOK             capacity levels of 16 bytes, four times: live bids, live asks, checkpoint bids, checkpoint asks
    COUNTERS         capacity blocks of record_bytes, then the histograms (`shm/counters.py`)

Integers are in the machine's own byte order (`byte_order` tells), texts are NUL-padded ASCII. A newer *minor* layout may put fields
into bytes that are unused here, and readers ignore them; another *major* layout is refused.

**Replays.** Segments that a replay writes are laid out like those of a collector, but have REPLAY_MAJOR in place of LAYOUT_MAJOR: that
is their mark, and a reader that does not know replays refuses them by the rule above instead of taking the past for the present. The
ages of what they hold run on `recording_ns`; heartbeats stay on CLOCK_MONOTONIC, since the replay's process lives now.
"""

from enum import IntEnum, unique
from typing import NamedTuple

from alphapulse_cli.market.trading_status import NOT_REPORTED

LAYOUT_MAJOR, LAYOUT_MINOR = 1, 3  # 1.1: order rules; 1.2: trading status, in the image and in STATUS records; 1.3: replays
REPLAY_MAJOR = 1000 + LAYOUT_MAJOR  # of a replay's segments; no version of the layout will ever have such a number
STATUS_SINCE_MINOR = 2  # a writer of an older layout stores no trading status

MAGIC = int.from_bytes(b"alphapls", "little")
BYTE_ORDER = 0x0102_0304_0506_0708
HEADER_BYTES = 4096
CACHE_LINES_BYTES = 128  # a pair of lines: processors prefetch two at a time
ALIVE = 0xFFFF_FFFF_FFFF_FFFF  # `sealed` of a ring that has not ended
LEVEL_BYTES = 16
NAME_BYTES, SET_NAME_BYTES, ID_BYTES = 16, 32, 16
MAX_RECORD_BYTES, MAX_CAPACITY = 1 << 16, 1 << 32
HEARTBEAT_LIMIT_NS = 2_000_000_000  # an older heartbeat: the writer counts as gone
HEARTBEAT_DOUBT_NS = 150_000_000  # an older heartbeat: readers check its process; a writer beats about every 100 ms
NO_SLOT = 0xFFFF_FFFF_FFFF_FFFF  # `request_slot` of a book without one


@unique
class SegmentKind(IntEnum):
    """Content of a segment. The meaning of its records is defined on the floors above."""

    DELTAS = 1
    TRADES = 2
    BOOK = 3
    COUNTERS = 4


@unique
class State(IntEnum):
    """State that the writer gives its segment. `Segment.liveness` says whether it still holds."""

    BUILDING = 0
    READY = 1
    RETIRED = 2  # closed in good order; readable until the next start or sweep
    REPLACED = 3  # a successor has its name, or is about to take it


class Field(NamedTuple):
    """Field of a table: its name, byte offset, type (a key of TYPE_BYTES) and meaning."""

    name: str
    offset: int
    type: str
    meaning: str


TYPE_BYTES = {"u64": 8, "id16": 16, "text16": 16, "text32": 32}


def _table(start: int, *rows: tuple[str, str, str], stride: int = 0) -> tuple[Field, ...]:
    """Fields one after another from the offset `start`; with a stride, each that many bytes after the one before."""
    made = []
    offset = start
    for name, kind, meaning in rows:
        made.append(Field(name, offset, kind, meaning))
        offset += stride or TYPE_BYTES[kind]
    return tuple(made)


IDENTITY_FIELDS = _table(
    0,
    ("magic", "u64", '"alphapls"; written last: it means ready'),
    ("byte_order", "u64", "0x0102030405060708 as the writer's machine stores it"),
    ("layout_major", "u64", "1, or 1001 where a replay wrote the segment; readers refuse any other"),
    ("layout_minor", "u64", "readers ignore fields that they do not know"),
    ("header_bytes", "u64", "4096: where the data begins"),
    ("record_bytes", "u64", "size of one record, level or block; a multiple of 8"),
    ("capacity", "u64", "number of records, levels a side or blocks; a power of two"),
    ("file_bytes", "u64", "size of the whole file"),
    ("kind", "u64", "1 DELTAS, 2 TRADES, 3 BOOK, 4 COUNTERS"),
    ("epoch", "u64", "the writer's epoch, larger than that of every earlier writer of the set"),
    ("writer_pid", "u64", "pid of the writer in its own pid namespace"),
    ("writer_start", "u64", "field 22 of /proc/<pid>/stat: tells a recycled pid"),
    ("pid_namespace", "u64", "inode of /proc/self/ns/pid; 0 where there is none"),
    ("created_ns", "u64", "time of creation, CLOCK_REALTIME, in a replay too"),
    ("request_slot", "u64", "BOOK: its slot in the wake page; 2^64-1 = none"),
    ("boot_id", "id16", "id of the boot to which CLOCK_MONOTONIC and the pid belong"),
    ("exchange", "text16", "name of the exchange: kraken"),
    ("symbol", "text16", "BOOK: BTC-USD; else empty"),
    ("set_name", "text32", "name of the set: the exchange's, or that of `--as`"),
)
SHARED_FIELDS = _table(
    256,
    ("claimed", "u64", "sequence after the last record that is written or being written"),
    ("published", "u64", "sequence after the last record that may be read"),
    ("state", "u64", "0 BUILDING, 1 READY, 2 RETIRED, 3 REPLACED"),
    ("sealed", "u64", "nothing at or past this sequence is valid; 2^64-1 while alive"),
    ("heartbeat_ns", "u64", "the writer's last heartbeat, CLOCK_MONOTONIC; older than 2 s: the writer counts as gone"),
    (
        "recording_ns",
        "u64",
        "replay: the time that it has reached in the recording, CLOCK_REALTIME of then; 0 = not known, and 0 in a live segment",
    ),
    stride=CACHE_LINES_BYTES,
)
_IMAGE_ROWS = (
    ("seq", "u64", "odd while the writer edits; the same even number before and after a copy proves it"),
    ("version", "u64", "version of the book"),
    ("ring_position", "u64", "sequence after the last record that this book contains"),
    ("timestamp_ns", "u64", "receive time of the last frame in it, CLOCK_REALTIME"),
    ("bid_count", "u64", "levels on the bid side"),
    ("ask_count", "u64", "levels on the ask side"),
    ("book_hash", "u64", "order-independent hash of all levels"),
    ("state", "u64", "state of the book, numbered as in STATUS records"),
    ("reason", "u64", "reason of that state, numbered as in STATUS records"),
    ("checksum_state", "u64", "result of the exchange's last checksum, numbered as in CHECK records"),
    ("price_decimals", "u64", "price = ticks / 10^price_decimals"),
    ("size_decimals", "u64", "size = lots / 10^size_decimals"),
)
IMAGE_FIELDS = _table(1024, *_IMAGE_ROWS)
RULES_FIELDS = _table(
    1024 + 8 * len(_IMAGE_ROWS),
    ("tick_size_ticks", "u64", "the exchange's tick size, in our ticks; 0 = not given by the writer (layout 1.0)"),
    ("lot_size_lots", "u64", "the exchange's lot size, in our lots; 0 = not given by the writer"),
    ("min_size_lots", "u64", "smallest size of an order, in our lots; 0 = no minimum known"),
)
STATUS_OFFSET = 8 * (len(_IMAGE_ROWS) + len(RULES_FIELDS))  # bytes from `seq` to the trading status, after the rules
_STATUS_ROW = (
    "trading_status",
    "u64",
    "0 UNKNOWN, 1 TRADING, 2 POST_ONLY, 3 LIMIT_ONLY, 4 CANCEL_ONLY, 5 AUCTION, 6 SUSPENDED, 7 DELISTED; before layout 1.2: 0",
)
STATUS_FIELDS = _table(1024 + STATUS_OFFSET, _STATUS_ROW)
CHECKPOINT_FIELDS = (*_table(1280, *_IMAGE_ROWS), *_table(1280 + STATUS_OFFSET, _STATUS_ROW))

HEADER = {field.name: field for field in (*IDENTITY_FIELDS, *SHARED_FIELDS)}
WORD = {name: field.offset // 8 for name, field in HEADER.items() if field.type == "u64"}  # index of a header word

CLAIMED, PUBLISHED, STATE = WORD["claimed"], WORD["published"], WORD["state"]
SEALED, HEARTBEAT, RECORDING = WORD["sealed"], WORD["heartbeat_ns"], WORD["recording_ns"]
IMAGE_WORD, CHECKPOINT_WORD = IMAGE_FIELDS[0].offset // 8, CHECKPOINT_FIELDS[0].offset // 8
IMAGE_WORD_COUNT = len(_IMAGE_ROWS)
IMAGE_INDEX = {name: index for index, (name, *_) in enumerate(_IMAGE_ROWS)}  # of a word of the image: words after `seq`
RULES_WORD, RULES_WORD_COUNT = RULES_FIELDS[0].offset // 8, len(RULES_FIELDS)
STATUS_BEHIND = STATUS_OFFSET // 8  # words from `seq`


class ImageCopy(NamedTuple):
    """Consistent copy of an image: its words in the order of IMAGE_FIELDS, and levels of 16 bytes each, the best price last.

    `trading_status` is the number of a TradingStatus, at most 255, or NOT_REPORTED.
    """

    seq: int
    version: int
    ring_position: int
    timestamp_ns: int
    bid_count: int  # of the whole image, even where fewer levels were copied
    ask_count: int
    book_hash: int
    state: int
    reason: int
    checksum_state: int
    price_decimals: int
    size_decimals: int
    bids: bytes
    asks: bytes
    trading_status: int = NOT_REPORTED


class Rules(NamedTuple):
    """Order rules of an instrument and the grid whose ticks and lots they are in."""

    price_decimals: int
    size_decimals: int
    tick_size_ticks: int
    lot_size_lots: int
    min_size_lots: int  # 0 = no minimum known


def file_bytes(kind: SegmentKind, record_bytes: int, capacity: int) -> int:
    """Size in bytes of a segment file with `capacity` records (BOOK: levels a side) of `record_bytes`."""
    copies = 4 if kind is SegmentKind.BOOK else 1
    return HEADER_BYTES + copies * capacity * record_bytes + tail_bytes(kind)


HISTOGRAM_COUNT = 2  # in a counters file, see shm/counters.py
HISTOGRAM_WORDS = 8 + 1152  # see shm/histogram.py


def tail_bytes(kind: SegmentKind) -> int:
    """Size in bytes of what follows the records: the histograms of a counters file, else nothing."""
    return HISTOGRAM_COUNT * HISTOGRAM_WORDS * 8 if kind is SegmentKind.COUNTERS else 0


RECORDS_PER_SYMBOL = 256  # 25 s of a busy market: ten groups a second of one record each
LEAST_RECORDS, MOST_RECORDS = 16_384, 1 << 20  # of a ring whose capacity nobody chose


def ring_records(symbol_count: int) -> int:
    """Capacity of the rings of a set of that many symbols: a power of two from LEAST_RECORDS (up to 64 symbols) to MOST_RECORDS."""
    return min(max(round_capacity(RECORDS_PER_SYMBOL * symbol_count), LEAST_RECORDS), MOST_RECORDS)


def round_capacity(count: int) -> int:
    """Smallest power of two that is not below `count`."""
    return 1 << max(count - 1, 0).bit_length()
