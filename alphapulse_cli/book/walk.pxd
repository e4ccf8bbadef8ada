cimport cython
from libc.stdint cimport int64_t, uint64_t

from alphapulse_cli cimport native
from alphapulse_cli.book cimport hashes, runs
from alphapulse_cli.book.side cimport Side
from alphapulse_cli.market.levels cimport Levels
from alphapulse_cli.wire.batch cimport Batch

cdef uint64_t ASK_BIT, NEW_BIT, LOTS_BITS, BITS64


@cython.final
cdef class Walk:
    cdef readonly Py_ssize_t incoming
    cdef Side _side
    cdef uint64_t _side_bit
    cdef Py_ssize_t _runs
    cdef Py_ssize_t _first
    cdef Py_ssize_t _at
    cdef Py_ssize_t _step
    cdef int64_t _flip
    cdef int64_t _last
    cdef Py_ssize_t _left
    cdef Py_ssize_t _settled
    cdef uint64_t _hash

    cdef int start(self) except -1
    @cython.locals(
        total=Py_ssize_t, at=Py_ssize_t, step=Py_ssize_t, left=Py_ssize_t, incoming=Py_ssize_t, most=Py_ssize_t, same=Py_ssize_t,
        flip=int64_t, rank=int64_t, last=int64_t, ticks=int64_t, lots=int64_t, word=uint64_t, side_bit=uint64_t
    )
    cdef Py_ssize_t run(self, Levels levels, Py_ssize_t i, Batch batch) except -2
    cdef int finish(self, Batch batch) except -1
    @cython.locals(
        total=Py_ssize_t, incoming=Py_ssize_t, flip=int64_t, rank=int64_t, last=int64_t, word=uint64_t, side_bit=uint64_t
    )
    cdef Py_ssize_t survey(self, Levels levels, Py_ssize_t i) except -2
    @cython.locals(at=Py_ssize_t, step=Py_ssize_t, settled=Py_ssize_t, skipped=Py_ssize_t, i=Py_ssize_t, left=Py_ssize_t, side=Side)
    cdef int take(self, Levels levels, bint is_hashed) except -1
    @cython.locals(second=Py_ssize_t, falls=bint)
    cdef int _aim(self, Levels levels, Py_ssize_t i) except -1
    @cython.locals(below=Py_ssize_t)
    cdef int _record(self, Batch batch, Py_ssize_t at, int64_t ticks, int64_t old, int64_t lots) except -1
