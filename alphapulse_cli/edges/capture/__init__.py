"""Captures: an exchange's own frames and REST answers on disk, their writer, reader and index, and the import of others' recordings."""
