"""The only understanding of an order book: apply, compare, hash, rebuild."""
