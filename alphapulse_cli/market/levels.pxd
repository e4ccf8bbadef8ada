# Types of `levels.py`. Compiled users read `_words` and `_signed` (the same memory: level i at 2i and 2i + 1) up to `count`;
# adding a level may move that memory.
cimport cython
from libc.stdint cimport int64_t, uint64_t

from alphapulse_cli cimport native
from alphapulse_cli.market cimport scan


@cython.final
cdef class Levels:
    cdef readonly int price_decimals
    cdef readonly int size_decimals
    cdef readonly Py_ssize_t count
    cdef readonly Py_ssize_t kept_out
    cdef readonly str kept_out_text
    cdef bint _is_final
    cdef Py_ssize_t _capacity
    cdef int64_t *_signed
    cdef uint64_t *_words
    cdef str _off_grid
    cdef int _needed_price
    cdef int _needed_size

    cdef object _begin(self, int price_decimals, int size_decimals)
    cdef object _make_room(self, Py_ssize_t extra)
    cpdef put(self, int64_t ticks, uint64_t size_side)
    cpdef add(self, object ticks, object lots, bint is_ask)
    cdef object _add_rows(self, object rows, object side_key, object price_key, object size_key, str bid_word, str ask_word, bint is_ask)
    cdef object _add_row(self, object row, object side_key, object price_key, object size_key, str bid_word, str ask_word, bint is_ask)
    cdef object _add_slowly(self, object price, object size, bint is_ask)
    cdef object _note_off_grid(self, object off)
    cdef object _check_grid(self)


@cython.locals(made=Levels)
cpdef Levels empty_of(object instrument)
@cython.locals(made=Levels)
cpdef Levels empty(int price_decimals, int size_decimals)
