"""Errors of DuckDB as errors of ours: one line, without its marks, and a hint with the near names."""

import difflib
import re
from collections.abc import Iterable

from alphapulse_cli.apps.sql.views import columns
from alphapulse_cli.edges.columns.schema import TABLES
from alphapulse_cli.errors import AlphapulseError, StorageError, UsageError

MACROS = ("candles('1m')", "rfc3339(timestamp_ns)", "ns('2026-11-27T10:55:37Z')", "decimal_text(units, decimals)")
CANDLES = (
    *("exchange", "set_name", "symbol", "width", "begin_ns", "end_ns", "open", "high", "low", "close", "volume", "vwap", "count"),
    *("buy_volume", "sell_volume", "notional", "notional_units", "volume_lots", "price_decimals", "size_decimals"),
)
OF_THE_WORLD = ("IO Error", "Out of Memory Error", "HTTP Error", "INTERNAL Error", "FATAL Error", "Connection Error")
LONGEST = 300  # characters of a message
_COLUMN = re.compile(
    r'(?:column|Column) "?(?:with name )?"?([^"\s]+?)"? (?:not found|does not exist|that must)|Referenced column "([^"]+)"'
)
_MEMBER = re.compile(r'does not have a column named "([^"]+)"')
_TABLE = re.compile(r"Table with name (\S+) does not exist")
_FUNCTION = re.compile(r"Function with name (\S+) does not exist")
EXACT = "sums of products are exact with integers: sum(price_ticks::HUGEINT * size_lots), and decimal_text(units, price_decimals + size_decimals)"


def told(problem: Exception, query: str) -> AlphapulseError:
    """Error of ours for one of DuckDB's that this query met."""
    text = str(problem)
    kind, colon, rest = text.partition(": ")
    is_named = bool(colon) and kind.endswith("Error")
    line = (rest if is_named else text).strip().partition("\n")[0].strip().rstrip("!.")[:LONGEST] or type(problem).__name__
    if kind in OF_THE_WORLD:
        if kind == "Out of Memory Error":
            return AlphapulseError(
                f"the query needs more memory than there is: {line}", "ask for fewer columns, or one day or symbol at a time"
            )
        return StorageError(f"the dataset cannot be read: {line}", "if --keep removed a file meanwhile, ask again")
    line = line.replace("Table Function with name", "function with name", 1)
    if line[:2] != line[:2].upper():
        line = line[:1].lower() + line[1:]
    return UsageError(line, _hint(kind if is_named else "", text, query))


def _hint(kind: str, text: str, query: str) -> str:
    if "disabled by configuration" in text or kind == "Permission Error":
        return f"a query reads the views of this dataset alone: {', '.join(TABLES)}"
    found = _COLUMN.search(text) or _MEMBER.search(text)
    if found is not None:
        named = _tables_in(query)
        known = list(dict.fromkeys(name for table in named for name in _columns(table)))
        wanted = next(group for group in found.groups() if group)
        return _near(wanted, known) or f"columns of {' and '.join(named)}: {', '.join(known)}"
    found = _TABLE.search(text)
    if found is not None and found[1].lower() == "candles":
        return "it is a table of a width: FROM candles('1m')"
    if found is not None:
        return _near(found[1], TABLES) or f"views are {', '.join(TABLES)} and candles('1m')"
    if _FUNCTION.search(text) is not None:
        near = re.search(r'Did you mean "([^"]+)"', text)
        return (
            f"did you mean {near[1]}? of alphapulse are {', '.join(MACROS)}" if near else f"of alphapulse are {', '.join(MACROS)}"
        )
    if text.partition(": ")[2].startswith("not a time with Z or an offset"):
        return "write it in UTC, as in ns('2026-11-27T10:55:37Z'), or with its offset"
    if "verflow" in text:
        return EXACT
    if kind in {"Parser Error", "Syntax Error"}:
        return "a query is one SELECT in DuckDB's SQL: names stand in \"…\", texts in '…'"
    return "alphapulse sql --help has examples"


def _tables_in(query: str) -> list[str]:
    """Views that a query names; all where it names none."""
    named = [table for table in (*TABLES, "candles") if re.search(rf"\b{table}\b", query, re.IGNORECASE)]
    return named or list(TABLES)


def _columns(table: str) -> Iterable[str]:
    return CANDLES if table == "candles" else columns(table)


def _near(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name.lower(), list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else ""
