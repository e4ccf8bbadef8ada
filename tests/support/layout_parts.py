"""One story, written and read by any version of the package: the proof that versions with the same major layout understand each other.

    python layout_parts.py write DIRECTORY     the story, through ingest and a real decoder
    python layout_parts.py read DIRECTORY…     JSON of everything in the set, `everything`, or of why it is refused; a line for each
    python layout_parts.py follow DIRECTORY VERSIONS
                                              a line "following" once the books are LIVE, then JSON of them once they are at these versions
    python layout_parts.py files DIRECTORY     JSON of the files of the package that reading took

Only names that every version had since layout 1.0 are used, and nothing of the package is imported before it is needed: PYTHONPATH says
which version runs. The frames are Coinbase's Exchange feed, which has no checksums; their truth is computed here, with decimals.
"""

import json
import sys
import time
from decimal import Decimal
from typing import Any

NAME = "coinbase"
START_NS = 1_790_000_000_000_000_000
STEP_NS = 1_000_000
RING = 256
RULES = {"BTC-USD": (1, 100, 10_000), "DOGE-USD": (10, 1, 0)}  # tick, lot and minimum size, in ticks and lots
DECIMALS = {"BTC-USD": (2, 8), "DOGE-USD": (5, 1)}
END = {"BTC-USD": 5, "DOGE-USD": 2}  # versions of the books when all is told


def snapshot(symbol, bids, asks):
    return {"type": "snapshot", "product_id": symbol, "bids": bids, "asks": asks}


def update(symbol, *changes):
    return {"type": "l2update", "product_id": symbol, "time": "2026-09-21T14:13:20.500000Z", "changes": changes}


def match(symbol, number, maker_side, price, size):
    return {
        "type": "match",
        "trade_id": number,
        "sequence": 1000 + number,
        "maker_order_id": "ac928c66-ca53-498f-9c13-a110027a60e8",
        "taker_order_id": "132fb6ae-456b-4654-b4e0-d681ac05cea1",
        "time": "2026-09-21T14:13:20.400000Z",
        "product_id": symbol,
        "size": size,
        "price": price,
        "side": maker_side,
    }


BEGINNING = [
    snapshot(
        "BTC-USD", [["60000.10", "0.50000000"], ["59999.99", "1"]], [["60000.11", "0.00000001"], ["70000", "46116860184.27387903"]]
    ),
    snapshot("DOGE-USD", [[f"0.0{6000 - n}", f"{n}.5"] for n in range(1, 40)], [["0.06001", "1000000"]]),
    match("BTC-USD", 7, "sell", "60000.11", "0.00000001"),
    update("BTC-USD", ["sell", "60000.11", "0"], ["buy", "60000.11", "0.25"]),
]
REST = [
    update("DOGE-USD", *(["sell", f"0.07{n:03}", str(n)] for n in range(1, 60))),  # a group of several records
    match("DOGE-USD", 8, "buy", "0.05999", "1.5"),
    update("BTC-USD", ["buy", "60000.105", "3"]),  # finer than the grid: the book moves to a finer one, and its image is replaced
    update("BTC-USD", ["sell", "70000", "0"], ["sell", "60001", "2.5"]),
    match("BTC-USD", 9, "buy", "60000.105", "0.5"),
]


def truth(frames):
    """(books, trades) of the frames: {symbol: ({bid price: size}, {ask price: size})}, [(symbol, id, taker, price, size)], as decimals."""
    books, trades = {}, []
    for frame in frames:
        symbol = frame["product_id"]
        if frame["type"] == "snapshot":
            books[symbol] = tuple({Decimal(price): Decimal(size) for price, size in frame[side]} for side in ("bids", "asks"))
        elif frame["type"] == "l2update":
            for side, price, size in frame["changes"]:
                levels = books[symbol][side == "sell"]
                levels[Decimal(price)] = Decimal(size)
                if not levels[Decimal(price)]:
                    del levels[Decimal(price)]
        else:
            taker = {"buy": 1, "sell": 0}[frame["side"]]  # the side of the frame is the maker's; 0 buy, 1 sell in a record
            trades.append((symbol, str(frame["trade_id"]), taker, Decimal(frame["price"]), Decimal(frame["size"])))
    return books, trades


