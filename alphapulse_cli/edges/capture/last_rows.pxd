cimport cython
from libc.stdint cimport int64_t

from alphapulse_cli cimport native

cdef Py_ssize_t _ROW_BYTES


@cython.final
cdef class LastRows:
    cdef readonly list rows
    cdef readonly int64_t size
    cdef public int64_t room
    cdef object _make_room
    cdef list _old
    cdef int64_t _old_size

    @cython.locals(size=int64_t)
    cpdef put(self, kind, time_ns, connection, bytes payload)
    cpdef begin(self, list rows, int64_t size)
    cpdef free(self, list rows, int64_t size)
    cpdef free_at_once(self)
    cdef _release(self)
