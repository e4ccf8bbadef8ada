"""Connections to an exchange: WebSocket links over two libraries, sessions that stay connected, REST fetches, limits, silence."""
