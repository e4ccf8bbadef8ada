cimport cython
from libc.stdint cimport uint8_t, uint64_t

from alphapulse_cli cimport native
from alphapulse_cli.shm cimport memory


cdef class RingWriter:
    cdef readonly object segment
    cdef readonly Py_ssize_t record_bytes
    cdef readonly Py_ssize_t capacity
    cdef object _memory
    cdef uint64_t *_words
    cdef uint8_t *_octets
    cdef Py_ssize_t _claimed
    cdef Py_ssize_t _published_at
    cdef Py_ssize_t _sealed_at
    cdef Py_ssize_t _state_at
    cdef Py_ssize_t _data
    cdef object _wake
    cdef object _requests
    cdef uint64_t *_request_words
    cdef Py_ssize_t _request
    cdef uint64_t _published
    cdef public uint64_t after_reset

    @cython.locals(size=Py_ssize_t, first=uint64_t, after=uint64_t, slot=Py_ssize_t, head=Py_ssize_t, source="uint8_t *")
    cpdef uint64_t publish(self, object records, Py_ssize_t count) except? 0


cdef class RingReader:
    cdef readonly object segment
    cdef readonly Py_ssize_t record_bytes
    cdef readonly Py_ssize_t capacity
    cdef readonly uint64_t missed
    cdef object _memory
    cdef uint64_t *_words
    cdef uint8_t *_octets
    cdef Py_ssize_t _claimed
    cdef Py_ssize_t _published_at
    cdef Py_ssize_t _sealed_at
    cdef Py_ssize_t _state_at
    cdef Py_ssize_t _data
    cdef Py_ssize_t _room
    cdef uint64_t _position
    cdef object _scratch
    cdef object _view
    cdef uint8_t *_target

    @cython.locals(end=uint64_t, sealed=uint64_t)
    cpdef uint64_t published(self)

    cpdef seek(self, object sequence)

    @cython.locals(
        end=uint64_t,
        position=uint64_t,
        capacity=uint64_t,
        wanted=uint64_t,
        missed=uint64_t,
        count=uint64_t,
        claimed=uint64_t,
        lost=uint64_t,
        size=Py_ssize_t,
    )
    cpdef poll(self, Py_ssize_t limit)

    @cython.locals(sealed=uint64_t, state=uint64_t)
    cdef bint _is_zeroed(self) noexcept

    @cython.locals(size=Py_ssize_t, slot=Py_ssize_t, head=Py_ssize_t)
    cdef void _copy(self, uint64_t position, Py_ssize_t count) except *
