cimport cython
from libc.stdint cimport int64_t

from alphapulse_cli cimport native
from alphapulse_cli.market cimport scan


@cython.locals(ticks=int64_t)
cpdef to_ticks(object text, object decimals)
