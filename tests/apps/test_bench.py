"""Benchmarks: what a line is made of, when a run counts as slower, how targets are judged, and that nothing is left behind.

No test asserts a time: only what follows from given samples, and that what was timed was right.
"""

import dataclasses
import fcntl
import importlib
import mmap
import os
import signal
import subprocess
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alphapulse_cli.apps import bench
from alphapulse_cli.apps.bench import capture, children, compare, frames, ground, measure, report, targets
from alphapulse_cli.apps.bench.scenarios import book, decode, memory, pipeline
from alphapulse_cli.book.book import Book
from alphapulse_cli.edges.capture import feeds
from alphapulse_cli.errors import IntegrityError, UsageError
from alphapulse_cli.market.events import Update
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.private import private_directory

KRAKEN = next(feed for feed in frames.FEEDS if feed.exchange == "kraken")


def line(ratio=2.0, spread=0.1, case="publish", scenario="ring", p50=10.0):
    """A line whose rounds' middle half lies `spread` (a fraction) around its ratio."""
    low, high = ratio * (1 - spread), ratio * (1 + spread)
    return report.Result(
        scenario, case, "ns", 9, 1, p50, 2 * p50, 3 * p50, 4 * p50, 5 * p50, "memcpy", 5.0, ratio, low, high, "all else"
    )


def run_of(*results, core="compiled"):
    return report.Report({"schema": report.SCHEMA, "core": core}, list(results))


class TestALine:
    def test_its_keys_are_the_documented_ones_in_their_order(self):
        assert [field.name for field in dataclasses.fields(report.Result)] == [field.name for field in report.RESULT_FIELDS]

    def test_every_scenario_is_a_module_that_measures(self):
        for name in bench.SCENARIOS:
            assert callable(importlib.import_module(f"alphapulse_cli.apps.bench.scenarios.{name}").measure)

    def test_it_is_medians_and_percentiles_of_its_samples(self):
        samples = report.Samples([float(i) for i in range(1000, 0, -1)], [7.0, 5.0, 6.0], [4.0, 1.0, 3.0, 2.0])
        made = samples.result("a", "b", "memcpy", "all else")
        assert (made.count, made.p50, made.p90, made.p99, made.p99_9, made.max) == (1000, 500, 900, 990, 999, 1000)
        assert (made.reference_p50, made.ratio_low, made.ratio, made.ratio_high) == (6, 1, 2, 3)

    @given(st.lists(st.floats(0, 1e9), min_size=1), st.floats(0, 1))
    def test_a_quantile_is_the_smallest_sample_that_so_many_do_not_exceed(self, values, fraction):
        ordered = sorted(values)
        found = report.quantile(ordered, fraction)
        assert found in ordered
        assert sum(value <= found for value in ordered) >= fraction * len(ordered)
        assert sum(value < found for value in ordered) <= fraction * len(ordered)

    def test_a_run_survives_its_json(self, tmp_path):
        made = report.new_report(quick=True)
        made.results.append(line())
        made.left_out.append(report.LeftOut("ring", "x", "because"))
        report.save(tmp_path / "run.json", made.to_json())
        assert report.load(tmp_path / "run.json") == made
        assert [path.name for path in tmp_path.iterdir()] == ["run.json"], "no temporary file stays"

    def test_the_heads_keys_are_the_documented_ones(self):
        made = report.new_report(quick=False).to_json()
        assert [*made, "comparison", "targets"] == [field.name for field in report.HEAD_FIELDS]

    @pytest.mark.parametrize(
        "text", ["", "[]", "{}", '{"schema": 0}', '{"schema": 1}', '{"schema": 1, "results": [{}], "left_out": []}']
    )
    def test_what_is_no_run_is_refused(self, text, tmp_path):
        path = tmp_path / "run.json"
        path.write_text(text)
        with pytest.raises(UsageError, match="is not a saved benchmark"):
            report.load(path)

    def test_a_file_that_is_not_there_is_the_persons_mistake(self, tmp_path):
        with pytest.raises(UsageError, match="cannot read"):
            report.load(tmp_path / "none.json")


