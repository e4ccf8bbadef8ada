cimport cython
from libc.stdint cimport int64_t, uint64_t

from alphapulse_cli cimport native
from alphapulse_cli.book cimport digits, hashes
from alphapulse_cli.wire.batch cimport Batch

cdef Py_ssize_t LEVEL_BYTES, FIRST_CAPACITY
cdef uint64_t ASK_BIT, BITS64
cdef int64_t MOST_LOTS, MOST_TICKS

cdef bint all_below(const int64_t *pairs, Py_ssize_t count, int64_t limit) noexcept


@cython.final
cdef class Side:
    cdef readonly bint is_ask
    cdef readonly Py_ssize_t count
    cdef readonly Py_ssize_t capacity
    cdef readonly uint64_t level_hash
    cdef int64_t _flip
    cdef bint _is_own
    cdef object _memory
    cdef int64_t *_pairs

    @cython.locals(capacity=Py_ssize_t, is_own=bint)
    cpdef rebind(self, object memory)
    cpdef reserve(self, Py_ssize_t count)
    @cython.locals(at=Py_ssize_t, old=int64_t)
    cpdef int64_t set(self, int64_t ticks, int64_t lots) except? -1
    @cython.locals(rank=int64_t, flip=int64_t, high=Py_ssize_t, low=Py_ssize_t, step=Py_ssize_t, middle=Py_ssize_t)
    cpdef Py_ssize_t find(self, int64_t ticks) noexcept
    @cython.locals(dropped=Py_ssize_t, at=Py_ssize_t)
    cpdef Py_ssize_t cut(self, Py_ssize_t depth, Batch batch) except -1
    @cython.locals(at=Py_ssize_t, count=Py_ssize_t, flip=int64_t)
    cpdef check_bytes(self, object data)
    cpdef take_bytes(self, object data)
    @cython.locals(limit=int64_t, worst=int64_t, best=int64_t)
    cpdef bint fits(self, int64_t price_factor, int64_t size_factor) except -1
    @cython.locals(at=Py_ssize_t)
    cpdef scale(self, int64_t price_factor, int64_t size_factor)
    cpdef int64_t best_ticks(self) noexcept
    @cython.locals(at=Py_ssize_t, lots=int64_t)
    cpdef int64_t size_at(self, int64_t ticks) noexcept
    @cython.locals(at=Py_ssize_t, ticks=object, lots=object)
    cpdef list best_first(self, Py_ssize_t count)
    cpdef bytes best_digits(self, Py_ssize_t count)
