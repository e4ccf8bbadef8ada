"""The book image between real processes: every copy is one moment of the book; and the same test catches every broken variant."""

import pytest
from stress.image_variants import READER_MUTANTS, WRITER_MUTANTS, read_image
from support.shm_processes import child

DURATION_NS = 800_000_000


def run(path, writer_variant, reader_variant):
    with child("stress.image_variants:write_image", path, writer_variant, DURATION_NS) as writer:
        writer.line()
        writer.say("go")
        return (*read_image(path, reader_variant), writer.line())


@pytest.mark.parametrize("reader_variant", ["", "right"], ids=lambda v: v or "product")
def test_every_copy_and_every_checkpoint_is_one_moment_of_the_book(directory, reader_variant):
    whole, torn, checkpoints, torn_checkpoints, overtaken, edits = run(directory.path, "", reader_variant)
    assert (torn, torn_checkpoints) == (0, 0)
    assert whole > 0
    assert checkpoints > 0
    assert overtaken > 0, "the test looked while the writer was editing"
    assert edits > 100


@pytest.mark.parametrize("mutant", WRITER_MUTANTS)
@pytest.mark.parametrize("reader_variant", ["", "right"], ids=lambda v: v or "product")
def test_a_broken_writer_is_caught(directory, mutant, reader_variant):
    assert run(directory.path, mutant, reader_variant)[1] > 0


@pytest.mark.parametrize("mutant", READER_MUTANTS)
def test_a_broken_reader_is_caught(directory, mutant):
    assert run(directory.path, "", mutant)[1] > 0