class TestTurns:
    """The arithmetic, on a clock that we hold."""

    def test_a_ratio_is_of_what_one_counted_thing_costs(self):
        samples = measure.by_turns(lambda n: 4800.0 * n, lambda n: 100.0 * n, 0, per_call=16)
        assert samples.result("a", "b", "c", "d").ratio == 3

    def test_work_and_reference_alternate(self):
        order = []

        def timed(name):
            def run(count):
                order.append(name)
                return 1e6 * count

            return run

        measure.by_turns(timed("work"), timed("reference"), 0)
        assert order[-2 * measure.FEWEST :] == ["work", "reference"] * measure.FEWEST

    def test_a_sample_is_never_more_calls_than_allowed(self):
        calls = []

        def work(count):
            calls.append(count)
            return 0.1 * count

        samples = measure.by_turns(work, lambda n: 1e6 * n, 0, most_calls=100)
        assert (max(calls), samples.batch) == (100, 100)

    def test_each_frame_goes_once_through_both(self):
        seen: dict[str, list[bytes]] = {"work": [], "reference": []}
        given_frames = [bytes([i]) for i in range(measure.FRAMES_A_TURN + 3)]
        samples = measure.frame_by_frame(seen["work"].append, seen["reference"].append, given_frames)
        assert seen == {"work": given_frames, "reference": given_frames}
        assert (len(samples.work), len(samples.ratios)) == (len(given_frames), 2)

    def test_what_does_more_takes_longer(self):
        """A real clock, and a difference that no noise hides: the medians of a thousandfold copy and of a small one."""
        samples = measure.by_turns(measure.memcpy_of(8 << 20), measure.memcpy_of(8), 0.05)
        assert samples.result("a", "b", "c", "d").ratio > 10


EXAMPLES = {  # (then, now) -> what a factor of 1.25 says
    "the same": (line(2.0), line(2.0), compare.SAME),
    "a little slower, surely": (line(2.0, 0.001), line(2.4, 0.001), compare.SAME),
    "much slower": (line(2.0, 0.1), line(4.0, 0.1), compare.SLOWER),
    "slower beyond the factor, both steady": (line(2.0, 0.02), line(2.6, 0.02), compare.SLOWER),
    "the medians differ, the rounds of now do not agree": (line(2.0, 0.02), line(3.0, 0.5), compare.NOISY),
    "the medians differ, the rounds of then did not agree": (line(2.0, 0.8), line(3.0, 0.02), compare.NOISY),
    "much faster": (line(4.0, 0.1), line(2.0, 0.1), compare.FASTER),
}

MUTANTS = {
    "medians alone": lambda then, now, factor: compare.SLOWER if now.ratio > factor * then.ratio else compare.SAME,
    "spread alone": lambda then, now, _: compare.SLOWER if now.ratio_low > then.ratio_high else compare.SAME,
    "only the old run's spread": lambda then, now, factor: (
        compare.SLOWER if now.ratio > factor * then.ratio and now.ratio > then.ratio_high else compare.SAME
    ),
    "only the new run's spread": lambda then, now, factor: (
        compare.SLOWER if now.ratio > factor * then.ratio and now.ratio_low > then.ratio else compare.SAME
    ),
    "times instead of ratios": lambda then, now, factor: compare.SLOWER if now.p50 > factor * then.p50 else compare.SAME,
    "nothing is ever slower": lambda *_: compare.SAME,
    "the wrong way round": lambda then, now, factor: compare.verdict_of(now, then, factor),
}


def fails(verdict_of):
    """The examples whose run ends with exit code 5 under this rule and should not, or the other way."""
    return [
        name for name, (then, now, meant) in EXAMPLES.items() if (verdict_of(then, now, 1.25) == "slower") != (meant == "slower")
    ]


