cimport cython
from libc.stdint cimport int64_t, uint64_t

from alphapulse_cli cimport native
from alphapulse_cli.book cimport hashes
from alphapulse_cli.book.side cimport Side

cdef Py_ssize_t RECORD_WORDS, HEADER_WORDS, MOST_CHANGES
cdef uint64_t ASK_BIT, LOTS_BITS, BITS64, SIGN_BIT

@cython.locals(
    i=Py_ssize_t, place=Py_ssize_t, mine=Py_ssize_t, flip=int64_t, rank=int64_t, last=int64_t, rises=bint, falls=bint
)
cdef bint merge(Side side, const uint64_t *words, Py_ssize_t at, Py_ssize_t changes) except -1
@cython.locals(
    i=Py_ssize_t, step=Py_ssize_t, place=Py_ssize_t, read=Py_ssize_t, end=Py_ssize_t, write=Py_ssize_t, flip=int64_t,
    ticks=int64_t, lots=int64_t, old=int64_t, pairs="int64_t *"
)
cdef int _merge_sorted(Side side, const uint64_t *words, Py_ssize_t at, Py_ssize_t changes, Py_ssize_t mine, bint falls) except -1
