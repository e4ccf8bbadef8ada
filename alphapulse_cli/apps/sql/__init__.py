"""SQL over a dataset, in DuckDB: views of its tables with exact prices, and nothing that writes.

views.py      the views and macros as SQL text
session.py    a connection that can read the dataset and nothing else; one SELECT, its columns and its rows
mistakes.py   an error of DuckDB's as one line, with the near names
"""
