cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t

from alphapulse_cli cimport native
from alphapulse_cli.shm cimport memory

cdef Py_ssize_t _HEAD
cdef int64_t _LARGEST


@cython.final
cdef class Histogram:
    cdef object _buffer
    cdef uint8_t *_octets
    cdef uint64_t *_words

    @cython.locals(words="uint64_t *", at=Py_ssize_t, largest=int64_t)
    cpdef record(self, int64_t value)

    @cython.locals(words="uint64_t *", i=Py_ssize_t)
    cpdef read(self)


@cython.locals(shift=Py_ssize_t, rest=int64_t)
cpdef Py_ssize_t bucket_of(int64_t value)
