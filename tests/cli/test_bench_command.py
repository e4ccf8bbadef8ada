"""`alphapulse bench` as a person runs it: a real process, its JSON, its exit codes, its end by a signal."""

import json
import signal
import time

import pytest

from alphapulse_cli.apps import bench
from alphapulse_cli.apps.bench import report, targets
from alphapulse_cli.cli import bench as command
from alphapulse_cli.errors import ExitCode


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A saved run of one scenario, for those that compare with it."""
    folder = tmp_path_factory.mktemp("runs")
    run = bench.run(["ring"], quick=True, capture=None, shm_dir=str(folder), progress=lambda *_: None)
    report.save(folder / "run.json", run.to_json())
    return folder / "run.json"


def doctored(saved, path, factor):
    """The same run with every ratio multiplied, and no spread."""
    found = json.loads(saved.read_text())
    for row in found["results"]:
        row["ratio"] = row["ratio_low"] = row["ratio_high"] = row["ratio"] * factor
    path.write_text(json.dumps(found))
    return str(path)


def test_a_quick_run_is_one_json_object_as_documented(alphapulse, tmp_path, shm_dir):
    done = alphapulse("bench", "ring", "--quick", "--json", "--save", "run.json")
    assert (done.code, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert list(found) == [field.name for field in report.HEAD_FIELDS if field.name not in ("comparison", "targets")]
    assert found["quick"] is True
    for row in found["results"]:
        assert list(row) == [field.name for field in report.RESULT_FIELDS]
        assert row["p50"] <= row["p90"] <= row["p99"] <= row["p99_9"] <= row["max"]
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        assert row["leaves_out"].endswith(".")
    assert json.loads((tmp_path / "run.json").read_text()) == found
    assert list(shm_dir.iterdir()) == [], "its directory is gone"


@pytest.mark.timeout(300)
@pytest.mark.parametrize("scenario", ["latency", "collect", "startup", "tui", "serve", "record", "export", "sql", "candles"])
def test_each_scenario_with_other_processes_runs_to_its_end(alphapulse, shm_dir, scenario):
    """Sockets, pipes, terminals and rings between real processes; every line that a target reads is there, by its name."""
    done = alphapulse("bench", scenario, "--quick", timeout=240)
    assert (done.code, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    there = {(row["scenario"], row["case"]) for row in found["results"] + found["left_out"]}
    for target in targets.TARGETS:
        if target.scenario == scenario:
            assert (target.scenario, target.case) in there
    assert list(shm_dir.iterdir()) == []


def test_the_lines_that_targets_read_exist(alphapulse):
    done = alphapulse("bench", "book", "ring", "attach", "pipeline", "--quick", "--targets", timeout=100)
    found = json.loads(done.stdout)
    there = {(row["scenario"], row["case"]) for row in found["results"] + found["left_out"]}
    read = {(one.scenario, one.case) for one in targets.TARGETS if one.scenario in ("book", "ring", "attach", "pipeline")}
    assert read <= there
    missed = [row for row in found["targets"] if row["outcome"] == "missed"]
    assert done.code == (ExitCode.TARGET_MISSED if missed else ExitCode.DONE)
    assert done.stderr.count("target missed:") == len(missed)
    assert {row["outcome"] for row in found["targets"] if row["scenario"] in ("collect", "")} == {"not measured here"}


@pytest.mark.parametrize(("factor", "code"), [(0.001, ExitCode.TARGET_MISSED), (1000, ExitCode.DONE)], ids=["slower", "faster"])
def test_comparing_with_a_saved_run(alphapulse, saved, tmp_path, factor, code):
    """A thousandfold either way: no noise of any machine reaches that far."""
    before = doctored(saved, tmp_path / "before.json", factor)
    done = alphapulse("bench", "ring", "--quick", "--compare", before)
    assert done.code == code
    verdicts = {row["verdict"] for row in json.loads(done.stdout)["comparison"]}
    assert verdicts == {"slower" if code else "faster"}
    assert done.stderr.count("x the baseline's ratio") == (len(json.loads(saved.read_text())["results"]) if code else 0)


def test_tables_for_a_person(alphapulse):
    done = alphapulse("bench", "--list", "--json")
    assert [json.loads(row)["scenario"] for row in done.stdout.splitlines()] == list(bench.SCENARIOS)
    assert [command.human(value, "ns") for value in (4.2, 12_345, 1_200_000, 2e9)] == ["4.2 ns", "12.3 us", "1.2 ms", "2 s"]


def test_the_whole_table(saved, capsys):
    """Each line, what it leaves out, what was not measured, both verdicts."""
    run = report.load(saved)
    run.left_out.append(report.LeftOut("ring", "more", "no \x1b[2Jroom"))
    found = run.to_json() | {"targets": targets.rows(targets.judge(run.results, run.left_out)), "comparison": []}
    command._print(run, found)
    out = capsys.readouterr().out
    for result in run.results:
        assert result.case in out
        assert result.leaves_out in out
    assert "not measured here: ring, more: no \\x1b[2Jroom" in out
    assert "machine" in out
    assert "\x1b[2J" not in out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rnig"], "hint: did you mean ring?"),
        (["ring", "--compare", "none.json"], "error: cannot read none.json"),
        (["ring", "--compare", "/dev/null"], "error: /dev/null is not a saved benchmark"),
        (["ring", "--fail-over", "1"], "error: a factor of 1"),
        (["decode", "--quick", "--capture", "none"], "error: cannot read none"),
    ],
)
def test_wrong_command_lines_end_before_anything_is_measured(alphapulse, shm_dir, arguments, said):
    done = alphapulse("bench", *arguments)
    assert (done.code, done.stdout) == (ExitCode.USAGE, "")
    assert said in done.stderr
    assert list(shm_dir.iterdir()) == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)], ids=["SIGINT", "SIGTERM"])
def test_a_signal_ends_it_without_leftovers(alphapulse, shm_dir, number, code):
    running = alphapulse.start("bench", "latency")
    until = time.monotonic() + 20
    while not any(shm_dir.glob("bench-*/*_orderbook_deltas")):
        assert time.monotonic() < until
        assert running.poll() is None
        time.sleep(0.02)
    running.send_signal(number)
    assert running.wait(20) == code
    assert list(shm_dir.iterdir()) == []
