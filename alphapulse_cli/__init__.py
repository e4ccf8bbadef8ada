"""alphapulse: exact crypto order books and trades in lock-free shared memory, readable by any process in about a microsecond."""

__version__ = "0.1.0"
