"""Connections to an exchange: WebSocket links over two libraries, sessions that reconnect, REST fetches, rate limits, watchdog."""
