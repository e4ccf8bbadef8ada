cimport cython
from libc.stdint cimport uint64_t

from alphapulse_cli cimport native
from alphapulse_cli.book.book cimport Book
from alphapulse_cli.flow.publish cimport Publisher
from alphapulse_cli.market.events cimport BookEvent, Snapshot
from alphapulse_cli.market.levels cimport Levels
from alphapulse_cli.shm.block cimport CounterBlock
from alphapulse_cli.shm.image cimport ImageWriter
from alphapulse_cli.shm.ring cimport RingWriter
from alphapulse_cli.wire.batch cimport Batch

cdef object LIVE, STALE, SYNCING, HALTED, NO_REASON, BAD_CHECKSUM, UNVERIFIED, OFF_GRID, NO_ROOM, CHECKSUM_OK
cdef uint64_t DELTA, RESET
cdef Py_ssize_t CHECKSUMS_OK, UPDATES_IGNORED, _CHECK_EVERY


@cython.final
cdef class BookKeeper:
    cdef readonly object instrument
    cdef readonly object announced
    cdef readonly CounterBlock counters
    cdef readonly object pacer
    cdef readonly object state
    cdef readonly object reason
    cdef readonly object trading_status
    cdef public object checksum
    cdef public object proved_ns
    cdef readonly object heard_ns
    cdef object _witness
    cdef object _score
    cdef bint _was_crossed
    cdef public uint64_t version
    cdef object _outlet
    cdef RingWriter _ring
    cdef object _book_checksum
    cdef bint _checksum_warns
    cdef Py_ssize_t _snapshots_refuted
    cdef bint _is_snapshot_unproven
    cdef object _reported
    cdef object _kept_out_text
    cdef readonly ImageWriter image
    cdef Book _book
    cdef readonly Batch batch
    cdef Publisher _publisher
    cdef Py_ssize_t _groups_since_check
    cdef object _checked_ns
    cdef object _monotonic_ns

    @cython.locals(
        is_snapshot=bint, was_live=bint, is_new_grid=bint, is_whole=bint, is_right=bint, publisher=Publisher, levels=Levels,
        levels_needed=Py_ssize_t, changes=Py_ssize_t
    )
    cpdef bint apply(self, BookEvent event, object receive_ns) except -1
    cdef _publish(self, uint64_t kind, object receive_ns, bint resynced)
    cdef _edit(self)
    cpdef _commit(self, object receive_ns)
    cdef bint _agrees(self, object theirs, object receive_ns) except -1
    cdef _become(self, object state, object reason)
    cdef _note_checksum(self, object checksum)
    cdef _show_state(self)
    cdef _publish_status(self, object receive_ns)
    cdef bint _make_room(self, Py_ssize_t levels, object receive_ns) except -1
    cpdef check(self, object now_ns)
