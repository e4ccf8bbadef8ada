"""Replay of captures: the very code that collects runs over what was recorded, at any speed, into a directory of its own."""
