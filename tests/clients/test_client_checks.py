"""The checks of scripts/clients/ can fail: each comparison beside a book, a trade or a file that is a little wrong."""

import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from support.sim_parts import SMALL

from alphapulse_cli.sim.exchange import VIRTUAL_START_NS, SimulatedExchange
from alphapulse_cli.sim.market_maker import SimulatedMarket

TRUTH = {"bids": [["100.0", "1"], ["99.0", "2"]], "asks": [["101.0", "3"], ["102.0", "4"]]}
ROWS: list[list[Any]] = [["7", "buy", "100.0", "1", 0], ["8", "sell", "99.5", "2", 0], ["9", "buy", "100.0", "1", 0]]
UPDATES = [
    {"U": 4, "u": 5, "b": [["100", "5"]], "a": []},
    {"U": 6, "u": 7, "b": [["100", "0.0"]], "a": [["101", "1"]]},
]
SNAPSHOT = {"lastUpdateId": 5, "bids": [["100", "9"], ["99", "1"]], "asks": [["102", "2"]]}
SCRIPTS = Path(__file__).resolve().parents[2] / "scripts" / "clients"


def script(name, monkeypatch):
    """A module of that folder, which is not on the path."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    for one in ("control", "common", "faults", "spliced", "drive"):
        monkeypatch.delitem(sys.modules, one, raising=False)
    return importlib.import_module(name)


@pytest.fixture
def report(monkeypatch):
    return script("common", monkeypatch).Report()


class TestBooks:
    BIDS, ASKS = ((99.0, 2.0), (100.0, 1.0)), (("101", "3.0"), ("102.00", "4"))

    def test_equal_ones_are_equal_whatever_their_order_and_text(self, report):
        assert report.equal_books("book", TRUTH, self.BIDS, self.ASKS)
        assert report.equal_books("book", TRUTH, self.BIDS[1:], self.ASKS[:1], 1), "at a depth of one"
        assert report.failed == 0

    @pytest.mark.parametrize(
        ("bids", "asks"),
        [
            (BIDS[:1], ASKS),
            (BIDS, ()),
            (((99.0, 2.1), BIDS[1]), ASKS),
            ((*BIDS, (98.5, 1.0)), ASKS),
            ((*BIDS, (98.5, 0.0)), ASKS),
            (ASKS, BIDS),
            (BIDS, (("101.01", "3"), ASKS[1])),
        ],
    )
    def test_a_level_too_many_too_few_or_another_is_told(self, report, capsys, bids, asks):
        assert not report.equal_books("book", TRUTH, bids, asks)
        assert report.failed == 1
        assert json.loads(capsys.readouterr().out)["ok"] is False


class TestTrades:
    def got(self, *ids):
        return {row[0]: (row[1], float(row[2]), row[3]) for row in ROWS if row[0] in ids}

    def test_right_ones_are_right(self, report):
        assert report.equal_trades("trades", ROWS, self.got("7", "8", "9"))
        assert report.equal_trades("trades", ROWS, self.got("8", "9"))
        assert report.equal_trades("trades", ROWS, {"5": ("buy", 1, 1), **self.got("7")}), "older than what is remembered"

    def test_wrong_missing_and_invented_ones_are_told(self, report):
        wrong_side = {**self.got("7", "8"), "9": ("sell", 100, 1)}
        wrong_price = {**self.got("7", "8"), "9": ("buy", "100.1", 1)}
        invented = {**self.got("7", "8", "9"), "10": ("buy", 1, 1)}
        for got in (wrong_side, wrong_price, invented, self.got("7", "9"), {}):
            assert not report.equal_trades("trades", ROWS, got)


class TestRefusals:
    """A request that must fail, with the library's own exception and the exchange's words."""

    @pytest.mark.parametrize(
        ("error", "is_right"),
        [
            (ValueError("EQuery:Unknown asset pair"), True),
            (ValueError("EGeneral:Too many requests"), False),
            (OSError("EQuery:Unknown asset pair"), False),
            (None, False),
        ],
    )
    async def test_the_exception_and_its_words_count(self, report, error, is_right):
        async def request():
            if error:
                raise error

        assert await report.refused("unknown", request(), ValueError, "Unknown asset pair") is is_right
        assert report.failed == (not is_right)


class TestASplicedBook:
    def test_begins_with_the_snapshot_and_what_follows_it(self, monkeypatch):
        book = script("spliced", monkeypatch).SplicedBook()
        for update in UPDATES:
            book.update(update)
        book.snapshot(SNAPSHOT)
        assert (book.bids, book.asks, book.gaps, book.last_id) == ({"99": "1"}, {"102": "2", "101": "1"}, 0, 7)

    def test_counts_what_is_missing(self, monkeypatch):
        book = script("spliced", monkeypatch).SplicedBook()
        book.snapshot(SNAPSHOT)
        book.update({"U": 8, "u": 9, "b": [], "a": []})
        assert book.gaps == 1


class FakeSimulator:
    """A market that moves by one update at each look at it, and remembers what it was asked."""

    def __init__(self, held_right=True, strikes=True):
        self.asked, self.held_right, self.strikes = [], held_right, strikes
        self.signs, self.updates, self.halted, self.struck = [], 0, 0, 0

    def ask(self, what, **query):
        self.asked.append((what, query.get("kind")))
        if what == "inject" and self.strikes:
            self.struck += 1
            self.halted = 3 if query["kind"] == "halted" else 0
            self.signs += [] if query["kind"] == "refuse" else ["it broke"]
        return {"injections": {"refuse": self.struck}}

    def truth(self, symbol):
        assert symbol == "X-Y"
        return TRUTH

    def count(self):
        self.updates += 1
        return self.updates

    def sides(self):
        return [(("100", 1), ("99", 2)), (("101", 3), ("102", 4 if self.held_right else 5))]

    async def is_open(self):
        self.halted -= self.halted > 0
        return not self.halted


class TestFaults:
    """A fault that nothing shows, a book that stays wrong, updates that stop: each is told."""

    @pytest.fixture
    def faults(self, monkeypatch, report):
        module = script("faults", monkeypatch)
        monkeypatch.setattr(module, "SETTLED_S", 0.01)
        monkeypatch.setattr(module, "LIMIT_S", 0.05)
        monkeypatch.setattr(sys.modules["common"].until, "__defaults__", (0.2,))

        def made(simulator, **held):
            return module.Faults(
                simulator, report, "X-Y", module.Held(**{"count": simulator.count, "sides": simulator.sides, "further": 2, **held})
            )

        return made

    def told(self, capsys):
        lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return {line["checked"]: (line["ok"], line["detail"]) for line in lines}

    async def test_one_that_is_noticed_and_healed(self, faults, capsys):
        simulator = FakeSimulator()
        await faults(simulator).strike("gap", "a loss", lambda: simulator.signs)
        assert self.told(capsys) == {"a loss is noticed": (True, "it broke"), "the book after a loss": (True, "4 levels equal")}
        assert simulator.asked == [("thaw", None), ("inject", "gap"), ("freeze", None)]

    async def test_one_that_nothing_shows_even_if_the_book_is_right(self, faults, capsys):
        simulator = FakeSimulator(strikes=False)
        await faults(simulator).strike("gap", "a loss", lambda: len(simulator.signs), "a step")
        assert self.told(capsys)["a loss is noticed"] == (False, "nothing was shown")

    async def test_a_book_that_stays_wrong(self, faults, capsys):
        simulator = FakeSimulator(held_right=False)
        await faults(simulator).strike("gap", "a loss", lambda: len(simulator.signs), "a step")
        told = self.told(capsys)
        assert told["a loss is noticed"] == (True, "a step")
        assert told["the book after a loss"] == (False, "1 asks of 2 differ, first 102.0")

    async def test_updates_that_stop_are_no_healing_though_the_book_is_the_true_one(self, faults, capsys):
        simulator = FakeSimulator()
        await faults(simulator, count=lambda: 7).heal("a loss")
        await faults(simulator, count=lambda: 7, sides=None).heal("another")
        assert self.told(capsys) == {
            "it goes on after a loss": (False, "0 updates"),
            "it goes on after another": (False, "0 updates"),
        }

    @pytest.mark.parametrize("shows", [True, False])
    async def test_a_refused_subscription(self, faults, capsys, shows):
        simulator, shown = FakeSimulator(), []

        async def subscribe():
            assert simulator.struck
            shown.extend(["too soon"] * shows)

        await faults(simulator).refuse("a refusal", subscribe, lambda: shown)
        assert self.told(capsys) == {"a refusal is noticed": (True, "too soon") if shows else (False, "nothing was shown")}

    @pytest.mark.parametrize(("strikes", "ok"), [(True, True), (False, False)])
    async def test_a_halt_must_be_told_and_its_end(self, faults, monkeypatch, capsys, strikes, ok):
        simulator = FakeSimulator(strikes=strikes)
        monkeypatch.setattr(sys.modules["faults"], "LIMIT_S", 5.0 if ok else 0.05)
        await faults(simulator).halt(simulator.is_open, "active")
        assert self.told(capsys)["a halted market is told, and its end"][0] is ok


class TestTheFilesOfTheLibraries:
    def test_each_says_what_it_is_pinned_and_of_a_simulated_exchange(self, monkeypatch):
        drive = script("drive", monkeypatch)
        from alphapulse_cli import exchanges

        clients = [drive.client_of(file) for file in sorted(SCRIPTS.glob("with_*.py"))]
        assert {"ccxt", "python-binance", "binance-connector", "binance-sdk-spot", "cryptofeed"} <= {one.library for one in clients}
        runs = [(one.library, run) for one in clients for run in one.runs]
        assert len(set(runs)) == len(runs), "two files have the same row of the table"
        for client in clients:
            assert client.version
            for run in client.runs:
                name, _, mode = run.partition(":")
                exchanges.get(name).facts.mode(mode)

    def test_other_statements_are_not_read(self, monkeypatch, tmp_path):
        file = tmp_path / "with_x.py"
        file.write_text(
            'import nothing\nLIBRARY, VERSION = "x", "1"\nRUNS = ("kraken",)\nPYTHON, TLS = "3.13", True\nother = f()\n'
        )
        drive = script("drive", monkeypatch)
        assert drive.client_of(file) == drive.Client(file, "x", "1", ("kraken",), "3.13", tls=True)

    def test_rows_of_a_run_take_the_place_of_the_former_ones(self, monkeypatch, tmp_path):
        drive = script("drive", monkeypatch)
        monkeypatch.setattr(drive, "SAVED", tmp_path / "clients.json")
        monkeypatch.setattr(drive.subprocess, "run", lambda command, **_: pages.append(Path(command[-1]).name))
        pages: list[str] = []

        def row(library, exchange, version):
            return {"library": library, "version": version, "exchange": exchange, "checks": []}

        drive.saved([row("b", "kraken", "1"), row("a", "kraken", "1")])
        drive.saved([row("b", "kraken", "2"), row("b", "binance", "2")])
        kept = [(one["library"], one["exchange"], one["version"]) for one in json.loads(drive.SAVED.read_text())]
        assert kept == [("a", "kraken", "1"), ("b", "binance", "2"), ("b", "kraken", "2")]
        assert pages == ["docs.py", "docs.py"], "the page is made anew each time"


async def test_the_control_freezes_the_market_and_tells_its_truth(monkeypatch):
    from asyncio import to_thread

    control, common = script("control", monkeypatch), script("common", monkeypatch)
    market = SimulatedMarket("kraken", 5, ["BTC-USD"], levels_per_side=30, start_ns=VIRTUAL_START_NS)
    async with SimulatedExchange("small", market, speaker=SMALL, rate=0) as exchange, control.Control(exchange) as made:
        simulator = common.Simulator("small", exchange.websocket_url, exchange.rest_url, made.url)

        async def ask(what, **query):
            return await to_thread(simulator.ask, what, **query)

        await exchange.advance(60)
        assert await ask("freeze") == "done"
        before = await ask("truth", symbol="BTC-USD")
        await exchange.advance(60)
        assert await ask("truth", symbol="BTC-USD") == before
        assert before["sequence"] == market.sequence("BTC-USD")
        report = common.Report()
        bids, asks = ([(ticks / 10, lots / 10**8) for ticks, lots in side] for side in market.book("BTC-USD"))
        assert report.equal_books("book", before, bids, asks)
        trades = await ask("trades", symbol="BTC-USD")
        assert [row[0] for row in trades] == [trade.trade_id for trade in market.recent_trades("BTC-USD", 10**6)]
        assert sum(row[6] for row in await ask("candles", symbol="BTC-USD", seconds=60)) == len(trades)
        await ask("thaw")
        await exchange.advance(60)
        assert (await ask("truth", symbol="BTC-USD"))["sequence"] > before["sequence"]
        assert await ask("state") == {"connections": 0, "injections": {}}
        with pytest.raises(OSError, match="404"):
            await ask("nonsense")
