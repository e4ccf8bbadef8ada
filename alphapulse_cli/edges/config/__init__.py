"""Configuration: layers of files, environment and flags, and the kinds of values that options take."""
