"""Candles of live rings, of captures and of datasets; the rules are those of `market.candles`.

markets.py    makers of all wanted markets, by set and symbol
rings.py      reader of one set's rings: trades, and what was not watched
live.py       candles of running sets, each when it is closed
past.py       candles of captures, played into rings of this process
datasets.py   candles of a dataset's files
api.py        `ap.candles`
"""
