"""Each check of the doctor can fail."""

import os
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest
from support.reader_sets import Writer

from alphapulse_cli import build
from alphapulse_cli.apps.doctor import CheckVerdict, examine
from alphapulse_cli.edges.exchange import transport
from alphapulse_cli.shm import clock, memory, wake
from alphapulse_cli.shm.counters import Counter
from alphapulse_cli.shm.directory import open_directory


@pytest.fixture(autouse=True)
def nobodys_configuration(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def where(tmp_path):
    open_directory(tmp_path / "segments", create=True).close()
    return str(tmp_path / "segments")


def found(where, check):
    return next(one for one in examine(where) if one.check == check)


def test_nothing_fails_here(where):
    findings = list(examine(where))
    assert [one for one in findings if one.verdict is CheckVerdict.FAIL] == []
    assert len({one.check for one in findings}) >= 9


def test_a_core_that_its_sources_left_behind(where, monkeypatch):
    def stale():
        raise RuntimeError("compiled from other sources")

    monkeypatch.setattr(build, "core_mode", stale)
    assert found(where, "core").verdict is CheckVerdict.FAIL


def test_an_interpreted_core_is_slower_and_without_fences_it_is_none(where, monkeypatch):
    monkeypatch.setattr(build, "core_mode", lambda: "interpreted")
    monkeypatch.setattr(memory, "fences_are_sound", lambda: False)
    assert found(where, "core").verdict is CheckVerdict.WARN
    assert found(where, "memory order").verdict is CheckVerdict.FAIL
    monkeypatch.setattr(build, "core_mode", lambda: "compiled")
    assert (found(where, "core").verdict, found(where, "memory order").verdict) == (CheckVerdict.OK, CheckVerdict.OK)


def test_a_directory_that_is_open_to_others_or_cannot_be_made(where, tmp_path):
    Path(where).chmod(0o777)
    assert found(where, "directory").verdict is CheckVerdict.FAIL
    assert found(str(tmp_path / "none"), "segments").verdict is CheckVerdict.OK
    assert found(str(tmp_path / "no" / "where"), "segments").verdict is CheckVerdict.FAIL


@pytest.mark.parametrize(
    ("free", "total", "verdict"),
    [(1 << 20, 1 << 30, CheckVerdict.FAIL), (32 << 20, 64 << 20, CheckVerdict.WARN), (1 << 29, 1 << 30, CheckVerdict.OK)],
)
def test_room(where, monkeypatch, free, total, verdict):
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free, f_frsize=1, f_blocks=total))
    assert found(where, "room").verdict is verdict


@pytest.mark.parametrize(
    ("symbols", "records", "words"),
    [
        ("BTC-USD,ETH-USD", "", "a set of 2 symbols takes about 7 MiB"),
        ("top:600", "", "a set of 600 symbols takes about 136 MiB"),
        ("top:600", "16384", "a set of 600 symbols takes about 46 MiB"),
        ("*-USD,kraken:BTC-EUR", "", "a set of at least 2 symbols takes about 7 MiB"),
    ],
)
def test_room_that_is_missing_is_what_the_configured_symbols_need(where, monkeypatch, symbols, records, words):
    monkeypatch.setenv("ALPHAPULSE_SYMBOLS", symbols)
    if records:
        monkeypatch.setenv("ALPHAPULSE_RING_RECORDS", records)
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=1 << 20, f_frsize=1, f_blocks=1 << 30))
    assert found(where, "room").fix.startswith(words)


def stand_still(monkeypatch, later_ns=0):
    """Stop the monotonic clock: a heartbeat of just now stays one, however long the checks take."""
    now = clock.monotonic_ns() + later_ns
    monkeypatch.setattr(clock, "monotonic_ns", lambda: now)


@pytest.mark.parametrize(
    ("opened", "count", "verdict", "said"),
    [
        (1, 1, CheckVerdict.OK, "live"),
        (0, 1, CheckVerdict.WARN, "live, with 0 of 1 connections open"),
        (3, 3, CheckVerdict.OK, "live, 3 connections"),
        (2, 3, CheckVerdict.WARN, "live, with 2 of 3 connections open"),
    ],
)
def test_a_live_set_that_lacks_a_connection(where, monkeypatch, opened, count, verdict, said):
    with open_directory(where) as directory, Writer(directory) as writer:
        stand_still(monkeypatch)
        writer.outlet.counters.block().set(Counter.CONNECTIONS, count)
        writer.outlet.counters.block().set(Counter.CONNECTIONS_OPEN, opened)
        assert (found(where, "set kraken").verdict, found(where, "set kraken").found) == (verdict, said)


def test_sets_that_live_that_ended_and_that_died(where, monkeypatch):
    with open_directory(where) as directory:
        with Writer(directory):
            stand_still(monkeypatch)
            assert (found(where, "set kraken").verdict, found(where, "set kraken").found) == (CheckVerdict.OK, "live")
            stand_still(monkeypatch, later_ns=3_000_000_000)
            assert found(where, "set kraken").verdict is CheckVerdict.WARN
            assert "no heartbeat" in found(where, "set kraken").found
        monkeypatch.undo()
    assert found(where, "set kraken").found.startswith("retired")


def test_a_damaged_file(where):
    with open(f"{where}/bad_trades", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
        file.write("x")
    assert found(where, "segment").verdict is CheckVerdict.FAIL
    assert "bad_trades" in found(where, "segment").found


def test_few_open_files(where, monkeypatch):
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 4096))
    assert found(where, "open files").fix == "ulimit -n 65536"


def test_a_clock_that_is_wrong(where, monkeypatch):
    monkeypatch.setattr(clock, "realtime_ns", lambda: 0)
    assert found(where, "date").verdict is CheckVerdict.FAIL


def test_a_clock_that_stands_still(where, monkeypatch):
    monkeypatch.setattr(clock, "monotonic_ns", lambda: 5)
    assert found(where, "clock").verdict is CheckVerdict.FAIL


def test_no_futex(where, monkeypatch):
    monkeypatch.setattr(wake, "has_futex", lambda: False)
    assert found(where, "waiting").verdict is CheckVerdict.WARN


def test_a_misspelt_setting(where):
    Path("alphapulse.toml").write_text("dept = 10\n")
    assert found(where, "settings").verdict is CheckVerdict.FAIL
    assert "dept" in found(where, "settings").found


@pytest.mark.parametrize(
    ("version", "verdict", "said"),
    [
        ("2.3.1", CheckVerdict.OK, "picows 2.3.1"),
        (None, CheckVerdict.OK, "websockets"),
        ("1.0", CheckVerdict.WARN, "websockets: picows 1.0 is too old"),
    ],
)
def test_the_transport_that_collect_takes(where, monkeypatch, version, verdict, said):
    monkeypatch.setattr(transport, "picows_version", lambda: version)
    assert (found(where, "transport").verdict, found(where, "transport").found) == (verdict, said)
