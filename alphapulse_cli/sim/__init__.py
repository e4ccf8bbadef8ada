"""Exchanges that never sleep: simulated markets behind the real protocols on loopback."""
