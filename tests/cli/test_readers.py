"""The reading commands on sets written here: what they print, how they end.

Signals, pipes, terminals and laps need processes of their own; what only prints and ends runs in this one, through the same `main`.
"""

import json
import os
import pty
import random
import signal
import subprocess

import pytest
from support.reader_sets import Writer, kept_alive, ladder, random_rows

from alphapulse_cli.exchanges.timestamps import rfc3339_text
from alphapulse_cli.wire.delta import BookReason, BookState


@pytest.fixture
def alphapulse(quick):
    return quick


def objects(done):
    return [json.loads(line) for line in done.stdout.splitlines()]


def at_terminal(runner, *arguments, **environment):
    outer, inner = pty.openpty()
    process = subprocess.Popen(
        [*runner.command, *arguments],
        stdin=inner,
        stdout=inner,
        stderr=inner,
        env=runner.environment(COLUMNS="120", **environment),
        cwd=runner.directory,
        start_new_session=True,
    )
    runner.started.append(process)
    os.close(inner)
    seen = b""
    while True:
        try:
            part = os.read(outer, 65_536)
        except OSError:
            break
        if not part:
            break
        seen += part
    os.close(outer)
    return process.wait(20), seen.decode()


class TestNothingToAttachTo:
    @pytest.mark.parametrize(
        "line", [["tail", "deltas"], ["tail", "trades"], ["reconstruct"], ["reconstruct", "--verify"], ["segments"]]
    )
    def test_nothing_to_attach_to_is_exit_code_3_with_a_hint(self, alphapulse, line):
        done = alphapulse(*line)
        assert (done.code, done.stdout) == (3, "")
        assert "hint: " in done.stderr
        gone = alphapulse(*line, "--shm-dir", str(alphapulse.shm_dir / "none"))
        assert gone.code == 3

    def test_an_exchange_or_symbol_that_is_not_there_names_what_is(self, alphapulse, writer):
        assert "there are: kraken" in alphapulse("tail", "deltas", "--exchange", "coinbase").stderr
        done = alphapulse("reconstruct", "--symbol", "BTC-UDS")
        assert (done.code, "did you mean BTC-USD" in done.stderr) == (3, True)


