"""The server's own metrics: its times, its losses, its clients, each there from 0 on; over /metrics as a scrape finds them."""

import asyncio
import re

import pytest
from support.reader_sets import Writer, ladder
from support.rest_parts import Served

pytest.importorskip("prometheus_client")
pytest.importorskip("fastapi")

from prometheus_client import parser

from alphapulse_cli.apps.serve import own_metrics, scraping
from alphapulse_cli.apps.serve.exposition import CONTENT_TYPE
from alphapulse_cli.apps.serve.metrics import METRICS
from alphapulse_cli.apps.serve.own_metrics import CODES, COUNTS, OWN_METRICS, REASONS
from alphapulse_cli.apps.serve.source import Batch, Lost
from alphapulse_cli.apps.serve.state import ClientFigures
from alphapulse_cli.shm import clock

BOOK = ("kraken", "kraken", "BTC-USD")


@pytest.fixture
def writer(directory):
    with Writer(directory, ("BTC-USD", "ETH-USD")) as made:
        made.snapshot(ladder(40))
        made.snapshot(ladder(40), "ETH-USD")
        yield made


@pytest.fixture
def served(directory, writer):
    with Served(directory) as made:
        made.poll()
        yield made


def scraped(served):
    """Values by (name, the labels' values in order)."""
    answer = served.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name.removeprefix("alphapulse_"), tuple(sample.labels.values())): sample.value
        for family in parser.text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_names_are_unique():
    names = [metric.name for metric in (*METRICS, *OWN_METRICS)]
    assert len(set(names)) == len(names)


def test_a_scrape_has_the_sets_and_the_server(served):
    answer = served.get("/metrics")
    assert answer.headers["content-type"] == CONTENT_TYPE
    assert answer.headers["cache-control"] == "no-store"
    found = scraped(served)
    assert found["set_live", ("kraken", "kraken")] == 1
    assert found["process_resident_memory_bytes", ()] > 1 << 20
    assert found["process_open_fds", ()] > 0
    assert ("process_cpu_seconds_total", ()) in found


def test_every_counter_is_there_at_0_before_its_first_event(served):
    found = scraped(served)
    assert {found["ws_refused_total", (reason,)] for reason in REASONS} == {0}
    assert {found["ws_closed_total", (str(code),)] for code in CODES} == {0}
    assert {found[metric.name.removeprefix("alphapulse_"), ()] for metric in COUNTS.values()} == {0}
    for ring in ("deltas", "trades"):
        assert (
            found["serve_laps_total", ("kraken", "kraken", ring)]
            == found["serve_missed_records_total", ("kraken", "kraken", ring)]
            == 0
        )
    assert found["ws_broadcast_seconds_count", ()] == 0


def test_close_codes_and_reasons_that_come_later_are_shown_too(served):
    served.state.clients.closed[4321] += 2
    served.state.clients.refused["whim"] += 3
    found = scraped(served)
    assert (found["ws_closed_total", ("4321",)], found["ws_refused_total", ("whim",)]) == (2, 3)


def test_clients_are_those_of_the_state(served):
    counts = served.state.clients
    for number, name in enumerate(COUNTS, 1):
        setattr(counts, name, number)
    counts.connected, counts.queue_bytes = 7, lambda: 12_345
    found = scraped(served)
    assert [found[metric.name.removeprefix("alphapulse_"), ()] for metric in COUNTS.values()] == list(range(1, len(COUNTS) + 1))
    assert (found["ws_clients", ()], found["ws_queue_bytes", ()]) == (7, 12_345)


def test_each_client_up_to_a_bound(served):
    figures = [ClientFigures(number, "127.0.0.1", "json", 10 * number, number, 2 * number) for number in range(1, 300)]
    served.state.clients.each = lambda: figures
    found = scraped(served)
    shown = {int(labels[0]): value for (name, labels), value in found.items() if name == "ws_client_sent_bytes_total"}
    assert shown == {number: 10 * number for number in range(1, own_metrics.MOST_CLIENTS + 1)}
    assert found["ws_client_received_bytes_total", ("7", "127.0.0.1", "json")] == 7
    assert found["ws_client_queue_bytes", ("7", "127.0.0.1", "json")] == 14


def test_the_compression_is_that_of_the_statistics(served, writer):
    for lots in range(1, 6):
        writer.update([(999_999, lots, False)])
        served.poll()
    found, row = scraped(served), served.row("/api/v1/delta-stats/kraken/BTC-USD")
    assert found["delta_bytes_total", BOOK] == row["delta_bytes"] > 0
    assert found["full_book_bytes_total", BOOK] == row["full_book_bytes"]
    assert found["compression_ratio", BOOK] == pytest.approx(row["compression_ratio"])


