"""Levels: a growing column of (price in ticks, size in lots, side), the form in which books travel from decoder to book.

Sixteen bytes a level, as in a delta record: ticks as i64, then `lots | is_ask << 63`. A decoder fills one from the rows of a parsed
message with one call a side, so that no Python object is made per level.

Rows are hostile. A call takes all of its rows or raises; after an exception the levels must be discarded:

    Malformed       a row of the wrong shape, an unknown side, a value that is not a number
    NeedsRawText    a JSON float that does not prove its decimal: parse the frame again, numbers as text
    OffGridRow      finer than the grid; it holds the decimals that all rows of the call need, so one finer grid is enough

A level outside i64 ticks or 62-bit lots is *kept out* and counted in `kept_out`; on a final grid so is a level that is finer. A
book without it differs from the exchange's, and the code that applies the levels must report that. A removal (size 0) of such a
level is not counted: the book never held it. The number of levels is bounded by the size of the frame that carried them.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

from alphapulse_cli import native
from alphapulse_cli.market import scan
from alphapulse_cli.market import ticks as numbers
from alphapulse_cli.market.instrument import Instrument
from alphapulse_cli.market.scan import IS_ASK as IS_ASK  # noqa: PLC0414 - a name of this module too
from alphapulse_cli.market.scan import MAX_LOTS, MAX_TICKS
from alphapulse_cli.market.ticks import SHOWN_CHARACTERS

SOURCE_HASH = native.source_hash()

LOTS_MASK = MAX_LOTS
FIRST_CAPACITY = 16


class Levels:
    """Growing column of `count` levels (ticks, lots, is_ask) on one grid. ValueError unless both decimals are 0..18.

    `kept_out` counts the levels that fit no grid; `kept_out_text` is the first of them in the exchange's own text: hostile.
    """

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __init__(self, price_decimals: int, size_decimals: int) -> None:
        if not 0 <= price_decimals <= 18 or not 0 <= size_decimals <= 18:  # the range of a record's fields
            raise ValueError(f"decimals must be 0..18, not {price_decimals} and {size_decimals}")
        self._begin(price_decimals, size_decimals)

    def _begin(self, price_decimals: int, size_decimals: int) -> None:
        self.price_decimals = price_decimals
        self.size_decimals = size_decimals
        self.count = 0
        self.kept_out = 0
        self.kept_out_text = ""
        self._is_final = False
        self._off_grid = ""  # reason for which this call will fail; the decimals that would do are `_needed_price`, `_needed_size`
        self._capacity = FIRST_CAPACITY
        self._words = native.new_words(2 * FIRST_CAPACITY)
        self._signed = native.as_signed(self._words)

    def __dealloc__(self) -> None:
        # Called by the compiled core alone; the interpreted one leaves memory to the garbage collector.
        native.free_words(self._words)

    @classmethod
    def from_levels(cls, price_decimals: int, size_decimals: int, levels: Iterable[tuple[int, int, bool]]) -> Self:
        """Make levels of (ticks, lots, is_ask) tuples; those out of range are counted in `kept_out`."""
        made = cls(price_decimals, size_decimals)
        for ticks, lots, is_ask in levels:
            made.add(ticks, lots, is_ask)
        return made

    def add(self, ticks: int, lots: int, is_ask: bool) -> None:
        """Append one level. One out of range is counted in `kept_out` instead, unless its size is 0."""
        if not 0 <= ticks <= MAX_TICKS or not 0 <= lots <= LOTS_MASK:
            self.kept_out += lots != 0
            return
        self._make_room(1)
        self._signed[2 * self.count] = ticks
        self._words[2 * self.count + 1] = lots | (IS_ASK if is_ask else 0)
        self.count += 1

    def put(self, ticks: int, size_side: int) -> None:
        """Append one level known to be in range, as `ticks` and `lots | is_ask << 63`."""
        self._make_room(1)
        self._signed[2 * self.count] = ticks
        self._words[2 * self.count + 1] = size_side
        self.count += 1

    def add_pairs(self, rows: Sequence[Sequence[Any]], is_ask: bool) -> None:
        """Append rows [price, size, …] of one side. Raises as the module says, like all `add_…` of rows."""
        self._add_rows(rows, None, 0, 1, "", "", is_ask)

    def add_sided(self, rows: Sequence[Sequence[Any]], bid_word: str, ask_word: str) -> None:
        """Append rows [side, price, size, …]."""
        self._add_rows(rows, 0, 1, 2, bid_word, ask_word, False)

    def add_dicts(self, rows: Sequence[dict[str, Any]], price_key: str, size_key: str, is_ask: bool) -> None:
        """Append rows {price_key: …, size_key: …} of one side."""
        self._add_rows(rows, None, price_key, size_key, "", "", is_ask)

    def add_sided_dicts(
        self, rows: Sequence[dict[str, Any]], side_key: str, bid_word: str, ask_word: str, price_key: str, size_key: str
    ) -> None:
        """Append rows {side_key: …, price_key: …, size_key: …}."""
        self._add_rows(rows, side_key, price_key, size_key, bid_word, ask_word, False)

    def to_bytes(self) -> bytes:
        """Copy of the levels as they lie in memory, 16 bytes each: i64 ticks, u64 `lots | is_ask << 63`."""
        return native.to_bytes(self._words, 2 * self.count)

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
        return self.to_bytes() == other.to_bytes()

    def __repr__(self) -> str:
        return f"Levels({self.price_decimals}, {self.size_decimals}, {list(self)!r})"

    def _make_room(self, extra: int) -> None:
        if self.count + extra <= self._capacity:
            return
        capacity = max(2 * self._capacity, self.count + extra)
        words = native.new_words(2 * capacity)
        native.move_words(words, 0, self._words, 0, 2 * self.count)
        native.free_words(self._words)
        self._words, self._signed, self._capacity = words, native.as_signed(words), capacity

    def _add_rows(
        self, rows: Any, side_key: Any, price_key: Any, size_key: Any, bid_word: str, ask_word: str, is_ask: bool
    ) -> None:
        # `scan.rows` takes rows up to the first unusual one; `_add_row` takes that one; and so on.
        if isinstance(rows, tuple):
            rows = list(rows)
        if rows.__class__ is not list:
            raise numbers.Malformed(f"rows must be a list, not {type(rows).__name__}")
        total = len(rows)
        self._make_room(total)
        done = 0
        while done < total:
            usual = scan.rows(
                rows, done, side_key, price_key, size_key, bid_word, ask_word,
                is_ask, self.price_decimals, self.size_decimals, self._words, self.count,
            )  # fmt: skip
            self.count += usual
            done += usual
            if done < total:
                self._add_row(rows[done], side_key, price_key, size_key, bid_word, ask_word, is_ask)
                done += 1
        self._check_grid()

    def _add_row(self, row: Any, side_key: Any, price_key: Any, size_key: Any, bid_word: str, ask_word: str, is_ask: bool) -> None:
        kind = dict if isinstance(price_key, str) else (list, tuple)
        if not isinstance(row, kind):
            raise numbers.Malformed(f"a row of type {type(row).__name__}")
        try:
            price, size = row[price_key], row[size_key]
            if side_key is not None:
                is_ask = _is_ask(row[side_key], bid_word, ask_word)
        except (IndexError, KeyError) as error:
            raise numbers.Malformed(f"a row of {len(row)} fields lacks a price, size or side") from error
        self._add_slowly(price, size, is_ask)

    def _add_slowly(self, price: object, size: object, is_ask: bool) -> None:
        kept_out = self.kept_out
        try:
            ticks, lots = numbers.price_and_size(price, size, self.price_decimals, self.size_decimals)
        except numbers.OffGridRow as off:
            if self._is_final:
                is_removal = off.size_decimals == self.size_decimals and numbers.number_to_ticks(size, self.size_decimals) == 0
                self.kept_out += not is_removal
            else:
                self._note_off_grid(off)
        else:
            if ticks == 0:
                raise numbers.Malformed("a level at price 0")
            self.add(ticks, lots, is_ask)
        if self.kept_out and not kept_out:
            self.kept_out_text = f"price {str(price)[:SHOWN_CHARACTERS]} size {str(size)[:SHOWN_CHARACTERS]}"

    def _note_off_grid(self, off: numbers.OffGridRow) -> None:
        if not self._off_grid:
            self._off_grid, self._needed_price, self._needed_size = str(off), self.price_decimals, self.size_decimals
        self._needed_price = max(self._needed_price, off.price_decimals)
        self._needed_size = max(self._needed_size, off.size_decimals)

    def _check_grid(self) -> None:
        if self._off_grid:
            raise numbers.OffGridRow(
                self._off_grid,
                is_size=self._needed_price == self.price_decimals,
                price_decimals=self._needed_price,
                size_decimals=self._needed_size,
            )


def empty_of(instrument: Instrument) -> Levels:
    """Make empty levels on the instrument's grid."""
    made = Levels(instrument.price_decimals, instrument.size_decimals)
    made._is_final = instrument.grid_is_final  # noqa: SLF001 it is its other constructor
    return made


def empty(price_decimals: int, size_decimals: int) -> Levels:
    """Make empty levels: the constructor of the compiled core, to which `Levels(…)` costs as much as three levels.

    The decimals are not checked.
    """
    made = Levels.__new__(Levels)
    made._begin(price_decimals, size_decimals)  # noqa: SLF001 it is its other constructor
    return made


def _is_ask(word: object, bid_word: str, ask_word: str) -> bool:
    if isinstance(word, str) and word in {bid_word, ask_word}:
        return word == ask_word
    raise numbers.Malformed(f"not a side: {word[:20]!r}" if isinstance(word, str) else f"a side of type {type(word).__name__}")