class TestTail:
    def test_deltas_are_an_object_a_group(self, alphapulse, writer):
        writer.update([(42, 7, False), (1_000_001, 0, True)])
        writer.keepers["BTC-USD"].set_state(BookState.SYNCING, BookReason.SEQUENCE_GAP, writer.now_ns)
        writer.check()
        done = alphapulse("tail", "deltas", "--from", "oldest", "--count", "5", "--symbol", "kraken:BTC-USD")
        reset, live, changed, gap, check = objects(done)
        assert (done.code, done.stderr) == (0, "")
        assert (reset["kind"], live["state"]) == ("RESET", "LIVE")
        assert changed == {
            "set": "kraken",
            "exchange": "kraken",
            "symbol": "BTC-USD",
            "kind": "DELTA",
            "version": 2,
            "prev_version": 1,
            "time": rfc3339_text(writer.now_ns),
            "timestamp_ns": writer.now_ns,
            "feed_delay_us": None,
            "price_decimals": 2,
            "size_decimals": 8,
            "resynced": False,
            "changes": [["bid", "0.42", "0.00000007"], ["ask", "10000.01", "0.00000000"]],
        }
        assert (gap["kind"], gap["state"], gap["reason"]) == ("STATUS", "SYNCING", "SEQUENCE_GAP")
        assert (check["kind"], check["book_hash"]) == ("CHECK", f"{writer.book().book_hash:016x}")

    def test_a_group_of_many_records_is_one_object(self, alphapulse, writer):
        writer.update(ladder(1000, 7), "ETH-USD")
        rows = objects(alphapulse("tail", "deltas", "--from", "oldest", "--count", "3", "--symbol", "ETH-USD"))
        assert len(rows[2]["changes"]) == 1000

    def test_trades_are_exact_and_the_side_is_the_takers(self, alphapulse, writer):
        writer.trades(("a1", 1_000_000, 5, 0), ("a2", 1_000_001, 6, 1))
        one, two = objects(alphapulse("tail", "trades", "--from", "oldest", "--count", "2"))
        assert (one["side"], one["price"], one["size"], one["trade_id"]) == ("buy", "10000.00", "0.00000005", "a1")
        assert (two["side"], two["price"]) == ("sell", "10000.01")

    def test_head_ends_it_quietly(self, alphapulse, writer):
        for number in range(2000):
            writer.trades((str(number), 1_000_000, 5, 0))
        line = f"{' '.join(alphapulse.command)} tail trades --json --from oldest | head -n 3; echo ${{PIPESTATUS[*]}}"
        with kept_alive(writer, lambda: writer.trades(("x", 1, 1, 0))):
            done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, env=alphapulse.environment(), timeout=30)
        assert (done.stdout.splitlines()[-1], done.stderr) == ("0 0", "")
        assert len(done.stdout.splitlines()) == 4

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 0)])
    def test_signals_end_it_and_its_cursors_go(self, alphapulse, writer, number, code):
        process = alphapulse.start("tail", "deltas", "--from", "oldest")
        assert process.stdout.readline().startswith(b'{"set":"kraken"')
        assert len(list((alphapulse.shm_dir / "readers").iterdir())) == 1
        process.send_signal(number)
        assert process.wait(20) == code
        assert process.stderr.read() == b""
        assert list((alphapulse.shm_dir / "readers").iterdir()) == []

    def test_duration_ends_it(self, alphapulse, writer):
        assert alphapulse("tail", "deltas", "--duration", "300ms").code == 0

    def test_from_a_while_ago(self, alphapulse, writer):
        writer.now_ns -= 3_600_000_000_000
        writer.update([(42, 7, False)])
        writer.now_ns += 3_599_000_000_000
        writer.update([(43, 7, False)])
        (row,) = objects(alphapulse("tail", "deltas", "--from", "-1m", "--count", "1"))
        assert row["kind"] == "RESET", "of this second"
        rows = objects(alphapulse("tail", "deltas", "--from", "-2h", "--duration", "300ms"))
        assert len(rows) == 6

    @pytest.mark.parametrize("line", [["--from", "never"], ["--from", "-x"], ["--wait", "nap"], ["--symbol", "x"]])
    def test_contradicting_options_are_exit_code_2(self, alphapulse, writer, line):
        assert alphapulse("tail", "deltas", *line).code == 2

    def test_a_lap_and_a_restart_are_told_among_the_data(self, alphapulse, directory):
        with Writer(directory, capacity=64) as writer:
            writer.snapshot(ladder(40))
            process = alphapulse.start("tail", "deltas", "--from", "oldest", "--duration", "20s")
            assert b"RESET" in process.stdout.readline()
            process.send_signal(signal.SIGSTOP)
            os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WNOWAIT)
            for number in range(300):
                writer.update([(999_000, 1 + number, False)])
            process.send_signal(signal.SIGCONT)
            lines = iter(process.stdout.readline, b"")
            missed = next(row["missed"] for row in map(json.loads, lines) if "missed" in row)
            assert 200 < missed < 300
        with Writer(directory):
            assert any(row.get("restarted") for row in map(json.loads, lines))

    def test_a_set_that_appears_is_followed(self, alphapulse, writer, directory):
        process = alphapulse.start("tail", "deltas", "--exchange", "kraken", "--exchange", "other", "--duration", "20s")
        while not list((alphapulse.shm_dir / "readers").glob("*-0")) if (alphapulse.shm_dir / "readers").exists() else True:
            assert process.poll() is None
        with Writer(directory, set_name="other") as other:
            other.snapshot(ladder(4))
            assert json.loads(process.stdout.readline())["set"] == "other"

    def test_a_terminal_gets_a_line_a_change(self, alphapulse, writer):
        writer.update([(42, 7, False), (1_000_001, 0, True)])
        code, seen = at_terminal(alphapulse, "tail", "deltas", "--from", "oldest", "--count", "5", NO_COLOR="1")
        # the test's writer sends no heartbeat: on a busy machine `tail` warns about it on the same terminal
        lines = [line for line in seen.replace("\r", "").splitlines() if not line.startswith(("warning: ", "hint: "))]
        assert code == 0
        assert "\x1b" not in seen
        assert [line.split("  ")[1].strip() for line in lines] == ["kraken:BTC-USD"] * 2 + ["kraken:ETH-USD"] * 2 + [
            "kraken:BTC-USD"
        ] * 2
        assert lines[0].endswith("RESET: the book was replaced; read its image")
        assert lines[1].endswith("STATUS LIVE, TRADING")
        assert lines[4].split()[3:] == ["bid", "0.42", "0.00000007", "new"]
        assert lines[5].split()[3:] == ["ask", "10000.01", "0.00000000", "removed"]
        assert "\x1b[32m" in at_terminal(alphapulse, "tail", "deltas", "--from", "oldest", "--count", "5")[1]

    def test_hostile_names_are_escaped(self, alphapulse, writer):
        record = bytearray(256)
        record[8:24] = b"\x1b[2J\xff\r\nevil".ljust(16, b"\0")
        record[24:40] = b"kraken".ljust(16, b"\0")
        record[57] = 0b11000
        for _ in range(2):
            writer.outlet.deltas.publish(bytes(record), 1)
        done = alphapulse("tail", "deltas", "--from", "oldest", "--duration", "300ms")
        assert "\x1b" not in done.stdout
        assert objects(done)[-1]["symbol"] == "\x1b[2J\\xff\r\nevil"
        writer.update([(42, 7, False)])
        code, seen = at_terminal(alphapulse, "tail", "deltas", "--from", "oldest", "--duration", "300ms", NO_COLOR="1")
        assert (code, "\x1b" in seen) == (0, False)