class Teller:
    """Writer of the story: a collector without a socket. It beats whenever something is told, or `beat` is called."""

    def __init__(self, shm_dir, **marks):
        """`marks` are further arguments of the outlet, which not every version has."""
        from alphapulse_cli import exchanges
        from alphapulse_cli.flow.ingest import Ingest
        from alphapulse_cli.flow.outlet import Outlet
        from alphapulse_cli.market.instrument import Instrument
        from alphapulse_cli.shm.directory import open_directory

        told = [Instrument(NAME, symbol, symbol, *DECIMALS[symbol], *RULES[symbol]) for symbol in DECIMALS]
        exchange = exchanges.get(NAME)
        channels = ("book", "trades")
        self.outlet = Outlet(open_directory(shm_dir, create=True), NAME, NAME, list(DECIMALS), RING, time.monotonic_ns(), **marks)
        decoder = exchange.decoder(told, set(channels), 0, "exchange")
        self.ingest = Ingest(exchange, decoder, told, channels, self.outlet, self.refuse, "exchange")
        self.now_ns = START_NS
        self.ingest.connected(time.monotonic_ns())
        self.ingest.pending_requests()

    def refuse(self, level, line):
        assert level == "info", line

    def tell(self, frames):
        """Take in these frames, and publish a CHECK of each book."""
        for frame in frames:
            self.now_ns += STEP_NS
            self.ingest.receive(json.dumps(frame).encode(), self.now_ns)
            self.beat()
        for keeper in self.ingest.keepers.values():
            keeper.check(self.now_ns)

    def beat(self):
        self.outlet.beat(time.monotonic_ns())

    def end(self):
        """Retire the set in good order."""
        self.ingest.retire(self.now_ns)
        self.outlet.close()


def write(shm_dir):
    """The whole story. The set is not retired: it is as a killed collector leaves it."""
    teller = Teller(shm_dir)
    teller.tell(BEGINNING)
    teller.tell(REST)


def plain(value):
    """Value as JSON can say it: bytes as text, rows and arrays as lists."""
    if isinstance(value, bytes):
        return value.decode("ascii")
    if hasattr(value, "tolist"):
        value = value.tolist()
    return [plain(one) for one in value] if isinstance(value, list | tuple) else value


def everything(shm_dir):
    """All records of the set, field by field, and both images, as this version's readers read them."""
    import alphapulse_cli as ap
    from alphapulse_cli.shm import layout
    from alphapulse_cli.shm.counters import CountersReader
    from alphapulse_cli.shm.directory import open_directory
    from alphapulse_cli.shm.segment import Segment

    found: dict[str, Any] = {"package": ap.__file__, "layout": [layout.LAYOUT_MAJOR, layout.LAYOUT_MINOR]}
    for name, reader_class in (("deltas", ap.DeltaReader), ("trades", ap.TradeReader)):
        with reader_class(NAME, start="oldest", shm_dir=shm_dir) as reader:
            records = reader.poll()
            assert reader.missed == 0
            found[name] = [dict(zip(records.dtype.names, plain(record), strict=True)) for record in records.tolist()]
    found["books"] = {}
    for symbol in DECIMALS:
        with ap.Book(NAME, symbol, shm_dir=shm_dir) as book:
            found["books"][symbol] = levels_of(book.read())
    with open_directory(shm_dir) as directory:
        found["counters"] = CountersReader(Segment.attach(directory, f"{NAME}_counters")).blocks()
    return found


def everything_or_why(shm_dir):
    """`everything`, or {"refused": the error's class and words}."""
    try:
        return everything(shm_dir)
    except Exception as error:  # noqa: BLE001 - a reader that breaks in any way refuses
        return {"refused": f"{type(error).__name__}: {error}"}


def levels_of(copy):
    """A BookCopy as JSON can say it."""
    names = ("version", "timestamp_ns", "price_decimals", "size_decimals")
    return {name: int(getattr(copy, name)) for name in names} | {"bids": copy.bids.tolist(), "asks": copy.asks.tolist()}


def follow(shm_dir, end):
    """Exact books, rebuilt from image and deltas, until they are at these versions; {symbol: what it is then}."""
    import numpy as np

    import alphapulse_cli as ap

    found: dict[str, dict[str, Any]] = {}
    following = False
    limit = time.monotonic() + 20
    with ap.follow(NAME, shm_dir=shm_dir) as updates:
        while any(found.get(symbol, {}).get("version") != version for symbol, version in end.items()):
            assert time.monotonic() < limit, found
            for update in updates.poll():
                book = update.book
                sides = {"bids": np.array(book.bids()).tolist(), "asks": np.array(book.asks()).tolist()}
                grid = {"price_decimals": book.price_decimals, "size_decimals": book.size_decimals}
                found[update.symbol] = {"version": update.version, "state": update.state.name, **grid, **sides}
            if not following and all(found.get(symbol, {}).get("state") == "LIVE" for symbol in DECIMALS):
                following = True
                print("following", flush=True)
            updates.wait(0.01)
    return found


if __name__ == "__main__":
    asked, directory = sys.argv[1:3]
    if asked == "write":
        write(directory)
    elif asked == "read":
        for each in sys.argv[2:]:
            print(json.dumps(everything_or_why(each)))
    elif asked == "files":
        everything(directory)
        follow(directory, {})
        print(json.dumps([module.__file__ for name, module in sys.modules.items() if name.partition(".")[0] == "alphapulse_cli"]))
    else:
        print(json.dumps(follow(directory, json.loads(sys.argv[3]))))
