"""hftbacktest replays an export, and its depth is compared with the books, in tick integers: FOLDER TRUTHS [tardis]."""

LIBRARY, VERSION, PYTHON, TO = "hftbacktest", "2.4.4", "", "hftbacktest"
ALSO = ("tardis-csv",)  # further formats that it loads

import sys

import numpy as np
from common import LEVELS, Report, arguments, compared
from hftbacktest import BacktestAsset, HashMapMarketDepthBacktest
from hftbacktest.data import validate_event_order
from hftbacktest.data.utils import tardis
from numba import njit

LOCAL, KINDS = 1 << 30, 0xFF
FURTHER, FAR = 20_000, 10_000_000


@njit
def quantities(depth, ticks, is_bid):
    found = np.empty(len(ticks))
    for at in range(len(ticks)):
        found[at] = depth.bid_qty_at_tick(ticks[at]) if is_bid else depth.ask_qty_at_tick(ticks[at])
    return found


@njit
def elapse(hbt, ns):
    return hbt.elapse(ns)


def side_of(depth, best, wanted, unit, is_bid):
    """Levels of the depth's side at all ticks from its best to our last, and where that is our whole book at FURTHER ones."""
    if not len(wanted):
        return np.zeros((0, 2), dtype=np.int64)
    last = int(wanted[-1][0])
    if len(wanted) < LEVELS:
        last += -FURTHER if is_bid else FURTHER
    if (best < last) if is_bid else (best > last):
        return np.zeros((0, 2), dtype=np.int64)
    ticks = np.arange(best, last - 1, -1) if is_bid else np.arange(best, last + 1)
    lots = np.rint(quantities(depth, ticks, is_bid) * unit).astype(np.int64)
    return np.stack([ticks, lots], axis=1)[lots != 0]


def replay(report, what, data, market, truth):
    """Replay an array of events, and compare at each instant."""
    unit = 10 ** market["size_decimals"]
    tick, lot = 10.0 ** -market["price_decimals"], 10.0 ** -market["size_decimals"]
    asset = BacktestAsset().data([data]).linear_asset(1.0).constant_order_latency(0, 0)
    asset = asset.risk_adverse_queue_model().no_partial_fill_exchange().trading_value_fee_model(0.0, 0.0)
    hbt = HashMapMarketDepthBacktest([asset.tick_size(tick).lot_size(lot)])
    elapse(hbt, 0)

    def levels_at(ns, number):
        elapse(hbt, ns - hbt.current_timestamp)
        depth = hbt.depth(0)
        bids = side_of(depth, depth.best_bid_tick, truth.levels(number, "bids"), unit, True)
        return bids, side_of(depth, depth.best_ask_tick, truth.levels(number, "asks"), unit, False)

    compared(report, what, truth, levels_at)
    hbt.close()


def own(report, folder, summary, truth_of):
    for market in summary["markets"]:
        what = f"{market['set']}:{market['symbol']}"
        with np.load(folder / market["file"]) as file:
            data = file["data"]
        kinds = data["ev"] & KINDS
        try:
            validate_event_order(data)
            order = ""
        except ValueError as error:
            order = str(error)
        report.check(f"{what}: its validate_event_order", not order, order)
        report.check(f"{what}: no negative latency", (data["exch_ts"] <= data["local_ts"]).all())
        local = data["ev"] & LOCAL != 0
        clears, trades = (int(((kinds == kind) & local).sum()) for kind in (3, 2))
        left_out = sum(market["cleaned"].get(name, 0) for name in ("history_trades_left_out", "trades_before_the_first_book"))
        report.check(
            f"{what}: snapshots and trades",
            (clears, trades + left_out) == (market["counts"].get("snapshots", 0), market["counts"].get("trades", 0)),
        )
        replay(report, what, str(folder / market["file"]), market, truth_of(market))


def of_tardis(report, folder, summary, truth_of):
    """Its Tardis converter cuts snapshots behind the first: a market with more is told, and its depth not compared.

    Nor is one with levels FAR from the best: its replay took too long here.
    """
    for market in summary["markets"]:
        what = f"{market['set']}:{market['symbol']} by tardis.convert"
        names = {("trades" if "_trades_" in name else "book"): str(folder / name) for name in market["files"]}
        made = tardis.convert(
            [names[kind] for kind in ("trades", "book") if kind in names], buffer_size=4_000_000, ss_buffer_size=200_000
        )
        report.check(f"{what}: it loads", len(made) > 0, f"{len(made)} rows")
        if market["counts"].get("snapshots", 0) == 1 and made["px"].max() < FAR * 10.0 ** -market["price_decimals"]:
            replay(report, what, made, market, truth_of(market))
        else:
            print(
                f"{what}: {market['counts']['snapshots']} snapshots, or one far away: depth not compared",
                file=sys.stderr,
            )


if __name__ == "__main__":
    report = Report()
    (of_tardis if arguments()[1]["to"] == "tardis-csv" else own)(report, *arguments())
    sys.exit(bool(report.failed))
