"""Words between a replay and those that steer it over its control socket: actions, states, and the answer of a timeline.

pause · resume · step N|TIME · seek TIME · speed FACTOR · status  ─►  state, time, speed, and the reader that it waits for, if any
timeline [REVISION]                                               ─►  Timeline.words
"""

from collections.abc import Sequence
from dataclasses import dataclass

from alphapulse_cli.errors import UsageError
from alphapulse_cli.readers import moments

CONTROL_NAME = "replay"
PAUSE, RESUME, STEP, SEEK, SPEED, STATUS = "pause", "resume", "step", "seek", "speed", "status"
TIMELINE = "timeline"  # of which the live screen's scrubber is drawn
ACTIONS = (PAUSE, RESUME, STEP, SEEK, SPEED, STATUS, TIMELINE)
PLAYING, PAUSED, SEEKING, OVER = "playing", "paused", "seeking", "over"  # the states
BETWEEN = "/"  # first and last time of a gap

Span = tuple[int, int]  # first and last time, ns since 1970


@dataclass(frozen=True, slots=True)
class Timeline:
    """State of a replay with its place in the recording; times are in ns since 1970.

    `gaps` is None where the asker has those of that revision.
    """

    state: str
    now_ns: int
    speed: str
    first_ns: int
    last_ns: int
    surveyed: int  # percentage of the recording that was searched for gaps
    revision: int
    is_paused: bool = False  # while it is seeking: whether it stays at that time
    gaps: Sequence[Span] | None = ()

    def words(self) -> list[str]:
        """Words of the answer, each time to the ns."""
        now, first, last = (moments.moment(ns, digits=9) for ns in (self.now_ns, self.first_ns, self.last_ns))
        gaps = () if self.gaps is None else [BETWEEN.join(moments.moment(ns, digits=9) for ns in span) for span in self.gaps]
        flags = f"{self.is_paused:d}{self.gaps is not None:d}"
        return [self.state, now, self.speed, first, last, str(self.surveyed), str(self.revision), flags, *gaps]


def parse_timeline(words: Sequence[str]) -> Timeline:
    """Timeline of an answer's words. UsageError for other words: of another version of alphapulse."""
    try:
        state, now, speed, first, last, surveyed, revision, flags, *spans = words
        gaps = [(moments.parse(begin), moments.parse(end)) for begin, end in (span.split(BETWEEN) for span in spans)]
        times = (moments.parse(now), speed, moments.parse(first), moments.parse(last))
        is_paused, has_gaps = (flag == "1" for flag in flags)
        return Timeline(state, *times, int(surveyed), int(revision), is_paused, gaps if has_gaps else None)
    except (ValueError, UsageError):
        raise UsageError("the replay's answer was not understood", "is it an alphapulse of another version?") from None
