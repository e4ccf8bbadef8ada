cimport cython
from libc.stdint cimport int64_t, uint64_t

from alphapulse_cli cimport native

cdef Py_ssize_t RECORD_WORDS, HEADER_WORDS, RECORD_CHANGES
cdef uint64_t FIRST_FLAG, LAST_FLAG, RESYNCED_FLAG, CHECK_KIND, STATUS_KIND
cdef int64_t NO_DELAY, _LOW_HALF

@cython.final
cdef class Batch:
    cdef readonly str symbol
    cdef readonly str exchange
    cdef readonly uint64_t price_decimals
    cdef readonly uint64_t size_decimals
    cdef readonly Py_ssize_t change_count
    cdef readonly object records
    cdef bytes _names
    cdef Py_ssize_t _capacity
    cdef Py_ssize_t _capacity_words
    cdef Py_ssize_t _next
    cdef Py_ssize_t _record_end
    cdef int64_t *_signed
    cdef uint64_t *_words

    cpdef set_decimals(self, int price_decimals, int size_decimals)
    cpdef clear(self)
    @cython.locals(record=Py_ssize_t)
    cpdef take_back(self, Py_ssize_t change_count)
    @cython.locals(needed=Py_ssize_t)
    cpdef reserve(self, Py_ssize_t count)
    @cython.locals(at=Py_ssize_t)
    cpdef Py_ssize_t append(self, int64_t ticks, uint64_t size_side) except -1
    @cython.locals(left=Py_ssize_t, last=Py_ssize_t, used=Py_ssize_t, word=Py_ssize_t, record=Py_ssize_t, flags=uint64_t)
    cpdef Py_ssize_t finish(
        self, uint64_t kind, uint64_t timestamp_ns, uint64_t version, uint64_t prev_version, int64_t feed_delay_us=*, bint resynced=*
    ) except -1
    cpdef Py_ssize_t check(
        self, uint64_t timestamp_ns, uint64_t version, uint64_t book_hash, uint64_t bid_levels, uint64_t ask_levels,
        uint64_t checksum, uint64_t state
    ) except -1
    cpdef Py_ssize_t status(
        self, uint64_t timestamp_ns, uint64_t version, uint64_t state, uint64_t reason, uint64_t trading_status
    ) except -1
    @cython.locals(at=Py_ssize_t, delay=uint64_t)
    cdef void _write_header(
        self, Py_ssize_t record, uint64_t changes, uint64_t flags, uint64_t timestamp_ns, uint64_t version, uint64_t prev_version,
        int64_t feed_delay_us
    ) noexcept
    @cython.locals(words="uint64_t *")
    cdef _grow(self, Py_ssize_t capacity)
