"""Candles of captures and datasets: those of the exchange's own messages, whatever was lost on the way; and what was lost is told."""

from decimal import Decimal
from typing import Any

import pytest
from support import datasets
from support.traded import MS, Told, write_traded

import alphapulse_cli as ap
from alphapulse_cli.apps.bench.frames import STARTED_NS
from alphapulse_cli.errors import NoSegment, StorageError, UsageError
from alphapulse_cli.market.candles import WIDTHS

S = 1_000_000_000
FIELDS = ("open", "high", "low", "close", "volume", "buy_volume", "notional")


def expected(told, width):
    """Candles of what the exchange told, by begin: in decimals, each trade once, those from before the watch left out."""
    once = {one.trade_id: one for one in reversed(told) if not one.is_history or one.exchange_ns >= STARTED_NS}
    places = {id(one): place for place, one in enumerate(told)}
    found: dict[int, list[Told]] = {}
    for one in sorted(once.values(), key=lambda one: (one.exchange_ns, places[id(one)])):
        found.setdefault(WIDTHS[width].begin_ns(one.exchange_ns), []).append(one)
    return {
        begin: [
            each[0].price,
            max(one.price for one in each),
            min(one.price for one in each),
            each[-1].price,
            sum(one.size for one in each),
            sum((one.size for one in each if one.side == "buy"), Decimal(0)),
            sum(one.price * one.size for one in each),
        ]
        for begin, each in found.items()
    }


def shown(candles):
    return {one.begin_ns: [Decimal(getattr(one, name)) for name in FIELDS] for one in candles if one.count}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, write_traded(folder)


@pytest.fixture(scope="module")
def broken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("broken")
    return folder, write_traded(folder, lost=(50, 100))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, whole):
    folder = tmp_path_factory.mktemp("dataset")
    write_dataset(folder, whole[1])
    return folder


