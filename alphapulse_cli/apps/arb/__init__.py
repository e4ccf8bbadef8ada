"""Arbitrage: the live watch, the keeping of its events, their history, the rows of both, the Python API."""
