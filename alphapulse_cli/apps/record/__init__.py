"""`alphapulse record`: the rings of sets, or captures that are played, as a dataset of Parquet files."""