class TestComparing:
    @pytest.mark.parametrize("name", EXAMPLES)
    def test_slower_is_over_the_factor_and_beyond_both_spreads(self, name):
        then, now, meant = EXAMPLES[name]
        assert compare.verdict_of(then, now, 1.25) == meant

    @pytest.mark.parametrize("name", MUTANTS)
    def test_another_rule_would_be_noticed(self, name):
        assert fails(MUTANTS[name])
        assert not fails(compare.verdict_of)

    @given(st.floats(0.01, 100), st.floats(0, 0.9), st.floats(1.01, 10))
    def test_a_run_is_never_slower_than_itself(self, ratio, spread, factor):
        one = line(ratio, spread)
        assert compare.verdict_of(one, one, factor) == compare.SAME

    @given(st.floats(0.01, 100), st.floats(0, 0.2), st.floats(1.01, 10))
    def test_slower_seen_from_the_other_side_is_faster(self, ratio, spread, factor):
        then, now = line(ratio, spread), line(ratio * factor * 1.6, spread)
        assert compare.verdict_of(then, now, factor) == compare.SLOWER
        assert compare.verdict_of(now, then, factor) == compare.FASTER

    def test_lines_are_met_by_scenario_and_case(self):
        then = run_of(line(case="gone"), line(2.0, case="both"), line(case="gone", scenario="book"))
        now = run_of(line(9.0, case="both"), line(case="new"))
        found = compare.compare(then, now, 1.25, ["ring"])
        assert [(one.case, one.verdict) for one in found] == [
            ("both", compare.SLOWER),
            ("new", compare.ONLY_HERE),
            ("gone", compare.ONLY_THERE),
        ], "what did not run now is no news"
        assert [one.case for one in compare.slower(found)] == ["both"]
        assert found[0].grown == 4.5

    def test_cores_are_not_mixed(self):
        with pytest.raises(UsageError, match="interpreted core"):
            compare.compare(run_of(line(), core="interpreted"), run_of(line()), 1.25, ["ring"])

    @pytest.mark.parametrize("factor", [1.0, 0.5, -1, float("nan")])
    def test_a_factor_is_more_than_one(self, factor):
        with pytest.raises(UsageError, match="factor"):
            compare.check_factor(factor)


class TestTargets:
    TARGET = targets.Target("twice at most", "ring", "publish", "ratio", 2.0)

    def outcome(self, *results, left_out=(), target=TARGET):
        [verdict] = targets.judge(results, left_out, [target])
        return verdict.outcome, verdict.value, verdict.reason

    def test_the_bound_itself_is_met(self):
        assert self.outcome(line(2.0)) == (targets.Outcome.MET, 2.0, "")

    def test_beyond_it_is_missed(self):
        assert self.outcome(line(2.001)) == (targets.Outcome.MISSED, 2.001, "")

    def test_the_key_says_what_is_read(self):
        timed = dataclasses.replace(self.TARGET, key="p99", at_most=30.0)
        assert self.outcome(line(99.0, p50=10.0), target=timed) == (targets.Outcome.MET, 30.0, "")

    def test_what_did_not_run_is_neither(self):
        assert self.outcome(line(1.0, case="another")) == (targets.Outcome.NOT_MEASURED, None, "`bench ring` did not run")

    def test_what_could_not_be_measured_says_why(self):
        left_out = [report.LeftOut("ring", "publish", "no room")]
        assert self.outcome(left_out=left_out) == (targets.Outcome.NOT_MEASURED, None, "no room")
        nowhere = targets.Target("as fast as another", reason="it is not here")
        assert self.outcome(line(), target=nowhere) == (targets.Outcome.NOT_MEASURED, None, "it is not here")

    def test_a_verdict_has_the_unit_of_what_it_read(self):
        heavy = dataclasses.replace(line(), unit="bytes")
        judged = [targets.judge([heavy], [], [dataclasses.replace(self.TARGET, key=key)])[0].unit for key in ("p50", "ratio")]
        assert judged == ["bytes", ""]

    def test_only_missed_ones_fail_a_run(self):
        found = targets.judge([line(9.0)], [], [self.TARGET, targets.Target("else", reason="not here")])
        assert [one.what for one in targets.missed(found)] == ["twice at most"]

    @pytest.mark.parametrize("target", targets.TARGETS, ids=lambda target: target.what[:40])
    def test_each_names_a_scenario_and_a_number_or_a_reason(self, target):
        if target.reason:
            assert (target.scenario, target.case, target.at_most) == ("", "", 0.0)
        else:
            assert target.scenario in bench.SCENARIOS
            assert target.key in {field.name for field in report.RESULT_FIELDS if field.type == "number"}
            assert target.at_most > 0


