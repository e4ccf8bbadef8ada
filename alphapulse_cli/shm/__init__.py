"""Shared memory between processes: segments, rings, book images, counters, and the lease of their one writer.

Knows no record's meaning.
"""
