"""How a collector starts: what it waits for, what it refuses at once, and what it does not ask for before it may."""

import asyncio
import contextlib
import json
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from support.app_parts import Sims, live_books, sample, wait_until

from alphapulse_cli.apps.collect.collect import collect
from alphapulse_cli.apps.collect.plan import CollectPlan
from alphapulse_cli.errors import ExchangeError, Refused
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.lease import Lease
from alphapulse_cli.shm.segment import Liveness

DURATION_S = 12_345.0

UNAVAILABLE = (200, b'{"error":["EService:Unavailable"]}')
BLOCK = "the answer is HTML, not JSON: perhaps a login page or a block"
PAGE = (200, b"<html>We will be back soon</html>")


@pytest.fixture
def sims():
    made = Sims()
    made.start("kraken")
    yield made
    made.close()


class Rest:
    """Answers each GET with the next of `answers`; when they are used up with what the simulator lists, but for `unlisted`."""

    def __init__(self, sim, *answers):
        self.answers, self.asked, self.unlisted, self.silent = list(answers), 0, set(), threading.Event()
        with urllib.request.urlopen(f"{sim.rest_url}/0/public/AssetPairs") as answer:
            self._listed = json.loads(answer.read())
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                status, body = outer.next_answer()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def next_answer(self):
        self.asked += 1
        if self.answers:
            answer = self.answers.pop(0)
            if answer is None:
                self.silent.wait(60)
                return 503, b""
            return answer
        pairs = {name: pair for name, pair in self._listed["result"].items() if pair["wsname"] not in self.unlisted}
        return 200, json.dumps(self._listed | {"result": pairs}).encode()

    def close(self):
        self.silent.set()
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def rest(sims):
    made = []

    def start(*answers):
        made.append(Rest(sims.served["kraken"], *answers))
        return made[-1]

    yield start
    for one in made:
        one.close()


def words(sims, rest, *more, symbols="ETH-BTC,DOGE-USD"):
    url = sims.served["kraken"].websocket_url
    return ["collect", "--exchange", "kraken", "--symbols", symbols, "--url", url, "--rest-url", rest.url, *more]


def names(shm_dir):
    return {book.symbol for book in live_books(shm_dir, "kraken")}


def moving(sims, shm_dir, wanted):
    def all_live():
        sims.move()
        return names(shm_dir) == wanted

    return all_live


def test_maintenance_is_waited_for_and_each_reason_told_once(alphapulse, sims, rest):
    away = rest(UNAVAILABLE, UNAVAILABLE, (520, b"<html>"), PAGE)
    process = alphapulse.start(*words(sims, away))
    wait_until(moving(sims, alphapulse.shm_dir, {"ETH-BTC", "DOGE-USD"}), what="live books")
    process.terminate()
    _, err = process.communicate(timeout=60)
    assert err.decode().splitlines() == [
        "warning: kraken: waiting for the list of instruments: kraken answers 'EService:Unavailable'",
        f"warning: kraken: waiting for the list of instruments: {away.url}/0/public/AssetPairs answers 520",
        f"warning: kraken: waiting for the list of instruments: cannot fetch {away.url}/0/public/AssetPairs: {BLOCK}",
    ]
    assert process.returncode == 0


def test_what_trying_again_cannot_change_ends_it_at_once(alphapulse, sims, rest):
    there = rest((404, b"no"))
    done = alphapulse(*words(sims, there))
    assert (done.code, there.asked) == (6, 1)
    assert done.stderr.startswith(f"error: {there.url}/0/public/AssetPairs answers 404: there is nothing at this path\n")


class TestTheDuration:
    def test_bounds_an_answer_that_never_comes(self, alphapulse, sims, rest):
        done = alphapulse(*words(sims, rest(None), "--duration", "1s"))
        assert (done.code, done.stderr) == (6, "error: nothing was collected before the duration was over\n")

    async def test_over_while_the_exchange_is_away_says_why_nothing_came(self, sims, rest, shm_dir, over):
        told = []
        collecting = collect(plan_of(sims, rest(*[UNAVAILABLE] * 99), shm_dir), lambda _, message: told.append(message))
        with pytest.raises(ExchangeError) as failed:
            await over(collecting, lambda: told)
        assert str(failed.value) == f"nothing was collected before the duration was over: {told[0]}"

    async def test_over_with_books_is_a_good_end(self, sims, rest, shm_dir, over):
        await over(collect(plan_of(sims, rest(), shm_dir), lambda *_: None), moving(sims, shm_dir, {"ETH-BTC", "DOGE-USD"}))
        assert [one.liveness for one in sample(shm_dir)] == [Liveness.RETIRED]


def plan_of(sims, rest, shm_dir, **more):
    url, symbols = sims.served["kraken"].websocket_url, ("ETH-BTC", "DOGE-USD")
    return CollectPlan("kraken", symbols, url=url, rest_url=rest.url, shm_dir=str(shm_dir), duration_s=DURATION_S, **more)


