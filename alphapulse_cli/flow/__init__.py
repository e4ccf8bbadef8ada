"""Joins decoder, book and ring into ingest, and ring and book into follow; still without I/O."""
