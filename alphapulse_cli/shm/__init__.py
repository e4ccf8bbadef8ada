"""Bytes shared between processes: segments, rings, images, counters, and who may write them. Does not know what a record means."""