class TestReconstruct:
    def test_json_is_an_object_a_book_with_all_levels(self, alphapulse, writer):
        with kept_alive(writer):
            done = alphapulse("reconstruct", "--symbol", "BTC-USD")
        (row,) = objects(done)
        assert (done.code, done.stderr, row["state"], row["version"]) == (0, "", "LIVE", 1)
        assert len(row["bids"]) == len(row["asks"]) == 20
        assert (row["bids"][0], row["asks"][0], row["spread"]) == (["10000.00", "0.00000001"], ["10000.01", "0.00000001"], "0.01")

    def test_reconstruct_as_csv(self, alphapulse, writer):
        with kept_alive(writer):
            done = alphapulse("reconstruct", "--symbol", "BTC-USD", "--format", "csv", "--depth", "1")
        assert done.stdout.splitlines() == [
            "exchange,symbol,state,version,side,price,size,trading_status",
            "kraken,BTC-USD,LIVE,1,bid,10000.00,0.00000001,TRADING",
            "kraken,BTC-USD,LIVE,1,ask,10000.01,0.00000001,TRADING",
        ]

    def test_reconstruct_as_a_table(self, alphapulse, writer):
        with kept_alive(writer):
            done = alphapulse("reconstruct", "--symbol", "BTC-USD", "--format", "table", "--depth", "2")
        first, _, best, second, *_ = done.stdout.splitlines()
        assert first.startswith("kraken:BTC-USD  LIVE  v1  spread 0.01 (0.01 bps)  20 bids, 20 asks")
        assert best.split() == ["0.00000001", "0.00000001", "10000.00", "10000.01", "0.00000001", "0.00000001"]
        assert second.split()[0] == "0.00000003", "cumulative"

    @pytest.mark.parametrize("form", ["table", "json", "csv"])
    def test_a_dead_book_says_so_everywhere(self, alphapulse, writer, form):
        writer.close()
        done = alphapulse("reconstruct", "--symbol", "BTC-USD", "--format", form)
        assert done.code == 0
        assert "STALE" in done.stdout
        assert "kraken:BTC-USD is not live: STALE retired" in done.stderr

    def test_watch_in_a_pipe_is_an_object_a_change(self, alphapulse, writer):
        with kept_alive(writer):
            process = alphapulse.start("reconstruct", "--symbol", "BTC-USD", "--watch", "--depth", "1", "--count", "2")
            assert json.loads(process.stdout.readline())["version"] == 1
            writer.update([(1_000_000, 9, False)])
            assert json.loads(process.stdout.readline())["bids"] == [["10000.00", "0.00000009"]]
            assert process.wait(20) == 0

    def test_watch_on_a_terminal_refreshes_in_place(self, alphapulse, writer):
        with kept_alive(writer):
            code, seen = at_terminal(alphapulse, "reconstruct", "--symbol", "BTC-USD", "--watch", "--count", "2", NO_COLOR="1")
        assert code == 0
        assert seen.count("kraken:BTC-USD") >= 2
        assert "\x1b[1A" in seen

    def test_wrong_formats_are_2(self, alphapulse, writer):
        assert alphapulse("reconstruct", "--format", "xml").code == 2


class TestVerify:
    def test_every_book_proved_is_0(self, alphapulse, writer):
        dice = random.Random(1)

        def work():
            for symbol in writer.keepers:
                writer.update(random_rows(dice), symbol)
                writer.check(symbol)

        with kept_alive(writer, work):
            done = alphapulse("reconstruct", "--verify", "--duration", "500ms")
        rows = objects(done)
        assert (done.code, done.stderr) == (0, "proving every book for 0.5 s\nall 2 books proved, level for level\n")
        assert [(row["symbol"], row["verdict"], row["image"]) for row in rows] == [
            ("BTC-USD", "proved", "equal"),
            ("ETH-USD", "proved", "equal"),
        ]
        assert all(row["checks_ok"] > 3 and row["checks_bad"] == row["laps"] == 0 for row in rows)

    def test_without_a_check_nothing_is_proved(self, alphapulse, writer):
        with kept_alive(writer):
            done = alphapulse("reconstruct", "--verify", "--duration", "200ms")
        assert (done.code, {row["verdict"] for row in objects(done)}) == (1, {"unproved"})

    def test_a_wrong_book_is_exit_code_4(self, alphapulse, writer):
        with kept_alive(writer, lambda: wrong_check(writer)):
            done = alphapulse("reconstruct", "--verify", "--duration", "300ms", "--symbol", "BTC-USD")
        assert done.code == 4
        assert "error: kraken:BTC-USD FAILED: check failed" in done.stderr

    def test_sets_whose_collector_is_gone_are_left_out(self, alphapulse, writer, directory):
        with Writer(directory, set_name="old") as old:
            old.snapshot(ladder(4))
        with kept_alive(writer, lambda: (writer.check(), writer.check("ETH-USD"))):
            done = alphapulse("reconstruct", "--verify", "--duration", "300ms")
        assert (done.code, "old: left out, its collector is gone" in done.stderr) == (0, True)
        writer.close()
        assert alphapulse("reconstruct", "--verify", "--duration", "300ms").code == 3


