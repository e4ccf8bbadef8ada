"""`verify live`: running books against CHECKs, images and the exchange's REST book; every kind of wrong book is found, no good one is."""

import json
import random
import signal
import threading
from dataclasses import replace

import pytest
from support.app_parts import Sims, live_books, wait_until
from support.reader_sets import Writer

from alphapulse_cli.apps.reconstruct import ProofVerdict
from alphapulse_cli.apps.verify import live
from alphapulse_cli.apps.verify.certificate import read_certificate
from alphapulse_cli.apps.verify.live import AGREES, CONTRADICTS, NOT_COMPARED, compared, verify_live
from alphapulse_cli.errors import NoSegment, UsageError
from alphapulse_cli.flow.follow import SetFollower
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.directory import open_directory, segment_name
from alphapulse_cli.shm.layout import SegmentKind
from alphapulse_cli.sim.exchange import SimulatedExchange

SYMBOLS = ("ETH-BTC", "DOGE-USD")
DECIMALS = (2, 3)


class TestComparedLevels:
    """The REST book is of any of the moments of a moving market, and only what is wrong at all of them is a contradiction."""

    class Market:
        """A market that moves, with all its moments."""

        def __init__(self, seed):
            self.dice = random.Random(seed)
            self.sides = (
                {1000 - n: self.dice.randint(1, 9) for n in range(60)},
                {1001 + n: self.dice.randint(1, 9) for n in range(60)},
            )
            self.moments = [self.copy()]
            self.changed = set()

        def copy(self):
            return dict(self.sides[0]), dict(self.sides[1])

        def move(self, count):
            for _ in range(count):
                is_ask = self.dice.random() < 0.5
                ticks = (1001 + self.dice.randrange(30)) if is_ask else (1000 - self.dice.randrange(30))
                lots = self.dice.choice((0, self.dice.randint(1, 9)))
                self.changed.add((is_ask, ticks))
                if lots:
                    self.sides[is_ask][ticks] = lots
                else:
                    self.sides[is_ask].pop(ticks, None)
                self.moments.append(self.copy())

    def rest_of(self, moment, depth=40):
        bids, asks = moment
        return dict(sorted(bids.items(), reverse=True)[:depth]), dict(sorted(asks.items())[:depth])

    @pytest.mark.parametrize("seed", range(40))
    def test_a_book_of_any_moment_agrees_and_one_with_another_level_contradicts(self, seed):
        market = self.Market(seed)
        market.move(25)
        before, after = market.moments[0], market.moments[-1]
        for moment in market.moments:
            found = compared(before, after, market.changed, self.rest_of(moment), DECIMALS)
            assert found.verdict == AGREES
            assert found.levels > 20
        bids, asks = self.rest_of(after)
        still = [ticks for ticks in bids if (False, ticks) not in market.changed and ticks > min(bids)]
        wrong = market.dice.choice(still)
        for spoilt in ({**bids, wrong: bids[wrong] + 1}, {ticks: lots for ticks, lots in bids.items() if ticks != wrong}):
            found = compared(before, after, market.changed, (spoilt, asks), DECIMALS)
            assert found.verdict == CONTRADICTS
            assert f"bid {wrong / 100:.2f} is" in found.why

    def test_without_the_changes_a_moving_book_would_contradict(self):
        """A broken variant: what changed is not left out."""
        wrong = 0
        for seed in range(40):
            market = self.Market(seed)
            market.move(25)
            before, after = market.moments[0], market.moments[-1]
            wrong += any(compared(before, after, (), self.rest_of(one), DECIMALS).verdict == CONTRADICTS for one in market.moments)
        assert wrong > 30

    def test_only_the_range_that_all_have_is_compared(self):
        deep = ({100 - n: 1 for n in range(50)}, {101 + n: 1 for n in range(50)})
        shallow = ({100 - n: 1 for n in range(10)}, {101 + n: 1 for n in range(10)})
        assert compared(deep, deep, (), shallow, DECIMALS) == live.RestFinding(AGREES, 20, 0)
        assert compared(shallow, shallow, (), deep, DECIMALS) == live.RestFinding(AGREES, 20, 0)
        assert compared(({}, {}), ({}, {}), (), deep, DECIMALS).verdict == NOT_COMPARED
        assert compared(deep, deep, {(False, 100 - n) for n in range(50)}, (deep[0], {}), DECIMALS).verdict == NOT_COMPARED


@pytest.fixture
def sims():
    made = Sims()
    yield made
    made.close()


class Moving:
    """A market that moves in a thread while something is done."""

    def __init__(self, sims):
        self._sims, self._over = sims, threading.Event()
        self._thread = threading.Thread(target=self._move)

    def _move(self):
        while not self._over.wait(0.02):
            self._sims.move()

    def __enter__(self):
        self._thread.start()

    def __exit__(self, *_):
        self._over.set()
        self._thread.join(30)


