cimport cython
from libc.stdint cimport uint8_t, uint64_t

from alphapulse_cli cimport native
from alphapulse_cli.shm cimport memory

cdef Py_ssize_t VERSION, RING_POSITION, TIMESTAMP, BID_COUNT, ASK_COUNT, BOOK_HASH, STATE, REASON, CHECKSUM_STATE
cdef Py_ssize_t PRICE_DECIMALS, SIZE_DECIMALS


cdef class ImageWriter:
    cdef readonly object segment
    cdef readonly Py_ssize_t capacity
    cdef readonly object bids
    cdef readonly object asks
    cdef object _memory
    cdef uint64_t *_words
    cdef Py_ssize_t _live
    cdef Py_ssize_t _checkpoint
    cdef Py_ssize_t _data_word
    cdef Py_ssize_t _side_words
    cdef Py_ssize_t _word_count
    cdef Py_ssize_t _status_behind
    cdef Py_ssize_t _sealed_at
    cdef Py_ssize_t _state_at

    cpdef begin(self)

    @cython.locals(at=Py_ssize_t, words="uint64_t *")
    cpdef commit(
        self,
        uint64_t version,
        uint64_t timestamp_ns,
        uint64_t ring_position,
        uint64_t bid_count,
        uint64_t ask_count,
        uint64_t book_hash,
        uint64_t state,
        uint64_t reason,
        uint64_t checksum_state,
        uint64_t price_decimals,
        uint64_t size_decimals,
    )

    cpdef set_trading_status(self, uint64_t status)

    cpdef set_status(self, uint64_t state, uint64_t reason)

    @cython.locals(words="uint64_t *", live=Py_ssize_t, kept=Py_ssize_t, bids=Py_ssize_t, asks=Py_ssize_t, behind=Py_ssize_t)
    cpdef checkpoint(self)

    cdef _check(self)

    @cython.locals(live=Py_ssize_t, i=Py_ssize_t)
    cdef _take_over(self, ImageWriter old)


cdef class ImageReader:
    cdef readonly object segment
    cdef readonly Py_ssize_t capacity
    cdef object _memory
    cdef object _octets
    cdef uint64_t *_words
    cdef Py_ssize_t _side_bytes
    cdef Py_ssize_t _status_behind

    cdef _copy(self, Py_ssize_t at, Py_ssize_t behind, Py_ssize_t levels, Py_ssize_t tries)

    @cython.locals(words="uint64_t *", before=uint64_t, i=Py_ssize_t)
    cdef _try(self, Py_ssize_t at, Py_ssize_t behind, Py_ssize_t levels)

    cdef _check(self)

    cdef bytes _best(self, Py_ssize_t start, Py_ssize_t count, Py_ssize_t levels)
