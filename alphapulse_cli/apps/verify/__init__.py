"""`alphapulse verify`: certificates of captures."""
