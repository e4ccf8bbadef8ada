"""Configuration: layers of files, environment and flags, and the types of configured values."""
