"""The metrics: every value is that of the segments, every counter is there before its first event, and Prometheus can read the text."""

import asyncio
import os
import re
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.flow_parts import River, listed

from alphapulse_cli.apps.serve import exposition, metrics
from alphapulse_cli.apps.serve.exposition import Heads, Metric, Page
from alphapulse_cli.apps.serve.metrics import BUCKETS, METRICS, SUMS, Exporter, cumulated
from alphapulse_cli.edges.opportunities.watch_counters import Tally
from alphapulse_cli.flow.arbitrage.candidate import RejectReason
from alphapulse_cli.flow.outlet import Outlet
from alphapulse_cli.market.trading_status import TradingStatus
from alphapulse_cli.readers.selection import Wanted
from alphapulse_cli.shm import clock
from alphapulse_cli.shm.counters import LAST_VALUES, Counter, CountersReader
from alphapulse_cli.shm.cursor import Cursor
from alphapulse_cli.shm.histogram import HISTOGRAM_BYTES, Histogram, bucket_end
from alphapulse_cli.shm.scores import RowKind, Score, ScoresWriter
from alphapulse_cli.wire.delta import BookState

parser = pytest.importorskip("prometheus_client.parser")
SYMBOLS = ("BTC-USD", "ETH-USD")


def families(text):
    """What a stranger's parser finds: metrics by name."""
    return {family.name: family for family in parser.text_string_to_metric_families(text)}


def samples(text):
    """Values by (name, the labels' values in order)."""
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in families(text).values()
        for sample in family.samples
    }


@pytest.fixture
def river(directory):
    made = River(directory, "kraken", [listed("kraken", symbol) for symbol in SYMBOLS])
    made.connect()
    made.outlet.beat(clock.monotonic_ns())
    yield made
    made.outlet.close()


@pytest.fixture
def exporter(directory, river):
    return Exporter(directory)


class TestTheTable:
    def test_names_are_unique_and_in_prometheus_form(self):
        assert len({metric.name for metric in METRICS}) == len(METRICS)
        for metric in METRICS:
            assert re.fullmatch(r"alphapulse_[a-z][a-z0-9_]*[a-z]", metric.name)
            assert metric.name.endswith("_total") == (metric.kind == "counter")
            assert metric.meaning

    def test_every_counter_of_a_set_has_a_metric(self):
        assert set(metrics.COUNTERS) == set(Counter) - LAST_VALUES


