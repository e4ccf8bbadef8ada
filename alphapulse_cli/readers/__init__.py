"""Readers of sets of segments that stay attached across restarts and laps; the public Python API (`readers.api`)."""
