"""A session reads the dataset's views exactly, and can do nothing else."""

import os
import random
import signal
import threading
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import duckdb
import pytest
from support.datasets import DAY_NS, NOON_NS, row, trade, write

import alphapulse_cli as ap
from alphapulse_cli.apps.sql import session, views
from alphapulse_cli.apps.sql.session import Session
from alphapulse_cli.edges.columns.places import first_ns_of
from alphapulse_cli.edges.columns.schema import TABLES
from alphapulse_cli.errors import AlphapulseError, NoSegment, UsageError
from alphapulse_cli.market.candles import WIDTHS
from alphapulse_cli.readers.moments import moment, parse

BIG = 2**62 - 1
FOR_HOURS = "SELECT sum(a.range * b.range::HUGEINT) FROM range(100000000) a, range(100000000) b"


@pytest.fixture
def dataset(tmp_path):
    """Trades of two exchanges over midnight and one change, in a folder that a reader may take for a pattern or a column."""
    folder = tmp_path / "base=TRUE [1]*?'" / "exchange=moon"
    for exchange in ("kraken", "okx"):
        rows = [
            trade(
                16 * number,
                6500010 + number,
                BIG - number,
                timestamp_ns=NOON_NS + DAY_NS // 2 + offset_ns,
                symbol=symbol,
                size_decimals=18,
            )
            for number, (offset_ns, symbol) in enumerate([(-1, "INF"), (-1, "T"), (0, "00")], start=1)
        ]
        write(folder, "trades", rows, exchange)
    change = row("deltas", symbol="T", price_ticks=2**63 - 1, size_lots=BIG, price_decimals=18, size_decimals=18)
    write(folder, "deltas", [change, change | {"sequence": 1, "size_decimals": 0, "symbol": "00"}])
    quote = {"bid_ticks": 5, "bid_lots": 7, "price_decimals": 1, "size_decimals": 8}
    write(folder, "bbo", [row("bbo", **quote)])
    return folder


@pytest.fixture
def opened(dataset):
    with Session(dataset) as made:
        yield made


def rows(opened, query):
    return [tuple(one.values()) for batch in opened.ask(query).batches() for one in batch]


class TestViews:
    def test_the_path_is_text_and_integer_and_nothing_of_the_folders_above(self, opened):
        assert rows(opened, "SELECT exchange, day, set_name, symbol FROM trades ORDER BY exchange, sequence") == [
            (exchange, day, exchange, symbol)
            for exchange in ("kraken", "okx")
            for day, symbol in ((20261127, "INF"), (20261127, "T"), (20261128, "00"))
        ]
        assert "base" not in [name for name, *_ in rows(opened, "DESCRIBE trades")]

    @pytest.mark.parametrize("table", TABLES)
    def test_the_columns_and_types_are_the_same_with_and_without_files(self, opened, table):
        assert [(name, kind) for name, kind, *_ in rows(opened, f"DESCRIBE {table}")] == list(views.columns(table).items())

    def test_sizes_are_exact_where_files_have_lots_alone(self, opened):
        assert rows(opened, "SELECT price, size FROM deltas ORDER BY sequence") == [
            (Decimal("9.223372036854775807"), Decimal("4.611686018427387903")),
            (Decimal("9.223372036854775807"), Decimal(BIG)),
        ]
        assert rows(opened, "SELECT bid_price, bid_size, ask_size FROM bbo") == [(Decimal("0.5"), Decimal("0.00000007"), None)]

    def test_the_sum_of_products_is_that_of_python(self, opened):
        expected = 2 * sum((6500010 + number) * (BIG - number) for number in (1, 2, 3))
        query = "SELECT sum(price_ticks::HUGEINT * size_lots) AS units, decimal_text(units, 20) FROM trades"
        [(units, text)] = rows(opened, query)
        assert units == expected
        assert Fraction(text) == Fraction(expected, 10**20)
        schema, batches = opened.ask(query).arrow()
        assert [int(one["units"]) for batch in batches for one in batch.to_pylist()] == [expected]
        assert str(schema.field("units").type) == "decimal128(38, 0)", "and no double"

    def test_a_column_that_a_file_lacks_is_null(self, dataset):
        import pyarrow.parquet as pq

        path = next((dataset / "trades" / "exchange=okx").rglob("*.parquet"))
        kept, table = pq.read_metadata(path).metadata, pq.read_table(path, partitioning=None)
        pq.write_table(table.drop_columns(["trade_id"]).replace_schema_metadata(kept), path)
        with Session(dataset) as opened:
            assert sorted(rows(opened, "SELECT count(*), count(trade_id) FROM trades GROUP BY exchange")) == [
                (3, 1 + (path.parent.name == "day=20261128")),
                (3, 3),
            ]

    def test_a_dataset_without_files(self, tmp_path):
        (tmp_path / ".open").mkdir()
        with Session(tmp_path) as opened:
            for table in TABLES:
                assert rows(opened, f"SELECT count(*) FROM {table}") == [(0,)]
            assert rows(opened, "FROM candles('1m')") == []

    def test_a_folder_that_is_none(self, tmp_path):
        with pytest.raises(NoSegment, match="not a dataset"):
            Session(tmp_path)


