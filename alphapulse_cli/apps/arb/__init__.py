"""Arbitrage for people and programs: the live watch, what is kept of it, its history, the rows they print, the Python API."""
