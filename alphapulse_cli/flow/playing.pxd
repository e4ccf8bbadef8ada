cimport cython
from libc.stdint cimport uint8_t, uint64_t

from alphapulse_cli cimport native
from alphapulse_cli.flow.ingest cimport Ingest

cdef Py_ssize_t _PREFIX, _TIME, _CONNECTION, _LENGTH
cdef uint8_t R, E, C, V, LINE_END


@cython.final
cdef class FramePlayer:
    cdef readonly dict ingests
    cdef public set heard
    cdef readonly Py_ssize_t frames
    cdef readonly uint64_t last_ns
    cdef readonly bint has_requests

    @cython.locals(
        octets="const uint8_t *", end=Py_ssize_t, time_ns=uint64_t, length=uint64_t, connection=uint64_t, stop=Py_ssize_t, ingest=Ingest
    )
    cpdef Py_ssize_t run(self, bytes block, Py_ssize_t at, uint64_t until_ns) except -1
