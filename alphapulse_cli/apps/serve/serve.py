"""Server process: one loop with the source of the rings, the WebSocket server, and the REST server, from its start to a graceful stop.

    rings ─► Source ─► Streams ─► WebSocket clients on `port`
                  └──► REST app (uvicorn) on `http_port`, metrics

It is a reader of the rings like any other: nothing that a client does reaches a collector. A stop tells every client 1012 (the service
restarts), and waits for requests that are being answered for STOP_WITHIN_S at most.
"""

from alphapulse_cli.apps.serve.state import ServeState as ServeState

STOP_WITHIN_S = 5.0
