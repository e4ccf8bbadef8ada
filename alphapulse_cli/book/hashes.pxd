cimport cython
from libc.stdint cimport int64_t, uint64_t

from alphapulse_cli cimport native

cdef uint64_t BITS64, GAMMA, MIX_1, MIX_2

cpdef uint64_t splitmix64(uint64_t value) noexcept
@cython.locals(level=uint64_t, change=uint64_t)
cdef uint64_t of_change(int64_t ticks, bint is_ask, int64_t old, int64_t lots) noexcept
@cython.locals(at=Py_ssize_t, level_hash=uint64_t)
cdef uint64_t of_levels(const int64_t *pairs, Py_ssize_t count, bint is_ask) noexcept
