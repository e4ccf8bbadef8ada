"""Delta record: 256 bytes, one cache line of header and three of changes.

`DELTA_FIELDS` is the one definition of the layout: offsets, the numpy dtype and the reference page derive from it.
All records of one exchange message share one version; the first carries FIRST, the last LAST: together they are a *group*.
`change_count` of a group's records is 12 in all but the last. A CHECK or STATUS is a group of one record without changes
whose payload lies in the place of the changes (`CHECK_FIELDS`, `STATUS_FIELDS`).
"""

from enum import IntEnum, unique
from functools import cache
from typing import TYPE_CHECKING, Any

from alphapulse_cli.market.scan import IS_ASK as IS_ASK  # noqa: PLC0414 - part of the layout, as a level in memory has it
from alphapulse_cli.market.scan import MAX_LOTS
from alphapulse_cli.market.trading_status import TradingStatus, remark

if TYPE_CHECKING:
    import numpy as np

DELTA_BYTES, HEADER_BYTES, CHANGE_BYTES, MAX_CHANGES = 256, 64, 16, 12

CHANGE_FIELDS = [
    ("price_ticks", "<i8", "price in ticks"),
    ("size_side", "<u8", "bits 0-61 size in lots (0 = remove the level), bit 62 the level is new, bit 63 ask"),
]
DELTA_FIELDS: list[tuple[Any, ...]] = [
    ("timestamp_ns", "<u8", "receive time of the frame, CLOCK_REALTIME; the same in all records of a frame"),
    ("symbol", "S16", "BTC-USD, NUL-padded ASCII"),
    ("exchange", "S16", "kraken, NUL-padded ASCII"),
    ("version", "<u8", "the book's version after this group; +1 per group"),
    ("prev_version", "<u8", "the book's version before this group: the chain that a reader checks"),
    ("change_count", "u1", "0..12"),
    ("flags", "u1", "bits 0-2 kind (0 DELTA, 1 RESET, 2 CHECK, 3 STATUS), bit 3 FIRST, bit 4 LAST, bit 5 RESYNCED"),
    ("price_decimals", "u1", "0..18; price = ticks / 10^price_decimals, in signed numbers"),
    ("size_decimals", "u1", "0..18; size = lots / 10^size_decimals, in signed numbers"),
    ("feed_delay_us", "<i4", "our receive time minus the exchange's time, saturating; INT32_MIN = the exchange gave no time"),
    ("changes", CHANGE_FIELDS, "the changes", MAX_CHANGES),
]
CHECK_FIELDS = [  # from offset 64 of a CHECK
    ("book_hash", "<u8", "order-independent hash of all levels"),
    ("bid_levels", "<u4", "levels on the bid side"),
    ("ask_levels", "<u4", "levels on the ask side"),
    ("checksum", "u1", "result of the exchange's checksum: 0 it has none, 1 ok, 2 bad"),
    ("state", "u1", "the book's state, as in STATUS"),
]
STATUS_FIELDS = [  # from offset 64 of a STATUS
    ("state", "u1", "0 COLD, 1 SYNCING, 2 LIVE, 3 STALE, 4 HALTED"),
    ("reason", "u1", "reason of the state, see BookReason"),
    ("trading_status", "u1", "orders that the market accepts, see TradingStatus; 0 from a writer of layout 1.1 or older: not told"),
]

SIZE_MASK = MAX_LOTS  # the size's bits in size_side, and the largest size
LEVEL_IS_NEW = 1 << 62
SIGN_BIT = 1 << 63  # of ticks: (word ^ SIGN_BIT) - SIGN_BIT is the word as a signed number

KIND_MASK = 0b111
FIRST, LAST, RESYNCED = 1 << 3, 1 << 4, 1 << 5
NO_FEED_DELAY = -(1 << 31)


@unique
class RecordKind(IntEnum):
    """Kind of a group: bits 0-2 of the flags."""

    DELTA = 0
    RESET = 1  # the book image was replaced: read it
    CHECK = 2
    STATUS = 3


@unique
class BookState(IntEnum):
    """Trust in a book. Only LIVE with a fresh heartbeat and a READY segment may be used to trade."""

    COLD = 0  # nothing received yet
    SYNCING = 1  # awaiting a snapshot: the first, or after a gap
    LIVE = 2
    STALE = 3  # nothing heard for longer than the limit
    HALTED = 4  # cannot be kept: no room, a level that fits no grid, or refused by the exchange


@unique
class BookReason(IntEnum):
    """Reason of a book's state."""

    NONE = 0
    STARTING = 1
    SEQUENCE_GAP = 2
    BAD_CHECKSUM = 3
    DISCONNECTED = 4
    SILENT = 5
    UNREADABLE = 6
    NO_ROOM = 7
    REFUSED = 8
    RETIRED = 9
    OFF_GRID = 10  # a level fits no grid
    UNCONFIRMED = 11  # LIVE, but quiet for so long that it is being checked
    UNVERIFIED = 12  # the exchange's checksums of its own snapshots were repeatedly wrong
    CROSSED = 13  # best bid at or above best ask, on a feed that shows a lost message in no other way
    MUTE = 14  # the feed, or this book's part of it, is silent while the connection answers pings


@unique
class ChecksumState(IntEnum):
    """Result of the last comparison of the exchange's checksum with our book."""

    NONE = 0
    OK = 1
    BAD = 2


def state_words(state: BookState, reason: BookReason, trading: TradingStatus | None = None) -> str:
    """State, reason and trading restriction for people: "LIVE", "STALE silent", "LIVE unverified, cancel only".

    All parts are shown.
    """
    words = state.name if reason is BookReason.NONE else f"{state.name} {reason.name.lower().replace('_', ' ')}"
    restriction = remark(trading)
    return f"{words}, {restriction}" if restriction else words


def _plain(fields: list[Any]) -> list[Any]:
    """The table without its meanings, as numpy takes it."""
    return [(name, _plain(kind) if isinstance(kind, list) else kind, *rest[1:]) for name, kind, *rest in fields]


@cache
def dtype() -> "np.dtype[np.void]":
    """Numpy structured dtype of the record, 256 bytes."""
    import numpy as np

    made = np.dtype(_plain(DELTA_FIELDS))
    assert made.itemsize == DELTA_BYTES
    return made


@cache
def offsets() -> dict[str, int]:
    """Field name -> byte offset; fields of CHECK and STATUS as "check.…" and "status.…"."""
    sizes = {"<u8": 8, "<i8": 8, "<u4": 4, "<i4": 4, "u1": 1, "S16": 16}
    found: dict[str, int] = {}
    for prefix, start, fields in (
        ("", 0, DELTA_FIELDS),
        ("check.", HEADER_BYTES, CHECK_FIELDS),
        ("status.", HEADER_BYTES, STATUS_FIELDS),
    ):
        at = start
        for name, kind, *_ in fields:
            found[prefix + name] = at
            at += MAX_CHANGES * CHANGE_BYTES if isinstance(kind, list) else sizes[kind]
    return found
