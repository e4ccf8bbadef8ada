"""Order books: apply messages, compare, hash, and rebuild from deltas. The book logic exists here only."""
