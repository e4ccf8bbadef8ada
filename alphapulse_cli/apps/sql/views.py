"""Views and macros of a dataset as SQL text for DuckDB.

    views       deltas, trades, bbo, status, snapshots       the columns of the files, with exchange, day, set_name and exact sizes
    macros      candles('1m')                                a table of bars, by the rules B1 to B4 and B8 of market/candles.py
                rfc3339(timestamp_ns), ns('…Z')              a time as exact text, and back: DuckDB's own date functions round nanoseconds
                decimal_text(units, decimals)                a number in ticks, lots, or products of them, as exact text

Each view is a UNION ALL of parts with the same exchange, day, set and columns. A value that stands in the path is a constant there and no guess
of the reader, so that a condition on it leaves the other files unread.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from alphapulse_cli.edges.columns.places import first_ns_of
from alphapulse_cli.edges.columns.reading import Part
from alphapulse_cli.edges.columns.schema import DECIMAL_SCALE, TABLES
from alphapulse_cli.market.candles import VWAP_DIGITS, WIDTHS

TYPES = {"int": "BIGINT", "decimal": f"DECIMAL(38,{DECIMAL_SCALE})", "text": "VARCHAR", "bool": "BOOLEAN"}
PATH = {"exchange": "VARCHAR", "day": "BIGINT", "set_name": "VARCHAR"}
READY = {  # exact decimals that the files leave out, since they cost much room: (after which column, of which number, its decimals)
    "deltas": {"size": ("price", "size_lots", "size_decimals")},
    "snapshots": {"size": ("price", "size_lots", "size_decimals")},
    "bbo": {
        "bid_size": ("bid_price", "bid_lots", "size_decimals"),
        "ask_size": ("ask_price", "ask_lots", "size_decimals"),
    },
}
SECOND = 1_000_000_000


def columns(table: str) -> dict[str, str]:
    """Columns of a view with their types."""
    made = dict(PATH)
    ready = READY.get(table, {})
    for column in TABLES[table]:
        made[column.name] = TYPES[column.type]
        made |= {name: TYPES["decimal"] for name, (after, _, _) in ready.items() if after == column.name}
    return made


def view(table: str, parts: Sequence[Part]) -> str:
    """CREATE VIEW of a table with these parts; one without parts has its columns and no rows."""
    selects = [_part(table, part) for part in parts]
    if not selects:
        empty = ", ".join(f"NULL::{kind} AS {name}" for name, kind in columns(table).items())
        selects = [f"SELECT {empty} WHERE false"]
    return f"CREATE VIEW {table} AS\n" + "\nUNION ALL\n".join(selects)


def watches(parts: Iterable[Part]) -> dict[tuple[str, str], int]:
    """Begin of the watch of each (exchange, set): the time of the first row of its files."""
    begins: dict[tuple[str, str], int] = {}
    for part in parts:
        key, first_ns = (part.exchange, part.set_name), min(map(first_ns_of, part.files))
        begins[key] = min(begins.get(key, first_ns), first_ns)
    return begins


def macros(watched: Mapping[tuple[str, str], int]) -> Iterator[str]:
    """CREATE MACRO of each macro; those of tables need the views. `watched` has the begin of the watch of each (exchange, set)."""
    units = ", ".join("1" if not places else f"0.{'0' * (places - 1)}1" for places in range(DECIMAL_SCALE + 1))
    yield f"CREATE MACRO _unit(decimals) AS ([{units}]::DECIMAL(19,{DECIMAL_SCALE})[])[decimals + 1]"
    yield "CREATE MACRO _exact(number, decimals) AS number::DECIMAL(19,0) * _unit(decimals)"
    powers = ", ".join(f"{10**places}::HUGEINT" for places in range(2 * DECIMAL_SCALE + 1))
    yield f"CREATE MACRO _power(decimals) AS ([{powers}])[decimals + 1]"
    yield f"CREATE MACRO _rest(time_ns) AS ((time_ns::BIGINT % {SECOND}) + {SECOND}) % {SECOND}"
    yield (
        "CREATE MACRO rfc3339(time_ns) AS strftime(make_timestamp((time_ns::BIGINT - _rest(time_ns)) // 1000), '%Y-%m-%dT%H:%M:%S')"
        " || '.' || lpad(_rest(time_ns)::VARCHAR, 9, '0') || 'Z'"
    )
    yield _ns()
    yield "CREATE MACRO _digits(units, places) AS lpad(abs(units)::VARCHAR, greatest(length(abs(units)::VARCHAR), places + 1)::INTEGER, '0')"
    yield (
        "CREATE MACRO decimal_text(units, decimals) AS CASE WHEN units < 0 THEN '-' ELSE '' END || CASE decimals WHEN 0"
        " THEN abs(units)::VARCHAR ELSE left(_digits(units, decimals), -decimals) || '.' || right(_digits(units, decimals), decimals) END"
    )
    yield _candles(watched)


def literal(text: str) -> str:
    """Quote a text for SQL."""
    return "'" + text.replace("'", "''") + "'"


def pattern(path: Path) -> str:
    """Pattern that matches this path alone: DuckDB takes each name for a pattern."""
    return "".join(f"[{character}]" if character in "*?[" else character for character in str(path.absolute()))


def _part(table: str, part: Part) -> str:
    given = {"exchange": literal(part.exchange), "day": str(part.day), "set_name": literal(part.set_name)}
    ready = READY.get(table, {})
    made = []
    for name, kind in columns(table).items():
        if name in given:
            value = f"{given[name]}::{kind}"
        elif name in part.names:
            value = f"{name}::{kind}"
        elif name in ready and {*ready[name][1:]} <= {*part.names}:
            value = f"_exact({ready[name][1]}, {ready[name][2]})"
        else:
            value = f"NULL::{kind}"
        made.append(f"{value} AS {name}")
    return f"SELECT {', '.join(made)} FROM read_parquet([{_files(part.files)}], hive_partitioning = false, union_by_name = false)"  # noqa: S608 - its values are quoted by `literal`


def _files(files: Iterable[Path]) -> str:
    return ", ".join(literal(pattern(path)) for path in files)


def _ns() -> str:
    shape = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)"
    offset_s = (
        "CASE WHEN upper(right(moment, 1)) = 'Z' THEN 0 ELSE CASE left(right(moment, 6), 1) WHEN '-' THEN -1 ELSE 1 END"
        " * (left(right(moment, 5), 2)::BIGINT * 3600 + right(moment, 2)::BIGINT * 60) END"
    )
    return (
        f"CREATE MACRO ns(moment) AS CASE WHEN moment IS NULL THEN NULL WHEN NOT regexp_full_match(moment, {literal(shape)})"
        " THEN error('not a time with Z or an offset: ' || left(moment, 40))::BIGINT"
        " ELSE epoch_us((left(moment, 10) || ' ' || substr(moment, 12, 8))::TIMESTAMP) * 1000"
        r" + rpad(regexp_extract(moment, '\.(\d+)', 1), 9, '0')::BIGINT"
        f" - ({offset_s}) * {SECOND} END"
    )


def _candles(watched: Mapping[tuple[str, str], int]) -> str:
    lengths = " ".join(f"WHEN '{width}' THEN {span.seconds * SECOND}" for width, span in WIDTHS.items())
    shifts = " ".join(f"WHEN '{width}' THEN {span.offset_s * SECOND}" for width, span in WIDTHS.items())
    known = ", ".join(WIDTHS)
    begins = ", ".join(f"({literal(exchange)}, {literal(name)}, {first_ns})" for (exchange, name), first_ns in watched.items())
    return f"""CREATE MACRO candles(width) AS TABLE
