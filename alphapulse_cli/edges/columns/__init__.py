"""Datasets: records as Parquet files that DuckDB, polars, pandas and Arrow read as they are.

schema.py    tables, their columns and encodings, the version of a file
places.py    names and folders of the files, and those of a dataset in order of time
writing.py   one complete file: sorted, synced, renamed
reading.py   complete files by exchange, day and set; what cannot be understood is refused
extras.py    an error with the installation's command where pyarrow or another extra is absent
"""
