"""Vocabulary and exact numbers of the project: instruments, events, requests, levels, ticks.

Imports only `errors` and `native` of ours.
"""
