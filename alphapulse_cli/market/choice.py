"""Choices of symbols as people write them: one symbol, a pattern (`*-USD`), or the most traded ones (`top:50`).

Each is for every exchange, or for the one that is named before it: `kraken:*-USD`, `binance:top:50`.
"""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from fnmatch import fnmatchcase

from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.instrument import split_id, understood_id

WILDCARDS = frozenset("*?")
PATTERN = re.compile(r"[A-Z0-9.*?]{1,33}(?:-[A-Z0-9.*?]{1,33})?")
TOP = re.compile(r"top:([1-9][0-9]{0,3})")


def is_pattern(choice: str) -> bool:
    """Whether the choice (without its exchange) is a pattern."""
    return not WILDCARDS.isdisjoint(choice)


def top_count(choice: str) -> int:
    """Number of symbols that a choice such as top:50 asks for; 0 for other choices."""
    found = TOP.fullmatch(choice)
    return int(found[1]) if found else 0


def split_choice(text: str) -> tuple[str, str]:
    """Split a choice as `understood_choice` returns it into (exchange or "", the rest). UsageError where it is none."""
    head, colon, rest = text.partition(":")
    exchange, choice = (head, rest) if colon and head != "top" else ("", text)
    if not (is_pattern(choice) or top_count(choice)):
        return split_id(text)
    if exchange:
        split_id(f"{exchange}:A-B")  # refuses what is no exchange's name
    return exchange, choice


def understood_choice(text: str) -> str:
    """Choice in its canonical form: "btc/usd" is BTC-USD, "kraken:*-usd" is kraken:*-USD.

    UsageError where it is neither a symbol nor a pattern of letters, digits, * and ?, nor top:N with N from 1 to 9999.
    """
    head, colon, rest = text.strip().partition(":")
    exchange, choice = (f"{head.lower()}:", rest) if colon and head.lower() != "top" else ("", text.strip())
    if choice.lower().startswith("top:"):
        if not top_count(choice.lower()):
            raise UsageError(f"not a number of symbols: {choice[:40]!r}", "write top:N with N from 1 to 9999, as in top:50")
        return f"{exchange}{choice.lower()}"
    if is_pattern(choice):
        pattern = choice.upper().replace("/", "-")
        if not PATTERN.fullmatch(pattern):
            raise UsageError(f"not a pattern of symbols: {choice[:40]!r}", "* stands for any letters and ? for one, as in '*-USD'")
        split_choice(exchange + pattern)
        return exchange + pattern
    name, symbol = understood_id(text)
    return f"{name}:{symbol}" if name else symbol


def matches(pattern: str, symbol: str) -> bool:
    """Whether a symbol matches a pattern, in any case; the pattern must match all of it."""
    return fnmatchcase(symbol.upper(), pattern)


def near_patterns(pattern: str, known: Iterable[str]) -> Sequence[str]:
    """Patterns that match some of the `known` symbols and of which this one may be a misspelling: *-USD for *-UDS."""
    assets = {part for symbol in known for part in symbol.upper().split("-")}
    found = []
    for word in re.findall("[A-Z0-9.]+", pattern):
        found += [pattern.replace(word, near) for near in get_close_matches(word, assets, n=2, cutoff=0.6) if near != word]
    return [near for near in dict.fromkeys(found) if any(matches(near, symbol) for symbol in known)]
