cimport cython
from libc.stdint cimport int64_t

from alphapulse_cli cimport native
from alphapulse_cli.market.levels cimport Levels


@cython.freelist(8)
@cython.no_gc  # no attribute can refer back to it: no cycles to collect
cdef class BookEvent:
    cdef readonly object instrument
    cdef readonly Levels levels
    cdef public int64_t time_ns
    cdef readonly object checksum
    cdef readonly object depth


@cython.final
@cython.no_gc
cdef class Snapshot(BookEvent):
    pass


@cython.final
@cython.no_gc
cdef class Update(BookEvent):
    pass


@cython.locals(made=Update)
cpdef Update update(object instrument, Levels levels, int64_t time_ns, object checksum, object depth)
