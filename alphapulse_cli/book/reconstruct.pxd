cimport cython
from libc.stdint cimport int64_t, uint64_t

from alphapulse_cli cimport native
from alphapulse_cli.book.book cimport Book

cdef Py_ssize_t RECORD_BYTES, RECORD_WORDS, HEADER_WORDS, LARGE_GROUP, MOST_HELD
cdef uint64_t FIRST_FLAG, LAST_FLAG, KIND_BITS, RESET_KIND, CHECK_KIND, STATUS_KIND, SIGN_BIT, MOST_CHANGES
cdef int64_t NO_DELAY
cdef int _NOT_REPORTED
cdef int NOTHING, COLD, CHAIN_BROKEN, RESET, CHECK_FAILED, GROUP_WITHOUT_FIRST, LAPPED


@cython.final
cdef class Reconstructor:
    cdef readonly str exchange
    cdef readonly str symbol
    cdef readonly Book book
    cdef readonly uint64_t version
    cdef readonly uint64_t timestamp_ns
    cdef readonly int64_t feed_delay_us
    cdef readonly int book_state
    cdef readonly int reason
    cdef readonly int trading_status
    cdef readonly int exchange_checksum
    cdef readonly uint64_t checks_ok
    cdef readonly uint64_t checks_bad
    cdef int _why
    cdef bint _after_hole
    cdef uint64_t _symbol_0
    cdef uint64_t _symbol_1
    cdef uint64_t _exchange_0
    cdef uint64_t _exchange_1
    cdef object _held
    cdef uint64_t *_held_words
    cdef Py_ssize_t _held_capacity
    cdef Py_ssize_t _held_count

    cpdef missed(self)
    @cython.locals(words="const uint64_t *", at=Py_ssize_t, taken=Py_ssize_t, held=Py_ssize_t)
    cpdef Py_ssize_t apply(self, object records, Py_ssize_t start, Py_ssize_t count) except -1
    @cython.locals(flags=uint64_t, held=Py_ssize_t)
    cdef int _take_record(self, const uint64_t *words, Py_ssize_t at) except -1
    @cython.locals(kind=uint64_t, version=uint64_t)
    cdef int _take_group(self, const uint64_t *words, Py_ssize_t at, Py_ssize_t count) except -1
    @cython.locals(word=uint64_t, changes=uint64_t, is_last=bint, record=Py_ssize_t, price_decimals=uint64_t, size_decimals=uint64_t)
    cdef bint _continues(self, const uint64_t *words, Py_ssize_t at, Py_ssize_t count) except -1
    @cython.locals(last=Py_ssize_t, total=Py_ssize_t)
    cdef int _apply_changes(self, const uint64_t *words, Py_ssize_t at, Py_ssize_t count) except -1
    @cython.locals(book=Book, record=Py_ssize_t, changes=Py_ssize_t, place=Py_ssize_t)
    cdef int _set_changes(self, const uint64_t *words, Py_ssize_t at, Py_ssize_t count) except -1
    @cython.locals(is_cold=bint, payload=uint64_t, trading=uint64_t)
    cdef int _take_word(self, const uint64_t *words, Py_ssize_t at, uint64_t kind, uint64_t version) except -1
    @cython.locals(book=Book, counts=uint64_t, states=uint64_t, bid_count=uint64_t, ask_count=uint64_t)
    cdef int _check(self, const uint64_t *words, Py_ssize_t at) except -1
    @cython.locals(delay=int64_t)
    cdef void _note(self, const uint64_t *words, Py_ssize_t at) noexcept
    cdef int _hold(self, const uint64_t *words, Py_ssize_t at) except -1
    cdef int _chill(self, int why) noexcept
