"""Raw frames of `alphapulse serve`: the header before the records of groups, trades and snapshots, for server and client.

A reader ignores kinds and flags that it does not know. A header of another form makes a greater `PROTOCOL`.
"""

import struct

PROTOCOL = 1
RAW_HEADER = struct.Struct("<BBHHHQ32s")  # kind, flags, part, parts, place, epoch, name of the set: 48 bytes before the records
RAW_PLACES = 1 << 16  # a trade's place in the ring, modulo that
RAW_GROUPS, RAW_TRADES, RAW_SNAPSHOT = 1, 2, 3
RAW_REPLAY = 1 << 0  # flag


def subprotocol(encoding: str) -> str:
    """Name of the WebSocket subprotocol of an encoding: "json", "msgpack" or "raw"."""
    return f"alphapulse.{encoding}.v{PROTOCOL}"
