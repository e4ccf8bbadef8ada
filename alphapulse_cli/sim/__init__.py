"""Simulated exchanges: seeded markets behind the real protocols, on loopback."""
