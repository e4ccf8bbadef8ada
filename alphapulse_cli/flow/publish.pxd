cimport cython
from libc.stdint cimport int64_t, uint64_t

from alphapulse_cli cimport native
from alphapulse_cli.book.book cimport Book
from alphapulse_cli.book.side cimport Side
from alphapulse_cli.market.events cimport BookEvent
from alphapulse_cli.market.levels cimport Levels
from alphapulse_cli.shm.block cimport CounterBlock
from alphapulse_cli.shm.histogram cimport Histogram
from alphapulse_cli.shm.image cimport ImageWriter
from alphapulse_cli.shm.ring cimport RingWriter
from alphapulse_cli.wire cimport batch

cdef uint64_t RESET
cdef int64_t LONGEST_DELAY_NS, LONGEST_DELAY_US, NO_FEED_DELAY, _NO_TIME
cdef Py_ssize_t BOOK_UPDATES, LEVELS_KEPT_OUT, CROSSED, GROUPS, DELTAS, CHANGES, RESETS, FEED_DELAY_US


@cython.final
cdef class DelayMeter:
    cdef CounterBlock _own
    cdef Histogram _histogram

    @cython.locals(delay_ns=int64_t, delay_us=int64_t, own=Histogram)
    cpdef count(self, CounterBlock counters, int64_t receive_ns, int64_t exchange_ns)


@cython.final
cdef class Publisher:
    cdef public Py_ssize_t largest_group
    cdef readonly bint is_crossed
    cdef Book _book
    cdef Side _bids
    cdef Side _asks
    cdef batch.Batch _group
    cdef ImageWriter _image
    cdef RingWriter _ring
    cdef CounterBlock _counters
    cdef DelayMeter _delays
    cdef int64_t _delay_us
    cdef uint64_t _state
    cdef uint64_t _reason
    cdef uint64_t _checksum

    cpdef use_image(self, ImageWriter image)
    cpdef set_state(self, uint64_t state, uint64_t reason, uint64_t checksum)
    @cython.locals(needed=Py_ssize_t)
    cpdef Py_ssize_t room_needed(self, Levels levels, bint is_snapshot)
    cpdef bint is_roomy(self, Py_ssize_t levels)
    @cython.locals(levels=Levels)
    cpdef Py_ssize_t change(self, BookEvent event, int64_t receive_ns, bint is_snapshot, bint is_first) except -1
    @cython.locals(exchange_ns=int64_t, levels=Levels, counters=CounterBlock)
    cdef _count(self, BookEvent event, int64_t receive_ns, bint is_snapshot)
    @cython.locals(changes=Py_ssize_t, records=Py_ssize_t)
    cpdef publish(self, uint64_t kind, uint64_t receive_ns, uint64_t version, bint resynced)
    cpdef commit(self, uint64_t version, uint64_t receive_ns, uint64_t records)
