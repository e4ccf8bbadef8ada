"""Datasets: records as Parquet files that DuckDB, polars, pandas and Arrow read as they are.

schema.py    tables, their columns and encodings, the version of a file
places.py    names and folders of the files, and those of a dataset in order of time
"""
