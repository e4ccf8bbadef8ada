"""Exports: captures and datasets in the files that other tools load.

captures ─► a replay in this process ─┐
                                      ├─► one stream of events ─► a writer for each format ─► files, then export.json
datasets ─► rows of its tables ───────┘

stream.py                       the events: whole books, groups, trades, gaps; and what was missed
from_captures.py from_dataset.py     the two sources
hftbacktest.py nautilus.py tardis.py tables.py     the formats
output.py                       the folder: temporary names, all files renamed together
export.py                       what is asked for, joined
"""
