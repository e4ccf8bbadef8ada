"""The command line: signature, help, one call."""