def test_laps_and_what_they_cost(served):
    for missed in (30, 12):
        batch = Batch(clock.monotonic_ns(), missed=[Lost("kraken", "kraken", "deltas", missed, replay=False)])
        served.source.tell(batch)
    found = scraped(served)
    assert (
        found["serve_laps_total", ("kraken", "kraken", "deltas")],
        found["serve_missed_records_total", ("kraken", "kraken", "deltas")],
    ) == (2, 42)


class TestTimes:
    """Histograms of what listeners are told, with a clock that stands."""

    @pytest.fixture
    def still(self, monkeypatch):
        real, monotonic = clock.realtime_ns(), clock.monotonic_ns()
        monkeypatch.setattr(clock, "realtime_ns", lambda: real)
        monkeypatch.setattr(clock, "monotonic_ns", lambda: monotonic)
        return real, monotonic

    def sums(self, served):
        found = scraped(served)
        names = ("ring_wake_seconds", "reconstruction_seconds", "ws_broadcast_seconds")
        return {name: (found[f"{name}_count", ()], found[f"{name}_sum", ()]) for name in names}

    def group(self, served, writer, receive_ns, **other):
        writer.update([(999_999, 5, False)])
        (group,) = served.source.poll(clock.monotonic_ns()).groups
        return group._replace(timestamp_ns=receive_ns, **other)

    def test_from_the_frame_to_waking_and_to_the_last_client(self, served, writer, still):
        before = self.sums(served)
        real, monotonic = still
        group = self.group(served, writer, real - 9_000_000, is_backlog=False)
        served.source.tell(Batch(monotonic - 2_000_000, monotonic - 4_000_000, [group]))
        for observe in served.state.on_broadcast:
            observe(monotonic - 2_000_000, monotonic + 1_000_000)
        after = self.sums(served)
        gained = {name: (after[name][0] - before[name][0], after[name][1] - before[name][1]) for name in after}
        assert gained == {
            "ring_wake_seconds": (1, pytest.approx(0.005)),  # received 9 ms ago, woken 4 ms ago
            "reconstruction_seconds": (1, pytest.approx(0.002)),
            "ws_broadcast_seconds": (1, pytest.approx(0.003)),
        }

    @pytest.mark.parametrize("other", [{"is_backlog": True}, {"replay": True}, {}])
    def test_no_wake_where_it_did_not_sleep_or_the_frame_is_of_the_past(self, served, writer, still, other):
        before = self.sums(served)["ring_wake_seconds"]
        real, monotonic = still
        group = self.group(served, writer, real - 9_000_000, **{"is_backlog": False, **other})
        served.source.tell(Batch(monotonic, 0 if not other else monotonic, [group]))
        assert self.sums(served)["ring_wake_seconds"] == before


class TestAlone:
    """The address of the metrics alone."""

    def ask(self, served, path="/metrics", method="GET"):
        sent = []

        async def send(message):
            sent.append(message)

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def ask():
            await scraping.alone(served.state.metrics)({"type": "http", "path": path, "method": method}, receive, send)

        asyncio.run(ask())
        head, body = sent
        return head["status"], dict(head["headers"]), body["body"]

    def test_it_has_the_same_metrics_and_nothing_else(self, served):
        status, headers, body = self.ask(served)
        assert (status, headers[b"content-type"]) == (200, CONTENT_TYPE.encode())
        names = re.compile(rb"^# TYPE (\S+)", re.MULTILINE)
        assert set(names.findall(body)) == set(names.findall(served.get("/metrics").content))
        assert self.ask(served, "/api/v1/bbo")[0] == 404
        assert self.ask(served, method="POST")[0] == 404
        assert self.ask(served, method="HEAD")[2] == b""


def test_the_own_counts_are_all_those_of_the_state():
    """A count that is added to the state is shown, or named here with the metric that shows it."""
    import dataclasses

    from alphapulse_cli.apps.serve.state import ClientCounts

    elsewhere = {"connected", "refused", "closed", "queue_bytes", "each"}
    assert {one.name for one in dataclasses.fields(ClientCounts)} == set(own_metrics.COUNTS) | elsewhere


def test_no_answer_waits_for_a_delayed_ack():
    """The system would hold back an answer's body until the client confirms its head, 40 ms later."""
    import socket

    from alphapulse_cli.apps.serve.ports import bound

    with bound("REST", "127.0.0.1", 0, "--http-port") as listening, socket.create_connection(listening.getsockname()):
        accepted, _ = listening.accept()
        with accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
