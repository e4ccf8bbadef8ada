"""Collecting: the plan, the collector of one exchange into shared memory, its duties to readers, and the supervisor of several."""
