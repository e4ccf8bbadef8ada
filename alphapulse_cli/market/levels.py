"""Levels: a growing column of (price in ticks, size in lots, side), the form in which books travel from decoder to book.

Sixteen bytes a level, as in a delta record: ticks as i64, then `lots | is_ask << 63`. A decoder fills one from the rows of a parsed
message with one call a side, so that no Python object is made per level.

A number that cannot be ticks raises what `market.ticks` raises, and the levels must be thrown away. A level outside i64 ticks or
62-bit lots is *kept out* and counted in `kept_out`: a book without it is still the truth about all others.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from alphapulse_cli import native
from alphapulse_cli.market import ticks as numbers

SOURCE_HASH = native.source_hash()

IS_ASK = 1 << 63
LOTS_MASK = (1 << 62) - 1
FIRST_CAPACITY = 16


class Levels:
    """A growing column of levels on one grid; `count` of them, each (ticks, lots, is_ask)."""

    def __init__(self, price_decimals: int, size_decimals: int) -> None:
        self.price_decimals = price_decimals
        self.size_decimals = size_decimals
        self.count = 0
        self.kept_out = 0
        self._capacity = 0
        self._grow(FIRST_CAPACITY)

    def _grow(self, capacity: int) -> None:
        store = bytearray(16 * capacity)
        signed, words = native.signed(store), native.words(store)
        if self.count:
            native.move_words(words, 0, self._words, 0, 2 * self.count)
        self._store, self._signed, self._words, self._capacity = store, signed, words, capacity

    def add(self, ticks: int, lots: int, is_ask: bool) -> None:
        """One level; out of range, it is counted in `kept_out` instead."""
        if not 0 <= ticks <= numbers.MAX_TICKS or not 0 <= lots <= LOTS_MASK:
            self.kept_out += 1
            return
        if self.count == self._capacity:
            self._grow(2 * self._capacity)
        self._signed[2 * self.count] = ticks
        self._words[2 * self.count + 1] = lots | (IS_ASK if is_ask else 0)
        self.count += 1

    def add_number(self, price: object, size: object, is_ask: bool) -> None:
        """One level from decimal text or JSON numbers."""
        self.add(numbers.number_to_ticks(price, self.price_decimals), numbers.number_to_ticks(size, self.size_decimals), is_ask)

    def add_pairs(self, rows: Sequence[Sequence[Any]], is_ask: bool) -> None:
        """Rows [price, size, …] of one side. NumberError; TypeError or IndexError for rows of another shape."""
        for row in rows:
            self.add_number(row[0], row[1], is_ask)

    def add_sided(self, rows: Sequence[Sequence[Any]], bid_word: str, ask_word: str) -> None:
        """Rows [side, price, size]. Malformed also for any other side."""
        for row in rows:
            self.add_number(row[1], row[2], _is_ask(row[0], bid_word, ask_word))

    def add_dicts(self, rows: Sequence[dict[str, Any]], price_key: str, size_key: str, is_ask: bool) -> None:
        """Rows {price_key: …, size_key: …} of one side. KeyError for a row without them."""
        for row in rows:
            self.add_number(row[price_key], row[size_key], is_ask)

    def add_sided_dicts(
        self, rows: Sequence[dict[str, Any]], side_key: str, bid_word: str, ask_word: str, price_key: str, size_key: str
    ) -> None:
        """Rows {side_key: …, price_key: …, size_key: …}. Malformed also for any other side."""
        for row in rows:
            self.add_number(row[price_key], row[size_key], _is_ask(row[side_key], bid_word, ask_word))

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[tuple[int, int, bool]]:
        for i in range(self.count):
            word = self._words[2 * i + 1]
            yield self._signed[2 * i], word & LOTS_MASK, word >= IS_ASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Levels):
            return NotImplemented
        if self.price_decimals != other.price_decimals or self.size_decimals != other.size_decimals:
            return False
        return list(self) == list(other)

    def __repr__(self) -> str:
        return f"Levels({self.price_decimals}, {self.size_decimals}, {list(self)!r})"


def _is_ask(word: object, bid_word: str, ask_word: str) -> bool:
    if word == ask_word:
        return True
    if word == bid_word:
        return False
    raise numbers.Malformed(f"not a side: {str(word)[:20]!r}")
