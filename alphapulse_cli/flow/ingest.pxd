cimport cython
from libc.stdint cimport int64_t

from alphapulse_cli cimport native
from alphapulse_cli.exchanges.shape cimport Shape
from alphapulse_cli.flow.keeper cimport BookKeeper
from alphapulse_cli.market.events cimport BookEvent, Snapshot, Update
from alphapulse_cli.shm.block cimport CounterBlock

cdef Py_ssize_t FRAMES, BYTES, LAST_FRAME_NS


@cython.final
cdef class Ingest:
    cdef readonly object decoder
    cdef object _decode
    cdef Shape _shape
    cdef readonly object outlet
    cdef readonly dict keepers
    cdef readonly CounterBlock counters
    cdef object _fetch_instruments
    cdef dict _symbol_counters
    cdef readonly object symbols
    cdef object _notice
    cdef list _requests
    cdef Py_ssize_t _unreadable_in_a_row
    cdef object _metadata
    cdef readonly bint is_fed
    cdef readonly int64_t frame_count
    cdef readonly int64_t byte_count
    cdef public object score
    cdef object _quiet
    cdef object _crossed
    cdef readonly object opened_ns
    cdef object _monotonic_ns
    cdef set _reported_refusals
    cdef object _statuses
    cdef dict _unsettled
    cdef object _trades
    cdef object _witness
    cdef readonly int64_t heard_ns
    cdef object _last_frame
    cdef bint _was_heartbeat

    @cython.locals(counters=CounterBlock)
    cpdef bint receive(self, object frame, object receive_ns) except -1
    @cython.locals(keeper=BookKeeper)
    cdef bint _on_book(self, BookEvent event, object receive_ns) except -1
