# Compiled form of `scan.py`: characters are read in place, rows through borrowed references. No Python code runs in here and
# nothing is allocated, so no row can change or be freed meanwhile. Every index is checked: rows are hostile.
from cpython.object cimport PyObject
from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef extern from "Python.h":
    bint _is_list "PyList_CheckExact"(PyObject *value) noexcept
    Py_ssize_t _list_size "PyList_GET_SIZE"(PyObject *list) noexcept
    PyObject *_list_item "PyList_GET_ITEM"(PyObject *list, Py_ssize_t index) noexcept
    bint _is_dict "PyDict_CheckExact"(PyObject *value) noexcept
    PyObject *_dict_item "PyDict_GetItemWithError"(PyObject *dict, PyObject *key) noexcept
    bint _is_text "PyUnicode_CheckExact"(PyObject *value) noexcept
    bint _is_int "PyLong_CheckExact"(PyObject *value) noexcept
    bint _is_float "PyFloat_CheckExact"(PyObject *value) noexcept
    double _float_value "PyFloat_AS_DOUBLE"(PyObject *value) noexcept
    long long _int_value "PyLong_AsLongLongAndOverflow"(PyObject *value, int *overflow) noexcept

cdef extern from *:
    """
    #include <math.h>
    #include <stdint.h>
    #include <string.h>

    static const uint64_t ap_powers[20] = {
        1u, 10u, 100u, 1000u, 10000u, 100000u, 1000000u, 10000000u, 100000000u, 1000000000u, 10000000000u, 100000000000u,
        1000000000000u, 10000000000000u, 100000000000000u, 1000000000000000u, 10000000000000000u, 100000000000000000u,
        1000000000000000000u, 10000000000000000000u,
    };

    /* Ticks of ASCII text, -1 if it is unusual. Whole digits and decimals together are at most 19, so nothing overflows a u64;
       a longer number is out of range, or has leading zeros, which are left to the slow path. */
    static inline int64_t ap_plain_text(const uint8_t *text, Py_ssize_t length, int decimals) {
        if (length > 40) return -1;
        const uint8_t *at = text, *end = text + length, *stop;
        uint64_t value = 0;
        unsigned digit;
        stop = length > 19 - decimals ? text + (19 - decimals) : end;
        while (at < stop && (digit = (unsigned)*at - '0') <= 9) { value = value * 10 + digit; at++; }
        if (at == text) return -1;
        if (at == end) {
            value *= ap_powers[decimals];
        } else {
            if (*at != '.') return -1;
            const uint8_t *fraction = ++at;
            if (at == end) return -1;
            stop = end - at > decimals ? at + decimals : end;
            while (at < stop && (digit = (unsigned)*at - '0') <= 9) { value = value * 10 + digit; at++; }
            if (at < stop) return -1;
            value *= ap_powers[decimals - (int)(at - fraction)];
            while (at < end) if (*at++ != '0') return -1;
        }
        return value <= INT64_MAX ? (int64_t)value : -1;
    }

    /* Ticks of a JSON float that proves its decimal (`scan.EXACT_FLOAT`), else -1. */
    static inline int64_t ap_plain_float(double number, int decimals) {
        if (!(number >= 0.0 && number < 2251799813685248.0) || signbit(number)) return -1;
        double scale = (double)ap_powers[decimals], ticks = rint(number * scale);
        return ticks < 2251799813685248.0 && ticks / scale == number ? (int64_t)ticks : -1;
    }

    /* 1 if both, exact str, are the same text. */
    static inline int ap_same_text(PyObject *one, PyObject *other) {
        if (one == other) return 1;
        Py_ssize_t length = PyUnicode_GET_LENGTH(one);
        return length == PyUnicode_GET_LENGTH(other) && PyUnicode_KIND(one) == PyUnicode_KIND(other)
            && memcmp(PyUnicode_DATA(one), PyUnicode_DATA(other), (size_t)length * PyUnicode_KIND(one)) == 0;
    }
    """
    const uint64_t *_powers "ap_powers"
    int64_t _plain_text "ap_plain_text"(const uint8_t *text, Py_ssize_t length, int decimals) noexcept nogil
    int64_t _plain_float "ap_plain_float"(double number, int decimals) noexcept
    bint _same_text "ap_same_text"(PyObject *one, PyObject *other) noexcept
    bint _is_ascii "PyUnicode_IS_COMPACT_ASCII"(PyObject *text) noexcept
    const uint8_t *_characters "PyUnicode_1BYTE_DATA"(PyObject *text) noexcept
    Py_ssize_t _length "PyUnicode_GET_LENGTH"(PyObject *text) noexcept


