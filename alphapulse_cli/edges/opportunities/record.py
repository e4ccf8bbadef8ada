"""Row of an opportunity in the store: conversion in both directions with checks, and a bounded explanation.

    Seen ─► packed ─► a row of SQLite values ─► unpacked ─► the same Seen

An explanation is compressed JSON. One of more than 64 KiB is cut: its lists, at any depth, keep their first 4096, 2048, … 8 entries
until it fits, and `cut_to` has their number. One that is still too large keeps only `cut_to` 0. `cut_bytes` is its original size in
bytes.
"""

import json
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

EXPLANATION_BYTES = 65_536
LONGEST_LIST, SHORTEST_LIST = 4096, 8  # a level or a step of a walk is a list too, of fewer than eight
TEXT_CHARACTERS = 4096
MOST_INTEGER = (1 << 63) - 1
MONEY = re.compile(r"-?[0-9]{1,200}(?:\.[0-9]{1,200})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Seen:
    """One opportunity, as observed so far. Money, sizes and basis points are decimal text, times nanoseconds since 1970."""

    id: str
    place: str  # the segments' directory
    kind: str  # "pair", "triangle"
    symbol: str  # "BTC-USD"; for a triangle the cycle, "USD>BTC>ETH>USD"
    buy: str  # name of the set to buy from; a triangle has its own set in both
    sell: str
    currency: str  # currency of the profit
    born_ns: int
    last_ns: int  # its last reported change
    closed_ns: int | None  # None: its end was not seen
    why: str  # reason of closing
    is_from_start: bool  # it was there when the watch began: its birth was not seen
    is_unwatched: bool  # closed because the watch or a book ended: its end was not seen
    changes: int
    size: str
    net: str
    bps: str
    birth_size: str
    birth_net: str
    birth_bps: str
    peak_size: str
    peak_net: str
    peak_bps: str
    peak_ns: int
    explanation: Mapping[str, Any]  # the working at its birth, of JSON values

    @property
    def key(self) -> tuple[str, str]:
        """Key of the opportunity in the store: place and id."""
        return self.place, self.id


COLUMNS = tuple(one.name for one in fields(Seen))
FLAGS = frozenset(name for name in COLUMNS if name.startswith("is_"))
INTEGERS = FLAGS | {"changes"} | {name for name in COLUMNS if name.endswith("_ns")}
MONEYS = frozenset(name for name in COLUMNS if name.rpartition("_")[2] in {"size", "net", "bps"})
NULLABLE = frozenset({"closed_ns"})
PLACE, EXPLANATION = COLUMNS.index("place"), COLUMNS.index("explanation")
assert COLUMNS[EXPLANATION:] == ("explanation",)


def packed(seen: Seen) -> tuple[Any, ...]:
    """Row of an opportunity. ValueError for values that cannot be kept."""
    try:
        values = [getattr(seen, name) for name in COLUMNS[:EXPLANATION]]
        values[PLACE] = plain(seen.place)
        _check(values)
        return (*values, _packed_explanation(seen.explanation))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"opportunity {str(seen.id)[:40]!r} cannot be kept: {error}") from None


def unpacked(row: Sequence[Any], *, is_explained: bool = True) -> Seen:
    """Opportunity of a row; its explanation is {} unless `is_explained`. ValueError for a row that `packed` does not make."""
    _check(row[:EXPLANATION])
    values: list[Any] = [bool(value) if name in FLAGS else value for name, value in zip(COLUMNS, row, strict=True)]
    values[EXPLANATION] = _unpacked_explanation(row[EXPLANATION]) if is_explained else {}
    return Seen(*values)


def plain(text: str) -> str:
    r"""Text that SQLite accepts: bytes of a path that are not UTF-8 become \udcXX."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _check(values: Sequence[Any]) -> None:
    """Check the values of a row. ValueError for a wrong type or a value out of bounds."""
    for name, value in zip(COLUMNS[:EXPLANATION], values, strict=True):
        if name in INTEGERS:
            is_good = (value is None and name in NULLABLE) or (isinstance(value, int) and -MOST_INTEGER <= value <= MOST_INTEGER)
        elif name in MONEYS:
            is_good = isinstance(value, str) and MONEY.fullmatch(value) is not None
        else:
            is_good = isinstance(value, str) and len(value) <= TEXT_CHARACTERS and value.isprintable()
        if not is_good:
            raise ValueError(f"{name} is {str(value)[:40]!r}")


def _packed_explanation(explanation: Mapping[str, Any]) -> bytes:
    """Compressed JSON of an explanation; empty bytes for an empty one."""
    return zlib.compress(_bounded(explanation)) if explanation else b""


def _bounded(explanation: Mapping[str, Any]) -> bytes:
    octets = whole = _json(explanation)
    longest = LONGEST_LIST
    while len(octets) > EXPLANATION_BYTES and longest >= SHORTEST_LIST:
        octets = _json({**_shortened(explanation, longest), "cut_to": longest, "cut_bytes": len(whole)})
        longest //= 2
    return octets if len(octets) <= EXPLANATION_BYTES else _json({"cut_to": 0, "cut_bytes": len(whole)})


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()


def _shortened(value: Any, longest: int) -> Any:
    """The value with its lists cut to their first `longest` entries, the most important of books and walks."""
    if isinstance(value, Mapping):
        return {name: _shortened(part, longest) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(part, longest) for part in value[:longest]]
    return value


def _unpacked_explanation(octets: bytes) -> dict[str, Any]:
    if not isinstance(octets, bytes):
        raise ValueError("no explanation")  # noqa: TRY004 one error for every damaged row
    if not octets:
        return {}
    try:
        found = json.loads(zlib.decompressobj().decompress(octets, EXPLANATION_BYTES))
    except (zlib.error, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError("no explanation")  # noqa: TRY004
    return found