def wrong_check(writer):
    """A CHECK whose hash is of another book."""
    keeper = writer.keepers["BTC-USD"]
    book = keeper.book
    count = keeper.batch.check(writer.now_ns, keeper.version, book.book_hash ^ 1, book.bid_count, book.ask_count, 0, keeper.state)
    writer.outlet.deltas.publish(keeper.batch.records, count)


class TestSegments:
    def test_rows_of_segments_with_their_readers(self, alphapulse, writer):
        tail = alphapulse.start("tail", "deltas", "--from", "oldest")
        tail.stdout.readline()
        with kept_alive(writer, lambda: writer.update([(42, random.randrange(1, 99), False)])):
            rows = {row["segment"]: row for row in objects(alphapulse("segments"))}
        ring = rows["kraken_orderbook_deltas"]
        (reader,) = ring["readers"]
        assert (ring["state"], ring["pid"], ring["records_per_s"] > 0) == ("live", os.getpid(), True)
        assert (reader["label"], reader["pid"], reader["missed"], reader["alive"]) == ("tail deltas", tail.pid, 0, True)
        assert rows["kraken_book_BTC-USD"]["book_state"] == "LIVE"

    def test_damaged_files_are_rows(self, alphapulse, writer):
        (alphapulse.shm_dir / "bad_trades").write_bytes(b"\x1b[2Jnonsense")
        (alphapulse.shm_dir / "bad_trades").chmod(0o600)
        done = alphapulse("segments")
        assert done.code == 0
        assert "truncated" in next(row["problem"] for row in objects(done) if row["segment"] == "bad_trades")
        code, seen = at_terminal(alphapulse, "segments", NO_COLOR="1")
        assert (code, "truncated" in seen, "\x1b[2J" in seen) == (0, True, False)

    def test_a_set_that_ended_comes_with_the_command_that_starts_it_again(self, alphapulse, writer):
        with kept_alive(writer):
            assert "hint:" not in at_terminal(alphapulse, "segments", NO_COLOR="1")[1]
        writer.close()
        _, seen = at_terminal(alphapulse, "segments", NO_COLOR="1")
        assert "warning: the collector of kraken has ended" in seen
        command = f"alphapulse collect --exchange kraken --symbols BTC-USD,ETH-USD --shm-dir {alphapulse.shm_dir}"
        assert f"hint: start it again: {command}" in " ".join(seen.split())
        assert alphapulse("segments").stderr == "", "in a pipe the state of each row says it"

    def test_sweep_removes_the_dead_and_says_what(self, alphapulse, writer, directory):
        with Writer(directory, set_name="old"):
            pass
        removed = {row["removed"] for row in objects(alphapulse("segments", "--sweep"))}
        assert removed == {"old_book_BTC-USD", "old_counters", "old_orderbook_deltas", "old_trades"}
        assert {row["set_name"] for row in objects(alphapulse("segments"))} == {"kraken"}


class TestDoctor:
    def test_all_is_well_here(self, alphapulse, writer):
        with kept_alive(writer):
            done = alphapulse("doctor")
        rows = {row["check"]: row for row in objects(done)}
        assert done.code == 0
        assert {row["verdict"] for row in rows.values()} <= {"ok", "warn"}
        assert {"python", "core", "memory order", "segments", "room", "clock", "waiting", "open files"} <= set(rows)
        assert rows["set kraken"]["found"] == "live"

    def test_a_retired_set_has_its_hint_and_an_open_directory_fails(self, alphapulse, writer):
        writer.close()
        assert "segments --sweep" in next(row["fix"] for row in objects(alphapulse("doctor")) if row["check"] == "set kraken")
        alphapulse.shm_dir.chmod(0o755)
        done = alphapulse("doctor")
        assert done.code == 1
        assert any(f"chmod 700 {alphapulse.shm_dir}" in row["fix"] for row in objects(done) if row["verdict"] == "fail")
