"""cryptofeed's books of one simulated exchange, a line for each callback: `<CLOCK_MONOTONIC seconds> <symbol>`. Run by Python 3.13.

cryptofeed_books.py kraken|coinbase WEBSOCKET_ORIGIN REST_ORIGIN SYMBOL...
"""

import asyncio
import logging
import sys
import time

from cryptofeed import FeedHandler
from cryptofeed.connection import RestEndpoint, WebsocketEndpoint
from cryptofeed.defines import L2_BOOK
from cryptofeed.exchanges import Coinbase, Kraken

EXCHANGES = {"kraken": Kraken, "coinbase": Coinbase}


def at(address, origin):
    """The same address on another host."""
    scheme_and_host = "/".join(address.split("/")[:3])
    return origin + address.removeprefix(scheme_and_host)


def feed_class(real, websocket_origin, rest_origin):
    """The library's exchange, by configuration alone at other hosts."""
    socket, rest = real.websocket_endpoints[0], real.rest_endpoints[0]
    places = {
        "websocket_endpoints": [
            WebsocketEndpoint(at(socket.address, websocket_origin), limit=socket.limit, options=socket.options)
        ],
        "rest_endpoints": [RestEndpoint(at(rest.address, rest_origin), routes=rest.routes)],
    }
    return type(real.__name__, (real,), places)


async def tell(book, _receipt):
    print(f"{time.clock_gettime(time.CLOCK_MONOTONIC):.3f} {book.symbol}", flush=True)


async def main():
    name, websocket_origin, rest_origin, *symbols = sys.argv[1:]
    logging.disable(logging.CRITICAL)
    handler = FeedHandler(config={"log": {"disabled": True}, "uvloop": False})
    checked = {"checksum_validation": True} if name == "kraken" else {}
    feed = feed_class(EXCHANGES[name], websocket_origin, rest_origin)
    handler.add_feed(feed(symbols=symbols, channels=[L2_BOOK], callbacks={L2_BOOK: tell}, **checked))
    await handler.run_async(install_signal_handlers=False)


asyncio.run(main())
