"""Nouns and exact numbers: what every floor above speaks of. Imports nothing of ours but `errors` and `native`."""
