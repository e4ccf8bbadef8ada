"""Rows of a capture: what was received, sent and noticed, each with its time and connection. The format of the decompressed bytes.

    kind time_ns             conn length   payload
    recv 1764324000123456789 0001 00000043 {"channel":"heartbeat", …}⏎

Fields have a fixed width and one space behind them, so that a row is read without a search and rows stand below one another in a
pager. `length` counts the payload's bytes, which may hold line ends; a line end follows it. `time_ns` is CLOCK_REALTIME in
nanoseconds since 1970, of frames the receive time. Connection 0 stands for the whole set.

    head  a JSON object (`head.py`): the first row of a file, and of a block with checkpoints
    memb  the set's symbols have changed: {"added": instruments as in the head, "removed": symbols}; before the rows of what is added
    open  a connection was made: {"url", "symbols": native names}; behind a head with "again": true, it was made before
    recv  a frame as it was received
    sent  a frame as we sent it
    rest  an answer to a GET: a JSON object in one line, {"request", "symbol", "path", "status", "headers"}, then the body; with
          "error" if the answer was not taken, and the body is then as far as it was read
    fail  a GET without an answer: {"request", "symbol", "path", "error"}
    mark  the session's judgement of a connection's silence: {"verdict": "doubt" | "silent" | "mute" | "heard"}
    shut  a connection has ended, or could not be made: {"reason"}
    held  a checkpoint of a connection: its books and its decoder's position (`flow/checkpoint.py`); a head stands before the first
          of a block, so that a reader may begin there
    lost  rows that were not written: {"rows", "bytes", "from_ns", "to_ns", "reason"}
    done  last row of a file that was closed in good order: {"reason"}

Rows lie in the order in which ingest saw them. Of rest and fail, `request` is "instruments", "snapshot", "trades", "proof" or
"volumes", and `symbol` the native name of what it is about; instruments that a connection has read are for all connections, those
of connection 0 are for the choice of symbols only.

Readers skip kinds and JSON members that they do not know; `version` in the head changes when a reader of today could misread.
"""

from collections.abc import Iterator
from enum import Enum, unique
from typing import NamedTuple

from alphapulse_cli.errors import UsageError

KIND_BYTES, PREFIX_BYTES = 4, 39
MOST_TIME_NS = 10**19 - 1
MOST_CONNECTION = 9_999
MOST_PAYLOAD_BYTES = 99_999_999


@unique
class Kind(bytes, Enum):
    """Kind of a row."""

    HEAD = b"head"
    MEMBERS = b"memb"
    OPEN = b"open"
    RECEIVED = b"recv"
    SENT = b"sent"
    REST = b"rest"
    FAILED = b"fail"
    MARK = b"mark"
    SHUT = b"shut"
    HELD = b"held"
    LOST = b"lost"
    DONE = b"done"


class Row(NamedTuple):
    """Row of a capture. `kind` is one of Kind, or another word of four letters from a newer writer."""

    kind: bytes
    time_ns: int
    connection: int
    payload: bytes


class BrokenRows(Exception):
    """Bytes that are not rows: `offset` is where the first wrong row begins."""

    def __init__(self, message: str, offset: int) -> None:
        super().__init__(message)
        self.offset = offset


def too_long(length: int) -> UsageError:
    """Error for a payload of that many bytes."""
    return UsageError(f"{length} bytes do not fit a row of a capture", f"at most {MOST_PAYLOAD_BYTES}")


def prefix_bytes(kind: bytes, time_ns: int, connection: int, length: int) -> bytes:
    """Bytes of a row before its payload of that length. UsageError for a length of more than MOST_PAYLOAD_BYTES."""
    if length > MOST_PAYLOAD_BYTES:
        raise too_long(length)
    return b"%b %019d %04d %08d " % (kind, time_ns, connection, length)


def row_bytes(kind: bytes, time_ns: int, connection: int, payload: bytes) -> bytes:
    """Bytes of a row. UsageError for a payload of more than MOST_PAYLOAD_BYTES."""
    return b"".join((prefix_bytes(kind, time_ns, connection, len(payload)), payload, b"\n"))


def parse_rows(block: bytes, start: int = 0) -> Iterator[Row]:
    """Iterate over the rows of a block, from the offset `start` on. BrokenRows where the bytes are not rows."""
    end = len(block)
    while start < end:
        at = start + PREFIX_BYTES
        digits = block[start + 5 : start + 24] + block[start + 25 : start + 29] + block[start + 30 : start + 38]
        if at > end or len(digits) != 31 or not digits.isdigit():
            raise BrokenRows("no row of a capture", start)
        stop = at + int(digits[23:])
        if stop >= end or block[stop] != 10:
            raise BrokenRows("a row is cut short", start)
        yield Row(block[start : start + 4], int(digits[:19]), int(digits[19:23]), block[at:stop])
        start = stop + 1
