"""Scorecards of real collectors against simulated exchanges, whose faults are counted: what a card says is what was done to the feed."""

import os
import signal
from typing import Any

import pytest
from support.app_parts import Sims, live_books, sample, wait_until
from support.scorecards import card

import alphapulse_cli as ap
from alphapulse_cli import build
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.scores import read_scores

SYMBOLS = ("ETH-BTC", "DOGE-USD")
FAULTS = {
    "kraken": {"checksum": 2, "garbage": 1, "disconnect": 1},
    "coinbase": {"gap": 3, "disconnect": 1},
}


@pytest.fixture
def sims():
    made = Sims()
    yield made
    made.close()


def begin(alphapulse, sims, name, *arguments):
    return alphapulse.start("collect", "--exchange", name, "--symbols", ",".join(SYMBOLS), *arguments, **sims.environment())


def end(process, number=signal.SIGTERM):
    process.send_signal(number)
    process.communicate(timeout=60)


def until_live(alphapulse, sims, name):
    def all_live():
        sims.move()
        return len(live_books(alphapulse.shm_dir, name)) == len(SYMBOLS)

    wait_until(all_live, what=f"live books of {name}")


def cards(alphapulse, name, window="hour"):
    found = ap.feeds([name], window=window, shm_dir=str(alphapulse.shm_dir))
    return {(card.kind, card.symbol): card for card in found}


def totals(alphapulse, name):
    (status,) = sample(alphapulse.shm_dir, name)
    return status.totals


def broken_books(kind):
    """A wrong checksum breaks one book; a lost connection, garbage and a gap of Coinbase, which numbers a connection's messages, all."""
    return 1 if kind == "checksum" else len(SYMBOLS)


def strike(alphapulse, sims, name, kind):
    """One fault, which struck and was healed before this returns."""
    sim = sims.served[name]
    before, armed = sim.injection_counts[kind], list[int]()
    known = cards(alphapulse, name)["exchange", ""]

    def struck():
        if sim.connections and armed[-1:] != [sim.connection_count]:
            sims.inject(kind, name)
            armed.append(sim.connection_count)
        sims.move()
        return sim.injection_counts[kind] > before

    wait_until(struck, what=f"{kind} of {name}")
    books, reconnects = broken_books(kind), kind == "disconnect"

    def healed():
        sims.nudge()
        now = cards(alphapulse, name)["exchange", ""]
        return (
            now.books_live == len(SYMBOLS)
            and now.healings >= known.healings + books
            and (not reconnects or now.reconnects > known.reconnects)
        )

    wait_until(healed, what=f"the healing of {kind} of {name}")


async def halt(sim):
    sim.inject("halted", seconds=1.0)


class TestFaults:
    @pytest.mark.parametrize("name", FAULTS)
    def test_are_all_on_the_card_and_no_others(self, alphapulse, sims, name):
        sim = sims.start(name)
        process = begin(alphapulse, sims, name)
        until_live(alphapulse, sims, name)
        for kind, times in FAULTS[name].items():
            for _ in range(times):
                strike(alphapulse, sims, name, kind)
                until_live(alphapulse, sims, name)
        end(process)
        counted = totals(alphapulse, name)
        done = {kind: sim.injection_counts[kind] for kind in FAULTS[name]}
        assert done == FAULTS[name]
        agrees(cards(alphapulse, name, "start"), counted, done)

    def test_a_halt_of_a_market_is_counted_once_and_costs_no_valid_time(self, alphapulse, sims):
        sim = sims.start("kraken")
        process = begin(alphapulse, sims, "kraken")
        until_live(alphapulse, sims, "kraken")
        assert cards(alphapulse, "kraken")["exchange", ""].halts == 0
        sims.do(halt(sim))

        def halted():
            sims.nudge()
            return cards(alphapulse, "kraken")["exchange", ""].trading_status != "TRADING"

        def trading():
            sims.nudge()
            return not halted()

        wait_until(halted, what="the halt")
        wait_until(trading, what="the end of the halt")
        end(process)
        assert sim.injection_counts["halted"] == 1
        found = cards(alphapulse, "kraken", "start")
        whole = found["exchange", ""]
        (of_market,) = [card for (kind, _), card in found.items() if kind == "symbol" and card.halts]
        assert (whole.halts, of_market.halts, whole.breaks, whole.gaps) == (1, 1, 0, 0)
        assert 0 < whole.restricted_ns == of_market.restricted_ns < whole.ran_ns

    @pytest.mark.parametrize("broken", ["gaps", "checksums_bad", "reconnects", "healings", "breaks", "valid_ns", "messages"])
    def test_the_comparison_would_notice(self, broken):
        """A card that is wrong in one figure does not agree with what was done."""
        sums = {"gaps": 0, "checksums_bad": 3, "breaks": 7, "healings": 7, "resyncs": 7, "observed_ns": 100, "valid_ns": 90}
        known: dict[str, Any] = sums | {
            "ran_ns": 50,
            "open_ns": 40,
            "connected_ns": 50,
            "messages": 10,
            "bytes": 100,
            "reconnects": 2,
        }
        whole = card(**known, checksums_ok=5)
        nothing: dict[str, Any] = dict.fromkeys(sums, 0)
        parts = {
            ("exchange", ""): whole,
            ("symbol", "A"): card("symbol", "A", **known),
            ("symbol", "B"): card("symbol", "B", **nothing),
        }
        counted, done = {"gaps": 0, "frames": 10, "bytes": 100, "resyncs": 7, "checksums_ok": 5}, {"checksum": 3, "disconnect": 2}
        agrees(parts, counted, done)
        held = getattr(whole, broken)
        for wrong in (101, held + 1) if broken == "valid_ns" else (held + 1, held - 1):
            spoilt: dict[str, Any] = known | {broken: wrong}
            with pytest.raises(AssertionError):
                agrees(parts | {("exchange", ""): card(**spoilt, checksums_ok=5)}, counted, done)


