"""Gauge of how far this reader is behind a set's writer, as a bar and in words. At 100 % the writer overwrites unread records.

kraken      ▕█▍                  ▏   5.1 % of the ring: 3,342 of 65,536 records behind, keeps up, 0 missed
"""

from alphapulse_cli.readers.moments import REPLAY
from alphapulse_cli.shm.segment import Liveness
from alphapulse_cli.tui.feed.picture import SetPicture
from alphapulse_cli.tui.widgets.lines import Line, in_width

EIGHTHS = " ▏▎▍▌▋▊▉█"
BAR = 20
HALF, NEARLY_ALL = 0.5, 0.9


def bar(part: float, width: int) -> str:
    """A bar of that part (0 … 1) of `width` columns; any part above 0 is visible."""
    eighths = 0 if part <= 0 else max(1, min(round(part * width * 8), width * 8))
    return "".join(EIGHTHS[max(0, min(eighths - at * 8, 8))] for at in range(width))


def liveness_word(one: SetPicture) -> str:
    """The set's liveness: live, silent, retired …; "gone" if the set does not exist any more."""
    word = one.status.liveness.value if one.status.liveness is not None else "gone"
    return f"{word}, {REPLAY}" if one.status.replay else word


def is_live(one: SetPicture) -> bool:
    """Whether the set's collector runs and publishes."""
    return one.status.liveness is Liveness.LIVE


def pace(part: float) -> tuple[str, str]:
    """(words, kind) for the part (0 … 1) of the ring that is still unread."""
    if part >= NEARLY_ALL:
        return "about to be lapped", "dead"
    return ("falls behind", "waiting") if part >= HALF else ("keeps up", "live")


def gauge_line(one: SetPicture, width: int) -> Line:
    """The gauge's line of one set, `width` cells wide."""
    name: tuple[str, str] = (f" {one.status.name:<11} ", "title")
    if not is_live(one):
        return [name, (f"{liveness_word(one)}: what is shown of it are the last figures", "dead")]
    if not one.capacity:
        return [name, ("not attached to yet", "waiting")]
    part = one.lag / one.capacity
    words, kind = pace(part)
    lost = f"{one.missed:,} missed in {one.laps:,} laps" if one.missed else "0 missed, 0 laps"
    tail = [
        (f" {words}", kind),
        (f", {one.lag:,} of {one.capacity:,} records behind ({part:.1%}), ", "quiet"),
        (f"{'! ' if one.missed else ''}{lost}", "waiting" if one.missed else "quiet"),
        (f", {one.restarts:,} restarts" if one.restarts else "", "quiet"),
    ]
    room = width - len(name[0]) - 2 - sum(len(text) for text, _ in tail)
    drawn = [("▕", "quiet"), (bar(part, min(room, BAR)), kind), ("▏", "quiet")] if room >= 6 else []
    return in_width([name, *drawn, *tail], width)
