"""One opportunity that was seen, as the store keeps it: checked in both directions, its explanation bounded.

    Seen ─► packed ─► a row of SQLite values ─► unpacked ─► the same Seen

An explanation is JSON, compressed. One of over 64 KiB is cut: its lists, at any depth, to their first 4096, 2048, … 8 entries until it
fits, and `cut_to` says to how many; one that is larger still keeps nothing but `cut_to` 0. `cut_bytes` says how large it was.
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
    """One opportunity as far as it was seen. Money, sizes and basis points are decimal text, times nanoseconds since 1970."""

    id: str
    place: str  # the segments' directory
    kind: str  # "pair", "triangle"
    symbol: str  # "BTC-USD"; of a triangle the cycle, "USD>BTC>ETH>USD"
    buy: str  # names of sets; of a triangle both are its set
    sell: str
    currency: str  # of the profit
    born_ns: int
    last_ns: int  # its last change that was told
    closed_ns: int | None  # None: not known to be over
    why: str  # it closed
    is_from_start: bool  # there already when the watch began: its birth is unknown
    is_unwatched: bool  # closed since nobody could look any longer: its end is unknown
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
    explanation: Mapping[str, Any]  # what JSON can say, written at birth

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by."""
        return self.place, self.id


COLUMNS = tuple(one.name for one in fields(Seen))
FLAGS = frozenset(name for name in COLUMNS if name.startswith("is_"))
INTEGERS = FLAGS | {"changes"} | {name for name in COLUMNS if name.endswith("_ns")}
MONEYS = frozenset(name for name in COLUMNS if name.rpartition("_")[2] in {"size", "net", "bps"})
NULLABLE = frozenset({"closed_ns"})
PLACE, EXPLANATION = COLUMNS.index("place"), COLUMNS.index("explanation")
assert COLUMNS[EXPLANATION:] == ("explanation",)


def packed(seen: Seen) -> tuple[Any, ...]:
    """Its row. ValueError for what cannot be kept."""
    try:
        values = [getattr(seen, name) for name in COLUMNS[:EXPLANATION]]
        values[PLACE] = plain(seen.place)
        _check(values)
        return (*values, _packed_explanation(seen.explanation))
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"opportunity {str(seen.id)[:40]!r} cannot be kept: {error}") from None


def unpacked(row: Sequence[Any], *, is_explained: bool = True) -> Seen:
    """The Seen of a row, its explanation {} unless asked for. ValueError for a row that `packed` would not have made."""
    _check(row[:EXPLANATION])
    values: list[Any] = [bool(value) if name in FLAGS else value for name, value in zip(COLUMNS, row, strict=True)]
    values[EXPLANATION] = _unpacked_explanation(row[EXPLANATION]) if is_explained else {}
    return Seen(*values)


def plain(text: str) -> str:
    r"""Text that SQLite takes: a path's bytes that are no UTF-8 are written \udcXX."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _check(values: Sequence[Any]) -> None:
    """Each of the type that its column has, and within bounds."""
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
    """JSON, compressed; nothing at all for an empty one."""
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
    """The same with no list longer than that: books and walks begin with what matters most."""
    if isinstance(value, Mapping):
        return {name: _shortened(part, longest) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_shortened(part, longest) for part in value[:longest]]
    return value


def _unpacked_explanation(octets: bytes) -> dict[str, Any]:
    if not isinstance(octets, bytes):
        raise ValueError("no explanation")  # noqa: TRY004 whatever is wrong with a row is one error
    if not octets:
        return {}
    try:
        found = json.loads(zlib.decompressobj().decompress(octets, EXPLANATION_BYTES))
    except (zlib.error, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ValueError("no explanation")  # noqa: TRY004
    return found
