"""Collecting: the plan, the process that follows an exchange into shared memory, what it owes readers, and its supervisor."""
