"""Scenarios of the benchmark, one a file, in the order of `bench.SCENARIOS`."""
