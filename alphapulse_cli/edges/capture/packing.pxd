cimport cython
from libc.stdint cimport uint8_t, uint64_t

from alphapulse_cli cimport native

cdef Py_ssize_t _PREFIX, _TIME, _CONNECTION, _LENGTH, _MOST
cdef uint8_t SPACE, LINE_END


@cython.final
cdef class RowPacker:
    cdef Py_ssize_t _room
    cdef bytearray _buffer
    cdef readonly Py_ssize_t row_count, row_bytes
    cdef readonly uint64_t first_ns, last_ns

    @cython.locals(length=Py_ssize_t, at=Py_ssize_t, end=Py_ssize_t, octets="uint8_t *")
    cpdef Py_ssize_t put(self, kind, uint64_t time_ns, uint64_t connection, payload) except -1
