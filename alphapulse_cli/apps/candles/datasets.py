"""Candles of a dataset: its trades, and from its table of states what was not watched."""

from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alphapulse_cli.apps.candles.markets import Markets, Rule
from alphapulse_cli.apps.candles.past import READ_ON_NS, Note, require_within
from alphapulse_cli.apps.candles.rings import STARTING, why_not_live
from alphapulse_cli.edges.columns.extras import require
from alphapulse_cli.edges.columns.places import first_ns_of
from alphapulse_cli.edges.columns.reading import opened, parts, symbols_of
from alphapulse_cli.edges.columns.schema import TABLES
from alphapulse_cli.errors import NoSegment, UsageError
from alphapulse_cli.market.candles import BUY, SELL, Candle, CandleMaker, CandleTrade
from alphapulse_cli.readers.items import TAKERS
from alphapulse_cli.readers.selection import Wanted

SIDES = {name: number for number, name in enumerate(TAKERS)}
assert (SIDES["buy"], SIDES["sell"]) == (BUY, SELL)
TRADE_COLUMNS = (
    "timestamp_ns",
    "exchange_ns",
    "epoch",
    "sequence",
    "price_ticks",
    "size_lots",
    "price_decimals",
    "size_decimals",
    "side",
    "trade_id",
    "history",
)
NOT_RECORDED = "not recorded"
STATUS_COLUMNS = ("timestamp_ns", "epoch", "sequence", "symbol", "kind", "state", "reason", "missed", "ring")


def of_dataset(folder: Path, rule: Rule, exchanges: Collection[str], symbols: Sequence[str], note: Note) -> Iterator[Candle]:
    """Iterate over the candles of a dataset, oldest first. UsageError; NoSegment for an exchange or a symbol that it lacks."""
    require("pyarrow.parquet", "record", "a dataset")
    wanted = Wanted.of(exchanges, symbols)
    found = _sets(folder, wanted)
    missing = sorted(set(exchanges) - {name for one in found.values() for name in (one.exchange, one.name)})
    missing += sorted(
        f"{of}:{symbol}" if of else symbol
        for of, symbol in wanted.symbols
        if not any(of in ("", one.name, one.exchange) and symbol in one.symbols for one in found.values())
    )
    if missing or not found:
        there = sorted({f"{one.name}:{symbol}" for one in _sets(folder, Wanted()).values() for symbol in one.symbols})
        raise NoSegment(
            f"no {', '.join(missing)[:100] or 'rows'} in the dataset", f"there are: {', '.join(there)[:200] or 'no complete files'}"
        )
    require_within(rule, min(one.first_ns for one in found.values()), max(one.last_ns for one in found.values()), "the dataset")
    return _candles(found, Markets(rule, wanted), note)


@dataclass(slots=True)
class _Set:
    """Files of one set by table, in order of time, and what they say of themselves."""

    name: str
    exchange: str
    files: dict[str, list[Path]] = field(default_factory=dict)
    symbols: set[str] = field(default_factory=set)
    first_ns: int = 0
    last_ns: int = 0


def _sets(folder: Path, wanted: Wanted) -> dict[str, _Set]:
    """Wanted sets of a dataset, by name. UsageError where two exchanges have a set of one name."""
    found: dict[str, _Set] = {}
    for table in TABLES:
        for part in parts(folder, table):
            if not wanted.takes_set(part.set_name, part.exchange):
                continue
            one = found.setdefault(part.set_name, _Set(part.set_name, part.exchange))
            if one.exchange != part.exchange:
                raise UsageError(f"the set {part.set_name[:40]} is of {one.exchange} and of {part.exchange} in {folder}")
            one.files.setdefault(table, []).extend(part.files)
    for one in found.values():
        for files in one.files.values():
            files.sort(key=first_ns_of)
            for path in files:
                one.symbols |= symbols_of(path) - {""}
            one.last_ns = max(one.last_ns, _last_ns(files[-1]))
        one.first_ns = min(first_ns_of(files[0]) for files in one.files.values())
    return found


def _last_ns(path: Path) -> int:
    """Latest receive time of a file's rows; 0 without rows."""
    import pyarrow.compute as pc

    with opened(path) as file:
        return pc.max(file.read(["timestamp_ns"]).column(0)).as_py() or 0


@dataclass(slots=True)
class _Missed:
    """Trades that a recording missed: behind the row of that time, before the trade of that place; `until_ns` is when that came."""

    epoch: int
    sequence: int
    time_ns: int
    count: int
    until_ns: int | None = None


