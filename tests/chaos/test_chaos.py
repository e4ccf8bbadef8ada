"""Collectors in virtual time under every kind of fault (`scripts/chaos.py`), bounded; and defects planted on purpose, each of which is found."""

import asyncio
import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from chaos.campaign import HEALING_KINDS, KINDS, feed_and_kinds, kinds_of, run_seed
from chaos.canaries import CANARIES
from chaos.sockets import soak
from support.campaigns import size
from support.feeds import FEEDS, feed_id, feeds_of

from alphapulse_cli import exchanges
from alphapulse_cli.exchanges.okx import encoder as okx_encoder

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "chaos.py"
CAMPAIGN = range(240)
# Of the campaign, for each suite: one seed of each kind of fault, on this feed or that, and one of each feed.
STRIKING = {kind: [seed for seed in CAMPAIGN if kind in feed_and_kinds(seed)[1]] for kind in KINDS}
OF_FEED = {feed: [seed for seed in CAMPAIGN if feed_and_kinds(seed)[0] == feed] for feed in FEEDS}
BOUNDED = sorted({seeds[7 * number % len(seeds)] for chosen in (STRIKING, OF_FEED) for number, seeds in enumerate(chosen.values())})
SEEDS = size(BOUNDED, list(CAMPAIGN))
PARTS = 8


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(PARTS))
def test_no_seed_is_accused(part):
    accused = [str(result) for seed in SEEDS[part::PARTS] if (result := run_seed(seed)).accusations]
    assert accused == []


@pytest.mark.campaign
@pytest.mark.parametrize(
    "kinds",
    [("gap", "disconnect"), ("old-snapshot", "ahead-snapshot"), ("late-snapshot", "malformed"), ("mute-symbol", "sequence-reset")],
)
def test_okx_without_snapshots_in_band(kinds, monkeypatch):
    """As OKX announced in 2026: every book begins with a REST snapshot, and heals with one."""
    made = okx_encoder.Encoder.__init__
    monkeypatch.setattr(okx_encoder.Encoder, "__init__", lambda self, truth, mode="", **_: made(self, truth, mode, snapshots=False))
    results = [run_seed(seed, feed=("okx", "books"), kinds=kinds) for seed in range(size(1, 3))]
    assert [str(result) for result in results if result.accusations] == []
    assert all(result.struck for result in results)


def struck_by(seeds):
    return {(feed, kind) for seed in seeds for feed, kinds in [feed_and_kinds(seed)] for kind in kinds}


def test_the_campaign_covers_every_kind_on_every_feed_that_has_it():
    assert struck_by(CAMPAIGN) == {(feed, kind) for feed in FEEDS for kind in kinds_of(feed)}


def test_the_seeds_of_the_suite_cover_every_kind_and_every_feed():
    assert {kind for _, kind in struck_by(BOUNDED)} == set(KINDS)
    assert {feed for feed, _ in struck_by(BOUNDED)} == set(FEEDS)


def test_every_kind_strikes():
    """A kind that never strikes would judge nothing."""
    for number, (name, kind) in enumerate(KINDS.items()):
        feed = sorted(kind.feeds)[number % len(kind.feeds)]
        result = run_seed(number, feed=feed, kinds=(name,), faults_s=6.0)
        assert result.struck or name == "clock", name


@pytest.mark.campaign
def test_the_package_of_exchanges_new_is_struck_as_any_plug_in(monkeypatch):
    point = EntryPoint("example", "alphapulse_cli.exchanges.example", exchanges.ENTRY_POINTS)
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: [point] if group == exchanges.ENTRY_POINTS else [])
    [feed] = feeds_of("example")
    results = [run_seed(seed, feed=feed) for seed in range(0, len(kinds_of(feed)), size(6, 3))]
    assert [str(result) for result in results if result.accusations] == []
    assert sum(result.struck for result in results) > len(results)


@pytest.mark.parametrize("seed", [3, 11])
def test_the_same_seed_is_the_same_run(seed):
    """Also in a process that hashes otherwise."""
    here = run_seed(seed)
    env = {**os.environ, "PYTHONHASHSEED": "4711"}
    done = subprocess.run(
        [sys.executable, "-P", SCRIPT, "--seeds", f"{seed}..{seed}", "--tell"], env=env, capture_output=True, text=True, timeout=100
    )
    assert re.search(r"\[([0-9a-f]{16})\]", done.stdout).group(1) == here.trace, done.stdout + done.stderr


STALLS_THEN_SILENCE = {"seed": 2022, "feed": ("bitfinex", ""), "kinds": ("stall", "mute", "lost-ack")}


def test_stalls_that_follow_one_another_and_then_silence_accuse_nobody():
    """The second of two stalls begins before the first is over, and a mute feed follows: Bitfinex is STALE 20 s after the last frame."""
    assert run_seed(**STALLS_THEN_SILENCE).accusations == []


def test_a_collector_that_never_notices_silence_is_accused_also_after_such_stalls():
    with next(canary for canary in CANARIES if canary.kind == "mute").planted():
        assert run_seed(**STALLS_THEN_SILENCE).accusations


@pytest.mark.parametrize("canary", CANARIES, ids=lambda canary: canary.name)
def test_a_planted_defect_is_found_in_less_than_50_seeds(canary):
    with canary.planted():
        assert any(run_seed(seed, feed=canary.feed(seed), kinds=(canary.kind,)).accusations for seed in range(50))


def test_over_real_sockets_books_heal_and_no_readers_chain_breaks():
    """LIVE at the start and in the end. In real time on a machine that may be busy no share of it is asked for; `scripts/chaos.py --sockets` does."""
    seen = asyncio.run(soak(4.0, every_s=0.3, at_least=12, seed=5))
    assert seen.accusations == []
    assert seen.faults >= 12


HEALED = [(kind, feed) for kind in HEALING_KINDS for feed in FEEDS if feed in KINDS[kind].feeds]


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("kind", "feed"), [pytest.param(kind, feed, id=f"{kind}-{feed_id(feed)}") for kind, feed in size(HEALED[::2], HEALED)]
)
def test_with_a_fault_each_5_seconds_books_are_live_95_percent_of_the_time(kind, feed):
    every_s = 10.0 if kind == "refuse" else 5.0  # a refusal comes with a gap, for which something is asked
    result = run_seed(1, feed=feed, kinds=(kind,), faults_s=size(60.0, 300.0), every_s=every_s)
    assert result.accusations == []
    assert result.struck >= 10
    assert result.live_share >= 0.95
