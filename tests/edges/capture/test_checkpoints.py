"""The pace of checkpoints keeps within their share of the file, whatever the sizes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from alphapulse_cli.edges.capture.checkpoints import FIRST_AFTER_NS, CheckpointPace, MeasuredPace
from alphapulse_cli.edges.capture.rolling import Totals

SECOND = 10**9


def run(sizes, frames_a_second, *, ratio=None):
    """Seconds of a capture whose checkpoints take these bytes in turn: its totals, and the times of its checkpoints."""
    from alphapulse_cli.edges.capture import checkpoints

    totals, times = Totals(files=1), list[int]()
    pace = CheckpointPace(totals, 0)
    for second in range(1, 600):
        totals.bytes_written += frames_a_second
        held = checkpoints.FRAMES_TO_CHECKPOINTS
        checkpoints.FRAMES_TO_CHECKPOINTS = ratio or held
        try:
            due = pace.is_due(second * SECOND)
        finally:
            checkpoints.FRAMES_TO_CHECKPOINTS = held
        if due:
            pace.made(second * SECOND)
            size = sizes[len(times) % len(sizes)]
            totals.checkpoint_bytes += size
            totals.bytes_written += size
            times.append(second)
    return totals, times


@given(st.integers(1_000, 300_000), st.integers(100, 400_000))
@settings(max_examples=40)
def test_checkpoints_keep_to_their_share_after_the_first(size, frames):
    totals, times = run([size], frames)
    assert times[0] == FIRST_AFTER_NS // SECOND
    if len(times) > 1:
        assert (totals.checkpoint_bytes - size) / totals.bytes_written <= 0.15


def test_with_a_smaller_ratio_the_share_is_exceeded():
    """Broken mutant: three times the checkpoints' bytes between them is too little."""
    totals, _ = run([50_000], 100_000, ratio=3)
    assert totals.checkpoint_bytes / totals.bytes_written > 0.15


def test_after_a_failed_try_they_are_tried_again_a_second_later():
    """A book was healing: the share of the file must not count a checkpoint that was not made, or none would come before the next file."""
    totals = Totals(files=1, bytes_written=100_000)
    pace = CheckpointPace(totals, 0)
    assert pace.is_due(10 * SECOND)
    pace.failed(10 * SECOND)
    assert not pace.is_due(10 * SECOND + SECOND // 2)
    assert pace.is_due(11 * SECOND)
    pace.made(11 * SECOND)
    totals.checkpoint_bytes = 1_000
    totals.bytes_written += 20_000
    assert pace.is_due(12 * SECOND)
    pace.failed(12 * SECOND)
    assert pace.is_due(13 * SECOND)


@given(st.integers(1_000, 300_000), st.integers(100, 400_000))
@settings(max_examples=40)
def test_in_a_capture_made_of_others_no_share_is_exceeded(size, frames):
    totals = Totals(files=1)
    pace = MeasuredPace(totals, 0)
    for second in range(1, 300):
        totals.bytes_written += frames
        if pace.is_due(second * SECOND) and pace.fits(size):
            assert second * SECOND >= FIRST_AFTER_NS
            totals.checkpoint_bytes += size
            totals.bytes_written += size
        assert totals.checkpoint_bytes <= 0.15 * totals.bytes_written
    assert totals.checkpoint_bytes or 300 * frames < 6 * size


def test_each_file_begins_with_one_and_a_stopped_capture_has_none():
    totals = Totals(files=1)
    pace = CheckpointPace(totals, 0)
    assert pace.is_due(10 * SECOND)
    pace.made(10 * SECOND)
    totals.checkpoint_bytes = totals.bytes_written = 500
    assert not pace.is_due(20 * SECOND)
    totals.files = 2
    assert pace.is_due(21 * SECOND)
    totals.stopped = "no space left on device"
    assert not pace.is_due(22 * SECOND)
