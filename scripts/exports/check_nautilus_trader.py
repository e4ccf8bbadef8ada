"""nautilus_trader loads an export, and the books made of its deltas are compared with ours, in integers: FOLDER TRUTHS."""

LIBRARY, VERSION, PYTHON, TO = "nautilus_trader", "1.231.0", "3.12", "nautilus"
ALSO = ("tardis-csv",)  # further formats that it loads

import sys
from decimal import Decimal
from itertools import pairwise

from common import LEVELS, Report, arguments, compared
from nautilus_trader.adapters.tardis.loaders import TardisCSVDataLoader
from nautilus_trader.model.book import OrderBook
from nautilus_trader.model.data import OrderBookDelta, TradeTick
from nautilus_trader.model.enums import BookAction, BookType, RecordFlag
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.persistence.catalog import ParquetDataCatalog

F_LAST, F_SNAPSHOT = RecordFlag.F_LAST.value, RecordFlag.F_SNAPSHOT.value


def lots(number, decimals):
    """Ticks or lots of a Price or a Quantity, exactly."""
    found = Decimal(str(number)).scaleb(decimals)
    assert found == found.to_integral_value(), number
    return int(found)


class Replay:
    """Book made of deltas, group by group, up to a time."""

    def __init__(self, deltas, market, in_us=False):
        self.book = OrderBook(deltas[0].instrument_id, BookType.L2_MBP)
        self.deltas, self.at, self.decimals = deltas, 0, (market["price_decimals"], market["size_decimals"])
        self.unit = 1000 if in_us else 1

    def levels_at(self, ns, _number):
        """Levels of both sides after all groups received by then."""
        while self.at < len(self.deltas) and self.deltas[self.at].ts_init // self.unit <= ns // self.unit:
            self.book.apply_delta(self.deltas[self.at])
            self.at += 1
        return [[(lots(one.price, self.decimals[0]), self.lots_of(one)) for one in side()[:LEVELS]] for side in self.sides]

    def lots_of(self, level):
        """Lots of a level, by its orders: the level's own size() is a float, and not always the nearest one."""
        return sum(lots(order.size, self.decimals[1]) for order in level.orders())

    @property
    def sides(self):
        """Bids and asks of the book, best first."""
        return self.book.bids, self.book.asks


def own(report, folder, summary, truth_of):
    catalog = ParquetDataCatalog(str(folder))
    for market in summary["markets"]:
        name, counts, what = market["instrument_id"], market["counts"], f"{market['set']}:{market['symbol']}"
        deltas = catalog.query(OrderBookDelta, identifiers=[name])
        trades = catalog.query(TradeTick, identifiers=[name])
        clears = sum(one.action == BookAction.CLEAR for one in deltas)
        report.check(
            f"{what}: its catalog loads them",
            deltas and all(one.instrument_id.value == name for one in deltas),
            f"{len(deltas)} deltas",
        )
        report.check(
            f"{what}: snapshots",
            clears == counts.get("snapshots", 0)
            and all(one.flags & F_SNAPSHOT for one in deltas if one.action == BookAction.CLEAR),
        )
        left_out = sum(market["cleaned"].get(key, 0) for key in ("history_trades_left_out", "trades_of_size_0_left_out"))
        report.check(f"{what}: trades", len(trades) + left_out == counts.get("trades", 0), len(trades))
        ends = sum(bool(one.flags & F_LAST) for one in deltas)
        # a snapshot out of a group counts once; one that was joined has no group
        report.check(
            f"{what}: each group ends with F_LAST",
            groups_end(deltas) and ends >= counts.get("groups", 0),
            f"{ends} of {len(deltas)}",
        )
        precisions = {(one.order.price.precision, one.order.size.precision) for one in deltas if one.action != BookAction.CLEAR}
        report.check(f"{what}: precisions", precisions == {(market["price_decimals"], market["size_decimals"])}, precisions)
        compared(report, what, truth_of(market), Replay(deltas, market).levels_at)


def groups_end(deltas):
    """Whether F_LAST stands exactly where the next delta is of another version or time, and at the end."""
    return all(
        bool(one.flags & F_LAST)
        == ((one.sequence, one.ts_init) != (other.sequence, other.ts_init) or other.action == BookAction.CLEAR)
        for one, other in pairwise(deltas)
    ) and bool(deltas[-1].flags & F_LAST)


def of_tardis(report, folder, summary, truth_of):
    for market in summary["markets"]:
        what = f"{market['set']}:{market['symbol']} by TardisCSVDataLoader"
        loader = TardisCSVDataLoader(
            market["price_decimals"], market["size_decimals"], InstrumentId.from_str(f"{market['symbol']}.{market['set'].upper()}")
        )
        names = {("trades" if "_trades_" in name else "book"): folder / name for name in market["files"]}
        deltas = loader.load_deltas(names["book"])
        trades = loader.load_trades(names["trades"]) if "trades" in names else []
        left_out = market["cleaned"].get("history_trades_left_out", 0)
        report.check(f"{what}: trades", len(trades) + left_out == market["counts"].get("trades", 0), len(trades))
        compared(report, what, truth_of(market), Replay(deltas, market, in_us=True).levels_at)


if __name__ == "__main__":
    report = Report()
    (of_tardis if arguments()[1]["to"] == "tardis-csv" else own)(report, *arguments())
    sys.exit(bool(report.failed))
