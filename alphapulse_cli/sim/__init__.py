"""Simulated exchanges: markets from a seed behind the real protocols, on loopback."""
