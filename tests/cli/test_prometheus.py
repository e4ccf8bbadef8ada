"""Prometheus itself scrapes a running `alphapulse serve`: the Debian package `prometheus`, where it is installed (scripts/prometheus.sh)."""

import contextlib
import http.client
import json
import shutil
import socket
import subprocess
import time
from urllib.parse import quote

import pytest
from support.reader_sets import kept_alive

from alphapulse_cli.shm.counters import Counter

for module in ("fastapi", "fastapi_offline", "msgpack", "prometheus_client", "uvicorn"):
    pytest.importorskip(module)

pytestmark = [
    pytest.mark.skipif(shutil.which("prometheus") is None, reason="prometheus is not installed: scripts/prometheus.sh brings it"),
    pytest.mark.timeout(180),
]
LIMIT_S = 60.0
TOKEN = "a-token-of-the-tests"
CONFIG = """
global: {{scrape_interval: 250ms, scrape_timeout: 250ms}}
scrape_configs:
  - job_name: alphapulse
    authorization: {{credentials: {token}}}
    static_configs: [{{targets: ['{rest}']}}]
  - job_name: without_token
    static_configs: [{{targets: ['{rest}']}}]
  - job_name: alone
    static_configs: [{{targets: ['{alone}']}}]
  - job_name: itself
    static_configs: [{{targets: ['{itself}']}}]
"""


class Prometheus:
    """A Prometheus with a fresh store; `ask` is its query language."""

    def __init__(self, folder, rest, alone):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        itself = f"127.0.0.1:{self.port}"
        (folder / "prometheus.yml").write_text(CONFIG.format(token=TOKEN, rest=rest, alone=alone, itself=itself))
        self.process = subprocess.Popen(
            [
                "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={itself}",
                "--log.level=error",
            ],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def ask(self, query):
        """{the labels' values that are named in the answer: value} of an instant query."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.request("GET", f"/api/v1/query?query={quote(query)}")
            answer = json.loads(connection.getresponse().read())
        assert answer["status"] == "success", answer
        return {tuple(sorted(one["metric"].items())): float(one["value"][1]) for one in answer["data"]["result"]}

    def value(self, query):
        """The only value of a query, None without one."""
        found = self.ask(query)
        assert len(found) <= 1, found
        return next(iter(found.values()), None)

    def until(self, query, wanted):
        """Wait until the only value of a query is as wanted."""
        end, value = time.monotonic() + LIMIT_S, "no answer"
        while time.monotonic() < end:
            with contextlib.suppress(OSError, http.client.HTTPException, ValueError):
                value = self.value(query)
                if wanted(value):
                    return value
            time.sleep(0.05)
        raise AssertionError(f"{query} is {value}")

    def close(self):
        self.process.terminate()
        self.process.wait(30)


@pytest.fixture
def served(alphapulse, writer, tmp_path):
    token = tmp_path / "token"
    token.write_text(TOKEN)
    token.chmod(0o600)
    with kept_alive(writer):
        process = alphapulse.start(
            "serve", "--port", "0", "--http-port", "0", "--metrics-bind", "127.0.0.1:0", "--token-file", str(token), "--json"
        )
        line = process.stdout.readline()
        assert line, process.communicate()
        yield process, json.loads(line)


@pytest.fixture
def prometheus(served, tmp_path):
    _, row = served
    made = Prometheus(tmp_path, *(row[name].split("//")[1].split("/")[0] for name in ("rest_url", "metrics_url")))
    yield made
    made.close()


def test_it_scrapes_stores_what_is_true_and_forgets_what_has_ended(prometheus, served, writer):
    process, _ = served
    for job in ("alphapulse", "alone"):
        prometheus.until(f'up{{job="{job}"}}', lambda up: up == 1)
    prometheus.until('up{job="without_token"}', lambda up: up == 0)
    for lots in range(1, 30):
        writer.update([(999_999, lots, False)])
    groups = writer.keepers["BTC-USD"].counters.get(Counter.GROUPS)
    name = '{job="alphapulse",symbol="BTC-USD"}'
    prometheus.until(f"alphapulse_groups_total{name}", lambda value: value == groups)
    assert prometheus.value(f"alphapulse_book_state{name}") == 2
    assert prometheus.value('alphapulse_book_levels{job="alphapulse",symbol="BTC-USD",side="bid"}') == writer.book().bid_count
    prometheus.until(
        'histogram_quantile(0.5, sum by (le) (alphapulse_reconstruction_seconds_bucket{job="alphapulse"}))',
        lambda value: value is not None,
    )
    for fault in ("duplicate_timestamp", "out_of_order", "out_of_bounds"):
        prometheus.until(f'prometheus_target_scrapes_sample_{fault}_total{{job="itself"}}', lambda value: value == 0)
    process.terminate()
    process.wait(30)
    prometheus.until(f"alphapulse_book_state{name}", lambda value: value is None)
    assert prometheus.value('up{job="alphapulse"}') == 0