class TestASet:
    def test_each_counter_is_that_of_the_segment(self, exporter, river):
        river.change([(9_990, 5, False), (10_010, 7, True)])
        river.change([(9_990, 5, False)], "ETH-USD", spoil=True)
        river.ask()
        found, truth = samples(exporter.text()), CountersReader(river.outlet.counters.segment).blocks()
        assert truth["ETH-USD"]["checksums_bad"] == 1
        for symbol, values in truth.items():
            for c in SUMS:
                assert found.get((f"alphapulse_{c.label}_total", ("kraken", "kraken", symbol)), 0) == values[c.label]

    def test_the_sum_over_symbols_is_the_total(self, exporter, river):
        river.change([(9_990, 5, False)])
        found, total = samples(exporter.text()), CountersReader(river.outlet.counters.segment).total()
        for c in SUMS:
            name = f"alphapulse_{c.label}_total"
            assert sum(value for (of, _), value in found.items() if of == name) == total[c.label]

    def test_every_counter_is_there_at_0_before_its_first_event(self, directory):
        with Outlet(directory, "kraken", "kraken", ["BTC-USD"], 0, clock.monotonic_ns()) as outlet:
            outlet.counters.block("BTC-USD")
            found = samples(Exporter(directory).text())
        for c in SUMS:
            values = [value for (name, _), value in found.items() if name == f"alphapulse_{c.label}_total"]
            assert values == [0] * (2 if c is Counter.GAPS else 1), c

    @pytest.mark.parametrize("counter", SUMS)
    def test_whatever_is_counted_is_shown_wherever_it_is_counted(self, directory, counter):
        with Outlet(directory, "kraken", "kraken", ["BTC-USD"], 0, clock.monotonic_ns()) as outlet:
            for symbol, times in (("", 3), ("BTC-USD", 4)):
                outlet.counters.block(symbol).add(counter, times)
            found = samples(Exporter(directory).text())
        name = f"alphapulse_{counter.label}_total"
        assert [found[name, ("kraken", "kraken", symbol)] for symbol in ("", "BTC-USD")] == [3, 4]

    def test_numbers_above_2_53_are_exact_in_the_text(self, directory):
        with Outlet(directory, "kraken", "kraken", ["BTC-USD"], 0, clock.monotonic_ns()) as outlet:
            outlet.counters.block("").add(Counter.BYTES, 2**53 + 1)
            assert (
                f'\nalphapulse_bytes_total{{exchange="kraken",set="kraken",symbol=""}} {2**53 + 1}\n' in Exporter(directory).text()
            )

    def test_no_gauge_can_pass_2_53_and_no_sample_has_a_timestamp(self, exporter, river):
        river.change([(9_990, 5, False)])
        text = exporter.text()
        for line in text.splitlines():
            assert line.startswith("#") or re.fullmatch(r'[a-z_]+(\{([a-z]+="([^"\\]|\\.)*",?)*\})? [0-9.e+-]+', line), line
        for family in families(text).values():
            assert family.type != "gauge" or all(abs(sample.value) < 2**53 for sample in family.samples)
        assert samples(text)["alphapulse_writer_info", ("kraken", "kraken", str(os.getpid()), str(river.outlet.epoch))] == 1

    def test_the_time_of_the_last_frame_is_a_gauge(self, exporter, river):
        river.change([(9_990, 5, False)])
        assert samples(exporter.text())["alphapulse_last_frame_timestamp_seconds", ("kraken", "kraken")] == river.now / 1e9

    def test_what_is_not_known_has_no_sample(self, directory):
        with Outlet(directory, "kraken", "kraken", ["BTC-USD"], 0, clock.monotonic_ns()):
            names = families(Exporter(directory).text())
        assert not names.keys() & {
            "alphapulse_last_frame_timestamp_seconds",
            "alphapulse_book_state",
            "alphapulse_recording_timestamp_seconds",
        }

    def test_a_writer_that_has_ended_is_told_and_its_books_are_stale(self, exporter, river):
        river.change([(9_990, 5, False)])
        before = samples(exporter.text())
        river.outlet.close()
        after = samples(exporter.text())
        book = ("alphapulse_book_state", ("kraken", "kraken", "BTC-USD"))
        live = ("alphapulse_set_live", ("kraken", "kraken"))
        assert (before[live], before[book]) == (1, BookState.LIVE)
        assert (after[live], after[book]) == (0, BookState.STALE)
        assert not any(name.startswith("alphapulse_collector_") for name, _ in after)

    def test_a_restart_is_followed(self, exporter, river, directory):
        river.change([(9_990, 5, False)])
        assert samples(exporter.text())["alphapulse_groups_total", ("kraken", "kraken", "BTC-USD")] > 0
        river.outlet.close()
        with Outlet(directory, "kraken", "kraken", SYMBOLS, 0, clock.monotonic_ns()) as outlet:
            outlet.counters.block("BTC-USD").add(Counter.GROUPS, 77)
            found = samples(exporter.text())
        assert found["alphapulse_groups_total", ("kraken", "kraken", "BTC-USD")] == 77
        assert found["alphapulse_set_live", ("kraken", "kraken")] == 1

    def test_a_replay_is_told(self, directory):
        with Outlet(directory, "past", "kraken", ["BTC-USD"], 0, clock.monotonic_ns(), replay=True):
            assert samples(Exporter(directory).text())["alphapulse_set_replay", ("kraken", "past")] == 1

    def test_a_damaged_file_is_counted_and_the_others_are_told(self, exporter, river, directory):
        (directory.path / "broken_counters").write_bytes(b"\0" * 8192)
        found = samples(exporter.text())
        assert found["alphapulse_unreadable_segments", ()] == 1
        assert found["alphapulse_set_live", ("kraken", "kraken")] == 1

    def test_only_the_wanted_sets_and_symbols(self, directory, river):
        found = Exporter(directory, Wanted.of(None, ["kraken:ETH-USD"])).text()
        assert 'symbol="ETH-USD"' in found
        assert 'symbol="BTC-USD"' not in found
        assert 'set="kraken"' not in Exporter(directory, Wanted.of(["coinbase"], None)).text()

    def test_the_writers_cpu_memory_and_descriptors(self, exporter):
        found = samples(exporter.text())
        assert found["alphapulse_collector_resident_bytes", ("kraken", "kraken")] > 1 << 20
        assert found["alphapulse_collector_open_fds", ("kraken", "kraken")] > 0
        assert ("alphapulse_collector_cpu_seconds_total", ("kraken", "kraken")) in found


