"""How to find arbitrage, as it is told: its options exist, its sums are right, its recipes give what it says, its example strategy runs."""

import importlib.util
import json
import re
import select
import shutil
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest
from support.app_parts import wait_until
from support.reader_sets import Writer

import alphapulse_cli as ap
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory

HOW_TO = Path(__file__).resolve().parents[2] / "docs" / "how-to"
PAGE = (HOW_TO / "find-arbitrage.md").read_text()
STRATEGY = HOW_TO / "arbitrage_strategy.py"
ENDLESS = ("--duration", "300ms", "--no-keep")
FREE = {"kraken": "0", "coinbase": "0"}
APART = [(9_900, 10**8, False), (10_000, 10**8, True)]  # 99 bid, 100 ask
DEARER = [(10_400, 5 * 10**8, False), (10_500, 10**8, True)]  # 104 bid for five
MS = 1_000_000


@pytest.fixture
def sets(shm_dir):
    """Kraken and Coinbase, one book each, that cross by 4."""
    with (
        open_directory(shm_dir, create=True) as directory,
        Writer(directory) as kraken,
        Writer(directory, set_name="coinbase", exchange="coinbase") as coinbase,
    ):
        kraken.snapshot(APART)
        coinbase.snapshot(APART)
        yield kraken, coinbase


def options_of(alphapulse, *command):
    """The long options that its help tells."""
    return set(re.findall(r"--[a-z][a-z-]+", alphapulse(*command, "--help").stdout))


