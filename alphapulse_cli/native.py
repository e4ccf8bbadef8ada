"""The line between the compiled core and its interpreted stand-in: views of raw memory, and which of the two is running.

A hot module is one plain `.py` file. Cython compiles it with the types of the `.pxd` beside it; without a compiler the very
same source runs interpreted. The differences of the two are kept here, in one place: in C `words(buffer)` is a pointer, interpreted it is
a `memoryview`; both are indexed, `memory[i]`, alike. Compiled code takes `native.pxd` instead of this file.

The buffer handed in must outlive the view: keep a reference to it beside the view.
"""

from typing import Any

MASK64 = 0xFFFF_FFFF_FFFF_FFFF


def words(buffer: Any) -> Any:
    """The buffer as unsigned 64-bit words, index 0 first; its size must be a multiple of 8 bytes."""
    return memoryview(buffer).cast("B").cast("Q")


def signed(buffer: Any) -> Any:
    """The buffer as signed 64-bit words."""
    return memoryview(buffer).cast("B").cast("q")


def new_words(count: int) -> Any:
    """`count` unsigned 64-bit words of zeros that belong to the caller, who must `free_words` them. MemoryError."""
    return memoryview(bytearray(8 * count)).cast("Q")


def free_words(memory: Any) -> None:
    """Give back what `new_words` gave; nothing may look at it afterwards."""


def as_signed(memory: Any) -> Any:
    """The same unsigned words, seen as signed ones."""
    return memory.cast("B").cast("q")


def to_bytes(memory: Any, count: int) -> bytes:
    """A copy of the first `count` unsigned words."""
    return bytes(memory[:count])


def octets(buffer: Any) -> Any:
    """The buffer as single bytes."""
    return memoryview(buffer).cast("B")


def octets_of(buffer: Any, least: int) -> Any:
    """The buffer as single bytes; ValueError where it has fewer than `least` of them."""
    view = memoryview(buffer).cast("B")
    if len(view) < least:
        raise ValueError("the buffer is too small")
    return view


def same_octets(one: Any, at: int, other: Any, start: int, count: int) -> bool:
    """Whether `count` bytes of the one from `at` on are those of the other from `start` on."""
    return bool(one[at : at + count] == other[start : start + count])


def number(octets: Any, start: int, end: int) -> int:
    """The decimal number that these ASCII digits write, at most 19 of them; MASK64 where one of them is no digit."""
    digits = bytes(octets[start:end])
    return int(digits) if digits.isdigit() else MASK64


def write_number(octets: Any, start: int, end: int, value: int) -> None:
    """Write a number as ASCII decimal digits, padded with zeros, into exactly these bytes; it must fit them."""
    octets[start:end] = b"%0*d" % (end - start, value)


def text(octets: Any, start: int, end: int) -> str:
    """The ASCII characters of these bytes."""
    return bytes(octets[start:end]).decode("ascii")


def move_words(target: Any, to: int, source: Any, start: int, count: int) -> None:
    """Copy `count` 64-bit items of `source` from `start` on to `target` at `to`; the two may overlap."""
    target[to : to + count] = source[start : start + count]


def move_octets(target: Any, to: int, source: Any, start: int, count: int) -> None:
    """Copy `count` bytes of `source` from `start` on to `target` at `to`; the two may overlap."""
    target[to : to + count] = source[start : start + count]


def source_hash() -> str:
    """The hash of the sources that the calling module was compiled from; "" when it is interpreted."""
    return ""