class TestABook:
    def test_its_state_its_levels_and_its_market(self, exporter, river):
        river.change([(9_990, 5, False), (9_980, 5, False), (10_010, 7, True)])
        found, book = samples(exporter.text()), ("kraken", "kraken", "BTC-USD")
        keeper = river.keeper()
        assert found["alphapulse_book_levels", (*book, "bid")] == len(keeper.book.bids())
        assert found["alphapulse_book_levels", (*book, "ask")] == len(keeper.book.asks())
        assert found["alphapulse_book_state", book] == keeper.state
        assert found["alphapulse_book_trading_status", book] == keeper.trading_status
        assert keeper.trading_status in set(TradingStatus)
        assert found["alphapulse_book_changed_timestamp_seconds", book] == river.now / 1e9


class TestRings:
    def test_a_readers_lag_its_losses_and_the_occupancy(self, exporter, river, directory):
        ring = river.outlet.deltas.segment
        with Cursor(directory, ring.name, ring.epoch, 'evil"\n\\') as mine:
            mine.update(2, 40)
            river.change([(9_990, 5, False)])
            found = samples(exporter.text())
        (lag,) = [value for (name, _), value in found.items() if name == "alphapulse_reader_lag_records"]
        ((labels, missed),) = [
            (labels, value) for (name, labels), value in found.items() if name == "alphapulse_reader_missed_records_total"
        ]
        assert (lag, missed) == (ring.published - 2, 40)
        assert labels[3].startswith('evil"')
        assert found["alphapulse_ring_occupancy_ratio", ("kraken", "kraken", "deltas")] == lag / ring.spec.capacity
        assert found["alphapulse_ring_occupancy_ratio", ("kraken", "kraken", "trades")] == 0
        assert found["alphapulse_ring_published_records_total", ("kraken", "kraken", "deltas")] == ring.published


