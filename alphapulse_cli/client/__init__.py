"""Client of `alphapulse serve`: exact books and trades of another machine, with a replica that proves itself.

    from alphapulse_cli import client

    async with client.connect("ws://127.0.0.1:8765", token="…") as stream:
        async for item in stream.deltas("kraken", "BTC-USD"):
            if isinstance(item, client.Update) and item.book.is_tradable:
                print(item.book.version, item.book.book.best_bid(), item.changes)

    for item in client.follow("ws://127.0.0.1:8765", "kraken", "BTC-USD"):    # the same without asyncio
        …

A connection that is lost is made again by itself, with growing pauses, and goes on where it was: `resume` by epoch and version. What
was lost is an item (`Lost`, `Restarted`, `Broken`), so is every state. Times, epochs and versions are those of the machine that
collects. It needs no extra: `websockets` is always installed.
"""

from alphapulse_cli.client.api import Stream, connect, follow
from alphapulse_cli.client.items import (
    Began,
    Broken,
    Checked,
    Connected,
    Disconnected,
    Item,
    Lost,
    RemoteBook,
    Restarted,
    StateChanged,
    TradeItem,
    Update,
)
from alphapulse_cli.client.session import Wish

__all__ = [
    "Began",
    "Broken",
    "Checked",
    "Connected",
    "Disconnected",
    "Item",
    "Lost",
    "RemoteBook",
    "Restarted",
    "StateChanged",
    "Stream",
    "TradeItem",
    "Update",
    "Wish",
    "connect",
    "follow",
]
