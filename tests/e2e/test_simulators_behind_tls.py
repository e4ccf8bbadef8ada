"""`alphapulse sim --tls`: what it prints is enough for a client in another process, and nothing stays behind."""

import json
import signal
import ssl
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("trustme")
LIMIT_S = 40.0


@pytest.fixture
def served(alphapulse):
    """(process, the line it printed)."""
    process = alphapulse.start("sim", "kraken", "--symbols", "BTC-USD", "--tls", "--json")
    return process, json.loads(process.stdout.readline())


def test_a_collector_that_is_told_of_the_file_is_live_and_another_is_refused(alphapulse, served):
    """Books and instruments: the WebSocket and REST of one address."""
    _, line = served
    assert line["websocket_url"].startswith("wss://127.0.0.1:")
    assert line["rest_url"].startswith("https://127.0.0.1:")
    refused = collected(alphapulse, line, lambda done: "certificate" in done.stderr)
    assert refused.code == 6
    assert "certificate" in refused.stderr
    told = collected(alphapulse, line, lambda done: done.code == 0, SSL_CERT_FILE=line["ca_file"])
    assert told.code == 0, told.stderr


def collected(runner, line, is_enough, **env):
    """How a collector ended after 3 s; after 30 s where the machine was too busy for that to be enough."""
    for duration in ("3s", "30s"):
        done = runner(
            "collect",
            "--exchange",
            "kraken",
            "--symbols",
            "BTC-USD",
            "--url",
            line["websocket_url"],
            "--duration",
            duration,
            timeout=90,
            **env,
        )
        if is_enough(done):
            break
    return done


def test_the_file_is_gone_with_the_simulator(served):
    process, line = served
    trusting = ssl.create_default_context(cafile=line["ca_file"])
    with urllib.request.urlopen(f"{line['rest_url']}/0/public/AssetPairs", context=trusting, timeout=LIMIT_S) as answer:
        assert answer.headers["Date"].endswith("GMT")
    process.send_signal(signal.SIGTERM)
    assert process.wait(LIMIT_S) == 0
    assert not Path(line["ca_file"]).parent.exists()
