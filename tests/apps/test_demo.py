"""The demo comes up, shows every exchange's books moving, and leaves no process behind, however it ends."""

import asyncio
import json
import os
import resource
import signal
import subprocess

import pytest
from support.app_parts import live_books, processes_of, sample, wait_until
from support.e2e import verified

from alphapulse_cli.apps.demo import EXCHANGES, SYMBOLS, DemoPlan, chosen_exchanges, demo
from alphapulse_cli.errors import UsageError
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.sim.listings import simulated


def test_comes_up_shows_live_books_and_is_gone_afterwards(alphapulse):
    demo = alphapulse.start("demo", "--json", "--duration", "1h")
    wanted = {(exchange, symbol) for exchange in EXCHANGES for symbol in SYMBOLS}
    live: set[tuple[str, str]] = set()
    while live != wanted:
        row = json.loads(demo.stdout.readline())
        if row["state"] == "LIVE" and row["bid"] and row["ask"]:
            live.add((row["exchange"], row["symbol"]))
    demo.terminate()
    _, err = demo.communicate(timeout=60)
    assert (demo.returncode, err) == (0, b"")
    assert processes_of(alphapulse.shm_dir) == []
    assert {one.liveness for one in sample(alphapulse.shm_dir)} == {Liveness.RETIRED}


SMALL_SHM_BYTES = 64 << 20  # what a container has for /dev/shm by default


def test_all_exchanges_are_live_proved_and_fit_in_a_containers_memory(alphapulse):
    demo = alphapulse.start("demo", "--exchanges", "all", "--json", "--duration", "1h")
    wanted = {(name, symbol) for name, ours in DemoPlan(simulated()).symbols_by_exchange().items() for symbol in ours}
    assert {name for name, _ in wanted} >= {*EXCHANGES, "okx", "bitfinex"}
    live: set[tuple[str, str]] = set()
    while live != wanted:
        row = json.loads(demo.stdout.readline())
        if row["state"] == "LIVE" and row["bid"] and row["ask"]:
            live.add((row["exchange"], row["symbol"]))
    proof = verified(alphapulse)
    assert (proof.code, {json.loads(line)["verdict"] for line in proof.stdout.splitlines()}) == (0, {"proved"}), proof.stderr
    used = sum(path.stat().st_blocks * 512 for path in alphapulse.shm_dir.iterdir())
    assert used <= SMALL_SHM_BYTES
    demo.terminate()
    assert demo.communicate(timeout=60)[1] == b""


class TestSymbolsOfEachExchange:
    def test_are_those_that_it_lists_or_the_same_against_usdt(self):
        plan = DemoPlan(["kraken", "binance"], ["BTC-USD", "SOL-USD", "ETH-BTC"])
        assert plan.symbols_by_exchange() == {"kraken": ["BTC-USD", "SOL-USD", "ETH-BTC"], "binance": ["ETH-BTC"]}
        plan = DemoPlan(["kraken", "binance"], ["BTC-USD", "kraken:SOL-USD"])
        assert plan.symbols_by_exchange() == {"kraken": ["BTC-USD", "SOL-USD"], "binance": ["BTC-USDT"]}

    def test_a_symbol_that_none_lists_is_refused(self):
        with pytest.raises(UsageError, match="does not list 'BTC-EUR'"):
            DemoPlan(["kraken", "coinbase"], ["BTC-USD", "BTC-EUR"]).symbols_by_exchange()
        with pytest.raises(UsageError, match="does not list 'BTC-EUR'"):
            DemoPlan(["kraken"], ["BTC-EUR"]).symbols_by_exchange()

    def test_names_of_no_simulator_are_refused(self):
        assert chosen_exchanges(["kraken", "all"])[0] == "kraken"
        assert sorted(chosen_exchanges(["all"])) == sorted(simulated())
        with pytest.raises(UsageError, match="unknown exchange: 'krakn'"):
            chosen_exchanges(["krakn"])

    def test_no_name_is_refused(self, alphapulse):
        done = alphapulse("demo", "--exchanges", ",", "--duration", "1")
        assert (done.code, done.stderr.splitlines()[0]) == (2, "error: --exchange: an empty name in ','")


def test_without_room_it_ends_with_1_and_says_so(alphapulse):
    """The collectors' files may be a page long; each says what it lacked, and none is started again."""

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))

    command = [*alphapulse.command, "demo", "--json", "--symbols", "ETH-BTC"]
    env, where = alphapulse.environment(), alphapulse.directory
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=where, timeout=100, preexec_fn=limit)
    assert done.returncode == 1
    assert "File too large" in done.stderr
    assert "before it collected any data: it is not started again" in done.stderr
    assert processes_of(alphapulse.shm_dir) == []


async def test_an_end_that_comes_together_with_the_simulators_addresses_is_not_lost(monkeypatch):
    """A duration of 500 ms once ended a demo never: `asyncio.wait_for` of Python 3.11 returns the addresses in place of the cancellation."""
    ready = asyncio.get_running_loop().create_future()

    async def started(*_, **__):
        return None

    async def addresses(*_):
        return await ready

    async def goes_on(*_, **__):
        await asyncio.Event().wait()

    for name, one in {
        "_start_simulator": started,
        "_addresses": addresses,
        "supervise": goes_on,
        "relay": goes_on,
        "stop": started,
    }.items():
        monkeypatch.setattr(f"alphapulse_cli.apps.demo.{name}", one)
    running = asyncio.create_task(demo(DemoPlan(["kraken"], ["BTC-USD"]), lambda *_: None, lambda _: None))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    ready.set_result({})
    await asyncio.sleep(0)
    running.cancel()
    done, _ = await asyncio.wait({running}, timeout=5)
    assert done == {running}
    assert running.cancelled()


def test_a_duration_ends_it(alphapulse):
    """However far it has come."""
    done = alphapulse("demo", "--duration", "500ms", "--json", timeout=100)
    assert (done.code, done.stderr) == (0, "")
    assert processes_of(alphapulse.shm_dir) == []


def test_killed_it_leaves_no_process_and_its_simulators_end_is_its_own(alphapulse):
    """Both in one run of it: the simulators are killed, and the demo says so and ends."""
    demo = alphapulse.start("demo", "--json", "--symbols", "ETH-BTC")
    wait_until(lambda: len(live_books(alphapulse.shm_dir)) == len(EXCHANGES), 100, what="live books")
    (simulator,) = [pid for pid in processes_of(alphapulse.shm_dir) if b"\0sim\0" in _command(pid)]
    os.kill(simulator, signal.SIGKILL)
    _, err = demo.communicate(timeout=60)
    assert demo.returncode == 1
    assert b"error: the simulators ended" in err
    wait_until(lambda: not processes_of(alphapulse.shm_dir), what="no process")


def test_killed_outright_its_children_end(alphapulse):
    demo = alphapulse.start("demo", "--json", "--symbols", "ETH-BTC")
    wait_until(lambda: len(live_books(alphapulse.shm_dir)) == len(EXCHANGES), 100, what="live books")
    demo.kill()
    wait_until(lambda: not processes_of(alphapulse.shm_dir), what="no process")


def _command(pid):
    with open(f"/proc/{pid}/cmdline", "rb") as file:  # noqa: PTH123 - one line of a file of the kernel's
        return file.read()
