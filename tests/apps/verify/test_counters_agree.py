"""What a live collector counted is what its capture's certificate says, exactly: real processes against simulators with mischief.

Campaigns of many faults, in virtual time: tests/chaos/test_certificates.py.
"""

import signal

import pytest
from support.app_parts import Sims, live_books, sample, wait_until

import alphapulse_cli as ap
from alphapulse_cli.apps.verify.audit import LABELS
from alphapulse_cli.shm.counters import CountersReader
from alphapulse_cli.shm.directory import open_directory
from alphapulse_cli.shm.segment import Segment

MISCHIEF = (  # harmless ones, then one that breaks books, and the counter in which that shows
    ("kraken", ("unknown", "duplicate"), "checksum", "checksums_bad"),
    ("kraken", ("unknown",), "garbage", "decode_errors"),
    ("kraken", ("flood",), "disconnect", "reconnects"),
    ("coinbase", ("unknown", "offgrid"), "gap", "gaps"),
    ("binance-us", ("unknown", "duplicate"), "gap", "gaps"),
    ("okx", ("unknown", "flood"), "gap", "gaps"),
    ("bitfinex", ("unknown",), "gap", "gaps"),
    ("bybit", ("unknown", "duplicate"), "gap", "gaps"),
)


@pytest.fixture
def sims():
    made = Sims()
    yield made
    made.close()


def counted(shm_dir, name):
    """Counters that a set has left behind, by symbol."""
    with open_directory(str(shm_dir)) as directory:
        return CountersReader(Segment.attach(directory, f"{name}_counters")).blocks()


@pytest.mark.parametrize(("name", "harmless", "kind", "label"), MISCHIEF, ids=lambda value: value if isinstance(value, str) else "")
def test_a_collector_and_its_capture_count_alike(alphapulse, sims, name, harmless, kind, label):
    symbols = ("ETH-BTC", "DOGE-USDT" if name == "bybit" else "DOGE-USD")
    sim = sims.start(name, symbols=symbols)
    folder = alphapulse.directory / "captures"
    words = ["collect", "--exchange", name, "--symbols", ",".join(symbols), "--capture", str(folder)]
    process = alphapulse.start(*words, **sims.environment())

    def totals():
        return sample(alphapulse.shm_dir, name)[0].totals

    def is_live():
        sims.nudge()
        return len(live_books(alphapulse.shm_dir, name)) == len(symbols)

    wait_until(is_live, what="live books")
    for each in (*harmless, kind):
        struck, seen = sim.injection_counts[each], totals()[label]
        sims.inject(each, name)
        wait_until(lambda each=each, struck=struck: sims.nudge() or sim.injection_counts[each] > struck, what=f"{each} of {name}")
    wait_until(lambda: sims.nudge() or totals()[label] > seen, what=label)
    wait_until(is_live, what=f"live after {kind}")
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    live = counted(alphapulse.shm_dir, name)
    [one] = ap.verify(folder).sets
    assert one.counts == {label: sum(block[label] for block in live.values()) for label in LABELS}
    assert {book.symbol: book.counts for book in one.books} == {
        symbol: {label: block[label] for label in LABELS if block[label]} for symbol, block in live.items() if symbol
    }
    assert one.counts[label] > 0
    of_gaps = [each for gap in one.gaps for each in gap.counted]
    assert {each: of_gaps.count(each) for each in ("gaps", "checksums_bad", "resyncs")} == {
        each: one.counts[each] for each in ("gaps", "checksums_bad", "resyncs")
    }
    assert one.holds