class TestWhatIsTimedIsRight:
    def test_the_second_message_undoes_the_first(self):
        rows = book.full_book()
        assert len(rows) == len({(ticks, ask) for ticks, _, ask in rows}) == book.LEVEL_COUNT
        one = Book(book.PRICE_DECIMALS, book.SIZE_DECIMALS)
        one.load(book.levels_of(rows))
        before = one.book_hash
        for depth in (book.NEAR, book.DEEP):
            first, second = book.ten_changes(depth, rows)
            assert one.apply(first, None) == 10
            assert one.book_hash != before
            assert one.apply(second, None) == 10
            assert one.book_hash == before

    def test_near_means_within_200_levels_of_the_best(self):
        rows = book.full_book()
        near = {level[:1] + level[2:] for side in (False, True) for level in [r for r in rows if r[2] is side][: book.NEAR]}
        first, _ = book.ten_changes(book.NEAR, rows)
        assert sum((ticks, ask) in near for ticks, _, ask in first) == 7, "three are new prices between them"

    @pytest.mark.parametrize("feed", frames.FEEDS, ids=lambda feed: feed.case)
    def test_each_frame_of_a_tape_is_one_update(self, feed):
        made = frames.tape(feed, 40)
        decoder = frames.open_decoder(made)
        for frame in made.updates:
            events = decoder.receive(frame, frames.STARTED_NS)
            assert sum(isinstance(event, Update) for event in events) == 1

    def measured(self, shm_dir, monkeypatch, made):
        monkeypatch.setattr(pipeline, "tapes", lambda *_: iter([("kraken", made)]))
        with private_directory(str(shm_dir), "bench") as directory:
            return list(pipeline.measure(ground.Ground(directory, quick=True)))

    def test_the_pipelines_book_is_the_markets(self, shm_dir, monkeypatch):
        [found] = self.measured(shm_dir, monkeypatch, frames.tape(KRAKEN, 40))
        assert found.count == 40

    @pytest.mark.parametrize(
        "spoil", [lambda updates: updates[:-3], lambda updates: [*updates[:5], *updates[9:]]], ids=["short", "gap"]
    )
    def test_a_wrong_book_is_no_benchmark(self, shm_dir, monkeypatch, spoil):
        made = frames.tape(KRAKEN, 40)
        with pytest.raises(IntegrityError, match="pipeline, kraken"):
            self.measured(shm_dir, monkeypatch, dataclasses.replace(made, updates=spoil(made.updates)))


