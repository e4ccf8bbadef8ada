"""Ingest (decoder to book to ring) and follow (ring to book), without I/O."""
