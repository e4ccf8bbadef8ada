from libc.stdint cimport int64_t

from alphapulse_cli cimport native
from alphapulse_cli.exchanges cimport moment