WITH spans AS (
    SELECT CASE width {lengths} ELSE error('no such width of candles; widths are {known}')::BIGINT END AS length_ns,
        CASE width {shifts} END AS shift_ns
), watched(exchange, set_name, watched_ns) AS (
    VALUES {begins or "('', '', 0)"}
), told AS (
    SELECT trades.* FROM trades JOIN watched USING (exchange, set_name) WHERE history AND exchange_ns >= watched_ns
), seen AS (
    SELECT exchange, set_name, symbol, trade_id, min({{'epoch': epoch, 'sequence': sequence}}) AS first_seen FROM (
        FROM told UNION ALL SELECT * FROM trades WHERE NOT history AND trade_id IN (SELECT trade_id FROM told)
    ) GROUP BY exchange, set_name, symbol, trade_id
), timed AS (
    SELECT *, coalesce(exchange_ns, timestamp_ns) AS time_ns FROM (
        SELECT * FROM trades WHERE NOT history
        UNION ALL
        SELECT told.* FROM told JOIN seen USING (exchange, set_name, symbol, trade_id)
        WHERE {{'epoch': epoch, 'sequence': sequence}} = first_seen
    )
), placed AS (
    SELECT *, (time_ns - shift_ns) // length_ns * length_ns + shift_ns AS bar_ns FROM timed, spans
), grids AS (  -- of one number of decimals each: almost always one a bar
    SELECT exchange, set_name, symbol, bar_ns, any_value(length_ns) AS length_ns, price_decimals AS pd, size_decimals AS sd,
        arg_min(price, {{'time_ns': time_ns, 'epoch': epoch, 'sequence': sequence}}) AS first_price,
        min({{'time_ns': time_ns, 'epoch': epoch, 'sequence': sequence}}) AS first_key,
        arg_max(price, {{'time_ns': time_ns, 'epoch': epoch, 'sequence': sequence}}) AS last_price,
        max({{'time_ns': time_ns, 'epoch': epoch, 'sequence': sequence}}) AS last_key,
        max(price) AS highest, min(price) AS lowest, count(*) AS trades,
        sum(size_lots::HUGEINT) AS lots,
        sum(CASE side WHEN 'buy' THEN size_lots ELSE 0 END::HUGEINT) AS bought,
        sum(CASE side WHEN 'sell' THEN size_lots ELSE 0 END::HUGEINT) AS sold,
        sum(price_ticks::HUGEINT * size_lots) AS units
    FROM placed GROUP BY exchange, set_name, symbol, bar_ns, price_decimals, size_decimals
), finest AS (
    SELECT *, max(pd) OVER bar AS price_places, max(sd) OVER bar AS size_places FROM grids
    WINDOW bar AS (PARTITION BY exchange, set_name, symbol, bar_ns)
), bars AS (
    SELECT exchange, set_name, symbol, bar_ns, any_value(length_ns) AS length_ns,
        any_value(price_places) AS price_places, any_value(size_places) AS size_places,
        arg_min(first_price, first_key) AS first_price, max(highest) AS highest, min(lowest) AS lowest,
        arg_max(last_price, last_key) AS last_price, sum(trades)::BIGINT AS trades,
        sum(lots * _power(size_places - sd))::HUGEINT AS lots,
        sum(bought * _power(size_places - sd))::HUGEINT AS bought,
        sum(sold * _power(size_places - sd))::HUGEINT AS sold,
        sum(units * _power(price_places - pd + size_places - sd))::HUGEINT AS units
    FROM finest GROUP BY exchange, set_name, symbol, bar_ns
), rounded AS (  -- half to even
    SELECT *, units * {10**VWAP_DIGITS} AS scaled, nullif(lots, 0) AS divisor FROM bars
), means AS (
    SELECT *, scaled // divisor + CASE WHEN 2 * (scaled % divisor) > divisor
        OR (2 * (scaled % divisor) = divisor AND (scaled // divisor) % 2 = 1) THEN 1 ELSE 0 END AS mean FROM rounded
)
SELECT exchange, set_name, symbol, width AS width, bar_ns AS begin_ns, bar_ns + length_ns AS end_ns,
    first_price AS open, highest AS high, lowest AS low, last_price AS close,
    decimal_text(lots, size_places) AS volume, decimal_text(mean, price_places + {VWAP_DIGITS}) AS vwap, trades AS count,
    decimal_text(bought, size_places) AS buy_volume, decimal_text(sold, size_places) AS sell_volume,
    decimal_text(units, price_places + size_places) AS notional, units AS notional_units, lots AS volume_lots,
    price_places AS price_decimals, size_places AS size_decimals
FROM means ORDER BY begin_ns, exchange, set_name, symbol"""  # noqa: S608 - of the table above alone
