cimport cython
from libc.stdint cimport int64_t, uint64_t

from alphapulse_cli cimport native
from alphapulse_cli.shm cimport memory
from alphapulse_cli.shm.histogram cimport Histogram

cdef Py_ssize_t _ROOM


@cython.final
cdef class CounterBlock:
    cdef object _memory
    cdef uint64_t *_words
    cdef int64_t *_signed
    cdef Py_ssize_t _first
    cdef public Histogram feed_delay

    @cython.locals(at=Py_ssize_t)
    cpdef add(self, Py_ssize_t counter, int64_t count=*)

    cpdef set(self, Py_ssize_t counter, int64_t value)

    @cython.locals(value=int64_t)
    cpdef get(self, Py_ssize_t counter)
