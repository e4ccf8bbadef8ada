"""market/levels.py: rows of a message to levels, all of them or none; the same in both core modes."""

import json
import struct
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.strategies_numbers import DECIMALS, EXPONENTS, JSON, PLAIN_DECIMALS, SCALARS, exact_value, needed_decimals

from alphapulse_cli.market import levels as module
from alphapulse_cli.market import scan
from alphapulse_cli.market.levels import IS_ASK, LOTS_MASK, Levels
from alphapulse_cli.market.scan import MAX_TICKS
from alphapulse_cli.market.ticks import Malformed, NeedsRawText, NumberError, OffGridRow

ROWS = [(True, "100.5", "0.25"), (False, "99", "1"), (True, "100.5", "0")]  # (is_ask, price, size)
EXPECTED = [(10050, 2500, True), (9900, 10000, False), (10050, 0, True)]


def sided(rows):
    return [["sell" if is_ask else "buy", price, size] for is_ask, price, size in rows]


def sided_dicts(rows):
    return [{"side": "offer" if is_ask else "bid", "price": price, "qty": size, "time": None} for is_ask, price, size in rows]


def add_pairs(levels, rows):
    for row in rows:
        levels.add_pairs([list(row[1:])], row[0])


def add_dicts(levels, rows):
    for row in rows:
        levels.add_dicts([{"price": row[1], "qty": row[2]}], "price", "qty", row[0])


WAYS = {  # every way in, fed with the same (is_ask, price, size)
    "pairs": add_pairs,
    "dicts": add_dicts,
    "sided": lambda levels, rows: levels.add_sided(sided(rows), "buy", "sell"),
    "sided tuples": lambda levels, rows: levels.add_sided(tuple(map(tuple, sided(rows))), "buy", "sell"),
    "sided dicts": lambda levels, rows: levels.add_sided_dicts(sided_dicts(rows), "side", "bid", "offer", "price", "qty"),
}
every_way = pytest.mark.parametrize("add", WAYS.values(), ids=WAYS)
CALLS = [  # (call, rows) of each shape, with hostile rows
    lambda levels, rows: levels.add_pairs(rows, False),
    lambda levels, rows: levels.add_sided(rows, "buy", "sell"),
    lambda levels, rows: levels.add_dicts(rows, "price", "qty", True),
    lambda levels, rows: levels.add_sided_dicts(rows, "side", "bid", "offer", "price", "qty"),
]


def outcome(call, price_decimals, size_decimals, rows):
    """(levels, kept out), or (the error's class, what it asks for)."""
    levels = Levels(price_decimals, size_decimals)
    try:
        call(levels, rows)
    except OffGridRow as off:
        return OffGridRow, (off.is_size, off.price_decimals, off.size_decimals)
    except NumberError as error:
        return type(error), None
    return list(levels), levels.kept_out


def judged(price_decimals, size_decimals, rows):
    """What `outcome` must be for rows of decimal text, by `decimal` and Fractions."""
    prices, sizes = [exact_value(row[1]) for row in rows], [exact_value(row[2]) for row in rows]
    price_needed = max([price_decimals, *map(needed_decimals, prices)])
    size_needed = max([size_decimals, *map(needed_decimals, sizes)])
    if any(price == 0 and needed_decimals(size) <= size_decimals for price, size in zip(prices, sizes, strict=True)):
        return Malformed, None  # a price of 0 is none
    if price_needed > price_decimals or size_needed > size_decimals:
        return OffGridRow, (price_needed == price_decimals, price_needed, size_needed)
    whole = [
        (int(price * 10**price_decimals), int(size * 10**size_decimals), row[0])
        for price, size, row in zip(prices, sizes, rows, strict=True)
    ]
    kept = [level for level in whole if level[0] <= MAX_TICKS and level[1] <= LOTS_MASK]
    removals = sum(level[1] == 0 for level in whole if level[0] > MAX_TICKS)  # of what was never there
    return kept, len(whole) - len(kept) - removals


