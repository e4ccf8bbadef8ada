"""Live screen: a reader of segments like any other, and the only package that imports textual.

    segments ─► feed (a thread) ─► Picture ─► screens ─► widgets ─► the terminal

The feed drains the rings at their pace and keeps only the newest state; at most 12 times a second it passes on a Picture, an
immutable value. Widgets draw pictures and never touch shared memory.
"""
