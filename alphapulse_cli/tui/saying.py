"""Text of the status line: notices, advice, a summary, and rows that the watchdog found not updated.

    rows not updated · a notice · PAUSED · advice where something is missing · the summary of all sets     the first that there is

A command that is to be typed is never cut: where one line does not hold it the status line grows, up to a quarter of the screen. A
notice that is longer than the line ends at a word; `?` tells the last ones whole.
"""

from collections import deque
from collections.abc import Sequence

from textual.notifications import SeverityLevel

from alphapulse_cli.edges.safe_text import safe
from alphapulse_cli.readers.moments import replay_words
from alphapulse_cli.shm import clock
from alphapulse_cli.tui.feed.picture import Picture
from alphapulse_cli.tui.screens.base import PulseApp, PulseScreen
from alphapulse_cli.tui.sentence import sentence_lines
from alphapulse_cli.tui.terminal import TerminalDriver
from alphapulse_cli.tui.watchdog import Watchdog, watched
from alphapulse_cli.wire.delta import BookState

NOTICE_S = 8.0
KEPT_NOTICES = 6
TOO_LONG = "What to type has no room here: make the window larger, or: alphapulse doctor"


class SayingApp(PulseApp):
    """Part of the app that makes the status line.

    `notices` is a list that the caller appends to; the last one is shown for NOTICE_S seconds.
    """

    def __init__(self, notices: Sequence[str] = ()) -> None:
        super().__init__(driver_class=TerminalDriver)
        self._notices = notices
        self._last_notice: tuple[str, int] = "", 0  # the last notice, and when it came (ns)
        self._watchdog = Watchdog()
        self._still: tuple[str, int] = "", 0  # the watchdog's last finding, and when (ns)
        self._note: tuple[str, int] = "", 0  # the last message of `notify`, and until when it is shown (ns)
        self.recent: deque[str] = deque(maxlen=KEPT_NOTICES)  # the last notices in full, oldest first

    def status_lines(self, width: int, most: int) -> list[str]:
        """Text of the status line, at most `most` lines. A temporary notice is cut to one line; a command to type is never cut."""
        passing = self._passing()
        advice = "" if passing or self.picture is None else safe(self.picture.advice)
        text = passing or advice or summary(self.picture)
        if not advice or len(advice) < width:
            return [cut(f" {text}", width)]
        lines = sentence_lines(advice, width - 1)
        for some in (lines, [line for line in lines if line[1]]):
            if some and len(some) <= most and all(len(line) < width for line, is_command in some if is_command):
                return [cut(f" {line}", width) for line, _ in some]
        return [cut(f" {TOO_LONG if any(is_command for _, is_command in lines) else advice}", width)]

    def _passing(self) -> str:
        """Text shown for a while before anything else: rows not updated, the last message, PAUSED, the last notice; "" for no such text."""
        now_ns, picture = clock.monotonic_ns(), self.picture
        text, when_ns = self._still
        if text and now_ns - when_ns < NOTICE_S * 1e9:
            return text
        text, until_ns = self._note
        if text and now_ns < until_ns:
            return text
        if self.is_paused and picture is not None:
            return f"PAUSED, {(now_ns - picture.taken_ns) / 1e9:.0f} s old; the feed goes on (p resumes)"
        return self._notice()

    def _notice(self) -> str:
        """The last notice for NOTICE_S seconds after it came, then ""."""
        now = clock.monotonic_ns()
        last = self._notices[-1] if self._notices else ""
        if last != self._last_notice[0]:
            self._last_notice = last, now
            self.recent.append(safe(last))
        return safe(last) if last and now - self._last_notice[1] < NOTICE_S * 1e9 else ""

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = True,
    ) -> None:
        """Show the message in the status line for `timeout` seconds (default NOTICE_S).

        Textual's box would hide rows, or this line.
        """
        sign = "" if severity == "information" else "! "
        if severity != "information":
            self.recent.append(safe(message))
        self._note = f"{sign}{safe(message)}", clock.monotonic_ns() + int((NOTICE_S if timeout is None else timeout) * 1e9)
        super().notify(
            message, title=title, severity=severity, timeout=timeout, markup=markup
        )  # Textual keeps it; the styles show no box
        self.renew_status()

    def front(self) -> PulseScreen | None:
        """The numbered screen, even while a prompt or the help lies over it; None before there is one."""
        found = self.screen_stack[0] if self.screen_stack else None
        return found if isinstance(found, PulseScreen) else None

    def renew_status(self) -> None:
        """Rebuild the status line."""
        front = self.front()
        if front is not None:
            front.renew_status()

    def watch_rows(self) -> None:
        """Look for rows whose change did not reach the terminal; if there are any, say so and draw all of them again."""
        front = self.front()
        if not isinstance(self._driver, TerminalDriver) or front is None or front is not self.screen:
            return
        rows, age_s = self._watchdog.look(front, self._driver.drawn)
        if rows:
            self._still = f"{rows} row{'' if rows == 1 else 's'} stood still for {age_s:.0f} s: drawn again", clock.monotonic_ns()
            for widget in watched(front):
                widget.refresh()


def summary(picture: Picture | None) -> str:
    """One line about all sets: books LIVE, deltas a second, gaps, records missed here."""
    if picture is None:
        return "looking for segments"
    live = sum(book.status.state is BookState.LIVE for book in picture.books)
    rate = sum(one.status.deltas_per_s for one in picture.sets)
    gaps = sum(one.status.totals.get("gaps", 0) for one in picture.sets)
    missed = sum(one.missed for one in picture.sets)
    sets = len(picture.sets)
    text = f"{sets} set{'' if sets == 1 else 's'}, {live}/{len(picture.books)} books live, {rate:,.0f} deltas/s, {gaps} gaps"
    replays = picture.replays
    if replays:
        text = f"{replay_words(max(one.status.recording_ns for one in replays))}: {text}"
    return f"{text}, {missed:,} records missed here" if missed else text


def cut(text: str, width: int) -> str:
    """The text in at most `width` cells; a longer one ends in an ellipsis, after a whole word where one ends in the last third."""
    if len(text) <= width:
        return text
    kept = text[: max(width - 1, 0)]
    at = kept.rfind(" ")
    if text[len(kept)] != " " and at * 3 > len(kept) * 2:
        kept = kept[:at]
    return f"{kept.rstrip() or kept}…"