class TestRowsBecomeLevels:
    """One call a side, or one a message; whatever the shape of the rows, the levels are the same."""

    @every_way
    def test_each_shape(self, add):
        """In the order of the rows; size 0 is a level like any other here."""
        levels = Levels(2, 4)
        add(levels, ROWS)
        assert list(levels) == EXPECTED
        assert (len(levels), levels.count, levels.kept_out) == (3, 3, 0)

    @every_way
    @given(
        rows=st.lists(st.tuples(st.booleans(), PLAIN_DECIMALS | EXPONENTS, PLAIN_DECIMALS | EXPONENTS), max_size=6),
        price=DECIMALS,
        size=DECIMALS,
    )
    @example(
        rows=[
            (False, "9223372036854775807", "4611686018427387903"),
            (True, "9223372036854775808", "1"),
            (True, "1", "4611686018427387904"),
        ],
        price=0,
        size=0,
    )
    @example(rows=[(False, "0.1", "1"), (True, "0.001", "0.01"), (True, "1", "0.00010")], price=1, size=0)
    def test_exact_kept_out_or_off_grid(self, add, rows, price, size):
        """Against an independent judge: exact levels in range, the others counted, or the grid that all rows need."""
        if add in (add_pairs, add_dicts):
            rows = rows[:1]  # these take one row a call, and a call speaks for its own rows
        assert outcome(add, price, size, rows) == judged(price, size, rows)

    @pytest.mark.parametrize("rows", [[["1.5", "x"]], [["1.5", -1]], [["1.005", "1"], ["nan", "1"]]])
    def test_malformed_outweighs_all(self, rows):
        """Also where an earlier row only needed a finer grid."""
        with pytest.raises(Malformed):
            Levels(2, 2).add_pairs(rows, False)

    def test_json_numbers_and_text_may_be_mixed(self):
        """Kraken sends numbers, others text."""
        levels = Levels(1, 8)
        levels.add_pairs([[45285.2, 0.001], ["45285.3", 7], [3, "1e-8"], [1e-1, 0.0]], True)
        assert list(levels) == [(452852, 100000, True), (452853, 700000000, True), (30, 1, True), (1, 0, True)]

    def test_a_float_that_proves_nothing_needs_raw_text(self):
        """0.1 on a grid of 18 decimals is over 2^51; -0.0 and infinity are no numbers at all."""
        with pytest.raises(NeedsRawText):
            Levels(18, 0).add_pairs([[0.1, 1]], False)
        for number in (-0.0, float("inf"), float("nan")):
            with pytest.raises(Malformed):
                Levels(2, 2).add_pairs([[1.5, number]], False)

    def test_one_finer_grid_is_enough(self):
        """What OffGridRow asks for takes the whole call."""
        rows = [["1.01", "0.5"], ["2.001", "1"], ["3", "0.00000007"], ["4.0000100", "1e-9"]]
        with pytest.raises(OffGridRow) as caught:
            Levels(1, 0).add_pairs(rows, False)
        off = caught.value
        assert (off.price_decimals, off.size_decimals, off.is_size) == (5, 9, False)
        levels = Levels(off.price_decimals, off.size_decimals)
        levels.add_pairs(rows, False)
        assert list(levels)[3] == (400001, 1, False)

    def test_stub_orders_fit(self):
        """Real books carry orders at 10^13 ticks; a level that no record can hold is kept out and counted."""
        levels = Levels(8, 8)
        levels.add_pairs(
            [["100000000", "1"], ["92233720368.54775807", "46116860184.27387903"], ["92233720368.54775808", "1"], ["1e30", "1"]],
            True,
        )
        assert [ticks for ticks, _, _ in levels] == [10**16, MAX_TICKS]
        assert levels.kept_out == 2

    def test_many_levels_grow_the_column(self):
        """45,827 levels, then more; usual and unusual rows in turn."""
        levels = Levels(2, 8)
        texts = [[f"{n}.25" if n % 5 else f"{n}25e-2", "1.5" if n % 7 else 1.5] for n in range(45_827)]
        levels.add_pairs(texts, False)
        levels.add_pairs(texts[:100], True)
        assert levels.count == 45_927
        assert list(levels) == [(n * 100 + 25, 150_000_000, False) for n in range(45_827)] + [
            (n * 100 + 25, 150_000_000, True) for n in range(100)
        ]


