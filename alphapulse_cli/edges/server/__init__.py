"""A bounded server: WebSocket clients and GET requests on one TCP port, where a client that reads too slowly harms nobody else."""