def agrees(found, counted, done):
    """The cards say what was done, what the counters counted, and one another's sums."""
    whole = found["exchange", ""]
    parts = [card for (kind, _), card in found.items() if kind == "symbol"]
    broken = sum(times * broken_books(kind) for kind, times in done.items())
    assert whole.checksums_bad == done.get("checksum", 0)
    assert whole.reconnects == done.get("disconnect", 0)
    assert whole.gaps == counted["gaps"] >= done.get("gap", 0)
    assert whole.healings == whole.breaks == broken
    assert (whole.messages, whole.bytes, whole.resyncs) == (counted["frames"], counted["bytes"], counted["resyncs"])
    assert whole.checksums_ok == counted["checksums_ok"]
    assert 0 < whole.valid_ns < whole.observed_ns <= len(SYMBOLS) * whole.ran_ns
    assert 0 < whole.open_ns < whole.connected_ns <= whole.ran_ns
    assert whole.healing_ms["p50"] is not None
    for name in ("gaps", "breaks", "healings", "resyncs", "checksums_bad", "observed_ns", "valid_ns"):
        assert getattr(whole, name) == sum(getattr(card, name) for card in parts), name
    assert whole.feed_delay_us["count"] > 0


class TestRestarts:
    def test_a_killed_collectors_counts_go_on(self, alphapulse, sims):
        sims.start("kraken")
        first = begin(alphapulse, sims, "kraken")
        until_live(alphapulse, sims, "kraken")
        strike(alphapulse, sims, "kraken", "checksum")

        def written():
            sims.nudge()
            return cards(alphapulse, "kraken")["exchange", ""].checksums_bad == 1

        wait_until(written, what="the fault on the card")
        before = cards(alphapulse, "kraken")["exchange", ""]
        end(first, signal.SIGKILL)
        wait_until(lambda: not cards(alphapulse, "kraken")["exchange", ""].live, what="the end of the heartbeat")
        stopped = cards(alphapulse, "kraken")["exchange", ""]
        assert (stopped.checksums_bad, stopped.books_live) == (1, 0)
        second = begin(alphapulse, sims, "kraken")
        until_live(alphapulse, sims, "kraken")
        strike(alphapulse, sims, "kraken", "checksum")
        until_live(alphapulse, sims, "kraken")
        end(second)
        after, started = (cards(alphapulse, "kraken", window)["exchange", ""] for window in ("hour", "start"))
        assert (after.checksums_bad, started.checksums_bad) == (2, 1)
        assert after.valid_ns > before.valid_ns
        assert after.messages > started.messages
        assert after.observed_ns < len(SYMBOLS) * (after.to_ns - after.from_ns)  # without the time between

    def test_a_second_collector_of_the_set_changes_nothing(self, alphapulse, sims):
        sims.start("kraken")
        first = begin(alphapulse, sims, "kraken")
        until_live(alphapulse, sims, "kraken")
        with open_directory(alphapulse.shm_dir) as directory:
            before = read_scores(directory, "kraken")
            second = begin(alphapulse, sims, "kraken")
            second.communicate(timeout=60)
            after = read_scores(directory, "kraken")
        assert second.returncode == 7
        assert (after.epoch, after.pid, after.started_ns) == (before.epoch, before.pid, before.started_ns)
        assert not (alphapulse.shm_dir / "kraken.scores-past").exists()
        end(first)

    @pytest.mark.skipif(build.core_mode() == "interpreted", reason="plain Python cannot handle a fault in the middle of an access")
    def test_a_collector_whose_file_is_cut_short_collects_on_and_says_so(self, alphapulse, sims):
        sims.start("kraken")
        process = begin(alphapulse, sims, "kraken")
        until_live(alphapulse, sims, "kraken")
        os.truncate(alphapulse.shm_dir / "kraken.scores", 0)

        def goes_on():
            before = totals(alphapulse, "kraken")["frames"]
            sims.move(20)
            return totals(alphapulse, "kraken")["frames"] > before

        for _ in range(3):
            wait_until(goes_on, what="more frames")
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 0
        assert b"feed scorecards end here" in err


def test_the_file_takes_no_writer_from_outside_the_lease():
    """No module but the collector's (and a benchmark's, in a directory of its own) writes scores: its lease keeps two of them apart."""
    import ast
    import pathlib

    root = pathlib.Path(ap.__file__).parent
    users = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ScoresWriter"
    }
    assert users == {"apps/collect/scoring.py", "apps/bench/scenarios/serve.py"}
