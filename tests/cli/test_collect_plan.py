"""A plan of `collect` and the command line that it becomes: the real command, reading that line, makes the same plan again."""

from dataclasses import fields, replace
from pathlib import Path
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.campaigns import size

from alphapulse_cli import exchanges
from alphapulse_cli.apps.collect.plan import CHANNELS, CollectPlan
from alphapulse_cli.apps.demo import SYMBOLS as DEMO_SYMBOLS
from alphapulse_cli.apps.demo import DemoPlan, _collector
from alphapulse_cli.cli import collecting, options
from alphapulse_cli.edges.capture.keeping import DEFAULT_LAST, CapturePlan
from alphapulse_cli.edges.exchange.transport import AUTO, WEBSOCKETS
from alphapulse_cli.errors import ExitCode

CONFIGURED = {"ring_capacity", "listing_every_s"}  # no flag sets them
TOLD_AT_EACH_START = {"duration_s"}
CODES = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", min_size=2, max_size=6)
SYMBOLS = st.builds("{}-{}".format, CODES, CODES)
PATTERNS = st.builds("{}*-{}".format, st.just("") | CODES, CODES) | st.just("*")
PATHS = st.text("abc /-=,:é", min_size=1, max_size=12)
HOSTS = st.sampled_from(["127.0.0.1:9000", "localhost:1", "proxy.example", "[::1]:8"])


captures = st.builds(
    CapturePlan,
    PATHS.map(lambda text: str(Path(f"/{text}"))),
    st.sampled_from(["1h", "256MiB", "90s,1.5GB"]),
    st.sampled_from(["", "7d", "50GiB", "1d,2TB"]),
    st.sampled_from(["0", "5%,1GiB", "10%", "500MB"]),
    st.booleans(),
)


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
        capture=(capture := draw(st.none() | captures)),
        last_frames=draw(
            st.sampled_from([DEFAULT_LAST] if capture is not None and capture.is_all else [DEFAULT_LAST, "2m", "off"])
        ),
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


@settings(max_examples=size(30, 60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
    words = (
        "kraken",
        ("A-B", "C-D"),
        ("trades",),
        "v2",
        25,
        "ws://h",
        "http://h",
        "mine",
        "/x",
        1,
        1,
        WEBSOCKETS,
        True,
        1.0,
        ("C-D",),
    )
    plan = CollectPlan(*words, CapturePlan("/captures", is_all=left_out != "last_frames"), "/books", "off")
    forgetful = replace(plan, **{left_out: getattr(default, left_out)})
    assert planned_by(quick, forgetful.to_argv()) != planned_by(quick, plan.to_argv())


@pytest.mark.parametrize("left_out", [one.name for one in fields(CapturePlan)])
def test_the_property_sees_every_field_of_the_capture(quick, left_out):
    default = CapturePlan("/other")
    plan = CapturePlan("/captures", "2h,1GiB", "7d,50GiB", "0", is_all=True)
    forgetful = replace(plan, **{left_out: getattr(default, left_out)})
    made = [planned_by(quick, CollectPlan("kraken", capture=one).to_argv()).capture for one in (plan, forgetful)]
    assert made == [plan, forgetful]


def test_a_configured_capture_is_not_that_of_a_child_without_one(quick, monkeypatch):
    """Such as the demo's collectors: the command line of a plan without a capture says so."""
    monkeypatch.setenv("ALPHAPULSE_CAPTURE", "/captures")
    assert planned_by(quick, ["collect", "--exchange", "kraken"]).capture == CapturePlan("/captures")
    assert planned_by(quick, CollectPlan("kraken").to_argv()).capture is None


def test_a_capture_alone_may_have_a_folder_of_any_name(quick):
    made = planned_by(quick, ["capture", "run", "none", "--exchange", "kraken"])
    assert made.capture == CapturePlan(str(quick.directory / "none"), is_all=True)


@pytest.mark.parametrize("command", [["collect", "--capture", "c"], ["capture", "run", "c"]])
@pytest.mark.parametrize(
    ("flag", "key", "wrong", "says"),
    [
        ("--rotate", "rotate", "1", "expected at least 1s"),
        ("--rotate", "rotate", "1h,2h", "expected a duration"),
        ("--rotate", "rotate", "10KiB", "expected at least 1s and 64KiB"),
        ("--keep", "keep", "7 days", "expected an age, a number of bytes, or both"),
        ("--keep", "keep", "50Gb", "expected an age"),
        ("--least-free", "least_free", "100%", "expected a share, a number of bytes"),
        ("--least-free", "least_free", "-1", "expected a share"),
    ],
)
def test_wrong_bounds_are_refused_wherever_they_are_written(quick, monkeypatch, command, flag, key, wrong, says):
    """As an option, in a variable, in a section of the command, in the file's own keys."""
    wrong = "0.5s" if wrong == "1" else wrong
    done = quick(*command, "--exchange", "kraken", flag, wrong)
    assert done.code == 2
    assert done.stderr.startswith(f"error: {flag}: {says}"), done.stderr
    monkeypatch.setenv(f"ALPHAPULSE_{key.upper()}", wrong)
    done = quick(*command, "--exchange", "kraken")
    assert done.code == 2
    assert f"ALPHAPULSE_{key.upper()}: {says}" in done.stderr
    monkeypatch.delenv(f"ALPHAPULSE_{key.upper()}")
    (quick.directory / "alphapulse.toml").write_text(f'{key} = "{wrong}"\n')
    done = quick(*command, "--exchange", "kraken")
    assert done.code == 2
    assert f"{key}: {says}" in done.stderr


@pytest.mark.parametrize(("flag", "value"), [("--rotate", "1h"), ("--keep", "7d"), ("--least-free", "0")])
def test_a_bound_without_a_capture_is_a_mistake(quick, flag, value):
    done = quick("collect", "--exchange", "kraken", flag, value)
    assert done.code == 2
    assert (f"{flag} is about captures" in done.stderr, "hint: add --capture DIR" in done.stderr) == (True, True)


@pytest.mark.parametrize("command", [["collect", "--capture", "c"], ["capture", "run", "c"]])
def test_bounds_come_from_every_layer(quick, monkeypatch, command):
    (quick.directory / "alphapulse.toml").write_text('rotate = "2h"\nkeep = "1d"\nleast_free = "2GiB"\n')
    section = "collect" if command[0] == "collect" else "capture.run"
    folder = str(quick.directory / "c")
    is_all = command[0] == "capture"
    assert planned_by(quick, [*command, "--exchange", "kraken"]).capture == CapturePlan(folder, "2h", "1d", "2GiB", is_all)
    (quick.directory / "alphapulse.toml").write_text(f'keep = "1d"\n[command.{section}]\nkeep = "3d"\n')
    assert planned_by(quick, [*command, "--exchange", "kraken"]).capture == CapturePlan(folder, keep="3d", is_all=is_all)
    monkeypatch.setenv(f"ALPHAPULSE_{section.upper().replace('.', '_')}_KEEP", "4d")
    assert planned_by(quick, [*command, "--exchange", "kraken"]).capture == CapturePlan(folder, keep="4d", is_all=is_all)
    assert planned_by(quick, [*command, "--exchange", "kraken", "--keep", "5GiB"]).capture == CapturePlan(
        folder, keep="5GiB", is_all=is_all
    )


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