class TestScores:
    @pytest.fixture
    def scored(self, directory, river):
        file = ScoresWriter(directory, "kraken", "kraken", 1, 10**12)
        btc, eth = (file.row(RowKind.SYMBOL, symbol, 10**12) for symbol in SYMBOLS)
        link = file.row(RowKind.CONNECTION, "1", 10**12)
        for row in (btc, eth):
            row.on_connection(1)
            row.add(Score.OBSERVED_NS, 20 * 10**9)
        link.on_connection(1)
        link.add(Score.BYTES, 12_345)
        link.add(Score.OPEN_NS, 19 * 10**9)
        btc.add(Score.VALID_NS, 15 * 10**9)
        for healing_ms in (3, 5, 7):
            btc.add(Score.BREAKS)
            btc.healed(healing_ms * 1_000_000)
        file.updated(10**12)
        return file

    def test_valid_time_breaks_healing_and_connections(self, exporter, scored):
        found = samples(exporter.text())
        times = [
            found[f"alphapulse_{name}_seconds_total", ("kraken", "kraken", "BTC-USD")]
            for name in ("observed", "valid", "restricted")
        ]
        assert times == [20, 15, 0]
        assert [found["alphapulse_breaks_total", ("kraken", "kraken", symbol)] for symbol in SYMBOLS] == [3, 0]
        assert found["alphapulse_healings_total", ("kraken", "kraken")] == 3
        quantiles = [found["alphapulse_healing_seconds", ("kraken", "kraken", quantile)] for quantile in ("0.5", "0.99")]
        assert quantiles == [0.005, 0.007]
        connection = ("kraken", "kraken", "1")
        assert found["alphapulse_connection_received_bytes_total", connection] == 12_345
        assert found["alphapulse_connection_open_seconds_total", connection] == 19
        assert found["alphapulse_connection_reconnects_total", connection] == 0

    def test_without_a_healing_no_duration_is_told(self, exporter, directory, river):
        file = ScoresWriter(directory, "kraken", "kraken", 1, 10**12)
        file.row(RowKind.SYMBOL, "BTC-USD", 10**12).add(Score.OBSERVED_NS, 5)
        text = exporter.text()
        assert samples(text)["alphapulse_healings_total", ("kraken", "kraken")] == 0
        assert "alphapulse_healing_seconds" not in text

    def test_without_scores_there_are_none(self, exporter, river):
        assert "alphapulse_valid_seconds" not in exporter.text()

    def test_no_series_has_two_samples(self, exporter, scored):
        heads = [line.rpartition(" ")[0] for line in exporter.text().splitlines() if not line.startswith("#")]
        assert len(set(heads)) == len(heads)


class TestArbitrage:
    def test_without_a_watch_there_is_none(self, exporter):
        text = exporter.text()
        assert samples(text)["alphapulse_arbitrage_watches", ()] == 0
        assert {name for name in families(text) if "arbitrage" in name} == {"alphapulse_arbitrage_watches"}

    def test_a_watchs_counts_each_reason_from_0_on(self, exporter, directory):
        with Tally(directory) as tally:
            tally.write({"books": 4, "books_live": 3, "candidates": 6, "looks": 9, "opened": 2, "open": 1, "missed": 0,
                         "held_back": {"too_small": 5}}, 10**12)  # fmt: skip
            found = samples(exporter.text())
        by_reason = {labels[1]: value for (name, labels), value in found.items() if name == "alphapulse_arbitrage_held_back_total"}
        assert by_reason == {why.value: 5 if why is RejectReason.TOO_SMALL else 0 for why in RejectReason}
        counts = {name: value for (name, _), value in found.items() if "arbitrage" in name and "held" not in name}
        assert counts == {
            "alphapulse_arbitrage_watches": 1, "alphapulse_arbitrage_books": 4, "alphapulse_arbitrage_books_live": 3,
            "alphapulse_arbitrage_candidates": 6, "alphapulse_arbitrage_looks_total": 9, "alphapulse_arbitrage_opportunities_total": 2,
            "alphapulse_arbitrage_opportunities_open": 1, "alphapulse_arbitrage_missed_records_total": 0,
        }  # fmt: skip


def exact(values):
    """The buckets and the sum as Prometheus defines them: values up to each bound, in a loop."""
    bounds = [bucket_end(bucket) for bucket in BUCKETS]
    return [sum(value <= bound for value in values) for bound in bounds] + [len(values)], sum(values) / 1e9


def recorded(values):
    histogram = Histogram(bytearray(HISTOGRAM_BYTES))
    for value in values:
        histogram.record(value)
    return histogram.read()


EDGES = [bucket_end(bucket) + by for bucket in BUCKETS for by in (-1, 0, 1)]