class TestThePage:
    def test_every_option_that_it_names_is_an_option_of_these_commands(self, alphapulse):
        known = {command: options_of(alphapulse, "arb", command) for command in ("watch", "scan", "history", "explain")}
        elsewhere = options_of(alphapulse, "demo") - known["watch"]
        lines = [line for line in PAGE.splitlines() if "alphapulse demo" in line or "arbitrage_strategy.py" in line]
        others = {option for line in lines for option in re.findall(r"--[a-z][a-z-]+", line)}
        named = set(re.findall(r"--[a-z][a-z-]+", PAGE))
        assert named - others <= set().union(*known.values())
        assert others <= elsewhere | set().union(*known.values()) | {"--seconds", "--lived-ms"}

    def test_no_option_of_arb_watch_is_left_out(self, alphapulse):
        told = set(re.findall(r"--[a-z][a-z-]+", PAGE))
        usual = {"--help", "--verbose", "--quiet", "--wait", "--shm-dir", "--symbol", "--exchange", "--keep"}  # or by another name
        assert options_of(alphapulse, "arb", "watch") - usual <= told

    def test_every_reason_is_told(self):
        from alphapulse_cli.flow.arbitrage.candidate import RejectReason

        assert set(re.findall(r"^\| `([a-z_]+)` \|", PAGE, re.MULTILINE)) == {why.value for why in RejectReason}

    def test_the_sums_that_it_shows_are_right(self):
        """With a pocket calculator: Decimal."""
        rows = re.findall(r"^  [a-z -]+?  +([\d.]+)  ([\d.]+) (-|x|/) ([\d.]+)( x 10000)?$", PAGE, re.MULTILINE)
        assert [row[2] for row in rows] == ["-", "x", "x", "/"]
        for result, one, operator, other, times in rows:
            left, right = Decimal(one), Decimal(other)
            if operator == "/":
                assert times
                assert abs(left / right * 10_000 - Decimal(result)) < Decimal("0.0001")
            else:
                assert (left - right if operator == "-" else left * right) == Decimal(result)

    @pytest.mark.skipif(shutil.which("jq") is None, reason="no jq here")
    def test_its_jq_filters_work_on_what_arb_watch_says(self, alphapulse, sets):
        filters = re.findall(r"\| jq (?:-[a-z]+ )*'([^']+)'", PAGE)
        assert len(filters) >= 3
        _, coinbase = sets
        refreshed(coinbase).update([(10_400, 5 * 10**8, False), (10_100, 0, True), (10_000, 0, True), (10_500, 1, True)])

        def watched():
            for writer in sets:
                writer.beat()
            return alphapulse("arb", "watch", *ENDLESS, "--fee", "kraken=0,coinbase=0").stdout

        said = wait_until(watched, what="an event")
        assert {json.loads(line)["event"] for line in said.splitlines()} == {"opened", "closed"}
        for each in filters:
            words = ["jq", "-n", each] if "inputs" in each else ["jq", each]
            done = subprocess.run(words, input=said, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")
            assert done.stdout, each


def refreshed(writer):
    """The moment at which its next message is received."""
    writer.now_ns = clock.realtime_ns()
    return writer


@pytest.fixture(scope="module")
def strategy():
    """The example, as a module."""
    spec = importlib.util.spec_from_file_location("arbitrage_strategy", STRATEGY)
    assert spec is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


class Stage:
    """The example over two books, at moments that the test chooses."""

    def __init__(self, strategy, sets, shm_dir):
        self.kraken, self.coinbase = sets
        self.paper = strategy.Paper(50 * MS)
        self.seen = ap.arbitrage(policy=strategy.POLICY, fees=FREE, shm_dir=str(shm_dir))
        self.begin_ns = clock.realtime_ns()
        self.poll()

    def poll(self):
        events = self.seen.poll()
        for event in events:
            self.paper.take(event)
        return [str(event.kind) for event in events]

    def bid(self, ticks, at_ms, lots=5 * 10**8):
        """Coinbase bids so, by a message received then; for 0 it no longer does."""
        rows = [(price, 0, False) for price in (10_300, 10_400)]
        rows += [(ticks, lots, False), (10_000, 0, True), (10_500, 1, True)] if ticks else []
        self.coinbase.now_ns = self.begin_ns + at_ms * MS
        self.coinbase.update(rows)
        return self.poll()

    def settle(self, at_ms):
        self.paper.settle(self.begin_ns + at_ms * MS)

    def outcomes(self):
        return {outcome: (count, self.paper.sums[outcome, money].text) for (outcome, money), count in self.paper.counts.items()}


@pytest.fixture
def stage(strategy, sets, shm_dir):
    made = Stage(strategy, sets, shm_dir)
    yield made
    made.seen.close()


class TestTheStrategy:
    def test_trades_what_has_lived_50_ms_and_not_before(self, stage):
        assert stage.bid(10_400, at_ms=0) == ["opened"]
        stage.settle(at_ms=49)
        assert stage.outcomes() == {}
        stage.settle(at_ms=50)
        stage.settle(at_ms=60)
        assert stage.outcomes() == {"traded": (1, "4")}

    def test_says_what_was_gone_by_then(self, stage, capsys):
        stage.bid(10_400, at_ms=0)
        assert stage.bid(0, at_ms=49) == ["closed"]
        stage.settle(at_ms=100)
        assert stage.outcomes() == {"lost, the prices no longer cross net of fees": (1, "4")}
        assert "after 49.0 ms" in capsys.readouterr().out

    def test_what_ends_at_the_fiftieth_millisecond_was_traded(self, stage):
        stage.bid(10_400, at_ms=0)
        stage.bid(0, at_ms=50)
        assert stage.outcomes() == {"traded": (1, "4")}

    def test_trades_what_it_has_become(self, stage, capsys):
        stage.bid(10_400, at_ms=0)
        assert stage.bid(10_300, at_ms=20) == ["changed"]
        stage.settle(at_ms=50)
        assert stage.outcomes() == {"traded": (1, "3")}
        assert "net 3 USD, at birth 4" in capsys.readouterr().out

    def test_holds_no_more_than_it_may(self, stage, strategy, monkeypatch):
        monkeypatch.setattr(strategy, "MOST", strategy.Fraction(150))
        for turn in (0, 100):
            stage.bid(10_400, at_ms=turn)
            stage.settle(at_ms=turn + 50)
            stage.bid(0, at_ms=turn + 60)
        assert stage.outcomes() == {"traded": (1, "4"), "no inventory": (1, "4")}
        assert stage.paper.held == {("kraken", "BTC-USD"): 100, ("coinbase", "BTC-USD"): -104}

    def test_as_it_is_run(self, sets, shm_dir, alphapulse):
        """By itself, at the exchanges' own fees: 1.4 % of 100 and 104 are less than 4."""
        kraken, coinbase = sets
        words = [sys.executable, "-P", str(STRATEGY), "--shm-dir", str(shm_dir), "--seconds", "20"]
        process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert process.stdout is not None
        output = process.stdout
        try:
            wait_until(lambda: "python" in alphapulse("segments").stdout, what="the strategy")
            refreshed(kraken).update([(9_900, 2, False)])
            refreshed(coinbase).update([(10_400, 5 * 10**8, False), (10_000, 0, True), (10_500, 1, True)])

            def printed():
                for writer in sets:
                    writer.beat()
                return select.select([output], [], [], 0.1)[0]

            wait_until(printed, what="a trade")
            line = output.readline()
        finally:
            process.kill()
            process.communicate()
        assert re.fullmatch(r"[a-z2-7]{8} traded: BTC-USD kraken > coinbase, size 1, net 2\.352 USD, at birth 2\.352\n", line)