class TestTimes:
    TIMES = (0, 1, 999_999_999, NOON_NS, NOON_NS + 43_199_999_999_600, NOON_NS + DAY_NS // 2 - 1, 2**62, -1, -1_000_000_000)

    @pytest.mark.parametrize("time_ns", TIMES)
    def test_the_text_is_exact_and_leads_back(self, opened, time_ns):
        [(text, back)] = rows(opened, f"SELECT rfc3339({time_ns}) AS text, ns(text)")
        assert text == moment(time_ns, digits=9)
        assert back == time_ns

    @pytest.mark.parametrize(
        "text",
        [
            "2026-11-27T10:55:37Z",
            "2026-11-27t10:55:37.5z",
            "2026-11-27T10:55:37.123456789+05:30",
            "2026-11-27T10:55:37-00:01",
            "2024-02-29T23:59:59.999999999-12:00",
        ],
    )
    def test_ns_is_what_every_command_understands(self, opened, text):
        assert rows(opened, f"SELECT ns('{text}')") == [(parse(text),)]

    @pytest.mark.parametrize("text", ["2026-11-27T10:55:37", "2026-11-27", "soon", "", "2026-11-27T10:55:37Z "])
    def test_one_without_an_offset_is_refused(self, opened, text):
        with pytest.raises(UsageError, match="not a time with Z or an offset"):
            rows(opened, f"SELECT ns('{text}')")

    def test_null_is_null(self, opened):
        assert rows(opened, "SELECT rfc3339(NULL), ns(NULL), decimal_text(NULL, 2)") == [(None, None, None)]

    def test_times_of_other_types_are_text_with_all_their_digits(self, opened):
        assert rows(opened, "SELECT make_timestamp_ns(1795780800123456789) AS t, INTERVAL 1 DAY, DATE '2026-11-27'") == [
            ("2026-11-27 12:00:00.123456789", "1 day", "2026-11-27")
        ]


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [
        (12345, 2, "123.45"),
        (5, 2, "0.05"),
        (-5, 2, "-0.05"),
        (100, 2, "1.00"),
        (7, 0, "7"),
        (0, 3, "0.000"),
        (10**37, 36, "10." + "0" * 36),
    ],
)
def test_decimal_text(opened, units, decimals, text):
    assert rows(opened, f"SELECT decimal_text({units}, {decimals})") == [(text,)]


