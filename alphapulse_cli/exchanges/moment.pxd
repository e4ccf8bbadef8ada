# Compiled form of `moment.py`. Characters are read in place; every index is below the length.
from libc.stdint cimport int64_t, uint8_t

cdef extern from "Python.h":
    bint _is_ascii "PyUnicode_IS_COMPACT_ASCII"(object text) noexcept
    const uint8_t *_characters "PyUnicode_1BYTE_DATA"(object text) noexcept
    Py_ssize_t _length "PyUnicode_GET_LENGTH"(object text) noexcept


cdef inline int _number(const uint8_t *text, int count) noexcept nogil:
    # Value of `count` digits (at most 9), -1 if one of the characters is not a digit.
    cdef int value = 0, at
    cdef unsigned int digit
    for at in range(count):
        digit = <unsigned int>text[at] - 48
        if digit > 9:
            return -1
        value = value * 10 + <int>digit
    return value


cdef inline int _days_of(int year, int month) noexcept nogil:
    # Number of days of that month.
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


cdef inline int64_t usual_ns(object text):
    return usual_at(_characters(text), 0, _length(text)) if _is_ascii(text) else -1


cdef inline int64_t usual_at(const uint8_t *octets, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    cdef const uint8_t *at = octets + start
    cdef int length = <int>max(min(end - start, 31), 0), digits = length - 21
    if length < 20 or length > 30 or digits == 0 or at[length - 1] != c"Z":
        return -1
    if at[4] != c"-" or at[7] != c"-" or at[10] != c"T" or at[13] != c":" or at[16] != c":":
        return -1
    cdef int year = _number(at, 4), month = _number(at + 5, 2), day = _number(at + 8, 2)
    cdef int hour = _number(at + 11, 2), minute = _number(at + 14, 2), second = _number(at + 17, 2)
    if year < 1970 or year > 2261 or month < 1 or month > 12 or day < 1 or day > _days_of(year, month):
        return -1
    if hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0 or second > 59:
        return -1
    cdef int64_t fraction = 0
    if digits > 0:
        fraction = _number(at + 20, digits)
        if at[19] != c"." or fraction < 0:
            return -1
        while digits < 9:
            fraction *= 10
            digits += 1
    # Days since 1970 of a year that begins in March, so that the leap day is its last: 719468 days lie before 1970.
    cdef int64_t y = year - (month <= 2), m = month - 3 if month > 2 else month + 9
    cdef int64_t days = 365 * y + y // 4 - y // 100 + y // 400 + (153 * m + 2) // 5 + day - 1 - 719468
    return (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000000000 + fraction
