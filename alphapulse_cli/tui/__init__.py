"""The live screen: a reader of segments like any other, and the only room that knows textual.

    segments ─► feed (a thread) ─► Picture ─► screens ─► widgets ─► the terminal

The feed drains rings at their pace and keeps only the newest state; at most 12 times a second it hands over a Picture, a value that
nobody changes any more. Widgets draw pictures and never touch shared memory.
"""
