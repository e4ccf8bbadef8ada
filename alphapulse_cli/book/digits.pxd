# What `digits.py` says, for the compiler. The bytes are made for the longest numbers there are, filled, and cut to what was written.
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint64_t


cdef inline char *_written(char *at, int64_t number) noexcept nogil:
    # The decimal digits of `number` from `at` on; behind the last of them.
    cdef uint64_t left = <uint64_t>number
    cdef char digits[20]
    cdef int count = 0
    if number < 0:
        at[0] = b"-"
        at += 1
        left = 0 - left
    while True:
        digits[count] = <char>(48 + left % 10)
        left = left // 10
        count += 1
        if left == 0:
            break
    while count:
        count -= 1
        at[0] = digits[count]
        at += 1
    return at


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
