"""Former protocols in recordings: their frames as those of today, so that today's decoders play them.

Kraken's WebSocket v1 becomes v2: the same levels, sizes, order and checksums, in other brackets. A v1 snapshot has no checksum: the
v2 one gets that of its own levels. Trades of v1 have no ids and are left out.

Bybit's depths of former times (500) become the next larger of today.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

import orjson

BOOK_V1 = re.compile(rb'"book-([0-9]{2,4})","([A-Za-z0-9.]{1,10}/[A-Za-z0-9.]{1,10})"\]$')
RENAMED = {"XBT": "BTC", "XDG": "DOGE"}  # assets of v1 that v2 calls otherwise
CHECKSUM_LEVELS = 10
HEARTBEAT_V1, HEARTBEAT_V2 = b'{"event":"heartbeat"}', b'{"channel":"heartbeat"}'
BYBIT_TOPIC = re.compile(rb'"topic":"orderbook\.([0-9]{1,4})\.')


def kraken_native(name: str) -> str:
    """Today's name of a pair of v1: BTC/USD of XBT/USD."""
    return "/".join(RENAMED.get(asset, asset) for asset in name.split("/"))


def kraken_v1(frame: bytes) -> bytes | None:
    """Frame of v2 of a frame of v1; None for one that v2 has no like of. ValueError for a book that is not understood."""
    if frame == HEARTBEAT_V1:
        return HEARTBEAT_V2
    found = BOOK_V1.search(frame)
    if found is None:
        return None
    try:
        parts = orjson.loads(frame)[1:-2]
        sides: dict[str, list[list[str]]] = {"a": [], "b": []}
        checksum, is_snapshot = "", False
        for part in parts:
            for name, rows in part.items():
                if name == "c":
                    checksum = rows
                    continue
                is_snapshot = is_snapshot or name.endswith("s")
                sides[name[0]] += rows
        crc = int(checksum) if checksum else _checksum(sides["a"], sides["b"])
        return _v2(kraken_native(found[2].decode()), sides, crc, is_snapshot=is_snapshot)
    except (orjson.JSONDecodeError, LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ValueError(f"a book of Kraken's v1 that is not understood: {type(error).__name__}") from None


def kraken_decimals(frame: bytes) -> tuple[str, int, int] | None:
    """Name of today, and decimals of prices and sizes, of a book's frame of v1: its texts are of the pair's precision."""
    found = BOOK_V1.search(frame)
    if found is None:
        return None
    for part in orjson.loads(frame)[1:-2]:
        for name, rows in part.items():
            if name != "c" and rows:
                price, size = rows[0][:2]
                return kraken_native(found[2].decode()), len(price.partition(".")[2]), len(size.partition(".")[2])
    return None


def _v2(native: str, sides: dict[str, list[list[str]]], crc: int, *, is_snapshot: bool) -> bytes:
    bids, asks = (",".join(f'{{"price":{_number(row[0])},"qty":{_number(row[1])}}}' for row in sides[side]) for side in "ba")
    times = [row[2] for side in sides.values() for row in side]
    kind = "snapshot" if is_snapshot else "update"
    told = f',"timestamp":"{_moment(max(times))}"' if times else ""
    made = f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{native}","bids":[{bids}],"asks":[{asks}],"checksum":{crc}{told}}}]}}'
    return made.encode()


def _number(text: Any) -> str:
    """Plain decimal, as it is. ValueError for other text."""
    if not isinstance(text, str) or not re.fullmatch(r"[0-9]{1,19}(?:\.[0-9]{1,18})?", text):
        raise ValueError("not a plain decimal")
    return text


def _checksum(asks: Sequence[Sequence[str]], bids: Sequence[Sequence[str]]) -> int:
    """CRC-32 of a snapshot's ten best levels a side, which are its first: digits without point and leading zeros."""
    best = [*asks[:CHECKSUM_LEVELS], *bids[:CHECKSUM_LEVELS]]
    return crc32("".join(str(int(text.replace(".", ""))) for row in best for text in row[:2]).encode())


def _moment(seconds: str) -> str:
    """RFC 3339 text of epoch seconds with microseconds."""
    whole, _, fraction = _number(seconds).partition(".")
    return f"{datetime.fromtimestamp(int(whole), UTC):%Y-%m-%dT%H:%M:%S}.{fraction[:6].ljust(6, '0')}Z"


def bybit_depth(frame: bytes, depths: Sequence[int]) -> tuple[int, int] | None:
    """Depth of a frame's topic, and the next larger of today's `depths` where it is none of them; None where there is nothing to do."""
    found = BYBIT_TOPIC.search(frame)
    told = int(found[1]) if found else 0
    if not told or told in depths:
        return None
    larger = min((depth for depth in depths if depth > told), default=0)
    return (told, larger) if larger else None
