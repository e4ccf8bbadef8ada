"""Checks of what a version read of the story of `support.layout_parts`: `assert_same` as another did, `assert_true` as the frames say.

`put_word` and `swap` make a set that a wrong writer would make.
"""

from decimal import Decimal
from typing import Any

from alphapulse_cli.market.ticks import to_text
from alphapulse_cli.wire import delta
from alphapulse_cli.wire.delta import IS_ASK, LEVEL_IS_NEW, SIZE_MASK, RecordKind
from support.layout_parts import BEGINNING, DECIMALS, END, REST, truth

BOOKS, TRADES = truth(BEGINNING + REST)


def assert_same(older, newer):
    """Two versions read the same: all but the counters that one of them does not know."""
    for part in ("deltas", "trades", "books"):
        assert older[part] == newer[part]
    assert older["counters"].keys() == newer["counters"].keys()
    for symbol, told in older["counters"].items():
        known = newer["counters"][symbol]
        common = told.keys() & known.keys()
        assert len(common) == min(len(told), len(known)) > 20
        assert {name: told[name] for name in common} == {name: known[name] for name in common}


def decimals(levels, grid):
    """{price: size} of [[ticks, lots], …] on this grid."""
    return {
        Decimal(to_text(ticks, grid["price_decimals"])): Decimal(to_text(lots, grid["size_decimals"])) for ticks, lots in levels
    }


def assert_true_book(symbol, found):
    """Both sides are the frames' book, best first, at its last version."""
    bids, asks = (decimals(found[side], found) for side in ("bids", "asks"))
    assert (bids, asks) == BOOKS[symbol]
    assert (list(bids), list(asks)) == (sorted(bids, reverse=True), sorted(asks))
    assert found["version"] == END[symbol]


def assert_true(found):
    """The images are the frames' books, the trades theirs, and the deltas an unbroken chain that ends where the images are."""
    for symbol in DECIMALS:
        assert_true_book(symbol, found["books"][symbol])
        groups = [record for record in found["deltas"] if record["symbol"] == symbol and record["flags"] & delta.LAST]
        told = [record["version"] for record in groups]
        assert [record["prev_version"] for record in groups[1:]] == told[:-1]
        assert told[-1] == END[symbol]
        assert [change for record in found["deltas"] if record["symbol"] == symbol for change in changes_of(record)] == [
            (Decimal(price), Decimal(size), side == "sell")
            for frame in BEGINNING + REST
            if frame["type"] == "l2update" and frame["product_id"] == symbol
            for side, price, size in frame["changes"]
        ]
    assert [
        (one["symbol"], one["trade_id"], one["side"], *decimals([(one["price_ticks"], one["size_lots"])], one).popitem())
        for one in found["trades"]
    ] == TRADES
    assert found["counters"][""]["frames"] == len(BEGINNING + REST)
    assert sum(block["trades"] for block in found["counters"].values()) == len(TRADES)


def changes_of(record):
    """[(price, size, is_ask)] of a record, as decimals; none of a CHECK, RESET or STATUS, which count no changes."""
    return [
        (*decimals([(ticks, word & SIZE_MASK)], record).popitem(), bool(word & IS_ASK))
        for ticks, word in record["changes"][: record["change_count"]]
    ]


def lines_of(records):
    """The lines that read_deltas.c prints of these records, without trading status."""
    lines: list[str] = []
    group: list[dict[str, Any]] = []
    for record in records:
        group = [record] if record["flags"] & delta.FIRST else [*group, record]
        if not record["flags"] & delta.LAST:
            continue
        kind = RecordKind(record["flags"] & delta.KIND_MASK)
        line = f"{record['symbol']} {kind.name} {record['prev_version']} {record['version']}"
        line += " resynced" * bool(record["flags"] & delta.RESYNCED)
        payload = record["changes"][0][0] % 2**64
        if kind is RecordKind.CHECK:
            line += f" hash {payload:016x}"
        elif kind is RecordKind.STATUS:
            line += f" state {payload & 255} reason {payload >> 8 & 255}"
        for each in group if kind is RecordKind.DELTA else ():
            for ticks, word in each["changes"][: each["change_count"]]:
                price, size = to_text(ticks, each["price_decimals"]), to_text(word & SIZE_MASK, each["size_decimals"])
                line += f" {'ask' if word & IS_ASK else 'bid'} {price}{'+' if word & LEVEL_IS_NEW else ' '}{size}"
        lines.append(line)
    return lines


def put_word(path, at, value):
    page = bytearray(path.read_bytes())
    page[at : at + 8] = value.to_bytes(8, "little")
    path.write_bytes(page)


def swap(path, first, second, *, start=0, stride=0, count=1):
    """Two words change places, in each of `count` records of `stride` bytes: what a writer does that moved a field."""
    page = bytearray(path.read_bytes())
    for base in range(start, start + max(stride * count, 1), stride or 1):
        one, other = slice(base + first, base + first + 8), slice(base + second, base + second + 8)
        page[one], page[other] = page[other], page[one]
    path.write_bytes(page)
