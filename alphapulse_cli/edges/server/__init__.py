"""Bounded server of WebSocket clients and GET requests on one TCP port: a client that reads too slowly is dropped and delays no other."""
