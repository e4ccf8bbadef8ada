"""Opportunities that were seen: their rows, the store on disk, its writer, and the counters of running watches."""
