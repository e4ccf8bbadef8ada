"""--wait-for and `wait=True`: who asks for what is not there yet waits, says so once, and goes on when it comes."""

import json

import pytest
from support.reader_sets import Writer, ladder

import alphapulse_cli as ap
from alphapulse_cli.shm.directory import open_directory

READERS = {
    "tail deltas": ["tail", "deltas", "--from", "oldest", "--count", "1"],
    "tail trades": ["tail", "trades", "--duration", "300ms"],
    "reconstruct": ["reconstruct"],
    "reconstruct --verify": ["reconstruct", "--verify", "--duration", "20s"],
    "arb watch": ["arb", "watch", "--no-keep", "--duration", "300ms"],
}


@pytest.mark.parametrize("name", READERS)
def test_without_it_what_is_not_there_is_an_error_at_once(quick, name):
    done = quick(*READERS[name], "--symbol", "BTC-USD")
    assert (done.code, done.stdout) == (3, "")


@pytest.mark.parametrize("name", ["tail deltas", "reconstruct", "arb watch"])
def test_it_waits_for_a_set_then_for_its_symbol_and_says_so(alphapulse, shm_dir, name):
    """First there is not even a directory; then a set without the symbol; then the book."""
    process = alphapulse.start(*READERS[name], "--symbol", "BTC-USD", "--wait-for")
    assert process.stderr.readline().decode() == f"waiting: nothing is collected in {shm_dir}\n"
    with open_directory(shm_dir) as directory, Writer(directory, ("ETH-USD",)) as other:
        other.snapshot(ladder(4), "ETH-USD")
        assert process.stderr.readline().decode() == f"waiting: no book of BTC-USD in {shm_dir}\n"
        with Writer(directory, ("BTC-USD",), set_name="second", exchange="coinbase") as made:
            made.snapshot(ladder(4))
            out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err.decode()
    if name != "arb watch":
        assert json.loads(out.splitlines()[0])["symbol"] == "BTC-USD"


def test_a_duration_bounds_the_waiting(quick):
    for line in READERS.values():
        done = quick(*line[: 2 if line[0] != "reconstruct" else 1], "--wait-for", "--duration", "300ms", "--symbol", "BTC-USD")
        assert (done.code, done.stdout) == (3, "")
        assert "waiting: nothing is collected" in done.stderr


def test_a_proof_waits_too(alphapulse, shm_dir):
    """What is left of --duration is the time of the proof; without CHECKs in it nothing is proven, and it says so."""
    process = alphapulse.start("reconstruct", "--verify", "--wait-for", "--symbol", "BTC-USD", "--duration", "5s")
    assert process.stderr.readline().decode() == f"waiting: nothing is collected in {shm_dir}\n"
    with open_directory(shm_dir) as directory, Writer(directory, ("BTC-USD",)) as made:
        made.snapshot(ladder(4))
        out, err = process.communicate(timeout=60)
    assert (process.returncode, b"could not be proved" in err) == (1, True), err
    assert json.loads(out)["symbol"] == "BTC-USD"


def test_follow_waits_for_an_absent_set(shm_dir, tmp_path, caplog):
    """From Python the same, on the log."""
    import threading

    with pytest.raises(ap.NoSegment):
        ap.follow("kraken", symbols=["BTC-USD"], shm_dir=str(shm_dir))
    followed = []

    def wait():
        with ap.follow("kraken", symbols=["BTC-USD"], shm_dir=str(shm_dir), wait=True) as following:
            followed.append(next(iter(following)))

    waiting = threading.Thread(target=wait)
    waiting.start()
    while "waiting: nothing is collected" not in caplog.text:
        waiting.join(0.01)
    with open_directory(shm_dir) as directory, Writer(directory, ("BTC-USD",)) as made:
        made.snapshot(ladder(4))
        while not followed:
            made.update([(42, 7, False)])
            waiting.join(0.05)
            assert waiting.is_alive() or followed
    waiting.join(30)
    assert followed[0].symbol == "BTC-USD"