class TestHostileRows:
    """Any value a JSON parser may hand over: levels or a NumberError, never anything else."""

    @pytest.mark.parametrize("call", CALLS)
    @given(rows=JSON | st.lists(st.lists(SCALARS | st.sampled_from(["buy", "sell"]), max_size=4), max_size=4))
    def test_any_value_as_rows(self, call, rows):
        """Also what is no list, and lists of what is no row."""
        try:
            call(Levels(2, 8), rows)
        except NumberError as error:
            assert "\n" not in str(error)  # both ways out are right

    @given(
        rows=st.lists(
            st.dictionaries(
                st.sampled_from(["side", "price", "qty", "x"]),
                st.sampled_from(["bid", "offer", "1", "0.5", 2, 0.25, None, "x"]),
                max_size=4,
            ),
            max_size=4,
        )
    )
    def test_any_dicts(self, rows):
        """A dict without what belongs there is malformed, one with more than that is not."""
        good = all(
            row.get("side") in ("bid", "offer")
            and row.get("price") in ("1", "0.5", 2, 0.25)
            and row.get("qty") in ("1", "0.5", 2, 0.25)
            for row in rows
        )
        found, _ = outcome(CALLS[3], 2, 2, rows)
        assert (found is Malformed) != good

    @pytest.mark.parametrize(
        "rows", [None, 5, "12", {"1": "2"}, b"12", [None], ["12"], [[]], [["1"]], [["1", []]], [{}], [{0: "1", 1: "2"}], iter([])]
    )
    def test_pairs_of_another_shape(self, rows):
        """The text "12" is no row of "1" and "2", and a dict with integer keys no list."""
        with pytest.raises(Malformed):
            Levels(2, 8).add_pairs(rows, False)

    @pytest.mark.parametrize("word", ["Buy", "", "buys", "bu", "b\u00fcy", "\U0001f4a5", None, 0, True, ["buy"], "\ud800"])
    def test_a_side_that_is_neither_word(self, word):
        """Never a guess."""
        with pytest.raises(Malformed):
            Levels(2, 8).add_sided([["buy", "1", "1"], [word, "1", "1"]], "buy", "sell")
        with pytest.raises(Malformed):
            Levels(2, 8).add_sided_dicts([{"s": word, "p": "1", "q": "1"}], "s", "buy", "sell", "p", "q")

    def test_sides_are_compared_by_their_text(self):
        """Not by identity, and in any script."""
        levels = Levels(0, 0)
        levels.add_sided(json.loads('[["bid", "1", "1"], ["ask", "2", "1"]]'), "bid", "ask")
        levels.add_sided([["買", "3", "1"], ["賣", "4", "1"]], "買", "賣")
        assert [is_ask for _, _, is_ask in levels] == [False, True, False, True]

    def test_a_bomb_in_a_row_costs_nothing(self):
        """As in ticks: refused before any arithmetic."""
        for bomb in ("1E+1000000", "9" * 1_000_000, 10**100_000, "1_000", "-1", Decimal(1)):
            with pytest.raises(Malformed):
                Levels(2, 8).add_pairs([["1", "1"], [bomb, "1"]], False)


