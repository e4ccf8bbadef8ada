"""Opportunities that were seen: their records, the store on disk, its writer, and the counters of running watches."""
