cimport cython
from libc.stdint cimport int64_t, uint64_t

from alphapulse_cli cimport native
from alphapulse_cli.book cimport digits
from alphapulse_cli.market.levels cimport Levels
from alphapulse_cli.wire.batch cimport Batch

cdef Py_ssize_t LEVEL_BYTES, FIRST_CAPACITY, RECORD_WORDS, HEADER_WORDS, MOST_CHANGES
cdef uint64_t ASK_BIT, NEW_BIT, LOTS_BITS, BITS64, SIGN_BIT, GAMMA, MIX_1, MIX_2
cdef int64_t MOST_LOTS, MOST_TICKS

cpdef uint64_t splitmix64(uint64_t value) noexcept
cdef bint all_below(const int64_t *pairs, Py_ssize_t count, int64_t limit) noexcept


@cython.final
cdef class Side:
    cdef readonly bint is_ask
    cdef readonly Py_ssize_t count
    cdef readonly Py_ssize_t capacity
    cdef readonly uint64_t level_hash
    cdef readonly Py_ssize_t incoming
    cdef int64_t _flip
    cdef bint _is_own
    cdef object _memory
    cdef int64_t *_pairs
    cdef Py_ssize_t _first
    cdef bint _falls
    cdef uint64_t _incoming_hash

    @cython.locals(capacity=Py_ssize_t, is_own=bint)
    cpdef rebind(self, object memory)
    cpdef reserve(self, Py_ssize_t count)
    @cython.locals(at=Py_ssize_t, old=int64_t)
    cpdef int64_t set(self, int64_t ticks, int64_t lots) except? -1
    @cython.locals(rank=int64_t, flip=int64_t, high=Py_ssize_t, low=Py_ssize_t, step=Py_ssize_t, middle=Py_ssize_t)
    cpdef Py_ssize_t find(self, int64_t ticks) noexcept
    @cython.locals(
        i=Py_ssize_t, place=Py_ssize_t, mine=Py_ssize_t, flip=int64_t, rank=int64_t, last=int64_t, rises=bint, falls=bint
    )
    cdef bint merge(self, const uint64_t *words, Py_ssize_t at, Py_ssize_t changes) except -1
    @cython.locals(
        i=Py_ssize_t, step=Py_ssize_t, place=Py_ssize_t, read=Py_ssize_t, end=Py_ssize_t, write=Py_ssize_t, flip=int64_t,
        ticks=int64_t, lots=int64_t, old=int64_t
    )
    cdef int _merge_sorted(self, const uint64_t *words, Py_ssize_t at, Py_ssize_t changes, Py_ssize_t mine, bint falls) except -1
    @cython.locals(dropped=Py_ssize_t, at=Py_ssize_t)
    cpdef Py_ssize_t cut(self, Py_ssize_t depth, Batch batch) except -1
    @cython.locals(i=Py_ssize_t, word=uint64_t, flip=int64_t, rank=int64_t, last=int64_t, incoming=Py_ssize_t)
    cpdef bint survey(self, Levels levels) except -1
    @cython.locals(
        i=Py_ssize_t, end=Py_ssize_t, at=Py_ssize_t, step=Py_ssize_t, left=Py_ssize_t, told_before=Py_ssize_t, incoming=Py_ssize_t,
        flip=int64_t, rank=int64_t, last=int64_t, ticks=int64_t, lots=int64_t, old=int64_t, side_bit=uint64_t, is_ask=bint
    )
    cpdef Py_ssize_t difference(self, Levels levels, Batch batch) except -2
    @cython.locals(i=Py_ssize_t, at=Py_ssize_t, step=Py_ssize_t, left=Py_ssize_t, word=uint64_t)
    cpdef take(self, Levels levels, bint is_walked)
    @cython.locals(i=Py_ssize_t)
    cdef void _aim(self, Levels levels) noexcept
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
    cdef int _tell(self, Batch batch, int64_t ticks, int64_t old, int64_t lots) except -1
    @cython.locals(level=uint64_t, change=uint64_t)
    cdef uint64_t _hash_change(self, int64_t ticks, int64_t old, int64_t lots) noexcept
    @cython.locals(at=Py_ssize_t, level_hash=uint64_t)
    cdef void _rehash(self) noexcept
