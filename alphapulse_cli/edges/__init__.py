"""Contact with the outside: sockets, files, processes, signals, configuration, the store of opportunities."""