def _candles(found: dict[str, _Set], markets: Markets, note: Note) -> Iterator[Candle]:
    rule = markets.rule
    until_ns = None if rule.end_ns is None else rule.end_ns + READ_ON_NS
    for one in found.values():
        markets.begin(one.name, one.exchange, sorted(one.symbols), one.first_ns)
        missed = _watch(one, markets)
        files = one.files.get("trades", [])
        for path, following in zip(files, [*files[1:], None], strict=False):
            is_before = rule.first_ns is not None and following is not None and first_ns_of(following) < rule.first_ns - READ_ON_NS
            if not is_before and (until_ns is None or first_ns_of(path) < until_ns):
                _trade(path, one, markets, missed)
        for gap in missed:
            for _, maker in markets.makers(one.name):
                maker.missed(gap.time_ns, one.last_ns if gap.until_ns is None else gap.until_ns, gap.count, "trades missed")
    yield from markets.finish({one.name: one.last_ns for one in found.values()})
    for line in markets.untold:
        note(line)


def _trade(path: Path, one: _Set, markets: Markets, missed: Sequence[_Missed]) -> None:
    """Take in the trades of a file, row group by row group: those of one symbol, in order of publication."""
    with opened(path) as file:
        for number in range(file.metadata.num_row_groups):
            rows = file.read_row_group(number, ["symbol", *TRADE_COLUMNS])
            for symbol, *values in zip(*(rows.column(name).to_pylist() for name in ("symbol", *TRADE_COLUMNS)), strict=True):
                maker = markets.maker(one.name, symbol, one.first_ns)
                made = _of_row(*values)
                if missed:
                    _end_gap(missed, made)
                if maker is not None:
                    maker.add(made)


def _end_gap(missed: Sequence[_Missed], trade: CandleTrade) -> None:
    """Note the time of the first trade behind what was missed."""
    at = bisect_right(missed, (trade.epoch, trade.sequence), key=lambda row: (row.epoch, row.sequence)) - 1
    if at >= 0:
        known_ns = missed[at].until_ns
        missed[at].until_ns = trade.receive_ns if known_ns is None else min(known_ns, trade.receive_ns)


def _of_row(
    receive_ns: int,
    exchange_ns: int | None,
    epoch: int,
    sequence: int,
    ticks: int,
    lots: int,
    price_decimals: int,
    size_decimals: int,
    side: str,
    trade_id: str,
    is_history: bool,
) -> CandleTrade:
    number = SIDES.get(side, SIDES["unknown"])
    return CandleTrade(
        receive_ns, exchange_ns or 0, epoch, sequence, ticks, lots, price_decimals, size_decimals, number, trade_id, is_history
    )


def _watch(one: _Set, markets: Markets) -> list[_Missed]:
    """Note what was not watched, by the rows of the table of states in order of time; returns where trades were missed."""
    rows: list[tuple[Any, ...]] = []
    for path in one.files.get("status", []):
        with opened(path) as file:
            table = file.read(list(STATUS_COLUMNS))
            rows += zip(*(table.column(name).to_pylist() for name in STATUS_COLUMNS), strict=True)
    missed: list[_Missed] = []
    before_ns = 0  # time of the row before
    for time_ns, epoch, sequence, symbol, kind, state, reason, count, ring in sorted(rows, key=lambda row: row[:3]):
        if kind == "missed" and ring == "trades":
            missed.append(_Missed(epoch, sequence, time_ns, count or 0))
        makers = [markets.maker(one.name, symbol, one.first_ns)] if symbol else [maker for _, maker in markets.makers(one.name)]
        for maker in makers:
            if maker is not None:
                _note(maker, kind, (before_ns or time_ns, time_ns), (state or "", reason or "", ring))
        before_ns = time_ns
    return sorted(missed, key=lambda row: (row.epoch, row.sequence))


def _note(maker: CandleMaker, kind: str, times_ns: tuple[int, int], words: tuple[str, str, str]) -> None:
    """Note one row for one market; `times_ns` are those of the row before and of the row itself."""
    (before_ns, time_ns), (state, reason, ring) = times_ns, words
    if kind == "missed" and reason:
        maker.missed(before_ns, time_ns, 0, why_not_live("", reason))
    elif kind == "missed" and ring == "deltas":  # until the snapshot that follows
        maker.down("states", time_ns, "states missed")
    elif kind == "restarted" and ring == "deltas":  # that of trades may be noticed when the books live again
        maker.down("restart", before_ns, "collector restarted")
        maker.up("restart", time_ns)
        maker.down("book", time_ns, STARTING)
    elif kind == "ended":
        maker.down("recording", time_ns, NOT_RECORDED)
    elif kind == "begun" and before_ns < time_ns:  # without a row `ended` it was killed
        maker.down("recording", before_ns, NOT_RECORDED)
        maker.up("recording", time_ns)
    elif kind in ("status", "snapshot"):
        if kind == "snapshot":
            maker.up("states", time_ns)
        if state == "LIVE":
            maker.up("book", time_ns)
        elif state:
            maker.down("book", time_ns, why_not_live(state, reason))
