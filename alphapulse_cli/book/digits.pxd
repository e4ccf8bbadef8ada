# Compiled form of `digits.py`. The bytes are allocated for the longest possible numbers, filled, and cut to the length written.
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memcpy


cdef inline char *_written(char *at, int64_t number) noexcept nogil:
    # Write the decimal digits of `number` from `at` on; the place after the last.
    cdef uint64_t left = <uint64_t>number
    cdef char digits[20]
    cdef int first = 20
    cdef unsigned int two
    if number < 0:
        at[0] = b"-"
        at += 1
        left = 0 - left
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
