"""Attached to what was asked for, and staying attached: sets, successors, laps, waiting; the public readers of Python."""
