"""The ring between real processes: got + missed == published and nothing torn; and the same test catches every broken variant.

Mutants prove that the test can fail. Leaving out the fences alone shows nothing on x86-64, so there is no mutant for that.
"""

import pytest
from stress.ring_variants import READER_MUTANTS, WRITER_MUTANTS, read_ring
from support.shm_processes import child

CAPACITY = 16
LAGS = (0, CAPACITY - 1, CAPACITY // 2, CAPACITY, 1, CAPACITY - 4, 3 * CAPACITY)
DURATION_NS = 1_000_000_000


def run(path, writer_variant, reader_variant, duration_ns=DURATION_NS):
    """One writer process, and this one reading: (got, missed, torn, published)."""
    with child("stress.ring_variants:write_ring", path, writer_variant, CAPACITY, duration_ns) as writer:
        writer.line()
        writer.say("go")
        got, missed, torn = read_ring(path, reader_variant, LAGS)
        return got, missed, torn, writer.line()


@pytest.mark.parametrize(
    ("writer_variant", "reader_variant"), [("right", "right"), ("right", ""), ("", "right"), ("", "")], ids=lambda v: v or "product"
)
def test_nothing_is_torn_and_nothing_lost_without_a_word(directory, writer_variant, reader_variant):
    """The product against itself, and against the protocol in plain steps with wide windows, at lags from none to several laps."""
    got, missed, torn, published = run(directory.path, writer_variant, reader_variant)
    assert torn == 0
    assert got + missed == published
    assert got > 0, "the test read something"
    assert missed > 0, "the test was lapped: it looked where it is dangerous"


@pytest.mark.parametrize("mutant", WRITER_MUTANTS)
def test_a_broken_writer_is_caught(directory, mutant):
    _, _, torn, _ = run(directory.path, mutant, "right")
    assert torn > 0


@pytest.mark.parametrize("mutant", WRITER_MUTANTS)
def test_a_broken_writer_is_caught_by_the_products_own_reader_too(directory, mutant):
    _, _, torn, _ = run(directory.path, mutant, "")
    assert torn > 0


@pytest.mark.parametrize("mutant", READER_MUTANTS)
def test_a_broken_reader_is_caught(directory, mutant):
    _, _, torn, _ = run(directory.path, "right", mutant)
    assert torn > 0


def test_several_reader_processes_each_get_the_whole_truth(directory):
    """One writer, three readers of different patience: none disturbs another."""
    lags = ([0], [CAPACITY], [0, 40, 3])
    function = "stress.ring_variants:read_ring_and_tell"
    with child("stress.ring_variants:write_ring", directory.path, "", CAPACITY, DURATION_NS) as writer:
        writer.line()
        with (
            child(function, directory.path, "", lags[0]) as first,
            child(function, directory.path, "", lags[1]) as second,
            child(function, directory.path, "", lags[2]) as third,
        ):
            readers = (first, second, third)
            assert [reader.line() for reader in readers] == ["ready"] * 3
            writer.say("go")
            published = writer.line()
            for reader in readers:
                got, missed, torn = reader.line()
                assert (torn, got + missed) == (0, published)