cdef inline Py_ssize_t number_end(const uint8_t *octets, Py_ssize_t at) noexcept nogil:
    while <uint8_t>(octets[at] - 48) <= 9 or octets[at] == c".":
        at += 1
    return at


cdef inline int64_t plain_at(const uint8_t *octets, Py_ssize_t start, Py_ssize_t end, int decimals) noexcept nogil:
    if end - start > 1 and octets[start] == c"0" and octets[start + 1] != c".":
        return -1
    return _plain_text(octets + start, end - start, decimals)


cdef inline int64_t integer_at(const uint8_t *octets, Py_ssize_t start, Py_ssize_t end) noexcept nogil:
    cdef Py_ssize_t at
    for at in range(start, end):
        if octets[at] == c".":
            return -1
    return plain_at(octets, start, end, 0)


cdef inline int64_t _plain(PyObject *number, int decimals) noexcept:
    cdef int overflow = 0
    cdef long long value
    if _is_text(number):
        return _plain_text(_characters(number), _length(number), decimals) if _is_ascii(number) else -1
    if _is_float(number):
        return _plain_float(_float_value(number), decimals)
    if not _is_int(number):
        return -1
    value = _int_value(number, &overflow)
    if overflow or value < 0 or <uint64_t>value > (<uint64_t>0x7FFF_FFFF_FFFF_FFFF) // _powers[decimals]:
        return -1
    return value * <int64_t>_powers[decimals]


cdef inline int64_t plain(object number, int decimals) noexcept:
    return _plain(<PyObject *>number, decimals)


cdef inline Py_ssize_t rows(
    list table, Py_ssize_t start, object side_key, object price_key, object size_key, object bid_word, object ask_word,
    bint is_ask, int price_decimals, int size_decimals, uint64_t *words, Py_ssize_t count,
) except -1:
    cdef PyObject *row
    cdef PyObject *price
    cdef PyObject *size
    cdef PyObject *side
    cdef PyObject *whole = <PyObject *>table
    cdef PyObject *bid = <PyObject *>bid_word
    cdef PyObject *ask = <PyObject *>ask_word
    cdef bint sided = side_key is not None, dicts = isinstance(price_key, str)
    cdef Py_ssize_t index, side_at = -1, price_at = -1, size_at = -1, last_at = -1, end = _list_size(whole)
    cdef int64_t ticks, lots
    cdef uint64_t flag = <uint64_t>is_ask << 63
    if not _is_text(bid) or not _is_text(ask):
        raise TypeError("the words of the sides must be text")
    if not dicts:
        side_at, price_at, size_at = side_key if sided else 0, price_key, size_key
        last_at = max(side_at, price_at, size_at)
    for index in range(start, end):
        row = _list_item(whole, index)
        side = NULL
        if dicts:
            if not _is_dict(row):
                return index - start
            price, size = _dict_item(row, <PyObject *>price_key), _dict_item(row, <PyObject *>size_key)
            if price == NULL or size == NULL:
                return index - start
            if sided:
                side = _dict_item(row, <PyObject *>side_key)
        else:
            if not _is_list(row) or last_at >= _list_size(row):
                return index - start
            price, size = _list_item(row, price_at), _list_item(row, size_at)
            if sided:
                side = _list_item(row, side_at)
        ticks = _plain(price, price_decimals)
        lots = _plain(size, size_decimals)
        if ticks <= 0 or lots < 0 or lots >> 62:
            return index - start
        if sided:
            if side == NULL or not _is_text(side):
                return index - start
            if _same_text(side, ask):
                flag = <uint64_t>1 << 63
            elif _same_text(side, bid):
                flag = 0
            else:
                return index - start
        words[2 * (count + index - start)] = <uint64_t>ticks
        words[2 * (count + index - start) + 1] = <uint64_t>lots | flag
    return end - start