class TestMemory:
    """Against processes whose memory we know."""

    def test_it_is_what_the_kernel_says_of_that_process(self):
        rss, peak = memory.resident_bytes(os.getpid()), memory.resident_bytes(os.getpid(), "VmHWM", "status")
        assert 0 < rss <= 1.1 * peak
        assert memory.resident_bytes(os.getpid(), "Anonymous") < rss

    def test_what_is_written_to_is_seen(self):
        """Pages of its own: what the allocator hands out may have been resident already."""
        with mmap.mmap(-1, 16 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as held:
            before = memory.resident_bytes(os.getpid(), "Anonymous")
            held[:] = b"x" * len(held)
            assert memory.resident_bytes(os.getpid(), "Anonymous") - before > len(held) // 2

    def test_what_cannot_be_seen_is_no_zero(self):
        with pytest.raises(children.Gone, match="process 4194305"):
            memory.resident_bytes(4194305)
        with pytest.raises(children.Gone, match="Nonsense"):
            memory.resident_bytes(os.getpid(), "Nonsense")

    def test_the_books_must_be_as_deep_as_the_lines_say(self, shm_dir, monkeypatch):
        monkeypatch.setattr(memory, "SYMBOLS", (ground.SYMBOL,))
        rows = book.full_book()[: memory.LEAST_LEVELS - 1]
        with private_directory(str(shm_dir), "bench") as directory:
            here = ground.Ground(directory)
            with here.outlet(memory.SET) as outlet:
                book.keeper_of(outlet, rows)
                with pytest.raises(IntegrityError, match="not three books"):
                    memory._check_books(here)

    def test_a_small_run_from_end_to_end(self, shm_dir, monkeypatch):
        """The simulator, the collector's own command, and lines whose order of size is the only possible one."""
        for name, value in {"LEVELS_A_SIDE": 60, "LEAST_LEVELS": 100, "WARM_MESSAGES": 40, "HOUR_MESSAGES": 6000}.items():
            monkeypatch.setattr(memory, name, value)
        with private_directory(str(shm_dir), "bench") as directory:
            resident, peak, own = memory.measure(ground.Ground(directory, quick=True))
        assert own.p50 < resident.p50 <= 1.1 * peak.p50
        assert resident.reference_p50 > 5e6
        assert (resident.count, own.count, resident.unit) == (memory.SAMPLES, memory.END_SAMPLES, "bytes")


class TestCaptures:
    def written(self, tmp_path, made):
        lines = [b"wss://somewhere <-> 1618677816.84", b'wss://somewhere <- 1618677817.02: {"type":"subscribe"}']
        heard = [one.body for one in made.opening] + list(made.updates)
        lines += [b"%d.%06d: %s" % (1_618_677_817 + i, i, frame) for i, frame in enumerate(heard)]
        path = tmp_path / "capture"
        path.write_bytes(b"\n".join(lines))
        return path

    @pytest.mark.parametrize(
        "feed",
        [feed for feed in frames.FEEDS if feed.exchange in {known.exchange for known in feeds.FEEDS}],
        ids=lambda feed: feed.case,
    )
    def test_a_capture_is_replayed_from_its_snapshot_on(self, feed, tmp_path, shm_dir):
        """Every number of it finds its place: the decoder asks for no finer grid."""
        made = frames.tape(feed, 30)
        found = capture.read_tape(self.written(tmp_path, made), 50)
        grids = [[(one.native, one.price_decimals) for one in tape.instruments] for tape in (found, made)]
        assert grids[0] == grids[1]
        assert len(found.updates) == 50
        decoder = frames.open_decoder(found)
        updates = [any(isinstance(event, Update) for event in decoder.receive(frame, 1)) for frame in found.updates]
        acks = found.updates[0].count(b"subscriptions")  # where the connection has one sequence, none may be left out
        assert updates.count(False) == min(acks, 1)

    @pytest.mark.parametrize(
        "text", [b"", b"nonsense", b"1618677817.1: {}", b'1618677817.1: {"type":"l2update","product_id":"A-B"}']
    )
    def test_what_holds_no_book_is_refused(self, text, tmp_path):
        (tmp_path / "capture").write_bytes(text)
        with pytest.raises(UsageError, match="no book of a feed"):
            capture.read_tape(tmp_path / "capture", 10)

    def test_without_a_recording_the_line_is_left_out_with_the_reason(self, monkeypatch, shm_dir):
        monkeypatch.delenv(capture.RECORDED, raising=False)
        with private_directory(str(shm_dir), "bench") as directory:
            here = ground.Ground(directory)
            assert list(capture.captured(here, "decode", 10)) == []
        [left] = here.left_out
        assert (left.scenario, left.case) == ("decode", "recorded Coinbase")
        assert "--capture" in left.reason

    def test_a_decoder_that_gives_nothing_is_no_benchmark(self, shm_dir, monkeypatch):
        made = dataclasses.replace(frames.tape(KRAKEN, 40), updates=[b'{"channel":"heartbeat"}'] * 3)
        monkeypatch.setattr(decode, "tapes", lambda *_: iter([("kraken", made)]))
        with private_directory(str(shm_dir), "bench") as directory, pytest.raises(IntegrityError, match="no Update"):
            list(decode.measure(ground.Ground(directory, quick=True)))


class TestNothingIsLeftBehind:
    def test_the_directory_goes_with_the_run(self, shm_dir):
        with private_directory(str(shm_dir), "bench") as directory:
            (directory.path / "something").write_text("x")
            assert directory.path.parent == shm_dir
        assert list(shm_dir.iterdir()) == []

    def test_even_when_it_fails(self, shm_dir):
        with pytest.raises(ZeroDivisionError), private_directory(str(shm_dir), "bench"):
            raise ZeroDivisionError
        assert list(shm_dir.iterdir()) == []

    def test_what_a_killed_run_left_goes_with_the_next(self, shm_dir):
        """One whose lock is held, one that is being made just now, and whatever is not ours, stay."""
        old = time.time() - 3600
        for name in ("bench-1", "bench-2", "bench-3", "benchmark"):
            (shm_dir / name).mkdir(mode=0o700)
            if name != "bench-3":
                os.utime(shm_dir / name, (old, old))
        held = os.open(shm_dir / "bench-2", os.O_RDONLY)
        try:
            fcntl.flock(held, fcntl.LOCK_EX)
            with private_directory(str(shm_dir), "bench"):
                pass
        finally:
            os.close(held)
        assert sorted(path.name for path in shm_dir.iterdir()) == ["bench-2", "bench-3", "benchmark"]

    def test_a_set_goes_with_its_scenario(self, shm_dir):
        with open_directory(shm_dir) as directory:
            with ground.Ground(directory).outlet("bench-x") as outlet:
                assert outlet.deltas.segment.path.exists()
            assert directory.names() == []

    @pytest.mark.parametrize("ending", ["good", "raises", "silent"])
    def test_children_are_reaped_however_it_ends(self, ending, monkeypatch, shm_dir):
        started = []
        popen = subprocess.Popen

        def start(*args, **named):
            started.append(popen(*args, **named))
            return started[-1]

        monkeypatch.setattr(subprocess, "Popen", start)
        with open_directory(shm_dir) as directory, ground.Ground(directory).outlet("bench-latency"):
            try:
                with children.child("latency:read", str(shm_dir), "bench-latency") as reader:
                    reader.send({"do": "echo", "count": 2})
                    assert reader.hear() == "echoing"
                    reader.ping()
                    reader.ping()
                    assert ending != "raises"
                    if ending == "silent":
                        reader.hear(0.05)
            except (AssertionError, children.Gone):
                assert ending != "good"
        assert [process.returncode for process in started] == [-signal.SIGKILL]

    def test_a_child_that_fails_is_quoted(self, tmp_path):
        with (
            pytest.raises(
                children.Gone, match=r"latency:read said: .*NoSegment.* \(hint: see what is there: alphapulse segments\)"
            ),
            children.child("latency:read", str(tmp_path), "x") as one,
        ):
            one.hear()


class TestChoosing:
    def test_all_without_a_name_and_each_once(self):
        assert bench.chosen([]) == list(bench.SCENARIOS)
        assert bench.chosen(["ring", "book", "ring"]) == ["ring", "book"]

    def test_near_matches(self):
        with pytest.raises(UsageError) as raised:
            bench.chosen(["latncy"])
        assert raised.value.hint.startswith("did you mean latency")