class TestNothingElse:
    STATEMENTS = (
        "CREATE TABLE x AS SELECT 1",
        "CREATE TEMP TABLE x AS SELECT 1",
        "CREATE OR REPLACE VIEW trades AS SELECT 1",
        "DROP VIEW trades",
        "INSERT INTO trades VALUES (1)",
        "DELETE FROM trades",
        "UPDATE trades SET price = 1",
        "COPY trades TO 'written.csv'",
        "COPY (SELECT 1) TO 'written.parquet'",
        "EXPORT DATABASE 'written'",
        "ATTACH 'written.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA memory_limit = '1GB'",
        "SET threads = 1",
        "RESET threads",
        "SET enable_external_access = true",
        "CALL pragma_version()",
        "CHECKPOINT",
        "VACUUM",
        "BEGIN",
        "PREPARE x AS SELECT 1",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'written.csv'",
        "USE memory",
    )

    @pytest.mark.parametrize("statement", STATEMENTS)
    def test_what_is_no_select_is_not_run(self, opened, statement, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(UsageError, match="is not run") as refused:
            opened.ask(statement)
        assert "one SELECT" in refused.value.hint
        assert sorted(tmp_path.rglob("*")) == before

    @pytest.mark.parametrize(
        "query", ["", "  ", ";", "-- only a remark", "SELECT 1; SELECT 2", "SELECT 1; COPY trades TO 'written.csv'"]
    )
    def test_none_or_several(self, opened, query):
        with pytest.raises(UsageError) as refused:
            opened.ask(query)
        assert "one SELECT" in refused.value.hint

    @pytest.mark.parametrize(
        "query",
        ["SELECT 1;", "SELECT 1 -- it", "SELECT 1; -- it", "/* so */ VALUES (1)", "(SELECT 1)", "WITH x AS (SELECT 1) FROM x"],
    )
    def test_one_in_any_form(self, opened, query):
        assert rows(opened, query) == [(1,)]

    READS = (
        "FROM read_csv('{}')",
        "FROM read_text('{}')",
        "FROM read_blob('{}')",
        "FROM read_parquet('{}')",
        "FROM '{}'",
        "FROM glob('/*')",
        "SELECT getenv('HOME')",
        "FROM read_csv('http://127.0.0.1:1/x.csv')",
        "WITH x AS (INSERT INTO trades VALUES (1) RETURNING *) FROM x",
        "FROM query('COPY (SELECT 1) TO ''written.csv''')",
    )

    @pytest.mark.parametrize("query", READS)
    def test_no_other_file_is_read(self, opened, query, tmp_path):
        secret = tmp_path / "secret.csv"
        secret.write_text("a\nowned\n")
        with pytest.raises(AlphapulseError) as refused:
            rows(opened, query.format(secret))
        assert "owned" not in str(refused.value)

    @pytest.mark.parametrize(
        "statement",
        [
            "COPY (SELECT 1) TO 'written.csv'",
            "ATTACH 'written.db'",
            "SET threads = 1",
            "SET enable_external_access = true",
            "INSTALL httpfs",
            "EXPORT DATABASE 'written'",
        ],
    )
    def test_the_connection_itself_refuses_what_would_get_past_the_parser(self, opened, statement, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(duckdb.Error, match=r"disabled by configuration|locked"):
            opened._connection.execute(statement)
        assert not [path for path in tmp_path.iterdir() if path.name.startswith("written")]

    def test_a_variable_of_ours_is_no_table(self, opened):
        secret = {"a": [1]}
        assert secret
        with pytest.raises(UsageError, match="does not exist"):
            rows(opened, "FROM secret")

    def test_nothing_is_left_behind(self, dataset, tmp_path, monkeypatch):
        import tempfile

        here = tmp_path / "here"
        here.mkdir()
        monkeypatch.chdir(here)
        monkeypatch.setattr(tempfile, "tempdir", str(here))
        with Session(dataset) as opened:
            rows(opened, "SELECT count(*) FROM trades")
            assert Path(opened._connection.execute("SELECT current_setting('temp_directory')").fetchone()[0]).is_relative_to(here)
        assert list(here.iterdir()) == []


class TestMistakes:
    CASES = (
        ("SELECT prize FROM trades", 'column "prize" not found', "did you mean price"),
        ("SELECT trades.prize FROM trades", '"prize"', "did you mean price"),
        ("SELECT xyzzy FROM bbo", '"xyzzy"', "columns of bbo: exchange, day, set_name, symbol"),
        ("SELECT hihg FROM candles('1m')", '"hihg"', "did you mean high"),
        ("FROM trade", "name trade does not exist", "did you mean trades?"),
        ("FROM candles", "name candles does not exist", "FROM candles('1m')"),
        ("FROM candels('1m')", "function with name candels", "did you mean candles"),
        ("SELECT ns('2026-11-27T08:00:00')", "not a time with Z or an offset", "as in ns('2026-11-27T10:55:37Z')"),
        ("FROM nonesuch", "name nonesuch does not exist", "views are deltas, trades"),
        ("SELECT rfc3339x(1)", "name rfc3339x does not exist", "rfc3339(timestamp_ns)"),
        ("SELCT 1", "syntax error", "one SELECT in DuckDB's SQL"),
        ("SELECT 'x'::INT", "x", "alphapulse sql --help"),
        ("SELECT sum(price * price) FROM trades", "verflow", "price_ticks::HUGEINT"),
        ("FROM candles('2m')", "no such width of candles; widths are 1s", "alphapulse sql --help"),
        ("SELECT error('a' || chr(27) || '[2J' || chr(10) || 'b')", "a", "alphapulse sql --help"),
    )

    @pytest.mark.parametrize(("query", "message", "hint"), CASES)
    def test_they_are_one_line_and_a_hint(self, opened, query, message, hint):
        with pytest.raises(UsageError) as refused:
            rows(opened, query)
        text = str(refused.value)
        assert message in text
        assert "\n" not in text
        assert "LINE 1" not in text
        assert not text.endswith(("!", "."))
        assert hint in refused.value.hint

    def test_a_file_that_went_meanwhile(self, dataset):
        with Session(dataset) as opened:
            for path in dataset.rglob("*.parquet"):
                path.unlink()
            with pytest.raises(AlphapulseError, match="cannot be read") as refused:
                rows(opened, "SELECT price FROM trades")
        assert "ask again" in refused.value.hint

    def test_names_that_are_there_twice(self, opened):
        assert opened.ask('SELECT 1 AS a, 2 AS a, 3 AS a_2, 4 AS "A", 5 AS "x""y" ').columns[0].name == "a"
        [batch] = opened.ask("SELECT 1 AS a, 2 AS a, 3 AS a_2").batches()
        assert batch == [{"a": 1, "a_2": 2, "a_2_2": 3}]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_query_at_once_and_the_session_lives(opened, number):
    class Ended(BaseException):
        pass

    def end(*_):
        raise Ended

    before = signal.signal(number, end)
    begun = threading.Event()
    call = opened.call

    def begin_and_call(work, query):
        def begin():
            begun.set()
            return work()

        return call(begin, query)

    result = opened.ask(FOR_HOURS)
    relation = result._project(["#1"])  # bound before: the next thing that is done is the query itself
    result._project = lambda _: relation
    opened.call = begin_and_call

    def kill():
        begun.wait()
        os.kill(os.getpid(), number)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        with pytest.raises(Ended):
            list(result.batches())
    finally:
        killer.join()
        signal.signal(number, before)
    assert rows(opened, "SELECT 1") == [(1,)]


class TestCandles:
    """`candles(width)` against bars made of Python integers, by the same rules; and variants of it that the comparison must catch."""

    SEED = 20
    HALF = 200  # of the trades

    def trades(self):
        """Trades of two symbols around a Monday: ties, exchange times and none, a finer grid, history, unknown takers."""
        chance = random.Random(self.SEED)
        monday_ns = parse("2026-11-30T00:00:00Z")
        made = []
        received = [chance.randrange(-8, 8) * 15_000_000_000 + chance.choice((0, 0, -1, 1, 7_000_000_123)) for _ in range(400)]
        for number, offset_ns in enumerate(sorted(received)):
            fine = chance.random() < 0.2
            received_ns = monday_ns + offset_ns
            made.append(
                trade(
                    16 * (number + 1),
                    chance.randrange(6_500_000, 6_500_400) * (10 if fine else 1) + fine,
                    chance.choice((1, 3, 10**8, BIG // 1000)),
                    timestamp_ns=received_ns,
                    exchange_ns=chance.choice((None, received_ns - 20_000_000_000, received_ns)),
                    symbol=chance.choice(("BTC-USD", "INF")),
                    side=chance.choice(("buy", "sell", "unknown")),
                    history=chance.random() < 0.2,
                    trade_id=str(chance.randrange(max(0, number - 20), number + 1)),
                    price_decimals=3 if fine else 2,
                    size_decimals=9 if fine else 8,
                    epoch=1_795_000_000 + (number > 300),
                )
            )
        return made

    def put(self, folder, trades, **more):
        """Write trades, and note the begin of the watch: the names of files have the time of their first row."""
        paths = write(folder, "trades", trades, **more)
        self.began_ns = min(map(first_ns_of, folder.rglob("*.parquet")))
        return paths

    def counted(self, trades):
        """Trades that count, by rule B4: those of history once by their id, from the begin of the watch on."""
        ids = set()
        for one in sorted(trades, key=lambda one: (one["epoch"], one["sequence"])):
            key = one["symbol"], one["trade_id"]
            if not one["history"] or (one["exchange_ns"] is not None and one["exchange_ns"] >= self.began_ns and key not in ids):
                ids.add(key)
                yield one

    def expected(self, trades, width_s, shift_s=0):
        bars: dict[tuple[int, str], list[Any]] = {}
        for one in self.counted(trades):
            time_ns = one["timestamp_ns"] if one["exchange_ns"] is None else one["exchange_ns"]
            begin_ns = (time_ns - shift_s * 10**9) // (width_s * 10**9) * width_s * 10**9 + shift_s * 10**9
            bars.setdefault((begin_ns, one["symbol"]), []).append(((time_ns, one["epoch"], one["sequence"]), one))
        return {key: self.bar(of_bar, width_s) for key, of_bar in bars.items()}

    def bar(self, of_bar, width_s):
        of_bar.sort(key=lambda keyed: keyed[0])
        ours = [one for _, one in of_bar]
        price_places = max(one["price_decimals"] for one in ours)
        size_places = max(one["size_decimals"] for one in ours)
        lots = [one["size_lots"] * 10 ** (size_places - one["size_decimals"]) for one in ours]
        ticks = [one["price_ticks"] * 10 ** (price_places - one["price_decimals"]) for one in ours]
        units = sum(price * size for price, size in zip(ticks, lots, strict=True))
        prices = [one["price"] for one in ours]
        bought = sum(size for one, size in zip(ours, lots, strict=True) if one["side"] == "buy")
        return {
            "open": prices[0],
            "high": max(prices),
            "low": min(prices),
            "close": prices[-1],
            "count": len(ours),
            "volume_lots": sum(lots),
            "notional_units": units,
            "vwap": round(Fraction(units * 10**4, sum(lots))),  # half to even
            "places": (price_places, size_places),
            "bought": Decimal(bought).scaleb(-size_places),
            "width_ns": width_s * 10**9,
        }

    def found(self, opened, width, macro=None):
        if macro is not None:
            opened._connection.execute(macro)
        got = {}
        for batch in opened.ask(f"FROM candles('{width}')").batches():
            for one in batch:
                key = one["begin_ns"], one["symbol"]
                assert key not in got
                price_places, size_places = one["price_decimals"], one["size_decimals"]
                assert Fraction(one["volume"]) == Fraction(one["volume_lots"], 10**size_places)
                assert Fraction(one["notional"]) == Fraction(one["notional_units"], 10 ** (price_places + size_places))
                got[key] = {
                    name: one[name] for name in ("open", "high", "low", "close", "count", "volume_lots", "notional_units")
                } | {
                    "vwap": Fraction(one["vwap"]) * 10 ** (price_places + 4),
                    "places": (price_places, size_places),
                    "bought": Decimal(one["buy_volume"]),
                    "width_ns": one["end_ns"] - one["begin_ns"],
                }
        return got

    @pytest.fixture
    def bars(self, tmp_path):
        trades = self.trades()
        self.put(tmp_path, trades[: self.HALF])  # two files: neither has all of a bar
        self.put(tmp_path, trades[self.HALF :], part=1)
        with Session(tmp_path) as opened:
            yield opened, trades

    SECONDS = (1, 10, 60, 300, 900, 1800, 3600, 14_400, 86_400, 604_800)

    @pytest.mark.parametrize(("width", "seconds"), list(zip(WIDTHS, SECONDS, strict=True)))
    def test_each_width(self, bars, width, seconds):
        opened, trades = bars
        expected = self.expected(trades, seconds, 4 * 86_400 if width == "1w" else 0)
        assert self.found(opened, width) == expected
        assert len(expected) > 1

    @pytest.mark.parametrize("width", ["10s", "1m", "1w"])
    def test_the_command_candles_makes_the_same(self, bars, tmp_path, width):
        opened, trades = bars
        candles = list(ap.candles(tmp_path, width=width))
        made = {(one.begin_ns, one.symbol): one for one in candles if one.count}
        assert sum(one.history for one in made.values()) > 10
        assert sum(one.count + one.late for one in candles) == len(list(self.counted(trades)))
        rows = {
            (one["begin_ns"], one["symbol"]): one for batch in opened.ask(f"FROM candles('{width}')").batches() for one in batch
        }
        first_ns = min(one.begin_ns for one in candles)  # what was traded before is late for the command, and a bar here
        rows = {key: one for key, one in rows.items() if key[0] >= first_ns}
        assert rows.keys() == made.keys()
        for key, candle in made.items():
            row = rows[key]
            assert [
                Fraction(row[name])
                for name in ("open", "high", "low", "close", "volume", "vwap", "buy_volume", "sell_volume", "notional")
            ] == [
                Fraction(text)
                for text in (
                    candle.open,
                    candle.high,
                    candle.low,
                    candle.close,
                    candle.volume,
                    candle.vwap,
                    candle.buy_volume,
                    candle.sell_volume,
                    candle.notional,
                )
                if text is not None
            ]
            assert (row["end_ns"], row["count"]) == (candle.end_ns, candle.count)

    MUTANTS = (
        ("coalesce(exchange_ns, timestamp_ns)", "timestamp_ns"),
        ("WHERE NOT history\n", "\n"),
        ("exchange_ns >= watched_ns", "exchange_ns < watched_ns"),
        ("WHERE history AND exchange_ns >= watched_ns", "WHERE history"),
        ("= first_seen\n", "IS NOT NULL\n"),
        ("        FROM told UNION ALL SELECT", "        SELECT"),
        ("WHEN '1w' THEN 345600000000000", "WHEN '1w' THEN 0"),
        (
            "arg_min(price, {'time_ns': time_ns, 'epoch': epoch, 'sequence': sequence})",
            "arg_min(price, {'time_ns': time_ns, 'epoch': -epoch, 'sequence': -sequence})",
        ),
        ("arg_max(last_price, last_key)", "arg_max(last_price, first_key)"),
        ("_power(price_places - pd + size_places - sd)", "_power(price_places - pd)"),
        ("sum(lots * _power(size_places - sd))", "sum(lots)"),
        ("min(lowest)", "max(lowest)"),
        ("* size_lots) AS units", "* size_lots::DOUBLE)::HUGEINT AS units"),
        ("> divisor\n", ">= divisor\n"),
    )

    @pytest.mark.parametrize(("text", "instead"), MUTANTS)
    def test_a_wrong_rule_is_caught(self, tmp_path, monkeypatch, text, instead):
        trades = [*self.exact_half(), *self.trades()]
        self.put(tmp_path, trades)
        made = views._candles

        def mutant(watched):
            whole = made(watched)
            assert text in whole
            return whole.replace(text, instead)

        monkeypatch.setattr(views, "_candles", mutant)
        with Session(tmp_path) as opened:
            assert (self.found(opened, "1w"), self.found(opened, "1m")) != (
                self.expected(trades, 604_800, 4 * 86_400),
                self.expected(trades, 60),
            )

    def exact_half(self):
        """Two trades far from the others, whose mean price lies between two texts: it goes to the even one."""
        at_ns = NOON_NS - 30 * DAY_NS
        return [
            trade(16 * 1001, 6_500_000, 19_999, timestamp_ns=at_ns, symbol="EVEN"),
            trade(16 * 1002, 6_500_001, 1, timestamp_ns=at_ns, symbol="EVEN"),
        ]

    def test_half_goes_to_even(self, tmp_path):
        self.put(tmp_path, self.exact_half())
        with Session(tmp_path) as opened:
            assert self.found(opened, "1m") == self.expected(self.exact_half(), 60)


def test_the_names_of_candles_are_known_to_the_hints(opened):
    from alphapulse_cli.apps.sql.mistakes import CANDLES

    assert tuple(column.name for column in opened.ask("FROM candles('1m')").columns) == CANDLES


def test_without_duckdb(dataset, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "duckdb", None)
    with pytest.raises(UsageError, match="sql needs duckdb") as refused:
        session.Session(dataset)
    assert refused.value.hint == "pip install 'alphapulse[sql]'"
