cimport cython
from libc.stdint cimport int64_t, uint64_t

from alphapulse_cli cimport native
from alphapulse_cli.book cimport digits, merge
from alphapulse_cli.book.side cimport Side
from alphapulse_cli.book.walk cimport Walk
from alphapulse_cli.market.levels cimport Levels
from alphapulse_cli.wire.batch cimport Batch

cdef uint64_t ASK_BIT, NEW_BIT, LOTS_BITS, BITS64


@cython.final
cdef class Book:
    cdef readonly int price_decimals
    cdef readonly int size_decimals
    cdef Side _bids
    cdef Side _asks
    cdef Walk _bid_walk
    cdef Walk _ask_walk

    @cython.locals(i=Py_ssize_t, count=Py_ssize_t, changes=Py_ssize_t, word=uint64_t, ticks=int64_t, lots=int64_t, old=int64_t)
    cpdef Py_ssize_t apply(self, Levels levels, Batch batch) except -1
    @cython.locals(lots=int64_t)
    cpdef int64_t set(self, int64_t ticks, uint64_t size_side) except? -1
    cdef bint merge(self, const uint64_t *words, Py_ssize_t at, Py_ssize_t changes) except -1
    cpdef reserve(self, Py_ssize_t count)
    cpdef Py_ssize_t cut(self, Py_ssize_t depth, Batch batch) except -1
    cpdef load(self, Levels levels)
    @cython.locals(changes_before=Py_ssize_t)
    cpdef Py_ssize_t replace(self, Levels levels, Batch batch) except -1
    cpdef load_sides(self, object bids, object asks)
    cpdef Py_ssize_t room(self) noexcept
    cpdef bytes top_digits(self, Py_ssize_t count)
    @cython.locals(bids=Side, asks=Side)
    cpdef bytes top_decimals(self, Py_ssize_t count, int price_decimals, int size_decimals, bint sign)
    cpdef rebind(self, object bids_memory, object asks_memory)
    cdef bint _has_both(self) noexcept
    cdef bint _check_grid(self, Levels levels) except -1
    @cython.locals(i=Py_ssize_t, word=uint64_t, bids=Py_ssize_t, asks=Py_ssize_t)
    cdef bint _make_room(self, Levels levels) except -1
    @cython.locals(i=Py_ssize_t, count=Py_ssize_t, walk=Walk)
    cdef bint _walk(self, Levels levels, Batch batch) except -1
    cdef bint _make_room_for_incoming(self) except -1
