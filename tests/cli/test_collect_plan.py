"""A plan of `collect` and the command line that it becomes: the real command, reading that line, makes the same plan again."""

from dataclasses import fields, replace
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alphapulse_cli import exchanges
from alphapulse_cli.apps.collect.plan import CHANNELS, CollectPlan
from alphapulse_cli.apps.demo import SYMBOLS as DEMO_SYMBOLS
from alphapulse_cli.apps.demo import DemoPlan, _collector
from alphapulse_cli.cli import collecting, options
from alphapulse_cli.edges.exchange.transport import AUTO, WEBSOCKETS
from alphapulse_cli.errors import ExitCode

CONFIGURED = {"ring_capacity", "listing_every_s"}  # no flag sets them
TOLD_AT_EACH_START = {"duration_s"}
CODES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=2, max_size=6)
SYMBOLS = st.builds("{}-{}".format, CODES, CODES)
PATTERNS = st.builds("{}*-{}".format, st.just("") | CODES, CODES) | st.just("*")
PATHS = st.text("abc /-=,:é", min_size=1, max_size=12)
HOSTS = st.sampled_from(["127.0.0.1:9000", "localhost:1", "proxy.example", "[::1]:8"])


@st.composite
def plans(draw):
    """Plans that a command line can have made."""
    name = draw(st.sampled_from(["kraken", "coinbase", "binance-us"]))
    mode = draw(st.sampled_from(exchanges.get(name).facts.modes))
    symbols = draw(st.lists(SYMBOLS | PATTERNS, min_size=1, max_size=4, unique=True))
    return CollectPlan(
        name,
        tuple(symbols),
        tuple(draw(st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=2, unique=True))),
        draw(st.just(mode.name) | st.just("")) if mode is exchanges.get(name).facts.modes[0] else mode.name,
        draw(st.sampled_from([0, *mode.depths])),
        draw(st.just("") | st.builds("ws{}://{}/v2?a=b,c".format, st.sampled_from(["", "s"]), HOSTS)),
        draw(st.just("") | st.builds("http{}://{}/a b".format, st.sampled_from(["", "s"]), HOSTS)),
        draw(st.just("") | st.from_regex(r"[a-z0-9][a-z0-9-]{0,8}", fullmatch=True)),
        draw(st.none() | PATHS),
        transport=draw(st.sampled_from([AUTO, WEBSOCKETS])),
        skip_unlisted=draw(st.booleans()),
        checksum_warns=tuple(symbol for symbol in symbols if draw(st.booleans())),
    )


def planned_by(quick, words):
    """The one plan that the command makes of these words."""
    made = []

    def run(plans, **_):
        made.extend(plans)
        return ExitCode.DONE

    with patch.object(collecting, "run", run):
        done = quick(*words)
    assert (done.code, done.stderr) == (0, "")
    (plan,) = made
    return plan


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(plan=plans())
def test_a_plan_survives_its_command_line(quick, plan):
    shm_dir = plan.shm_dir or str(quick.shm_dir)  # the environment's: no flag is needed for it
    assert planned_by(quick, plan.to_argv()) == replace(plan, shm_dir=shm_dir)


@pytest.mark.parametrize(
    "left_out", sorted({one.name for one in fields(CollectPlan)} - CONFIGURED - TOLD_AT_EACH_START - {"exchange"})
)
def test_the_property_sees_every_field(quick, left_out):
    """A command line that forgets one of them makes another plan: the property is about all of them."""
    default = CollectPlan("kraken")
    plan = CollectPlan(
        "kraken", ("A-B", "C-D"), ("trades",), "v2", 25, "ws://h", "http://h", "mine", "/x", 1, 1, WEBSOCKETS, True, 1.0, ("C-D",)
    )
    forgetful = replace(plan, **{left_out: getattr(default, left_out)})
    assert planned_by(quick, forgetful.to_argv()) != planned_by(quick, plan.to_argv())


def test_several_exchanges_and_the_demo_start_collectors_by_it(quick, monkeypatch):
    """Their children are what the plans say, also where another mode is configured for the real exchange."""
    monkeypatch.setenv("ALPHAPULSE_COINBASE_MODE", "exchange")
    options.read_settings.cache_clear()
    child = _collector(
        DemoPlan(shm_dir="/x", verbosity=["-q"]), "coinbase", DEMO_SYMBOLS, "ws://127.0.0.1:1/ws", "http://127.0.0.1:1"
    )
    assert child.arguments[-2:] == ["--supervised", "-q"]
    plan = planned_by(quick, child.arguments)
    assert (plan.exchange, plan.mode, plan.url, plan.rest_url) == (
        "coinbase",
        "advanced",
        "ws://127.0.0.1:1/ws",
        "http://127.0.0.1:1",
    )
    assert (plan.symbols, plan.shm_dir, plan.skip_unlisted) == (("BTC-USD", "ETH-USD", "SOL-USD"), "/x", True)
