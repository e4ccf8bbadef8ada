"""Where the world touches us: sockets, files, processes, signals, the clock."""
