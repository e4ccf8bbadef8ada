"""`alphapulse exchanges`, `exchanges check`, `exchanges new`: what a person or a script gets."""

import json

from alphapulse_cli import exchanges
from alphapulse_cli.errors import ExitCode


def rows(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_without_a_subcommand_it_lists_as_before(alphapulse):
    done = alphapulse("exchanges", "--json")
    assert done.code == 0
    assert [row["exchange"] for row in rows(done) if row["default"]] == list(exchanges.BUILT_IN)


def test_check_says_what_was_done_and_what_does_not_apply(alphapulse):
    done = alphapulse("exchanges", "check", "kraken", "--mode", "v2", "--json", timeout=120)
    assert (done.code, done.stderr) == (0, "")
    verdicts = {row["check"]: row["verdict"] for row in rows(done)}
    assert verdicts["round trip"] == verdicts["wrong checksum"] == "passed"
    assert set(verdicts.values()) <= {"passed", "does not apply"}
    done = alphapulse("exchanges", "check", "coinbase", "--mode", "exchange", "--format", "csv", timeout=120)
    assert done.code == 0
    assert done.stdout.splitlines()[0] == "exchange,mode,check,verdict,detail"
    assert "lost frame,does not apply,nothing in a frame of exchange shows a loss" in done.stdout


def test_a_check_that_fails_is_exit_code_1(monkeypatch, capsys):
    """In this process, so that a check can be made to fail."""
    from alphapulse_cli.apps import conformance
    from alphapulse_cli.apps.conformance.finding import Fault
    from alphapulse_cli.cli.app import main

    def fails(make, seed):
        raise Fault("BTC-USD: \x1b[2J stayed LIVE")

    monkeypatch.setattr(conformance, "CHECKS", {"lost frame": fails})
    assert main(["exchanges", "check", "kraken", "--format", "table"]) == ExitCode.FAILED
    shown = capsys.readouterr()
    assert "lost frame" in shown.out
    assert "\x1b[2J" not in shown.out
    assert "1 check failed" in shown.err


def test_what_cannot_be_checked_is_told_with_a_hint(alphapulse):
    done = alphapulse("exchanges", "check", "krakn")
    assert done.code == ExitCode.USAGE
    assert done.stderr.splitlines() == ["error: unknown exchange: 'krakn'", "hint: did you mean kraken?"]
    done = alphapulse("exchanges", "check", "kraken", "--mode", "v3")
    assert done.stderr.splitlines() == ["error: kraken has no mode 'v3'", "hint: modes are: v2"]
    done = alphapulse("exchanges", "--json", "check", "kraken")
    assert done.stderr.splitlines() == [
        "error: the option of the format belongs after the subcommand",
        "hint: alphapulse exchanges check … --json",
    ]


def test_new_lists_its_files_and_says_what_is_next(alphapulse, tmp_path):
    done = alphapulse("exchanges", "new", "moon", "--into", str(tmp_path))
    assert done.code == 0
    root = tmp_path / "alphapulse-moon"
    assert set(done.stdout.splitlines()) == {str(path) for path in root.rglob("*") if path.is_file()}
    assert str(root / "README.md") in done.stderr
    again = alphapulse("exchanges", "new", "moon", "--into", str(tmp_path))
    assert again.code == ExitCode.USAGE
    assert again.stderr.startswith(f"error: {root} is there already\nhint: ")