def begin(alphapulse, sims, *names):
    for name in names:
        sims.start(name)
    exchanges = [word for name in names for word in ("--exchange", name)]
    process = alphapulse.start("collect", *exchanges, "--symbols", ",".join(SYMBOLS), **sims.environment())
    wait_until(lambda: sims.nudge() or len(live_books(alphapulse.shm_dir, *names)) == 2 * len(names), what="live books")
    return process


def end(process):
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)


def kill(alphapulse, process, name):
    process.kill()
    process.communicate(timeout=30)
    with open_directory(str(alphapulse.shm_dir)) as directory:
        groups = SetFollower(directory, name).groups
        wait_until(lambda: not groups.is_live(clock.monotonic_ns()), what="silence")


def certified(alphapulse, sims, seconds=2.0, wanted=None):
    with open_directory(str(alphapulse.shm_dir)) as directory, Moving(sims):
        return verify_live(directory, wanted or Wanted(), seconds)


def spoiler(monkeypatch, change):
    """Let the REST books of simulators, once the event is set, be what `change` makes of them."""
    get, is_spoilt = SimulatedExchange._get, threading.Event()

    async def spoilt(exchange, path, query):
        answer = await get(exchange, path, query)
        if is_spoilt.is_set() and path.endswith("/depth"):
            return replace(answer, body=change(query["symbol"], answer.body))
        return answer

    monkeypatch.setattr(SimulatedExchange, "_get", spoilt)
    return is_spoilt