@pytest.fixture
def over(monkeypatch):
    """Runs a collection whose duration is over when a condition is met: no clock decides."""
    limits, real = [], asyncio.timeout

    def timeout(seconds):
        limit = real(None if seconds == DURATION_S else seconds)
        if seconds == DURATION_S:
            limits.append(limit)
        return limit

    async def run(collecting, reached):
        task = asyncio.create_task(collecting)
        await asyncio.to_thread(wait_until, reached)
        (limit,) = limits
        limit.reschedule(asyncio.get_running_loop().time())
        await task

    monkeypatch.setattr(asyncio, "timeout", timeout)
    return run


def test_a_set_that_is_held_is_refused_before_anything_is_asked_for(alphapulse, sims, rest):
    there = rest()
    with open_directory(alphapulse.shm_dir, create=True) as directory, Lease.acquire(directory, "kraken"):
        done = alphapulse(*words(sims, there))
    assert (done.code, there.asked) == (7, 0)


def test_several_of_which_none_is_ever_collected_are_a_failure(alphapulse, sims, rest):
    """Refused for good: each is told of, none is tried again. Away for the whole duration: the same code."""
    there = rest(*[(451, b"")] * 2)
    both = ["collect", "--exchange", "kraken", "--exchange", "coinbase", "--symbols", "ETH-BTC"]
    env = {
        f"ALPHAPULSE_{name}_{key}": url
        for name in ("KRAKEN", "COINBASE")
        for key, url in (("URL", "ws://127.0.0.1:1"), ("REST_URL", there.url))
    }
    refused = alphapulse(*both, **env)
    assert (refused.code, there.asked) == (6, 2)
    assert refused.stderr.count("ended with code 6 before it collected any data: it is not started again") == 2
    away = alphapulse(
        *both, "--duration", "3s", ALPHAPULSE_KRAKEN_URL="ws://127.0.0.1:1", ALPHAPULSE_COINBASE_URL="ws://127.0.0.1:1"
    )
    assert away.code == 6


class TestAnUnlistedSymbol:
    def test_of_many_is_skipped_by_a_service(self, alphapulse, sims, rest):
        """Standard error is no terminal here."""
        there = rest()
        process = alphapulse.start(*words(sims, there, symbols="ETH-BTC,GONE-USD"))
        wait_until(moving(sims, alphapulse.shm_dir, {"ETH-BTC"}), what="a live book")
        process.terminate()
        _, err = process.communicate(timeout=60)
        assert err.decode() == (
            "warning: kraken: not listed: GONE-USD; the other symbols are collected, and the list is read again every 600 s\n"
        )

    @pytest.mark.parametrize("how", ["flag", "variable"])
    def test_is_refused_where_that_is_asked_for(self, alphapulse, sims, rest, how):
        flag = ["--no-skip-unlisted"] if how == "flag" else []
        env = {} if how == "flag" else {"ALPHAPULSE_SKIP_UNLISTED": "never"}
        done = alphapulse(*words(sims, rest(), *flag, symbols="ETH-BTC,DOGE-UDS"), **env)
        assert done.code == 6
        assert done.stderr == (
            "error: kraken does not list DOGE-UDS\n"
            "hint: DOGE-UDS: did you mean DOGE-USD?; --skip-unlisted collects the others; alphapulse symbols --exchange kraken\n"
        )

    def test_alone_is_refused_even_if_it_may_be_skipped(self, alphapulse, sims, rest):
        assert alphapulse(*words(sims, rest(), "--skip-unlisted", symbols="GONE-USD")).code == 6

    def test_a_wrong_value_is_named(self, alphapulse):
        done = alphapulse("collect", "--exchange", "kraken", ALPHAPULSE_SKIP_UNLISTED="perhaps")
        assert (done.code, done.stderr.splitlines()[0]) == (
            2,
            "error: ALPHAPULSE_SKIP_UNLISTED: expected one of auto, always, never, got 'perhaps'",
        )

    async def test_is_taken_up_when_it_is_listed(self, sims, rest, shm_dir):
        there = rest()
        there.unlisted.add("XDG/USD")  # as REST calls DOGE
        told = []
        plan = plan_of(sims, there, shm_dir, skip_unlisted=True, listing_every_s=0.05)

        collecting = asyncio.create_task(collect(plan, lambda _, message: told.append(message)))
        await asyncio.to_thread(wait_until, moving(sims, shm_dir, {"ETH-BTC"}))
        (before,) = sample(shm_dir, "kraken")
        looks = there.asked
        await asyncio.to_thread(wait_until, lambda: there.asked > looks)
        there.unlisted.clear()
        await asyncio.to_thread(wait_until, moving(sims, shm_dir, {"ETH-BTC", "DOGE-USD"}))
        (after,) = sample(shm_dir, "kraken")
        assert (before.pid, before.epoch) == (after.pid, after.epoch), "the others were not disturbed"
        collecting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await collecting
        assert "newly listed: DOGE-USD; collected from now on" in told


async def test_a_refusal_leaves_the_lease_to_others(sims, rest, shm_dir):
    plan = CollectPlan("kraken", ("GONE-USD",), url=sims.served["kraken"].websocket_url, rest_url=rest().url, shm_dir=str(shm_dir))
    with pytest.raises(Refused):
        await collect(plan, lambda *_: None)
    with open_directory(shm_dir) as directory:
        Lease.acquire(directory, "kraken").release()
