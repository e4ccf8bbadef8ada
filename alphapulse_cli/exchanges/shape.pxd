cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t

from alphapulse_cli cimport native
from alphapulse_cli.exchanges cimport moment
from alphapulse_cli.market cimport events, scan
from alphapulse_cli.market.events cimport Update
from alphapulse_cli.market.levels cimport Levels, empty

cdef uint64_t LITERAL, PRICE, SIZE, SIDE, TIME, NAME, MILLIS, FIRST, FINAL, CHECKSUM, TEXT, AGAIN, COUNT, AMOUNT, SIGNED, CHANNEL, LEVEL, ROWS, NEXT_ROW, OPTIONAL, IS_ASK
cdef Py_ssize_t STEP_WORDS
cdef int64_t SIGN_BIT, LARGEST_CHECKSUM, LARGEST_MILLIS, LEAST_MICROS, LARGEST_MICROS, NS_PER_MS, NS_PER_US, _MOST_NUMBER
cdef uint8_t QUOTE, COMMA, CLOSE, BACKSLASH, SPACE, DELETE, MINUS


@cython.final
cdef class Numbers:
    cdef public int64_t last
    cdef public int64_t final


@cython.final
cdef class Shape:
    cdef public dict instruments
    cdef public dict numbers
    cdef public int64_t expected
    cdef bint _is_counted
    cdef bint _counted_by_name
    cdef readonly int64_t first
    cdef readonly int64_t final
    cdef object _depth
    cdef bytes _literals
    cdef const uint8_t *_literal
    cdef Py_ssize_t _bid_at
    cdef Py_ssize_t _bid_length
    cdef Py_ssize_t _ask_at
    cdef Py_ssize_t _ask_length
    cdef uint64_t *_steps
    cdef Py_ssize_t _count
    cdef const uint8_t *_frame
    cdef Py_ssize_t _at
    cdef Py_ssize_t _size
    cdef Py_ssize_t _name_at
    cdef Py_ssize_t _name_length
    cdef int64_t _ticks
    cdef int64_t _lots
    cdef uint64_t _side
    cdef int64_t _orders
    cdef int64_t _newest_ns
    cdef int _price_decimals
    cdef int _size_decimals
    cdef object _instrument
    cdef public object checksum
    cdef Py_ssize_t _alone
    cdef bint _is_compiled

    cpdef Update read(self, object frame)
    cdef Update _read(self, bytes frame)
    @cython.locals(levels=Levels, numbers=Numbers, word=Py_ssize_t, kind=uint64_t, one=uint64_t, other=uint64_t, is_alone=bint)
    cdef Update _read_as(self, bytes frame, Py_ssize_t step, Py_ssize_t end)
    @cython.locals(length=Py_ssize_t)
    cdef bint _is_name_again(self) noexcept
    cdef bint _is_literal(self, Py_ssize_t start, Py_ssize_t length) noexcept
    @cython.locals(lots=int64_t, start=Py_ssize_t, ns=int64_t)
    cdef bint _is_field(self, uint64_t kind) except -1
    @cython.locals(start=Py_ssize_t, value=int64_t, is_negative=bint)
    cdef bint _is_integer(self, uint64_t kind) except -1
    @cython.locals(start=Py_ssize_t)
    cdef int64_t _number(self, int decimals) noexcept
    @cython.locals(at=Py_ssize_t, octet=uint8_t)
    cdef Py_ssize_t _end_of_text(self) noexcept
    @cython.locals(start=Py_ssize_t, is_integer=bint)
    cdef str _digits(self)
    @cython.locals(start=Py_ssize_t, end=Py_ssize_t)
    cdef str _text(self)
