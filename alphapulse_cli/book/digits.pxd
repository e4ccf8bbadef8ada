# Compiled form of `digits.py`. The bytes are allocated for the longest possible numbers, filled, and cut to the length written.
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy


cdef inline char *_written(char *at, int64_t number) noexcept nogil:
    # Write `number` in decimal digits from `at` on; the place after the last.
    if number < 0:
        at[0] = b"-"
        return _digits(at + 1, 0 - <uint64_t>number)
    return _digits(at, <uint64_t>number)


cdef inline char *_digits(char *at, uint64_t left) noexcept nogil:
    cdef char digits[20]
    cdef int first = 20
    cdef unsigned int two
    while left >= 100:  # two digits a division, which is the expensive part
        two = <unsigned int>(left % 100)
        left = left // 100
        first -= 2
        digits[first] = <char>(48 + two // 10)
        digits[first + 1] = <char>(48 + two % 10)
    if left >= 10:
        first -= 1
        digits[first] = <char>(48 + left % 10)
        left = left // 10
    first -= 1
    digits[first] = <char>(48 + left)
    memcpy(at, digits + first, <size_t>(20 - first))
    return at + 20 - first


cdef inline bytes of_best(const int64_t *pairs, Py_ssize_t count, Py_ssize_t levels):
    if levels > count:
        levels = count
    if levels <= 0:
        return b""
    cdef bytes room = PyBytes_FromStringAndSize(NULL, levels * 40)
    cdef char *start = PyBytes_AS_STRING(room)
    cdef char *at = start
    cdef Py_ssize_t level = count
    while level > count - levels:
        level -= 1
        at = _written(_written(at, pairs[2 * level]), pairs[2 * level + 1])
    return room[:at - start]


cdef enum:
    NUMBER_BYTES = 24  # of a number beside its decimals: separator, two signs, "0.", twenty digits less those behind the point


cdef inline char *_decimal(char *at, int64_t number, int decimals) noexcept nogil:
    # Write the shortest plain decimal of `number` / 10**`decimals`; the place after the last. At most NUMBER_BYTES + decimals.
    cdef char digits[20]
    cdef int length, whole, place
    cdef uint64_t left = <uint64_t>number
    if number < 0:
        at[0] = b"-"
        at += 1
        left = 0 - left
    if left == 0:
        decimals = 0
    while decimals > 0 and left % 10 == 0:
        left = left // 10
        decimals -= 1
    length = <int>(_digits(digits, left) - digits)
    if decimals == 0:
        memcpy(at, digits, <size_t>length)
        return at + length
    whole = length - decimals
    if whole > 0:
        memcpy(at, digits, <size_t>whole)
        at += whole
    else:
        at[0] = b"0"
        at += 1
    at[0] = b"."
    at += 1
    for place in range(whole, 0):
        at[0] = b"0"
        at += 1
    whole = whole if whole > 0 else 0
    memcpy(at, digits + whole, <size_t>(length - whole))
    return at + length - whole


cdef inline char *_level(char *at, const int64_t *pair, int price_decimals, int size_decimals, bint minus) noexcept nogil:
    # Write ":price:size".
    at[0] = b":"
    at = _decimal(at + 1, pair[0], price_decimals)
    at[0] = b":"
    at += 1
    if minus:
        at[0] = b"-"
        at += 1
    return _decimal(at, pair[1], size_decimals)


cdef inline bytes decimals_of(
    const int64_t *bids, Py_ssize_t bid_count, const int64_t *asks, Py_ssize_t ask_count, Py_ssize_t levels,
    int price_decimals, int size_decimals, bint sign
):
    if levels > bid_count and levels > ask_count:
        levels = bid_count if bid_count > ask_count else ask_count
    if levels <= 0:
        return b""
    cdef bytes room = PyBytes_FromStringAndSize(NULL, 2 * levels * (2 * NUMBER_BYTES + price_decimals + size_decimals))
    cdef char *start = PyBytes_AS_STRING(room)
    cdef char *at = start
    cdef Py_ssize_t back
    for back in range(1, levels + 1):
        if back <= bid_count:
            at = _level(at, bids + 2 * (bid_count - back), price_decimals, size_decimals, False)
        if back <= ask_count:
            at = _level(at, asks + 2 * (ask_count - back), price_decimals, size_decimals, sign)
    return room[1:at - start]