def write_dataset(folder, told, status=()):
    rows = [
        datasets.row(
            "trades",
            symbol="BTC-USD",
            epoch=1,
            sequence=16 * place,
            timestamp_ns=one.receive_ns,
            exchange_ns=one.exchange_ns,
            trade_id=str(one.trade_id),
            side=one.side,
            history=one.is_history,
            price_ticks=int(one.price.scaleb(1)),
            size_lots=int(one.size.scaleb(8)),
            price_decimals=1,
            size_decimals=8,
        )
        for place, one in enumerate(told)
    ]
    for part, chunk in enumerate((rows[: len(rows) // 2], rows[len(rows) // 2 :])):
        datasets.write(folder, "trades", chunk, part=part)
    usual = {"symbol": "BTC-USD", "epoch": 1, "ring": "deltas"}
    begun = {"kind": "begun", "symbol": "", "timestamp_ns": STARTED_NS}
    states = [datasets.row("status", **{"sequence": place} | usual | one) for place, one in enumerate([begun, *status])]
    datasets.write(folder, "status", states)


@pytest.mark.parametrize("width", ["1s", "10s", "1m", "1w"])
class TestTheNumbers:
    def test_of_a_capture(self, whole, width):
        folder, told = whole
        assert shown(ap.candles(folder, width=width)) == expected(told, width)

    def test_of_one_whose_connection_was_lost(self, whole, broken, width):
        """Its history fills the holes and brings five trades again: the candles are those of the capture without a loss."""
        folder, told = broken
        assert sum(one.is_history for one in told) > 30
        assert shown(ap.candles(folder, width=width)) == expected(told, width) == shown(ap.candles(whole[0], width=width))

    def test_of_a_dataset(self, whole, dataset, width):
        assert shown(ap.candles(dataset, width=width)) == expected(whole[1], width)


class TestGaps:
    def test_a_lost_connection_and_a_book_that_is_not_there_yet(self, broken):
        gaps = {(one.begin_ns - STARTED_NS) // S: one.gap for one in ap.candles(broken[0], width="1s")}
        assert gaps[0] == "starting"
        assert {second for second, gap in gaps.items() if "disconnected" in gap} == {16, 28, 29}
        assert list(gaps) == list(range(54))
        assert gaps[40] == ""

    def test_a_capture_without_books_tells_a_lost_connection_too(self, tmp_path):
        write_traded(tmp_path, lost=(50,), channels=("trades",))
        gaps = {(one.begin_ns - STARTED_NS) // S: one.gap for one in ap.candles(tmp_path, width="1s")}
        lost = {second for second, gap in gaps.items() if "disconnected" in gap}
        assert {16} <= lost <= {0, 1, 2, 3, 16}

    def test_trades_missed_by_the_exchanges_count(self, tmp_path):
        write_traded(tmp_path, missing=(150,))
        missed = {(one.begin_ns - STARTED_NS) // S: (one.gap, one.missed) for one in ap.candles(tmp_path, width="1s") if one.missed}
        assert list(missed.values()) == [("trades missed upstream", 1)]

    def test_states_of_a_dataset(self, tmp_path, whole):
        second = STARTED_NS + 20 * S
        behind = next(place for place, one in enumerate(whole[1]) if one.receive_ns >= second + 4 * S)
        whole_set = {"symbol": ""}
        status = [
            {"kind": "status", "state": "SYNCING", "reason": "SEQUENCE_GAP", "timestamp_ns": second + 5},
            {"kind": "status", "state": "LIVE", "reason": "NONE", "timestamp_ns": second + S + 5},
            whole_set | {"kind": "missed", "missed": 9, "ring": "trades", "timestamp_ns": second + 3 * S, "sequence": behind * 16},
            whole_set | {"kind": "check", "timestamp_ns": second + 5 * S},
            whole_set | {"kind": "ended", "timestamp_ns": second + 6 * S},
            whole_set | {"kind": "begun", "timestamp_ns": second + 7 * S + 1},
            {"kind": "snapshot", "state": "STALE", "timestamp_ns": second + 9 * S},
            {"kind": "snapshot", "state": "LIVE", "timestamp_ns": second + 10 * S},
            whole_set | {"kind": "missed", "missed": 3, "timestamp_ns": second + 12 * S},
            {"kind": "snapshot", "state": "LIVE", "timestamp_ns": second + 13 * S},
            whole_set | {"kind": "check", "timestamp_ns": second + 15 * S},
            whole_set | {"kind": "begun", "timestamp_ns": second + 16 * S},
            whole_set | {"kind": "check", "timestamp_ns": second + 18 * S},
            whole_set | {"kind": "restarted", "timestamp_ns": second + 19 * S},
            {"kind": "snapshot", "state": "LIVE", "timestamp_ns": second + 19 * S},
            whole_set | {"kind": "check", "timestamp_ns": second + 20 * S + 1},
            whole_set | {"kind": "missed", "missed": 70, "reason": "NOT_WRITTEN", "timestamp_ns": second + 21 * S},
        ]
        write_dataset(tmp_path, whole[1], status)
        gaps = {(one.begin_ns - second) // S: (one.gap, one.missed) for one in ap.candles(tmp_path, width="1s")}
        told = {
            **dict.fromkeys((0, 1), ("sequence gap", 0)),
            3: ("trades missed", 0),
            4: ("trades missed", 9),
            **dict.fromkeys((6, 7), ("not recorded", 0)),
            9: ("stale", 0),
            12: ("states missed", 0),
            15: ("not recorded", 0),
            18: ("collector restarted", 0),
            19: ("starting", 0),
            20: ("not written", 0),
        }
        assert [gaps[number] for number in range(23)] == [told.get(number, ("", 0)) for number in range(23)]


def test_a_set_without_trades_stands_beside_the_others(tmp_path, whole):
    write_dataset(tmp_path, whole[1])
    before = shown(ap.candles(tmp_path, width="1s"))
    datasets.write(tmp_path, "status", [datasets.row("status", kind="begun", epoch=1)], "okx")
    assert shown(ap.candles(tmp_path, width="1s")) == before


def test_what_record_writes_of_a_capture_gives_the_same(tmp_path, broken):
    from alphapulse_cli.cli import app

    assert app.main(["record", str(tmp_path / "made"), str(broken[0])]) == 0
    of_capture, of_dataset = (list(ap.candles(place, width="1s")) for place in (broken[0], tmp_path / "made"))
    assert shown(of_dataset) == shown(of_capture)
    gaps = [[(one.begin_ns, one.gap) for one in found[5:-1]] for found in (of_capture, of_dataset)]
    assert any("disconnected" in gap for _, gap in gaps[0])
    assert gaps[0] == gaps[1]


class TestASpan:
    def test_its_candles_are_whole(self, whole, dataset):
        begin, end = STARTED_NS + 15 * S, STARTED_NS + 35 * S
        for place in (whole[0], dataset):
            found = list(ap.candles(place, width="10s", start=begin, end=end))
            assert [(one.begin_ns - STARTED_NS) // S for one in found] == [10, 20, 30]
            assert shown(found) == {at: row for at, row in expected(whole[1], "10s").items() if 10 * S <= at - STARTED_NS < 40 * S}
            assert [one.gap for one in found] == ["", "", ""]

    def test_a_time_of_nothing_is_refused(self, whole, dataset):
        for place in (whole[0], dataset):
            with pytest.raises(UsageError, match="nothing of that time"):
                ap.candles(place, start="2027-01-01T00:00:00Z")
            with pytest.raises(UsageError, match="nothing of that time"):
                ap.candles(place, end=STARTED_NS)

    def test_an_empty_one_is_refused(self, whole):
        with pytest.raises(UsageError, match="not after"):
            ap.candles(whole[0], start=STARTED_NS + 1, end=STARTED_NS + 1)


def test_late_trades_are_told_and_all_are_there(whole, dataset):
    for place in (whole[0], dataset):
        found = list(ap.candles(place, width="1s", late=0.5))
        counted = sum(one.count for one in ap.candles(place, width="1s"))
        assert sum(one.late for one in found) > 0
        assert sum(one.count + one.late for one in found) == counted


def test_late_trades_are_the_same_in_both(whole, dataset):
    rows = [
        [(one.begin_ns, one.count, one.late) for one in ap.candles(place, width="1s", late=0.2)] for place in (whole[0], dataset)
    ]
    assert rows[0] == rows[1]


class TestWhatIsWrong:
    def test_an_unknown_width(self, whole):
        with pytest.raises(UsageError, match="unknown width") as raised:
            ap.candles(whole[0], width="1M")
        assert "1w" in str(raised.value.hint)

    def test_what_is_not_there(self, whole, dataset):
        for place in (whole[0], dataset):
            with pytest.raises(NoSegment):
                ap.candles(place, exchanges=["nonesuch"])
            with pytest.raises(NoSegment):
                ap.candles(place, symbols=["ETH-USD"])
        with pytest.raises(NoSegment) as raised:
            ap.candles(dataset, exchanges=["nonesuch"])
        assert "there are: " in raised.value.hint
        assert ":BTC-USD" in raised.value.hint

    def test_a_text_in_place_of_a_list(self, whole):
        with pytest.raises(UsageError, match="exchanges are a list"):
            ap.candles(whole[0], exchanges="kraken")
        with pytest.raises(UsageError, match="symbols are a list"):
            ap.candles(whole[0], symbols="BTC-USD")

    def test_a_dataset_goes_alone(self, whole, dataset):
        with pytest.raises(UsageError, match="alone"):
            ap.candles([whole[0], dataset])

    def test_no_place_and_no_capture(self, tmp_path):
        with pytest.raises(UsageError):
            ap.candles([])
        with pytest.raises(UsageError):
            ap.candles(tmp_path)

    def test_what_runs_has_no_end(self):
        with pytest.raises(UsageError, match="no end"):
            ap.candles(end=STARTED_NS)


def test_a_dataset_whose_grid_becomes_finer(tmp_path):
    rows = [
        datasets.trade(1, 650_001, 3, price_decimals=1, size_decimals=2),
        datasets.trade(2, 6_500_011, 5, price_decimals=2, size_decimals=4),
    ]
    datasets.write(tmp_path, "trades", rows)
    (one,) = ap.candles(tmp_path)
    assert (one.open, one.close, one.volume, one.notional) == ("65000.10", "65000.11", "0.0305", "1982.503055")


def test_the_exchanges_clock_may_be_behind_the_first_record(tmp_path):
    datasets.write(tmp_path, "trades", [datasets.trade(0, 1, 1, exchange_ns=datasets.NOON_NS - 5 * MS)])
    (one,) = ap.candles(tmp_path)
    assert (one.begin_ns, one.count, one.late) == (datasets.NOON_NS, 0, 1)


def test_a_file_that_keep_removed_meanwhile_is_told(tmp_path):
    paths = [
        path for part in range(2) for path in datasets.write(tmp_path, "trades", [datasets.trade(16 * part, 100, 1)], part=part)
    ]
    candles = ap.candles(tmp_path, width="1m")
    paths[1].unlink()
    with pytest.raises(StorageError, match="no such file any more") as refused:
        list(candles)
    assert refused.value.hint == "if --keep removed it meanwhile, ask again"


def test_a_restart_that_is_noticed_in_the_ring_of_trades_after_the_books_live_again_is_no_gap(tmp_path):
    at_ns = datasets.NOON_NS
    states: list[tuple[str, int, dict[str, Any]]] = [
        ("begun", 0, {"ring": "deltas"}),
        ("snapshot", 0, {"symbol": "BTC-USD", "state": "LIVE", "ring": "deltas"}),
        ("check", 58, {"symbol": "BTC-USD", "state": "LIVE", "ring": "deltas"}),
        ("restarted", 62, {"ring": "deltas", "epoch": 2}),
        ("snapshot", 63, {"symbol": "BTC-USD", "state": "LIVE", "ring": "deltas", "epoch": 2}),
        ("restarted", 65, {"ring": "trades", "epoch": 2}),
        ("ended", 300, {"ring": "deltas", "epoch": 2}),
    ]
    rows = [
        datasets.row(
            "status", **{"symbol": "", "kind": kind, "timestamp_ns": at_ns + second * S, "epoch": 1, "sequence": place, **more}
        )
        for place, (kind, second, more) in enumerate(states)
    ]
    datasets.write(tmp_path, "status", rows)
    datasets.write(tmp_path, "trades", [datasets.trade(number, 100, 1) for number in range(0, 300, 10)])
    gaps = [one.gap for one in ap.candles(tmp_path, width="1m")]
    assert gaps == ["collector restarted", "collector restarted, starting", "", "", "", "not recorded, the watch ended"]
