"""Small datasets from plain rows, written by the code that `record` writes with."""

from decimal import Decimal
from typing import Any

import pyarrow as pa

from alphapulse_cli.edges.columns.places import day_of, file_name, folder_of
from alphapulse_cli.edges.columns.schema import TABLES, arrow_schema
from alphapulse_cli.edges.columns.writing import write_file

DAY_NS = 86_400_000_000_000
NOON_NS = 1_795_780_800_000_000_000  # 2026-11-27T12:00:00Z
EMPTY = {"int": 0, "text": "", "bool": False, "decimal": Decimal(0)}


def row(table, **values):
    """A row of a table: what is not named is null where that may be, else 0, "" or False; prices and sizes follow from ticks and lots."""
    made: dict[str, Any] = (
        {one.name: None if one.is_nullable else EMPTY[one.type] for one in TABLES[table]} | {"timestamp_ns": NOON_NS} | values
    )
    for prefix, price, size in (
        ("", "price_ticks", "size_lots"),
        ("bid_", "bid_ticks", "bid_lots"),
        ("ask_", "ask_ticks", "ask_lots"),
    ):
        for name, number, decimals in ((f"{prefix}price", price, "price_decimals"), (f"{prefix}size", size, "size_decimals")):
            if name in made and name not in values and made.get(number) is not None:
                made[name] = Decimal(made[number]).scaleb(-made[decimals])
    unknown = set(made) - {one.name for one in TABLES[table]}
    assert not unknown, unknown
    return made


def write(dataset, table, rows, exchange="kraken", set_name="", part=0):
    """Write rows as files of a dataset, one for each day; returns their paths."""
    by_day: dict[int, list[dict[str, Any]]] = {}
    for one in rows:
        by_day.setdefault(day_of(one["timestamp_ns"]), []).append(one)
    paths = []
    for day, of_day in sorted(by_day.items()):
        name = file_name(set_name or exchange, of_day[0]["epoch"], of_day[0]["timestamp_ns"], part)
        paths.append(folder_of(dataset, table, exchange, day) / name)
        write_file(paths[-1], table, pa.Table.from_pylist(of_day, arrow_schema(table)), exchange, set_name or exchange)
    return paths


def trade(sequence, price_ticks, size_lots, **values):
    """A trade of BTC-USD with prices of 2 decimals and sizes of 8, a second after the one before it."""
    usual = {
        "symbol": "BTC-USD",
        "epoch": 1_795_000_000,
        "sequence": sequence,
        "timestamp_ns": NOON_NS + sequence * 1_000_000_000,
        "trade_id": str(sequence),
        "side": "buy",
        "price_decimals": 2,
        "size_decimals": 8,
    }
    return row("trades", price_ticks=price_ticks, size_lots=size_lots, **usual | values)
