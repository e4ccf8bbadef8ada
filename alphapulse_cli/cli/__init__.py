"""The command line: one file a command, with its signature, its help and one call into `apps`."""
