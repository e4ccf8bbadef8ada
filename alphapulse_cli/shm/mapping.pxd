from libc.stdint cimport uint64_t

from alphapulse_cli cimport native
from alphapulse_cli.shm cimport memory, sigbus


cdef class Words:
    cdef readonly Py_ssize_t count
    cdef readonly bint writable
    cdef object _buffer
    cdef uint64_t *_words

    cdef Py_ssize_t _checked(self, Py_ssize_t index) except -1
    cdef Py_ssize_t _stored(self, Py_ssize_t index) except -1
    cpdef uint64_t load_acquire(self, Py_ssize_t index) except? 0
    cpdef uint64_t load_relaxed(self, Py_ssize_t index) except? 0
    cpdef store_release(self, Py_ssize_t index, uint64_t value)
    cpdef store_relaxed(self, Py_ssize_t index, uint64_t value)
    cpdef full_fence(self)
