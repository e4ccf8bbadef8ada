"""`alphapulse collect add` and `collect rm` as commands, on a collector that is a process of its own."""

import json
import signal

import pytest
from support.app_parts import Sims, live_books, sample, wait_until


@pytest.fixture
def sims():
    made = Sims()
    made.start("kraken")
    yield made
    made.close()


def live(alphapulse, sims, *symbols):
    def reached():
        sims.move()
        return {book.symbol for book in live_books(alphapulse.shm_dir)} == set(symbols)

    wait_until(reached, what=f"live books of {symbols}")


def begin(alphapulse, sims, *more):
    process = alphapulse.start("collect", "--exchange", "kraken", "--symbols", "ETH-BTC", *more, **sims.environment())
    live(alphapulse, sims, "ETH-BTC")
    return process


class TestARunningCollector:
    def test_takes_further_symbols_and_gives_them_up_again(self, alphapulse, sims):
        process = begin(alphapulse, sims)
        added = alphapulse("collect", "add", "doge/usd")
        assert (added.code, json.loads(added.stdout)) == (0, {"set": "kraken", "symbol": "DOGE-USD", "change": "added"})
        live(alphapulse, sims, "ETH-BTC", "DOGE-USD")
        again = alphapulse("collect", "add", "kraken:DOGE-USD")
        assert (again.code, again.stdout, again.stderr) == (0, "", "kraken: collected already: DOGE-USD\n")

        removed = alphapulse("collect", "rm", "--exchange", "kraken", "*-BTC")
        assert json.loads(removed.stdout) == {"set": "kraken", "symbol": "ETH-BTC", "change": "removed"}
        live(alphapulse, sims, "DOGE-USD")
        (status,) = sample(alphapulse.shm_dir)
        assert [book.symbol for book in status.books] == ["DOGE-USD"]
        checked = alphapulse("doctor", "--json").stdout.splitlines()
        assert [row["found"] for row in map(json.loads, checked) if row["check"] == "set kraken"] == ["live"]

        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        assert (process.returncode, err.decode().splitlines()) == (0, ["kraken: added: DOGE-USD", "kraken: removed: ETH-BTC"])
        assert not list(alphapulse.shm_dir.glob("*.control"))

    def test_refuses_what_cannot_be(self, alphapulse, sims):
        begin(alphapulse, sims)
        for words, code, error, hint in (
            (("add", "DOGE-UDS"), 6, "kraken does not list DOGE-UDS", "DOGE-UDS: did you mean DOGE-USD?"),
            (("add", "nonsense"), 2, "not a symbol: 'nonsense'", "write BASE-QUOTE"),
            (("add", "top:5"), 2, "top:5: the most traded are chosen when a collector starts", "add symbols or a pattern"),
            (("rm", ""), 2, "SYMBOL...: the value is empty", "name one"),
            (("add", ","), 2, "SYMBOL...: an empty name in ','", "name one"),
            (("rm", "DOGE-USD"), 2, "DOGE-USD is not collected", ""),
            (("rm", "ETH-BTC"), 2, "nothing would be left to collect", "end the collector instead"),
            (("add", "coinbase:DOGE-USD"), 3, "coinbase is not being collected", "alphapulse collect --exchange coinbase"),
        ):
            done = alphapulse("collect", *words)
            assert (done.code, done.stdout) == (code, ""), words
            said = done.stderr.splitlines()
            assert said[0] == f"error: {error}"
            assert len(said) == 1 if not hint else said[1].startswith(f"hint: {hint}")
        live(alphapulse, sims, "ETH-BTC")

    def test_a_refusal_of_one_set_hides_no_change_of_another(self, alphapulse, sims):
        begin(alphapulse, sims)
        done = alphapulse("collect", "add", "kraken:DOGE-USD", "coinbase:DOGE-USD")
        assert (done.code, json.loads(done.stdout)["change"]) == (3, "added")
        assert done.stderr.startswith("error: coinbase is not being collected\n")

    def test_among_several_must_be_named(self, alphapulse, sims):
        begin(alphapulse, sims)
        alphapulse.start("collect", "--exchange", "kraken", "--as", "mine", "--symbols", "ETH-BTC", **sims.environment())
        wait_until(lambda: sims.move() or len(live_books(alphapulse.shm_dir)) == 2)
        done = alphapulse("collect", "add", "DOGE-USD")
        assert (done.code, done.stderr.splitlines()) == (
            2,
            ["error: DOGE-USD: there are several collectors: kraken, mine", "hint: --exchange kraken, or --as NAME"],
        )
        assert alphapulse("collect", "add", "--as", "mine", "DOGE-USD").code == 0
        wait_until(lambda: sims.move() or len(live_books(alphapulse.shm_dir, "mine")) == 2)
        assert len(live_books(alphapulse.shm_dir, "kraken")) == 1


class TestWithoutACollector:
    def test_there_is_nothing_to_change(self, alphapulse):
        alphapulse.shm_dir.chmod(0o700)
        done = alphapulse("collect", "rm", "BTC-USD")
        assert (done.code, done.stderr.splitlines()[0]) == (3, "error: no collector is running")


class TestTheWords:
    def test_options_of_collect_have_no_effect_before_add(self, alphapulse):
        done = alphapulse("collect", "--exchange", "kraken", "add", "BTC-USD")
        assert (done.code, done.stderr.splitlines()) == (
            2,
            [
                "error: --exchange comes before add, where it has no effect",
                "hint: write it after the subcommand: alphapulse collect add --exchange …",
            ],
        )

    def test_one_that_is_no_command_is_named(self, alphapulse):
        done = alphapulse("collect", "ad")
        assert (done.code, done.stderr.splitlines()) == (2, ["error: no such command: 'ad'", "hint: did you mean add?"])

    @pytest.mark.parametrize("words", [(), ("",), (" , ",)])
    def test_no_symbol_is_a_usage_error(self, alphapulse, words):
        done = alphapulse("collect", "add", *words)
        assert (done.code, done.stdout) == (2, "")
        assert done.stderr.startswith("error: SYMBOL...: " if words else "error: missing argument")

    def test_an_exchange_in_place_of_a_symbol_is_named(self, alphapulse):
        done = alphapulse("collect", "rm", "kraken", "BTC-USD")
        assert (done.code, done.stderr.splitlines()) == (
            2,
            ["error: not a symbol, but an exchange: kraken", "hint: alphapulse collect rm --exchange kraken SYMBOL..."],
        )

    def test_one_set_is_named_once(self, alphapulse):
        done = alphapulse("collect", "add", "--as", "mine", "--exchange", "kraken", "BTC-USD")
        assert (done.code, done.stderr.splitlines()[0]) == (2, "error: --as and --exchange name one set each")