class TestRunningSets:
    def test_good_books_are_verified_and_their_rest_books_agree(self, alphapulse, sims):
        process = begin(alphapulse, sims, "binance-us", "okx", "kraken")
        made = certified(alphapulse, sims)
        end(process)
        assert made.holds
        found = {(book.proof.set_name, book.proof.symbol): book for book in made.books}
        assert set(found) == {(name, symbol) for name in ("binance-us", "okx", "kraken") for symbol in SYMBOLS}
        for (name, _), book in found.items():
            assert (book.proof.image, book.proof.checks_bad) == ("equal", 0)
            if name == "kraken":
                assert (book.rest.verdict, book.rest.why) == (NOT_COMPARED, "kraken offers no REST book that can be compared")
            else:
                assert (book.rest.verdict, book.rest.why) == (AGREES, "")
                assert book.rest.levels > 10
        assert made.is_verified, [book.why for book in made.books]
        row = json.loads(made.to_json())
        assert (row["schema"], row["kind"], row["frames"], row["holds"]) == ("alphapulse.certificate", "live", None, True)
        assert "not seen" in row["remark"]
        assert [(one["set"], [book["verdict"] for book in one["books"]]) for one in row["sets"]] == [
            (name, ["verified", "verified"]) for name in ("binance-us", "kraken", "okx")
        ]
        with pytest.raises(UsageError, match="of running sets"):
            read_certificate(made.to_json())

    def test_a_rest_book_that_differs_is_a_contradiction(self, alphapulse, sims, monkeypatch):
        """As if the collector had missed an update: all that it says of itself agrees, and the exchange's own book does not."""

        def without_a_level(symbol, body):
            book = json.loads(body)
            if symbol == "ETHBTC":
                del book["bids"][len(book["bids"]) // 2]
            return json.dumps(book).encode()

        spoil = spoiler(monkeypatch, without_a_level)
        process = begin(alphapulse, sims, "binance-us")
        spoil.set()
        made = certified(alphapulse, sims)
        end(process)
        wrong = {book.proof.symbol: book for book in made.books}
        assert (made.holds, made.is_verified) == (False, False)
        assert wrong["ETH-BTC"].proof.verdict is ProofVerdict.PROVED
        assert wrong["ETH-BTC"].rest.verdict == CONTRADICTS
        assert wrong["ETH-BTC"].why.startswith("the exchange's REST book contradicts: bid ")
        assert (wrong["ETH-BTC"].verdict, wrong["ETH-BTC"].problems) == ("broken", ["rest-contradicts"])
        assert wrong["DOGE-USD"].holds

    @pytest.mark.parametrize("answer", [b"", b"<html>", b"[]", b'{"lastUpdateId":1,"bids":[["x","1"]],"asks":[]}'])
    def test_a_rest_book_that_is_none_proves_nothing(self, alphapulse, sims, monkeypatch, answer):
        spoil = spoiler(monkeypatch, lambda *_: answer)
        process = begin(alphapulse, sims, "binance-us")
        spoil.set()
        made = certified(alphapulse, sims, 0.5)
        end(process)
        assert made.holds
        assert {book.rest.verdict for book in made.books} == {NOT_COMPARED}
        assert all(book.rest.why for book in made.books)

    def test_a_spoilt_image_is_found(self, alphapulse, sims):
        process = begin(alphapulse, sims, "kraken")
        path = alphapulse.shm_dir / segment_name(SegmentKind.BOOK, "kraken", "ETH-BTC")

        def spoil(stop):
            while not stop.wait(0.02):
                with path.open("r+b") as image:  # sizes of the worst bids, which no update touches for a while
                    image.seek(4096 + 8)
                    image.write(b"\x07\x00\x00\x00\x00\x00\x00\x00")

        stop = threading.Event()
        spoiling = threading.Thread(target=spoil, args=(stop,))
        spoiling.start()
        try:
            made = certified(alphapulse, sims)
        finally:
            stop.set()
            spoiling.join(10)
        end(process)
        books = {book.proof.symbol: book for book in made.books}
        assert not made.holds
        assert books["ETH-BTC"].proof.verdict is ProofVerdict.FAILED
        assert books["ETH-BTC"].why in ("check failed", "image different", "image damaged")
        assert books["DOGE-USD"].holds

    def test_a_set_without_its_collector_is_left_out(self, alphapulse, sims):
        process = begin(alphapulse, sims, "kraken")
        other = begin(alphapulse, sims, "okx")
        kill(alphapulse, process, "kraken")
        made = certified(alphapulse, sims, 0.5)
        assert (made.left_out, {book.proof.set_name for book in made.books}) == (["kraken"], {"okx"})
        kill(alphapulse, other, "okx")
        with open_directory(str(alphapulse.shm_dir)) as directory, pytest.raises(NoSegment, match="no collector is running"):
            verify_live(directory, Wanted(), 0.1)

    def test_a_replay_is_left_out(self, directory):
        """It is the past: its recording can be proved frame by frame."""
        with Writer(directory, ("BTC-USD",), "kraken", "kraken", replay=True) as writer:
            writer.beat()
            with pytest.raises(NoSegment, match="no collector is running"):
                verify_live(directory, Wanted(), 0.1)


class TestCommand:
    def test_words_and_json_and_exit_codes(self, alphapulse, sims, monkeypatch):
        spoil = spoiler(monkeypatch, lambda symbol, body: body.replace(b'"bids":[[', b'"bids":[["0.00000001","7"],[', 1))
        process = begin(alphapulse, sims, "binance-us")
        with Moving(sims):
            good = alphapulse("verify", "live", "--duration", "2s", "--format", "table", "--exchange", "binance-us")
            spoil.set()
            bad = alphapulse("verify", "live", "--duration", "2s", "--json", "--symbols", "ETH-BTC")
        end(process)
        assert good.code == 0, good.stderr
        heading, *books, last = good.stdout.splitlines()
        assert heading == "binance-us: binance-us, live, 2.0 s"
        assert len(books) == 2
        assert all("VERIFIED" in line and "image equal, REST book agrees on " in line for line in books)
        assert last == live.NOT_SEEN
        found = json.loads(bad.stdout)
        [book] = found["sets"][0]["books"]
        assert (bad.code, found["holds"]) == (0, True), "a level below all is outside of what both have"
        assert book["symbol"] == "ETH-BTC"

    def test_a_contradiction_is_exit_code_4(self, alphapulse, sims, monkeypatch):
        def other_sizes(_symbol, body):
            book = json.loads(body)
            book["asks"] = [[price, "12345"] for price, _ in book["asks"]]
            return json.dumps(book).encode()

        spoil = spoiler(monkeypatch, other_sizes)
        process = begin(alphapulse, sims, "binance-us")
        spoil.set()
        with Moving(sims):
            done = alphapulse("verify", "live", "--duration", "1s", "--symbols", "ETH-BTC", "--format", "table")
        end(process)
        assert done.code == 4
        assert "BROKEN: the exchange's REST book contradicts: ask " in done.stdout
        assert done.stderr == "error: something does not hold: binance-us:ETH-BTC rest-contradicts\n"

    @pytest.mark.parametrize(
        ("words", "error"),
        [
            (("live", "captures"), "`verify live` goes without captures"),
            (("live", "--require", "gaps:0"), "`verify live` goes without captures"),
            (("live", "-j", "2"), "`verify live` goes without captures"),
            (("captures", "--duration", "3s"), "--duration and --shm-dir go with `verify live`"),
        ],
    )
    def test_what_does_not_go_together_is_told(self, alphapulse, words, error):
        done = alphapulse("verify", *words)
        assert (done.code, done.stdout) == (2, "")
        assert error in done.stderr
        assert "\nhint: " in done.stderr

    def test_where_nothing_runs(self, alphapulse):
        done = alphapulse("verify", "live")
        assert (done.code, done.stdout) == (3, "")
        assert "hint: " in done.stderr
