from libc.stdint cimport int64_t, uint64_t

from alphapulse_cli cimport native


cdef class Levels:
    cdef readonly int price_decimals
    cdef readonly int size_decimals
    cdef readonly Py_ssize_t count
    cdef readonly Py_ssize_t kept_out
    cdef Py_ssize_t _capacity
    cdef object _store
    cdef int64_t *_signed
    cdef uint64_t *_words

    cdef void _grow(self, Py_ssize_t capacity) except *
    cpdef add(self, object ticks, object lots, bint is_ask)
    cpdef add_number(self, object price, object size, bint is_ask)
