"""Byte layouts of the delta and trade records, and the batch in which a group of deltas is built."""
