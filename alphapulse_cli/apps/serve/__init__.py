"""Server of what the rings hold for everything that is not on this host's shared memory: WebSocket, REST, metrics."""