class TestHistograms:
    @given(st.lists(st.one_of(st.sampled_from(EDGES), st.integers(0, 2**40 - 1)), max_size=40))
    def test_every_count_is_exact(self, values):
        buckets, total = cumulated(recorded(values))
        assert ([count for _, count in buckets], total) == exact(values)
        assert [float(bound) for bound, _ in buckets] == [*(bucket_end(bucket) / 1e9 for bucket in BUCKETS), float("inf")]

    @pytest.mark.parametrize("by", [-1, 1])
    def test_bounds_a_bucket_further_would_be_found_out(self, monkeypatch, by):
        monkeypatch.setattr(metrics, "BUCKETS", tuple(bucket + by for bucket in BUCKETS))
        monkeypatch.setattr(metrics, "BOUNDS", {bucket + by: bound for bucket, bound in metrics.BOUNDS.items()})
        buckets, _ = cumulated(recorded(EDGES))
        assert [count for _, count in buckets] != exact(EDGES)[0]

    def test_the_bounds_lie_beyond_what_happens(self):
        assert bucket_end(BUCKETS[0]) < 1_100
        assert bucket_end(BUCKETS[-1]) > 300 * 10**9

    def test_times_too_long_for_the_segment_are_in_inf_alone(self):
        buckets, _ = cumulated(recorded([2**50]))
        assert [count for _, count in buckets] == [0] * len(BUCKETS) + [1]

    def test_an_exchange_and_a_stage_each(self, exporter, river):
        for delay in (-5, 1_000, 2_000_000):
            river.outlet.counters.feed_delay.record(delay)
        held = CountersReader(river.outlet.counters.segment).histograms()
        found = samples(exporter.text())
        for name, stage in metrics.STAGES.items():
            assert found["alphapulse_latency_seconds_count", ("kraken", "kraken", stage)] == held[name].count
        assert found["alphapulse_feed_delay_below_zero_total", ("kraken", "kraken")] == held["feed_delay_ns"].below_zero >= 1


class TestTheText:
    @given(st.text())
    def test_any_label_is_read_back_as_it_is_shown(self, value):
        metric = Metric("x", "gauge", ("label",), "m")
        page = Page([metric], Heads())
        page.add(metric, (value,), 1)
        ((found,),) = [family.samples for family in families(page.text()).values()]
        shown = found.labels["label"]
        assert shown.isascii()
        assert shown.isprintable()
        assert shown == value or not (value.isascii() and value.isprintable())

    def test_kept_heads_are_bounded_and_made_again(self, monkeypatch):
        monkeypatch.setattr(exposition, "MOST_HEADS", 3)
        heads, metric = Heads(), Metric("x", "gauge", ("label",), "m")
        assert [heads.head(metric, (str(i % 5),)) for i in range(20)] == [f'x{{label="{i % 5}"}} ' for i in range(20)]
        assert len(heads._made) <= 3

    def test_in_steps_it_is_the_same_and_other_tasks_run_in_between(self, exporter, river):
        river.change([(9_990, 5, False)])
        turns = []

        async def other():
            while True:
                turns.append(1)
                await asyncio.sleep(0)

        async def scrape():
            beside = asyncio.create_task(other())
            text = await exporter.text_in_steps()
            beside.cancel()
            return text

        text = asyncio.run(scrape())
        assert len(turns) > 1
        strip = re.compile(r"alphapulse_collector_.*\n")
        assert strip.sub("", text) == strip.sub("", exporter.text())

    def test_what_the_process_measures_itself_follows(self, directory, river):
        from prometheus_client import CollectorRegistry, Counter

        registry = CollectorRegistry()
        Counter("alphapulse_own", "Something of ours", registry=registry).inc(3)
        assert samples(Exporter(directory, registry=registry).text())["alphapulse_own_total", ()] == 3

    @pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool (Debian package prometheus) is not installed")
    def test_promtool_has_nothing_to_say(self, exporter, river):
        done = subprocess.run(["promtool", "check", "metrics"], input=exporter.text(), text=True, capture_output=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