class TestTheStandIn:
    """scan.py (interpreted) and scan.pxd (compiled) are two implementations of one promise; what runs here is one of them."""

    @given(rows=st.lists(st.tuples(st.booleans(), SCALARS, SCALARS), max_size=5), price=DECIMALS, size=DECIMALS)
    def test_the_column_is_what_the_stand_in_writes(self, rows, price, size):
        """Up to the first row that it finds unusual."""
        words = memoryview(bytearray(16 * len(rows))).cast("Q")
        usual = scan.rows(sided(rows), 0, 0, 1, 2, "buy", "sell", False, price, size, words, 0)
        levels = Levels(price, size)
        levels.add_sided(sided(rows[:usual]), "buy", "sell")
        assert levels.to_bytes() == words.tobytes()[: 16 * usual]
        assert levels.kept_out == 0

    def test_where_it_gives_up(self):
        """Whatever is unusual: exponents, out of range, off the grid, tuples, other sides, short rows."""
        for row in (
            ["buy", "1e1", "1"],
            ["buy", "1", str(1 << 62)],
            ["buy", "1.5", "1"],
            ("buy", "1", "1"),
            ["no", "1", "1"],
            ["buy", "1"],
            [1, "1", "1"],
        ):
            words = memoryview(bytearray(32)).cast("Q")
            assert scan.rows([["sell", "7", 8], row], 0, 0, 1, 2, "buy", "sell", False, 0, 0, words, 0) == 1
            assert list(words[:2]) == [7, 8 | IS_ASK]


class TestAColumn:
    """What a Levels is besides."""

    def test_one_level_at_a_time(self):
        """`add` takes ticks and lots; out of range they are kept out, either side of the range."""
        levels = Levels(2, 8)
        for ticks, lots in [
            (0, 0),
            (MAX_TICKS, LOTS_MASK),
            (MAX_TICKS + 1, 1),
            (-1, 1),
            (1, LOTS_MASK + 1),
            (1, -1),
            (10**40, 10**40),
        ]:
            levels.add(ticks, lots, True)
        assert list(levels) == [(0, 0, True), (MAX_TICKS, LOTS_MASK, True)]
        assert levels.kept_out == 5

    @given(st.lists(st.tuples(st.integers(0, MAX_TICKS), st.integers(0, LOTS_MASK), st.booleans()), max_size=40))
    def test_what_goes_in_comes_out(self, rows):
        """As tuples, and as 16 bytes a level."""
        levels = Levels.from_levels(3, 4, rows)
        assert list(levels) == rows
        assert levels.to_bytes() == b"".join(struct.pack("<qQ", ticks, lots | is_ask << 63) for ticks, lots, is_ask in rows)
        assert (levels.price_decimals, levels.size_decimals) == (3, 4)

    def test_equality_is_of_grid_and_levels(self):
        """In order; and a thing that grows has no hash."""
        one = Levels.from_levels(2, 8, [(1, 2, True), (3, 4, False)])
        assert one == Levels.from_levels(2, 8, [(1, 2, True), (3, 4, False)])
        assert one != Levels.from_levels(2, 8, [(3, 4, False), (1, 2, True)])
        assert one != Levels.from_levels(2, 7, [(1, 2, True), (3, 4, False)])
        assert one != [(1, 2, True), (3, 4, False)]
        with pytest.raises(TypeError, match="unhashable"):
            hash(one)
        assert repr(one) == "Levels(2, 8, [(1, 2, True), (3, 4, False)])"

    @pytest.mark.parametrize(("price", "size"), [(-1, 0), (0, -1), (19, 0), (0, 19)])
    def test_decimals_are_0_to_18(self, price, size):
        """What a record can say."""
        with pytest.raises(ValueError, match="decimals must be"):
            Levels(price, size)

    def test_the_layout_is_the_records(self):
        """The constants said twice are the same."""
        assert (module.IS_ASK, module.LOTS_MASK) == (scan.IS_ASK, scan.MAX_LOTS)
        assert (MAX_TICKS, 40, 18) == (scan.MAX_TICKS, scan.MAX_CHARACTERS, scan.MAX_DECIMALS)
