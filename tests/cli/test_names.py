"""Names as people type them: what is understood, what is asked back, what is named where nothing is found."""

import json
import subprocess

import pytest
from support.reader_sets import Writer, ladder

import alphapulse_cli as ap
from alphapulse_cli.errors import UsageError
from alphapulse_cli.market.instrument import understood_id


@pytest.fixture
def alphapulse(quick):
    return quick


class TestWhatIsUnderstood:
    @pytest.mark.parametrize(
        ("typed", "meant"),
        [
            ("BTC-USD", "BTC-USD"),
            ("btc-usd", "BTC-USD"),
            ("btcusdt", "BTC-USDT"),
            ("BTC/USDT", "BTC-USDT"),
            ("BTCUSDT", "BTC-USDT"),
            ("btc_usd", "BTC-USD"),
            ("XBT/USD", "BTC-USD"),
            ("XBTUSD", "BTC-USD"),
            ("xbt-eur", "BTC-EUR"),
            ("ETHXBT", "ETH-BTC"),
            ("XDGUSD", "DOGE-USD"),
            ("AAPLx-USD", "AAPLx-USD"),
            ("1INCHUSD", "1INCH-USD"),
            ("DOTUSD", "DOT-USD"),
            ("USDCUSDT", "USDC-USDT"),
        ],
    )
    def test_one_thing_can_be_meant(self, typed, meant):
        assert understood_id(typed) == ("", meant)
        assert understood_id(f"Kraken:{typed}") == ("kraken", meant)

    @pytest.mark.parametrize(("typed", "asked"), [("BTCFDUSD", "BTC-FDUSD or BTCFD-USD"), ("jpyusd", "J-PYUSD or JPY-USD")])
    def test_of_several_it_asks_which(self, typed, asked):
        with pytest.raises(UsageError) as raised:
            understood_id(typed)
        assert raised.value.hint == f"did you mean {asked}?"

    @pytest.mark.parametrize(
        "typed", ["", "BTC", "USD", "BTC-USD-EUR", "BTC USD", "BTC/", "ÄTC/USD", "BTC-USD\x1b", "A" * 41, "QQQQZZZZ"]
    )
    def test_what_is_no_symbol_is_refused(self, typed):
        with pytest.raises(UsageError):
            understood_id(typed)

    @pytest.mark.parametrize("typed", ["btc-usd", "BTC/USD", "XBTUSD", "kraken:btcusd"])
    def test_on_the_line_and_in_the_environment(self, alphapulse, writer, monkeypatch, typed):
        (row,) = alphapulse("reconstruct", "--symbol", typed, "--depth", "1").stdout.splitlines()
        assert json.loads(row)["symbol"] == "BTC-USD"
        monkeypatch.setenv("ALPHAPULSE_SYMBOLS", typed)
        assert '"BTC-USD"' in alphapulse("config", "show").stdout.replace("kraken:", "")

    def test_the_case_that_a_set_spells(self, alphapulse, directory):
        with Writer(directory, ("AAPLx-USD",)) as writer:
            writer.snapshot(ladder(4), "AAPLx-USD")
            (row,) = alphapulse("reconstruct", "--symbol", "aaplx-usd").stdout.splitlines()
            assert json.loads(row)["symbol"] == "AAPLx-USD"


class TestWhatIsNotThere:
    @pytest.mark.parametrize("line", [["tail", "deltas"], ["tail", "trades"], ["reconstruct"]])
    def test_an_absent_name_is_exit_code_3_with_near_names(self, alphapulse, writer, line):
        done = alphapulse(*line, "--symbol", "BTC-UDS")
        assert (done.code, done.stdout) == (3, "")
        assert "no book of BTC-UDS" in done.stderr
        assert "hint: did you mean BTC-USD?" in done.stderr

    def test_follow_of_an_absent_name_has_near_names_too(self, writer, shm_dir):
        with pytest.raises(ap.NoSegment, match="SOL-USD") as raised:
            ap.follow("kraken", symbols=["SOL-USD"], shm_dir=str(shm_dir))
        assert raised.value.hint == "there are: BTC-USD, ETH-USD"
        with ap.follow("kraken", symbols=["btc/usd"], shm_dir=str(shm_dir)) as following:
            assert [update.symbol for update in following.poll()] == ["BTC-USD"]

    def test_segments_names_what_is_there(self, alphapulse, writer):
        done = alphapulse("segments", "--exchange", "foo")
        assert (done.code, done.stdout) == (3, "")
        assert "no segments of foo" in done.stderr
        assert "hint: there are: kraken" in done.stderr

    def test_a_trades_only_symbol_is_there(self, alphapulse, directory):
        """It has no book: the counters name it."""
        with Writer(directory, ("SOL-USD",)) as writer:
            writer.trades(("a1", 5, 5, 0), symbol="SOL-USD")
            done = alphapulse("tail", "trades", "--symbol", "SOL-USD", "--from", "oldest", "--count", "1")
            assert (done.code, json.loads(done.stdout)["symbol"]) == (0, "SOL-USD")


class TestOneExchangeAlone:
    @pytest.mark.parametrize("command", ["watch", "scan"])
    def test_arb_of_one_exchange_is_exit_code_2_except_triangular(self, alphapulse, writer, command):
        done = alphapulse("arb", command, "--exchange", "kraken")
        assert (done.code, done.stdout) == (2, "")
        assert "only one exchange, kraken: there is nothing to compare it with\nhint: name another" in done.stderr
        assert alphapulse("arb", "scan", "--exchange", "kraken", "--triangular").code == 1

    def test_a_single_collected_exchange_is_reported(self, alphapulse, writer):
        told = "only kraken is collected: there is nothing to compare; collect another exchange"
        assert told in alphapulse("arb", "scan").stderr
        assert told in alphapulse("arb", "watch", "--no-keep", "--duration", "100ms").stderr


class TestWaitingForIt:
    def test_tail_waits_and_says_so(self, alphapulse, directory):
        process = subprocess.Popen(
            [*alphapulse.command, "tail", "deltas", "--symbol", "ETH-USD", "--wait-for", "--from", "oldest", "--count", "1"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=alphapulse.environment(),
        )
        alphapulse.started.append(process)
        assert process.stderr.readline().startswith("waiting: nothing is collected in")
        with Writer(directory, ("BTC-USD",)) as first:
            first.snapshot(ladder(4))
            assert process.stderr.readline().startswith("waiting: no book of ETH-USD")
            with Writer(directory, ("ETH-USD",), set_name="second") as second:
                second.snapshot(ladder(4), "ETH-USD")
                assert json.loads(process.stdout.readline())["set"] == "second"
                assert process.wait(20) == 0

    def test_waiting_ends_with_the_duration(self, alphapulse):
        done = alphapulse("tail", "deltas", "--wait-for", "--duration", "200ms")
        assert (done.code, done.stderr.count("waiting: ")) == (3, 1)

    def test_follow_waits_for_an_absent_set(self, directory, shm_dir, caplog):
        made: list[Writer] = []

        def start_it(seconds_ns):
            if not made:
                made.append(Writer(directory))
                made[0].snapshot(ladder(4))

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("alphapulse_cli.shm.clock.pause", start_it)
            with ap.follow("kraken", symbols=["BTC-USD"], wait=True, shm_dir=str(shm_dir)) as following:
                assert [update.symbol for update in following.poll()] == ["BTC-USD"]
        made[0].close()
        assert [record.getMessage() for record in caplog.records] == [f"waiting: nothing is collected in {shm_dir}"]
