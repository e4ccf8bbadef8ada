"""What the bytes of a record say: delta and trade layouts, and the batch in which a group is built."""
